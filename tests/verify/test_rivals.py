"""The arms beside random: the choice's lengths by chance, and a fresh subset for each pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels.draws import uniform
from assay.kernels.lucky import by_class, lucky
from assay.kernels.occurrence import occurrence
from assay.types import occurrence as by_sorting
from assay.verify.arms import Arm, Frame, Trial, draft, matched, plan, settle
from assay.verify.rivals import Lengths, short_of

RNG = np.random.default_rng(5)


def _frame(sizes: np.ndarray) -> Frame:
    """A frame of texts that all differ."""
    names = np.random.default_rng(len(sizes)).integers(0, 1 << 63, len(sizes), dtype=np.uint64)
    return Frame.of(sizes.astype(np.int64), names, np.ones(len(sizes), bool))


def _confounded(n: int = 20_000) -> tuple[Frame, np.ndarray]:
    """A pool of which the choice takes the long rows far more often."""
    sizes = np.exp(RNG.normal(6, 1, n)).astype(np.int64) + 20
    chance = np.clip(sizes / 4_000, 0, 0.9)
    return _frame(sizes), np.flatnonzero(RNG.random(n) < chance)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest distance of two samples' distribution functions, by bytes (Kolmogorov and Smirnov)."""
    both = np.sort(np.concatenate([one, other]))

    def spread(sizes: np.ndarray) -> np.ndarray:
        ordered = np.sort(sizes)
        spent = np.append(0, np.cumsum(ordered)) / ordered.sum()
        return spent[np.searchsorted(ordered, both, side="right")]

    return float(np.abs(spread(one) - spread(other)).max())


def _upto(frame: Frame, order: np.ndarray, size: int) -> np.ndarray:
    return order[: int(np.searchsorted(np.cumsum(frame.sizes[order]), size)) + 1]


def test_lengths_are_those_of_the_choice_where_random_s_are_not() -> None:
    frame, choice = _confounded()
    size = int(frame.sizes[choice].sum())
    one, plain = matched(frame, choice, size, 3), frame.drawn(3, size)
    assert int(frame.sizes[one].sum()) >= size and len(np.unique(one)) == len(one)
    near = _distance(frame.sizes[_upto(frame, one, size)], frame.sizes[choice])
    far = _distance(frame.sizes[_upto(frame, plain, size)], frame.sizes[choice])
    assert near < 0.03 < 0.15 < far


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.7])
def test_every_prefix_keeps_the_shares(share: float) -> None:
    frame, choice = _confounded()
    size = int(frame.sizes[choice].sum())
    part = _upto(frame, matched(frame, choice, size, 3), int(size * share))
    assert _distance(frame.sizes[part], frame.sizes[choice]) < 0.03 + 0.03 / share**0.5 / 3


def test_within_a_class_every_row_has_the_same_chance() -> None:
    frame, choice = _frame(np.repeat([100, 110, 900, 1_000], 50)), np.arange(60, 130)
    times = np.zeros(200)
    for key in range(400):
        times[_upto(frame, matched(frame, choice, 5_000, key), 5_000)] += 1
    lengths = Lengths.of(frame.sizes[choice])
    of_class = np.searchsorted(lengths.edges, frame.sizes)
    assert times[frame.sizes == 1_000].sum() == 0 or 1_000 in frame.sizes[choice]
    for one in np.flatnonzero(lengths.shares):
        for size in np.unique(frame.sizes[of_class == one]):
            found = times[(of_class == one) & (frame.sizes == size)]
            assert ((found - found.mean()) ** 2 / found.mean()).sum() < 96  # chi-square, 49 degrees: 1e-4 above 95.2


def test_a_row_larger_than_its_quota_is_neither_always_first_nor_always_out() -> None:
    """The budget is a fortieth of the choice, and one huge row alone is more than that."""
    sizes = np.concatenate([np.full(2_000, 100), np.full(40, 20_000)])
    frame, choice = _frame(sizes), np.concatenate([np.arange(400), np.arange(2_000, 2_010)])
    budget = int(frame.sizes[choice].sum()) // 40
    small = []
    for key in range(200):
        part = _upto(frame, matched(frame, choice, budget, key), budget)
        small.append(min(budget, 100 * int((part < 2_000).sum())) / budget)
    wanted = 1 - Lengths.of(frame.sizes[choice]).shares[-2]  # the last row is cut, so its class has a little less
    assert wanted < np.mean(small) < wanted + 0.25 and np.std(small) > 0.1 and len(set(small)) > 10


def test_a_class_that_runs_out_borrows_from_the_nearest_and_says_so() -> None:
    frame = _frame(np.repeat([100, 200, 1_000], [200, 200, 4]))
    choice = np.sort(
        np.concatenate([np.arange(100), np.repeat(np.arange(400, 404), 25)])
    )  # the long ones 25 times each
    size = int(frame.sizes[choice].sum())
    one = matched(frame, choice, 20_000, 1)
    assert set(range(400, 404)) <= set(one.tolist()) and int(frame.sizes[one].sum()) >= 20_000
    assert short_of(frame, choice, 20_000) > 0.5
    laid = plan({"choice": choice}, frame, Trial(rivals=("length",), units=20_000, curve=20_000))
    assert any("too little text as long" in note for note in laid.notes) and size > 20_000
    fair = plan({"choice": np.arange(100)}, frame, Trial(rivals=("length",)))
    assert not any("too little" in note for note in fair.notes)


