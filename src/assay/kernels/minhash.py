"""MinHash: shingles of words, the minima of many permutations of them, and one key for every band of minima.

    word      a run of ASCII letters (case folded), digits, underscores and characters beyond ASCII, as in `ngrams`;
              punctuation and white space only separate; a Chinese, Japanese or Korean character is a word by itself
    shingle   S = mix(sum_k w_k P^(n-1-k) mod 2^64) for n words in a row, rolled one word at a time; a text of fewer than
              n words has one shingle, of all its words; one without words has none
    minimum   m_i = min over shingles of (a_i x + b_i mod 2^32), x the upper half of S, a_i odd, i = 1..bands*rows
    key       of band j: mix of its number and of m_i for i in band j, 64 bits

For sets A and B every m_i agrees with probability J = |A ∩ B| / |A ∪ B|, because the x are hashes and each element of
the union is equally likely to come first; two different shingles share an x once in 2^32, which moves J by 1e-4 only
where texts have 400,000 words. The inner loop goes over 32-bit numbers, which the compiler turns into vector code.
Sources: Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900 (minima); Karp and Rabin 1987,
https://doi.org/10.1147/rd.312.0249 (rolling). `reference_*` are the twins in plain Python.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8, UInt32, UInt64
from numba import njit, types

from assay.kernels.bits import classify_block, load_word, multiply_mix, trailing_zeros
from assay.kernels.union_find import find

_A, _B, _C, _D = 0x243F6A8885A308D3, 0x13198A2E03707345, 0xA4093822299F31D1, 0x082EFA98EC4E6C89
_ROLL = 0x9E3779B97F4A7C15
_U = np.uint64
_SEED_A, _SEED_B, _SEED_C, _SEED_D, _POWER = _U(_A), _U(_B), _U(_C), _U(_D), _U(_ROLL)
_0, _1, _2, _3, _8, _16, _32, _64 = [_U(number) for number in (0, 1, 2, 3, 8, 16, 32, 64)]
_61, _62, _63 = _U(61), _U(62), _U(63)
_FIRST = np.array([(1 << 8 * min(length, 8)) - 1 for length in range(17)], np.uint64)
_SECOND = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in range(17)], np.uint64)
_BLOCK = 2048  # shingles whose halves stay in the first-level cache while all permutations go over them
_RANGES = 12  # bits of the ranges that shingles are sorted into: their bounds take 32 KB
_FEW = 24  # values of a range that insertion sorts
_PAD = 192  # room after a folded text: the last block of 64 bytes, its copy, and loads of 8 bytes

_Bytes, _Words, _Halves = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "w"], UInt32[np.ndarray, "q"]
# Read-only signatures accept writable arrays too, so that neither kind costs a second compilation.
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_NUMBERS = types.Array(types.uint32, 1, "C", readonly=True)


@njit(nogil=True, _nrt=False)
def _hash_word(folded: _Bytes, start: np.uint64, stop: np.uint64) -> np.uint64:
    mixed = _0
    while stop - start > _16:
        mixed = multiply_mix(load_word(folded, start) ^ _SEED_A ^ mixed, load_word(folded, start + _8) ^ _SEED_B)
        start += _16
    length = stop - start
    first, second = load_word(folded, start) & _FIRST[length], load_word(folded, start + _8) & _SECOND[length]
    return multiply_mix(first ^ _SEED_A ^ mixed, second ^ _SEED_B)


@njit(nogil=True, _nrt=False)
def _words(data: _Bytes, begin: int, end: int, folded: _Bytes, words: _Words) -> int:
    """Hash the words of `data[begin:end]`, 64 bytes at a time; return how many there are.

    `folded` takes the case-folded text, and has room for what comes after it.
    """
    word_last, c2_last, e2_last, script_last = _0, _0, _0, _0
    count, base, start, opened = _0, _0, _0, _0
    for at in range(begin, end, 64):
        valid = (_1 << _U(end - at)) - _1 if end - at < 64 else ~_0
        if at + 64 <= len(data):
            ascii_word, high, _, c2, e2, script = classify_block(data, at, folded, base)
        else:
            for place in range(end - at):
                folded[base + _64 + _U(place)] = data[at + place]
            ascii_word, high, _, c2, e2, script = classify_block(folded, np.int64(base + _64), folded, base)
        marks = c2 | e2 | ((c2 | e2) << _1) | (e2 << _2) | ((c2_last | e2_last) >> _63) | (e2_last >> _62)
        word = (ascii_word | high) & ~marks & valid
        edge = script | (script << _3) | (script_last >> _61)
        before = (word << _1) | (word_last >> _63)
        starts, stops = word & (~before | edge), before & (~word | edge)
        if not opened:
            start = base + trailing_zeros(starts)
            starts &= starts - _1
        while stops:
            words[count] = _hash_word(folded, start, base + trailing_zeros(stops))
            count += _1
            start = base + trailing_zeros(starts)
            starts &= starts - _1
            stops &= stops - _1
        opened = word >> _63
        word_last, c2_last, e2_last, script_last = word, c2, e2, script
        base += _64
    if opened or start < _U(end - begin):
        words[count] = _hash_word(folded, start, _U(end - begin))
        count += _1
    return np.int64(count)


@njit(nogil=True, _nrt=False)
def _shingles(words: _Words, count: int, n: int, out: _Words) -> int:
    """Turn `count` words into shingles of n; return how many (none for no words)."""
    rolled, oldest = _0, _1
    for _ in range(n):
        oldest *= _POWER
    for k in range(min(count, n)):
        rolled = rolled * _POWER + words[k]
    if count == 0:
        return 0
    if count < n:
        out[0] = multiply_mix(rolled ^ _SEED_C ^ _U(count), _SEED_D)
        return 1
    out[0] = multiply_mix(rolled ^ _SEED_C, _SEED_D)
    for k in range(n, count):
        rolled = rolled * _POWER + words[k] - words[k - n] * oldest
        out[k - n + 1] = multiply_mix(rolled ^ _SEED_C, _SEED_D)
    return count - n + 1


@njit(nogil=True, _nrt=False)
def _whole(words: _Words, count: int) -> np.uint64:
    """A hash of all words in order."""
    rolled = _U(count)
    for k in range(count):
        rolled = rolled * _POWER + words[k]
    return multiply_mix(rolled ^ _SEED_A, _SEED_B)


@njit(nogil=True, _nrt=False)
def _lower(halves: _Halves, count: int, multiply: _Halves, add: _Halves, minima: _Halves) -> None:
    """m: one permutation after another over all halves at hand."""
    for i in range(len(minima)):
        a, b, least = multiply[i], add[i], minima[i]
        for k in range(count):
            value = np.uint32(np.uint32(halves[k] * a) + b)
            least = min(least, value)
        minima[i] = least


@njit(nogil=True)
def _longest(offsets: Int64[np.ndarray, "b_plus_1"]) -> int:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@njit(nogil=True)
def _minima(shingles: _Words, count: int, multiply: _Halves, add: _Halves, halves: _Halves, minima: _Halves) -> None:
    minima[:] = np.uint32(0xFFFFFFFF)
    for first in range(0, count, _BLOCK):
        size = min(_BLOCK, count - first)
        for k in range(size):
            halves[k] = np.uint32(shingles[first + k] >> _32)
        _lower(halves, size, multiply, add, minima)


@njit(
    types.Tuple((types.uint64[:, ::1], types.uint64[::1], types.int64[::1]))(
        _DATA, _OFFSETS, types.int64, _NUMBERS, _NUMBERS, types.int64
    ),
    cache=True,
    nogil=True,
)
def band_keys(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    n: int,
    multiply: UInt32[np.ndarray, "h"],
    add: UInt32[np.ndarray, "h"],
    bands: int,
) -> tuple[UInt64[np.ndarray, "b g"], UInt64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """The keys of all bands of every text, a hash of all its words in order, and the number of its shingles.

    `multiply` (odd) and `add` are a_i and b_i of the permutations, `bands` equal runs of them.
    """
    longest, rows, h = _longest(offsets), len(offsets) - 1, len(multiply)
    folded = np.empty(longest + _PAD, np.uint8)
    words, shingles = np.empty(longest // 2 + 2, np.uint64), np.empty(longest // 2 + 2, np.uint64)
    halves, minima = np.empty(_BLOCK, np.uint32), np.empty(h, np.uint32)
    keys, wholes, counts = np.zeros((rows, bands), np.uint64), np.zeros(rows, np.uint64), np.zeros(rows, np.int64)
    for row in range(rows):
        found = _words(data, offsets[row], offsets[row + 1], folded, words)
        wholes[row] = _whole(words, found)
        counts[row] = _shingles(words, found, n, shingles)
        if counts[row]:
            _minima(shingles, counts[row], multiply, add, halves, minima)
            for band in range(bands):
                key = multiply_mix(_U(band + 1) ^ _SEED_B, _SEED_C)
                for i in range(band * h // bands, (band + 1) * h // bands):
                    key = multiply_mix(key ^ _U(minima[i]), _SEED_D)
                keys[row, band] = key
    return keys, wholes, counts


@njit(nogil=True)
def _sort_hashes(values: _Words, count: int, spare: _Words, bounds: Int64[np.ndarray, "g_plus_1"]) -> None:
    """Sort `values[:count]`, hashes and so evenly spread: into about as many ranges as there are values, then each range.

    `spare` has room for them, `bounds` for 2^_RANGES + 1 numbers. What falls together in one range is sorted by insertion;
    many values there are copies of few (a text that says one thing again and again), which is left to the library's sort.
    """
    bits = 1
    while bits < _RANGES and (1 << bits) < count:
        bits += 1
    shift = _U(64 - bits)
    for place in range((1 << bits) + 1):
        bounds[place] = 0
    for k in range(count):
        bounds[np.int64(values[k] >> shift) + 1] += 1
    for place in range(1 << bits):
        bounds[place + 1] += bounds[place]
    for k in range(count):
        spare[k] = values[k]
    for k in range(count):
        place = np.int64(spare[k] >> shift)
        values[bounds[place]] = spare[k]
        bounds[place] += 1
    start = 0
    for place in range(1 << bits):
        stop = bounds[place]
        if stop - start > _FEW:
            values[start:stop].sort()
        else:
            for k in range(start + 1, stop):
                value, at = values[k], k
                while at > start and values[at - 1] > value:
                    values[at] = values[at - 1]
                    at -= 1
                values[at] = value
        start = stop


@njit(
    types.Tuple((types.uint64[::1], types.int64[::1], types.uint64[::1]))(_DATA, _OFFSETS, types.int64),
    cache=True,
    nogil=True,
)
def shingle_sets(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], n: int
) -> tuple[UInt64[np.ndarray, "q"], Int64[np.ndarray, "b_plus_1"], UInt64[np.ndarray, "b"]]:
    """The distinct shingles of every text in ascending order, where each text's begin, and the hash of all its words."""
    longest, rows = _longest(offsets), len(offsets) - 1
    folded, words = np.empty(longest + _PAD, np.uint8), np.empty(longest // 2 + 2, np.uint64)
    out, starts = np.empty(len(data) // 2 + 2 * rows + 2, np.uint64), np.zeros(rows + 1, np.int64)
    wholes, bounds = np.zeros(rows, np.uint64), np.empty((1 << _RANGES) + 1, np.int64)
    for row in range(rows):
        found = _words(data, offsets[row], offsets[row + 1], folded, words)
        wholes[row] = _whole(words, found)
        here = out[starts[row] :]
        count = _shingles(words, found, n, here)
        _sort_hashes(here, count, words, bounds)
        kept = 0
        for k in range(count):
            if k == 0 or here[k] != here[kept - 1]:
                here[kept] = here[k]
                kept += 1
        starts[row + 1] = starts[row] + kept
    return out[: starts[rows]], starts, wholes


@njit(
    types.Tuple((types.uint64[::1], types.int64[::1]))(
        types.Array(types.uint64, 2, "A", readonly=True), _OFFSETS, _OFFSETS, _OFFSETS
    ),
    cache=True,
    nogil=True,
)
def unpack_sets(
    packs: UInt64[np.ndarray, "r k"],
    counts: Int64[np.ndarray, "r"],
    firsts: Int64[np.ndarray, "b"],
    lasts: Int64[np.ndarray, "b"],
) -> tuple[UInt64[np.ndarray, "q"], Int64[np.ndarray, "b_plus_1"]]:
    """What texts hold in their packs, one text after another, and where each begins: text t has the packs `firsts[t]` up to
    `lasts[t]`, of which pack p is filled with `counts[p]`."""
    starts = np.zeros(len(firsts) + 1, np.int64)
    for text in range(len(firsts)):
        starts[text + 1] = starts[text] + counts[firsts[text] : lasts[text]].sum()
    out, at = np.empty(starts[-1], np.uint64), 0
    for text in range(len(firsts)):
        for pack in range(firsts[text], lasts[text]):
            for k in range(counts[pack]):
                out[at] = packs[pack, k]
                at += 1
    return out, starts


@njit(nogil=True)
def _similar(one: _Words, other: _Words, threshold: float) -> bool:
    """Whether |A ∩ B| / |A ∪ B| >= threshold, for two ascending sets; gives up as soon as it cannot be."""
    total = len(one) + len(other)
    most, i, j, shared = min(len(one), len(other)), 0, 0, 0
    while i < len(one) and j < len(other) and most >= threshold * (total - most):
        if one[i] == other[j]:
            shared, i, j = shared + 1, i + 1, j + 1
        elif one[i] < other[j]:
            i += 1
        else:
            j += 1
        most = shared + min(len(one) - i, len(other) - j)
    return most >= threshold * (total - most)


@njit(
    types.int64[::1](types.Array(types.uint64, 1, "C", readonly=True), _OFFSETS, _OFFSETS, types.float64),
    cache=True,
    nogil=True,
)
def link_similar(
    shingles: UInt64[np.ndarray, "q"],
    starts: Int64[np.ndarray, "b_plus_1"],
    groups: Int64[np.ndarray, "g_plus_1"],
    threshold: float,
) -> Int64[np.ndarray, "b"]:
    """For every text the first one, by position, that it is connected with by Jaccard similarities >= threshold.

    Texts i and j are compared if they are of one group, `groups[g] <= i, j < groups[g + 1]`, and not connected yet.
    """
    parents = np.arange(len(starts) - 1)
    for group in range(len(groups) - 1):
        for i in range(groups[group], groups[group + 1]):
            for j in range(groups[group], i):
                one, other = find(parents, i), find(parents, j)
                if one != other and _similar(
                    shingles[starts[i] : starts[i + 1]], shingles[starts[j] : starts[j + 1]], threshold
                ):
                    parents[max(one, other)] = min(one, other)
    for i in range(len(parents)):
        parents[i] = parents[parents[i]]
    return parents


def permutations(h: int, seed: int) -> tuple[UInt32[np.ndarray, "h"], UInt32[np.ndarray, "h"]]:
    """a (odd) and b of h permutations of the 32-bit numbers."""
    drawn = np.random.Generator(np.random.Philox(seed)).integers(0, 1 << 32, (2, h), np.uint32)
    return drawn[0] | np.uint32(1), drawn[1]


def reference_shingles(text: str, n: int) -> list[int]:
    """The shingles of one text in plain Python, in order.

    >>> len(reference_shingles("One, two: three", 2)), reference_shingles("", 2)
    (2, [])
    """
    whole = (1 << 64) - 1
    words = [_reference_word(word) for word in reference_words(text)]

    def shingle(run: list[int], salt: int) -> int:
        rolled = sum(word * pow(_ROLL, len(run) - 1 - k, 1 << 64) for k, word in enumerate(run)) & whole
        return _reference_mix(rolled ^ _C ^ salt, _D)

    if len(words) < n:
        return [shingle(words, len(words))] if words else []
    return [shingle(words[k : k + n], 0) for k in range(len(words) - n + 1)]


def reference_words(text: str) -> list[str]:
    """The words of one text in plain Python.

    >>> reference_words("Don’t STOP: 東京 is “big_1”")
    ['don', 't', 'stop', '東', '京', 'is', 'big_1']
    """
    words, word = [], ""
    for character in text:
        code = ord(character)
        alone = 0x3000 <= code <= 0xDFFF
        inside = alone or (not (0x80 <= code <= 0xBF or 0x2000 <= code <= 0x2FFF) if code >= 0x80 else _is_word(code))
        if (alone or not inside) and word:
            words, word = [*words, word], ""
        if alone:
            words.append(character)
        elif inside:
            word += character.lower() if code < 0x80 else character
    return [*words, word] if word else words


def _is_word(code: int) -> bool:
    return chr(code).isalnum() or code == 0x5F


def reference_keys(text: str, n: int, h: int, bands: int, seed: int) -> list[int]:
    """The band keys of one text in plain Python; none for a text without words."""
    halves = [shingle >> 32 for shingle in reference_shingles(text, n)]
    a, b = ([int(value) for value in each] for each in permutations(h, seed))
    minima = [min((x * a[i] + b[i]) & 0xFFFFFFFF for x in halves) for i in range(h)] if halves else []
    keys = []
    for band in range(bands if halves else 0):
        key = _reference_mix((band + 1) ^ _B, _C)
        for minimum in minima[band * h // bands : (band + 1) * h // bands]:
            key = _reference_mix(key ^ minimum, _D)
        keys.append(key)
    return keys


def _reference_mix(a: int, b: int) -> int:
    return (a * b >> 64) ^ (a * b & 0xFFFFFFFFFFFFFFFF)


def _reference_word(word: str) -> int:
    encoded, mixed = word.encode(), 0
    for start in range(0, len(encoded), 16):
        first, second = encoded[start : start + 8], encoded[start + 8 : start + 16]
        mixed = _reference_mix(int.from_bytes(first, "little") ^ _A ^ mixed, int.from_bytes(second, "little") ^ _B)
    return mixed
