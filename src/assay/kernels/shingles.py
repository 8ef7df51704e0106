"""Shingles: hashes of every run of `width` words of a text, after a normalisation that spelling of spaces cannot fool.

    words     runs of ASCII letters (lower-cased), digits, and characters above ASCII; Latin-1 and general punctuation
              and CJK punctuation separate, as does every other ASCII byte; a CJK, kana or Hangul character is a word
    shingle   H = sum_k w_k P^(width-1-k) mod 2^64, rolled one word at a time, then mixed
    whole     last of a text's shingles: all its words, salted with their number, so that it equals no run elsewhere

Two texts with equal words have equal shingles; different ones collide with probability about 2^-64 a pair.
Source: Karp and Rabin 1987, https://doi.org/10.1147/rd.312.0249 (rolling hash); Broder 1997,
https://doi.org/10.1109/SEQUEN.1997.666900 (shingles). `reference` is the twin in plain Python.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64
from numba import njit

_BYTE = np.uint64(0x00000100000001B3)
_START = np.uint64(0xCBF29CE484222325)
_ROLL = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_S32 = np.uint64(32)


@njit(inline="always")
def _mixed(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _S32)) * _MIX
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S32)


@njit(inline="always")
def _separates(lead: int, second: int, third: int) -> bool:
    """Whether a character above ASCII is punctuation or space: U+0080-BF, U+2000-207F, U+3000-303F, fullwidth marks."""
    if lead == 0xC2:
        return True
    if lead == 0xE2:
        return second == 0x80 or second == 0x81
    if lead == 0xE3:
        return second == 0x80
    return lead == 0xEF and second == 0xBC and (third <= 0x8F or third >= 0x9A) and third <= 0xA0


@njit(cache=True, nogil=True)
def _words(data: UInt8[np.ndarray, "m"], start: int, stop: int, out: UInt64[np.ndarray, "w"]) -> int:
    """Write the hash of each word of `data[start:stop]` to `out`; return how many."""
    count, at, inside, h = 0, start, False, _START
    while at < stop:
        byte = data[at]
        length, alone, separator = 1, False, False
        if byte < 0x80:
            if 0x41 <= byte <= 0x5A:
                byte += 0x20
            separator = not (0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39)
        else:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            length = min(length, stop - at)
            second, third = data[at + min(1, length - 1)], data[at + min(2, length - 1)]
            separator = _separates(byte, second, third)
            alone = 0xE3 <= byte <= 0xED and not separator
        if inside and (separator or alone):
            out[count] = _mixed(h)
            count, inside, h = count + 1, False, _START
        if not separator:
            h = (h ^ np.uint64(byte)) * _BYTE
            for k in range(1, length):
                h = (h ^ np.uint64(data[at + k])) * _BYTE
            inside = True
            if alone:
                out[count] = _mixed(h)
                count, inside, h = count + 1, False, _START
        at += length
    if inside:
        out[count] = _mixed(h)
        count += 1
    return count


@njit(inline="always")
def _power(width: int) -> np.uint64:
    power = np.uint64(1)
    for _ in range(width):
        power *= _ROLL
    return power


@njit(cache=True, nogil=True)
def _shingles_of(words: UInt64[np.ndarray, "w"], count: int, width: int, out: UInt64[np.ndarray, "q"]) -> int:
    """Turn `count` words into shingles in `out`, the whole last; return how many (none for no words)."""
    h, whole, oldest = np.uint64(0), np.uint64(0), _power(width)
    for k in range(count):
        whole = whole * _ROLL + words[k]
        h = h * _ROLL + words[k]
        if k >= width:
            h -= words[k - width] * oldest
        if k >= width - 1:
            out[k - width + 1] = _mixed(h)
    if count == 0:
        return 0
    runs = max(0, count - width + 1)
    out[runs] = _mixed(whole ^ _mixed(np.uint64(count)))
    return runs + 1


@njit(cache=True, nogil=True)
def _longest(offsets: Int64[np.ndarray, "b_plus_1"]) -> int:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return longest


@njit(cache=True, nogil=True)
def _all_shingles(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    out: UInt64[np.ndarray, "q"],
    starts: Int64[np.ndarray, "b_plus_1"],
) -> None:
    words = np.empty(_longest(offsets), np.uint64)
    for row in range(len(offsets) - 1):
        count = _words(data, offsets[row], offsets[row + 1], words)
        starts[row + 1] = starts[row] + _shingles_of(words, count, width, out[starts[row] :])


@njit(cache=True, nogil=True)
def _matches(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    table: UInt64[np.ndarray, "s"],
    needs: Int64[np.ndarray, "s"],
    sieve: UInt8[np.ndarray, "z"],
    shift: np.uint64,
    found: Bool[np.ndarray, "b"],
) -> None:
    longest = _longest(offsets)
    words, hashes = np.empty(longest, np.uint64), np.empty(longest + 1, np.uint64)
    for row in range(len(found)):
        count = _words(data, offsets[row], offsets[row + 1], words)
        run = 0
        for k in range(_shingles_of(words, count, width, hashes)):
            h = hashes[k]
            at = np.searchsorted(table, h) if sieve[h >> shift] else len(table)
            run = run + 1 if at < len(table) and table[at] == h else 0
            if run and run >= needs[at]:
                found[row] = True
                break


def shingles(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], width: int
) -> tuple[UInt64[np.ndarray, "q"], Int64[np.ndarray, "b_plus_1"]]:
    """The shingles of each text in order, its whole last, and where each text's begin; a text without words has none.

    >>> text = np.frombuffer(b"One, two  THREE four", np.uint8)
    >>> shingles(text, np.array([0, 20]), 3)[0].tolist() == reference("one two three FOUR!", 3)
    True
    """
    out, starts = np.empty(len(data) + len(offsets), np.uint64), np.zeros(len(offsets), np.int64)
    _all_shingles(data, np.asarray(offsets, np.int64), width, out, starts)
    return out[: starts[-1]], starts


def sieve_of(table: UInt64[np.ndarray, "s"]) -> tuple[UInt8[np.ndarray, "z"], np.uint64]:
    """A table by leading bits that says `no` to most hashes at once, and the shift that gives the index."""
    width = max(10, len(table).bit_length() + 4)
    shift = np.uint64(64 - width)
    sieve = np.zeros(1 << width, np.uint8)
    sieve[(table >> shift).astype(np.int64)] = 1
    return sieve, shift


def matches(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    width: int,
    table: UInt64[np.ndarray, "s"],
    needs: Int64[np.ndarray, "s"],
    sieve: UInt8[np.ndarray, "z"],
    shift: np.uint64,
) -> Bool[np.ndarray, "b"]:
    """Which texts hold a run of consecutive shingles of the sorted `table`, as long as the last of them needs."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    _matches(data, np.asarray(offsets, np.int64), width, table, needs, sieve, shift, found)
    return found


