"""Phrases and marks that the rules of C4 look for in a line: "javascript", "lorem ipsum", policies, citations.

`state[LINE]` holds what was found, a bit each: LONG (a word that is too long), SCRIPT, POLICY, LOREM, CURLY (a curly
bracket) and CITED (a citation mark). Phrases of several words are looked for where their last word begins.
Source: Raffel and others, Exploring the Limits of Transfer Learning (T5), 2020, section 2.2,
https://arxiv.org/abs/1910.10683; the phrases as in datatrove 0.10.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit

from assay.kernels.bits import load_word, trailing_zeros
from assay.kernels.text_affixes import is_digit
from assay.kernels.text_bits import small_letter_block

LINE = 6  # the place in `state` of what the line at hand holds
LONG, SCRIPT, POLICY, LOREM, CURLY, CITED = 1, 2, 4, 8, 16, 32

_U = np.uint64
_8 = _U(8)
_LOWER = _U(0x2020202020202020)
_J = np.uint8(0x6A)

_EDIT, _NEEDED = (np.frombuffer(mark, np.uint8) for mark in (b"[edit]", b"[citation needed]"))


def _key(text: bytes) -> np.uint64:
    return _U(int.from_bytes(text, "little"))


_JAVASCR, _IPT = _key(b"javascri"), _key(b"pt")
_USE, _COOKIES, _POLICY, _IPSUM = _key(b"use"), _key(b"cookies"), _key(b"policy"), _key(b"ipsum")
_M2, _M3, _M5, _M6, _M7 = (_U((1 << 8 * size) - 1) for size in (2, 3, 5, 6, 7))
_BEFORE_IPSUM, _BEFORE_POLICY, _BEFORE_POLICY_2, _BEFORE_USE, _BEFORE_COOKIES, _BEFORE_COOKIES_2, _BEFORE_COOKIES_3 = (
    np.frombuffer(mark, np.uint8)
    for mark in (b"lorem ", b"privacy ", b"cookie ", b"terms of ", b"uses ", b"use of ", b"use ")
)

_Bytes, _State = UInt8[np.ndarray, "m"], Int64[np.ndarray, "r"]


@njit(cache=True, nogil=True, _nrt=False)
def cited(data: _Bytes, at: int, stop: int) -> int:
    """Where a citation mark that begins at `at` ends (`[12]`, `[]`, `[edit]`, `[citation needed]`); 0 if there is none."""
    end = at + 1
    while end < stop and is_digit(data[end]):
        end += 1
    if end < stop and data[end] == 0x5D:
        return end + 1
    if _same(data, at, stop, _EDIT):
        return at + len(_EDIT)
    return at + len(_NEEDED) if _same(data, at, stop, _NEEDED) else 0


@njit(nogil=True, _nrt=False)
def _same(data: _Bytes, at: int, stop: int, mark: _Bytes) -> bool:
    same = at >= 0 and at + len(mark) <= stop
    for place in range(len(mark) if same else 0):
        same = same and data[at + place] == mark[place]
    return same


@njit(nogil=True, _nrt=False)
def _follows(data: _Bytes, line: int, at: int, mark: _Bytes) -> bool:
    """Whether `mark` (small letters) stands right before `at`, in any case."""
    first = at - len(mark)
    if first < line:
        return False
    for place in range(len(mark)):
        byte = data[first + place]
        if byte + 0x20 * (0x41 <= byte <= 0x5A) != mark[place]:
            return False
    return True


@njit(nogil=True, _nrt=False)
def _note_last(data: _Bytes, line: int, at: int, head: np.uint64, state: _State) -> None:
    """Phrases of two words and more, found where their last word begins a run; `head` is its first bytes in small letters."""
    if head & _M5 == _IPSUM and _follows(data, line, at, _BEFORE_IPSUM):
        state[LINE] |= LOREM
    elif head & _M6 == _POLICY:
        if _follows(data, line, at, _BEFORE_POLICY) or _follows(data, line, at, _BEFORE_POLICY_2):
            state[LINE] |= POLICY
    elif head & _M7 == _COOKIES:
        found = _follows(data, line, at, _BEFORE_COOKIES) or _follows(data, line, at, _BEFORE_COOKIES_2)
        if found or _follows(data, line, at, _BEFORE_COOKIES_3):
            state[LINE] |= POLICY
    elif head & _M3 == _USE and _follows(data, line, at, _BEFORE_USE):
        state[LINE] |= POLICY


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def note_phrases(data: _Bytes, line: int, at: int, state: _State) -> None:
    """Note in `state[LINE]` a phrase whose last word begins at `at`, in the line that begins at `line`."""
    head = load_word(data, _U(at)) | _LOWER
    if (head & _M3 == _USE) | (head & _M6 == _POLICY) | (head & _M7 == _COOKIES) | (head & _M5 == _IPSUM):
        _note_last(data, line, at, head, state)


@njit(cache=True, nogil=True, _nrt=False)
def holds_script(data: _Bytes, start: int, stop: int) -> bool:
    """Whether a line holds "javascript": only what begins at a `j` is looked at."""
    found = False
    for block in range(start, stop - 9, 64):
        mask = small_letter_block(data, block, _J)
        while mask:
            at = _U(block) + trailing_zeros(mask)
            mask &= mask - _U(1)
            same = load_word(data, at) | _LOWER == _JAVASCR and (load_word(data, at + _8) | _LOWER) & _M2 == _IPT
            found |= same and np.int64(at) + 10 <= stop
    return found
