"""Passages found in documents: seeds of a few equal words, then the best alignment of the passage to the place.

    seed        SEED words in a row that stand in a passage and in the document; a sieve of bits says no to most places
    diagonal    place in the document less place in the passage; seeds whose diagonals differ by at most the slack
                s(L) = max(4, ceil(L / 4)) belong to one candidate, which needs ceil(L / 24) seeds
    alignment   over the words of the passage and those of the window [first diagonal - s, last diagonal + L + s):
                V(i, j) = max(V(i-1, j), V(i, j-1), V(i-1, j-1) + w_i where the words are equal)
                the heaviest common subsequence; of equal ones that with more numbers, then the one that begins latest
    share       p = min(V / sum w, (2 + numbers in it) / (1 + numbers in the passage))
    overlap     1 - (1 - p) max(1, 20 / L)

The second term is why a problem with other numbers is another problem; of one number it may differ, of two one. The
factor asks more of few words, which chance brings together more easily.
A document is read in stretches of STRETCH words that overlap by REACH, more than any window, so memory is bounded and
nothing is missed. Source: Smith and Waterman 1981, https://doi.org/10.1016/0022-2836(81)90087-5 (alignment without its
penalties); Altschul et al. 1990, https://doi.org/10.1016/S0022-2836(05)80360-2 (seeds first). The twin in plain Python is
in tests/kernels/test_alignment.py.

>>> text = np.frombuffer(b"one two three four five", np.uint8)
>>> words = word_hashes(text, np.array([0, len(text)]))[0]
>>> index = (words, np.ones(5, np.uint16), np.array([0, 5]), *index_seeds(seeds_of(words), np.zeros(2, int), np.arange(2)))
>>> search(text, np.array([0, len(text)]), *fold_tables(), index, 0.5)[0].tolist()
[1.0]
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8, UInt16, UInt32, UInt64
from numba import njit, types

from assay.kernels.folding import cut_words, fast_table, fold_tables, word_hashes  # noqa: F401 The last two for the example.

SEED = 4
LONGEST = 64  # words of a passage
STRETCH = 16_384
REACH = 4 * LONGEST
SHORT = 20.0

_U = np.uint64
_ROLL, _MIX, _LOW = _U(0x9E3779B97F4A7C15), _U(0xD6E8FEB86659FD93), _U(0xFFFFFFFF)
_1, _6, _S32, _63, _64 = _U(1), _U(6), _U(32), _U(63), _U(64)
# What the kernels below hand to one another (numba reads no annotations).
_Words, _Weights, _Bounds = UInt32[np.ndarray, "w"], UInt16[np.ndarray, "w"], Int64[np.ndarray, "p_plus_1"]
_Longs, _Hits = UInt64[np.ndarray, "s"], Int64[np.ndarray, "h"]
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_INTS = types.Array(types.int32, 1, "C", readonly=True)
_WORDS = types.Array(types.uint32, 1, "C", readonly=True)
_HALVES = types.Array(types.uint16, 1, "C", readonly=True)
_BITS = types.Array(types.uint64, 1, "C", readonly=True)


@njit(nogil=True, inline="always")
def _mixed(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S32)


@njit(nogil=True, inline="always")
def _seed(words: _Words, at: int) -> int:
    """The hash of the SEED words from `at` on."""
    h = np.uint64(words[at])
    for k in range(1, SEED):
        h = h * _ROLL + np.uint64(words[at + k])
    return _mixed(h)


@njit([types.void(_WORDS, types.uint64[::1])], cache=True, nogil=True)
def _all_seeds(words: _Words, out: _Longs) -> None:
    for at in range(len(out)):
        out[at] = _seed(words, at)


def seeds_of(words: UInt32[np.ndarray, "w"]) -> UInt64[np.ndarray, "s"]:
    """The hash of every run of SEED words, across the ends of passages too: drop those of the last SEED - 1 of each."""
    out = np.empty(max(0, len(words) - SEED + 1), np.uint64)
    _all_seeds(words, out)
    return out


@njit(nogil=True)
def _shift(slots: int) -> int:
    """How far to shift a hash so that its leading bits number `slots`, a power of two."""
    shift = _64
    while slots > 1:
        shift, slots = shift - _1, slots >> 1
    return shift


@njit(nogil=True)
def _wider(hits: _Hits) -> _Hits:
    wider = np.empty(2 * len(hits), np.int64)
    wider[: len(hits)] = hits
    return wider


@njit(nogil=True)
def _find_seeds(
    hashes: _Words,
    count: int,
    entries: _Longs,
    first: UInt32[np.ndarray, "q"],
    sieve: UInt64[np.ndarray, "z"],
    likely: Int32[np.ndarray, "w"],
    hits: _Hits,
) -> tuple[_Hits, int]:
    """Write passage << 32 | diagonal + LONGEST of every seed to `hits`; return them and their number.

    The sieve is asked about all places before any is looked up, and without a branch: its cache misses overlap.
    """
    shift, fine, found, asked = _shift(len(first) - 1), _shift(64 * len(sieve)), 0, _U(0)
    for at in range(max(0, count - SEED + 1)):
        bit = _seed(hashes, at) >> fine
        likely[asked] = at
        asked += (sieve[bit >> _6] >> (bit & _63)) & _1
    for k in range(asked):
        at = np.int64(likely[k])
        h = _seed(hashes, at)
        bucket = h >> shift
        for place in range(first[bucket], first[bucket + _1]):
            entry = entries[place]
            if entry >> _S32 == h & _LOW:
                if found == len(hits):
                    hits = _wider(hits)
                diagonal = at - np.int64(entry & _63) + LONGEST
                hits[found] = np.int64((entry & _LOW) >> _6) << 32 | diagonal
                found += 1
    return hits, found


@njit(nogil=True)
def _most_possible(
    words: _Words, weights: _Weights, hashes: _Words, start: int, stop: int, marks: Int64[np.ndarray, "256"], mark: int
) -> int:
    """An upper bound of V: the weight of the passage's words of which eight bits of the hash stand in the window."""
    for j in range(start, stop):
        marks[(hashes[j] >> np.uint32(8)) & np.uint32(255)] = mark
    value = 0
    for i in range(len(words)):
        if marks[(words[i] >> np.uint32(8)) & np.uint32(255)] == mark:
            value += np.int64(weights[i])
    return value


