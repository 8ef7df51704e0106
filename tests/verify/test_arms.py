"""Arms cost the same to the byte, draws depend on content and seed alone, and the curve is nested."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.types import Texts
from assay.verify.arms import Arm, Frame, Trial, arm, ladder, occurrence, plan
from assay.verify.judge import Gathered

SMALL = Trial(trial_bytes=3_000, curve_bytes=12_000)


def _pool(rows: int = 400, seed: int = 0) -> Texts:
    rng = np.random.default_rng(seed)
    return Texts.of(["é" * int(rng.integers(1, 60)) + f" {row}" for row in range(rows)])


def _frame(texts: Texts, eligible: np.ndarray | None = None) -> Frame:
    mask = np.ones(len(texts), bool) if eligible is None else eligible
    return Frame.of(texts.sizes, hash_rows(texts.data, texts.offsets), mask)


def _source(texts: Texts) -> Gathered:
    return Gathered(np.arange(len(texts)), texts)


def _read(one: Arm, texts: Texts) -> list[bytes]:
    blocks = list(one.stream(_source(texts)))
    return [bytes(b.data[b.offsets[k] : b.offsets[k + 1]]) for b in blocks for k in range(len(b))]


def test_every_arm_of_one_budget_streams_the_same_bytes() -> None:
    texts = _pool()
    laid = plan({"choice": np.arange(0, 400, 7)}, _frame(texts), SMALL)
    assert laid.budget == min(3_000, int(texts.sizes[::7].sum()))
    for one in laid.arms:
        read = _read(one, texts)
        assert sum(map(len, read)) == one.budget
        assert len(read) == len(one.rows)
    equal = {one.name for one in laid.arms if one.budget == laid.budget}
    assert {"choice", "random"} <= equal


def test_only_the_last_row_of_a_draw_is_cut() -> None:
    texts = _pool()
    for one in plan({"choice": np.arange(0, 400, 7)}, _frame(texts), SMALL).arms:
        whole = [texts[int(row)].encode() for row in one.rows]
        cut = [k for k, (a, b) in enumerate(zip(_read(one, texts), whole, strict=True)) if a != b]
        assert len(cut) <= 1
        assert all(one.rows[k] == one.cut and whole[k].startswith(_read(one, texts)[k]) for k in cut)


def test_a_seed_s_budgets_are_nested_and_seeds_differ() -> None:
    laid = plan({"choice": np.arange(0, 400, 7)}, _frame(_pool()), SMALL)
    drawn = [one for one in laid.arms if one.name == "random" and one.seed == 2]
    for small, large in pairwise(drawn):
        assert set(small.rows.tolist()) <= set(large.rows.tolist())
    firsts = [one.rows.tolist() for one in laid.arms if one.name == "random" and one.budget == laid.budget]
    assert len({tuple(rows) for rows in firsts}) == SMALL.seeds
    assert len(laid.budgets) >= 5 and laid.budget in laid.budgets


def test_another_trial_seed_draws_anew() -> None:
    frame = _frame(_pool())
    one, other = (plan({"choice": np.arange(50)}, frame, Trial(seed=s, trial_bytes=1_000)) for s in (0, 1))
    assert [a.rows.tolist() for a in one.arms] != [a.rows.tolist() for a in other.arms]


def test_a_draw_follows_content_not_place() -> None:
    texts = _pool()
    order = np.random.default_rng(1).permutation(len(texts))
    moved = texts.take(order)

    def drawn(pool: Texts) -> set[bytes]:
        frame = _frame(pool)
        return set(_read(arm("random", 0, frame, frame.drawn(9, 3_000), 3_000), pool))

    assert drawn(texts) == drawn(moved)


def test_copies_of_a_text_are_drawn_one_by_one() -> None:
    texts = Texts.of(["the same text"] * 500 + [f"text number {k:03}" for k in range(500)])
    frame = _frame(texts)
    share = [float(np.mean(frame.rows[frame.drawn(key, 3_000)[:100]] < 500)) for key in range(40)]
    assert 0.4 < np.mean(share) < 0.6 and np.std(share) < 0.1


def test_draw_is_uniform_over_rows() -> None:
    frame = _frame(_pool(100))
    times = np.zeros(100)
    for key in range(600):
        times[frame.drawn(key, 1_500)[:20]] += 1
    assert abs(times.mean() - 120) < 1
    assert ((times - 120) ** 2 / (120 * 0.8)).sum() < 160  # chi-square, 99 degrees: 1e-4 above 161


def test_a_row_used_three_times_stands_three_times() -> None:
    texts = _pool(50)
    laid = plan({"choice": np.array([3, 3, 3, 8])}, _frame(texts), Trial())
    read = _read(laid.arms[0], texts)
    assert sorted(read) == sorted([texts[3].encode()] * 3 + [texts[8].encode()])


def test_rows_that_may_not_be_drawn_are_in_no_arm() -> None:
    texts = _pool()
    eligible = np.ones(len(texts), bool)
    eligible[::2] = False
    laid = plan({"choice": np.arange(0, 400, 3)}, _frame(texts, eligible), SMALL)
    assert (laid.rows % 2 == 1).all()


def test_choice_as_large_as_the_pool() -> None:
    texts = _pool(60)
    laid = plan({"choice": np.arange(60)}, _frame(texts), Trial())
    assert laid.budget == int(texts.sizes.sum()) and len(laid.budgets) == 5
    assert sum(one.name == "random" and one.budget == laid.budget for one in laid.arms) == 0  # every draw is the pool


def test_a_larger_choice_is_thinned_and_says_so() -> None:
    laid = plan({"choice": np.arange(400)}, _frame(_pool()), SMALL)
    assert laid.budget == 3_000 and any("choice holds" in note for note in laid.notes)


@pytest.mark.parametrize(("budget", "most"), [(800, 800), (800, 900), (800, 1_700), (800, 100_000), (801, 12_816)])
def test_ladder_has_five_rising_budgets(budget: int, most: int) -> None:
    budgets, start = ladder(budget, most, Trial())
    assert len(budgets) >= 5 and (np.diff(budgets) > 0).all() and budgets[start] == budget
    assert budgets[-1] <= max(budget, min(most, 16 * budget))


def test_occurrence_counts_copies() -> None:
    assert occurrence(np.zeros(0, np.uint64)).tolist() == []
    assert occurrence(np.array([5, 5, 1, 5, 1], np.uint64)).tolist() == [0, 1, 0, 2, 1]


def test_sentences() -> None:
    frame = _frame(_pool())
    with pytest.raises(InputError, match="arm 'choice' must hold text"):
        plan({"choice": np.array([], np.int64)}, frame, Trial())
    with pytest.raises(RecipeError, match=r"3 to 1000 seeds.*got 2"):
        plan({"choice": np.arange(9)}, frame, Trial(seeds=2))
    with pytest.raises(RecipeError, match="must not be named 'pool'"):
        plan({"choice": np.arange(9), "pool": np.arange(9)}, frame, Trial())
    with pytest.raises(RecipeError, match="curve_bytes at least trial_bytes"):
        plan({"choice": np.arange(9)}, frame, Trial(trial_bytes=10_000, curve_bytes=5_000))
    with pytest.raises(InputError, match="the pool changed since the run"):
        list(plan({"choice": np.arange(9)}, frame, Trial()).arms[0].stream(lambda rows: iter([])))
