"""Cells: planted heaps are found, whatever the order of rows; rows without a vector have none; too small a pool is refused."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import RecipeError
from assay.group.kmeans import Kmeans
from assay.types import Signals


def group(
    method: Kmeans, vectors: np.ndarray, hashes: np.ndarray, living: np.ndarray | None = None, seed: int = 0
) -> tuple:
    living = np.ones(len(vectors), bool) if living is None else living
    signals = Signals({method.of: vectors, "row_hash": hashes, "living": living})
    groups, told = method.group(None, signals, None, np.random.default_rng(seed))  # type: ignore[arg-type]
    return groups.ids, told["kmeans_distance"]


def heaps(n: int, count: int, seed: int = 0, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around `count` directions, each of another length, and which direction each is of."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, count, n)
    return (np.eye(count)[of] + spread * rng.normal(size=(n, count))) * rng.uniform(0.1, 10, (n, 1)), of


def hashes(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, np.uint64)


def partition(ids: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(ids == one).tolist()) for one in np.unique(ids)}


def test_planted_heaps_are_the_cells_whatever_the_lengths() -> None:
    vectors, of = heaps(300, 3)
    found = [group(Kmeans(clusters=3), vectors, hashes(300), seed=seed)[0] for seed in range(12)]
    assert any(partition(ids) == partition(of) for ids in found)  # a local optimum: not from every start
    lengths = group(Kmeans(clusters=3), vectors * np.random.default_rng(1).uniform(1, 9, (300, 1)), hashes(300))[0]
    assert lengths.tolist() == found[0].tolist()


@pytest.mark.parametrize("variant", ["spherical", "euclidean"])
def test_the_distance_is_the_cosine_distance_to_the_mean_of_the_cell(variant: str) -> None:
    vectors, _ = heaps(200, 4, spread=0.2)
    ids, distance = group(Kmeans(clusters=5, iterations=100, variant=variant), vectors, hashes(200))
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for cell in range(5):
        centre = directions[ids == cell].mean(axis=0)
        wanted = 1 - directions[ids == cell] @ centre / np.linalg.norm(centre)
        np.testing.assert_allclose(distance[ids == cell], wanted, atol=1e-5)


def test_another_seed_gives_other_cells_and_the_same_seed_the_same() -> None:
    vectors, row_hash = np.random.default_rng(2).normal(size=(400, 5)), hashes(400)
    one, two, other = (group(Kmeans(clusters=20), vectors, row_hash, seed=seed)[0] for seed in (0, 0, 1))
    assert one.tolist() == two.tolist() and partition(one) != partition(other)


def test_the_order_of_the_pool_changes_nothing() -> None:
    vectors, row_hash = np.random.default_rng(3).normal(size=(400, 5)).astype(np.float16), hashes(400)
    ids, distance = group(Kmeans(clusters=12, points=10), vectors, row_hash)
    moved = np.random.default_rng(4).permutation(400)
    again, far = group(Kmeans(clusters=12, points=10), vectors[moved], row_hash[moved])
    assert again.tolist() == ids[moved].tolist() and far.tolist() == distance[moved].tolist()


def test_rows_that_are_dead_or_have_no_vector_have_no_cell_and_move_no_centre() -> None:
    vectors, _ = heaps(60, 3)
    living = np.ones(60, bool)
    lacking = vectors.copy()
    living[:5], lacking[5:10], lacking[10:15] = False, np.nan, 0.0
    ids, distance = group(Kmeans(clusters=3), lacking, hashes(60), living)
    assert (ids[:15] == -1).all() and np.isnan(distance[:15]).all()
    assert (ids[15:] >= 0).all() and not np.isnan(distance[15:]).any()
    alone, _ = group(Kmeans(clusters=3), vectors[15:], hashes(60)[15:])
    assert alone.tolist() == ids[15:].tolist()
    nothing, none = group(Kmeans(), np.full((3, 2), np.nan), hashes(3))
    assert nothing.tolist() == [-1, -1, -1] and np.isnan(none).all()


def test_cells_are_the_square_root_of_the_rows_unless_said_otherwise() -> None:
    vectors = np.random.default_rng(5).normal(size=(150, 6))
    assert len(np.unique(group(Kmeans(), vectors, hashes(150))[0])) == 12
    assert len(np.unique(group(Kmeans(), vectors[:1], hashes(1))[0])) == 1


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        RecipeError, match="clusters must be at most the rows that have an 'embed', 4; got 9: ask for fewer"
    ):
        group(Kmeans(clusters=9), np.random.default_rng(0).normal(size=(4, 3)), hashes(4))
    with pytest.raises(RecipeError, match="variant must be one of spherical, euclidean; got 'balanced'"):
        Kmeans(variant="balanced")
    with pytest.raises(RecipeError, match="iterations must be from 1"):
        Kmeans(iterations=0)
