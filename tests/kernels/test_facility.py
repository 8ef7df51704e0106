"""What a row would add, against the value of the set with it and without it; lists against all pairs."""

from __future__ import annotations

import numpy as np

from assay.kernels import facility


def pairs(n: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).uniform(size=(n, n)).astype(np.float32)
    return np.maximum(found, found.T) * (found > 0.3) * (found.T > 0.3)


def test_gains_are_differences_of_values() -> None:
    similarity, chosen = pairs(41), np.array([3, 17, 5])
    served = similarity[chosen].max(axis=0)
    gains = np.empty(41)
    facility.dense_gains(similarity, served, np.arange(41), gains)
    before = facility.reference(similarity, chosen)
    wanted = [facility.reference(similarity, np.append(chosen, row)) - before for row in range(41)]
    np.testing.assert_allclose(gains, wanted, atol=1e-5)
    assert (gains[chosen] == 0).all() and facility.reference(similarity, chosen[:0]) == 0


def test_lists_give_what_all_pairs_give() -> None:
    similarity = pairs(37, seed=1)
    near = np.argsort(-similarity, axis=1, kind="stable").astype(np.int32)
    values = np.take_along_axis(similarity, near, 1)
    near[values == 0] = -1  # no neighbour: nothing is listed
    listed = int((near >= 0).sum())
    starts, rows, found = np.zeros(38, np.int64), np.empty(listed, np.int32), np.empty(listed, np.float32)
    facility.turned(near, values, starts, rows, found)
    assert starts[-1] == listed
    for row in range(37):
        inside = rows[starts[row] : starts[row + 1]]
        assert inside.tolist() == np.flatnonzero(similarity[row]).tolist()
        assert found[starts[row] : starts[row + 1]].tolist() == similarity[row][inside].tolist()
    served, gains, dense = np.zeros(37, np.float32), np.empty(37), np.empty(37)
    for row in (4, 30, 12):
        facility.sparse_add(starts, rows, found, served, row)
    assert served.tolist() == similarity[[4, 30, 12]].max(axis=0).tolist()
    facility.sparse_gains(starts, rows, found, served, np.arange(37), gains)
    facility.dense_gains(similarity, served, np.arange(37), dense)
    np.testing.assert_allclose(gains, dense, atol=1e-6)


def test_gains_never_grow_by_a_bit() -> None:
    similarity = pairs(50, seed=2)
    served, before, after = np.zeros(50, np.float32), np.full(50, np.inf), np.empty(50)
    for row in np.random.default_rng(0).permutation(50):
        facility.dense_gains(similarity, served, np.arange(50), after)
        assert (after <= before).all()
        before[:] = after
        np.maximum(served, similarity[row], out=served)


def test_what_stands_below_the_diagonal_stands_above_it() -> None:
    for n in (0, 1, 63, 64, 65, 200):
        wanted = pairs(n, seed=n)
        found = np.tril(wanted) + np.triu(np.full((n, n), 9, np.float32), 1)
        facility.mirrored(found)
        assert np.array_equal(found, wanted)
