"""S2L: shares against every possible allocation, clusters that are known, and which rows are drawn."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from assay.errors import RecipeError
from assay.select.s2l import S2l, fill
from assay.types import Groups, Limit, Selection, Signals

# Two sources; in each the rows of a cluster have one trajectory.
CLUSTERS = {"a": (1, 2, 5, 10), "b": (3, 30)}
PLACES = [(source, size) for source, sizes in CLUSTERS.items() for size in sizes for _ in range(size)]
PATHS = np.array([[4.0 * "ab".index(source), 1.0, 50.0 / size] for source, size in PLACES], np.float32)
IDS = np.array(["ab".index(source) for source, _ in PLACES])
ROWS = np.random.default_rng(2).permutation(len(PLACES))
FOUR = S2l(clusters=4)
COSTS = 1 + np.arange(len(PLACES)) % 7


def chosen(
    budget: int,
    method: S2l = FOUR,
    paths: np.ndarray = PATHS,
    seed: int = 0,
    unit: str = "examples",
) -> Selection:
    """A choice from the rows in a mixed order, told in their own numbers."""
    costs = COSTS if unit == "bytes" else np.ones(len(PLACES), np.int64)
    signals = Signals({"row_hash": (ROWS * 977).astype(np.uint64), "loss_trajectory": paths[ROWS]})
    limit = Limit(budget, unit, costs[ROWS])
    found = method.select(signals, Groups(IDS[ROWS], ("a", "b")), limit, np.random.default_rng(seed))
    return Selection.ranked(ROWS[found.rows], found.gains, nested=False) if not found.reasons else found


def counts(found: Selection) -> dict[tuple[str, int], int]:
    return dict(Counter(PLACES[row] for row in found.rows.tolist()))


# --- Shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(1, 1, 4), (2, 5, 3), (4, 4, 4), (0, 1, 6), (7,), (1, 2, 3, 3)])
def test_shares_are_the_fairest_of_all_allocations(sizes: tuple[int, ...]) -> None:
    """Of everything that may be given to parts of these sizes, what leaves the poorest part best off, then the next, and so on."""
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    limit = Limit(0, "examples", np.ones(sum(sizes), np.int64))
    for amount in range(sum(sizes) + 3):
        taken = fill(parts, limit, amount, lambda part, share: part[:share])
        every = itertools.product(*(range(size + 1) for size in sizes))
        fairest = max(sorted(one) for one in every if sum(one) == min(amount, sum(sizes)))
        assert sorted(int(np.isin(part, taken).sum()) for part in parts) == fairest, amount


def by_the_book(budget: int) -> dict[tuple[str, int], int]:
    """The released code in plain loops, on sizes alone."""
    given, left = {}, budget
    for source in sorted(CLUSTERS, key=lambda one: sum(CLUSTERS[one])):
        share = left // (len(CLUSTERS) - len({one for one, _ in given}))
        rest = share
        big = sorted(size for size in CLUSTERS[source] if size > 2)
        for place, size in enumerate(big):
            given[source, size] = min(size, rest // (len(big) - place))
            rest -= given[source, size]
        given[source, 0] = min(rest, sum(size for size in CLUSTERS[source] if size <= 2))
        left -= share - rest + given[source, 0]
    return given


@pytest.mark.parametrize("budget", [1, 2, 7, 20, 31, 40, 50, 51])
def test_counts_of_clusters_are_the_released_codes(budget: int) -> None:
    expected, got = by_the_book(budget), Counter[tuple[str, int]]()
    for (source, size), count in counts(chosen(budget)).items():
        got[source, size if size > 2 else 0] += count
    assert got == Counter(expected)
    assert sum(expected.values()) == budget == len(chosen(budget))


def test_the_paper_knows_no_sources_and_no_small_clusters() -> None:
    """Six clusters of 1, 2, 3, 5, 10, 30 and 20 rows to take: 1, 2, 3, then 14 // 3 = 4, 10 // 2 = 5, and 5."""
    got = counts(chosen(20, S2l(clusters=6, variant="paper")))
    assert got == {("a", 1): 1, ("a", 2): 2, ("b", 3): 3, ("a", 5): 4, ("a", 10): 5, ("b", 30): 5}


def test_a_budget_of_bytes_is_shared_in_bytes() -> None:
    found = chosen(60, unit="bytes")
    spent = {source: int(COSTS[[row for row in found.rows if PLACES[row][0] == source]].sum()) for source in "ab"}
    assert 23 < spent["a"] <= 30 and 23 < spent["b"] <= 60 - spent["a"]


# --- Which rows -------------------------------------------------------------------------------------------------------


def test_rows_are_drawn_by_the_seed() -> None:
    one, same, other = (set(chosen(20, seed=seed).rows.tolist()) for seed in (0, 0, 1))
    assert one == same != other
    often = Counter(row for seed in range(40) for row in chosen(20, seed=seed).rows.tolist())
    large = [often[row] for row, place in enumerate(PLACES) if place == ("b", 30)]
    assert min(large) > 0 and max(large) < 40 * 0.6  # 7 of 30 each time: none always, none never


def test_the_order_of_the_pool_does_not_matter() -> None:
    signals = Signals({"row_hash": (np.arange(len(PLACES)) * 977).astype(np.uint64), "loss_trajectory": PATHS})
    limit = Limit(20, "examples", np.ones(len(PLACES), np.int64))
    plain = S2l(clusters=4).select(signals, Groups(IDS, ("a", "b")), limit, np.random.default_rng(0))
    assert sorted(plain.rows.tolist()) == sorted(chosen(20).rows.tolist())


def test_rows_without_a_trajectory_are_named_not_taken_for_zeros() -> None:
    paths = PATHS.copy()
    paths[:8, 1] = np.nan  # all of source a but for its largest cluster
    signals = Signals({"row_hash": np.arange(len(PLACES), dtype=np.uint64), "loss_trajectory": paths})
    limit = Limit(len(PLACES), "examples", np.ones(len(PLACES), np.int64))
    found = S2l(clusters=4).select(signals, Groups(IDS, ("a", "b")), limit, np.random.default_rng(0))
    assert sorted(found.rows.tolist()) == list(range(8, len(PLACES)))
    assert {reason: rows.tolist() for reason, rows in found.reasons.items()} == {"no loss_trajectory": list(range(8))}


def test_sentences() -> None:
    with pytest.raises(RecipeError, match="variant must be reference or paper; got 'code'"):
        S2l(variant="code")
    with pytest.raises(RecipeError, match="clusters must be from 1 to 1000000; got 0"):
        S2l(clusters=0)
    with pytest.raises(RecipeError, match="'loss_trajectory' has one number a row"):
        chosen(3, paths=PATHS[:, 0])
