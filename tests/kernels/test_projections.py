"""Projections as the matrices that they are, and Adam's direction as it is written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from assay.kernels import gradients as kernel

KINDS: dict[str, Callable] = {"dense": kernel.dense, "sparse": kernel.sparse, "hadamard": kernel.hadamard}
RNG = np.random.default_rng(11)


def matrix(kind: str, size: int, width: int, key: int = 1) -> np.ndarray:
    """What the kind does to each unit vector, side by side: (width, size)."""
    return np.stack([KINDS[kind](row, width, key) for row in np.eye(size, dtype=np.float32)], axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "width"), [(1, 1), (5, 2), (40, 16), (100, 32), (300, 128), (30, 256)])
def test_a_projection_is_one_matrix(kind: str, size: int, width: int) -> None:
    found = matrix(kind, size, width)
    values = RNG.normal(size=size).astype(np.float32)
    np.testing.assert_allclose(KINDS[kind](values, width, 1), found @ values, rtol=1e-4, atol=1e-4)
    if width > 2:
        assert not np.allclose(found, matrix(kind, size, width, key=2))


@pytest.mark.parametrize("width", [3, 64, 100])
def test_dense_is_random_signs(width: int) -> None:
    found = matrix("dense", 200, width)
    np.testing.assert_allclose(np.abs(found), 1 / np.sqrt(width), rtol=1e-6)
    assert abs((found > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(found.size)


@pytest.mark.parametrize("width", [3, 64, 100])
def test_sparse_is_one_sign_a_column_evenly_spread(width: int) -> None:
    found = matrix("sparse", 2000, width)
    assert (np.abs(found).sum(axis=0) == 1).all() and ((found != 0).sum(axis=0) == 1).all()
    expected = 2000 / width
    assert np.abs((found != 0).sum(axis=1) - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("width", [1, 2, 8, 16, 32, 64, 256])
def test_hadamard_turns_every_block_and_mixes_all_of_it(width: int) -> None:
    size = 2 * width + width // 2
    found = matrix("hadamard", size, width)
    np.testing.assert_allclose(np.abs(found), 1 / np.sqrt(width), rtol=1e-5)
    for start in range(0, size, width):
        block = found[:, start : start + width]
        np.testing.assert_allclose(block.T @ block, np.eye(block.shape[1]), atol=1e-5)
    if width >= 16:
        assert not np.allclose(found[:, :width], found[:, width : 2 * width]), "each block has its own signs"


@pytest.mark.parametrize("kind", KINDS)
def test_inner_products_are_kept_on_average_and_nearly(kind: str) -> None:
    """Over 400 keys: the mean is the inner product, the deviation no more than twice |x| |y| / sqrt(width); of full vectors, and of
    such that have few numbers beside zeros, in several blocks."""
    width, size = 32, 200
    full = RNG.normal(size=(2, size)).astype(np.float32)
    few = np.zeros((2, size), np.float32)
    few[:, [3, 40, 90, 170]] = RNG.normal(size=(2, 4)) + 1
    for x, y in (full, few):
        products = np.array([KINDS[kind](x, width, key) @ KINDS[kind](y, width, key) for key in range(400)])
        scale = np.linalg.norm(x) * np.linalg.norm(y) / np.sqrt(width)
        assert abs(products.mean() - x @ y) < 4 * products.std() / np.sqrt(400) + 1e-4
        assert products.std() < 2 * scale


def test_what_stands_a_width_apart_is_told_apart() -> None:
    """Weights at the same place of different blocks: were the blocks turned alike, their gradients would look the same."""
    for place in range(20):
        one, other = np.zeros((2, 512), np.float32)
        one[place], other[256 + place] = 1, 1
        assert abs(kernel.hadamard(one, 256, 4) @ kernel.hadamard(other, 256, 4)) < 5 / np.sqrt(256)


@pytest.mark.parametrize("step", [None, 7])
def test_adams_direction_as_it_is_written(step: int | None) -> None:
    gradient, first = RNG.normal(size=(2, 500)).astype(np.float32)
    second = RNG.gamma(1.0, size=500).astype(np.float32)
    second[:9], first[:9], gradient[:3] = 0, 0, 0  # what never had a gradient: 0 / sqrt(eps)
    expected = 0.9 * first + 0.1 * gradient.astype(np.float64)
    spread = 0.999 * second + 0.001 * gradient.astype(np.float64) ** 2
    if step is not None:
        expected, spread = expected / (1 - 0.9**8), spread / (1 - 0.999**8)
    found = gradient.copy()
    kernel.adam(found, first, second, (0.9, 0.999), 1e-8, step, found)
    np.testing.assert_allclose(found, expected / np.sqrt(spread + 1e-8), rtol=1e-4, atol=1e-7)
    assert (found[:3] == 0).all()


def test_no_denominator_is_below_the_root_of_epsilon() -> None:
    """A gradient of 1e-9 where no moment is: 1e-10 / 1e-4; with epsilon beside the root it would be near 3."""
    found, zeros = np.full(1, 1e-9, np.float32), np.zeros(1, np.float32)
    kernel.adam(found, zeros, zeros, (0.9, 0.999), 1e-8, None, found)
    assert found[0] == pytest.approx(1e-6, rel=1e-3)
