"""Order inside runs: where neighbours share a key, sort them by a second value and then by their place.

    runs      stretches of equal numbers in an array that is sorted by them
    order     positions, run by run; inside each run it comes out ascending by (value, position)

A sort by one number alone runs in vector code but leaves equal keys as they fall; what is left to do is small then, run by
run. Runs of up to a few positions are sorted by insertion (Knuth, The Art of Computer Programming 3, 5.2.1), longer ones by
merging. `reference` is the twin by one sort over everything.

>>> settled(np.array([7, 7, 9], np.uint64), np.array([5, 3, 8], np.uint64)).tolist()
[1, 0, 2]
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt64
from numba import njit, types

_FEW = 24  # positions that insertion sorts faster than merging does
_VALUES = types.Array(types.uint64, 1, "C", readonly=True)


@njit(nogil=True)
def _settle_many(run: Int64[np.ndarray, "r"], values: UInt64[np.ndarray, "r"]) -> None:
    """The same for one long run; looks first, because most come in order."""
    for k in range(1, len(run)):
        if run[k] < run[k - 1]:
            run.sort()
            break
    for k in range(1, len(run)):
        if values[run[k]] < values[run[k - 1]]:
            run[:] = run[np.argsort(values[run], kind="mergesort")]
            break


@njit(types.void(types.int64[::1], _VALUES, _VALUES), cache=True, nogil=True)
def settle(order: Int64[np.ndarray, "r"], keys: UInt64[np.ndarray, "r"], values: UInt64[np.ndarray, "r"]) -> None:
    """Sort `order`, in place, inside the runs of `keys`; key k belongs to `order[k]`, value v to position v."""
    start = 0
    while start < len(keys):
        stop = start + 1
        while stop < len(keys) and keys[stop] == keys[start]:
            stop += 1
        if stop - start > _FEW:
            _settle_many(order[start:stop], values)
        else:
            for k in range(start + 1, stop):
                position, value, at = order[k], values[order[k]], k
                while at > start and (
                    values[order[at - 1]] > value or (values[order[at - 1]] == value and order[at - 1] > position)
                ):
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = position
        start = stop


def settled(keys: UInt64[np.ndarray, "r"], values: UInt64[np.ndarray, "r"]) -> Int64[np.ndarray, "r"]:
    """The order by (key, value, place) of what is sorted by key already."""
    order = np.arange(len(keys))
    settle(order, np.ascontiguousarray(keys), np.ascontiguousarray(values))
    return order


def reference(keys: UInt64[np.ndarray, "r"], values: UInt64[np.ndarray, "r"]) -> Int64[np.ndarray, "r"]:
    """The same by one sort over everything."""
    return np.lexsort((np.arange(len(keys)), values, keys))
