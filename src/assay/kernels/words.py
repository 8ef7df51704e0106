"""Eight bytes at a time: unaligned loads and stores, and the tricks on 64-bit words that find a byte among them.

Numba has no unaligned load, so three LLVM instructions are given names here. Arrays that these touch must be padded: a
load or store at `i` reaches the bytes `i` to `i + 7` (`PAD` bytes after the last one in use are always enough).
The search for a byte is the classic carry trick: `(x - 0x01…) & ~x & 0x80…` sets the top bit of the first zero byte.
Source: H. S. Warren, Hacker's Delight, 2nd ed. (2012), section 6-1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

PAD = 16

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())


@intrinsic
def load8(typing: Any, array: Any, index: Any) -> Any:
    """The little-endian 64-bit word at byte `index` of a contiguous uint8 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.load(_pointer(context, builder, signature, args))
        word.align = 1
        return word

    return types.uint64(array, types.intp), generate


@intrinsic
def store8(typing: Any, array: Any, index: Any, word: Any) -> Any:
    """Write a 64-bit word at byte `index` of a contiguous uint8 array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature, args), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), generate


@intrinsic
def _trailing_zeros(typing: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(inline="always")
def zero_bytes(word):
    """A word whose lowest set bit marks the first zero byte of `word`; 0 if there is none."""
    return (word - _ONES) & ~word & _TOPS


@njit(inline="always")
def first_byte(mask):
    """Which byte (0 to 7) holds the lowest set bit of a mask that is not 0."""
    return np.int64(_trailing_zeros(mask) >> np.uint64(3))
