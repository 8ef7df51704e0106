"""Numbers that belong to a person, in bytes of UTF-8: cards, bank accounts, US social security numbers.

    card    digits alone or in the issuer's groups with Luhn sum 0 mod 10: of a known issuer and its length, or 12 to 19
            where a word such as "card" or "visa" stands up to 40 bytes before
    IBAN    country, two check digits, the country's length; the number with its first four characters moved to the end
            and letters read as 10 to 35 is 1 mod 97
    SSN     3-2-4 digits with hyphens; areas 000, 666 and 9xx, group 00 and serial 0000 do not exist

Sources: ISO/IEC 7812-1 (cards) and its Luhn check, US patent 2950048 (1960); ISO 13616 (IBAN registry); SSA POMS RM 10201.035
(social security). Phones: `kernels/pii_phone.py`. Every function gets the row's limits `start` and `stop`, and gives
the byte after the match, or 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit

NO, DIGIT, LETTER, UNDERSCORE = 0, 1, 2, 3
_KINDS = np.zeros(256, np.uint8)
_KINDS[48:58] = DIGIT
_KINDS[65:91] = _KINDS[97:123] = LETTER
_KINDS[95] = UNDERSCORE
_IBAN = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 "
    "FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 "
    "LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 "
    "RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_LENGTHS = np.zeros(26 * 26, np.int64)  # of a country's IBANs, by its two letters
for _country in _IBAN.split():
    _LENGTHS[(ord(_country[0]) - 65) * 26 + ord(_country[1]) - 65] = int(_country[2:])
GROUPS = 8
_NEAR = 40  # bytes before a number in which a word may say what it is


def packed(words: str) -> tuple[UInt8[np.ndarray, "m"], Int64[np.ndarray, "_"]]:
    """Words one after another, and where each ends."""
    encoded = [word.encode() for word in words.split()]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64)


_CARD, _CARD_ENDS = packed("card cards cc visa mastercard maestro amex credit debit karte carte tarjeta carta kort")


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def at_or_zero(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> int:
    """The byte at a place, 0 outside the row."""
    return np.int64(data[at]) if start <= at < stop else np.int64(0)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def is_word(byte: int) -> bool:
    """Whether a byte is an ASCII letter, digit or underscore."""
    return _KINDS[byte] != NO


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def is_digit(byte: int) -> bool:
    """Whether a byte is an ASCII digit."""
    return 48 <= byte <= 57


@njit(cache=True, nogil=True, _nrt=False)
def opens(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> bool:
    """Whether a number may begin here: not inside a word, nor after the point, hyphen or colon of a longer number."""
    before = at_or_zero(data, at - 1, start, stop)
    if is_word(before):
        return False
    if before in (44, 45, 46, 47, 58):
        return not is_word(at_or_zero(data, at - 2, start, stop))
    return before not in (36, 37, 61, 92, 38)  # $ % = \ &: money, escapes, parameters of an address


@njit(cache=True, nogil=True, _nrt=False)
def closes(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> bool:
    """Whether a number may end before this byte: no letter, digit, @ or % follows, nor a mark and more digits."""
    after = at_or_zero(data, at, start, stop)
    if is_word(after) or after == 64 or after == 37:
        return False
    if after in (44, 45, 46, 47, 58):
        return not is_digit(at_or_zero(data, at + 1, start, stop))
    return True


@njit(cache=True, nogil=True, _nrt=False)
def said_before(
    data: UInt8[np.ndarray, "m"],
    at: int,
    start: int,
    stop: int,
    words: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "_"],
) -> bool:
    """Whether one of the words stands, whole, up to 40 bytes before a place and in its line, or in the line before if the
    place begins one; ASCII case does not count."""
    while at > start and (data[at - 1] == 32 or data[at - 1] == 10 or data[at - 1] == 13):
        at -= 1
    first = max(start, at - _NEAR)
    for place in range(at - 1, first - 1, -1):
        if data[place] == 10:
            return False
        inside = data[place] < 128 and is_word(at_or_zero(data, place - 1, start, stop))
        if inside or (data[place] < 128 and _KINDS[data[place]] != LETTER):
            continue
        for word in range(len(ends) - 1):
            size = ends[word + 1] - ends[word]
            if place + size > at:
                continue
            same = True
            for k in range(size):
                byte = data[place + k]
                if 65 <= byte <= 90:
                    byte += 32
                if byte != words[ends[word] + k]:
                    same = False
                    break
            if same and (data[place] >= 128 or _KINDS[data[place + size]] != LETTER):
                return True
    return False


@njit(cache=True, nogil=True, _nrt=False)
def groups_of(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int, groups: Int64[np.ndarray, "_ 2"]) -> int:
    """Fill starts and stops of up to 8 groups of digits, between them at most 3 of space, point, hyphen and brackets."""
    count = 0
    while count < GROUPS:
        end = at
        while end < stop and is_digit(data[end]):
            end += 1
        if is_word(at_or_zero(data, end, start, stop)) and at_or_zero(data, end, start, stop) != 120:
            break
        groups[count, 0], groups[count, 1] = at, end
        count += 1
        at = end
        spaces = 0
        while at < stop and at < end + 3 and data[at] in (32, 40, 41, 45, 46):
            spaces += data[at] == 32
            at += 1
        if at in (end, stop) or spaces > 1 or not is_digit(data[at]):
            break
    return count


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def size_of(groups: Int64[np.ndarray, "_ 2"], k: int) -> int:
    """Digits of a group."""
    return groups[k, 1] - groups[k, 0]


@njit(cache=True, nogil=True, _nrt=False)
def separator(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int) -> int:
    """The one byte that stands between all of the groups; 0 where they differ or several bytes stand there."""
    first = np.int64(data[groups[0, 1]]) if count > 1 else 0
    for k in range(count - 1):
        if groups[k + 1, 0] - groups[k, 1] != 1 or data[groups[k, 1]] != first:
            return 0
    return first


@njit(cache=True, nogil=True, _nrt=False)
def number_of(data: UInt8[np.ndarray, "m"], groups: Int64[np.ndarray, "_ 2"], count: int, digits: int) -> int:
    """The number that the first digits of the groups spell."""
    value, taken = 0, 0
    for k in range(count):
        for at in range(groups[k, 0], groups[k, 1]):
            if taken < digits:
                value, taken = value * 10 + np.int64(data[at]) - 48, taken + 1
    return value


@njit(cache=True, nogil=True, _nrt=False)
def luhn(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> bool:
    """Whether the digits of a span, other bytes left out, have a Luhn sum of 0 mod 10."""
    total, double = 0, False
    for at in range(stop - 1, start - 1, -1):
        if is_digit(data[at]):
            value = np.int64(data[at]) - 48
            if double:
                value = value * 2 if value < 5 else value * 2 - 9
            total += value
            double = not double
    return total % 10 == 0


@njit(cache=True, nogil=True, _nrt=False)
def _issued(six: int, digits: int) -> int:
    """1 for a known issuer and length of card, 2 where a word must say that it is one (Maestro is too wide), 0 for none."""
    two, three, four = six // 10000, six // 1000, six // 100
    if (
        (two // 10 == 4 and digits in (13, 16, 19))
        or (digits == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))
        or (digits == 15 and (two in (34, 37) or four in (2131, 1800)))
        or (digits == 14 and (300 <= three <= 305 or two in (36, 38, 39)))
        or (16 <= digits <= 19 and (four == 6011 or 644 <= three <= 649 or two in (62, 65) or 3528 <= four <= 3589))
    ):
        return 1
    maestro = two in (50, 56, 57, 58) or 60 <= two <= 69
    return 2 if (13 if not maestro else 12) <= digits <= 19 and two >= 10 else 0


@njit(cache=True, nogil=True, _nrt=False)
def _card_groups(groups: Int64[np.ndarray, "_ 2"], count: int) -> bool:
    """Whether the groups are long as on a card: one; 4-4-4-4, with 1 to 3 more; 4-6-5; 4-6-4."""
    if count == 1:
        return True
    if count == 3:
        return size_of(groups, 0) == 4 and size_of(groups, 1) == 6 and 4 <= size_of(groups, 2) <= 5
    if count != 4 and count != 5:
        return False
    for k in range(4):
        if size_of(groups, k) != 4:
            return False
    return count == 4 or size_of(groups, 4) <= 3


@njit(cache=True, nogil=True, _nrt=False)
def card_end(data: UInt8[np.ndarray, "m"], start: int, stop: int, groups: Int64[np.ndarray, "_ 2"], count: int) -> int:
    """The end of the card number that begins with the first group."""
    for last in (5, 4, 3, 1):
        if last > count or not _card_groups(groups, last) or not closes(data, groups[last - 1, 1], start, stop):
            continue
        if last > 1 and separator(data, groups, last) not in (32, 45):
            continue
        digits = 0
        for k in range(last):
            digits += size_of(groups, k)
        if not 12 <= digits <= 19 or not luhn(data, groups[0, 0], groups[last - 1, 1]):
            continue
        known = _issued(number_of(data, groups, last, 6), digits)
        if known == 1 or (known == 2 and said_before(data, groups[0, 0], start, stop, _CARD, _CARD_ENDS)):
            return groups[last - 1, 1]
    return 0


@njit(cache=True, nogil=True, _nrt=False)
def ssn_end(data: UInt8[np.ndarray, "m"], start: int, stop: int, groups: Int64[np.ndarray, "_ 2"], count: int) -> int:
    """The end of the US social security number that begins with the first group."""
    if count < 3 or separator(data, groups, 3) != 45 or not closes(data, groups[2, 1], start, stop):
        return 0
    if size_of(groups, 0) != 3 or size_of(groups, 1) != 2 or size_of(groups, 2) != 4:
        return 0
    area, both = number_of(data, groups, 1, 3), number_of(data, groups[1:], 2, 6)
    fits = area not in (0, 666) and area < 900 and both // 10000 and both % 10000
    return groups[2, 1] if fits else 0


@njit(cache=True, nogil=True, _nrt=False)
def iban_end(data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int) -> int:
    """The end of the IBAN whose country begins here; in one piece in either case, or in groups of four in capitals."""
    if at + 15 > stop or not is_digit(data[at + 2]) or not is_digit(data[at + 3]):
        return 0
    first, second = np.int64(data[at] & 0xDF) - 65, np.int64(data[at + 1] & 0xDF) - 65
    if not (0 <= first < 26 and 0 <= second < 26):
        return 0
    length, spaced = _LENGTHS[first * 26 + second], at_or_zero(data, at + 4, start, stop) == 32
    rest, head, end, taken = 0, 0, at, 0
    while taken < length and end < stop:
        byte = np.int64(data[end])
        if spaced and byte == 32 and taken % 4 == 0 and data[end - 1] != 32:
            end += 1
            continue
        kind = _KINDS[byte]
        if (
            kind not in (DIGIT, LETTER)
            or (spaced and byte >= 97)
            or (spaced and taken and taken % 4 == 0 and data[end - 1] != 32)
        ):
            return 0
        value, scale = (byte - 48, 10) if kind == DIGIT else ((byte & 0xDF) - 55, 100)
        if taken < 4:
            head = (head * scale + value) % 97
        else:
            rest = (rest * scale + value) % 97
        taken, end = taken + 1, end + 1
    if not length or taken < length or is_word(at_or_zero(data, end, start, stop)):
        return 0
    return end if (rest * (1000000 % 97) + head) % 97 == 1 else 0
