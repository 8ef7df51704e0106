"""Parts of documents: cut at line ends or blank lines, normalised and hashed, and texts written again without some.

    line        what stands between line feeds; a document has one more line than line feeds
    paragraph   a longest run of lines that are not blank (a blank line holds white space alone)
    normalised  letters lower-cased, digits to 0, runs of white space to one space, none at the ends; what is neither
                letter, mark, digit nor white space is dropped (punctuation, symbols, control characters)
    key         `hash_rows` of the normalised bytes: equal parts have equal keys; others collide with chance 2^-64 a pair

The normalisation follows the one that CCNet removes duplicates by, and drops symbols too, so what is equal there is
equal here. Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359. Characters beyond U+FFFF stay as they
are, but for pictographs (U+1F000 to U+1FAFF), which are symbols.

>>> text = np.frombuffer(b"Home | Log in\\nhome: LOG IN!\\n\\nPage 12", np.uint8)
>>> found = cut_parts(text, np.array([0, len(text)]), "lines")
>>> bool(found.keys[0] == found.keys[1]), found.characters.tolist()
(True, [11, 11, 0, 7])
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt16, UInt64
from numba import njit, types

from assay.kernels.hashing import hash_rows

Unit = Literal["lines", "paragraphs"]

_LINE_FEED, _SPACE = 10, 32
# Read-only signatures accept writable arrays too, so that neither kind costs a second compilation.
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_FLAGS = types.Array(types.boolean, 1, "C", readonly=True)
_FOLDS = types.Array(types.uint16, 1, "C", readonly=True)
_NUMBERS = types.int64[::1]


class Parts(NamedTuple):
    """The parts (j,) of b texts: where each stands, its key, its length when normalised, and each text's first part."""

    starts: Int64[np.ndarray, "j"]
    stops: Int64[np.ndarray, "j"]
    keys: UInt64[np.ndarray, "j"]
    characters: Int64[np.ndarray, "j"]
    first: Int64[np.ndarray, "b_plus_1"]

    @property
    def texts(self) -> Int64[np.ndarray, "j"]:
        """Which text each part is of."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    @property
    def sizes(self) -> Int64[np.ndarray, "j"]:
        """Bytes of each part as it stands in its text."""
        return self.stops - self.starts


@functools.cache
def folds() -> UInt16[np.ndarray, "u"]:
    """What each character below U+10000 becomes: 0 if it is dropped."""
    table = np.array([_fold(chr(code)) for code in range(1 << 16)], np.uint16)
    table.flags.writeable = False
    return table


def _fold(character: str) -> int:
    if character.isspace():
        return _SPACE
    if character.isdecimal():
        return ord("0")
    if unicodedata.category(character)[0] not in "LMN":
        return 0
    lower = "σ" if character == "ς" else character.lower()
    # One that would grow stays, so that what is normalised always fits where its source stood (Ⱥ, Ⱦ, İ).
    return ord(lower if len(lower) == 1 and len(lower.encode()) <= len(character.encode()) else character)


@njit([types.int64(_DATA, _OFFSETS, _NUMBERS, _NUMBERS, _NUMBERS)], cache=True, nogil=True)
def _lines(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    starts: Int64[np.ndarray, "j"],
    stops: Int64[np.ndarray, "j"],
    first: Int64[np.ndarray, "b_plus_1"],
) -> int:
    count = 0
    for row in range(len(offsets) - 1):
        first[row] = count
        starts[count] = offsets[row]
        for at in range(offsets[row], offsets[row + 1]):
            if data[at] == _LINE_FEED:
                stops[count] = at
                count += 1
                starts[count] = at + 1
        stops[count] = offsets[row + 1]
        count += 1
    first[len(offsets) - 1] = count
    return count


@njit(cache=True, nogil=True)
def _is_blank(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> bool:
    at = start
    while at < stop and (data[at] == _SPACE or 9 <= data[at] <= 13):
        at += 1
    return at == stop


@njit([types.int64(_DATA, _NUMBERS, _NUMBERS, _NUMBERS)], cache=True, nogil=True)
def _join_lines(
    data: UInt8[np.ndarray, "m"],
    starts: Int64[np.ndarray, "j"],
    stops: Int64[np.ndarray, "j"],
    first: Int64[np.ndarray, "b_plus_1"],
) -> int:
    """Turn lines into paragraphs, in place; returns their number."""
    count = 0
    for row in range(len(first) - 1):
        start, stop = first[row], first[row + 1]
        first[row] = count
        inside = False
        for line in range(start, stop):
            if _is_blank(data, starts[line], stops[line]):
                inside = False
                continue
            if not inside:
                starts[count] = starts[line]
                count += 1
            stops[count - 1] = stops[line]
            inside = True
    first[len(first) - 1] = count
    return count


@njit(cache=True, nogil=True)
def _decode(data: UInt8[np.ndarray, "m"], at: int, length: int) -> int:
    """The character of `length` bytes at `at`."""
    if length == 2:
        return (data[at] & 0x1F) << 6 | (data[at + 1] & 0x3F)
    if length == 3:
        return (data[at] & 0x0F) << 12 | (data[at + 1] & 0x3F) << 6 | (data[at + 2] & 0x3F)
    return (data[at] & 0x07) << 18 | (data[at + 1] & 0x3F) << 12 | (data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F)


@njit(cache=True, nogil=True)
def _encode(code: int, out: UInt8[np.ndarray, "m"], at: int) -> int:
    """Write a character below U+10000; returns where the next goes."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at], out[at + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return at + 2
    out[at], out[at + 1], out[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return at + 3


@njit(cache=True, nogil=True)
def _length(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    """Bytes of the character at `at`, which is no ASCII; 1 for a byte that begins none."""
    byte = data[at]
    length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
    return length if at + length <= stop else 1


@njit([types.void(_DATA, _NUMBERS, _NUMBERS, _FOLDS, types.uint8[::1], _NUMBERS, _NUMBERS)], cache=True, nogil=True)
def _normalise(
    data: UInt8[np.ndarray, "m"],
    starts: Int64[np.ndarray, "j"],
    stops: Int64[np.ndarray, "j"],
    folded: UInt16[np.ndarray, "u"],
    out: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "j_plus_1"],
    characters: Int64[np.ndarray, "j"],
) -> None:
    to = 0
    for part in range(len(characters)):
        count, last = 0, _SPACE
        at, stop = starts[part], stops[part]
        while at < stop:
            byte = data[at]
            if byte < 0x80:
                # No branch: what is dropped is written too, and then written over.
                code = np.int64(folded[byte])
                out[to] = code
                kept = np.int64(code != 0) & ~(np.int64(code == _SPACE) & np.int64(last == _SPACE))
                to += kept
                count += kept
                last = code if code else last
                at += 1
                continue
            length = _length(data, at, stop)
            whole = _decode(data, at, length) if length > 1 else 0
            code = np.int64(folded[whole]) if length < 4 else 0 if 0x1F000 <= whole <= 0x1FAFF else whole
            if code and not (code == _SPACE and last == _SPACE):
                if length < 4:
                    to = _encode(code, out, to)
                else:
                    for k in range(4):
                        out[to + k] = data[at + k]
                    to += 4
                count += 1
                last = code
            at += length
        if count and last == _SPACE:
            to, count = to - 1, count - 1
        ends[part + 1], characters[part] = to, count


def cut_parts(data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], unit: Unit) -> Parts:
    """The lines or paragraphs of every text `data[offsets[i]:offsets[i + 1]]`, with their keys."""
    data, offsets = np.ascontiguousarray(data), np.ascontiguousarray(offsets, np.int64)
    room = np.count_nonzero(data[offsets[0] : offsets[-1]] == _LINE_FEED) + len(offsets)
    starts, stops, first = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(len(offsets), np.int64)
    count = _lines(data, offsets, starts, stops, first)
    if unit == "paragraphs":
        count = _join_lines(data, starts[:count], stops[:count], first)
    starts, stops = starts[:count], stops[:count]
    out, ends = np.empty(offsets[-1] - offsets[0] + 8, np.uint8), np.zeros(count + 1, np.int64)
    characters = np.empty(count, np.int64)
    _normalise(data, starts, stops, folds(), out, ends, characters)
    return Parts(starts, stops, hash_rows(out, ends), characters, first)


