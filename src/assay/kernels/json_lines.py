"""JSON lines to spans: one pass that splits lines, checks each as JSON and UTF-8, and finds the wanted fields.

Strict RFC 8259 (2017, https://www.rfc-editor.org/rfc/rfc8259): no NaN, no trailing commas, no control characters in
strings. A repeated key counts by its last value, as in Python's `json`. Strings are skipped eight bytes at a time, so
the cost is close to that of reading memory. `tests/io/test_json_lines.py` holds it to Python's own `json`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64, UInt8
from numba import njit

from assay.kernels.bits import load_word
from assay.kernels.words import first_byte, store_word, zero_bytes

OK, NOT_UTF8, BROKEN, NOT_OBJECT, TOO_DEEP, TOO_LONG = 0, 1, 2, 3, 4, 5
MISSING, STRING, NUMBER, TRUE, FALSE, NULL, OBJECT, ARRAY = 0, 1, 2, 3, 4, 5, 6, 7
ESCAPED, LONE = 1, 2  # flags of a string: holds a backslash; holds a surrogate without its partner
MAX_DEPTH = 512  # Python's own json gives up near 1,000

_QUOTES = np.uint64(0x2222222222222222)
_BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
_SPACES = np.uint64(0x2020202020202020)
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_TOPS = np.uint64(0x8080808080808080)
_MEANINGS = np.zeros(256, np.uint8)  # what each letter after a backslash stands for; 0 where it stands for nothing
_MEANINGS[[34, 47, 92, 98, 102, 110, 114, 116]] = [34, 47, 92, 8, 12, 10, 13, 9]
_VALUE, _AFTER, _KEY, _KEY_OR_END, _VALUE_OR_END = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True, inline="never")
def _character(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Bytes of the well-formed UTF-8 character that starts at a byte above 127; 0 if it is not well-formed."""
    c, d = data[at], data[at + 1]
    if c < 0xC2 or c > 0xF4 or (d & 0xC0) != 0x80:
        return 0
    if c < 0xE0:
        return 2
    if (data[at + 2] & 0xC0) != 0x80:
        return 0
    if c < 0xF0:
        return 0 if (c == 0xE0 and d < 0xA0) or (c == 0xED and d > 0x9F) else 3
    if (data[at + 3] & 0xC0) != 0x80:
        return 0
    return 0 if (c == 0xF0 and d < 0x90) or (c == 0xF4 and d > 0x8F) else 4


