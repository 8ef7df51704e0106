"""Draws are uniform, Gumbel, and independent of one another across rows and keys."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.kernels.draws import gumbel, uniform, uniform_of

ROWS = np.arange(200_000, dtype=np.uint64)  # the hardest case for a mixer: hashes that only count up
WORD = 0xFFFFFFFFFFFFFFFF


def test_twin_and_range() -> None:
    hashes = np.array([0, 1, WORD, WORD - 1, 1 << 63, 0xDEADBEEF], np.uint64)
    for key in (0, 1, -1, 7, WORD, 1 << 80):
        drawn = uniform(key, hashes)
        assert drawn.tolist() == [uniform_of(key, int(row_hash)) for row_hash in hashes]
        assert (drawn > 0).all() and (drawn < 1).all()
    assert 0 < 0.5 * 2.0**-52 and (WORD >> 12) * 2.0**-52 + 0.5 * 2.0**-52 < 1  # the two ends of what can come out


def test_a_draw_belongs_to_the_row_and_not_to_its_place() -> None:
    shuffled = np.random.default_rng(0).permutation(ROWS)
    assert uniform(3, ROWS)[shuffled.astype(np.int64)].tolist() == uniform(3, shuffled).tolist()


@pytest.mark.parametrize("key", [0, 1, 2, 12345, 1 << 40])
def test_uniform_by_chi_square(key: int) -> None:
    for hashes in (ROWS, ROWS << np.uint64(44), np.random.default_rng(key).integers(0, 1 << 63, 200_000, np.uint64)):
        counts = np.bincount((uniform(key, hashes) * 1000).astype(int), minlength=1000)
        assert 1e-5 < stats.chisquare(counts).pvalue < 1 - 1e-5


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (5, 5 + (1 << 32)), (7, -7)])
def test_keys_and_neighbours_are_independent(one: int, other: int) -> None:
    a, b = uniform(one, ROWS), uniform(other, ROWS)
    for left, right in ((a, b), (a[1:], a[:-1]), (a[1:], b[:-1])):
        table = np.histogram2d(left, right, bins=20, range=[[0, 1], [0, 1]])[0]
        assert stats.chi2_contingency(table).pvalue > 1e-5
    assert not np.isin(a, b).any()


def test_gumbel_has_its_distribution() -> None:
    assert stats.kstest(gumbel(4, ROWS), "gumbel_r").pvalue > 1e-4


def test_gumbel_maximum_is_softmax() -> None:
    scores = np.log([0.5, 0.3, 0.15, 0.05])
    noise = gumbel(9, ROWS).reshape(-1, 4)
    counts = np.bincount(np.argmax(scores + noise, axis=1), minlength=4)
    assert stats.chisquare(counts, np.exp(scores) * len(noise)).pvalue > 1e-4
