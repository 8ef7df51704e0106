"""Words as eval items are compared: the spelling of spaces, case, marks, accents and Unicode forms cannot tell two apart.

    fold(c)    casefold(NFKD(c)) without combining marks (canonical class > 0), for every c below U+20000
    dropped    marks, apostrophes of all kinds, soft hyphens and other invisible characters, all from U+E0000 on
    word       a run of folded letters, digits and marks of class 0; what is neither ends it
    alone      a character of a script written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) is a word
    hash       h <- (h ^ c) P over the folded characters, mixed, 32 bits; the lowest bit says: begins with a digit

Two texts with equal words have equal hashes; different words collide with probability 2^-31 a pair.
Source: Unicode Standard Annex 15 (normalisation forms), https://www.unicode.org/reports/tr15/; the hash is that of
Fowler, Noll and Vo, http://www.isthe.com/chongo/tech/comp/fnv/. `reference_words` and `reference_hash` are the twins.

>>> reference_words("Don’t STOP: cafe\u0301, ＡＢＣ ﬁne 東京!")
['dont', 'stop', 'cafe', 'abc', 'fine', '東', '京']
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt32
from numba import njit, types

LIMIT = 0x20000
_UNSEEN = 0xE0000  # tags, variation selectors and private planes
_ALONE = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
_DROPPED = frozenset("'`\u00b4\u02bb\u02bc\u02bd\u2018\u2019\u201b\u2032\u2044\u00ad\u034f\ufeff\u0e4d\u0ecd")

# What the table says of a character; a value above 0 is the folded character itself, one below -1, negated, the place in
# `expansions` where its folded characters stand behind their number.
_DROP, _SEPARATE, _OTHER = 0, -1, -(1 << 30)
_IS_ALONE = 1 << 24
_CODE = np.int32(_IS_ALONE - 1)

_START, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x00000100000001B3)
_MIX, _S32, _1 = np.uint64(0xD6E8FEB86659FD93), np.uint64(32), np.uint64(1)

# What the kernels below hand to one another (numba reads no annotations).
_Bytes, _Hashes, _Places = UInt8[np.ndarray, "m"], UInt32[np.ndarray, "w"], Int64[np.ndarray, "w"]
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_INTS = types.Array(types.int32, 1, "C", readonly=True)
_WORDS = types.Array(types.uint32, 1, "C", readonly=True)


def _is_alone(code: int) -> bool:
    return code >= LIMIT or any(first <= code <= last for first, last in _ALONE)


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _fold(character: str) -> str:
    """The folded characters that count; empty for one that is dropped, or separates."""
    if _is_dropped(character):
        return ""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(c for c in folded if not unicodedata.combining(c) and _is_word(c) and c not in _DROPPED)


def _is_dropped(character: str) -> bool:
    if ord(character) >= LIMIT:
        return ord(character) >= _UNSEEN
    same = unicodedata.normalize("NFKC", character)
    return (
        same in _DROPPED
        or character in _DROPPED
        or bool(unicodedata.combining(character))
        or unicodedata.category(character) == "Cf"
    )


@functools.cache
def fold_tables() -> tuple[Int32[np.ndarray, "v"], Int32[np.ndarray, "u"]]:
    """What each character below U+20000 becomes, and the expansions of those that become several."""
    folds, expansions = np.full(LIMIT, _SEPARATE, np.int32), [0, 0]
    for code in range(LIMIT):
        character = chr(code)
        folded = _fold(character)
        if _is_dropped(character):
            folds[code] = _DROP
        elif len(folded) == 1:
            folds[code] = ord(folded) | (_IS_ALONE if _is_alone(ord(folded)) else 0)
        elif folded:
            folds[code] = -len(expansions)
            expansions += [len(folded), *map(ord, folded)]
    return folds, np.array(expansions, np.int32)


@njit(nogil=True, inline="always")
def _finished(h: np.uint64, digit: bool) -> np.uint32:
    h = (h ^ (h >> _S32)) * _MIX
    h ^= h >> _S32
    return np.uint32((h & np.uint64(0xFFFFFFFE)) | np.uint64(digit))


@njit(nogil=True)
def _decode(data: _Bytes, at: int, stop: int) -> tuple[int, int]:
    """(character, bytes) at `at`, whose byte is above 0x7F; a byte that begins no character stands for U+FFFD."""
    lead = np.int64(data[at])
    length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
    if length == 1 or np.int64(at) + length > np.int64(stop):
        return np.int64(0xFFFD), _1
    code = lead & (0x7F >> length)
    for k in range(1, length):
        code = (code << 6) | (np.int64(data[at + np.uint64(k)]) & 0x3F)
    return code, np.uint64(length)


@njit(cache=True, nogil=True)
def fast_table(folds: Int32[np.ndarray, "v"]) -> Int32[np.ndarray, "256"]:
    """What a byte becomes where it is a character by itself, else _OTHER."""
    fast = np.full(256, _OTHER, np.int32)
    fast[:128] = folds[:128]
    return fast


@njit(cache=True, nogil=True)
def cut_words(
    data: _Bytes,
    at: int,
    stop: int,
    fast: Int32[np.ndarray, "256"],
    folds: Int32[np.ndarray, "v"],
    expansions: Int32[np.ndarray, "u"],
    hashes: _Hashes,
    starts: _Places,
    stops: _Places,
) -> tuple[int, int]:
    """Write hash and place of each word of `data[at:stop]`, as many as fit; return how many, and where to go on."""
    at, stop = np.uint64(at), np.uint64(stop)
    count, room = np.uint64(0), np.uint64(len(hashes))
    inside, first, h, digit = False, at, _START, False
    while at < stop and count < room:
        fold, length = fast[data[at]], _1
        if fold > 0:  # the usual case apart: ASCII to the end of the word, and past what separates it from the next
            if not inside:
                inside, first, h, digit = True, at, _START, 0x30 <= fold <= 0x39
            while fold > 0:
                h = (h ^ np.uint64(fold)) * _PRIME
                at += _1
                fold = fast[data[at]] if at < stop else np.int32(_DROP)
            if fold == _SEPARATE:
                hashes[count], starts[count], stops[count] = _finished(h, digit), first, at
                count, inside = count + _1, False
                at += _1
            continue
        if fold == _OTHER:
            code, length = _decode(data, at, stop)
            fold = np.int32(_DROP)
            if code < LIMIT:
                fold = folds[np.uint64(code)]
            elif code < _UNSEEN:
                fold = np.int32(code | _IS_ALONE)
        if inside and (fold == _SEPARATE or fold >= _IS_ALONE):
            hashes[count], starts[count], stops[count] = _finished(h, digit), first, at
            count, inside = count + _1, False
            if fold >= _IS_ALONE:
                continue  # The room may be used up: look at this character again.
        if fold >= _IS_ALONE:
            hashes[count] = _finished((_START ^ np.uint64(fold & _CODE)) * _PRIME, False)
            starts[count], stops[count] = at, at + length
            count += _1
        elif fold > 0 or fold < _SEPARATE:
            if not inside:
                begins = fold if fold > 0 else expansions[1 - fold]
                inside, first, h, digit = True, at, _START, 0x30 <= begins <= 0x39
            if fold > 0:
                h = (h ^ np.uint64(fold)) * _PRIME
            else:
                for k in range(1 - fold, 1 - fold + expansions[-fold]):
                    h = (h ^ np.uint64(expansions[k])) * _PRIME
        at += length
    if inside and count < room:
        hashes[count], starts[count], stops[count] = _finished(h, digit), first, at
        count += _1
    return np.int64(count), np.int64(at)


@njit([types.int64(_DATA, _OFFSETS, _INTS, _INTS, types.uint32[::1], types.int64[::1])], cache=True, nogil=True)
def _all_words(
    data: _Bytes,
    offsets: _Places,
    folds: Int32[np.ndarray, "v"],
    expansions: Int32[np.ndarray, "u"],
    hashes: _Hashes,
    ends: _Places,
) -> int:
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    starts, stops, total = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64), 0
    fast = fast_table(folds)
    for row in range(len(offsets) - 1):
        room = hashes[total : total + longest + 1]
        total += cut_words(data, offsets[row], offsets[row + 1], fast, folds, expansions, room, starts, stops)[0]
        ends[row + 1] = total
    return total


def word_hashes(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]
) -> tuple[UInt32[np.ndarray, "w"], Int64[np.ndarray, "b_plus_1"]]:
    """The hash of every word of each text in order, and where each text's begin.

    >>> text = np.frombuffer("Café\\n  au lait".encode(), np.uint8)
    >>> word_hashes(text, np.array([0, len(text)]))[0].tolist() == [reference_hash(word) for word in ("cafe", "au", "lait")]
    True
    """
    offsets = np.ascontiguousarray(offsets, np.int64)
    longest = int(np.diff(offsets).max(initial=0))
    hashes = np.empty(int(offsets[-1] - offsets[0]) + longest + 1, np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    total = _all_words(data, offsets, *fold_tables(), hashes, ends)
    return hashes[:total].copy(), ends


@njit([types.void(_WORDS, _OFFSETS, _WORDS, types.int64[::1])], cache=True, nogil=True)
def _count_documents(hashes: _Hashes, ends: _Places, vocabulary: UInt32[np.ndarray, "v"], counts: _Places) -> None:
    last = np.full(len(vocabulary), -1, np.int64)
    for document in range(len(ends) - 1):
        for k in range(ends[document], ends[document + 1]):
            at = np.searchsorted(vocabulary, hashes[k])
            if at < len(vocabulary) and vocabulary[at] == hashes[k] and last[at] != document:
                last[at] = document
                counts[at] += 1


def count_documents(
    hashes: UInt32[np.ndarray, "w"],
    ends: Int64[np.ndarray, "b_plus_1"],
    vocabulary: UInt32[np.ndarray, "v"],
    counts: Int64[np.ndarray, "v"],
) -> None:
    """Add to `counts` in how many documents each word of a sorted vocabulary stands."""
    _count_documents(hashes, ends, vocabulary, counts)


def reference_words(text: str) -> list[str]:
    """The words of one text in plain Python."""
    words, word = [], ""
    for character in [*text, " "]:
        if _is_dropped(character):
            continue
        folded = _fold(character) if ord(character) < LIMIT else character
        alone = len(folded) == 1 and _is_alone(ord(folded))
        if (alone or not folded) and word:
            words, word = [*words, word], ""
        if alone:
            words.append(folded)
        else:
            word += folded
    return words


def reference_hash(word: str) -> int:
    """The hash of one folded word in plain Python."""
    h = int(_START)
    for character in word:
        h = ((h ^ ord(character)) * int(_PRIME)) & 0xFFFFFFFFFFFFFFFF
    h = ((h ^ (h >> 32)) * int(_MIX)) & 0xFFFFFFFFFFFFFFFF
    return ((h ^ (h >> 32)) & 0xFFFFFFFE) | (word[0] in "0123456789")
