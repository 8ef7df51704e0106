"""K-means against Lloyd's rounds in plain NumPy, neighbours against all pairs, and both whatever the number of threads."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from assay.errors import InputError, MissingExtra
from assay.models import clusters
from assay.models.clusters import Cells, Vectors


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def heaps(n: int, d: int = 8, count: int = 5, seed: int = 0) -> np.ndarray:
    """Vectors around a few far centres, of lengths that say nothing."""
    centres = 3 * rng(seed).normal(size=(count, d))
    return (centres[rng(seed).integers(0, count, n)] + 0.3 * rng(seed + 1).normal(size=(n, d))) * rng(seed).uniform(
        0.5, 2, (n, 1)
    )


def lloyd(x: np.ndarray, centres: np.ndarray, rounds: int, spherical: bool) -> tuple[np.ndarray, np.ndarray]:
    """The definition, with all distances written out; no centre loses its rows here."""
    for _ in range(rounds):
        near = ((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack([x[near == cell].mean(axis=0) for cell in range(len(centres))])
        if spherical:
            centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return centres, ((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("spherical", [True, False])
def test_rounds_are_lloyds(spherical: bool) -> None:
    x = heaps(200)
    start = np.sort(rng(3).choice(200, 6, replace=False))
    wanted, near = lloyd(unit(x), unit(x)[start], 7, spherical)
    assert len(np.unique(near)) == 6
    found = Cells.fit(Vectors(x, np.arange(200), "cosine"), 6, 7, spherical, rng(3))
    np.testing.assert_allclose(found.centres, wanted, atol=1e-5)
    cells, similarity = found.nearest(Vectors(x, np.arange(200), "cosine"))
    assert cells.tolist() == near.tolist()
    np.testing.assert_allclose(similarity, (unit(x) * unit(wanted)[near]).sum(axis=1), atol=1e-6)


def test_vectors_that_are_no_directions_are_clustered_by_distance() -> None:
    x = heaps(150, seed=4)
    start = np.sort(rng(1).choice(150, 4, replace=False))
    wanted, near = lloyd(x, x[start], 5, spherical=False)
    found = Cells.fit(Vectors(x, np.arange(150), "euclidean"), 4, 5, False, rng(1))
    np.testing.assert_allclose(found.centres, wanted, rtol=1e-4, atol=1e-4)
    assert found.nearest(Vectors(x, np.arange(150), "euclidean"))[0].tolist() == near.tolist()


def test_a_centre_without_rows_moves_to_the_row_that_is_farthest() -> None:
    # Nine copies and one other row: of two centres on copies one has no rows, until it takes the other row.
    x = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    seed = next(seed for seed in range(50) if 9 not in rng(seed).choice(10, 2, replace=False))
    found = Cells.fit(Vectors(x, np.arange(10), "cosine"), 2, 5, True, rng(seed))
    cells, similarity = found.nearest(Vectors(x, np.arange(10), "cosine"))
    assert len(set(cells[:9].tolist())) == 1 and cells[9] != cells[0]
    np.testing.assert_allclose(similarity, 1, atol=1e-6)


@pytest.mark.parametrize("how", ["cosine", "correlation", "euclidean"])
def test_neighbours_are_those_of_all_pairs(how: str) -> None:
    x = heaps(120, seed=2)
    near, found = clusters.neighbours(Vectors(x, np.arange(120), how), 7)
    y = x - x.mean(axis=1, keepdims=True) if how == "correlation" else x
    pairs = ((x[:, None] - x) ** 2).sum(axis=2) if how == "euclidean" else -unit(y) @ unit(y).T
    wanted = np.argsort(pairs, axis=1, kind="stable")[:, :7]
    assert [set(row) for row in near.tolist()] == [set(row) for row in wanted.tolist()]
    expected = np.take_along_axis(pairs, near.astype(int), 1) * (1 if how == "euclidean" else -1)
    # A distance is |x|² + |y|² - 2 <x, y> in float32: what is lost is a few parts in 2^23 of those, however near the two are.
    lost = 4 * 2.0**-23 * ((x**2).sum(axis=1).max() if how == "euclidean" else 2.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=lost)


def test_a_row_is_its_own_neighbour_though_copies_crowd_it_out() -> None:
    near, found = clusters.neighbours(Vectors(np.ones((9, 3)), np.arange(9), "cosine"), 2)
    assert all(row in near[row] for row in range(9))
    np.testing.assert_allclose(found, 1, atol=1e-6)


def test_neighbours_of_many_rows_are_looked_for_in_the_nearest_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "EXACT", 100)
    monkeypatch.setattr(clusters, "_ROWS_OF_A_CELL", 20)
    monkeypatch.setattr(clusters, "_PROBES", 6)
    x = heaps(600, count=30, seed=5)
    near, found = clusters.neighbours(Vectors(x, np.arange(600), "cosine"), 5)
    wanted = np.argsort(-unit(x) @ unit(x).T, axis=1, kind="stable")[:, :5]
    right = [len(set(row) & set(best)) / 5 for row, best in zip(near.tolist(), wanted.tolist(), strict=True)]
    assert np.mean(right) > 0.9 and near.min() >= 0
    np.testing.assert_allclose(found, np.take_along_axis(unit(x) @ unit(x).T, near.astype(int), 1), atol=1e-5)
    assert (np.diff(found, axis=1) <= 1e-6).all() and all(row in near[row] for row in range(600))


def test_neither_threads_nor_the_order_of_work_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "BLOCK", 64)
    x = heaps(500, seed=6).astype(np.float16)
    answers = []
    for threads in (1, 3):
        monkeypatch.setattr(clusters, "_threads", lambda threads=threads: threads)
        vectors = Vectors(x, np.arange(500), "cosine")
        found = Cells.fit(vectors, 9, 6, True, rng())
        answers.append([found.centres, *found.nearest(vectors), *clusters.neighbours(vectors, 4)])
    assert all(np.array_equal(one, two) for one, two in zip(*answers, strict=True))


def test_searches_multiply_matrices_and_leave_the_library_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    told, seen = clusters.faiss().cvar, []
    before, look = told.distance_compute_blas_threshold, clusters._among
    monkeypatch.setattr(clusters, "_among", lambda *a: seen.append(told.distance_compute_blas_threshold) or look(*a))
    clusters.neighbours(Vectors(heaps(120, seed=2), np.arange(120), "cosine"), 7)
    assert seen and set(seen) == {min(before, 800)}
    assert told.distance_compute_blas_threshold == before


def test_rows_without_a_vector_and_signals_that_hold_none() -> None:
    x = np.array([[1.0, 0.0], [np.nan, 0.0], [0.0, 0.0], [np.inf, 1.0], [0.0, -1.0]])
    assert clusters.present(x, "embed").tolist() == [True, False, False, False, True]
    with pytest.raises(InputError, match=r"length must hold a vector for each row.*\(3,\): name an embed step"):
        clusters.present(np.zeros(3), "length")


def test_the_extra_is_named_where_faiss_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"assay-data\[geometry\]"):
        Cells.fit(Vectors(heaps(10), np.arange(10), "cosine"), 2, 1, True, rng())
