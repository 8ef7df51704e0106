"""What a fastText model sees of a text: the summed rows of its words, subwords and word n-grams, as the library sums them.

    word       a run of bytes between separators; those of the vocabulary have a row, the rest only their subwords
    line end   the word </s>, which ends every text, and ends it early where it stands in it
    subword    every run of minn..maxn characters of <word>, except < and > alone; row words + fnv(run) mod bucket
    n-gram     of the words i..j: h = fnv(i), then h = h M + fnv(next) mod 2^64; row words + h mod bucket
    fnv        FNV-1a of 32 bits whose bytes are signed: in n-grams too, where 32 bits become 64
    pruned     a quantised model keeps some of the hashed rows, under numbers of their own; the rest count as nothing

Separators are the library's (space, tab, line ends, NUL) and, because a text is scored as one line, those that Python's
`splitlines` knows: 0x1C to 0x1E, U+0085, U+2028 and U+2029.

Words are found by 64 bits of a hash of their bytes in place of the bytes. The sums of words with subwords are kept in a
table for the length of one call, since most words come again; a word's sum is the same from the table or anew, so the
table changes nothing but the time. Method: Joulin, Grave, Bojanowski and Mikolov 2016, https://arxiv.org/abs/1607.01759;
subwords: Bojanowski et al. 2016, https://arxiv.org/abs/1607.04606. `tests/kernels/test_fasttext.py` has the Python twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8, UInt64
from numba import njit

from assay.kernels.bits import load_word, multiply_mix, trailing_zeros
from assay.kernels.fasttext_lanes import LANES, add_lanes, prefetch, separator_block

PAD = 80  # bytes that must follow the data: blocks of 64 bytes and words of 16 are read past the end
_CHUNK = 512  # words in flight
_ROOM = 64  # words that one block of 64 bytes can add, and more
_IDS = 4096  # rows in flight
_CACHE_BYTES = 1 << 21
_U = np.uint64
_0, _1, _2, _8, _16, _32, _63, _64 = [_U(number) for number in (0, 1, 2, 8, 16, 32, 63, 64)]
_LOW = _U(0xFFFFFFFF)
_SEED_A, _SEED_B = _U(0x243F6A8885A308D3), _U(0x13198A2E03707345)  # digits of pi
_FNV_START, _FNV_PRIME, _GRAM_PRIME = _U(2166136261), _U(16777619), _U(116049371)
_FIRST = np.array([(1 << 8 * min(length, 8)) - 1 for length in range(17)], np.uint64)
_SECOND = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in range(17)], np.uint64)
_END = np.frombuffer(b"</s>" + bytes(16), np.uint8)
_LABEL = _U(int.from_bytes(b"__label_", "little"))
_LAST = np.uint8(ord("_"))
_SKIP = _LOW  # the count of a word that is a label


class Tables(NamedTuple):
    """A model as the kernels read it. `rows` is flat, `width` floats a row (1, or a multiple of 8)."""

    slots: UInt64[np.ndarray, "d"]  # pairs: hash of a word (0: free), and fnv << 32 | its number
    rows: Float32[np.ndarray, "d"]
    remap: Int32[np.ndarray, "d"]  # number of each hashed row among those that were kept, or -1; empty: all were
    width: int
    words: int
    eos: int  # number of </s>, or -1
    bucket: int
    order: int
    minn: int
    maxn: int


@njit(nogil=True, _nrt=False)
def _hash(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> int:
    """64 bits of the word `data[start:stop]`, never 0."""
    mixed, at, end = _U(stop - start), _U(start), _U(stop)
    while end - at > _16:
        mixed = multiply_mix(load_word(data, at) ^ _SEED_A ^ mixed, load_word(data, at + _8) ^ _SEED_B)
        at += _16
    length = end - at
    first, second = load_word(data, at) & _FIRST[length], load_word(data, at + _8) & _SECOND[length]
    return multiply_mix(first ^ _SEED_A ^ mixed, second ^ _SEED_B) | _1


@njit(nogil=True, _nrt=False)
def _fnv(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> int:
    """FNV-1a of signed bytes, 32 bits."""
    h = _FNV_START
    for at in range(start, stop):
        h = (h ^ _U(np.int64(np.int8(data[at])))) * _FNV_PRIME
    return h & _LOW


@njit(nogil=True, _nrt=False)
def _modulo(h: int, divisor: int, magic: int) -> int:
    """h mod divisor, where magic = (2^64 - 1) // divisor: the quotient's estimate is at most one too small."""
    quotient = multiply_mix(h, magic) ^ (h * magic)
    rest = h - quotient * divisor
    return rest - divisor if rest >= divisor else rest