@njit(nogil=True)
def _align(
    words: _Words, weights: _Weights, hashes: _Words, start: int, stop: int, row: Int64[np.ndarray, "l"]
) -> tuple[int, int, int, int]:
    """The heaviest common subsequence of a passage and `hashes[start:stop]`: (weight, numbers, first word, last word).

    A cell packs weight, numbers and first word into one integer, so that the larger is the better.
    """
    width = stop - start
    for j in range(width + 1):
        row[j] = 0
    for i in range(len(words)):
        gain = (np.int64(weights[i]) << 32) | (np.int64(words[i] & np.uint32(1)) << 16)
        before, here, word = np.int64(0), np.int64(0), words[i]
        for j in range(width):
            above = row[j + 1]
            best = max(above, here)
            if hashes[start + j] == word:
                best = max(best, before + gain + (0 if before else j))
            before, here = above, best
            row[j + 1] = best
    last = width
    while last > 1 and row[last - 1] == row[width]:
        last -= 1
    value = row[width]
    return value >> 32, (value >> 16) & 0xFFFF, start + (value & 0xFFFF), start + last - 1


@njit(nogil=True)
def _slack(length: int) -> int:
    return max(4, (length + 3) // 4)


@njit(nogil=True)
def _overlap(value: int, numbers: int, words: _Words, weights: _Weights) -> float:
    total, digits = 0, 0
    for i in range(len(words)):
        total += np.int64(weights[i])
        digits += np.int64(words[i] & np.uint32(1))
    share = min(value / total, (2.0 + min(numbers, digits)) / (1.0 + digits))
    return 1.0 - (1.0 - share) * max(1.0, SHORT / len(words))


@njit(nogil=True)
def _best_candidate(
    hits: _Hits,
    hashes: _Words,
    count: int,
    words: _Words,
    weights: _Weights,
    bounds: _Bounds,
    least: float,
    row: Int64[np.ndarray, "l"],
    marks: Int64[np.ndarray, "256"],
) -> tuple[float, int, int, int]:
    """(overlap, passage, first word, last word) of the best candidate of at least `least`; of equals the first passage."""
    best, which, first, last, k = least, np.int64(-1), np.int64(0), np.int64(0), 0
    marks[:] = -1
    while k < len(hits):
        begin, passage = k, hits[k] >> 32
        one, two = bounds[passage], bounds[passage + 1]
        slack = _slack(two - one)
        while k < len(hits) and hits[k] - hits[begin] <= slack:
            k += 1
        if (k - begin) * 24 < two - one:
            continue
        left = max(0, (hits[begin] & 0xFFFFFFFF) - LONGEST - slack)
        right = min(count, (hits[k - 1] & 0xFFFFFFFF) - LONGEST + two - one + slack)
        bound = _most_possible(words[one:two], weights[one:two], hashes, left, right, marks, begin)
        if _overlap(bound, LONGEST, words[one:two], weights[one:two]) < best:
            continue
        value, numbers, start, stop = _align(words[one:two], weights[one:two], hashes, left, right, row)
        overlap = _overlap(value, numbers, words[one:two], weights[one:two])
        if overlap > best or (overlap == best and which < 0):
            best, which, first, last = overlap, passage, start, stop
    return best, which, first, last


@njit(
    [
        types.void(
            _DATA, _OFFSETS, _INTS, _INTS, _WORDS, _HALVES, _OFFSETS, _BITS, _WORDS, _BITS,
            types.float64, types.float64[::1], types.int64[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def _search(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    folds: Int32[np.ndarray, "v"],
    expansions: Int32[np.ndarray, "u"],
    words: _Words,
    weights: _Weights,
    bounds: _Bounds,
    entries: _Longs,
    first: UInt32[np.ndarray, "q"],
    sieve: UInt64[np.ndarray, "z"],
    least: float,
    overlaps: Float64[np.ndarray, "b"],
    places: Int64[np.ndarray, "b 3"],
) -> None:
    hashes, row, marks = np.empty(STRETCH, np.uint32), np.empty(REACH, np.int64), np.empty(256, np.int64)
    starts, stops, hits = np.empty(STRETCH, np.int64), np.empty(STRETCH, np.int64), np.empty(1024, np.int64)
    fast, likely = fast_table(folds), np.empty(STRETCH, np.int32)
    for text in range(len(overlaps)):
        at, stop = offsets[text], offsets[text + 1]
        while at < stop:
            count, at = cut_words(data, at, stop, fast, folds, expansions, hashes, starts, stops)
            hits, found = _find_seeds(hashes, count, entries, first, sieve, likely, hits)
            if found:
                hits[:found].sort()
                best, which, one, last = _best_candidate(
                    hits[:found], hashes, count, words, weights, bounds, least, row, marks
                )
                if which >= 0 and (best > overlaps[text] or (best == overlaps[text] and which < places[text, 0])):
                    overlaps[text] = best
                    places[text, 0], places[text, 1], places[text, 2] = which, starts[one], stops[last]
            if at < stop:
                at = starts[count - REACH]


Index = tuple[
    UInt32[np.ndarray, "w"], UInt16[np.ndarray, "w"], Int64[np.ndarray, "p_plus_1"], UInt64[np.ndarray, "s"],
    UInt32[np.ndarray, "q"], UInt64[np.ndarray, "z"],
]  # fmt: skip


def index_seeds(
    hashes: UInt64[np.ndarray, "s"], passages: Int64[np.ndarray, "s"], spots: Int64[np.ndarray, "s"]
) -> tuple[UInt64[np.ndarray, "s"], UInt32[np.ndarray, "q"], UInt64[np.ndarray, "z"]]:
    """Seeds in order of their hash, as its low half, 26 bits for the passage and 6 for the place in it; where each bucket
    of leading bits begins; and the sieve, at least sixteen bits a seed.
    """
    order = np.argsort(hashes, kind="stable")
    hashes, width = hashes[order], max(1, len(hashes).bit_length())
    edges = np.arange(1, 1 << width, dtype=np.uint64) << _U(64 - width)
    first = np.concatenate([[0], np.searchsorted(hashes, edges), [len(hashes)]]).astype(np.uint32)
    bits = np.unique(hashes >> _U(64 - max(6, width + 4)))
    sieve = np.zeros(1 << (max(6, width + 4) - 6), np.uint64)
    np.bitwise_or.at(sieve, (bits >> _6).astype(np.int64), _1 << (bits & _63))
    entries = (hashes & _LOW) << _S32 | (passages[order] << 6 | spots[order]).astype(np.uint64)
    return entries, first, sieve


def search(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    folds: Int32[np.ndarray, "v"],
    expansions: Int32[np.ndarray, "u"],
    index: Index,
    least: float,
) -> tuple[Float64[np.ndarray, "b"], Int64[np.ndarray, "b 3"]]:
    """For each text the largest overlap of at least `least`, and its passage with the first and last byte of the place.

    `index` is the words of all passages, their weights, where each passage begins, and what `index_seeds` gives. Where
    no overlap is that large it is 0, and the place -1.
    """
    overlaps, places = np.zeros(len(offsets) - 1), np.full((len(offsets) - 1, 3), -1, np.int64)
    _search(data, np.ascontiguousarray(offsets, np.int64), folds, expansions, *index, least, overlaps, places)
    return overlaps, places
