"""Arms cost the same to the byte, draws depend on content and seed alone, and the curve is nested."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.types import Sequences, Texts, occurrence
from assay.verify.arms import Arm, Frame, Pass, Plan, Trial, draft, ladder, plan, reordered, settle, taken
from assay.verify.judge import Gathered

SMALL = Trial(units=3_000, curve=12_000)


def _pool(rows: int = 400, seed: int = 0) -> Texts:
    rng = np.random.default_rng(seed)
    return Texts.of(["é" * int(rng.integers(1, 60)) + f" {row}" for row in range(rows)])


def _frame(texts: Texts, eligible: np.ndarray | None = None) -> Frame:
    mask = np.ones(len(texts), bool) if eligible is None else eligible
    return Frame.of(texts.sizes, hash_rows(texts.data, texts.offsets), mask)


def _source(texts: Texts) -> Gathered:
    return Gathered(np.arange(len(texts)), Sequences(texts.data, texts.offsets))


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
        read, whole = _read(one, texts), [texts[int(row)].encode() for row in one.passes[0].rows]
        cut = [k for k, (a, b) in enumerate(zip(read, whole, strict=True)) if a != b]
        assert cut == [one.passes[0].cut][: len(cut)] and all(whole[k].startswith(read[k]) for k in cut)


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
    one, other = (plan({"choice": np.arange(50)}, frame, Trial(seed=s, units=1_000)) for s in (0, 1))
    assert [a.rows.tolist() for a in one.arms] != [a.rows.tolist() for a in other.arms]


def test_a_draw_follows_content_not_place() -> None:
    texts = _pool()
    order = np.random.default_rng(1).permutation(len(texts))
    moved = texts.take(order)

    def drawn(pool: Texts) -> set[bytes]:
        frame = _frame(pool)
        one = taken(frame.drawn(9, 3_000), frame.rows, frame.sizes, 3_000)
        return set(_read(Arm("random", 0, 3_000, (one,)), pool))

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
    with pytest.raises(RecipeError, match="curve at least as many"):
        plan({"choice": np.arange(9)}, frame, Trial(units=10_000, curve=5_000))
    with pytest.raises(InputError, match="the pool changed since the run"):
        list(plan({"choice": np.arange(9)}, frame, Trial()).arms[0].stream(lambda rows: iter([])))


# --- Any pool, any units, any step ------------------------------------------------------------------------------------


@st.composite
def _laid(draw: st.DrawFn) -> tuple[Plan, Frame, np.ndarray, Trial, int]:
    """A plan over a pool of any sizes (one row may be huge), a choice with or without repeats, units of any coarseness."""
    sizes = np.array(draw(st.lists(st.integers(1, 400), min_size=1, max_size=80)), np.int64)
    sizes[draw(st.integers(0, len(sizes) - 1))] *= draw(st.sampled_from([1, 1, 300]))
    frame = Frame.of(sizes, np.arange(len(sizes), dtype=np.uint64) * np.uint64(77), np.ones(len(sizes), bool))
    coarse = draw(st.sampled_from([1.0, 2.5, 7.0]))
    bend = np.array(draw(st.lists(st.floats(0.8, 1.2), min_size=len(sizes), max_size=len(sizes))))
    units = sizes if coarse == 1 else np.maximum(1, (sizes / coarse * bend)).astype(np.int64)
    everything = st.just(list(range(len(sizes))))
    some = st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=100)
    fixed = {
        "choice": np.array(draw(st.one_of(some, everything))),
        "other run": np.array(draw(st.one_of(some, everything))),
    }
    most = draw(st.sampled_from([1_000, 3_000, 1_000_000]))
    trial = Trial(
        seeds=3, units=most, curve=most * draw(st.sampled_from([1, 4])), epochs=draw(st.integers(1, 3)),
        rivals=("length", "rs2"), reach=draw(st.sampled_from([1, 16])), seed=draw(st.integers(0, 3)),
    )  # fmt: skip
    step = draw(st.sampled_from([1, 3, 64]))
    drafted = draft(fixed, frame, trial, 1.0 if coarse == 1 else coarse * 1.3, draw(st.booleans()))
    known = np.where(np.isin(frame.rows, drafted.rows), units, 0)  # what was not gathered is not known
    try:
        return settle(drafted, known, trial, step), frame, known, trial, step
    except InputError:  # too little text for a ladder of whole steps
        least = min(int(units[frame.at(rows)].sum()) for rows in fixed.values())
        assert min(least, int(units.sum()), trial.units) < 24 * step
        assume(False)
        raise


def _units(one: Pass, frame: Frame, units: np.ndarray) -> int:
    held = units[frame.at(one.rows)]
    return int(held.sum()) - (int(held[one.cut]) - one.keep if one.cut >= 0 else 0)


def _symbols(arm: Arm, frame: Frame, units: np.ndarray) -> np.ndarray:
    """The arm's stream, where unit number u of row r is the symbol 1000000 r + u."""
    offsets = np.append(0, np.cumsum(units))
    data = np.repeat(frame.rows * 1_000_000, units) + np.arange(offsets[-1]) - np.repeat(offsets[:-1], units)
    blocks = arm.stream(Gathered(frame.rows, Sequences(data, offsets)))
    return np.concatenate([block.data[block.offsets[0] : block.offsets[-1]] for block in blocks])


