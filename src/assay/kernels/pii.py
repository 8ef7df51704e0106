"""Personal and secret details in bytes of UTF-8: one pass that looks closer only where a word could begin one.

A word could if it has a digit, a colon or @ behind it, a known beginning, or a mark such as = before it; plain prose costs
little more than reading it. Kinds: e-mail address, phone number, payment card, IBAN, US social security number, public
IP address, secret. Spans never overlap: of two that begin at one place the one with a checksum or a fixed form comes
first. What each is made of: `kernels/pii_net.py`, `kernels/pii_phone.py`, `kernels/pii_numbers.py`,
`kernels/pii_secrets.py`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numba import njit

from assay.kernels.pii_net import email_span, ip4_end, ip6_end
from assay.kernels.pii_numbers import GROUPS, at_or_zero, card_end, groups_of, iban_end, opens, ssn_end
from assay.kernels.pii_phone import phone_span
from assay.kernels.pii_secrets import LONG, PREFIX_PAIRS, assigned_end, key_end, marked_end

KINDS = ("email", "phone", "card", "iban", "ssn", "ip", "secret")
EMAIL, PHONE, CARD, IBAN, SSN, IP, SECRET = range(7)
_SHORTEST = 6  # bytes of a@b.co
_WORD, _NUMBER, _AT, _HYPHEN, _MARK = 1, 2, 4, 8, 16
_SORTS = np.zeros(256, np.uint8)
_SORTS[48:58] = _WORD | _NUMBER
_SORTS[65:91] = _SORTS[97:123] = _SORTS[95] = _WORD
_SORTS[64], _SORTS[45] = _AT, _HYPHEN
_SORTS[[34, 39, 58, 61, 62, 96]] = _MARK  # what may stand between a secret's name and its value


@njit(cache=True, nogil=True, _nrt=False)
def _number(
    data: UInt8[np.ndarray, "m"], at: int, start: int, stop: int, groups: Int64[np.ndarray, "_ 2"]
) -> tuple[int, int, int]:
    """(kind, begin, end) of the number whose first digit is here; end 0: none."""
    if not opens(data, at, start, stop):
        return PHONE, at, 0
    count = groups_of(data, at, start, stop, groups)
    if count == 0:
        return PHONE, at, 0
    end = ip4_end(data, start, stop, groups, count)
    if end:
        return IP, at, end
    end = card_end(data, start, stop, groups, count)
    if end:
        return CARD, at, end
    end = ssn_end(data, start, stop, groups, count)
    if end:
        return SSN, at, end
    begin, end = phone_span(data, start, stop, groups, count)
    return PHONE, begin, end


@njit(cache=True, nogil=True, _nrt=False)
def _token(
    data: UInt8[np.ndarray, "m"],
    at: int,
    end: int,
    start: int,
    stop: int,
    digits: bool,
    counts: Float64[np.ndarray, "_"],
) -> tuple[int, int]:
    """(kind, end) of what begins with the word `data[at:end]`, a number apart; end 0: none."""
    found = marked_end(data, at, start, stop)
    if found:
        return SECRET, found
    if digits and end - at >= 4:
        found = iban_end(data, at, start, stop)
        if found:
            return IBAN, found
    found = assigned_end(data, at, start, stop, counts)
    if found:
        return SECRET, found
    if end - at <= 4 and at_or_zero(data, end, start, stop) == 58:
        return IP, ip6_end(data, at, start, stop)
    return IP, 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _plain(data: UInt8[np.ndarray, "m"], at: int, end: int, start: int, stop: int, digits: bool) -> bool:
    """Whether the word `data[at:end]` can begin nothing but prose: most words end here, after four looks at tables."""
    if digits or at + 1 >= stop or PREFIX_PAIRS[data[at], data[at + 1]]:
        return False
    if end - at <= 4 and end < stop and data[end] == 58:
        return False
    if at <= start:
        return True
    before = data[at - 1]
    if before == 32 and at - 1 > start:
        before = data[at - 2]
    return not (_SORTS[before] & _MARK or (end - at >= LONG and (before == 114 or before == 82)))


@njit(cache=True, nogil=True)
def _scan(data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], spans: Int64[np.ndarray, "r 4"]) -> int:
    """Fill `spans` with row, start, stop and kind; return how many."""
    groups, counts, found = np.empty((GROUPS, 2), np.int64), np.empty(256), 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        at = floor = start
        while at < stop:
            sort = _SORTS[data[at]]
            if sort & ~_MARK == 0:
                at += 1
                continue
            kind, begin, end, after = EMAIL, at, 0, at + 1
            if sort & _WORD:
                sorts = sort
                while after < stop and _SORTS[data[after]] & _WORD:
                    sorts |= _SORTS[data[after]]
                    after += 1
                if not _plain(data, at, after, start, stop, sorts & _NUMBER > 0):
                    kind, end = _token(data, at, after, start, stop, sorts & _NUMBER > 0, counts)
                if not end and sort & _NUMBER:
                    kind, begin, end = _number(data, at, start, stop, groups)
            elif sort == _AT:
                begin, end = email_span(data, at, floor, stop)
            elif at + 1 < stop and data[at + 1] == 45:
                kind, end = SECRET, key_end(data, at, stop)
            if end and begin >= floor:
                spans[found, 0], spans[found, 1], spans[found, 2], spans[found, 3] = row, begin, end, kind
                found += 1
                floor = after = end
            at = after
    return found


def details(data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]) -> Int64[np.ndarray, "r 4"]:
    """Row, start, stop (bytes of `data`) and kind (its place in KINDS) of every detail, in the order of the text.

    >>> text = b"Mail ann@mail.org or call +44 20 7946 0018."
    >>> found = details(np.frombuffer(text, np.uint8), np.array([0, len(text)]))
    >>> [(KINDS[kind], text[start:stop]) for _, start, stop, kind in found.tolist()]
    [('email', b'ann@mail.org'), ('phone', b'+44 20 7946 0018')]
    """
    spans = np.empty((len(data) // _SHORTEST + 1, 4), np.int64)
    count = _scan(data, np.asarray(offsets, np.int64), spans)
    return spans[:count].copy()
