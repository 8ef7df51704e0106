"""Affixes of a run of characters: what spaCy's English rules take off its ends, and where they cut its middle.

    prefix   quotes, brackets, marks, currency, two dots or more, a plus without a digit
    suffix   the same and 's; a full stop after a small letter, a digit, a mark or two capitals; a unit after a digit
    infix    dots, dashes and hyphens between letters, signs between digits, `.` between small and capital letter
    address  [scheme://][user@]label.label.tld[:port][/path]; stays whole

A run is `points (m,)`, its code points; a range of it is `low` to `high`. All functions are pure.
Source: spaCy (Honnibal and Montani 2017, https://spacy.io/usage/linguistic-features#how-tokenizer-works).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, UInt16, UInt64
from numba import njit

from assay.kernels import text_classes as kinds

_LETTER, _LOW, _UP, _HOST, _PREFIX, _SUFFIX = kinds.LETTER, kinds.LOWER, kinds.UPPER, kinds.HOST, kinds.PREFIX, kinds.SUFFIX
_QUOTE, _STOPPABLE, _ICON, _CURRENCY, _POINTS = kinds.QUOTE, kinds.STOPPABLE, kinds.ICON, kinds.CURRENCY, kinds.SIZE
_Points, _Classes, _Bits = Int32[np.ndarray, "m"], UInt16[np.ndarray, "u"], UInt64[np.ndarray, "r"]
_U, _8 = np.uint64, np.uint64(8)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def class_of(point: int, classes: _Classes) -> int:
    """The bits of a character; none beyond the table."""
    return np.int64(classes[point]) if point < _POINTS else 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def is_digit(point: int) -> bool:
    """Whether it is 0 to 9."""
    return 0x30 <= point <= 0x39


@njit(cache=True, nogil=True, _nrt=False)
def find_prefix(points: _Points, low: int, high: int, classes: _Classes) -> int:
    """Characters that are taken off the front."""
    point, at = points[low], low
    if point == 0x2E:
        while at < high and points[at] == 0x2E:
            at += 1
        return at - low if at - low > 1 else 0
    if point == 0x2B:
        return 0 if low + 1 < high and is_digit(points[low + 1]) else 1
    if (point == 0x43 or point == 0x41) and low + 1 < high and points[low + 1] == 0x24:
        return 2
    if point == 0x55 and low + 2 < high and points[low + 1] == 0x53 and points[low + 2] == 0x24:
        return 3
    return 1 if class_of(point, classes) & _PREFIX else 0


@njit(nogil=True, _nrt=False)
def _unit(points: _Points, low: int, high: int, units: _Bits) -> int:
    """Characters of a unit that follows a number."""
    key = _U(0)
    for size in range(1, min(4, high - low - 1) + 1):
        point = points[high - size]
        if point > 0xFF or is_digit(point):
            return 0
        key = key << _8 | _U(point)
        if is_digit(points[high - size - 1]):
            for unit in units:
                if unit == key:
                    return size
            return 0
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def find_suffix(points: _Points, low: int, high: int, classes: _Classes, units: _Bits) -> int:
    """Characters that are taken off the end."""
    if low >= high:
        return 0
    point, before = points[high - 1], points[high - 2] if high - 2 >= low else -1
    kind, kind_before = class_of(point, classes), class_of(before, classes) if before >= 0 else 0
    if point == 0x2E:
        if before == 0x2E:
            at = high - 1
            while at > low and points[at - 1] == 0x2E:
                at -= 1
            return high - at
        two = high - 3 >= low and kind_before & _UP and class_of(points[high - 3], classes) & _UP
        degrees = high - 3 >= low and points[high - 3] == 0xB0 and (before == 0x46 or before == 0x43 or before == 0x4B)
        return 1 if kind_before & _STOPPABLE or two or degrees else 0
    if (point == 0x73 or point == 0x53) and (before == 0x27 or before == 0x2019):
        return 2
    if point == 0x2026 and before == 0x2026:
        return 2
    if kind & _SUFFIX:
        return 1
    if is_digit(before) and (point == 0x2B or kind & _CURRENCY):
        return 1
    return _unit(points, low, high, units)


@njit(nogil=True, _nrt=False)
def _hyphen(points: _Points, at: int, high: int, classes: _Classes) -> int:
    """Characters of a hyphen or dash between letters that begins at `at`."""
    point, size = points[at], 1
    if point != 0x2D and point != 0x7E and point != 0x2013 and point != 0x2014:
        return 0
    longest = 3 if point == 0x2D else 2 if point == 0x2014 else 1
    while size <= longest and at + size < high:
        if class_of(points[at + size], classes) & _LETTER:
            return size
        if points[at + size] != point:
            return 0
        size += 1
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def find_infix(points: _Points, low: int, at: int, high: int, classes: _Classes) -> int:
    """Characters of a cut that begins at `at`, inside the word."""
    point = points[at]
    kind = class_of(point, classes)
    if kind & _LETTER:
        return 1 if kind & _ICON else 0
    if point == 0x2E and at + 1 < high and points[at + 1] == 0x2E:
        end = at
        while end < high and points[end] == 0x2E:
            end += 1
        return end - at
    if point == 0x2026 or kind & _ICON:
        return 1
    if at == low or at + 1 >= high:
        return 0
    before, after = points[at - 1], points[at + 1]
    kind_before, kind_after = class_of(before, classes), class_of(after, classes)
    sign = point == 0x2B or point == 0x2D or point == 0x2A or point == 0x5E
    if sign and is_digit(before) and (is_digit(after) or after == 0x2D):
        return 1
    if point == 0x2E:
        return 1 if kind_before & (_LOW | _QUOTE) and kind_after & (_UP | _QUOTE) else 0
    if point == 0x2C:
        return 1 if kind_before & _LETTER and kind_after & _LETTER else 0
    if kind_before & _LETTER or is_digit(before):
        if point == 0x3A or point == 0x3C or point == 0x3E or point == 0x3D or point == 0x2F:
            return 1 if kind_after & _LETTER else 0
        return _hyphen(points, at, high, classes)
    return 0


@njit(nogil=True, _nrt=False)
def _is_host(points: _Points, low: int, high: int, classes: _Classes) -> bool:
    """Whether a host name (labels, a last one of small letters), perhaps with port and path, fills the range."""
    at, label, dots = low, low, 0
    while at < high:
        point = points[at]
        host = class_of(point, classes) & _HOST
        if point == 0x2E:
            if at == label or not class_of(points[at - 1], classes) & _HOST:
                return False
            dots, label = dots + 1, at + 1
        elif not host and (at == label or (point != 0x2D and point != 0x5F)):
            break
        at += 1
    if dots == 0 or not 2 <= at - label <= 63:
        return False
    for place in range(label, at):
        if not class_of(points[place], classes) & _LOW:
            return False
    if at < high and points[at] == 0x3A:
        first = at + 1
        at = first
        while at < high and is_digit(points[at]):
            at += 1
        if not 2 <= at - first <= 5:
            return False
    return at == high or points[at] == 0x2F or points[at] == 0x3F or points[at] == 0x23


@njit(cache=True, nogil=True, _nrt=False)
def is_address(points: _Points, low: int, high: int, classes: _Classes) -> bool:
    """Whether a URL or an e-mail address fills the range, and so stays in one piece."""
    dot = False
    for at in range(low + 1, high - 2):
        dot |= points[at] == 0x2E
    if not dot:
        return False
    if _is_host(points, low, high, classes):
        return True
    scheme = True
    for at in range(low, high - 3):
        point = points[at]
        if point == 0x40 and at > low and _is_host(points, at + 1, high, classes):
            return True
        slashes = point == 0x3A and points[at + 1] == 0x2F and points[at + 2] == 0x2F
        if slashes and scheme and at - low >= 2 and _is_host(points, at + 3, high, classes):
            return True
        named = class_of(point, classes) & (_LETTER | _HOST) or is_digit(point) or point == 0x5F or point == 0x2B or point == 0x2D
        scheme = scheme and (named != 0 or point == 0x2E)
    return False