@njit(nogil=True, _nrt=False)
def _find(slots: UInt64[np.ndarray, "d"], h: int) -> int:
    """What is stored with a word, or 2^64 - 1."""
    last = _U(len(slots)) - _2
    at = h & last
    while slots[at] != h:
        if slots[at] == _0:
            return ~_0
        at = (at + _2) & last
    return slots[at + _1]


@njit(cache=True, nogil=True)
def fill_slots(
    data: UInt8[np.ndarray, "m"], starts: Int64[np.ndarray, "v"], stops: Int64[np.ndarray, "v"],
    slots: UInt64[np.ndarray, "d"],
) -> None:  # fmt: skip
    """Enter the words `data[starts:stops]`, numbered in order, into free `slots`; `data` has 16 bytes of room."""
    last = _U(len(slots)) - _2
    for word in range(len(starts)):
        h = _hash(data, starts[word], stops[word])
        at = h & last
        while slots[at] != _0 and slots[at] != h:
            at = (at + _2) & last
        slots[at] = h
        slots[at + _1] = (_fnv(data, starts[word], stops[word]) << _32) | _U(word)


@njit(nogil=True, _nrt=False)
def _wide(data: UInt8[np.ndarray, "m"], first: int, at: int, leads: int) -> int:
    """The mask of the separators of two and three bytes in the block at `at`: U+0085, U+2028 and U+2029."""
    found = _0
    for place in (at - 2, at - 1):
        if place >= first and data[place] == 0xE2 and data[place + 1] == 0x80 and data[place + 2] & 0xFE == 0xA8:
            found |= _1 if place == at - 2 else _U(3)
    if at > first and data[at - 1] == 0xC2 and data[at] == 0x85:
        found |= _1
    while leads:
        place = at + np.int64(trailing_zeros(leads))
        bit = leads & (~leads + _1)
        if data[place] == 0xC2 and data[place + 1] == 0x85:
            found |= bit | (bit << _1)
        elif data[place] == 0xE2 and data[place + 1] == 0x80 and data[place + 2] & 0xFE == 0xA8:
            found |= bit | (bit << _1) | (bit << _2)
        leads &= leads - _1
    return found


@njit(nogil=True, _nrt=False)
def _cut(
    data: UInt8[np.ndarray, "m"], at: int, span: Int64[np.ndarray, "3"], begins: Int64[np.ndarray, "k"],
    ends: Int64[np.ndarray, "k"],
) -> tuple[int, int]:  # fmt: skip
    """Bounds of the next words of a text, at least one block of it; `span` is its start, its stop, and where the word that
    is open at `at` begins (-1: none). Returns their number, and where to go on."""
    first, stop, opened, count = span[0], span[1], span[2], 0
    while at < stop and count < _CHUNK - _ROOM:
        breaks, leads = separator_block(data, _U(at))
        if leads or data[at - 1] >= 0x80:
            breaks |= _wide(data, first, at, leads)
        valid = (_1 << _U(stop - at)) - _1 if stop - at < 64 else ~_0
        word = ~breaks & valid
        shifted = (word << _1) | _U(opened >= 0)
        starting, stopping = word & ~shifted, ~word & shifted
        while stopping:
            if opened < 0:
                opened = at + np.int64(trailing_zeros(starting))
                starting &= starting - _1
            begins[count], ends[count] = opened, at + np.int64(trailing_zeros(stopping))
            opened = -1
            count += 1
            stopping &= stopping - _1
        if starting:
            opened = at + np.int64(trailing_zeros(starting))
        at += 64
    if at >= stop and opened >= 0:
        begins[count], ends[count] = opened, stop
        opened = -1
        count += 1
    span[2] = opened
    return count, at


