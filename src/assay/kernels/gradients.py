"""Long vectors to short ones by random signs, and the direction of Adam's next step: one pass each, nothing drawn is kept.

    dense      y = R x / sqrt(w)                R (w, p) of random signs
    sparse     y_k = Σ_{i: h(i) = k} s_i x_i    each coordinate goes to one place h(i), with a sign
    hadamard   y = Σ_b E_b H D_b x_b / sqrt(w)  x in blocks of w, D_b and E_b diagonals of random signs, H Hadamard's matrix

Each keeps inner products on average, with a deviation of about |x| |x'| / sqrt(w). `dense` takes p w additions, `sparse` p,
`hadamard` p log2 w. In `hadamard` what lies in one block is turned, not mixed with others, so that vectors no longer than w keep
their inner products exactly, and D_b spreads a vector that has few large numbers. Rows of H stand in an order that suits the
processor. Signs are bits of SplitMix64 of (key, place): the same whatever vectors are projected, and in which process.

Sources: Achlioptas 2003, https://doi.org/10.1016/S0022-0000(03)00025-4 (dense); Charikar, Chen & Farach-Colton 2002,
https://doi.org/10.1007/3-540-45465-9_59 (sparse); Ailon & Chazelle 2009, https://doi.org/10.1137/060673096, in blocks Balabanov,
Beaupere, Grigori & Lederer 2022, https://arxiv.org/abs/2210.11295 (hadamard).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numba import njit, types

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LANES = 16  # numbers side by side that a processor works at once, or twice as many
_READ = types.Array(types.float32, 1, "C", readonly=True)
_WRITE = types.float32[::1]


@njit(cache=True, nogil=True, forceinline=True)
def _word(key: np.uint64, place: np.uint64) -> np.uint64:
    """64 random bits of a place under a key."""
    word = key + place * _GOLDEN
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@njit(cache=True, nogil=True, forceinline=True)
def _sign(word: np.uint64, bit: int) -> np.float32:
    return np.float32(1) - np.float32(2) * np.float32((word >> np.uint64(bit)) & np.uint64(1))


@njit([types.void(_READ, types.uint64, _WRITE)], cache=True, nogil=True)
def _sparse(values: Float32[np.ndarray, "m"], key: np.uint64, out: Float32[np.ndarray, "d"]) -> None:
    width = np.uint64(len(out))
    for i in range(len(values)):
        word = _word(key, np.uint64(i))
        place = ((word >> _S32) * width) >> _S32  # the upper half as a fraction of the width
        out[np.int64(place)] += _sign(word, 0) * values[i]


@njit(cache=True, nogil=True, forceinline=True)
def _signed(values: Float32[np.ndarray, "d"], word: np.uint64, out: Float32[np.ndarray, "d"], kept: np.float32) -> None:
    """Up to 64 numbers with the signs of a word's bits, into `out` or, with `kept` 1, added to what is there."""
    for half in range(2):
        bits = np.uint32((word >> np.uint64(32 * half)) & _LOW)
        some, to = values[32 * half : 32 * half + 32], out[32 * half : 32 * half + 32]
        for k in range(len(some)):
            bit = np.int32((bits >> np.uint32(k)) & np.uint32(1))
            to[k] = kept * to[k] + np.float32(np.int32(1) - np.int32(2) * bit) * some[k]


@njit(cache=True, nogil=True, forceinline=True)
def _scale(values: Float32[np.ndarray, "d"], by: np.float32) -> None:
    for k in range(len(values)):
        values[k] *= by


