"""How many earlier rows have the same content hash, without sorting the rows.

An open-addressed table (linear probing, Knuth, The Art of Computer Programming 3, 6.4, 1973), filled again for each of up to eight
parts of the hashes' range, so that it stays small beside the rows. `types.occurrence` is its twin by sorting.

>>> occurrence(np.array([7, 9, 7, 7], np.uint64)).tolist()
[0, 0, 1, 2]
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, UInt64
from numba import njit

_FEWEST, _MOST_PARTS, _ROWS_OF_A_PART = 6, 3, 1 << 20  # bits of the smallest table, bits of parts
_MIX = np.uint64(0x9E3779B97F4A7C15)


def occurrence(hashes: UInt64[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """(n,) the number of earlier equal hashes of each."""
    parts = min(_MOST_PARTS, (len(hashes) // _ROWS_OF_A_PART).bit_length())
    most = int(sizes(hashes, parts).max(initial=1))
    bits, found = max(_FEWEST, (most * 4 // 3).bit_length()), np.empty(len(hashes), np.uint64)
    count(hashes, parts, np.empty(1 << bits, np.uint64), np.empty(1 << bits, np.int32), found)
    return found


@njit(cache=True, nogil=True)
def sizes(hashes: UInt64[np.ndarray, "n"], parts: int) -> UInt64[np.ndarray, "g"]:
    """Rows of each of the 2^parts parts."""
    found, shift = np.zeros(1 << parts, np.uint64), np.uint64(63 - parts)
    for row in range(len(hashes)):
        found[(hashes[row] * _MIX >> np.uint64(1)) >> shift] += np.uint64(1)
    return found


@njit(cache=True, nogil=True)
def count(
    hashes: UInt64[np.ndarray, "n"],
    parts: int,
    slots: UInt64[np.ndarray, "u"],
    times: Int32[np.ndarray, "u"],
    found: UInt64[np.ndarray, "n"],
) -> None:
    """Fill `found`, part by part; `slots` and `times` are a table with a power of two of places, more than a part has rows."""
    mask, shift = np.uint64(len(slots) - 1), np.uint64(63 - parts)
    for part in range(1 << parts):
        times[:] = 0
        for row in range(len(hashes)):
            mixed = hashes[row] * _MIX
            if (mixed >> np.uint64(1)) >> shift != np.uint64(part):
                continue
            place = (mixed >> np.uint64(20)) & mask
            while times[place] and slots[place] != hashes[row]:
                place = (place + np.uint64(1)) & mask
            slots[place] = hashes[row]
            found[row] = np.uint64(times[place])
            times[place] += 1
