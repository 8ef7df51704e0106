"""Words of a text as spaCy's English rules cut them, with a hash, a size in characters and a few traits of each.

A run without white space is a word, unless it is special (a contraction, an abbreviation, an emoticon); otherwise
punctuation is taken off both its ends until a special word or nothing to take is left; what remains is an address, or is
cut at hyphens, dots and signs between letters. Runs of ASCII letters with at most one mark behind them, nine in ten in
English, take a short way that gives the same words.

    h(word)   16 bytes at a time by one multiplication each (wyhash, Wang Yi 2019, https://github.com/wangyi-fudan/wyhash)
    traits    WORDY (not only symbols), ALPHA (a letter in it), ENDS (ends a sentence), MARKS (only punctuation),
              GAP (more than one space before it)

What it leaves out of spaCy: units of Cyrillic and Arabic, `US$` behind a number, IP addresses with a path.
`bench/prove_rules.py` measures what that changes; the twin in plain Python is `bench/rules_reference.py`.
Source: spaCy (Honnibal and Montani 2017, https://spacy.io/usage/linguistic-features#how-tokenizer-works).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt16, UInt64
from numba import njit

from assay.kernels import text_classes as kinds
from assay.kernels.text_affixes import class_of, find_infix, find_prefix, find_suffix, is_address, is_digit
from assay.kernels.text_bits import code_point, count_characters, next_clear, next_set
from assay.kernels.text_phrases import CITED, CURLY, LINE, LONG, SCRIPT, cited, holds_script, note_phrases
from assay.kernels.text_tokens import (
    ALPHA,
    ENDS,
    GAP,
    MARKS,
    STOPPED,
    UNITS,
    WORD,
    WORDY,
    emit_letters,
    emit_parts,
    emit_word,
    hash_bytes,
    is_sieved,
    note_stop,
    put_word,
    special_parts,
)  # fmt: skip

# What `state` counts for the whole text beside `STOPS` and `LINE`.
HASHES, ELLIPSES, SPACED, SPACED_CHARACTERS, SPACED_ALPHA, STATES = 0, 1, 3, 4, 5, 8

_U = np.uint64
_LONGEST = 24  # bytes of the longest special word

_Bytes, _Bits, _Points, _State = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "w"], Int32[np.ndarray, "m"], Int64[np.ndarray, "r"]
_Classes = UInt16[np.ndarray, "u"]


# --- Runs with punctuation --------------------------------------------------------------------------------------------


@njit(nogil=True, _nrt=False)
def _note(data: _Bytes, start: int, room: _Points, size: int, state: _State) -> None:
    """Count `#` and ellipses of a run; note a curly bracket or a citation mark."""
    dots, places = 0, len(room) // 3
    for at in range(size):
        point = room[at]
        dots = dots + 1 if point == 0x2E else 0
        state[ELLIPSES] += point == 0x2026 or (dots > 0 and dots % 3 == 0)
        state[HASHES] += point == 0x23
        if point == 0x7B:
            state[LINE] |= CURLY
        elif point == 0x5B and cited(data, start + room[places + at], start + room[places + size] + 64):
            state[LINE] |= CITED


@njit(nogil=True, forceinline=True, _nrt=False)
def _special_range(data: _Bytes, start: int, stop: int, lookup: _Bits) -> int:
    if stop - start > _LONGEST:
        return 0
    h = hash_bytes(data, start, stop)
    return special_parts(h, lookup) if is_sieved(h, lookup) else 0


@njit(nogil=True, _nrt=False)
def _cut_middle(
    data: _Bytes, start: int, room: _Points, low: int, high: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> int:
    """Add what is left between the affixes."""
    places = len(room) // 3
    if low >= high:
        return count
    parts = _special_range(data, start + room[places + low], start + room[places + high], lookup)
    if parts:
        return emit_parts(data, start + room[places + low], parts, classes, words, count)
    if not is_address(room, low, high, classes):
        at, first = low, low
        while at < high:
            size = find_infix(room, low, at, high, classes)
            if size and at > low:
                if at > first:
                    count = emit_word(data, start + room[places + first], start + room[places + at], classes, words, count)
                count = emit_word(data, start + room[places + at], start + room[places + at + size], classes, words, count)
                first = at + size
            at += max(size, 1)
        low = first
    if low < high:
        count = emit_word(data, start + room[places + low], start + room[places + high], classes, words, count)
    return count


@njit(nogil=True, _nrt=False)
def _merge_specials(data: _Bytes, first: int, count: int, classes: _Classes, lookup: _Bits, words: _Bits) -> int:
    """Put together neighbours that are one special word (`:` and `)`), the longest first."""
    at, end = first, first
    while at < count:
        merged, start = at + 1, np.int64(words[WORD * at + 2] >> _U(32))
        for last in range(min(at + 7, count) - 1, at, -1):
            parts = _special_range(data, start, np.int64(words[WORD * last + 2] & _U(0xFFFFFFFF)), lookup)
            if 0 < parts < 256:
                merged = last + 1
                break
        if merged > at + 1:
            emit_word(data, start, np.int64(words[WORD * merged - 1] & _U(0xFFFFFFFF)), classes, words, end)
        elif end != at:
            for entry in range(WORD):
                words[WORD * end + entry] = words[WORD * at + entry]
        at, end = merged, end + 1
    return end


@njit(nogil=True, _nrt=False)
def _cut_run(
    data: _Bytes, start: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int, state: _State, room: _Points
) -> int:
    """Add the words of the run `data[start:stop]`, whatever it holds.

    `room` has three parts: its code points, the place of each in bytes, and the sizes of suffixes taken off.
    """
    places, taken = len(room) // 3, len(room) // 3 * 2
    size, at, first = 0, start, count
    while at < stop:
        point, wide = code_point(data, at)
        room[size], room[places + size] = point, at - start
        at, size = at + wide, size + 1
    room[places + size] = stop - start
    _note(data, start, room, size, state)
    parts = _special_range(data, start, stop, lookup)
    if parts:
        return emit_parts(data, start, parts, classes, words, count)
    low, high, last, suffixes = 0, size, 0, 0
    while low < high and high - low != last:
        begin, end = start + room[places + low], start + room[places + high]
        if _special_range(data, begin, end, lookup):
            break
        last = high - low
        front = find_prefix(room, low, high, classes)
        inner = start + room[places + low + front]
        if front:
            count = emit_word(data, begin, inner, classes, words, count)
            if low + front < high and _special_range(data, inner, end, lookup):
                low += front
                break
        back = find_suffix(room, low + front, high, classes, lookup[UNITS:STOPPED])
        if back:
            room[taken + suffixes], suffixes = back, suffixes + 1
            if low < high - back and _special_range(data, begin, start + room[places + high - back], lookup):
                count -= 1 if front else 0
                high -= back
                break
        low, high = low + front, high - back
    count = _cut_middle(data, start, room, low, high, classes, lookup, words, count)
    while suffixes:
        suffixes -= 1
        size = room[taken + suffixes]
        count = emit_word(data, start + room[places + high], start + room[places + high + size], classes, words, count)
        high += size
    return _merge_specials(data, first, count, classes, lookup, words) if count > first + 1 else count


# --- Runs with punctuation that is common ------------------------------------------------------------------------------


@njit(nogil=True, forceinline=True, _nrt=False)
def _is_letter(byte: int) -> bool:
    """Whether it is an ASCII letter."""
    return 0x61 <= (byte | 0x20) <= 0x7A


@njit(nogil=True, forceinline=True, _nrt=False)
def _joins(byte: int) -> bool:
    return byte == 0x2E or byte == 0x2C


@njit(nogil=True, forceinline=True, _nrt=False)
def _opens(data: _Bytes, at: int) -> bool:
    byte = data[at]
    if byte == 0xE2:
        return data[at + 1] == 0x80 and data[at + 2] == 0x9C
    return byte == 0x22 or byte == 0x28 or byte == 0x24


@njit(nogil=True, forceinline=True, _nrt=False)
def _closes(data: _Bytes, at: int) -> bool:
    byte = data[at]
    if byte == 0xE2:
        return data[at + 1] == 0x80 and data[at + 2] == 0x9D
    return byte == 0x2C or byte == 0x2E or byte == 0x22 or byte == 0x29 or byte == 0x21 or byte == 0x3F


@njit(nogil=True, forceinline=True, _nrt=False)
def _put_mark(data: _Bytes, start: int, stop: int, words: _Bits, count: int) -> int:
    """Add one mark that is punctuation in every sense; a dollar sign is no mark."""
    byte = data[start]
    ends = byte == 0x2E or byte == 0x21 or byte == 0x3F
    traits = 0 if byte == 0x24 else MARKS | ENDS if ends else MARKS
    return put_word(words, count, hash_bytes(data, start, stop), 1, traits, start, stop)


@njit(nogil=True, _nrt=False)
def _cut_common(
    data: _Bytes, start: int, edge: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> int:
    """Add the words of a run by the short ways; -1 where none fits. `edge` is the first byte that is no ASCII letter."""
    byte = data[edge]
    if byte >= 0x80:
        found = _cut_foreign(data, start, stop, classes, lookup, words, count)
        if found >= 0:
            return found
    if stop == start + 1 and byte != 0x23 and byte != 0x5B and byte != 0x7B:
        return emit_word(data, start, stop, classes, words, count)
    return _cut_plain(data, start, stop, classes, lookup, words, count)


@njit(nogil=True, _nrt=False)
def _cut_foreign(
    data: _Bytes, start: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> int:
    """Add letters of any script with at most one mark `, : ; ! ? .` behind them; -1 where it is something else."""
    edge, kind = start, 0
    while edge < stop:
        point, size = code_point(data, edge)
        after = class_of(point, classes)
        if not after & kinds.LETTER or after & (kinds.ICON | kinds.PREFIX | kinds.SUFFIX):
            break
        edge, kind = edge + size, after
    if edge == start or _special_range(data, start, stop, lookup):
        return -1
    if edge == stop:
        return emit_word(data, start, stop, classes, words, count)
    mark = data[edge]
    cut = mark == 0x2C or mark == 0x3A or mark == 0x3B or mark == 0x21 or mark == 0x3F or (mark == 0x2E and kind & kinds.LOWER)
    if edge + 1 < stop or not cut or _special_range(data, start, edge, lookup):
        return -1
    count = emit_word(data, start, edge, classes, words, count)
    return emit_word(data, edge, stop, classes, words, count)


@njit(nogil=True, _nrt=False)
def _cut_plain(
    data: _Bytes, start: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> int:
    """Add the words of a common run with punctuation, without looking at every rule; -1 where that might be wrong.

    Opening marks `" ( $ “`, letters (with apostrophe or hyphens) or a number, closing marks `, ! ? " ) . ”`.
    """
    at = start
    while at < stop and _opens(data, at):
        count = _put_mark(data, at, at + (3 if data[at] == 0xE2 else 1), words, count)
        at += 3 if data[at] == 0xE2 else 1
    core, end = at, at
    while end < stop and _is_letter(data[end]):
        end += 1
    if end == core:
        while end < stop and (is_digit(data[end]) or (_joins(data[end]) and end > core and is_digit(data[end + 1]))):
            end += 1
        eight = end == core + 1 and data[core] == 0x38
        if end == core or (end < stop and (eight or not _closes(data, end))):
            return -1
        count = put_word(words, count, hash_bytes(data, core, end), end - core, WORDY, core, end)
    else:
        count, end = _cut_core(data, core, end, stop, classes, lookup, words, count)
        if end < 0:
            return -1
    while end < stop:
        if not _closes(data, end) or (data[end] == 0x2E and end + 1 < stop and data[end + 1] == 0x2E):
            return -1
        wide = 3 if data[end] == 0xE2 else 1
        count = _put_mark(data, end, end + wide, words, count)
        end += wide
    return count if end == stop else -1


@njit(nogil=True, _nrt=False)
def _cut_core(
    data: _Bytes, core: int, end: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> tuple[int, int]:
    """Add letters from `core` to `end` and what is joined to them; returns the count and where it ends, or -1 for it."""
    wide = 1 if data[end] == 0x27 else 3 if data[end] == 0xE2 and data[end + 1] == 0x80 and data[end + 2] == 0x99 else 0
    if wide and end < stop:
        after = end + wide
        while after < stop and _is_letter(data[after]):
            after += 1
        if after == end + wide or (after < stop and (not _closes(data, after) or data[after] == 0x2E)):
            return count, -1
        parts = _special_range(data, core, after, lookup)
        if parts:
            return emit_parts(data, core, parts, classes, words, count), after
        if after != end + wide + 1 or data[end + wide] | 0x20 != 0x73:
            return count, -1
        count = emit_letters(data, core, end, classes, lookup, words, count)
        return put_word(words, count, hash_bytes(data, end, after), 2, WORDY | ALPHA, end, after), after
    if end < stop and data[end] == 0x2D:
        return _cut_hyphens(data, core, end, stop, lookup, words, count)
    if end < stop and data[end] == 0x2E and (data[end - 1] <= 0x5A or is_sieved(hash_bytes(data, core, end + 1), lookup)):
        return count, -1
    if end < stop and not _closes(data, end):
        return count, -1
    return emit_letters(data, core, end, classes, lookup, words, count), end


@njit(nogil=True, _nrt=False)
def _cut_hyphens(
    data: _Bytes, core: int, end: int, stop: int, lookup: _Bits, words: _Bits, count: int
) -> tuple[int, int]:
    """Add words of letters that are joined by single hyphens."""
    while True:
        count = put_word(words, count, hash_bytes(data, core, end), end - core, WORDY | ALPHA, core, end)
        if end >= stop or data[end] != 0x2D:
            break
        count = _put_mark(data, end, end + 1, words, count)
        core = end + 1
        end = core
        while end < stop and _is_letter(data[end]):
            end += 1
        if end == core:
            return count, -1
    if end < stop and data[end] == 0x2E and (data[end - 1] <= 0x5A or is_sieved(hash_bytes(data, core, end + 1), lookup)):
        return count, -1
    return count, end if end == stop or _closes(data, end) else -1


# --- Lines ------------------------------------------------------------------------------------------------------------


@njit(nogil=True, _nrt=False)
def _cut_marked(
    data: _Bytes, start: int, edge: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int
) -> int:
    """Add ASCII letters up to `edge` and the mark there, where that is all there is to it; -1 where it is not."""
    mark = data[edge]
    if mark == 0x2E:
        size = edge - start
        if size == 0:
            return put_word(words, count, hash_bytes(data, start, edge + 1), 1, ENDS | MARKS, start, edge + 1)
        if is_sieved(hash_bytes(data, start, edge + 1), lookup):
            return -1
        capital = data[edge - 1] <= 0x5A
        if capital and (size == 1 or data[edge - 2] > 0x5A):
            return put_word(words, count, hash_bytes(data, start, edge + 1), size + 1, WORDY | ALPHA, start, edge + 1)
    elif mark != 0x2C and mark != 0x3A and mark != 0x3B and mark != 0x21 and mark != 0x3F:
        return -1
    if edge > start:
        count = emit_letters(data, start, edge, classes, lookup, words, count)
    ends = mark == 0x2E or mark == 0x21 or mark == 0x3F
    return put_word(words, count, hash_bytes(data, edge, edge + 1), 1, MARKS | (ENDS if ends else 0), edge, edge + 1)


@njit(cache=True, nogil=True, _nrt=False)
def cut_line(
    data: _Bytes,
    start: int,
    stop: int,
    space: _Bits,
    other: _Bits,
    classes: _Classes,
    lookup: _Bits,
    words: _Bits,
    count: int,
    state: _State,
    room: _Points,
    longest: int,
) -> int:
    """Append the words of the line `data[start:stop]` to `words` from `count` on; return the new count.

    `space` and `other` are its maps; `state[LINE]` tells what the line holds, the other entries of `state` go on counting;
    a run of more than `longest` characters makes the line LONG.
    """
    state[LINE] = SCRIPT if holds_script(data, start, stop) else 0
    at = next_clear(space, start, stop)
    before, spaced, spaced_characters, spaced_alpha = at, 0, 0, 0
    while at < stop:
        end = next_set(space, at, stop)
        edge = next_set(other, at, end)
        first, characters = count, end - at
        note_phrases(data, start, at, state)
        if edge == end:
            count = emit_letters(data, at, end, classes, lookup, words, count)
            spaced_alpha += 1
            if count == first + 1:
                note_stop(data, at, end, lookup, state)
            else:
                _note_words(data, first, count, lookup, words, state)
        else:
            marked = _cut_marked(data, at, edge, classes, lookup, words, count) if edge == end - 1 else -1
            if marked < 0:
                marked = _cut_common(data, at, edge, end, classes, lookup, words, count)
                characters = count_characters(data, at, end)
            count = marked if marked >= 0 else _cut_run(data, at, end, classes, lookup, words, count, state, room)
            if count == first + 2 and marked == count and edge == end - 1 > at:
                note_stop(data, at, edge, lookup, state)
                spaced_alpha += 1
            else:
                spaced_alpha += _note_words(data, first, count, lookup, words, state)
        if characters > longest:
            state[LINE] |= LONG
        if at > before and (at - before != 1 or data[before] != 0x20):
            words[_U(WORD * first + 1)] |= _U(GAP)
        spaced += 1
        spaced_characters += characters
        before = end
        at = next_clear(space, end, stop)
    state[SPACED] += spaced
    state[SPACED_CHARACTERS] += spaced_characters
    state[SPACED_ALPHA] += spaced_alpha
    return count


@njit(nogil=True, _nrt=False)
def _note_words(data: _Bytes, first: int, last: int, lookup: _Bits, words: _Bits, state: _State) -> int:
    """Note stop words among some words; returns 1 if one of them has a letter."""
    alpha = _U(0)
    for word in range(first, last):
        place = words[WORD * word + 2]
        alpha |= words[WORD * word + 1] & _U(ALPHA)
        note_stop(data, np.int64(place >> _U(32)), np.int64(place & _U(0xFFFFFFFF)), lookup, state)
    return 1 if alpha else 0


@njit(cache=True, nogil=True, _nrt=False)
def count_sentences(words: UInt64[np.ndarray, "w"], first: int, last: int) -> int:
    """Sentences among the words `first` to `last`: one begins after a word that ends one, and the marks behind that."""
    count, ended = 1, False
    for word in range(first, last):
        trait = np.int64(words[WORD * word + 1] & _U(0xFF))
        if ended and word > first and trait & GAP:
            count, ended = count + 1, False
        if ended and not trait & (MARKS | ENDS):
            count, ended = count + 1, False
        elif trait & ENDS:
            ended = True
    return count