@njit(cache=True, nogil=True)
def _copy(data: UInt8[np.ndarray, "m"], start: int, stop: int, out: UInt8[np.ndarray, "m"], to: int) -> int:
    for at in range(start, stop):
        out[to + at - start] = data[at]
    return to + stop - start


@njit(
    [types.void(_DATA, _OFFSETS, _OFFSETS, _OFFSETS, _OFFSETS, _FLAGS, types.uint8[::1], _NUMBERS)],
    cache=True, nogil=True,
)  # fmt: skip
def _rewrite(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    starts: Int64[np.ndarray, "j"],
    stops: Int64[np.ndarray, "j"],
    first: Int64[np.ndarray, "b_plus_1"],
    dropped: Bool[np.ndarray, "j"],
    out: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "b_plus_1"],
) -> None:
    to = 0
    for row in range(len(offsets) - 1):
        left = first[row + 1] - first[row]
        for part in range(first[row], first[row + 1]):
            left -= dropped[part]
        if left == first[row + 1] - first[row]:
            to = _copy(data, offsets[row], offsets[row + 1], out, to)
        elif left:
            to = _copy(data, offsets[row], starts[first[row]], out, to)
            for part in range(first[row], first[row + 1]):
                if not dropped[part]:
                    left -= 1
                    # The last part that stays is followed by what followed the last part of all.
                    to = _copy(data, starts[part], starts[part + 1] if left else stops[part], out, to)
            to = _copy(data, stops[first[row + 1] - 1], offsets[row + 1], out, to)
            if _is_blank(out, ends[row], to):
                to = ends[row]
        ends[row + 1] = to


