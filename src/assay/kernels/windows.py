"""Windows of tokens, and the few anchors that every two equal windows share.

    token     a longest run of bytes that are not white space; a character of U+3001 to U+DFFF (Chinese, Japanese, Korean)
              is a token by itself; compared byte for byte
    window    W tokens in a row: H_i = mix Σ_k t_{i+k} P^{W-1-k} mod 2^64, rolled
    gram      the same of G tokens, G < W
    anchor    of a window: the gram inside it with the smallest hash, the leftmost of several

Equal windows have equal anchors at equal places, so a window can occur twice only if its anchor does. Neighbouring
windows mostly share theirs: about 2 / (W - G + 2) anchors a token stand for all windows. So anchors are joined first, and
the hashes of windows are looked at only where an anchor occurs twice: with what joins all windows, a tenth of the records.

Source: minimizers, Roberts et al. 2004, https://doi.org/10.1093/bioinformatics/bth408, and winnowing, Schleimer et al.
2003, https://doi.org/10.1145/872757.872770; rolling hashes, Karp and Rabin 1987, https://doi.org/10.1147/rd.312.0249.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt64
from numba import njit, types

from assay.kernels.bits import load_word

_BYTES, _START = np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xCBF29CE484222325)
_ROLL, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_S32, _S6, _63, _1 = np.uint64(32), np.uint64(6), np.uint64(63), np.uint64(1)
# _KEPT[l] keeps the first l bytes of eight.
_KEPT = np.array([(1 << 8 * length) - 1 for length in range(9)], np.uint64)
# What a byte can be: within a token, ASCII white space, or the first of a character that has to be looked at.
_WITHIN, _WHITE, _LOOK = 0, 1, 2
_CLASSES = np.zeros(256, np.uint8)
_CLASSES[[*range(9, 14), *range(28, 33)]] = _WHITE
_CLASSES[[0xC2, *range(0xE1, 0xEE)]] = _LOOK

# Read-only signatures accept writable arrays too, so that neither kind costs a second compilation.
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_BITS = types.Array(types.uint64, 1, "C", readonly=True)
_PLACES = types.int64[::1]


@njit(inline="always")
def _mixed(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _S32)) * _MIX
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S32)


@njit(cache=True, nogil=True)
def _wide_space(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    """Bytes of the white space at `at` that is no ASCII (as Python's `str.split` knows it), or 0."""
    byte = data[at]
    if byte == 0xC2 and at + 1 < stop:
        return 2 if data[at + 1] == 0x85 or data[at + 1] == 0xA0 else 0
    if at + 2 >= stop or byte < 0xE1 or byte > 0xE3:
        return 0
    second, third = data[at + 1], data[at + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    return 3 if second == 0x81 and third == 0x9F else 0


@njit(cache=True, nogil=True)
def _hash_token(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> np.uint64:
    """The hash of the bytes of a token, eight at a time."""
    h = _START + np.uint64(stop - start) * _ROLL
    while stop - start > 8:
        h = (h ^ load_word(data, start)) * _BYTES
        h ^= h >> _S32
        start += 8
    if start + 8 <= len(data):
        tail = load_word(data, start) & _KEPT[stop - start]
    else:
        tail = np.uint64(0)
        for k in range(stop - start):
            tail |= np.uint64(data[start + k]) << np.uint64(8 * k)
    return _mixed((h ^ tail) * _BYTES)


@njit(cache=True, nogil=True)
def _tokens(data: UInt8[np.ndarray, "m"], start: int, stop: int, hashes: UInt64[np.ndarray, "w"]) -> int:
    """Hash of each token of `data[start:stop]`; returns how many there are."""
    count, at, opened = 0, start, -1
    while at < stop:
        kind = _CLASSES[data[at]]
        if kind == _WITHIN:
            if opened < 0:
                opened = at
            at += 1
            continue
        length = 1 if kind == _WHITE else _wide_space(data, at, stop)
        space = length > 0
        alone = not space and data[at] >= 0xE3 and at + 3 <= stop
        if opened >= 0 and (space or alone):
            hashes[count] = _hash_token(data, opened, at)
            count, opened = count + 1, -1
        if alone:
            hashes[count] = _hash_token(data, at, at + 3)
            count, length = count + 1, 3
        elif not space:
            opened = at if opened < 0 else opened
            length = 1
        at += length
    if opened >= 0:
        hashes[count] = _hash_token(data, opened, stop)
        count += 1
    return count


@njit(cache=True, nogil=True)
def _roll(words: UInt64[np.ndarray, "w"], count: int, width: int, out: UInt64[np.ndarray, "w"]) -> None:
    """The hash of every run of `width` of `count` tokens."""
    h, oldest = np.uint64(0), _1
    for _ in range(width):
        oldest *= _ROLL
    for k in range(count):
        h = h * _ROLL + words[k]
        if k >= width:
            h -= words[k - width] * oldest
        if k >= width - 1:
            out[k - width + 1] = _mixed(h)


@njit(cache=True, nogil=True)
def _pick(grams: UInt64[np.ndarray, "w"], windows: int, span: int, picks: Int64[np.ndarray, "w"]) -> None:
    """The leftmost smallest of the `span` grams from each window's first on."""
    best = -1
    for window in range(windows):
        last = window + span - 1
        if best < window:
            best = window
            for k in range(window + 1, last + 1):
                if grams[k] < grams[best]:
                    best = k
        elif grams[last] < grams[best]:
            best = last
        picks[window] = best


@njit(cache=True, nogil=True)
def _longest(offsets: Int64[np.ndarray, "b_plus_1"]) -> int:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@njit(
    [types.int64(_DATA, _OFFSETS, types.int64, types.int64, types.uint64[::1], _PLACES, _PLACES)],
    cache=True, nogil=True,
)  # fmt: skip
def _anchors(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    gram: int,
    keys: UInt64[np.ndarray, "r"],
    texts: Int64[np.ndarray, "r"],
    totals: Int64[np.ndarray, "b"],
) -> int:
    room = _longest(offsets) // 2 + 1
    words, grams = np.empty(room, np.uint64), np.empty(room, np.uint64)
    picks = np.empty(room, np.int64)
    found = 0
    for row in range(len(totals)):
        count = _tokens(data, offsets[row], offsets[row + 1], words)
        totals[row] = count
        windows = count - width + 1
        if windows <= 0:
            continue
        _roll(words, count, gram, grams)
        _pick(grams, windows, width - gram + 1, picks)
        begin = found
        for window in range(windows):
            if window and picks[window] == picks[window - 1]:
                continue
            key = grams[picks[window]]
            # Two in a row tell that the anchor is repeated; a page of one letter needs no more of them.
            if found - begin >= 2 and keys[found - 1] == key and keys[found - 2] == key:
                continue
            keys[found], texts[found] = key, row
            found += 1
    return found


def anchors(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], width: int, gram: int
) -> tuple[UInt64[np.ndarray, "r"], Int64[np.ndarray, "r"], Int64[np.ndarray, "b"]]:
    """The anchors of all windows of `width` tokens, the text that each is of, and the tokens of every text.

    An anchor that several windows share is given once, but one that comes again elsewhere is given again.

    >>> keys, texts, totals = anchors(np.frombuffer(b"a b c d", np.uint8), np.array([0, 7]), 4, 2)
    >>> texts.tolist(), totals.tolist()
    ([0], [4])
    """
    data, offsets = np.ascontiguousarray(data), np.ascontiguousarray(offsets, np.int64)
    room = (offsets[-1] - offsets[0]) // 2 + len(offsets)
    keys, texts, totals = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(len(offsets) - 1, np.int64)
    found = _anchors(data, offsets, width, gram, keys, texts, totals)
    return keys[:found].copy(), texts[:found].copy(), totals


@njit(
    [types.int64(_DATA, _OFFSETS, types.int64, types.int64, _BITS, types.uint64[::1], _PLACES, types.int32[::1])],
    cache=True, nogil=True,
)  # fmt: skip
def _windows(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    gram: int,
    sieve: UInt64[np.ndarray, "z"],
    keys: UInt64[np.ndarray, "r"],
    texts: Int64[np.ndarray, "r"],
    places: Int32[np.ndarray, "r"],
) -> int:
    room = _longest(offsets) // 2 + 1
    words, grams, hashes = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    picks = np.empty(room, np.int64)
    mask = np.uint64(len(sieve) * 64 - 1)
    found = 0
    for row in range(len(offsets) - 1):
        count = _tokens(data, offsets[row], offsets[row + 1], words)
        windows = count - width + 1
        if windows <= 0:
            continue
        _roll(words, count, gram, grams)
        _pick(grams, windows, width - gram + 1, picks)
        _roll(words, count, width, hashes)
        for window in range(windows):
            bit = grams[picks[window]] & mask
            if (sieve[bit >> _S6] >> (bit & _63)) & _1:
                keys[found], texts[found], places[found] = hashes[window], row, window
                found += 1
    return found


def windows(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    gram: int,
    sieve: UInt64[np.ndarray, "z"],
) -> tuple[UInt64[np.ndarray, "r"], Int64[np.ndarray, "r"], Int32[np.ndarray, "r"]]:
    """Hash, text and first token of every window whose anchor the sieve lets through."""
    data, offsets = np.ascontiguousarray(data), np.ascontiguousarray(offsets, np.int64)
    room = (offsets[-1] - offsets[0]) // 2 + len(offsets)
    keys, texts, places = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int32)
    found = _windows(data, offsets, width, gram, sieve, keys, texts, places)
    return keys[:found].copy(), texts[:found].copy(), places[:found].copy()


@njit([types.void(types.uint64[::1], _PLACES, types.int32[::1], _PLACES)], cache=True, nogil=True)
def _originals(
    keys: UInt64[np.ndarray, "r"],
    ranks: Int64[np.ndarray, "r"],
    places: Int32[np.ndarray, "r"],
    out: Int64[np.ndarray, "r"],
) -> None:
    start = 0
    while start < len(keys):
        best, stop = start, start + 1
        while stop < len(keys) and keys[stop] == keys[start]:
            if ranks[stop] < ranks[best] or (ranks[stop] == ranks[best] and places[stop] < places[best]):
                best = stop
            stop += 1
        out[start:stop] = best
        start = stop


def originals(
    keys: UInt64[np.ndarray, "r"], ranks: Int64[np.ndarray, "r"], places: Int32[np.ndarray, "r"]
) -> Int64[np.ndarray, "r"]:
    """Which record of its key is the original of each, for records sorted by key: the smallest rank, then place.

    >>> originals(np.array([7, 7, 9], np.uint64), np.array([5, 2, 0]), np.array([0, 3, 1], np.int32)).tolist()
    [1, 1, 2]
    """
    out = np.empty(len(keys), np.int64)
    _originals(np.ascontiguousarray(keys), ranks, np.ascontiguousarray(places), out)
    return out


def empty_sieve(memory: int) -> UInt64[np.ndarray, "z"]:
    """A sieve that lets nothing through, of the largest power of two bytes within `memory`, at least 8.

    >>> sieve = empty_sieve(100)
    >>> fill_sieve(sieve, np.array([5, 69], np.uint64)); sieve.tolist()
    [32, 32, 0, 0, 0, 0, 0, 0]
    >>> folded_sieve(sieve, 1).tolist()
    [32]
    """
    return np.zeros(1 << max(memory.bit_length() - 4, 0), np.uint64)


@njit([types.void(types.uint64[::1], _BITS)], cache=True, nogil=True)
def fill_sieve(sieve: UInt64[np.ndarray, "z"], keys: UInt64[np.ndarray, "u"]) -> None:
    """Let `keys` through, and others that share their last bits."""
    mask = np.uint64(len(sieve) * 64 - 1)
    for at in range(len(keys)):
        bit = keys[at] & mask
        sieve[bit >> _S6] |= _1 << (bit & _63)


def folded_sieve(sieve: UInt64[np.ndarray, "z"], keys: int) -> UInt64[np.ndarray, "z"]:
    """The same, as small as it gets with 64 bits for each of its keys: then it lets one in 64 others through."""
    while len(sieve) > 1 and len(sieve) // 2 >= keys:
        half = len(sieve) // 2
        sieve = sieve[:half] | sieve[half:]
    return sieve


@njit([types.void(types.uint64[::1], _BITS)], cache=True, nogil=True)
def set_bits(bits: UInt64[np.ndarray, "z"], places: UInt64[np.ndarray, "r"]) -> None:
    """Set the bits at `places`, counted from the first word's lowest."""
    for at in range(len(places)):
        bits[places[at] >> _S6] |= _1 << (places[at] & _63)


@njit([types.void(_BITS, _OFFSETS, types.int64, _PLACES)], cache=True, nogil=True)
def covered(
    bits: UInt64[np.ndarray, "z"], first: Int64[np.ndarray, "n_plus_1"], width: int, out: Int64[np.ndarray, "n"]
) -> None:
    """How many tokens of each row stand in a marked window; row i has a bit for each token from `first[i]` on."""
    for row in range(len(out)):
        reached, total = first[row], 0
        for place in range(first[row], first[row + 1]):
            bit = np.uint64(place)
            if (bits[bit >> _S6] >> (bit & _63)) & _1:
                total += place + width - max(place, reached)
                reached = place + width
        out[row] = total