@njit(nogil=True, _nrt=False)
def _is_label(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> bool:
    """Whether an unknown word begins with __label__, which the library then leaves out."""
    return stop - start >= 9 and load_word(data, _U(start)) == _LABEL and data[start + 8] == _LAST


@njit(nogil=True, _nrt=False)
def _add_rows(
    tables: Tables, ids: Int64[np.ndarray, "k"], count: int, total: Float32[np.ndarray, "d"], place: int
) -> None:
    """Add rows to `total[place : place + width]`."""
    if tables.width == 1:
        a = b = c = d = np.float32(0)
        at = 0
        while at + 4 <= count:
            a += tables.rows[ids[at]]
            b += tables.rows[ids[at + 1]]
            c += tables.rows[ids[at + 2]]
            d += tables.rows[ids[at + 3]]
            at += 4
        while at < count:
            a += tables.rows[ids[at]]
            at += 1
        total[place] += (a + b) + (c + d)
        return
    for at in range(count):
        start = ids[at] * tables.width
        for lane in range(0, tables.width, LANES):
            add_lanes(total, _U(place + lane), tables.rows, _U(start + lane))


@njit(nogil=True, _nrt=False)
def _hashed_row(tables: Tables, h: int, magic: int) -> int:
    """The row of a hashed feature, or -1 where pruning left it out; its memory is asked for."""
    number = np.int64(_modulo(h, _U(tables.bucket), magic))
    if len(tables.remap):
        number = np.int64(tables.remap[number])
        if number < 0:
            return -1
    row = np.int64(tables.words) + number
    prefetch(tables.rows, _U(row * tables.width))
    return row


@njit(nogil=True, _nrt=False)
def _subwords(
    tables: Tables, magic: int, bounded: UInt8[np.ndarray, "m"], size: int, ids: Int64[np.ndarray, "k"], count: int,
    total: Float32[np.ndarray, "d"], place: int,
) -> int:  # fmt: skip
    """Add the rows of the first `count` ids and of the subwords of the `size` bytes <word>; returns how many."""
    added = 0
    for start in range(size):
        if bounded[start] & 0xC0 == 0x80:
            continue
        if count + tables.maxn > len(ids):
            _add_rows(tables, ids, count, total, place)
            added, count = added + count, 0
        h, stop, length = _FNV_START, start, 1
        while stop < size and length <= tables.maxn:
            h = (h ^ _U(np.int64(np.int8(bounded[stop])))) * _FNV_PRIME
            stop += 1
            while stop < size and bounded[stop] & 0xC0 == 0x80:
                h = (h ^ _U(np.int64(np.int8(bounded[stop])))) * _FNV_PRIME
                stop += 1
            if length >= tables.minn and not (length == 1 and (start == 0 or stop == size)):
                row = _hashed_row(tables, h & _LOW, magic)
                if row >= 0:
                    ids[count] = row
                    count += 1
            length += 1
    _add_rows(tables, ids, count, total, place)
    return added + count


@njit(nogil=True, _nrt=False)
def _word_sum(
    data: UInt8[np.ndarray, "m"], start: int, stop: int, h: int, tables: Tables, magic: int,
    bounded: UInt8[np.ndarray, "m"], ids: Int64[np.ndarray, "k"], total: Float32[np.ndarray, "d"], place: int,
) -> int:  # fmt: skip
    """Write the summed rows of a word and its subwords; returns fnv << 32 | number of rows, or _SKIP for a label."""
    for lane in range(tables.width):
        total[place + lane] = np.float32(0)
    known = _find(tables.slots, h)
    number, count = np.int64(known & _LOW), 0
    if known == ~_0:
        if _is_label(data, start, stop):
            return _SKIP
        known = _fnv(data, start, stop) << _32
    elif number >= tables.words:
        return _SKIP
    else:
        ids[0], count = number, 1
    size = stop - start
    bounded[0], bounded[size + 1] = ord("<"), ord(">")
    for at in range(size):
        bounded[at + 1] = data[start + at]
    rows = _subwords(tables, magic, bounded, size + 2, ids, count, total, place)
    return (known & ~_LOW) | _U(rows)


@njit(nogil=True, _nrt=False)
def _take_words(
    data: UInt8[np.ndarray, "m"], tables: Tables, hashes: UInt64[np.ndarray, "k"], begins: Int64[np.ndarray, "k"],
    ends: Int64[np.ndarray, "k"], count: int, ids: Int64[np.ndarray, "k"], prints: UInt64[np.ndarray, "k"],
    total: Float32[np.ndarray, "d"],
) -> tuple[int, int]:  # fmt: skip
    """Without subwords: add the rows of known words; list what n-grams are made of. Returns rows added, words listed."""
    rows = listed = 0
    for word in range(count):
        known = _find(tables.slots, hashes[word])
        number = np.int64(known & _LOW)
        if known == ~_0:
            if _is_label(data, begins[word], ends[word]):
                continue
            if tables.order > 1:
                known = _fnv(data, begins[word], ends[word]) << _32
        elif number < tables.words:
            ids[rows] = number
            prefetch(tables.rows, _U(number * tables.width))
            rows += 1
        else:
            continue
        prints[listed] = known >> _32
        listed += 1
    _add_rows(tables, ids, rows, total, 0)
    return rows, listed


@njit(nogil=True, _nrt=False)
def _take_cached(
    data: UInt8[np.ndarray, "m"], tables: Tables, magic: int, hashes: UInt64[np.ndarray, "k"],
    begins: Int64[np.ndarray, "k"], ends: Int64[np.ndarray, "k"], count: int, ids: Int64[np.ndarray, "k"],
    prints: UInt64[np.ndarray, "k"], total: Float32[np.ndarray, "d"], bounded: UInt8[np.ndarray, "m"],
    keys: UInt64[np.ndarray, "d"], facts: UInt64[np.ndarray, "d"], sums: Float32[np.ndarray, "d"],
) -> tuple[int, int]:  # fmt: skip
    """The same with subwords, by way of the table of word sums (`keys`, `facts`, `sums`)."""
    rows, listed, mask = 0, 0, _U(len(keys)) - _1
    for word in range(count):
        h = hashes[word]
        slot = (h >> _32) & mask
        place = np.int64(slot) * tables.width
        if keys[slot] != h:
            keys[slot] = h
            facts[slot] = _word_sum(data, begins[word], ends[word], h, tables, magic, bounded, ids, sums, place)
        fact = facts[slot]
        if fact == _SKIP:
            continue
        rows += np.int64(fact & _LOW)
        prints[listed] = fact >> _32
        listed += 1
        if tables.width == 1:
            total[0] += sums[place]
        else:
            for lane in range(0, tables.width, LANES):
                add_lanes(total, _U(lane), sums, _U(place + lane))
    return rows, listed


@njit(nogil=True, _nrt=False)
def _take_grams(
    tables: Tables, magic: int, prints: UInt64[np.ndarray, "k"], listed: int, seen: int, grams: UInt64[np.ndarray, "k"],
    lasts: UInt64[np.ndarray, "k"], ids: Int64[np.ndarray, "k"], total: Float32[np.ndarray, "d"],
) -> int:  # fmt: skip
    """Add the rows of the n-grams that end at each listed word; `lasts[k]` is the k-gram that ended before them."""
    added = 0
    for word in range(listed):
        prints[word] = _U(np.int64(np.int32(prints[word])))
        grams[word] = prints[word]
    for order in range(1, tables.order + 1):
        if order > 1:
            before = lasts[order - 1]
            count = 0
            for word in range(listed):
                gram = before * _GRAM_PRIME + prints[word]
                before = grams[word]
                grams[word] = gram
                if seen + word + 1 >= order:
                    row = _hashed_row(tables, gram, magic)
                    if row >= 0:
                        ids[count] = row
                        count += 1
            lasts[order - 1] = before
            _add_rows(tables, ids, count, total, 0)
            added += count
    return added


@njit(cache=True, nogil=True)
def sum_rows(
    data: UInt8[np.ndarray, "m"], starts: Int64[np.ndarray, "b"], stops: Int64[np.ndarray, "b"], tables: Tables
) -> tuple[Float32[np.ndarray, "b d"], Int64[np.ndarray, "b"]]:
    """Sums (b, width) and numbers (b,) of the rows of every text `data[starts:stops]`; `data` has PAD bytes of room."""
    sums, counts = np.zeros((len(starts), tables.width), np.float32), np.zeros(len(starts), np.int64)
    begins, ends = np.empty(_CHUNK + 1, np.int64), np.empty(_CHUNK + 1, np.int64)
    hashes, prints, grams = (
        np.empty(_CHUNK + 1, np.uint64), np.empty(_CHUNK + 1, np.uint64), np.empty(_CHUNK + 1, np.uint64)
    )  # fmt: skip
    ids, lasts, span = np.empty(_IDS, np.int64), np.zeros(tables.order + 1, np.uint64), np.zeros(3, np.int64)
    entries = 1 << 15
    while entries * tables.width * 4 > _CACHE_BYTES and entries > 4096:
        entries >>= 1
    entries = entries if tables.maxn > 0 else 1
    keys, facts = np.zeros(entries, np.uint64), np.zeros(entries, np.uint64)
    cached = np.zeros(entries * tables.width, np.float32)
    longest = 0
    for row in range(len(starts)):
        longest = max(longest, stops[row] - starts[row])
    bounded = np.empty(longest + 2, np.uint8)
    magic = ~_0 // _U(max(tables.bucket, 1))
    end_hash, end_print = _hash(_END, 0, 4), _fnv(_END, 0, 4)
    for row in range(len(starts)):
        total, at, seen, ended = sums[row], starts[row], 0, False
        span[0], span[1], span[2] = starts[row], stops[row], -1
        while not ended:
            count, at = _cut(data, at, span, begins, ends)
            ended = at >= stops[row]
            for word in range(count):
                hashes[word] = _hash(data, begins[word], ends[word])
                prefetch(tables.slots, hashes[word] & (_U(len(tables.slots)) - _2))
                if hashes[word] == end_hash:
                    count, ended = word, True
                    break
            if tables.maxn > 0:
                rows, listed = _take_cached(
                    data, tables, magic, hashes, begins, ends, count, ids, prints, total, bounded, keys, facts, cached
                )
            else:
                rows, listed = _take_words(data, tables, hashes, begins, ends, count, ids, prints, total)
            if ended:
                prints[listed] = end_print
                listed += 1
                if tables.eos >= 0:
                    ids[0] = tables.eos
                    _add_rows(tables, ids, 1, total, 0)
                    rows += 1
            counts[row] += rows
            if tables.order > 1:
                counts[row] += _take_grams(tables, magic, prints, listed, seen, grams, lasts, ids, total)
            seen += listed
    return sums, counts


@njit(cache=True, nogil=True)
def scan_entries(
    data: UInt8[np.ndarray, "m"], at: int, count: int
) -> tuple[Int64[np.ndarray, "v"], Int64[np.ndarray, "v"], Int64[np.ndarray, "v"], UInt8[np.ndarray, "v"], int]:
    """The dictionary of a model file from byte `at` on: starts, stops, counts and kinds (0 word, 1 label) of its entries,
    and where it ends; -1 where the file ends before."""
    starts, stops = np.zeros(count, np.int64), np.zeros(count, np.int64)
    often, kinds = np.zeros(count, np.int64), np.zeros(count, np.uint8)
    for entry in range(count):
        starts[entry] = at
        while at < len(data) and data[at] != 0:
            at += 1
        if at + 10 > len(data):
            return starts, stops, often, kinds, -1
        stops[entry] = at
        value = _0
        for byte in range(8):
            value |= _U(data[at + 1 + byte]) << _U(8 * byte)
        often[entry], kinds[entry] = np.int64(value), data[at + 9]
        at += 10
    return starts, stops, often, kinds, at


@njit(cache=True, nogil=True)
def strip(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]
) -> tuple[Int64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Where each text starts and stops without the white space around it, as Python's `str.strip` has it."""
    starts, stops = offsets[:-1].copy(), offsets[1:].copy()
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        while start < stop:
            length = _space(data, start, stop)
            if length == 0:
                break
            start += length
        while start < stop:
            last = stop - 1
            while last > start and data[last] & 0xC0 == 0x80:
                last -= 1
            if _space(data, last, stop) == 0:
                break
            stop = last
        starts[row], stops[row] = start, stop
    return starts, stops


@njit(nogil=True, _nrt=False)
def _space(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> int:
    """Bytes of the white space character at `at`; 0 where there is none."""
    byte = data[at]
    if byte < 0x80:
        return 1 if byte == 0x20 or 0x09 <= byte <= 0x0D or 0x1C <= byte <= 0x1F else 0
    if byte == 0xC2 and at + 1 < stop:
        return 2 if data[at + 1] == 0x85 or data[at + 1] == 0xA0 else 0
    if byte < 0xE1 or byte > 0xE3 or at + 2 >= stop:
        return 0
    code = (np.int64(byte & 0x0F) << 12) | (np.int64(data[at + 1] & 0x3F) << 6) | np.int64(data[at + 2] & 0x3F)
    known = code == 0x1680 or 0x2000 <= code <= 0x200A or code == 0x2028 or code == 0x2029
    return 3 if known or code == 0x202F or code == 0x205F or code == 0x3000 else 0
