"""Listed words and phrases in text: whole words only, whatever their case, in one pass whatever the list's length.

    token    a run of letters, digits and marks, lower-cased character by character; or one character of a script that is
             written without spaces (Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer); or one symbol, such as `&`
    phrase   consecutive tokens, white space between them counting for nothing; so `s & m` is `S&M`, `don't` three tokens

    t = mixed hash of the token's characters       g_1 = mix(t),  g_k = mix(g_{k-1} P + t)       hash of a phrase

At the end of each token that is the last of some listed phrase, the longest listed phrase that ends there, and begins
after the one that counted before, counts. Two phrases collide with probability 2^-64. Characters beyond
U+FFFF are symbols, and one whose lower case is more than one character stays as it is. `reference` is the twin.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8, UInt32, UInt64
from numba import njit

SPACE, WORD, ALONE, SYMBOL = 0, 1, 2, 3
SIEVE_BITS = 16
_WITHOUT_SPACES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0xD7FF), (0xF900, 0xFAFF))
_START, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x00000100000001B3)
_ROLL, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_16, _BEYOND, _SYMBOL = np.uint32(16), np.uint32(1 << 16), np.uint32(SYMBOL << 24)
_S32, _SIEVE = np.uint64(32), np.uint64(64 - SIEVE_BITS)


@cache
def characters() -> UInt32[np.ndarray, "v"]:
    """For each of the 65,536 characters up to U+FFFF its lower case, and its kind in the bits from 2^16 on."""
    found = np.arange(1 << 16, dtype=np.uint32)
    for code in range(1 << 16):
        character = chr(code)
        small, kind = character.lower(), SYMBOL
        if len(small) == 1 and ord(small) < 1 << 16:
            found[code] = ord(small)
        if character.isspace():
            kind = SPACE
        elif character != "_" and ("a" + character).isidentifier():  # letters, digits and combining marks
            kind = ALONE if any(first <= code <= last for first, last in _WITHOUT_SPACES) else WORD
        found[code] |= kind << 16
    return found


@njit(nogil=True)
def _mixed(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> _S32)) * _MIX
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S32)


@njit(nogil=True, _nrt=False)
def _character(data: UInt8[np.ndarray, "m"], at: int, stop: int) -> tuple[int, int]:
    """The character beyond ASCII at `at`, and the bytes that it takes; what is no UTF-8 counts as symbols of one byte."""
    lead = np.int64(data[at])
    length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2
    if lead < 0xC0 or at + length > stop:
        return np.uint32(lead | 0x10FF00), 1
    code = lead & (0x7F >> length)
    for k in range(1, length):
        if data[at + k] >> 6 != 2:
            return np.uint32(lead | 0x10FF00), 1
        code = (code << 6) | (np.int64(data[at + k]) & 0x3F)
    return np.uint32(code), length


@njit(nogil=True, _nrt=False)
def _token(
    data: UInt8[np.ndarray, "m"], at: int, stop: int, table: UInt32[np.ndarray, "v"]
) -> tuple[np.uint64, int, int]:
    """The next token at or after `at`: its hash, where it ends, and its kind; SPACE where there is none."""
    h, kind = _START, SPACE
    while at < stop:
        code, length = np.uint32(data[at]), 1
        if code >= 0x80:
            code, length = _character(data, at, stop)
        known = table[code] if code < _BEYOND else code | _SYMBOL
        if known >> _16 == WORD:
            h = (h ^ np.uint64(known)) * _PRIME
            kind = WORD
            at += length
            continue
        if kind == WORD:
            break
        at += length
        if known >> _16 != SPACE:
            h = (h ^ np.uint64(known)) * _PRIME
            kind = SYMBOL if code >= _BEYOND else np.int64(known >> _16)
            break
    return _mixed(h), at, kind


@njit(cache=True, nogil=True)
def phrases(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "u_plus_1"],
    table: UInt32[np.ndarray, "v"],
) -> tuple[UInt64[np.ndarray, "u"], UInt64[np.ndarray, "u"], Int64[np.ndarray, "u"]]:
    """For each text as one phrase: its hash, the hash of its last token, and how many tokens it has (0: none)."""
    size = len(offsets) - 1
    hashes, lasts, lengths = np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for row in range(size):
        at, stop = offsets[row], offsets[row + 1]
        while True:
            token, at, kind = _token(data, at, stop, table)
            if kind == SPACE:
                break
            hashes[row] = _mixed(hashes[row] * _ROLL + token)
            lasts[row] = token
            lengths[row] += 1
    return hashes, lasts, lengths


@njit(nogil=True)
def _longest(recent: UInt64[np.ndarray, "h"], free: int, seen: int, hashes: UInt64[np.ndarray, "u"]) -> int:
    """The place in the sorted `hashes` of the longest phrase of tokens `free` or later that ends at token `seen`, or -1.

    `recent` holds the last tokens, token i at i modulo its length.
    """
    room = len(recent)
    for length in range(min(room, seen + 1 - free), 0, -1):
        gram = np.uint64(0)
        for k in range(seen - length + 1, seen + 1):
            gram = _mixed(gram * _ROLL + recent[k % room])
        place = np.searchsorted(hashes, gram)
        if place < len(hashes) and hashes[place] == gram:
            return place
    return -1


@njit(cache=True, nogil=True)
def find_phrases(
    data: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
    table: UInt32[np.ndarray, "v"],
    hashes: UInt64[np.ndarray, "u"],
    sieve: UInt8[np.ndarray, "z"],
    longest: int,
) -> tuple[Int64[np.ndarray, "b"], Int64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Of each text: how many listed phrases count, how many words it has (tokens that are no symbols), and the place in
    the sorted `hashes` of the first phrase that counts (-1: none). `sieve` says which last tokens are worth a look."""
    size = len(offsets) - 1
    counts, words, first = np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, -1, np.int64)
    recent = np.zeros(longest, np.uint64)
    for row in range(size):
        at, stop, seen, free = offsets[row], offsets[row + 1], 0, 0
        while at < stop:
            token, at, kind = _token(data, at, stop, table)
            if kind == SPACE:
                break
            words[row] += kind != SYMBOL
            recent[seen % longest] = token
            if sieve[token >> _SIEVE]:
                place = _longest(recent, free, seen, hashes)
                if place >= 0:
                    counts[row] += 1
                    free = seen + 1
                    if first[row] < 0:
                        first[row] = place
            seen += 1
    return counts, words, first


