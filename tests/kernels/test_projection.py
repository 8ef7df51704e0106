"""The nearest point of a capped simplex: against bisection for tau, a brute-force grid, and points that are inside already."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from assay.kernels.projection import onto_capped_simplex


def bisected(point: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """The same by halving the interval in which tau lies."""
    low, high = (point - caps).min() - 1, point.max() + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(point - middle, 0, caps).sum() > 1 else (low, middle)
    return np.clip(point - low, 0, caps)


@pytest.mark.parametrize("seed", range(5))
def test_projection_is_what_bisection_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 9))
    points = np.concatenate([rng.dirichlet(np.full(width, 0.3), 50), rng.normal(0, 2, (50, width))])
    caps = rng.uniform(0.05, 1, width)
    caps *= max(1.0, 1.05 / caps.sum())
    found = onto_capped_simplex(points, caps)
    expected = np.stack([bisected(point, np.minimum(caps, 1)) for point in points])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_no_point_of_a_grid_is_nearer() -> None:
    rng, caps = np.random.default_rng(1), np.array([0.5, 0.3, 0.6])
    grid = np.array([[a, b, 100 - a - b] for a, b in product(range(51), range(31)) if 0 <= 100 - a - b <= 60]) / 100
    for point in rng.normal(0.3, 0.5, (20, 3)):
        nearest = onto_capped_simplex(point[None], caps)[0]
        assert ((grid - point) ** 2).sum(axis=1).min() >= ((nearest - point) ** 2).sum() - 1e-12
        assert abs(nearest.sum() - 1) < 1e-12 and (nearest <= caps).all() and (nearest >= 0).all()


def test_a_point_inside_stays_to_the_last_bit() -> None:
    inside = np.random.default_rng(2).dirichlet(np.ones(7), 1000)
    assert np.array_equal(onto_capped_simplex(inside, np.full(7, np.inf)), inside)


def test_caps_that_sum_to_one_leave_no_choice() -> None:
    caps = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(onto_capped_simplex(np.array([[1.0, 0, 0], [5, -3, 2]]), caps), [caps, caps])


def test_a_domain_without_data_gets_nothing() -> None:
    found = onto_capped_simplex(np.array([[0.8, 0.2, 0.0]]), np.array([0.0, 1.0, 0.7]))
    np.testing.assert_allclose(found, [[0.0, 0.6, 0.4]])
