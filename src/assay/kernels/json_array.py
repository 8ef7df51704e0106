"""A JSON array to JSON lines, byte by byte: commas between elements become line breaks, line breaks become spaces.

Nothing is checked here but the nesting: each line is read strictly afterwards. State is carried from chunk to chunk.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit

ARRAY_STATE = 4  # phase (0 before '[', 1 in the array, 3 after ']'), depth, in a string, after a backslash


@njit(cache=True, nogil=True)
def elements(data: UInt8[np.ndarray, "m"], out: UInt8[np.ndarray, "m"], state: Int64[np.ndarray, "4"]) -> int:
    """Rewrite a chunk of an array into `out (>= 2m,)`; return the bytes written; `state` goes on to the next chunk."""
    phase, depth, quoted, escaped = state[0], state[1], state[2], state[3]
    to = 0
    for at in range(len(data)):
        c = data[at]
        if phase != 1:
            blank = c == 32 or c == 9 or c == 10 or c == 13 or c == 0xEF or c == 0xBB or c == 0xBF
            if phase == 0 and c == 91:
                phase = 1
            elif not blank:  # something after the array: a line of its own, which will not be a row
                out[to] = c
                to += 1
            continue
        if quoted:
            if escaped:
                escaped = 0
            elif c == 92:
                escaped = 1
            elif c == 34:
                quoted = 0
            c = 1 if c == 10 else c  # a raw line break in a string is broken JSON, and stays so
        elif c == 34:
            quoted = 1
        elif c == 10 or c == 13:
            c = 32
        elif c == 91 or c == 123:
            depth += 1
        elif c == 125 or c == 93:
            if depth == 0:
                phase = 3
                c = 10
            else:
                depth -= 1
        elif c == 44 and depth == 0:
            c = 10
        out[to] = c
        to += 1
    state[0], state[1], state[2], state[3] = phase, depth, quoted, escaped
    return to
