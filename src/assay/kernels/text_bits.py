"""Bit maps of a text: where white space, line ends and what is no ASCII letter lie, and how to walk along them.

Bit i of a map (bit i % 64 of its word i // 64) stands for byte i. The maps are made 64 bytes at a time by vector code,
so that the loops behind them run over words and not over bytes (Langdale and Lemire 2019,
https://arxiv.org/abs/1902.08318).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16, UInt64
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from assay.kernels.bits import trailing_zeros
from assay.kernels.text_classes import SPACE

PAD = 128  # bytes that must follow a text in its buffer
_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_BLOCK = ir.VectorType(_BYTE, 64)
_U = np.uint64
_1, _6, _63 = _U(1), _U(6), _U(63)
_FILLED = _U((1 << 57) - 1)  # what `_window` always holds


def _address(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: Any, index: ir.Value) -> ir.Value:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@intrinsic
def text_block(typing, data, index):
    """`text_block(data, index)`: masks of 64 bytes: white space, no ASCII letter, line end, 0x80 and above, continuation.

    White space and line ends are those of ASCII that Python's `str.split` and `str.splitlines` know.
    """

    def generate(context, builder, signature, args):
        source = _address(context, builder, signature.args[0], args[0], args[1])
        block = builder.load(builder.bitcast(source, _BLOCK.as_pointer()), align=1)

        def constant(byte):
            return ir.Constant(_BLOCK, [byte] * 64)

        def within(value, first, last):
            return builder.icmp_unsigned("<=", builder.sub(value, constant(first)), constant(last - first))

        letter = within(builder.or_(block, constant(0x20)), 0x61, 0x7A)
        blank = builder.or_(within(block, 0x09, 0x0D), within(block, 0x1C, 0x1F))
        found = (
            builder.or_(blank, builder.icmp_unsigned("==", block, constant(0x20))),
            builder.not_(letter),
            builder.or_(within(block, 0x0A, 0x0D), within(block, 0x1C, 0x1E)),
            builder.icmp_unsigned(">=", block, constant(0x80)),
            within(block, 0x80, 0xBF),
        )
        masks = [builder.bitcast(mask, _WORD) for mask in found]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 5)(data, types.int64), generate


@intrinsic
def small_letter_block(typing, data, index, letter):
    """`small_letter_block(data, index, letter)`: the mask of 64 bytes that are this small letter, or it as a capital."""

    def generate(context, builder, signature, args):
        source = _address(context, builder, signature.args[0], args[0], args[1])
        block = builder.load(builder.bitcast(source, _BLOCK.as_pointer()), align=1)
        small = builder.or_(block, ir.Constant(_BLOCK, [0x20] * 64))
        lane = builder.insert_element(ir.Constant(_BLOCK, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        wanted = builder.shuffle_vector(lane, ir.Constant(_BLOCK, ir.Undefined), zeros)
        return builder.bitcast(builder.icmp_unsigned("==", small, wanted), _WORD)

    return types.uint64(data, types.int64, types.uint8), generate


@intrinsic
def _copy_block(typing, data, index, out, at):
    """`_copy_block(data, index, out, at)`: 64 bytes from one array to another."""

    def generate(context, builder, signature, args):
        source = _address(context, builder, signature.args[0], args[0], args[1])
        target = _address(context, builder, signature.args[2], args[2], args[3])
        block = builder.load(builder.bitcast(source, _BLOCK.as_pointer()), align=1)
        builder.store(block, builder.bitcast(target, _BLOCK.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, out, types.int64), generate


@njit(cache=True, nogil=True, _nrt=False)
def copy_text(data: UInt8[np.ndarray, "m"], start: int, stop: int, out: UInt8[np.ndarray, "k"]) -> int:
    """Copy `data[start:stop]` to the front of `out`, followed by PAD zeros; returns how many bytes it is."""
    at, size = 0, stop - start
    while size - at >= 64:
        _copy_block(data, start + at, out, at)
        at += 64
    while at < size:
        out[at] = data[start + at]
        at += 1
    out[size : size + PAD] = 0
    return size


@intrinsic
def _window(typing, bits, at):
    """`_window(bits, at)`: a map from bit `at` on, 57 bits of it or more."""

    def generate(context, builder, signature, args):
        start = builder.bitcast(context.make_array(signature.args[0])(context, builder, args[0]).data, _BYTE.as_pointer())
        source = builder.gep(start, [builder.lshr(args[1], ir.Constant(_WORD, 3))])
        word = builder.load(builder.bitcast(source, _WORD.as_pointer()), align=1)
        return builder.lshr(word, builder.and_(args[1], ir.Constant(_WORD, 7)))

    return types.uint64(bits, types.uint64), generate


@intrinsic
def count_ones(typing, mask):
    """`count_ones(mask)`: how many bits of a uint64 are set."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def next_set(bits: UInt64[np.ndarray, "w"], at: int, stop: int) -> int:
    """The first set bit from `at` on; `stop` if there is none before it."""
    if at >= stop:
        return stop
    word = _window(bits, _U(at))
    if word:
        return min(at + np.int64(trailing_zeros(word)), stop)
    place = _U(at) >> _6
    if bits[place] >> (_U(at) & _63):
        return min(at + np.int64(trailing_zeros(bits[place] >> (_U(at) & _63))), stop)
    last = _U(stop - 1) >> _6
    while place < last:
        place += _1
        if bits[place]:
            return min(np.int64((place << _6) + trailing_zeros(bits[place])), stop)
    return stop


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def next_clear(bits: UInt64[np.ndarray, "w"], at: int, stop: int) -> int:
    """The first bit from `at` on that is not set; `stop` if there is none before it."""
    if at >= stop:
        return stop
    word = ~_window(bits, _U(at))
    if word & _FILLED:
        return min(at + np.int64(trailing_zeros(word)), stop)
    place = _U(at) >> _6
    word = ~bits[place] >> (_U(at) & _63)
    if word:
        return min(at + np.int64(trailing_zeros(word)), stop)
    last = _U(stop - 1) >> _6
    while place < last:
        place += _1
        if ~bits[place]:
            return min(np.int64((place << _6) + trailing_zeros(~bits[place])), stop)
    return stop


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def code_point(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """The character that begins at `at`, and its bytes; a stray byte stands for itself."""
    lead = np.int64(data[at])
    if lead < 0xC0:
        return lead, 1
    second = np.int64(data[at + 1]) & 0x3F
    if lead < 0xE0:
        return (lead & 0x1F) << 6 | second, 2
    third = np.int64(data[at + 2]) & 0x3F
    if lead < 0xF0:
        return (lead & 0x0F) << 12 | second << 6 | third, 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | np.int64(data[at + 3]) & 0x3F, 4


@njit(nogil=True, _nrt=False)
def _mark_wide_spaces(
    data: UInt8[np.ndarray, "m"],
    at: int,
    high: np.uint64,
    space: UInt64[np.ndarray, "w"],
    breaks: UInt64[np.ndarray, "w"],
    classes: UInt16[np.ndarray, "u"],
) -> None:
    """Set the bits of white space beyond ASCII that begins in the block at `at`."""
    while high:
        place = at + np.int64(trailing_zeros(high))
        high &= high - _1
        lead = data[place]
        if lead != 0xC2 and lead != 0xE1 and lead != 0xE2 and lead != 0xE3:
            continue
        point, size = code_point(data, place)
        if classes[point] & SPACE:
            for byte in range(place, place + size):
                bit = _1 << (_U(byte) & _63)
                space[_U(byte) >> _6] |= bit
                if point == 0x85 or point == 0x2028 or point == 0x2029:
                    breaks[_U(byte) >> _6] |= bit


@njit(cache=True, nogil=True, _nrt=False)
def map_text(
    data: UInt8[np.ndarray, "m"],
    size: int,
    space: UInt64[np.ndarray, "w"],
    other: UInt64[np.ndarray, "w"],
    breaks: UInt64[np.ndarray, "w"],
    classes: UInt16[np.ndarray, "u"],
) -> int:
    """Fill the maps of white space, of bytes that are no ASCII letter and of line ends; return the number of characters.

    What follows the text in its buffer counts as white space and as a line end.
    """
    blocks = (size >> 6) + 1
    continuation, wide = 0, False
    for block in range(blocks):
        masks = text_block(data, block << 6)
        valid = ~_U(0) if (block + 1) << 6 <= size else (_1 << _U(size & 63)) - _1
        space[block], other[block], breaks[block] = masks[0] | ~valid, masks[1] | ~valid, masks[2] | ~valid
        wide |= (masks[3] & valid) != 0
        continuation += np.int64(count_ones(masks[4] & valid))
    space[blocks] = other[blocks] = breaks[blocks] = ~_U(0)
    if wide:
        for block in range(blocks):
            valid = ~_U(0) if (block + 1) << 6 <= size else (_1 << _U(size & 63)) - _1
            _mark_wide_spaces(data, block << 6, text_block(data, block << 6)[3] & valid, space, breaks, classes)
    return size - continuation


@njit(cache=True, nogil=True, _nrt=False)
def count_characters(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> int:
    """Characters of `data[start:stop]`: its bytes less those that continue a character."""
    count = 0
    for at in range(start, stop):
        count += (data[at] & 0xC0) != 0x80
    return count
