"""RS2: what an epoch holds, counted; and its pitfalls. There is no released code: the paper's two variants, by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from domains import NONE, begun

from assay import catalog
from assay.errors import InputError, RecipeError
from assay.sample.rs2 import Rs2
from assay.types import Signals


def epochs(method: Rs2, n: int, count: int, size: int, seed: int = 0) -> list[list[int]]:
    """The rows of some epochs, a batch at a time; batches end with their epoch."""
    rng = np.random.default_rng(seed)
    state = method.init(n, Signals({}), rng)
    found, length = [], int(state["epoch"][0])
    for _ in range(count):
        rows: list[int] = []
        while len(rows) < length:
            batch = method.propose(state, size, NONE, rng)
            state = method.update(state, batch, {}, Signals({}))
            rows += batch.tolist()
        assert len(rows) == length, "a batch reached into the next epoch"
        found.append(rows)
    return found


@pytest.mark.parametrize("variant", ["without_replacement", "with_replacement"])
@pytest.mark.parametrize(("n", "share", "size"), [(100, 0.1, 3), (103, 0.1, 4), (50, 1.0, 7), (5, 0.1, 8)])
def test_an_epoch_is_a_share_of_the_rows_each_once(variant: str, n: int, share: float, size: int):
    for rows in epochs(Rs2(share, variant), n, 12, size):
        assert len(rows) == max(1, int(share * n + 1e-9)) == len(set(rows)) and 0 <= min(rows) <= max(rows) < n


def test_every_epoch_is_a_fresh_subset():
    for variant in ("without_replacement", "with_replacement"):
        subsets = [tuple(sorted(rows)) for rows in epochs(Rs2(0.1, variant), 200, 30, 8)]
        assert len(set(subsets)) == 30


def test_without_replacement_the_epochs_of_a_cycle_share_no_row():
    """Ten epochs of a tenth are all rows; the next ten are all rows again, cut otherwise."""
    found = epochs(Rs2(0.1), 200, 20, 8)
    for cycle in (found[:10], found[10:]):
        assert sorted(row for rows in cycle for row in rows) == list(range(200))
    assert {frozenset(rows) for rows in found[:10]} != {frozenset(rows) for rows in found[10:]}


def test_what_does_not_divide_rests_for_a_cycle_and_no_longer():
    found = epochs(Rs2(0.3), 100, 60, 10)  # three epochs of 30 in a cycle
    for start in range(0, 60, 3):
        assert len({row for rows in found[start : start + 3] for row in rows}) == 90
    assert len({row for rows in found for row in rows}) == 100


def test_with_replacement_epochs_are_drawn_from_all_rows():
    """Two subsets of a fifth share a fifth of a fifth: mean overlap 8 of 40 rows over 200 pairs, four standard errors."""
    found = [set(rows) for rows in epochs(Rs2(0.2, "with_replacement"), 200, 201, 40)]
    overlaps = [len(one & other) for one, other in itertools.pairwise(found)]
    assert abs(np.mean(overlaps) - 8) < 4 * np.std(overlaps) / len(overlaps) ** 0.5
    assert np.std(overlaps) > 1


def test_rows_are_alike_likely():
    """Counts of 40 rows over 3,000 epochs of 10 %: χ² below the 0.1 % point of 39 degrees of freedom, 73.4."""
    counts = np.bincount(
        [row for rows in epochs(Rs2(0.1, "with_replacement"), 40, 3000, 4) for row in rows], minlength=40
    )
    assert ((counts - 300) ** 2 / 300).sum() < 73.4


@pytest.mark.parametrize("variant", ["without_replacement", "with_replacement"])
def test_rows_in_flight_count_as_drawn(variant: str):
    """Drawn ahead, the same batches come as one after the other, over the end of epochs too."""
    method, rng = Rs2(0.3, variant), np.random.default_rng(0)
    state, pending = method.init(20, Signals({}), rng), NONE
    for batch in itertools.chain(*([rows[:4], rows[4:]] for rows in epochs(method, 20, 5, 4))):
        ahead = method.propose(state, 4, pending, rng)
        assert ahead.tolist() == batch
        pending = np.concatenate([pending, ahead])


def test_the_seed_is_the_order():
    assert epochs(Rs2(), 50, 3, 2, seed=1) == epochs(Rs2(), 50, 3, 2, seed=1) != epochs(Rs2(), 50, 3, 2, seed=2)


@pytest.mark.parametrize("parameters", [{"share": 0.0}, {"share": 1.5}, {"variant": "iid"}, {"fraction": 0.1}])
def test_wrong_parameters_are_refused_by_name(parameters: dict):
    with pytest.raises(RecipeError, match=next(iter(parameters))):
        catalog.build("sample", "rs2", parameters)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="rs2 needs rows"):
        begun(Rs2(), [0])