def sieve_of(lasts: UInt64[np.ndarray, "u"]) -> UInt8[np.ndarray, "z"]:
    """A table by leading bits that says `no` to most tokens at once."""
    sieve = np.zeros(1 << SIEVE_BITS, np.uint8)
    sieve[(lasts >> np.uint64(64 - SIEVE_BITS)).astype(np.int64)] = 1
    return sieve


def list_words(text: str) -> list[tuple[str, bool]]:
    """The tokens of a text, and whether each is a word and no symbol, in plain Python.

    >>> list_words("Don't: 東京 _x_")[:6]
    [('don', True), ("'", False), ('t', True), (':', False), ('東', True), ('京', True)]
    """
    table = characters()
    found: list[tuple[str, bool]] = []
    open_word = False
    for character in text:
        code = ord(character)
        known = int(table[code]) if code < 1 << 16 else SYMBOL << 16
        kind, small = known >> 16, chr(known & 0xFFFF) if code < 1 << 16 else character
        if kind == WORD and open_word:
            found[-1] = (found[-1][0] + small, True)
        elif kind != SPACE:
            found.append((small, kind != SYMBOL))
        open_word = kind == WORD
    return found


def reference(text: str, listed: list[str]) -> tuple[int, int, str | None]:
    """How many listed phrases count, how many words there are, and the first phrase that counts, in plain Python.

    >>> reference("A hand job: by HAND.", ["hand", "hand job"])
    (2, 5, 'hand')
    """
    tokens = list_words(text)
    entries: dict[tuple[str, ...], str] = {}
    for phrase in listed:
        entries.setdefault(tuple(word for word, _ in list_words(phrase)), phrase)
    count, free, first = 0, 0, None
    for end in range(1, len(tokens) + 1):
        for start in range(free, end):
            phrase = entries.get(tuple(word for word, _ in tokens[start:end]))
            if phrase is not None:
                count, free, first = count + 1, end, phrase if first is None else first
                break
    return count, sum(is_word for _, is_word in tokens), first


def share(counts: Int64[np.ndarray, "b"], words: Int64[np.ndarray, "b"]) -> Float64[np.ndarray, "b"]:
    """Listed phrases for each word of a text; NaN for one without a word."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Any = np.where(words > 0, counts / words, np.nan)
    return found
