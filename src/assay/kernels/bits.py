"""Four machine instructions that numba does not offer, each as one small piece of LLVM code that any processor can run.

Vector code is written for 64 bytes; LLVM splits it into whatever the processor has (AVX-512, AVX2, SSE2, NEON). None of
them checks bounds: the caller leaves room.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(64), ir.IntType(128)
_BLOCK = ir.VectorType(_BYTE, 64)


def _address(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: Any, index: ir.Value) -> ir.Value:
    """Pointer to element `index` of a one-dimensional C array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def multiply_mix(typing, a, b):
    """`multiply_mix(a, b)`: high half xor low half of the 128-bit product of two uint64."""

    def generate(context, builder, signature, args):
        wide = builder.mul(builder.zext(args[0], _LONG), builder.zext(args[1], _LONG))
        high = builder.trunc(builder.lshr(wide, ir.Constant(_LONG, 64)), _WORD)
        return builder.xor(high, builder.trunc(wide, _WORD))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def trailing_zeros(typing, mask):
    """`trailing_zeros(mask)`: position of the lowest set bit of a uint64; 64 if none is set."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def load_word(typing, data, index):
    """`load_word(data, index)`: the eight bytes from `index` on, at any alignment, as a little-endian uint64."""

    def generate(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], args[0], args[1])
        return builder.load(builder.bitcast(address, _WORD.as_pointer()), align=1)

    return types.uint64(data, types.uint64), generate


@intrinsic
def classify_block(typing, data, index, folded, at):
    """`classify_block(data, index, folded, at)`: masks of 64 bytes; their case-folded copy goes to `folded[at:]`.

    Returns uint64 masks, bit i for byte i: (ASCII letter, digit or underscore; byte 0x80 or above; white space; 0xC2;
    0xE2; 0xE3 to 0xED).
    """

    def generate(context, builder, signature, args):
        source = _address(context, builder, signature.args[0], args[0], args[1])
        target = _address(context, builder, signature.args[2], args[2], args[3])
        block = builder.load(builder.bitcast(source, _BLOCK.as_pointer()), align=1)

        def constant(byte):
            return ir.Constant(_BLOCK, [byte] * 64)

        def within(value, first, last):
            return builder.icmp_unsigned("<=", builder.sub(value, constant(first)), constant(last - first))

        upper = within(block, 0x41, 0x5A)
        lower = builder.select(upper, builder.or_(block, constant(0x20)), block)
        builder.store(lower, builder.bitcast(target, _BLOCK.as_pointer()), align=1)
        alphabet = builder.or_(within(lower, 0x61, 0x7A), within(block, 0x30, 0x39))
        found = (
            builder.or_(alphabet, builder.icmp_unsigned("==", block, constant(0x5F))),
            builder.icmp_unsigned(">=", block, constant(0x80)),
            builder.or_(builder.icmp_unsigned("==", block, constant(0x20)), within(block, 0x09, 0x0D)),
            builder.icmp_unsigned("==", block, constant(0xC2)),
            builder.icmp_unsigned("==", block, constant(0xE2)),
            within(block, 0xE3, 0xED),
        )
        masks = [builder.bitcast(mask, _WORD) for mask in found]
        return context.make_tuple(builder, signature.return_type, masks)

    result = types.UniTuple(types.uint64, 6)
    return result(data, types.int64, folded, types.uint64), generate


__all__ = ["classify_block", "load_word", "multiply_mix", "trailing_zeros"]
