"""Hashed n-grams of text: counted into buckets, or summed through a table of weights, at memory-like speed.

A document is cut into tokens, and every run of 1..n tokens is one n-gram; none crosses the end of its document.

    token      a run of word bytes, or a run of other bytes that are not white space (as NLTK's WordPunct has it)
    word byte  an ASCII letter (case folded), digit or underscore, or a byte of a character beyond ASCII; but
               U+0080-00BF and U+2000-2FFF (curly quotes, dashes, signs) are punctuation
    script     a character of U+3000-DFFF (Chinese, Japanese, Korean) is a token by itself
    cut        a run longer than 48 bytes is cut every 48 bytes (whole characters, be they of 1, 2, 3 or 4 bytes)

    t_i        = mix of the bytes of token i, 16 at a time            hash of a 1-gram
    g_k(i)     = mix(g_{k-1}(i-1) ^ C, t_i ^ D),  g_1(i) = t_i        hash of the k-gram that ends at token i
    mix(a, b)  = high half xor low half of the 128-bit product a b    (Wang Yi, wyhash, 2019)
    bucket(g)  = floor(floor(g / 2^32) buckets / 2^32)                any number of buckets below 2^32

Order matters in an n-gram, and nothing but the document's own bytes matters to its hashes: batches and threads change
nothing. Speed comes from turning 64 bytes at a time into bit masks of their classes, so that the loops run over tokens
and not over bytes (Langdale and Lemire, 2019, https://arxiv.org/abs/1902.08318), and from hashing a token of up to 16
bytes by one multiplication (https://github.com/wangyi-fudan/wyhash).

>>> [text[start:stop] for text in [b"To be"] for bucket, start, stop in list_ngrams(text, n=2, buckets=1000)]
[b'To', b'be', b'To be']
>>> bucket_of("to be", 1000) == list_ngrams(b"To be", n=2, buckets=1000)[2][0]
True
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8, UInt32, UInt64
from numba import njit, types

from assay.kernels.bits import classify_block, load_word, multiply_mix, trailing_zeros

CUT = 48
_CHUNK = 4096  # bytes of a document in flight: its folded copy, tokens and hashes stay in the first-level cache
_ROOM = 64  # bytes kept before the chunk for the run that is open when it starts; and after it, for loads of 8 bytes
_TAIL = _ROOM + _CHUNK + _ROOM  # where the last bytes of the data are copied to, because 64 are always read
_SPACE, _SCRIPT = frozenset(b" \t\n\v\f\r"), frozenset(range(0xE3, 0xEE))
_WORD = frozenset(b"0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") | frozenset(range(0x80, 0x100))

# Odd 64-bit constants without structure: digits of the binary expansion of pi.
_A, _B, _C, _D = 0x243F6A8885A308D3, 0x13198A2E03707345, 0xA4093822299F31D1, 0x082EFA98EC4E6C89
# Positions and counts are unsigned: numba checks a signed index for being negative at every access.
_U = np.uint64
_SEED_A, _SEED_B, _SEED_C, _SEED_D = _U(_A), _U(_B), _U(_C), _U(_D)
_0, _1, _2, _3, _4, _8, _16, _32, _48, _64 = [_U(number) for number in (0, 1, 2, 3, 4, 8, 16, 32, CUT, 64)]
_61, _62, _63 = _U(61), _U(62), _U(63)
_BEFORE, _SPAN = _U(_ROOM), _U(_CHUNK)
# _FIRST[l] keeps what a token of l <= 16 bytes has in its first eight bytes, _SECOND[l] what it has in the next eight.
_FIRST = np.array([(1 << 8 * min(length, 8)) - 1 for length in range(17)], np.uint64)
_SECOND = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in range(17)], np.uint64)

# What the kernels below hand to one another (numba reads no annotations).
_Bytes, _Words, _Picks = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "k"], UInt32[np.ndarray, "k"]

# Read-only signatures accept writable arrays too, so that neither kind costs a second compilation.
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_WEIGHTS = types.Array(types.float32, 1, "C", readonly=True)


@njit(nogil=True)
def _scratch(n: int) -> tuple[_Bytes, _Words, _Words, _Picks, _Words, _Words]:
    """Case-folded bytes, token hashes, n-gram hashes, buckets, the last gram of each order, what a block hands on."""
    tokens = _CHUNK + 2 * _ROOM
    folded, carry = np.zeros(_TAIL + 64, np.uint8), np.zeros(7, np.uint64)
    hashes, grams, picks = np.empty(tokens, np.uint64), np.empty(tokens, np.uint64), np.empty(tokens, np.uint32)
    return folded, hashes, grams, picks, np.empty(n + 1, np.uint64), carry


@njit(nogil=True)
def _copy(source: _Bytes, first: int, target: _Bytes, at: int, count: int) -> None:
    """A slice assignment, which numba would burden with checks of shape and overlap."""
    for place in range(count):
        target[at + place] = source[first + place]


@njit(nogil=True)
def _hash_token(folded: _Bytes, start: int, stop: int) -> int:
    """t: the hash of the token `folded[start:stop]`."""
    mixed = _0
    while stop - start > _16:
        mixed = multiply_mix(load_word(folded, start) ^ _SEED_A ^ mixed, load_word(folded, start + _8) ^ _SEED_B)
        start += _16
    length = stop - start
    first, second = load_word(folded, start) & _FIRST[length], load_word(folded, start + _8) & _SECOND[length]
    return multiply_mix(first ^ _SEED_A ^ mixed, second ^ _SEED_B)


@njit(nogil=True)
def _hash_run(folded: _Bytes, start: int, stop: int, hashes: _Words, count: int) -> int:
    """t of the tokens of one run that is to be cut."""
    while start < stop:
        hashes[count] = _hash_token(folded, start, min(start + _48, stop))
        start += _48
        count += _1
    return count


@njit(nogil=True)
def _next_tokens(data: _Bytes, first: int, last: int, folded: _Bytes, hashes: _Words, carry: _Words) -> int:
    """t of the tokens that end in `data[first:last]`, a chunk of one document; returns their number.

    `carry` goes from chunk to chunk: the masks of the last 64 bytes (word, other, 0xC2, 0xE2, script), whether a run is
    open, and where it starts (positions count from the room before the chunk).
    """
    word_last, other_last, c2_last, e2_last, script_last = carry[0], carry[1], carry[2], carry[3], carry[4]
    opened, start = carry[5], carry[6]
    count, base = _0, _BEFORE
    for at in range(first, last, 64):
        valid = (_1 << _U(last - at)) - _1 if last - at < 64 else ~_0
        if at + 64 <= len(data):
            ascii_word, high, space, c2, e2, script = classify_block(data, at, folded, base)
        else:
            _copy(data, at, folded, _TAIL, last - at)
            ascii_word, high, space, c2, e2, script = classify_block(folded, _TAIL, folded, base)
        marks = c2 | e2 | ((c2 | e2) << _1) | (e2 << _2) | ((c2_last | e2_last) >> _63) | (e2_last >> _62)
        valid &= ~space
        word = (ascii_word | high) & ~marks & valid
        other = ~word & valid
        edge = script | (script << _3) | (script_last >> _61)
        word_before, other_before = (word << _1) | (word_last >> _63), (other << _1) | (other_last >> _63)
        starts = (word & (~word_before | edge)) | (other & ~other_before)
        stops = (word_before & (~word | edge)) | (other_before & ~other)
        if not opened:
            start = base + trailing_zeros(starts)
            starts &= starts - _1
        while stops:
            stop = base + trailing_zeros(stops)
            if stop - start > _48:
                count = _hash_run(folded, start, stop, hashes, count)
            else:
                hashes[count] = _hash_token(folded, start, stop)
                count += _1
            start = base + trailing_zeros(starts)
            starts &= starts - _1
            stops &= stops - _1
        opened = (word | other) >> _63
        word_last, other_last, c2_last, e2_last, script_last = word, other, c2, e2, script
        base += _64
    carry[0], carry[1], carry[2], carry[3], carry[4] = word_last, other_last, c2_last, e2_last, script_last
    carry[5], carry[6] = opened, start
    return count


@njit(nogil=True)
def _end_chunk(left: int, folded: _Bytes, hashes: _Words, count: int, carry: _Words) -> int:
    """Finish the run that is open at the end of a chunk, or move it into the room before the next chunk.

    What can be cut off it is, so that at most 48 bytes of it wait; `left` bytes of the document begin at this chunk.
    """
    if carry[5] == _0:
        return count
    start = carry[6]
    if left <= _CHUNK:
        return _hash_run(folded, start, _BEFORE + _U(left), hashes, count)
    whole = (_BEFORE + _SPAN - start - _1) // _48 * _48
    count = _hash_run(folded, start, start + whole, hashes, count)
    _copy(folded, _CHUNK, folded, 0, _ROOM)
    carry[6] = start + whole - _SPAN
    return count


@njit(nogil=True)
def _next_grams(
    order: int, count: int, hashes: _Words, grams: _Words, lasts: _Words, picks: _Picks, buckets: int
) -> None:
    """Turn the (order - 1)-grams that end at each token of the chunk into order-grams, and pick their buckets."""
    if order == 1:
        for token in range(count):
            gram = hashes[token]
            grams[token] = gram
            picks[token] = np.uint32(((gram >> _32) * buckets) >> _32)
        return
    before = lasts[order - 1]
    for token in range(count):
        gram = (before * _SEED_C) ^ hashes[token]
        gram = (gram ^ (gram >> _32)) * _SEED_D
        before = grams[token]
        grams[token] = gram
        picks[token] = np.uint32(((gram >> _32) * buckets) >> _32)
    lasts[order - 1] = before


@njit(nogil=True)
def _count(picks: _Picks, whole: int, count: int, counts: Int64[np.ndarray, "d"]) -> None:
    """Add one to the bucket of every n-gram from the first whole one on."""
    for token in range(whole, count):
        counts[picks[token]] += 1


@njit(nogil=True)
def _sum(picks: _Picks, whole: int, count: int, weights: Float32[np.ndarray, "d"]) -> float:
    """Four sums side by side, because one addition waits for the other; always in the same order."""
    token = whole
    a = b = c = d = 0.0
    while token + _4 <= count:
        a += weights[picks[token]]
        b += weights[picks[token + _1]]
        c += weights[picks[token + _2]]
        d += weights[picks[token + _3]]
        token += _4
    while token < count:
        a += weights[picks[token]]
        token += _1
    return (a + b) + (c + d)


@njit(types.int64[::1](_DATA, _OFFSETS, types.int64, types.int64, types.int64[::1]), cache=True, nogil=True)
def count_ngrams(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    n: int,
    buckets: int,
    counts: Int64[np.ndarray, "d"],
) -> Int64[np.ndarray, "b"]:
    """Add every n-gram of orders 1..n of every document to its bucket of `counts (buckets,) int64`, in place.

    `data (m,) uint8` and `offsets (b + 1,) int64` are a block of UTF-8 texts. Returns the number of n-grams of each
    document `(b,) int64`.
    """
    folded, hashes, grams, picks, lasts, carry = _scratch(n)
    totals = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(totals)):
        carry[:] = 0
        seen, end = _0, offsets[row + 1]
        for first in range(offsets[row], end, _CHUNK):
            count = _next_tokens(data, first, min(first + _CHUNK, end), folded, hashes, carry)
            count = _end_chunk(end - first, folded, hashes, count, carry)
            for order in range(1, n + 1):
                _next_grams(order, count, hashes, grams, lasts, picks, _U(buckets))
                whole = min(count, _U(order - 1) - min(seen, _U(order - 1)))
                _count(picks, whole, count, counts)
                totals[row] += np.int64(count - whole)
            seen += count
    return totals


@njit(
    types.Tuple((types.float64[::1], types.int64[::1]))(_DATA, _OFFSETS, types.int64, _WEIGHTS), cache=True, nogil=True
)
def score_ngrams(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], n: int, weights: Float32[np.ndarray, "d"]
) -> tuple[Float64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Sum `weights (buckets,) float32` over the n-grams of orders 1..n of every document.

    Returns the sums `(b,) float64` and the number of n-grams `(b,) int64` of each document.
    """
    folded, hashes, grams, picks, lasts, carry = _scratch(n)
    totals, sums = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, np.float64)
    for row in range(len(totals)):
        carry[:] = 0
        seen, end = _0, offsets[row + 1]
        for first in range(offsets[row], end, _CHUNK):
            count = _next_tokens(data, first, min(first + _CHUNK, end), folded, hashes, carry)
            count = _end_chunk(end - first, folded, hashes, count, carry)
            for order in range(1, n + 1):
                _next_grams(order, count, hashes, grams, lasts, picks, _U(len(weights)))
                whole = min(count, _U(order - 1) - min(seen, _U(order - 1)))
                sums[row] += _sum(picks, whole, count, weights)
                totals[row] += np.int64(count - whole)
            seen += count
    return sums, totals


