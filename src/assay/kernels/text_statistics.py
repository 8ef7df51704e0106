"""Everything that the published rules count in a text, in one pass: characters, words, lines, repetition, sentences.

The text is mapped (white space, line ends), cut into lines and words, and its words go on to the n-grams; all counts are
whole numbers, so that a ratio is one exact division and an edge means what it says. `COLUMNS` names them; the annotator
`text_statistics` says what each one is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16, UInt64
from numba import njit

from assay.kernels.c4_lines import (
    KEPT,
    PAGE_CURLY,
    PAGE_LOREM,
    break_size,
    fate,
    last_filled,
    without_citations,
)  # fmt: skip
from assay.kernels.repetition import FOUND, Room, count_repeats, mark_repeated
from assay.kernels.text_bits import PAD, code_point, copy_text, count_characters, map_text, next_clear, next_set
from assay.kernels.text_classes import TERMINAL
from assay.kernels.text_phrases import CITED, CURLY, LINE, LOREM
from assay.kernels.text_tokens import ALPHA, STOPS, WORD, WORDY, hash_bytes, tables
from assay.kernels.text_words import (
    ELLIPSES,
    HASHES,
    SPACED,
    SPACED_ALPHA,
    SPACED_CHARACTERS,
    STATES,
    count_sentences,
    cut_line,
)  # fmt: skip

COLUMNS = (
    "characters", "words", "wordy_words", "wordy_characters", "alpha_words", "stop_words", "hashes", "ellipses", "lines",
    "bullet_lines", "ellipsis_lines", "spaced_words", "spaced_characters", "spaced_alpha_words",
    "paragraphs", "duplicate_paragraphs", "duplicate_paragraph_characters",
    "line_runs", "duplicate_line_runs", "duplicate_line_run_characters",
    *(f"top_{n}_gram_characters" for n in range(2, 5)),
    *(f"duplicate_{n}_gram_characters" for n in range(5, 11)),
    *(f"covered_{n}_gram_characters" for n in range(5, 11)),
    "kept_sentences", "kept_lorem_lines", "kept_curly_lines", "lorem_lines", "curly_lines",
    "filled_lines", "ended_lines", "short_lines", "duplicate_filled_characters", "newlines", "unbroken_characters",
)  # fmt: skip
_PLACE = {name: place for place, name in enumerate(COLUMNS)}
_CHARACTERS, _WORDS, _WORDY, _WORDY_CHARACTERS, _ALPHA, _STOPS, _HASHES, _ELLIPSES = range(8)
_LINES, _BULLETS, _DOTTED, _SPACED = (_PLACE[name] for name in ("lines", "bullet_lines", "ellipsis_lines", "spaced_words"))
_PARAGRAPHS, _RUNS, _TOP = _PLACE["paragraphs"], _PLACE["line_runs"], _PLACE["top_2_gram_characters"]
_KEPT, _FILLED, _WIDTH = _PLACE["kept_sentences"], _PLACE["filled_lines"], len(COLUMNS)

_Bytes, _Bits, _State = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "w"], Int64[np.ndarray, "r"]
_Maps = tuple[_Bits, _Bits, _Bits]
_Classes, _Points = UInt16[np.ndarray, "u"], Int32[np.ndarray, "m"]
_Hashes, _Sizes = UInt64[np.ndarray, "c"], Int32[np.ndarray, "c"]


@njit(nogil=True, _nrt=False)
def _count_marks(data: _Bytes, start: int, stop: int, counts: _State) -> None:
    """Whether the stripped line begins with a bullet or ends in an ellipsis."""
    counts[_LINES] += 1
    if start >= stop:
        return
    bullet = data[start] == 0xE2 and data[start + 1] == 0x80 and data[start + 2] == 0xA2
    counts[_BULLETS] += bullet or data[start] == 0x2D
    if stop - start >= 3:
        a, b, c = data[stop - 3], data[stop - 2], data[stop - 1]
        counts[_DOTTED] += (a == 0x2E and b == 0x2E and c == 0x2E) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@njit(nogil=True, _nrt=False)
def _judge_cited(
    edited: _Bytes, size: int, found: int, spaced: int, maps: _Maps, classes: _Classes, lookup: _Bits,
    words: _Bits, count: int, room: _Points, state: _State, fewest: int,
) -> tuple[int, int]:  # fmt: skip
    """Fate and sentences of a line that held citation marks, `edited` without them."""
    edited[size : size + PAD] = 0
    outcome = fate(edited, 0, size, found, spaced, fewest)
    if outcome != KEPT:
        return outcome, 0
    map_text(edited, size, maps[0], maps[1], maps[2], classes)
    last = cut_line(edited, 0, size, maps[0], maps[1], classes, lookup, words, count, state, room, size)
    return KEPT, count_sentences(words, count, last)


@njit(nogil=True, _nrt=False)
def _count_lines(
    data: _Bytes, size: int, maps: _Maps, classes: _Classes, lookup: _Bits, words: _Bits, state: _State, room: _Points,
    edited: _Bytes, spare_maps: _Maps, spare_state: _State, longest: int, fewest: int, counts: _State,
) -> int:  # fmt: skip
    """Lines as `str.splitlines` has them, their words, and what C4 makes of them; returns the number of words."""
    space, other, breaks = maps
    at, count = 0, 0
    while at < size:
        stop = next_set(breaks, at, size)
        first, last = next_clear(space, at, stop), last_filled(space, at, stop)
        begin, spaced = count, state[SPACED]
        count = cut_line(data, first, last, space, other, classes, lookup, words, count, state, room, longest)
        _count_marks(data, first, last, counts)
        found, spaced = state[LINE], state[SPACED] - spaced
        if found & CITED:
            edge = without_citations(data, first, last, edited, 0)
            outcome, sentences = _judge_cited(
                edited, edge, found, spaced, spare_maps, classes, lookup, words, count, room, spare_state, fewest
            )
        else:
            outcome = fate(data, first, last, found, spaced, fewest)
            sentences = count_sentences(words, begin, count) if outcome == KEPT else 0
        counts[_KEPT] += sentences
        counts[_KEPT + 1] += outcome == PAGE_LOREM
        counts[_KEPT + 2] += outcome == PAGE_CURLY
        counts[_KEPT + 3] += (found & LOREM) != 0
        counts[_KEPT + 4] += (found & CURLY) != 0
        at = stop + break_size(data, stop) if stop < size else size
    return count


@njit(nogil=True, _nrt=False)
def _count_words(words: _Bits, count: int, state: _State, hashes: _Hashes, sums: _Sizes, counts: _State) -> None:
    """Counts of words; their hashes and the running sums of their characters go to arrays of their own."""
    wordy, characters, alpha, total = 0, 0, 0, np.int32(0)
    sums[0] = 0
    for word in range(count):
        fact = np.int64(words[WORD * word + 1])
        size = fact >> 8
        total += np.int32(size)
        hashes[word], sums[word + 1] = words[WORD * word], total
        wordy += fact & WORDY
        characters += (fact & WORDY) * size
        alpha += (fact & ALPHA) >> 1
    counts[_WORDS], counts[_WORDY], counts[_WORDY_CHARACTERS], counts[_ALPHA] = count, wordy, characters, alpha
    counts[_HASHES], counts[_ELLIPSES] = state[HASHES], state[ELLIPSES]
    stops = state[STOPS]
    while stops:
        counts[_STOPS] += 1
        stops &= stops - 1
    counts[_SPACED], counts[_SPACED + 1] = state[SPACED], state[SPACED_CHARACTERS]
    counts[_SPACED + 2] = state[SPACED_ALPHA]


@njit(nogil=True, _nrt=False)
def _ends_line(data: _Bytes, start: int, stop: int, classes: UInt16[np.ndarray, "u"]) -> bool:
    """Whether the last character ends a sentence in some script."""
    at = stop - 1
    while at > start and (data[at] & 0xC0) == 0x80:
        at -= 1
    point, _ = code_point(data, at)
    return point < len(classes) and (classes[point] & TERMINAL) != 0


@njit(nogil=True, _nrt=False)
def _list_lines(
    data: _Bytes, size: int, wide: bool, maps: _Maps, classes: _Classes, short: int, hashes: _Hashes,
    sizes: _Sizes, filled: UInt8[np.ndarray, "c"], counts: _State,
) -> int:  # fmt: skip
    """Hash, characters and whether it holds more than white space, of every line between line feeds that is not empty."""
    at, count = 0, 0
    while at <= size:
        stop = next_set(maps[2], at, size)
        while stop < size and data[stop] != 0x0A:
            stop = next_set(maps[2], stop + 1, size)
        counts[_FILLED + 4] += stop < size
        if stop > at:
            characters = count_characters(data, at, stop) if wide else stop - at
            full = next_clear(maps[0], at, stop) < stop
            hashes[count], sizes[count], filled[count] = hash_bytes(data, at, stop), characters, full
            if full:
                counts[_FILLED] += 1
                counts[_FILLED + 1] += _ends_line(data, at, stop, classes)
                counts[_FILLED + 2] += characters <= short
            count += 1
        at = stop + 1
    return count


@njit(nogil=True, _nrt=False)
def _list_paragraphs(
    data: _Bytes, size: int, wide: bool, maps: _Maps, hashes: _Hashes, sizes: _Sizes
) -> int:
    """Hash and characters of what lies between two line feeds or more, in the stripped text; a blank text has one."""
    at, end, count = next_clear(maps[0], 0, size), last_filled(maps[0], 0, size), 0
    end = max(at, end)
    while at < end or count == 0:
        stop = next_set(maps[2], at, end)
        while stop < end and not (data[stop] == 0x0A and data[stop + 1] == 0x0A):
            stop = next_set(maps[2], stop + 1, end)
        hashes[count] = hash_bytes(data, at, stop)
        sizes[count] = count_characters(data, at, stop) if wide else stop - at
        count += 1
        at = stop
        while at < end and data[at] == 0x0A:
            at += 1
    return count


@njit(nogil=True, _nrt=False)
def _count_copies(
    data: _Bytes, size: int, wide: bool, maps: _Maps, classes: _Classes, short: int, hashes: _Hashes, sizes: _Sizes,
    table: _Sizes, filled: UInt8[np.ndarray, "c"], repeated: UInt8[np.ndarray, "c"], counts: _State,
) -> None:  # fmt: skip
    """Repeated lines and paragraphs."""
    lines = _list_lines(data, size, wide, maps, classes, short, hashes, sizes, filled, counts)
    mark_repeated(hashes, lines, table, repeated)
    # A line feed at either end of the text leaves an empty line there; the second of them repeats the first.
    bare = (1 if data[0] == 0x0A else 0) + (1 if data[size - 1] == 0x0A else 0) if size else 1
    counts[_RUNS] = lines + bare
    counts[_RUNS + 1] = bare == 2
    for line in range(lines):
        if repeated[line]:
            counts[_RUNS + 1] += 1
            counts[_RUNS + 2] += sizes[line]
            counts[_FILLED + 3] += sizes[line] if filled[line] else 0
    paragraphs = _list_paragraphs(data, size, wide, maps, hashes, sizes)
    mark_repeated(hashes, paragraphs, table, repeated)
    counts[_PARAGRAPHS] = paragraphs
    for paragraph in range(paragraphs):
        if repeated[paragraph]:
            counts[_PARAGRAPHS + 1] += 1
            counts[_PARAGRAPHS + 2] += sizes[paragraph]


@njit(nogil=True)
def _maps_room(size: int) -> _Maps:
    bits = (size >> 6) + 3
    return np.empty(bits, np.uint64), np.empty(bits, np.uint64), np.empty(bits, np.uint64)


@njit(nogil=True)
def _grams_room(size: int) -> Room:
    return (np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32),
            np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.int32))  # fmt: skip


@njit(cache=True, nogil=True)
def _measure(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], short: int, longest: int, fewest: int,
    classes: _Classes, lookup: _Bits,
) -> Int32[np.ndarray, "d b"]:  # fmt: skip
    rows, most = len(offsets) - 1, 8
    for row in range(rows):
        most = max(most, offsets[row + 1] - offsets[row] + 8)
    # Room for the longest text; what is not touched costs no memory.
    buffer, edited = np.zeros(most + 2 * PAD, np.uint8), np.zeros(most + 2 * PAD, np.uint8)
    maps, spare_maps, room = _maps_room(most), _maps_room(most), np.empty(3 * most, np.int32)
    words, hashes, sizes = np.empty(2 * WORD * most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.int32)
    grams, table = _grams_room(most), np.empty(8 * most + 16, np.int32)
    filled, repeated, sieve = np.empty(most, np.uint8), np.empty(most, np.uint8), np.empty(8 * most + 64, np.uint8)
    state, spare_state = np.zeros(STATES, np.int64), np.zeros(STATES, np.int64)
    counts, found = np.zeros(_WIDTH, np.int64), np.zeros(FOUND, np.int64)
    out = np.zeros((_WIDTH, rows), np.int32)
    for row in range(rows):
        size = copy_text(data, offsets[row], offsets[row + 1], buffer)
        counts[:] = 0
        state[:] = 0
        counts[_CHARACTERS] = map_text(buffer, size, maps[0], maps[1], maps[2], classes)
        wide = counts[_CHARACTERS] != size
        _count_copies(buffer, size, wide, maps, classes, short, hashes, sizes, table, filled, repeated, counts)
        counts[_FILLED + 5] = counts[_CHARACTERS] - counts[_FILLED + 4]
        count = _count_lines(
            buffer, size, maps, classes, lookup, words, state, room, edited, spare_maps, spare_state, longest, fewest, counts
        )
        _count_words(words, count, state, hashes, grams[6], counts)
        count_repeats(hashes, count, sieve, table, grams, found)
        counts[_TOP : _TOP + FOUND] = found
        for column in range(_WIDTH):
            out[column, row] = min(counts[column], 2147483647)
    return out


def measure_texts(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], short: int = 30, longest: int = 1000, fewest: int = 3
) -> Int32[np.ndarray, "d b"]:
    """The counts `COLUMNS` of every text; a line of at most `short` characters is short, a run of more than `longest`
    makes a line too long for C4, and a line of fewer than `fewest` words too short.

    >>> text = np.frombuffer(b"To be, or not to be.", np.uint8)
    >>> measure_texts(text, np.array([0, len(text)]))[:6, 0].tolist()
    [20, 8, 6, 13, 6, 2]
    """
    return _measure(np.ascontiguousarray(data), np.asarray(offsets, np.int64), short, longest, fewest, *tables())
