"""Components of candidates, while their texts are compared: which rows take part, and how they come together.

`roots (n,)` point at the first row of a group found so far, `candidates (n,)` at the first row of a component.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt64

_COMPONENT = 40  # bits of a label that name the component; what is above them says whether it is large
_ALL = 256  # texts of a component that are all compared: 32,640 pairs, about as many microseconds
_SHARE = 4096  # texts that are compared because they share a band
_SPREAD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # odd, without structure (Steele et al., 2014)


def labels_of(roots: Int[np.ndarray, "n"], candidates: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """A label for every row that stands for a distinct text among others of its component; -1 for other rows."""
    rows = np.flatnonzero(_members(candidates) & (roots == np.arange(len(roots), dtype=roots.dtype)))
    counts = np.bincount(candidates[rows], minlength=len(roots)).astype(candidates.dtype)
    rows = rows[counts[candidates[rows]] > 1]
    labels = np.full(len(roots), -1)
    labels[rows] = candidates[rows]
    rows = rows[counts[candidates[rows]] > _ALL]
    parts = np.ceil(np.log2(np.maximum(counts[candidates[rows]] / _SHARE, 1))).astype(np.int64)
    labels[rows] |= (parts + 1) << _COMPONENT
    return labels


def split(labels: Int64[np.ndarray, "b"]) -> tuple[Int64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """The component of each label, and the logarithm of the parts that the bands of a large one are cut into (small: -1).

    >>> [part.tolist() for part in split(np.array([5, 5 | 1 << 40, 5 | 3 << 40]))]
    [[5, 5, 5], [-1, 0, 2]]
    """
    return labels % (1 << _COMPONENT), (labels >> _COMPONENT) - 1


def smallest(roots: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """The root of each row of a group of several; -1 for the others."""
    return np.where(_members(roots), roots, roots.dtype.type(-1))


def mixed(values: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Spread 64-bit numbers over all 64-bit numbers, one to one."""
    for shift, odd in zip((30, 27, 31), _SPREAD, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(odd)
    return values ^ (values >> np.uint64(32))


def _members(roots: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Whether each row is in a group of several."""
    member = roots != np.arange(len(roots), dtype=roots.dtype)
    member[roots[member]] = True
    return member