def without_parts(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], parts: Parts, dropped: Bool[np.ndarray, "j"]
) -> tuple[UInt8[np.ndarray, "m"], Int64[np.ndarray, "b_plus_1"]]:
    """The texts without their `dropped` parts, as bytes and offsets; all other bytes stay as they are.

    A part goes with what separates it from the next one; a text of which nothing but white space is left becomes empty.
    """
    data, offsets = np.ascontiguousarray(data), np.ascontiguousarray(offsets, np.int64)
    out, ends = np.empty(offsets[-1] - offsets[0], np.uint8), np.zeros(len(offsets), np.int64)
    _rewrite(data, offsets, parts.starts, parts.stops, parts.first, dropped, out, ends)
    return out[: ends[-1]], ends


@njit([types.int64(types.Array(types.uint64, 1, "A", readonly=True), types.Array(types.int64, 1, "A", readonly=True),
                   types.int64, types.boolean[::1])], cache=True, nogil=True)  # fmt: skip
def _mark_shared(
    keys: UInt64[np.ndarray, "r"], rows: Int64[np.ndarray, "r"], documents: int, shared: Bool[np.ndarray, "r"]
) -> int:
    start, total = 0, 0
    while start < len(keys):
        stop, distinct = start + 1, 1
        while stop < len(keys) and keys[stop] == keys[start]:
            distinct += rows[stop] != rows[stop - 1]
            stop += 1
        if distinct >= documents:
            shared[start:stop] = True
            total += stop - start
        start = stop
    return total


def shared_keys(keys: UInt64[np.ndarray, "r"], rows: Int64[np.ndarray, "r"], documents: int) -> Bool[np.ndarray, "r"]:
    """Which records, sorted by key and then row, have a key that at least so many different rows have.

    >>> shared_keys(np.array([3, 3, 5, 5], np.uint64), np.array([1, 2, 4, 4]), 2).tolist()
    [True, True, False, False]
    """
    shared = np.zeros(len(keys), np.bool_)
    _mark_shared(keys, rows, documents, shared)
    return shared
