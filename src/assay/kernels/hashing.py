"""A 64-bit hash of each row's text: the name under which a row draws its random numbers, wherever it lies.

    h ← seed ⊕ length·P₁;   h ← mix(h ⊕ word)·… for each 8-byte word (the last padded with zeros);   mix(h ⊕ h≫32)

with `mix(x) = (x ⊕ x≫32)·P₂`, two lanes over alternate words so that multiplications overlap. The constants are the
odd ones of xxHash64 (2014, https://github.com/Cyan4973/xxHash). Not cryptographic: it spreads, it does not protect.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8, UInt64
from numba import njit, types

from assay.kernels.bits import load_word

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
# Read-only signatures accept writable arrays too, so that neither kind costs a second compilation.
_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)
_S29, _S32 = np.uint64(29), np.uint64(32)


@njit(cache=True, nogil=True, forceinline=True)
def _step(h: np.uint64, word: np.uint64) -> np.uint64:
    h = (h ^ word) * _P2
    return h ^ (h >> _S29)


@njit([types.void(_DATA, _OFFSETS, types.uint64[::1])], cache=True, nogil=True)
def _hash_rows(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], out: UInt64[np.ndarray, "b"]
) -> None:
    for row in range(len(out)):
        at, stop = offsets[row], offsets[row + 1]
        a = np.uint64(stop - at) * _P1
        b = a ^ _P3
        while stop - at >= 16:
            a = _step(a, load_word(data, at))
            b = _step(b, load_word(data, at + 8))
            at += 16
        tail = np.uint64(0)
        if stop - at >= 8:
            a = _step(a, load_word(data, at))
            at += 8
        for k in range(stop - at):
            tail |= np.uint64(data[at + k]) << np.uint64(8 * k)
        h = _step(_step(a, tail) ^ (b * _P1), b >> _S32)
        h = (h ^ (h >> _S32)) * _P3
        out[row] = h ^ (h >> _S29)


def hash_rows(data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]) -> UInt64[np.ndarray, "b"]:
    """Hash each row `data[offsets[i]:offsets[i + 1]]`; the same bytes have the same hash in any batch on any machine.

    >>> hash_rows(np.frombuffer(b"oneone", np.uint8), np.array([0, 3, 6])).tolist()[0] == hash_reference(b"one")
    True
    """
    out = np.empty(len(offsets) - 1, np.uint64)
    _hash_rows(np.ascontiguousarray(data), np.ascontiguousarray(offsets, np.int64), out)
    return out


def hash_reference(text: bytes) -> int:
    """The same hash of one text in plain Python: what the kernel is tested against."""
    whole = (1 << 64) - 1

    def step(h: int, word: int) -> int:
        h = ((h ^ word) * int(_P2)) & whole
        return h ^ (h >> 29)

    a = (len(text) * int(_P1)) & whole
    b = a ^ int(_P3)
    words = [int.from_bytes(text[at : at + 8], "little") for at in range(0, len(text) - len(text) % 8, 8)]
    for k, word in enumerate(words):
        a, b = (a, step(b, word)) if k % 2 else (step(a, word), b)
    tail = int.from_bytes(text[len(text) - len(text) % 8 :], "little")
    h = step(step(a, tail) ^ ((b * int(_P1)) & whole), b >> 32)
    h = ((h ^ (h >> 32)) * int(_P3)) & whole
    return h ^ (h >> 29)
