"""Phone numbers in bytes of UTF-8: shapes that only a phone number has, and looser ones where a word says phone.

    +          and 8 to 15 digits, the first not 0
    00         a country and in all 10 to 15 digits, in groups
    3-3-4      as North America writes it: area from 2xx on; - . or ) somewhere between, a 1 before it or not
    0          and in all 9 to 11 digits, in groups of two and more
    (area)     2 to 5 digits in brackets, in all 9 to 11
    a word     such as "phone", "tel" or "call" in the 40 bytes before: 7 to 15 digits in groups, or 9 to 15 in one

Dates and ranges of years are none. Sources: ITU-T E.164 (2010) and E.123 (2001), https://www.itu.int/rec/T-REC-E.123;
the North American Numbering Plan, https://www.nanpa.com.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit

from assay.kernels.pii_numbers import (
    at_or_zero,
    closes,
    is_digit,
    is_word,
    number_of,
    packed,
    said_before,
    separator,
    size_of,
)

_WORDS, _ENDS = packed(
    "phone phones telephone tel call calling fax mobile cell cellphone dial whatsapp sms hotline contact reach telefon "
    "telefono telefone telefonnummer téléphone teléfono tél móvil movil celular handy тел телефон 电话 電話 手机 传真 전화"
)


@njit(cache=True, nogil=True, _nrt=False)
def _year(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], k: int) -> bool:
    """Whether a group is a year from 1800 to 2099."""
    return size_of(groups, k) == 4 and 1800 <= number_of(data, groups[k:], 1, 4) < 2100


@njit(cache=True, nogil=True, _nrt=False)
def _dated(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int) -> bool:
    """Whether the groups hold a date such as 2000-04-16 or 16.4.2000, or are a range of years."""
    for k in range(count - 2):
        first, second, third = size_of(groups, k), size_of(groups, k + 1), size_of(groups, k + 2)
        if second <= 2 and ((third <= 2 and _year(data, groups, k)) or (first <= 2 and _year(data, groups, k + 2))):
            return True
    return count == 2 and _year(data, groups, 0) and _year(data, groups, 1)


@njit(cache=True, nogil=True, _nrt=False)
def _american(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int) -> bool:
    """Whether the groups are 3-3-4 digits, or 1-3-3-4, with more than spaces between them."""
    skip = 1 if count == 4 and size_of(groups, 0) == 1 and data[groups[0, 0]] == 49 else 0
    if count - skip != 3:
        return False
    for k in range(3):
        if size_of(groups, skip + k) != (4 if k == 2 else 3):
            return False
    marks = 0
    for at in range(groups[skip, 1], groups[skip + 2, 0]):
        marks += data[at] in (41, 45, 46)
    return data[groups[skip, 0]] >= 50 and marks > 0


@njit(cache=True, nogil=True, _nrt=False)
def _national(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int) -> bool:
    """Whether the groups begin with a trunk 0 and are long as those of a phone number."""
    first = groups[0, 0]
    if data[first] != 48 or size_of(groups, 0) < 2 or size_of(groups, 0) > 5 or data[first + 1] == 48:
        return False
    between, largest, plain = separator(data, groups, count), size_of(groups, 0), 0
    for k in range(1, count):
        size = size_of(groups, k)
        largest, plain = max(largest, size), plain + (data[groups[k, 0]] != 48)
        if size < 2:
            return False
    if between == 46 and count < 4:
        return False
    return largest > 2 or (count == 5 and between != 0 and plain > 0)


@njit(cache=True, nogil=True, _nrt=False)
def _bracketed(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], start: int, stop: int) -> bool:
    """Whether the first group alone stands in brackets, with no number before them."""
    before = at_or_zero(data, groups[0, 0] - 2, start, stop)
    if before == 32:
        before = at_or_zero(data, groups[0, 0] - 3, start, stop)
    return at_or_zero(data, groups[0, 1], start, stop) == 41 and not is_word(before)


@njit(cache=True, nogil=True, _nrt=False)
def _shape(
    data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int, digits: int, start: int, stop: int
) -> bool:
    """Whether groups without a + have a shape that only phone numbers have."""
    first = groups[0, 0]
    if 10 <= digits <= 11 and _american(data, groups, count):
        return True
    if count < 2:
        return False
    if data[first] == 48 and data[first + 1] == 48:
        return digits >= 10 and size_of(groups, 0) >= 3 and data[first + 2] != 48
    if not 9 <= digits <= 11:
        return False
    bracket = at_or_zero(data, first - 1, start, stop) == 40 and size_of(groups, 0) <= 5
    return _national(data, groups, count) or (bracket and digits > 1 and _bracketed(data, groups, start, stop))


@njit(cache=True, nogil=True, _nrt=False)
def _loose(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int, digits: int) -> bool:
    """Whether the groups may be a phone number where a word says so."""
    for k in range(1, count):
        if size_of(groups, k) < 2:
            return False
    return count <= 6 and (count > 1 or digits >= 9)


@njit(cache=True, nogil=True, _nrt=False)
def _extended(data: UInt8[np.ndarray, "m"], end: int, start: int, stop: int) -> int:
    """The end of the number with an extension such as x123; 0 where it may not end at all."""
    at = end
    if at_or_zero(data, at, start, stop) in (88, 120) and is_digit(at_or_zero(data, at + 1, start, stop)):
        at += 1
        while at < stop and is_digit(data[at]):
            at += 1
    return at if closes(data, at, start, stop) else 0


@njit(cache=True, nogil=True, _nrt=False)
def _has(data: UInt8[np.ndarray, "m"], at: int, end: int, wanted: int) -> bool:
    """Whether a byte is among `data[at:end]`."""
    for k in range(at, end):  # noqa: SIM110 (numba has no any())
        if data[k] == wanted:
            return True
    return False


@njit(cache=True, nogil=True, _nrt=False)
def phone_span(
    data: UInt8[np.ndarray, "m"], start: int, stop: int, groups: Int64[np.ndarray, "_ 2"], count: int
) -> tuple[int, int]:
    """Where the phone number that begins with the first group begins (with its + or bracket) and ends; end 0: none."""
    begin = groups[0, 0]
    bracket = at_or_zero(data, begin - 1, start, stop) == 40
    begin -= bracket
    plus = at_or_zero(data, begin - 1, start, stop) == 43
    begin -= plus
    if is_word(at_or_zero(data, begin - 1, start, stop)):
        return begin, 0
    for last in range(count, 0, -1):
        digits = 0
        for k in range(last):
            digits += size_of(groups, k)
        end = _extended(data, groups[last - 1, 1], start, stop)
        if not end or not 7 <= digits <= 15 or _dated(data, groups, last):
            continue
        found = digits >= 8 and data[groups[0, 0]] != 48 if plus else _shape(data, groups, last, digits, start, stop)
        if not found and _loose(data, groups, last, digits):
            found = said_before(data, begin, start, stop, _WORDS, _ENDS)
        if found:
            return begin + (bracket and not plus and not _has(data, begin, end, 41)), end
    return begin, 0
