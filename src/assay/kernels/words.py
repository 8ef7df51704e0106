"""Eight bytes at a time: a store, and the trick on 64-bit words that finds a byte among them.

Arrays that these touch must be padded: a load or store at `i` reaches the bytes `i` to `i + 7` (`PAD` bytes after the
last one in use are always enough). The search for a byte is the classic carry trick: `(x - 0x01…) & ~x & 0x80…` sets
the top bit of the first zero byte. Source: H. S. Warren, Hacker's Delight, 2nd ed. (2012), section 6-1.

Here and in the JSON kernels `_nrt=False` tells numba not to count references to the arrays that inner functions get:
they only borrow them, and the counting took half of the time of scanning rows of a kilobyte (LOG.md, 2026-11-20).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from assay.kernels.bits import trailing_zeros

PAD = 16

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)


@intrinsic
def store_word(typing, data, index, word):
    """`store_word(data, index, word)`: write a uint64 to the eight bytes from `index` on, at any alignment."""

    def generate(context, builder, signature, args):
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(start, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], address, align=1)
        return context.get_dummy_value()

    return types.void(data, types.uint64, types.uint64), generate


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def zero_bytes(word: np.uint64) -> np.uint64:
    """A word whose lowest set bit marks the first zero byte of `word`; 0 if there is none."""
    return (word - _ONES) & ~word & _TOPS


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def first_byte(mask: np.uint64) -> int:
    """Which byte (0 to 7) holds the lowest set bit of a mask that is not 0."""
    return np.int64(trailing_zeros(mask) >> np.uint64(3))
