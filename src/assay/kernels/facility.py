"""What a row would add to a facility location, Σ_i max(0, s_ij - m_i), where m_i is how well row i is served already.

    dense     s is an array (n, n), row j the similarities of all rows to j
    sparse    of j only the rows are listed that count it among their neighbours: `rows`, `values` from starts[j] to starts[j + 1]

Sums are in 64 bits and in one order, that of the rows (dense: as many interleaved sums as a block has rows), whatever else is
asked for: so what a row adds never grows by a bit while m grows, which lazy greedy relies on.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from numba import njit

_TILE, _BLOCK = 64, 256


@njit(cache=True, nogil=True)
def dense_gains(
    similarity: Float32[np.ndarray, "n n"],
    served: Float32[np.ndarray, "n"],
    asked: Int64[np.ndarray, "k"],
    gains: Float64[np.ndarray, "k"],
) -> None:
    """Fill `gains` with what each row `asked` for would add."""
    sums = np.zeros(_BLOCK)  # one for each place in a block: processors add many at once, and the order is always the same
    for place in range(len(asked)):
        row, total = similarity[asked[place]], 0.0
        sums[:] = 0
        for first in range(0, len(served), _BLOCK):
            here, there = row[first : first + _BLOCK], served[first : first + _BLOCK]
            for at in range(len(there)):
                sums[at] += np.float64(max(here[at] - there[at], np.float32(0)))
        for at in range(_BLOCK):
            total += sums[at]
        gains[place] = total


@njit(cache=True, nogil=True)
def sparse_gains(
    starts: Int64[np.ndarray, "n_plus_1"],
    rows: Int32[np.ndarray, "e"],
    values: Float32[np.ndarray, "e"],
    served: Float32[np.ndarray, "n"],
    asked: Int64[np.ndarray, "k"],
    gains: Float64[np.ndarray, "k"],
) -> None:
    """The same of lists."""
    for place in range(len(asked)):
        total = 0.0
        for at in range(starts[asked[place]], starts[asked[place] + 1]):
            total += max(values[at] - served[rows[at]], np.float32(0))
        gains[place] = total


@njit(cache=True, nogil=True)
def sparse_add(
    starts: Int64[np.ndarray, "n_plus_1"],
    rows: Int32[np.ndarray, "e"],
    values: Float32[np.ndarray, "e"],
    served: Float32[np.ndarray, "n"],
    row: int,
) -> None:
    """Let `row` serve those that it serves better, in place."""
    for at in range(starts[row], starts[row + 1]):
        served[rows[at]] = max(served[rows[at]], values[at])


@njit(cache=True, nogil=True)
def turned(
    near: Int32[np.ndarray, "n k"],
    values: Float32[np.ndarray, "n k"],
    starts: Int64[np.ndarray, "n_plus_1"],
    rows: Int32[np.ndarray, "e"],
    found: Float32[np.ndarray, "e"],
) -> None:
    """Lists by neighbour instead of by row, rows ascending; `starts` (zeros) and the lists are filled. -1 is no neighbour."""
    n, count = near.shape
    for row in range(n):
        for place in range(count):
            if near[row, place] >= 0:
                starts[near[row, place] + 1] += 1
    for row in range(n):
        starts[row + 1] += starts[row]
    ends = starts[:-1].copy()
    for row in range(n):
        for place in range(count):
            other = near[row, place]
            if other >= 0:
                rows[ends[other]], found[ends[other]] = row, values[row, place]
                ends[other] += 1


@njit(cache=True, nogil=True)
def mirrored(found: Float32[np.ndarray, "n n"]) -> None:
    """Give the upper triangle what stands in the lower one, in place, a tile at a time."""
    n = len(found)
    for top in range(0, n, _TILE):
        for left in range(0, top + 1, _TILE):
            for row in range(top, min(top + _TILE, n)):
                for column in range(left, min(left + _TILE, row)):
                    found[column, row] = found[row, column]


def reference(similarity: Float32[np.ndarray, "n n"], chosen: Int64[np.ndarray, "k"]) -> float:
    """The value of a set, Σ_i max over chosen j of s_ij: what gains must add up to."""
    return float(np.maximum(similarity[chosen], 0).max(axis=0).sum(dtype=np.float64)) if len(chosen) else 0.0
