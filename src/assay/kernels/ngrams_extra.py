"""Hashed n-grams of text, each counted once in a document: how many documents hold it, or the weights of those held.

    z_j(x)   = 1 where some n-gram of document x falls into bucket j, else 0      (tokens and buckets as in `ngrams`)
    count    c_j += Σ_x z_j(x)
    score    s(x) = Σ_j w_j z_j(x),   l(x) = Σ_j z_j(x)

Words come in bursts: a document that says a word once will likely say it again, so the second time tells little. What
has been seen in a document is remembered by a stamp for every bucket, so that nothing is cleared between documents.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt16, UInt32
from numba import njit, types

from assay.kernels.ngrams import (
    _CHUNK,
    _DATA,
    _OFFSETS,
    _U,
    _WEIGHTS,
    _0,
    _end_chunk,
    _next_grams,
    _next_tokens,
    _scratch,
    list_ngrams,
)

_MOST = 65535  # documents of which two bytes can tell how many hold a bucket

# What the kernels below hand to one another (numba reads no annotations).
_Picks, _Stamps = UInt32[np.ndarray, "k"], UInt8[np.ndarray, "d"]


@njit(nogil=True)
def _next_stamp(stamps: _Stamps, stamp: int) -> int:
    """The stamp of the next document: 1..255, and a clean table when they are used up.

    One byte a bucket keeps the table small enough to stay in the second-level cache.
    """
    if stamp == 255:
        stamps[:] = 0
        return 1
    return stamp + 1


@njit(nogil=True)
def _count_new(
    picks: _Picks, whole: int, count: int, counts: UInt16[np.ndarray, "d"], stamps: _Stamps, stamp: int
) -> int:
    """Add the buckets that this document has not shown before; no branch, because it would be mispredicted."""
    fresh_ones = 0
    for token in range(whole, count):
        pick = picks[token]
        fresh = np.uint16(stamps[pick] != stamp)
        stamps[pick] = stamp
        counts[pick] += fresh
        fresh_ones += np.int64(fresh)
    return fresh_ones


@njit(nogil=True)
def _sum_new(
    picks: _Picks, whole: int, count: int, weights: Float32[np.ndarray, "d"], stamps: _Stamps, stamp: int
) -> tuple[float, int]:
    """The summed weights of buckets that this document has not shown before, and their number."""
    fresh_ones, total = 0, 0.0
    for token in range(whole, count):
        pick = picks[token]
        fresh = np.int64(stamps[pick] != stamp)
        stamps[pick] = stamp
        total += np.float64(weights[pick]) * fresh
        fresh_ones += fresh
    return total, fresh_ones


@njit(nogil=True)
def _list_new(picks: _Picks, whole: int, count: int, found: _Picks, at: int, stamps: _Stamps, stamp: int) -> int:
    """Append the buckets that this document has not shown before."""
    for token in range(whole, count):
        pick = picks[token]
        if stamps[pick] != stamp:
            stamps[pick] = stamp
            found[at] = pick
            at += 1
    return at


@njit(types.int64[::1](_DATA, _OFFSETS, types.int64, types.int64[::1]), cache=True, nogil=True)
def count_presence(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], n: int, counts: Int64[np.ndarray, "d"]
) -> Int64[np.ndarray, "b"]:
    """Add one to `counts (d,) int64` for every bucket that a document's n-grams of orders 1..n reach, in place.

    `data (m,) uint8` and `offsets (b + 1,) int64` are a block of UTF-8 texts. Returns the number of distinct buckets of
    each document `(b,) int64`.
    """
    folded, hashes, grams, picks, lasts, carry = _scratch(n)
    # Two bytes a bucket: with the stamps they stay in a second-level cache of a megabyte, where four did not.
    totals, recent = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(counts), np.uint16)
    stamps, stamp = np.zeros(len(counts), np.uint8), 0
    for row in range(len(totals)):
        if row % _MOST == _MOST - 1:
            counts += recent
            recent[:] = 0
        carry[:] = 0
        seen, end, stamp = _0, offsets[row + 1], _next_stamp(stamps, stamp)
        for first in range(offsets[row], end, _CHUNK):
            count = _next_tokens(data, first, min(first + _CHUNK, end), folded, hashes, carry)
            count = _end_chunk(end - first, folded, hashes, count, carry)
            for order in range(1, n + 1):
                _next_grams(order, count, hashes, grams, lasts, picks, _U(len(counts)))
                whole = min(count, _U(order - 1) - min(seen, _U(order - 1)))
                totals[row] += _count_new(picks, whole, count, recent, stamps, stamp)
            seen += count
    counts += recent
    return totals


@njit(
    types.Tuple((types.float64[::1], types.int64[::1]))(_DATA, _OFFSETS, types.int64, _WEIGHTS), cache=True, nogil=True
)
def score_presence(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], n: int, weights: Float32[np.ndarray, "d"]
) -> tuple[Float64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Sum `weights (d,) float32` over the distinct buckets of every document.

    Returns the sums `(b,) float64` and the number of distinct buckets `(b,) int64` of each document.
    """
    folded, hashes, grams, picks, lasts, carry = _scratch(n)
    totals, sums = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, np.float64)
    stamps, stamp = np.zeros(len(weights), np.uint8), 0
    for row in range(len(totals)):
        carry[:] = 0
        seen, end, stamp = _0, offsets[row + 1], _next_stamp(stamps, stamp)
        for first in range(offsets[row], end, _CHUNK):
            count = _next_tokens(data, first, min(first + _CHUNK, end), folded, hashes, carry)
            count = _end_chunk(end - first, folded, hashes, count, carry)
            for order in range(1, n + 1):
                _next_grams(order, count, hashes, grams, lasts, picks, _U(len(weights)))
                whole = min(count, _U(order - 1) - min(seen, _U(order - 1)))
                total, fresh_ones = _sum_new(picks, whole, count, weights, stamps, stamp)
                sums[row] += total
                totals[row] += fresh_ones
            seen += count
    return sums, totals