@settings(max_examples=150, deadline=None)
@given(_laid())
def test_every_pass_of_every_arm_has_its_budget_to_the_unit(laid: tuple[Plan, Frame, np.ndarray, Trial, int]) -> None:
    found, frame, units, trial, step = laid
    assert found.budget % step == 0 and found.budget <= trial.units and (found.budgets % step == 0).all()
    assert (np.diff(found.budgets) > 0).all()
    compared = {"choice", "other run", "length"} | ({"rs2"} if trial.epochs > 1 else set())
    assert {one.name for one in found.arms} - {"random", "pool"} == compared
    for one in found.arms:
        assert one.name in ("random", "pool") or one.budget == found.budget
        assert len(one.passes) == trial.epochs and one.cost == one.budget * trial.epochs
        assert [_units(part, frame, units) for part in one.passes] == [one.budget] * trial.epochs
        assert all(
            0 < part.keep < units[frame.at(part.rows[part.cut : part.cut + 1])][0]
            for part in one.passes
            if part.cut >= 0
        )
        assert len(_symbols(one, frame, units)) == one.cost


@settings(max_examples=60, deadline=None)
@given(_laid())
def test_a_curve_is_nested_in_the_order_of_training(laid: tuple[Plan, Frame, np.ndarray, Trial, int]) -> None:
    """What a judge reads for a small budget is the beginning of what it reads for a larger one, symbol by symbol."""
    found, frame, units, trial, _ = laid
    assume(trial.epochs == 1)
    for seed in range(trial.seeds):
        drawn = sorted(
            (one for one in found.arms if (one.name, one.seed) == ("random", seed)), key=lambda one: one.budget
        )
        for small, large in pairwise(drawn):
            assert np.array_equal(_symbols(large, frame, units)[: small.cost], _symbols(small, frame, units))


@settings(max_examples=60, deadline=None)
@given(_laid())
def test_passes_of_a_fixed_arm_are_the_same_text_in_other_orders(
    laid: tuple[Plan, Frame, np.ndarray, Trial, int],
) -> None:
    found, frame, units, _, _ = laid
    for one in found.arms:
        if one.name != "rs2":
            first = np.sort(_symbols(Arm("", 0, one.budget, one.passes[:1]), frame, units))
            for part in one.passes[1:]:
                assert np.array_equal(np.sort(_symbols(Arm("", 0, one.budget, (part,)), frame, units)), first)


def test_reordered_passes_keep_rows_and_cut() -> None:
    one = Pass(np.arange(50) * 3, cut=49, keep=7)
    other = reordered(one, 12)
    assert other.rows.tolist() != one.rows.tolist() and sorted(other.rows.tolist()) == one.rows.tolist()
    assert (other.rows[other.cut], other.keep) == (one.rows[49], 7)


def test_a_pool_of_one_huge_row_is_one_arm() -> None:
    frame = Frame(np.array([4]), np.array([50_000]), np.array([9], np.uint64))
    laid = plan({"choice": np.array([4])}, frame, SMALL)
    assert laid.budget == 3_000
    assert all(one.rows.tolist() == [4] and one.passes[0].keep == one.budget for one in laid.arms)


def test_a_draw_from_many_rows_sorts_only_what_can_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 3_000_000
    frame = Frame(np.arange(rows), np.full(rows, 1_000), np.arange(rows, dtype=np.uint64) * np.uint64(1 << 33))
    sorted_rows = []
    real = np.lexsort
    monkeypatch.setattr(np, "lexsort", lambda keys: sorted_rows.append(len(keys[0])) or real(keys))
    choice = np.arange(0, rows, 100)
    drafted = draft({"choice": choice}, frame, Trial(seeds=3, rivals=("length",)))
    assert sum(sorted_rows) < 0.1 * rows
    assert len(drafted.rows) < 0.1 * rows
