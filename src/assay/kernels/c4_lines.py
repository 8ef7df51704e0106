"""What becomes of a line by the rules of C4, and a text without the lines that they remove.

    LONG_WORD     a word of more than `longest` characters         PAGE_LOREM    holds "lorem ipsum": the page goes
    NO_END        does not end in . ? ! " ' or ends in ...          SCRIPT        holds "javascript"
    FEW_WORDS     fewer than `fewest` words                         PAGE_CURLY    holds a curly bracket: the page goes
    KEPT          none of these                                     POLICY        terms of use, privacy policy, cookies

in this order (the first that holds decides), on the line stripped of white space, and of citation marks such as [12].
Source: Raffel and others, Exploring the Limits of Transfer Learning (T5), 2020, section 2.2,
https://arxiv.org/abs/1910.10683; the order as in datatrove 0.10.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16, UInt64
from numba import njit

from assay.kernels.text_bits import PAD, code_point, copy_text, map_text, next_clear, next_set
from assay.kernels.text_classes import SPACE
from assay.kernels.text_phrases import CURLY, LINE, LONG, LOREM, POLICY, SCRIPT, cited
from assay.kernels.text_tokens import WORD, tables
from assay.kernels.text_words import SPACED, STATES, cut_line

KEPT, LONG_WORD, NO_END, FEW_WORDS, PAGE_LOREM, IN_SCRIPT, PAGE_CURLY, IN_POLICY = range(8)

_Bytes, _Bits, _State = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "w"], Int64[np.ndarray, "r"]
_Classes, _Points = UInt16[np.ndarray, "u"], Int32[np.ndarray, "m"]


@njit(cache=True, nogil=True, _nrt=False)
def break_size(data: _Bytes, at: int) -> int:
    """Bytes of the line end at `at`."""
    if data[at] == 0x0D and data[at + 1] == 0x0A:
        return 2
    return 1 if data[at] < 0x80 else 2 if data[at] == 0xC2 else 3


@njit(cache=True, nogil=True, _nrt=False)
def last_filled(space: _Bits, start: int, stop: int) -> int:
    """The end of `start:stop` without the white space behind; `start` if there is nothing else."""
    while stop > start and (space[stop - 1 >> 6] >> np.uint64(stop - 1 & 63)) & np.uint64(1):
        stop -= 1
    return stop


@njit(cache=True, nogil=True, _nrt=False)
def ends_well(data: _Bytes, start: int, stop: int) -> bool:
    """Whether a line ends in . ? ! " or ' but not in three dots."""
    if stop <= start:
        return False
    last = data[stop - 1]
    if last == 0x2E:
        return not (stop - start >= 3 and data[stop - 2] == 0x2E and data[stop - 3] == 0x2E)
    return last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27


@njit(cache=True, nogil=True, _nrt=False)
def fate(data: _Bytes, start: int, stop: int, found: int, words: int, fewest: int) -> int:
    """What becomes of the stripped line `data[start:stop]`, given what it holds and its words at white space."""
    if found & LONG:
        return LONG_WORD
    if not ends_well(data, start, stop):
        return NO_END
    if words < fewest:
        return FEW_WORDS
    if found & LOREM:
        return PAGE_LOREM
    if found & SCRIPT:
        return IN_SCRIPT
    if found & CURLY:
        return PAGE_CURLY
    return IN_POLICY if found & POLICY else KEPT


@njit(cache=True, nogil=True, _nrt=False)
def without_citations(data: _Bytes, start: int, stop: int, out: _Bytes, at: int) -> int:
    """Copy a line to `out[at:]` without its citation marks; returns where the copy ends."""
    while start < stop:
        after = cited(data, start, stop) if data[start] == 0x5B else 0
        if after:
            start = after
        else:
            out[at] = data[start]
            start, at = start + 1, at + 1
    return at


@njit(nogil=True, _nrt=False)
def _trim(out: _Bytes, start: int, stop: int, classes: _Classes) -> tuple[int, int]:
    """The range without white space at its ends."""
    while start < stop:
        point, size = code_point(out, start)
        if point >= 0x3001 or not classes[point] & SPACE:
            break
        start += size
    while stop > start:
        size = 1
        while size < 4 and stop - size > start and (out[stop - size] & 0xC0) == 0x80:
            size += 1
        point, _ = code_point(out, stop - size)
        if point >= 0x3001 or not classes[point] & SPACE:
            break
        stop -= size
    return start, stop


@njit(nogil=True, _nrt=False)
def _keep_lines(
    data: _Bytes, size: int, maps: tuple[_Bits, _Bits, _Bits], classes: _Classes, lookup: _Bits, words: _Bits, state: _State,
    room: _Points, longest: int, fewest: int, kept: _Bytes,
) -> int:  # fmt: skip
    """Write the lines that stay to `kept`; returns their bytes."""
    space, other, breaks = maps
    at, end, lines = 0, 0, 0
    while at < size:
        stop = next_set(breaks, at, size)
        first, last = next_clear(space, at, stop), last_filled(space, at, stop)
        state[:] = 0
        cut_line(data, at, stop, space, other, classes, lookup, words, 0, state, room, longest)
        begin = end
        if lines:
            kept[end] = 0x0A
            begin += 1
        after = without_citations(data, first, last, kept, begin) if first < last else begin
        outcome = fate(kept, begin, after, state[LINE], state[SPACED], fewest)
        if outcome in (KEPT, PAGE_LOREM, PAGE_CURLY):
            end, lines = after, lines + 1
        at = stop + break_size(data, stop) if stop < size else size
    return end


@njit(cache=True, nogil=True)
def _edit(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], longest: int, fewest: int,
    classes: _Classes, lookup: _Bits,
) -> tuple[UInt8[np.ndarray, "m"], Int64[np.ndarray, "b_plus_1"]]:  # fmt: skip
    most = 8
    for row in range(len(offsets) - 1):
        most = max(most, offsets[row + 1] - offsets[row] + 8)
    buffer, kept = np.zeros(most + 2 * PAD, np.uint8), np.zeros(most + 2 * PAD, np.uint8)
    out, bits = np.empty(len(data), np.uint8), (most >> 6) + 3
    maps = (np.empty(bits, np.uint64), np.empty(bits, np.uint64), np.empty(bits, np.uint64))
    words, room = np.empty(WORD * most, np.uint64), np.empty(3 * most, np.int32)
    state, ends = np.zeros(STATES, np.int64), np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        size, end = copy_text(data, offsets[row], offsets[row + 1], buffer), ends[row]
        map_text(buffer, size, maps[0], maps[1], maps[2], classes)
        after = _keep_lines(buffer, size, maps, classes, lookup, words, state, room, longest, fewest, kept)
        first, last = _trim(kept, 0, after, classes)
        out[end : end + last - first] = kept[first:last]
        ends[row + 1] = end + last - first
    return out[: ends[-1]], ends


def keep_lines(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], longest: int, fewest: int
) -> tuple[UInt8[np.ndarray, "m"], Int64[np.ndarray, "b_plus_1"]]:
    """The texts without the lines that C4 removes and without citation marks: stripped lines joined by a line feed.

    Lines for which the whole page goes ("lorem ipsum", curly brackets) stay: dropping pages is the filter's.

    >>> text = np.frombuffer(b"Menu\\n It rained all day.[2] \\nWe use cookies here.", np.uint8)
    >>> keep_lines(text, np.array([0, len(text)]), 1000, 3)[0].tobytes()
    b'It rained all day.'
    """
    return _edit(np.ascontiguousarray(data), np.asarray(offsets, np.int64), longest, fewest, *tables())
