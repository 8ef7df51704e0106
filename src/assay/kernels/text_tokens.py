"""One word of a text: its hash, its traits, whether it is special, and where it is written.

`words` holds for each word its hash, characters << 8 | traits, and start << 32 | stop (bytes); `lookup` the special words by
hash (keys, sizes of their parts), a sieve of 2^16 bits before them, units, and stop words. Few arrays, because each costs
seven words on the stack of every call.

    h(word)   16 bytes at a time by one multiplication each (wyhash, Wang Yi 2019, https://github.com/wangyi-fudan/wyhash)
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Int64, UInt8, UInt16, UInt64
from numba import njit

from assay.kernels import text_classes as kinds
from assay.kernels.bits import load_word, multiply_mix
from assay.kernels.text_affixes import class_of
from assay.kernels.text_bits import code_point

WORDY, ALPHA, ENDS, MARKS, GAP = 1, 2, 4, 8, 16
STOPS = 2  # the place in `state` of the stop words met, one bit each
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
WORD = 3  # entries of a word

_U = np.uint64
_A, _B = 0x243F6A8885A308D3, 0x13198A2E03707345
_SEED_A, _SEED_B, _8, _16 = _U(_A), _U(_B), _U(8), _U(16)
_FIRST = np.array([(1 << 8 * min(length, 8)) - 1 for length in range(17)], np.uint64)
_SECOND = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in range(17)], np.uint64)
_SLOTS, _SIEVE = 4096, 1 << 16
_PARTS, _SIEVED, UNITS = _SLOTS, 2 * _SLOTS, 2 * _SLOTS + (_SIEVE >> 6)
STOPPED, _LOOKUP = UNITS + 64, UNITS + 128
_STOP_FACTOR = _U(0x9E3779B97F4A7C15)
_ALPHABETIC, _SYMBOL, _SENTENCE, _MARK = kinds.ALPHABETIC, kinds.SYMBOL, kinds.SENTENCE, kinds.MARK

_Bytes, _Bits, _State = UInt8[np.ndarray, "m"], UInt64[np.ndarray, "w"], Int64[np.ndarray, "r"]
_Classes = UInt16[np.ndarray, "u"]


# --- Tables, made once a process --------------------------------------------------------------------------------------


def hash_reference(word: bytes) -> int:
    """h of one word in plain Python.

    >>> hash_reference(b"the") == hash_reference(b"th")
    False
    """
    mixed, start = 0, 0
    while len(word) - start > 16:
        mixed = _mix(_part(word, start) ^ _A ^ mixed, _part(word, start + 8) ^ _B)
        start += 16
    return _mix(_part(word, start) ^ _A ^ mixed, _part(word, start + 8) ^ _B)


def _part(word: bytes, start: int) -> int:
    return int.from_bytes(word[start : start + 8], "little")


def _mix(a: int, b: int) -> int:
    return (a * b >> 64) ^ (a * b & 0xFFFFFFFFFFFFFFFF)


@functools.cache
def tables() -> tuple[UInt16[np.ndarray, "u"], UInt64[np.ndarray, "z"]]:
    """`classes` and `lookup`, which the kernels take."""
    lookup = np.zeros(_LOOKUP, np.uint64)
    for word, pieces in kinds.special_words().items():
        key = hash_reference(word.encode())
        slot = key & (_SLOTS - 1)
        while lookup[slot]:
            slot = (slot + 1) & (_SLOTS - 1)
        lookup[slot] = key
        lookup[_PARTS + slot] = sum(len(piece.encode()) << 8 * place for place, piece in enumerate(pieces))
        lookup[_SIEVED + (key >> 54)] |= _U(1 << (key >> 48 & 63))
    for place, unit in enumerate(kinds.UNITS):
        lookup[UNITS + place] = int.from_bytes(unit.encode("latin-1"), "little")
    for word in STOP_WORDS:
        key = int.from_bytes(word.encode(), "little")
        slot = (key * int(_STOP_FACTOR) & 0xFFFFFFFFFFFFFFFF) >> 58
        assert lookup[STOPPED + slot] == 0, "two stop words share a slot: choose another factor"
        lookup[STOPPED + slot] = key
    return kinds.classes(), lookup


# --- Single words -----------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def hash_bytes(data: _Bytes, start: int, stop: int) -> np.uint64:
    """h of `data[start:stop]`; the buffer reaches at least 16 bytes beyond."""
    mixed, at, end = _U(0), _U(start), _U(stop)
    while end - at > _16:
        mixed = multiply_mix(load_word(data, at) ^ _SEED_A ^ mixed, load_word(data, at + _8) ^ _SEED_B)
        at += _16
    size = end - at
    return multiply_mix(
        (load_word(data, at) & _FIRST[size]) ^ _SEED_A ^ mixed, (load_word(data, at + _8) & _SECOND[size]) ^ _SEED_B
    )


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def is_sieved(h: np.uint64, lookup: _Bits) -> bool:
    """Whether a word with this hash may be special."""
    return (lookup[_U(_SIEVED) + (h >> _U(54))] >> (h >> _U(48) & _U(63))) & _U(1) != _U(0)


@njit(cache=True, nogil=True, _nrt=False)
def special_parts(h: np.uint64, lookup: _Bits) -> int:
    """Sizes of the parts of the special word with this hash; 0 if there is none."""
    slot = h & _U(_SLOTS - 1)
    while lookup[slot]:
        if lookup[slot] == h:
            return np.int64(lookup[_U(_PARTS) + slot])
        slot = (slot + _U(1)) & _U(_SLOTS - 1)
    return 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def put_word(words: _Bits, count: int, h: np.uint64, characters: int, traits: int, start: int, stop: int) -> int:
    """Write a word to place `count`; returns the next place."""
    at = _U(WORD * count)
    words[at], words[at + _U(1)] = h, _U(characters << 8 | traits)
    words[at + _U(2)] = _U(start << 32 | stop)
    return count + 1


@njit(cache=True, nogil=True, _nrt=False)
def emit_word(data: _Bytes, start: int, stop: int, classes: _Classes, words: _Bits, count: int) -> int:
    """Add the word `data[start:stop]`, whatever its characters."""
    at, characters, wordy, alpha, marks, last = start, 0, False, False, True, 0
    while at < stop:
        point, size = code_point(data, at)
        last = class_of(point, classes)
        wordy |= not last & _SYMBOL
        alpha |= (last & _ALPHABETIC) != 0
        marks &= (last & _MARK) != 0
        at, characters = at + size, characters + 1
    ends = characters == 1 and (last & _SENTENCE) != 0
    traits = (WORDY if wordy else 0) | (ALPHA if alpha else 0) | (ENDS if ends else 0) | (MARKS if marks else 0)
    return put_word(words, count, hash_bytes(data, start, stop), characters, traits, start, stop)


@njit(cache=True, nogil=True, _nrt=False)
def emit_parts(data: _Bytes, start: int, parts: int, classes: _Classes, words: _Bits, count: int) -> int:
    """Add the parts of a special word that begins at `start`."""
    while parts:
        count = emit_word(data, start, start + (parts & 0xFF), classes, words, count)
        start, parts = start + (parts & 0xFF), parts >> 8
    return count


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def note_stop(data: _Bytes, start: int, stop: int, lookup: _Bits, state: _State) -> None:
    """Set the bit of the stop word `data[start:stop]`, if it is one; a NUL at its end would pass for the padding of a key."""
    key = load_word(data, _U(start)) & _FIRST[min(stop - start, 8)]
    slot = (key * _STOP_FACTOR) >> _U(58)
    known = (lookup[_U(STOPPED) + slot] == key) & (stop - start <= 4) & (data[stop - 1] != 0)
    state[STOPS] |= np.int64(known) << np.int64(slot)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def emit_letters(data: _Bytes, start: int, stop: int, classes: _Classes, lookup: _Bits, words: _Bits, count: int) -> int:
    """Add a run of ASCII letters, which may be a contraction."""
    h = hash_bytes(data, start, stop)
    if is_sieved(h, lookup):
        parts = special_parts(h, lookup)
        if parts:
            return emit_parts(data, start, parts, classes, words, count)
    return put_word(words, count, h, stop - start, WORDY | ALPHA, start, stop)
