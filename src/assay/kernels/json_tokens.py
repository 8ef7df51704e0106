"""The tokens of JSON: where strings, numbers and words end, whether they are well-formed, and what escapes stand for.

Strict RFC 8259 (2017, https://www.rfc-editor.org/rfc/rfc8259): no NaN, no leading zeros, no control characters in
strings; UTF-8 as Unicode defines it (no surrogates, no overlong forms). Every function here gets a block that ends
with LF and PAD more bytes of LF, and stops there without asking where the block ends.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from numba import njit

from assay.kernels.bits import load_word
from assay.kernels.words import first_byte, store_word, zero_bytes

MISSING, STRING, NUMBER, TRUE, FALSE, NULL, OBJECT, ARRAY = 0, 1, 2, 3, 4, 5, 6, 7
ESCAPED, LONE = 1, 2  # flags of a string: holds a backslash; holds a surrogate without its partner
_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_ONES = np.uint64(0x0101010101010101)
_SPACES = np.uint64(0x2020202020202020)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_TOPS = np.uint64(0x8080808080808080)
_MEANINGS = np.zeros(256, np.uint8)  # what each letter after a backslash stands for; 0 where it stands for nothing
_MEANINGS[[34, 47, 92, 98, 102, 110, 114, 116]] = [34, 47, 92, 8, 12, 10, 13, 9]


@njit(cache=True, nogil=True, _nrt=False)
def _character(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Bytes of the well-formed UTF-8 character that starts at a byte above 127; 0 if it is not well-formed."""
    c, d = data[at], data[at + 1]
    if c < 0xC2 or c > 0xF4 or (d & 0xC0) != 0x80:
        return 0
    if c < 0xE0:
        return 2
    if (data[at + 2] & 0xC0) != 0x80:
        return 0
    if c < 0xF0:
        return 0 if (c == 0xE0 and d < 0xA0) or (c == 0xED and d > 0x9F) else 3
    if (data[at + 3] & 0xC0) != 0x80:
        return 0
    return 0 if (c == 0xF0 and d < 0x90) or (c == 0xF4 and d > 0x8F) else 4