def _kinds(text: bytes) -> list[str]:
    """`w`ord, `o`ther or white `s`pace for every byte."""
    kinds = []
    for place, byte in enumerate(text):
        mark = byte in (0xC2, 0xE2) or text[max(place - 1, 0) : place] in (b"\xc2", b"\xe2")
        mark = mark or (place >= 2 and text[place - 2] == 0xE2)
        kinds.append("s" if byte in _SPACE else "w" if byte in _WORD and not mark else "o")
    return kinds


def list_tokens(text: bytes) -> list[tuple[int, int]]:
    """(start, stop) of every token: the Python twin of how the kernels cut."""
    kinds = _kinds(text)
    tokens: list[tuple[int, int]] = []
    for place, kind in enumerate(kinds):
        edge = kind == "w" and (text[place] in _SCRIPT or (place >= 3 and text[place - 3] in _SCRIPT))
        if kind == "s":
            continue
        if place and kinds[place - 1] == kind and not edge and place - tokens[-1][0] < CUT:
            tokens[-1] = (tokens[-1][0], place + 1)
        else:
            tokens.append((place, place + 1))
    return tokens


def _mix(a: int, b: int) -> int:
    return (a * b >> 64) ^ (a * b & 0xFFFFFFFFFFFFFFFF)


def _join(gram: int, token: int) -> int:
    mixed = (gram * _C & 0xFFFFFFFFFFFFFFFF) ^ token
    return (mixed ^ mixed >> 32) * _D & 0xFFFFFFFFFFFFFFFF