@njit([types.void(_READ, types.uint64, _WRITE)], cache=True, nogil=True)
def _dense(values: Float32[np.ndarray, "m"], key: np.uint64, out: Float32[np.ndarray, "d"]) -> None:
    width, words, same = len(out), -(-len(out) // 64), np.zeros(64, np.float32)
    for i in range(len(values)):
        same[:] = values[i]
        for at in range(words):
            some = out[64 * at : 64 * at + 64]
            _signed(same[: len(some)], _word(key, np.uint64(i * words + at)), some, np.float32(1))
    _scale(out, np.float32(1 / np.sqrt(width)))


@njit(cache=True, nogil=True, forceinline=True)
def _butterflies(block: Float32[np.ndarray, "d"], least: int, below: int) -> None:
    """Sums and differences of numbers that stand `least`, 2 `least`, … apart, up to `below`."""
    apart = least
    while apart < below:
        for start in range(0, len(block), 2 * apart):
            low, high = block[start : start + apart], block[start + apart : start + 2 * apart]
            for k in range(apart):
                one, other = low[k], high[k]
                low[k], high[k] = one + other, one - other
        apart *= 2


@njit([types.void(_READ, types.uint64, _WRITE)], cache=True, nogil=True)
def _hadamard(values: Float32[np.ndarray, "m"], key: np.uint64, out: Float32[np.ndarray, "d"]) -> None:
    width, lanes = len(out), min(_LANES, len(out))
    columns, words = width // lanes, -(-width // 64)
    block, turned = np.zeros(width, np.float32), np.zeros(width, np.float32)
    for number in range(-(-len(values) // width)):
        part = values[number * width : (number + 1) * width]
        block[len(part) :] = 0
        for at in range(words):
            word, stop = _word(key, np.uint64(2 * (number * words + at))), min(64 * at + 64, len(part))
            if stop > 64 * at:
                _signed(part[64 * at : stop], word, block[64 * at : stop], np.float32(0))
        _butterflies(block, lanes, width)
        # What stood side by side stands `columns` apart, so that here too whole rows are added to rows.
        for lane in range(lanes):
            to = turned[lane * columns : (lane + 1) * columns]
            for k in range(columns):
                to[k] = block[k * lanes + lane]
        _butterflies(turned, columns, width)
        for at in range(words):
            word, stop = _word(key, np.uint64(2 * (number * words + at) + 1)), min(64 * at + 64, width)
            _signed(turned[64 * at : stop], word, out[64 * at : stop], np.float32(1))
    _scale(out, np.float32(1 / np.sqrt(width)))


def dense(values: Float32[np.ndarray, "m"], width: int, key: int) -> Float32[np.ndarray, "d"]:
    """Each of `width` numbers a sum of all, with signs of its own: the reference, which takes seconds for a million.

    >>> y = dense(np.array([3.0, 0.0], np.float32), 4, key=1)
    >>> bool(np.allclose(np.abs(y), 1.5))
    True
    """
    out = np.zeros(width, np.float32)
    _dense(values, np.uint64(key), out)
    return out


def sparse(values: Float32[np.ndarray, "m"], width: int, key: int) -> Float32[np.ndarray, "d"]:
    """Each number added to one of `width`, with a sign.

    >>> y = sparse(np.array([3.0, 0.0], np.float32), 4, key=1)
    >>> sorted(np.abs(y).tolist())
    [0.0, 0.0, 0.0, 3.0]
    """
    out = np.zeros(width, np.float32)
    _sparse(values, np.uint64(key), out)
    return out


def hadamard(values: Float32[np.ndarray, "m"], width: int, key: int) -> Float32[np.ndarray, "d"]:
    """Blocks of `width`, a power of two, each turned by Hadamard's matrix between signs, and added up.

    >>> y = hadamard(np.array([3.0, 4.0], np.float32), 2, key=1)
    >>> round(float(y @ y), 4)
    25.0
    """
    out = np.zeros(width, np.float32)
    _hadamard(values, np.uint64(key), out)
    return out


@njit([types.void(_READ, _READ, _READ, *[types.float32] * 5, _WRITE)], cache=True, nogil=True, error_model="numpy")
def _adam(
    gradient: Float32[np.ndarray, "m"],
    first: Float32[np.ndarray, "m"],
    second: Float32[np.ndarray, "m"],
    beta1: np.float32,
    beta2: np.float32,
    eps: np.float32,
    mean: np.float32,
    spread: np.float32,
    out: Float32[np.ndarray, "m"],
) -> None:
    one = np.float32(1)
    for i in range(len(gradient)):
        g = gradient[i]
        moved = (beta1 * first[i] + (one - beta1) * g) * mean
        grown = (beta2 * second[i] + (one - beta2) * g * g) * spread
        out[i] = moved / np.sqrt(grown + eps)


def adam(
    gradient: Float32[np.ndarray, "m"],
    first: Float32[np.ndarray, "m"],
    second: Float32[np.ndarray, "m"],
    betas: tuple[float, float],
    eps: float,
    step: int | None,
    out: Float32[np.ndarray, "m"],
) -> None:
    """Into `out`, which may be `gradient`: (b1 m + (1 - b1) g) / sqrt(b2 v + (1 - b2) g² + eps), with the first and second
    moments m and v before the step. With `step`, how many steps came before, both moments are corrected for having begun at
    zero: divided by 1 - b^(step + 1)."""
    corrections = [1.0 if step is None else 1 / (1 - beta ** (step + 1)) for beta in betas]
    _adam(gradient, first, second, *map(np.float32, (*betas, eps, *corrections)), out)
