"""E-mail and internet addresses in bytes of UTF-8.

    e-mail    1 to 64 of A-Z a-z 0-9 . _ % + - before the @; behind it labels of letters, digits and hyphens, the last
              one 2 to 24 letters and no suffix of a file; none at example.com and the like (RFC 2606), which is nobody's
    IPv4      four numbers 0 to 255 without leading zeros, one of them above 99 or a word such as "ip" or "host" up to 40
              bytes before (13.2.1.4 is a section), and no word such as "version" right before
    IPv6      eight groups of 1 to 4 hexadecimal digits, or fewer and one ::, a digit among them

Of both only public ones: private, local, multicast, documentation and other reserved ranges name nobody. Sources: RFC 5321
(2008) and 5322 (2008), RFC 2606 (1999), RFC 4291 (2006), RFC 6890 (2013) and the IANA registries of special addresses.
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

_FILES, _FILE_ENDS = packed(
    "png jpg jpeg gif svg webp css html htm js ts py rb md txt json xml yaml yml pdf bmp ico scss php"
)
_NOBODY, _NOBODY_ENDS = packed("example.com example.org example.net")
_VERSION, _VERSION_ENDS = packed(
    "v ver version versions release releases rev revision build firmware section sec chapter figure fig table rule paragraph "
    "article clause §"
)
_HOST, _HOST_ENDS = packed("ip ips ipv4 address addresses addr host server servers dns ping proxy")
_LOCAL = np.zeros(256, np.bool_)
_LOCAL[48:58] = _LOCAL[65:91] = _LOCAL[97:123] = True
_LABEL = _LOCAL.copy()
_LABEL[45] = True
_LOCAL[[37, 43, 45, 46, 95]] = True


@njit(cache=True, nogil=True, _nrt=False)
def _ends_with(
    data: UInt8[np.ndarray, "m"], at: int, end: int, words: UInt8[np.ndarray, "m"], ends: Int64[np.ndarray, "_"]
) -> int:
    """Bytes of the one of the words that `data[at:end]` ends with, ASCII case apart; 0 for none."""
    for word in range(len(ends) - 1):
        size = ends[word + 1] - ends[word]
        if size > end - at:
            continue
        same = True
        for k in range(size):
            byte = data[end - size + k]
            if 65 <= byte <= 90:
                byte += 32
            if byte != words[ends[word] + k]:
                same = False
                break
        if same:
            return size
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def _domain_end(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    """The end of the domain that begins here: after its last label of letters alone; 0 for none."""
    end, label, letters, dots = 0, at, True, 0
    while at < stop and at < label + 64:
        byte = data[at]
        if _LABEL[byte]:
            letters = letters and (byte | 32) >= 97
        elif byte == 46 and at > label and data[at - 1] != 45:
            dots += 1
            end = at if letters and dots > 1 and 2 <= at - label <= 24 else end
            label, letters = at + 1, True
            at += 1
            continue
        else:
            break
        at += 1
    if dots and letters and 2 <= at - label <= 24:
        end = at
    return 0 if end < stop and end and data[end] == 95 else end


@njit(cache=True, nogil=True, _nrt=False)
def email_span(data: UInt8[np.ndarray, "m"], at: int, floor: int, stop: int) -> tuple[int, int]:
    """Where the e-mail address around the @ at a place begins and ends; end 0: none. It begins at `floor` or later."""
    begin = at
    while begin > floor and _LOCAL[data[begin - 1]]:
        begin -= 1
    while begin < at and data[begin] in (37, 45, 46):
        begin += 1
    if begin == at or at - begin > 64 or data[at - 1] == 46 or (begin > floor and data[begin - 1] == 64):
        return begin, 0
    end = _domain_end(data, at + 1, stop)
    if not end:
        return begin, 0
    suffix = _ends_with(data, at + 1, end, _FILES, _FILE_ENDS)
    if suffix and data[end - suffix - 1] == 46:
        return begin, 0
    nobody = _ends_with(data, at + 1, end, _NOBODY, _NOBODY_ENDS)
    if nobody and data[end - nobody - 1] in (46, 64):
        return begin, 0
    git = at - begin == 3 and data[begin] == 103 and data[begin + 1] == 105 and data[begin + 2] == 116
    return begin, 0 if git and end < stop and data[end] == 58 else end


@njit(cache=True, nogil=True, _nrt=False)
def _is_public(a: int, b: int, c: int) -> bool:
    """Whether IPv4 addresses that begin a.b.c are public."""
    if a == 0 or a == 10 or a == 127 or a >= 224 or (a == 100 and 64 <= b < 128) or (a == 169 and b == 254):
        return False
    if (a == 172 and 16 <= b < 32) or (a == 192 and b == 168) or (a == 198 and 18 <= b < 20):
        return False
    network = (a, b, c)
    return network not in ((192, 0, 0), (192, 0, 2), (198, 51, 100), (203, 0, 113))


@njit(cache=True, nogil=True, _nrt=False)
def ip4_end(data: UInt8[np.ndarray, "m"], start: int, stop: int, groups: Int64[np.ndarray, "_ 2"], count: int) -> int:
    """The end of the public IPv4 address that begins with the first group."""
    if count < 4 or separator(data, groups, 4) != 46:
        return 0
    end, wide = groups[3, 1], False
    after = at_or_zero(data, end, start, stop)
    if not (closes(data, end, start, stop) or after in (47, 58)):  # a port or a mask may follow
        return 0
    for k in range(4):
        size, value = size_of(groups, k), number_of(data, groups[k:], 1, 4)
        if size > 3 or value > 255 or (size > 1 and data[groups[k, 0]] == 48):
            return 0
        wide = wide or size == 3
    octets = number_of(data, groups, 1, 4), number_of(data, groups[1:], 1, 4), number_of(data, groups[2:], 1, 4)
    if not _is_public(octets[0], octets[1], octets[2]) or _is_version(data, groups[0, 0], start, stop):
        return 0
    return end if wide or said_before(data, groups[0, 0], start, stop, _HOST, _HOST_ENDS) else 0


@njit(cache=True, nogil=True, _nrt=False)
def _is_version(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> bool:
    """Whether the word right before says that the numbers are a version or a section."""
    while at > start and data[at - 1] in (32, 35, 46, 58, 61):
        at -= 1
    size = _ends_with(data, max(start, at - 12), at, _VERSION, _VERSION_ENDS)
    while size:
        if data[at - size] >= 128 or not is_word(at_or_zero(data, at - size - 1, start, stop)):
            return True
        return said_before(data, at, max(start, at - 12), stop, _VERSION, _VERSION_ENDS)
    return False


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _hex(byte: int) -> int:
    """The value of a hexadecimal digit, -1 for any other byte."""
    if is_digit(byte):
        return byte - 48
    low = byte | 32
    return low - 87 if 97 <= low <= 102 else -1


@njit(cache=True, nogil=True, _nrt=False)
def ip6_end(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> int:
    """The end of the public IPv6 address that begins here with a hexadecimal group."""
    if is_word(at_or_zero(data, at - 1, start, stop)) or at_or_zero(data, at - 1, start, stop) in (46, 58):
        return 0
    groups, gaps, digits, longest, first, second = 0, 0, 0, 0, 0, 0
    while groups < 9:
        value, size = 0, 0
        while at < stop and size < 5 and _hex(np.int64(data[at])) >= 0:
            value, size = value * 16 + _hex(np.int64(data[at])), size + 1
            digits += is_digit(data[at])
            at += 1
        if size == 0 or size > 4:
            break
        longest = max(longest, size)
        first, second = value if groups == 0 else first, value if groups == 1 else second
        groups += 1
        if at_or_zero(data, at, start, stop) != 58:
            break
        double = at_or_zero(data, at + 1, start, stop) == 58
        if double and gaps == 0:
            gaps, at = 1, at + 2
            if _hex(at_or_zero(data, at, start, stop)) < 0:
                break
        elif _hex(at_or_zero(data, at + 1, start, stop)) >= 0:
            at += 1
        else:
            break
    after = at_or_zero(data, at, start, stop)
    if is_word(after) or (after == 58 and is_word(at_or_zero(data, at + 1, start, stop))) or not digits or longest < 3:
        return 0
    if not (groups == 8 and not gaps) and not (gaps and 2 <= groups <= 7 and 0x2000 <= first < 0x4000):
        return 0
    reserved = first == 0 or first >= 0xFC00 or (first == 0x2001 and (second == 0xDB8 or second < 0x200))
    return 0 if reserved else at