@njit(cache=True, nogil=True, _nrt=False)
def _hex(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """The number that four hexadecimal digits spell, or -1."""
    value = 0
    for k in range(4):
        c = np.int64(data[at + k])
        if 48 <= c <= 57:
            c -= 48
        elif 65 <= c <= 70:
            c -= 55
        elif 97 <= c <= 102:
            c -= 87
        else:
            return -1
        value = value * 16 + c
    return value


@njit(cache=True, nogil=True, _nrt=False)
def _escape(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(bytes, code point) of the escape at a backslash; 0 bytes if broken; a lone surrogate is its own code point."""
    c = data[at + 1]
    if c != 117:
        meaning = np.int64(_MEANINGS[c])
        return (2 if meaning else 0), meaning
    high = _hex(data, at + 2)
    if high < 0:
        return 0, 0
    if 0xD800 <= high < 0xDC00 and data[at + 6] == 92 and data[at + 7] == 117:
        low = _hex(data, at + 8)
        if 0xDC00 <= low < 0xE000:
            return 12, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
    return 6, high


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def string_end(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(position of the closing quote, flags) of the string that starts at `at`; -1 if broken, -2 if not UTF-8."""
    flags = 0
    while True:
        word = load_word(data, at)
        quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
        # The first set bit marks the first quote, backslash, control character or byte above 127.
        marks = (((quote - _ONES) & ~quote) | ((backslash - _ONES) & ~backslash) | (word - _SPACES) | word) & _TOPS
        if marks == 0:
            at += 8
            continue
        at += first_byte(marks)
        c = data[at]
        if c == 34:
            return at, flags
        if c >= 128:
            while data[at] >= 128:
                size = _character(data, at)
                if size == 0:
                    return -2, flags
                at += size
        elif c == 92:
            size, point = _escape(data, at)
            if size == 0:
                return -1, flags
            flags |= LONE | ESCAPED if 0xD800 <= point < 0xE000 else ESCAPED
            at += size
        else:
            return -1, flags


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _digits(data: UInt8[np.ndarray, "m"], at: int) -> int:
    while 48 <= data[at] <= 57:
        at += 1
    return at


@njit(cache=True, nogil=True, _nrt=False)
def _number(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Where the number that starts at `at` ends, or -1."""
    if data[at] == 45:
        at += 1
    whole = _digits(data, at)
    if whole == at or (data[at] == 48 and whole > at + 1):
        return -1
    at = whole
    if data[at] == 46:
        stop = _digits(data, at + 1)
        if stop == at + 1:
            return -1
        at = stop
    if data[at] == 101 or data[at] == 69:
        at += 1
        if data[at] == 43 or data[at] == 45:
            at += 1
        stop = _digits(data, at)
        if stop == at:
            return -1
        at = stop
    return at


@njit(cache=True, nogil=True, _nrt=False)
def scalar_end(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(kind, end) of a number, true, false or null; end -1 if it is none of them."""
    c = data[at]
    if c == 116:
        ok = data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101
        return TRUE, at + 4 if ok else -1
    if c == 102:
        ok = data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115 and data[at + 4] == 101
        return FALSE, at + 5 if ok else -1
    if c == 110:
        ok = data[at + 1] == 117 and data[at + 2] == 108 and data[at + 3] == 108
        return NULL, at + 4 if ok else -1
    return NUMBER, _number(data, at)


@njit(cache=True, nogil=True, _nrt=False)
def _put(out: UInt8[np.ndarray, "m"], at: int, point: int) -> int:
    """Write one code point as UTF-8 and return the position after it; a lone surrogate becomes U+FFFD."""
    if 0xD800 <= point < 0xE000:
        point = 0xFFFD
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | (point >> 6)
        out[at + 1] = 0x80 | (point & 0x3F)
        return at + 2
    if point < 0x10000:
        out[at] = 0xE0 | (point >> 12)
        out[at + 1] = 0x80 | ((point >> 6) & 0x3F)
        out[at + 2] = 0x80 | (point & 0x3F)
        return at + 3
    out[at] = 0xF0 | (point >> 18)
    out[at + 1] = 0x80 | ((point >> 12) & 0x3F)
    out[at + 2] = 0x80 | ((point >> 6) & 0x3F)
    out[at + 3] = 0x80 | (point & 0x3F)
    return at + 4


@njit(cache=True, nogil=True, _nrt=False)
def unescape(data: UInt8[np.ndarray, "m"], at: int, stop: int, out: UInt8[np.ndarray, "m"], to: int) -> int:
    """Copy `data[at:stop]` to `out[to:]` with its escapes undone; return the position after the last byte written."""
    while at < stop:
        word = load_word(data, at)
        store_word(out, to, word)
        marks = zero_bytes(word ^ _BACKSLASHES)
        if marks == 0 and at + 8 <= stop:
            at += 8
            to += 8
            continue
        step = stop - at
        if marks != 0 and first_byte(marks) < step:
            step = first_byte(marks)
        at += step
        to += step
        if at < stop and data[at] == 92:
            size, point = _escape(data, at)
            at += size
            to = _put(out, to, point)
    return to


@njit(cache=True, nogil=True, _nrt=False)
def is_utf8(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> bool:
    """Whether `data[start:stop]`, followed by at least PAD readable bytes, is well-formed UTF-8."""
    at = start
    while at < stop:
        if at + 8 <= stop and load_word(data, at) & _TOPS == 0:
            at += 8
        elif data[at] < 128:
            at += 1
        else:
            size = _character(data, at)
            if size == 0 or at + size > stop:
                return False
            at += size
    return True


@njit(cache=True, nogil=True, _nrt=False)
def line_end(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Where the next LF is; the block must end with one."""
    while True:
        marks = zero_bytes(load_word(data, at) ^ _NEWLINES)
        if marks != 0:
            return at + first_byte(marks)
        at += 8


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def skip_blank(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """The first byte at or after `at` that is no space, tab or CR."""
    while data[at] == 32 or data[at] == 13 or data[at] == 9:
        at += 1
    return at
