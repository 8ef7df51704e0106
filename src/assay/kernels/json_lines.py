"""JSON lines to spans: one pass that splits lines, checks each as JSON and UTF-8, and finds the wanted fields.

Strict RFC 8259 (2017, https://www.rfc-editor.org/rfc/rfc8259): no NaN, no trailing commas, no control characters in
strings. A repeated key counts by its last value, as in Python's `json`. Strings are skipped eight bytes at a time, so
the cost is close to that of reading memory. `tests/io/test_json_lines.py` holds it to Python's own `json`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numba import njit

from assay.kernels.bits import load_word
from assay.kernels.json_tokens import (
    ARRAY,
    ESCAPED,
    MISSING,
    OBJECT,
    STRING,
    is_utf8,
    line_end,
    scalar_end,
    skip_blank,
    string_end,
    unescape,
)
from assay.kernels.words import store_word

OK, NOT_UTF8, BROKEN, NOT_OBJECT, TOO_DEEP, TOO_LONG = 0, 1, 2, 3, 4, 5
MAX_DEPTH = 512  # Python's own json gives up near 1,000
_VALUE, _AFTER, _KEY, _KEY_OR_END, _VALUE_OR_END = 0, 1, 2, 3, 4


class Wanted(NamedTuple):
    """The wanted fields: path p is the names `paths[p]:paths[p + 1]`, name k is `names[ends[k]:ends[k + 1]]`."""

    names: UInt8[np.ndarray, "m"]
    ends: Int64[np.ndarray, "_"]
    paths: Int64[np.ndarray, "_"]
    deepest: int


class Work(NamedTuple):
    """Within a line: open containers, names matched of each path, depth of its open value, and room for a key."""

    stack: UInt8[np.ndarray, "_"]
    matched: Int64[np.ndarray, "_"]
    opened: Int64[np.ndarray, "_"]
    scratch: UInt8[np.ndarray, "_"]


@njit(cache=True, nogil=True)
def gather(
    data: UInt8[np.ndarray, "m"],
    starts: Int64[np.ndarray, "b"],
    stops: Int64[np.ndarray, "b"],
    flags: Int64[np.ndarray, "b"],
    out: UInt8[np.ndarray, "m"],
    offsets: Int64[np.ndarray, "b_plus_1"],
) -> None:
    """Copy the spans one after another to `out (>= total + PAD,)`, escapes undone, and fill `offsets (b + 1,)`."""
    to = 0
    offsets[0] = 0
    for row in range(len(starts)):
        at, stop = starts[row], stops[row]
        if flags[row] & ESCAPED:
            to = unescape(data, at, stop, out, to)
        else:
            while at < stop:
                store_word(out, to, load_word(data, at))
                at += 8
                to += 8
            to -= at - stop
        offsets[row + 1] = to


@njit(cache=True, nogil=True)
def rows_are_utf8(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], out: Bool[np.ndarray, "b"]
) -> None:
    """Set `out (b,) bool` to which of the rows of a padded block are well-formed UTF-8."""
    for row in range(len(out)):
        out[row] = is_utf8(data, offsets[row], offsets[row + 1])


@njit(cache=True, nogil=True)
def count_lines(data: UInt8[np.ndarray, "m"], stop: int) -> int:
    """How many LF there are in `data[:stop]`."""
    total = 0
    for at in range(stop):
        total += data[at] == 10
    return total


@njit(cache=True, nogil=True)
def split(
    data: UInt8[np.ndarray, "m"], stop: int, starts: Int64[np.ndarray, "b"], stops: Int64[np.ndarray, "b"]
) -> tuple[int, int]:
    """Fill the spans (without LF) of the lines that are not blank; return (rows, lines)."""
    at, rows, lines = 0, 0, 0
    while at < stop:
        if data[skip_blank(data, at)] == 10:
            at = skip_blank(data, at) + 1
        else:
            end = line_end(data, at)
            starts[rows], stops[rows] = at, end
            rows += 1
            at = end + 1
        lines += 1
    return rows, lines


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _same(
    data: UInt8[np.ndarray, "m"], start: int, stop: int, names: UInt8[np.ndarray, "m"], name: int, end: int
) -> bool:
    """Whether `data[start:stop]` equals `names[name:end]`."""
    if stop - start != end - name:
        return False
    for k in range(stop - start):  # noqa: SIM110 (numba has no all())
        if data[start + k] != names[name + k]:
            return False
    return True


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _match(
    data: UInt8[np.ndarray, "m"], start: int, stop: int, depth: int, wanted: Wanted, matched: Int64[np.ndarray, "_"],
    found: Int64[np.ndarray, "b _ 4"], row: int
) -> int:  # fmt: skip
    """Note which wanted paths the key at `depth` continues; return the one that it completes, or -1."""
    names, ends, paths = wanted.names, wanted.ends, wanted.paths
    hit = -1
    for p in range(len(paths) - 1):
        part = paths[p] + depth - 1
        if part < paths[p + 1] and matched[p] >= depth - 1:
            matched[p] = depth - 1
            if _same(data, start, stop, names, ends[part], ends[part + 1]):
                matched[p] = depth
                found[row, p, 0] = MISSING  # a repeated key replaces what came before it
                hit = p if part + 1 == paths[p + 1] else hit
    return hit


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _key(
    data: UInt8[np.ndarray, "m"],
    at: int,
    depth: int,
    wanted: Wanted,
    work: Work,
    found: Int64[np.ndarray, "b _ 4"],
    row: int,
) -> tuple[int, int]:
    """(position after the colon or a negative error, completed path or -1) of the key whose quote is at `at`."""
    end, flags = string_end(data, at + 1)
    if end < 0:
        return end, -1
    hit = -1
    if depth <= wanted.deepest:
        if flags == 0:
            hit = _match(data, at + 1, end, depth, wanted, work.matched, found, row)
        else:  # a key longer than the room for it is none of the wanted ones
            size = unescape(data, at + 1, end, work.scratch, 0) if end - at < len(work.scratch) - 16 else 0
            hit = _match(work.scratch, 0, size, depth, wanted, work.matched, found, row)
    at = skip_blank(data, end + 1)
    return (at + 1, hit) if data[at] == 58 else (-1, -1)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _ends(c: int, container: int, state: int) -> bool:
    """Whether the byte `c` closes the container that is open, where it may be closed."""
    if c == 125:
        return container == OBJECT and state in (_AFTER, _KEY_OR_END)
    return c == 93 and container == ARRAY and state in (_AFTER, _VALUE_OR_END)


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _close(opened: Int64[np.ndarray, "_"], depth: int, found: Int64[np.ndarray, "b _ 4"], row: int, at: int) -> None:
    """Note where the wanted containers end that were opened at `depth`."""
    for p in range(len(opened)):
        if opened[p] == depth:
            found[row, p, 2] = at
            opened[p] = 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _leaf(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int, int, int]:
    """(kind, start, stop, flags) of the string, number or word at `at`; stop -1 if broken, -2 if not UTF-8."""
    if data[at] == 34:
        end, flags = string_end(data, at + 1)
        return STRING, at + 1, end, flags
    kind, end = scalar_end(data, at)
    return kind, at, end, 0


@njit(cache=True, nogil=True, forceinline=True, _nrt=False)
def _line(
    data: UInt8[np.ndarray, "m"], at: int, wanted: Wanted, work: Work, found: Int64[np.ndarray, "b _ 4"], row: int
) -> tuple[int, int]:
    """(code, position of the LF) of the line that starts at `at`; the position is -1 where the code is not OK."""
    depth, state, hit, root = 0, _VALUE, -1, MISSING
    stack, opened = work.stack, work.opened
    for p in range(len(opened)):
        work.matched[p], opened[p], found[row, p, 0] = 0, 0, MISSING
    while True:
        at = skip_blank(data, at)
        c = data[at]
        if state == _AFTER:
            if depth == 0:
                if c != 10:
                    return BROKEN, -1
                return (OK if root == OBJECT else NOT_OBJECT), at
            if c == 44:
                state = _KEY if stack[depth] == OBJECT else _VALUE
                at += 1
                continue
        if _ends(c, stack[depth], state):
            depth -= 1
            at += 1
            _close(opened, depth + 1, found, row, at)
            state = _AFTER
            continue
        if state == _AFTER:
            return BROKEN, -1
        if state in (_KEY, _KEY_OR_END):
            if c != 34:
                return BROKEN, -1
            at, hit = _key(data, at, depth, wanted, work, found, row)
            if at < 0:
                return (NOT_UTF8 if at == -2 else BROKEN), -1
            state = _VALUE
            continue
        mark, begin = 0, at
        if c == 123 or c == 91:
            kind = OBJECT if c == 123 else ARRAY
            state = _KEY_OR_END if c == 123 else _VALUE_OR_END
            depth += 1
            if depth >= MAX_DEPTH:
                return TOO_DEEP, -1
            stack[depth] = kind
            at += 1
            end = at
        else:
            kind, begin, end, mark = _leaf(data, at)
            if end < 0:
                return (NOT_UTF8 if end == -2 else BROKEN), -1
            state, at = _AFTER, end + (1 if kind == STRING else 0)
        if hit >= 0:
            found[row, hit, 0], found[row, hit, 1], found[row, hit, 2], found[row, hit, 3] = kind, begin, end, mark
            opened[hit] = depth if kind >= OBJECT else 0
            hit = -1
        if depth == (1 if kind >= OBJECT else 0):
            root = kind if root == MISSING else root


@njit(cache=True, nogil=True)
def scan(
    data: UInt8[np.ndarray, "m"],
    stop: int,
    longest: int,
    names: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "_"],
    paths: Int64[np.ndarray, "_"],
    lines: Int64[np.ndarray, "b 4"],
    found: Int64[np.ndarray, "b _ 4"],
) -> tuple[int, int]:
    """Read the lines of `data[:stop]`, which ends with LF and is followed by PAD bytes of LF; return (rows, lines).

    Wanted path p is the names `paths[p]:paths[p + 1]`, name k is `names[ends[k]:ends[k + 1]]`. For each line that is
    not blank this fills `lines` with its code, number (from 0), start and stop, and `found` with the kind, start, stop
    and flags of each path's value.
    """
    deepest = 0
    for p in range(len(paths) - 1):
        deepest = max(deepest, paths[p + 1] - paths[p])
    wanted = Wanted(names, ends, paths, deepest)
    matched, opened = np.zeros(len(paths) - 1, np.int64), np.zeros(len(paths) - 1, np.int64)
    work = Work(np.zeros(MAX_DEPTH + 1, np.uint8), matched, opened, np.zeros(1024, np.uint8))
    at, row, line = 0, 0, 0
    while at < stop:
        first = skip_blank(data, at)
        if data[first] == 10:
            at = first + 1
            line += 1
            continue
        code, end = _line(data, first, wanted, work, found, row)
        if end < 0:
            end = line_end(data, first)
            if not is_utf8(data, at, end):
                code = NOT_UTF8
        if end - at > longest:
            code = TOO_LONG
        lines[row, 0], lines[row, 1], lines[row, 2], lines[row, 3] = code, line, at, end
        row += 1
        line += 1
        at = end + 1
    return row, line
