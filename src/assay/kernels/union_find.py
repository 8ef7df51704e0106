"""Union-find: the connected components of rows, out of edges that come in any order and any number of portions.

    parents (n,)    int32 or int64, a forest: parents[i] <= i, and a root is its own parent
    link            joins the trees of both ends of every edge, the larger root below the smaller, halving paths
    flatten         makes every parent a root, which is then the smallest row of its component

The forest depends on the order of the edges, its components and their roots do not. Source: Tarjan and van Leeuwen,
Worst-case analysis of set union algorithms, 1984, https://doi.org/10.1145/62.2160 (path halving).

>>> parents = np.arange(6, dtype=np.int32)
>>> link(parents, np.array([4, 5]), np.array([2, 4]))
>>> flatten(parents)
>>> parents.tolist()
[0, 1, 2, 3, 2, 2]
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64
from numba import njit, types

_ROWS = types.Array(types.int64, 1, "C", readonly=True)


@njit(cache=True, nogil=True)
def find(parents: Int[np.ndarray, "n"], row: int) -> int:
    """The root of a row; halves the path to it."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@njit([types.void(types.int32[::1], _ROWS, _ROWS), types.void(types.int64[::1], _ROWS, _ROWS)], cache=True, nogil=True)
def link(parents: Int[np.ndarray, "n"], left: Int64[np.ndarray, "e"], right: Int64[np.ndarray, "e"]) -> None:
    """Join the components of `left[i]` and `right[i]` for every edge i."""
    for edge in range(len(left)):
        one, other = find(parents, left[edge]), find(parents, right[edge])
        if one < other:
            parents[other] = one
        else:
            parents[one] = other


@njit([types.void(types.int32[::1]), types.void(types.int64[::1])], cache=True, nogil=True)
def flatten(parents: Int[np.ndarray, "n"]) -> None:
    """Point every row at its root, the smallest row of its component."""
    for row in range(len(parents)):
        parents[row] = parents[parents[row]]


def singletons(n: int) -> Int[np.ndarray, "n"]:
    """n components of one row each, in the smallest type that holds row numbers."""
    return np.arange(n, dtype=np.int32 if n < 1 << 31 else np.int64)


def reference(n: int, edges: list[tuple[int, int]]) -> list[int]:
    """The smallest row of every row's component, in plain Python: what the kernels are tested against."""
    roots = list(range(n))
    for left, right in edges:
        low, high = sorted((roots[left], roots[right]))
        roots = [low if root == high else root for root in roots]
    return roots