def test_a_draw_follows_content_not_place_and_copies_are_drawn_one_by_one() -> None:
    frame, choice = _confounded(4_000)
    order = RNG.permutation(4_000)
    moved = Frame(np.arange(4_000), frame.sizes[order], frame.names[order])
    there = np.argsort(order)[choice]
    size = int(frame.sizes[choice].sum()) // 2
    one, other = matched(frame, choice, size, 7), order[matched(moved, np.sort(there), size, 7)]
    assert one.tolist() == other.tolist()
    copies = Frame.of(
        np.full(1_000, 60), np.repeat(np.arange(501, dtype=np.uint64), [500, *[1] * 500]), np.ones(1_000, bool)
    )
    share = [
        float(np.mean(_upto(copies, matched(copies, np.arange(450, 600), 6_000, key), 6_000) < 500))
        for key in range(40)
    ]
    assert 0.4 < np.mean(share) < 0.6 and np.std(share) < 0.1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=120), st.data())
def test_quotas_and_draws_hold_for_any_sizes(sizes: list[int], data: st.DataObject) -> None:
    frame = _frame(np.array(sizes))
    choice = np.sort(np.array(data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=60))))
    size = data.draw(st.integers(1, int(frame.sizes.sum())))
    further = data.draw(st.integers(0, int(frame.sizes.sum()) - size))
    one = matched(frame, choice, size, 1, further)
    assert len(np.unique(one)) == len(one) and int(frame.sizes[one].sum()) >= size + further
    lengths = Lengths.of(frame.sizes[choice])
    held = frame.held(lengths.edges)
    quotas = lengths.quotas(size, held)
    assert held.sum() == frame.sizes.sum() and np.isclose(quotas.sum(), size) and (quotas <= held + 1e-6).all()
    assert np.isclose(lengths.shares.sum(), 1) and lengths.shares[[0, -1]].sum() == 0


def _passes(arm: Arm) -> list[tuple[list[int], int, int]]:
    return [(one.rows.tolist(), one.cut, one.keep) for one in arm.passes]


def test_rs2_draws_anew_for_each_pass_and_begins_as_random_does() -> None:
    frame, choice = _confounded(3_000)
    trial = Trial(seeds=3, units=50_000, curve=100_000, epochs=3, rivals=("rs2",))
    laid = plan({"choice": choice}, frame, trial)
    for seed in range(3):
        rs2 = next(one for one in laid.arms if (one.name, one.seed) == ("rs2", seed))
        random = next(one for one in laid.arms if (one.name, one.seed, one.budget) == ("random", seed, laid.budget))
        assert _passes(rs2)[0] == _passes(random)[0]
        assert sorted(_passes(random)[1][0]) == sorted(_passes(random)[0][0]) != sorted(_passes(rs2)[1][0])
        subsets = {tuple(sorted(rows)) for rows, _, _ in _passes(rs2)}
        assert len(subsets) == 3
        for one in rs2.passes:
            whole = frame.sizes[frame.at(one.rows)]
            assert int(whole.sum()) - (int(whole[one.cut]) - one.keep if one.cut >= 0 else 0) == laid.budget
    drawn = {tuple(sorted(_passes(one)[1][0])) for one in laid.arms if one.name == "rs2"}
    assert len(drawn) == 3


def test_in_one_epoch_rs2_is_left_out_and_a_note_says_why() -> None:
    frame, choice = _confounded(3_000)
    laid = plan({"choice": choice}, frame, Trial(seeds=3, units=50_000, curve=50_000, rivals=("rs2", "length")))
    assert {one.name for one in laid.arms} == {"choice", "random", "length", "pool"}
    assert any(note.startswith("rs2 is left out") for note in laid.notes)


def test_a_rival_with_fewer_tokens_a_byte_does_not_shrink_the_budget() -> None:
    """Random text has fewer units a byte than the choice: the arms still get as many units as the choice has."""
    frame, choice = _confounded(4_000)
    units = frame.sizes // 4 + 1
    units[choice] = frame.sizes[choice] // 3 + 1
    trial = Trial(seeds=3, units=10_000_000, curve=10_000_000, epochs=2, rivals=("length", "rs2"))
    choice = choice[:100]
    drafted = draft({"choice": choice}, frame, trial, bytes_per_unit=4.0)
    laid = settle(drafted, units, trial)
    assert laid.budget == int(units[choice].sum())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=300))
def test_occurrences_by_table_are_those_by_sorting(values: list[int]) -> None:
    hashes = np.array(values, np.uint64) * np.uint64(1 << 59)
    assert occurrence(hashes).tolist() == by_sorting(hashes).tolist()


def test_occurrences_of_many_rows_are_those_by_sorting() -> None:
    """Enough rows for several parts of the table, some texts often."""
    hashes = np.random.default_rng(0).integers(0, 1 << 62, 3_000_000, dtype=np.uint64)
    hashes[::3] = hashes[1]
    hashes[1::7] = hashes[: len(hashes[1::7])]
    assert np.array_equal(occurrence(hashes), by_sorting(hashes))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(-5, 2**70), st.lists(st.integers(0, 9), max_size=4)
)
def test_lucky_rows_are_those_that_uniform_says(names: list[int], key: int, edges: list[int]) -> None:
    hashes, bounds = np.array(names, np.uint64), np.unique(np.array(edges, np.int64))
    sizes = np.arange(len(names)) % 11
    ceilings = np.linspace(0.2, 0.8, len(bounds) + 1)
    places, lucks = lucky(key, hashes, sizes, ceilings, bounds)
    every = uniform(key, hashes)
    wanted = np.flatnonzero(every <= ceilings[np.searchsorted(bounds, sizes)])
    assert places.tolist() == wanted.tolist() and lucks.tolist() == every[wanted].tolist()
    held = np.zeros(len(bounds) + 1)
    by_class(sizes, bounds, held)
    assert held.tolist() == np.bincount(np.searchsorted(bounds, sizes), sizes, len(bounds) + 1).tolist()
