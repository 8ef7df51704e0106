"""Two 64-bit hashes of every text after a normalisation: what tells texts apart when spacing and punctuation do not count.

none         the bytes as they are
whitespace   every run of Unicode white space (what Python's `str.split` splits at) is one space, none at the ends
words        as well as white space, every ASCII character but letters, digits and underscore separates, and every
             character of U+0080-00BF, U+2000-2FFF and U+3000-303F; ASCII letters are lower-cased

h_s    over the words of 8 bytes of the normalised text, the last padded with zeros: h <- mix(h ^ word ^ A_s, B_s),
       mix(a, b) the high half xor the low half of a b (Wang Yi, wyhash, 2019, https://github.com/wangyi-fudan/wyhash),
       begun with the length; s = 1, 2 have other constants
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64
from numba import njit, types

from assay.kernels.bits import load_word, multiply_mix

_A, _B, _C, _D = 0x452821E638D01377, 0xBE5466CF34E90C6D, 0xC0AC29B7C97C50DD, 0x3F84D5B5B5470917
_U = np.uint64
_SEED_A, _SEED_B, _SEED_C, _SEED_D = _U(_A), _U(_B), _U(_C), _U(_D)
_0, _8 = _U(0), _U(8)
KINDS = ("none", "whitespace", "words")

_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int64, 1, "C", readonly=True)

# What an ASCII byte becomes: itself, lower-cased, or _GAP, which no ASCII byte is, for one that separates.
_GAP = 0xFF
_WHITE = frozenset((*range(0x09, 0x0E), *range(0x1C, 0x21)))
_BY_KIND = np.zeros((3, 128), np.uint8)
_BY_KIND[0] = np.arange(128)
_BY_KIND[1] = [_GAP if byte in _WHITE else byte for byte in range(128)]
_BY_KIND[2] = [ord(chr(byte).lower()) if chr(byte).isalnum() or byte == 0x5F else _GAP for byte in range(128)]


@njit(nogil=True, inline="always")
def _separates(kind: int, first: int, second: int, third: int) -> bool:
    """Whether the character beyond ASCII that begins with these bytes is white space or, for `words`, punctuation."""
    if first == 0xC2:
        return kind == 2 or second == 0x85 or second == 0xA0
    if first == 0xE1:
        return second == 0x9A and third == 0x80
    if first == 0xE2:
        general = second == 0x80 and (third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
        return kind == 2 or general or (second == 0x81 and third == 0x9F)
    return first == 0xE3 and second == 0x80 and (kind == 2 or third == 0x80)


@njit(nogil=True)
def _normal(data: UInt8[np.ndarray, "m"], start: int, stop: int, kind: int, out: UInt8[np.ndarray, "m"]) -> int:
    """Write the normalised text to `out`; return its bytes."""
    size, wide, at = 0, False, start
    while at < stop:
        byte = data[at]
        length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        length = min(length, stop - at)
        if byte < 0x80:
            byte = _BY_KIND[kind, byte]
            gap = byte == _GAP
        else:
            gap = length > 1 and _separates(kind, byte, data[at + 1], data[at + length - 1])
        if not gap:
            if wide and size > 0:
                out[size] = 0x20
                size += 1
            out[size] = byte
            for k in range(1, length):
                out[size + k] = data[at + k]
            size += length
        wide = gap
        at += length
    return size


@njit(
    types.Tuple((types.uint64[::1], types.uint64[::1], types.int64[::1]))(_DATA, _OFFSETS, types.int64),
    cache=True,
    nogil=True,
)
def hash_normal(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], kind: int
) -> tuple[UInt64[np.ndarray, "b"], UInt64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Two hashes of each normalised text, and how many bytes it has; `kind` is a position in `KINDS`."""
    rows, longest = len(offsets) - 1, 0
    for row in range(rows):
        longest = max(longest, offsets[row + 1] - offsets[row])
    out = np.zeros(longest + 16, np.uint8)
    first, second, sizes = np.empty(rows, np.uint64), np.empty(rows, np.uint64), np.empty(rows, np.int64)
    for row in range(rows):
        start, stop = offsets[row], offsets[row + 1]
        if kind == 0:
            size = stop - start
            for k in range(size):
                out[k] = data[start + k]
        else:
            size = _normal(data, start, stop, kind, out)
        out[size : size + 8] = 0
        one, other = _U(size) ^ _SEED_C, _U(size) ^ _SEED_D
        for at in range(_0, _U(size), _8):
            word = load_word(out, at)
            one = multiply_mix(one ^ word ^ _SEED_A, _SEED_B)
            other = multiply_mix(other ^ word ^ _SEED_C, _SEED_D)
        first[row], second[row], sizes[row] = one, other, size
    return first, second, sizes


@njit([types.boolean[::1](_DATA, _OFFSETS)], cache=True, nogil=True)
def beyond_ascii(data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]) -> Bool[np.ndarray, "b"]:
    """Which texts have a byte that is not ASCII."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    for row in range(len(found)):
        seen = np.uint8(0)
        for at in range(offsets[row], offsets[row + 1]):
            seen |= data[at]
        found[row] = seen >= 0x80
    return found


def reference_normal(text: str, kind: str) -> str:
    """The normalised text in plain Python: what the kernel is tested against.

    >>> reference_normal(" One,  TWO\u00a0three! ", "words"), reference_normal(" a  b\u3000c ", "whitespace")
    ('one two three', 'a b c')
    """
    if kind == "none":
        return text
    if kind == "whitespace":
        return " ".join(text.split())
    return " ".join("".join(map(_reference_character, text)).split())


def _reference_character(character: str) -> str:
    code = ord(character)
    if code < 0x80:
        return character.lower() if character.isalnum() or character == "_" else " "
    separates = 0x80 <= code <= 0xBF or 0x2000 <= code <= 0x2FFF or 0x3000 <= code <= 0x303F
    return " " if separates else character


def reference_hashes(text: str, kind: str) -> tuple[int, int, int]:
    """The two hashes and the size in plain Python."""
    normal = reference_normal(text, kind).encode()

    def mix(a: int, b: int) -> int:
        return (a * b >> 64) ^ (a * b & 0xFFFFFFFFFFFFFFFF)

    one, other = len(normal) ^ _C, len(normal) ^ _D
    for at in range(0, len(normal), 8):
        word = int.from_bytes(normal[at : at + 8], "little")
        one, other = mix(one ^ word ^ _A, _B), mix(other ^ word ^ _C, _D)
    return one, other, len(normal)