def _hash_bytes(token: bytes) -> int:
    mixed = 0
    for start in range(0, len(token), 16):
        first, second = token[start : start + 8], token[start + 8 : start + 16]
        mixed = _mix(int.from_bytes(first, "little") ^ _A ^ mixed, int.from_bytes(second, "little") ^ _B)
    return mixed


def list_ngrams(text: bytes, n: int, buckets: int) -> list[tuple[int, int, int]]:
    """(bucket, start, stop) of every n-gram of one text, order by order: what the kernels see, in plain Python."""
    tokens = list_tokens(text)
    hashes = [_hash_bytes(text[start:stop].lower()) for start, stop in tokens]
    grams, found = hashes, []
    for order in range(1, n + 1):
        if order > 1:
            grams = [_join(gram, token) for gram, token in zip(grams, hashes[order - 1 :], strict=False)]
        found += [
            ((gram >> 32) * buckets >> 32, tokens[place][0], tokens[place + order - 1][1])
            for place, gram in enumerate(grams)
        ]
    return found


def bucket_of(ngram: str, buckets: int) -> int:
    """The bucket of one n-gram, its tokens set apart by white space or by their kinds (`"alice went"`)."""
    encoded = ngram.encode("utf-8")
    return list_ngrams(encoded, max(len(list_tokens(encoded)), 1), buckets)[-1][0]