@njit(cache=True, nogil=True, inline="never")
def _hex(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """The number that four hexadecimal digits spell, or -1."""
    value = 0
    for k in range(4):
        c = np.int64(data[at + k])
        if 48 <= c <= 57:
            c -= 48
        elif 65 <= c <= 70:
            c -= 55
        elif 97 <= c <= 102:
            c -= 87
        else:
            return -1
        value = value * 16 + c
    return value


@njit(cache=True, nogil=True, inline="never")
def _escape(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(bytes, code point) of the escape at a backslash; 0 bytes if broken; a lone surrogate is its own code point."""
    c = data[at + 1]
    if c != 117:
        meaning = np.int64(_MEANINGS[c])
        return (2 if meaning else 0), meaning
    high = _hex(data, at + 2)
    if high < 0:
        return 0, 0
    if 0xD800 <= high < 0xDC00 and data[at + 6] == 92 and data[at + 7] == 117:
        low = _hex(data, at + 8)
        if 0xDC00 <= low < 0xE000:
            return 12, 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
    return 6, high


@njit(cache=True, nogil=True, forceinline=True)
def _string(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(position of the closing quote, flags) of the string that starts at `at`; -1 if broken, -2 if not UTF-8."""
    flags = 0
    while True:
        word = load_word(data, at)
        marks = (
            zero_bytes(word ^ _QUOTES)
            | zero_bytes(word ^ _BACKSLASHES)
            | ((word - _SPACES) & ~word & _TOPS)
            | (word & _TOPS)
        )
        if marks == 0:
            at += 8
            continue
        at += first_byte(marks)
        c = data[at]
        if c == 34:
            return at, flags
        if c >= 128:
            while data[at] >= 128:
                size = _character(data, at)
                if size == 0:
                    return -2, flags
                at += size
        elif c == 92:
            size, point = _escape(data, at)
            if size == 0:
                return -1, flags
            flags |= LONE | ESCAPED if 0xD800 <= point < 0xE000 else ESCAPED
            at += size
        else:
            return -1, flags


@njit(cache=True, nogil=True, forceinline=True)
def _digits(data: UInt8[np.ndarray, "m"], at: int) -> int:
    while 48 <= data[at] <= 57:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _number(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Where the number that starts at `at` ends, or -1."""
    if data[at] == 45:
        at += 1
    whole = _digits(data, at)
    if whole == at or (data[at] == 48 and whole > at + 1):
        return -1
    at = whole
    if data[at] == 46:
        stop = _digits(data, at + 1)
        if stop == at + 1:
            return -1
        at = stop
    if data[at] == 101 or data[at] == 69:
        at += 1
        if data[at] == 43 or data[at] == 45:
            at += 1
        stop = _digits(data, at)
        if stop == at:
            return -1
        at = stop
    return at


@njit(cache=True, nogil=True)
def _scalar(data: UInt8[np.ndarray, "m"], at: int) -> tuple[int, int]:
    """(kind, end) of a number, true, false or null; end -1 if it is none of them."""
    c = data[at]
    if c == 116:
        ok = data[at + 1] == 114 and data[at + 2] == 117 and data[at + 3] == 101
        return TRUE, at + 4 if ok else -1
    if c == 102:
        ok = data[at + 1] == 97 and data[at + 2] == 108 and data[at + 3] == 115 and data[at + 4] == 101
        return FALSE, at + 5 if ok else -1
    if c == 110:
        ok = data[at + 1] == 117 and data[at + 2] == 108 and data[at + 3] == 108
        return NULL, at + 4 if ok else -1
    return NUMBER, _number(data, at)


@njit(cache=True, nogil=True)
def _put(out: UInt8[np.ndarray, "m"], at: int, point: int) -> int:
    """Write one code point as UTF-8 and return the position after it; a lone surrogate becomes U+FFFD."""
    if 0xD800 <= point < 0xE000:
        point = 0xFFFD
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at] = 0xC0 | (point >> 6)
        out[at + 1] = 0x80 | (point & 0x3F)
        return at + 2
    if point < 0x10000:
        out[at] = 0xE0 | (point >> 12)
        out[at + 1] = 0x80 | ((point >> 6) & 0x3F)
        out[at + 2] = 0x80 | (point & 0x3F)
        return at + 3
    out[at] = 0xF0 | (point >> 18)
    out[at + 1] = 0x80 | ((point >> 12) & 0x3F)
    out[at + 2] = 0x80 | ((point >> 6) & 0x3F)
    out[at + 3] = 0x80 | (point & 0x3F)
    return at + 4


@njit(cache=True, nogil=True)
def _unescape(data: UInt8[np.ndarray, "m"], at: int, stop: int, out: UInt8[np.ndarray, "m"], to: int) -> int:
    """Copy `data[at:stop]` to `out[to:]` with its escapes undone; return the position after the last byte written."""
    while at < stop:
        word = load_word(data, at)
        store_word(out, to, word)
        marks = zero_bytes(word ^ _BACKSLASHES)
        if marks == 0 and at + 8 <= stop:
            at += 8
            to += 8
            continue
        step = stop - at
        if marks != 0 and first_byte(marks) < step:
            step = first_byte(marks)
        at += step
        to += step
        if at < stop and data[at] == 92:
            size, point = _escape(data, at)
            at += size
            to = _put(out, to, point)
    return to


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
            to = _unescape(data, at, stop, out, to)
        else:
            while at < stop:
                store_word(out, to, load_word(data, at))
                at += 8
                to += 8
            to -= at - stop
        offsets[row + 1] = to


@njit(cache=True, nogil=True)
def is_utf8(data: UInt8[np.ndarray, "m"], start: int, stop: int) -> bool:
    """Whether `data[start:stop]`, followed by at least PAD readable bytes, is well-formed UTF-8."""
    at = start
    while at < stop:
        if at + 8 <= stop and load_word(data, at) & _TOPS == 0:
            at += 8
        elif data[at] < 128:
            at += 1
        else:
            size = _character(data, at)
            if size == 0 or at + size > stop:
                return False
            at += size
    return True


@njit(cache=True, nogil=True)
def rows_are_utf8(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], out: Bool[np.ndarray, "b"]
) -> None:
    """Set `out (b,) bool` to which of the rows of a padded block are well-formed UTF-8."""
    for row in range(len(out)):
        out[row] = is_utf8(data, offsets[row], offsets[row + 1])


@njit(cache=True, nogil=True)
def line_end(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """Where the next LF is; the block must end with one."""
    while True:
        marks = zero_bytes(load_word(data, at) ^ _NEWLINES)
        if marks != 0:
            return at + first_byte(marks)
        at += 8


@njit(cache=True, nogil=True)
def count_lines(data: UInt8[np.ndarray, "m"], stop: int) -> int:
    """How many LF there are in `data[:stop]`."""
    total = 0
    for at in range(stop):
        total += data[at] == 10
    return total


@njit(cache=True, nogil=True, forceinline=True)
def _blank(data: UInt8[np.ndarray, "m"], at: int) -> int:
    """The first byte at or after `at` that is no space, tab or CR."""
    while data[at] == 32 or data[at] == 13 or data[at] == 9:
        at += 1
    return at


@njit(cache=True, nogil=True)
def split(
    data: UInt8[np.ndarray, "m"], stop: int, starts: Int64[np.ndarray, "b"], stops: Int64[np.ndarray, "b"]
) -> tuple[int, int]:
    """Fill the spans (without LF) of the lines that are not blank; return (rows, lines)."""
    at, rows, lines = 0, 0, 0
    while at < stop:
        if data[_blank(data, at)] == 10:
            at = _blank(data, at) + 1
        else:
            end = line_end(data, at)
            starts[rows], stops[rows] = at, end
            rows += 1
            at = end + 1
        lines += 1
    return rows, lines


@njit(cache=True, nogil=True, forceinline=True)
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


@njit(cache=True, nogil=True, forceinline=True)
def _match(
    data: UInt8[np.ndarray, "m"],
    start: int,
    stop: int,
    depth: int,
    names: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "_"],
    paths: Int64[np.ndarray, "_"],
    matched: Int64[np.ndarray, "_"],
    found: Int64[np.ndarray, "b _ 4"],
    row: int,
) -> int:
    """Note which wanted paths the key at `depth` continues; return the one that it completes, or -1."""
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


@njit(cache=True, nogil=True, forceinline=True)
def _key(
    data: UInt8[np.ndarray, "m"],
    at: int,
    depth: int,
    deepest: int,
    names: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "_"],
    paths: Int64[np.ndarray, "_"],
    matched: Int64[np.ndarray, "_"],
    found: Int64[np.ndarray, "b _ 4"],
    row: int,
    scratch: UInt8[np.ndarray, "m"],
) -> tuple[int, int]:
    """(position after the colon or a negative error, completed path or -1) of the key whose quote is at `at`."""
    end, flags = _string(data, at + 1)
    if end < 0:
        return end, -1
    hit = -1
    if depth <= deepest:
        if flags == 0:
            hit = _match(data, at + 1, end, depth, names, ends, paths, matched, found, row)
        elif end - at < len(scratch) - 16:
            hit = _match(
                scratch, 0, _unescape(data, at + 1, end, scratch, 0), depth, names, ends, paths, matched, found, row
            )
        else:
            hit = _match(scratch, 0, 0, depth, names, ends, paths, matched, found, row)
    at = _blank(data, end + 1)
    return (at + 1, hit) if data[at] == 58 else (-1, -1)


@njit(cache=True, nogil=True, forceinline=True)
def _ends(c: int, container: int, state: int) -> bool:
    """Whether the byte `c` closes the container that is open, where it may be closed."""
    if c == 125:
        return container == OBJECT and state in (_AFTER, _KEY_OR_END)
    return c == 93 and container == ARRAY and state in (_AFTER, _VALUE_OR_END)


@njit(cache=True, nogil=True, forceinline=True)
def _close(opened: Int64[np.ndarray, "_"], depth: int, found: Int64[np.ndarray, "b _ 4"], row: int, at: int) -> None:
    """Note where the wanted containers end that were opened at `depth`."""
    for p in range(len(opened)):
        if opened[p] == depth:
            found[row, p, 2] = at
            opened[p] = 0


@njit(cache=True, nogil=True, forceinline=True)
def _line(
    data: UInt8[np.ndarray, "m"],
    at: int,
    deepest: int,
    names: UInt8[np.ndarray, "m"],
    ends: Int64[np.ndarray, "_"],
    paths: Int64[np.ndarray, "_"],
    stack: UInt8[np.ndarray, "m"],
    matched: Int64[np.ndarray, "_"],
    opened: Int64[np.ndarray, "_"],
    scratch: UInt8[np.ndarray, "m"],
    found: Int64[np.ndarray, "b _ 4"],
    row: int,
) -> tuple[int, int]:
    """(code, position of the LF) of the line that starts at `at`; the position is -1 where the code is not OK."""
    depth, state, hit, root = 0, _VALUE, -1, MISSING
    matched[:], opened[:], found[row, :, 0] = 0, 0, MISSING
    while True:
        at = _blank(data, at)
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
            at, hit = _key(data, at, depth, deepest, names, ends, paths, matched, found, row, scratch)
            if at < 0:
                return (NOT_UTF8 if at == -2 else BROKEN), -1
            state = _VALUE
            continue
        mark, begin = 0, at
        if c == 34:
            kind = STRING
            end, mark = _string(data, at + 1)
            if end < 0:
                return (NOT_UTF8 if end == -2 else BROKEN), -1
            begin, at = at + 1, end + 1
        elif c == 123 or c == 91:
            kind = OBJECT if c == 123 else ARRAY
            state = _KEY_OR_END if c == 123 else _VALUE_OR_END
            depth += 1
            if depth >= MAX_DEPTH:
                return TOO_DEEP, -1
            stack[depth] = kind
            at += 1
            end = at
        else:
            kind, at = _scalar(data, at)
            if at < 0:
                return BROKEN, -1
            end = at
        if hit >= 0:
            found[row, hit, 0], found[row, hit, 1], found[row, hit, 2], found[row, hit, 3] = kind, begin, end, mark
            opened[hit] = depth if kind >= OBJECT else 0
            hit = -1
        if kind < OBJECT:
            state = _AFTER
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

    Wanted path p is the names `paths[p]:paths[p + 1]`; name k is `names[ends[k]:ends[k + 1]]`. For each line that is
    not blank this fills `lines (r, 4)` with its code, number (from 0), start and stop, and `found (r, p, 4)` with the
    kind, start, stop and flags of each path's value.
    """
    stack = np.zeros(MAX_DEPTH + 1, np.uint8)
    matched, opened = np.zeros(len(paths) - 1, np.int64), np.zeros(len(paths) - 1, np.int64)
    scratch = np.zeros(1024, np.uint8)
    deepest = 0
    for p in range(len(paths) - 1):
        deepest = max(deepest, paths[p + 1] - paths[p])
    at, row, line = 0, 0, 0
    while at < stop:
        first = _blank(data, at)
        if data[first] == 10:
            at = first + 1
            line += 1
            continue
        code, end = _line(data, first, deepest, names, ends, paths, stack, matched, opened, scratch, found, row)
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