def reference(text: str, width: int) -> list[int]:
    """The shingles of one text in plain Python: what the kernel is tested against."""
    whole = (1 << 64) - 1

    def mixed(h: int) -> int:
        for _ in range(2):
            h = ((h ^ (h >> 32)) * int(_MIX)) & whole
        return h ^ (h >> 32)

    def named(word: str) -> int:
        h = int(_START)
        for byte in word.encode():
            h = ((h ^ byte) * int(_BYTE)) & whole
        return mixed(h)

    words = [named(word) for word in reference_words(text)]

    def joined(run: list[int]) -> int:
        return sum(word * pow(int(_ROLL), len(run) - 1 - k, 1 << 64) for k, word in enumerate(run)) & whole

    windows = [mixed(joined(words[k : k + width])) for k in range(len(words) - width + 1)]
    return [*windows, mixed(joined(words) ^ mixed(len(words)))] if words else []


def reference_words(text: str) -> list[str]:
    """The words of one text in plain Python.

    >>> reference_words("Don’t stop: 東京 is “big”")
    ['don', 't', 'stop', '東', '京', 'is', 'big']
    """
    words, word = [], ""
    for character in text:
        code = ord(character)
        alone = 0x3040 <= code <= 0xDFFF
        word_like = code >= 0xC0 and not (
            0x2000 <= code <= 0x207F or 0x3000 <= code <= 0x303F or 0xFF00 <= code <= 0xFF0F or 0xFF1A <= code <= 0xFF20
        )
        inside = word_like if code >= 0x80 else character.isalnum()
        if (alone or not inside) and word:
            words, word = [*words, word], ""
        if alone:
            words.append(character)
        elif inside:
            word += character.lower() if code < 0x80 else character
    return [*words, word] if word else words