@njit(
    types.Tuple((types.uint32[::1], types.int64[::1]))(_DATA, _OFFSETS, types.int64, types.int64),
    cache=True,
    nogil=True,
)
def list_presence(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], n: int, buckets: int
) -> tuple[UInt32[np.ndarray, "r"], Int64[np.ndarray, "b_plus_1"]]:
    """The distinct buckets of every document, one document after another `(r,) uint32`, and their ends `(b + 1,)`."""
    folded, hashes, grams, picks, lasts, carry = _scratch(n)
    found, ends = np.empty(n * len(data), np.uint32), np.zeros(len(offsets), np.int64)
    stamps, stamp = np.zeros(buckets, np.uint8), 0
    for row in range(len(offsets) - 1):
        carry[:] = 0
        seen, end, stamp, at = _0, offsets[row + 1], _next_stamp(stamps, stamp), ends[row]
        for first in range(offsets[row], end, _CHUNK):
            count = _next_tokens(data, first, min(first + _CHUNK, end), folded, hashes, carry)
            count = _end_chunk(end - first, folded, hashes, count, carry)
            for order in range(1, n + 1):
                _next_grams(order, count, hashes, grams, lasts, picks, _U(buckets))
                whole = min(count, _U(order - 1) - min(seen, _U(order - 1)))
                at = _list_new(picks, whole, count, found, at, stamps, stamp)
            seen += count
        ends[row + 1] = at
    return found[: ends[-1]].copy(), ends


def distinct_buckets(text: bytes, n: int, buckets: int) -> set[int]:
    """What the kernels see of one text, in plain Python.

    >>> len(distinct_buckets(b"to be or not to be", n=1, buckets=1000))
    4
    """
    return {bucket for bucket, _, _ in list_ngrams(text, n, buckets)}
