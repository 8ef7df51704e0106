"""Four pieces of LLVM code that the fastText kernels are made of: where text breaks, and eight floats at a time.

None of them checks bounds: the caller leaves room. Vectors are of fixed width, and sums within one are taken in a fixed
order, so that results are the same on every processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 8
_BYTE, _WORD, _INT, _REAL = ir.IntType(8), ir.IntType(64), ir.IntType(32), ir.FloatType()
_BLOCK, _EIGHT = ir.VectorType(_BYTE, 64), ir.VectorType(_REAL, LANES)


@intrinsic
def separator_block(typing, data, index):
    """`separator_block(data, index)`: masks of 64 bytes, bit i for byte i: a separator; 0xC2 or 0xE2.

    Separators are NUL, tab to carriage return, 0x1C to 0x1E and the space.
    """

    def generate(context, builder, signature, args):
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(start, [args[1]]), _BLOCK.as_pointer())
        block = builder.load(address, align=1)

        def constant(byte):
            return ir.Constant(_BLOCK, [byte] * 64)

        def within(first, last):
            return builder.icmp_unsigned("<=", builder.sub(block, constant(first)), constant(last - first))

        def equal(byte):
            return builder.icmp_unsigned("==", block, constant(byte))

        breaks = builder.or_(builder.or_(equal(0x20), equal(0)), builder.or_(within(0x09, 0x0D), within(0x1C, 0x1E)))
        masks = [builder.bitcast(mask, _WORD) for mask in (breaks, builder.or_(equal(0xC2), equal(0xE2)))]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 2)(data, types.uint64), generate


@intrinsic
def prefetch(typing, array, index):
    """`prefetch(array, index)`: ask for the cache line of an element, without waiting for it."""

    def generate(context, builder, signature, args):
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(start, [args[1]]), _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _INT, _INT, _INT])
        function = _declared(builder.module, "llvm.prefetch.p0", kind)
        builder.call(function, [address, ir.Constant(_INT, 0), ir.Constant(_INT, 3), ir.Constant(_INT, 1)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@intrinsic
def add_lanes(typing, total, at, table, index):
    """`add_lanes(total, at, table, index)`: total[at : at + 8] += table[index : index + 8], of float32."""

    def generate(context, builder, signature, args):
        target = _lanes(context, builder, signature.args[0], args[0], args[1])
        source = _lanes(context, builder, signature.args[2], args[2], args[3])
        builder.store(builder.fadd(builder.load(target, align=4), builder.load(source, align=4)), target, align=4)
        return context.get_dummy_value()

    return types.void(total, types.uint64, table, types.uint64), generate


@intrinsic
def dot_lanes(typing, one, at, two, index):
    """`dot_lanes(one, at, two, index)`: the sum of the products of eight float32 of each, in a fixed order."""

    def generate(context, builder, signature, args):
        left = builder.load(_lanes(context, builder, signature.args[0], args[0], args[1]), align=4)
        right = builder.load(_lanes(context, builder, signature.args[2], args[2], args[3]), align=4)
        products = builder.fmul(left, right)
        sums = [builder.extract_element(products, ir.Constant(_INT, lane)) for lane in range(LANES)]
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [builder.fadd(a, b) for a, b in zip(sums[:half], sums[half:], strict=True)]
        return sums[0]

    return types.float32(one, types.uint64, two, types.uint64), generate


def _lanes(context: Any, builder: ir.IRBuilder, kind: types.Array, array: Any, index: ir.Value) -> ir.Value:
    """Pointer to eight floats of a one-dimensional C array."""
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [index]), _EIGHT.as_pointer())


def _declared(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """A function that LLVM knows by name, declared once for each module."""
    return module.globals.get(name) or ir.Function(module, kind, name)


__all__ = ["LANES", "add_lanes", "dot_lanes", "prefetch", "separator_block"]
