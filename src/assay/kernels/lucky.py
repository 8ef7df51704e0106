"""Which rows draw a small number: `draws.uniform` below a ceiling, in one pass that keeps nothing of the others.

>>> names = np.array([3, 4, 5], np.uint64)
>>> places, lucks = lucky(7, names, np.array([10, 10, 99]), np.array([1.0, 0.0]), np.array([50]))
>>> places.tolist(), bool(lucks[0] == uniform(7, names)[0])
([0, 1], True)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, UInt64
from numba import njit

from assay.kernels.draws import uniform, word_of

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
__all__ = ["below", "by_class", "lucky", "uniform"]


def lucky(
    key: int,
    names: UInt64[np.ndarray, "n"],
    sizes: Int64[np.ndarray, "n"],
    ceilings: Float64[np.ndarray, "g"],
    edges: Int64[np.ndarray, "j"],
) -> tuple[Int64[np.ndarray, "k"], Float64[np.ndarray, "k"]]:
    """Positions of the rows whose number in draw `key` is at most the ceiling of their class, and these numbers.

    Class c holds the sizes above `edges[c - 1]` up to `edges[c]`; without edges there is one class.
    """
    places, lucks = np.empty(len(names), np.int64), np.empty(len(names))
    found = below(np.uint64(word_of(key)), names, sizes, ceilings, edges, places, lucks)
    return places[:found].copy(), lucks[:found].copy()


@njit(cache=True, nogil=True)
def below(
    word: np.uint64,
    names: UInt64[np.ndarray, "n"],
    sizes: Int64[np.ndarray, "n"],
    ceilings: Float64[np.ndarray, "g"],
    edges: Int64[np.ndarray, "j"],
    places: Int64[np.ndarray, "n"],
    lucks: Float64[np.ndarray, "n"],
) -> int:
    """Fill `places` and `lucks`, and return how many there are."""
    found = 0
    for row in range(len(names)):
        mixed = names[row] + word + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        mixed = mixed ^ (mixed >> np.uint64(31))
        luck = (np.float64(mixed >> np.uint64(12)) + 0.5) * 2.0**-52
        if luck <= ceilings[_class_of(sizes[row], edges)]:
            places[found], lucks[found] = row, luck
            found += 1
    return found


@njit(cache=True, nogil=True)
def by_class(sizes: Int64[np.ndarray, "n"], edges: Int64[np.ndarray, "j"], held: Float64[np.ndarray, "g"]) -> None:
    """Add the bytes of all rows to their classes in `held`."""
    for row in range(len(sizes)):
        held[_class_of(sizes[row], edges)] += sizes[row]


@njit(cache=True, nogil=True)
def _class_of(size: int, edges: Int64[np.ndarray, "j"]) -> int:
    low, high = 0, len(edges)
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < size:
            low = middle + 1
        else:
            high = middle
    return low
