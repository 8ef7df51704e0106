"""Lines out of chunks: whole lines in blocks of a few megabytes, each line with exactly one owner.

A byte range owns the lines that start in it. Lines above `longest` bytes never enter memory whole: they come as a
`Long` with their offset, length, hash and first 64 KB. Whatever a damaged tail left unfinished comes as one `Tail`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, final

import numpy as np
import xxhash
from jaxtyping import UInt8

from assay.io.files import open_read
from assay.io.streams import Unreadable, chunks
from assay.kernels.words import PAD

BLOCK = 4 << 20
HEAD = 1 << 16
_BOM = b"\xef\xbb\xbf"
_LF = 10
_MOST = 1 << 16
_NEAR = 1 << 16  # where the end of a line is looked for first


@final
@dataclass(frozen=True)
class Lines:
    """Whole lines: `data[:stop]` ends with LF, PAD more follow; `offset` is where `data[0]` lies in the file."""

    data: UInt8[np.ndarray, "m"]
    stop: int
    offset: int


@final
@dataclass(frozen=True)
class Long:
    """One line of more than `longest` bytes: where it starts, its length without LF, its hash, its first 64 KB."""

    offset: int
    length: int
    hash: str
    head: bytes


@final
@dataclass(frozen=True)
class Tail:
    """What could not be decompressed: the reason, and the unfinished line before it."""

    reason: str
    offset: int
    length: int
    hash: str
    head: bytes


def digest(raw: bytes | bytearray | memoryview) -> str:
    """The hash that the quarantine gives for a line: XXH3, 64 bits, hexadecimal."""
    return xxhash.xxh3_64_hexdigest(raw)


def padded(content: bytes | bytearray | memoryview) -> tuple[UInt8[np.ndarray, "m"], int]:
    """Bytes as an array that ends with LF (added where it is missing) and PAD more; and where the content stops."""
    size = len(content)
    data = np.empty(size + 1 + PAD, np.uint8)
    data[:size] = np.frombuffer(content, np.uint8)
    data[size:] = _LF
    return data, size if size == 0 or data[size - 1] == _LF else size + 1


def read_lines(
    path: str, compression: str, start: int, stop: int | None, longest: int
) -> Iterator[Lines | Long | Tail]:
    """The lines that start in `[start, stop)` (`stop` None: to the end), in order; the BOM of the file is left out."""
    source = chunks(path, compression, max(0, start - 1))
    at = max(0, start - 1)
    if start:
        source, at = _skip_line(source, at)
    if compression:
        yield from assemble(source, at, stop, longest)
    else:
        yield from _in_place(path, at, 1 << 62 if stop is None else stop, longest)


def _in_place(path: str, at: int, limit: int, longest: int) -> Iterator[Lines | Long | Tail]:
    """Whole lines of an uncompressed file from byte `at`, the start of one, read into one buffer that is used again.

    The buffer is the caller's until it asks for the next block. What does not fit (a BOM, a line above a block) is left to
    `assemble`.
    """
    buffer, carry = np.empty(BLOCK + 1 + PAD, np.uint8), b""
    with open_read(path) as file:
        file.seek(at)
        while at < limit:
            buffer[: len(carry)] = np.frombuffer(carry, np.uint8)
            size = fill(file, buffer, BLOCK, len(carry))
            ended = size < BLOCK
            cut = _owned(buffer, size, limit - at, ended)
            if not size:
                return
            if not cut or (at == 0 and bytes(buffer[:3]) == _BOM):
                yield from assemble(chunks(path, "", at), at, limit, longest)
                return
            carry = bytes(buffer[cut:size])
            stop = cut if buffer[cut - 1] == _LF else cut + 1
            buffer[cut : stop + PAD] = _LF
            yield Lines(buffer[: stop + PAD], stop, at)
            at += cut


def fill(file: BinaryIO, buffer: UInt8[np.ndarray, "m"], stop: int, size: int = 0) -> int:
    """Read from the file into `buffer[size:stop]`; up to where it is full then, less than `stop` only at the file's end."""
    with memoryview(buffer) as view:
        while size < stop and (got := file.readinto(view[size:stop])):
            size += got
    return size


def _owned(buffer: UInt8[np.ndarray, "m"], size: int, owned: int, ended: bool) -> int:
    """Bytes of the whole lines that start among the first `owned`, of `size` at hand; 0 where not even one ends there."""
    for start in range(owned - 1, size, _NEAR):
        found = np.flatnonzero(buffer[start : min(size, start + _NEAR)] == _LF)
        if len(found):
            return start + int(found[0]) + 1
    if ended:
        return size
    for stop in range(min(size, owned), 0, -_NEAR):
        found = np.flatnonzero(buffer[max(stop - _NEAR, 0) : stop] == _LF)
        if len(found):
            return max(stop - _NEAR, 0) + int(found[-1]) + 1
    return 0


def _skip_line(source: Iterator[bytes], at: int) -> tuple[Iterator[bytes], int]:
    """Drop bytes up to and with the next LF."""
    for chunk in source:
        found = chunk.find(b"\n")
        if found >= 0:
            return _resume(chunk[found + 1 :], source), at + found + 1
        at += len(chunk)
    return iter(()), at


def _resume(first: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from source


def assemble(source: Iterator[bytes], at: int, stop: int | None, longest: int) -> Iterator[Lines | Long | Tail]:
    """Put chunks that begin at byte `at`, at the start of a line, together to blocks of whole lines."""
    pending = bytearray()
    limit = stop if stop is not None else 1 << 62
    if at >= limit:
        return
    try:
        for chunk in source:
            pending += chunk
            if at == 0 and pending.startswith(_BOM):
                del pending[:3]
                at = 3
                limit = max(limit, at + 1)  # the first line, which starts here, belongs to the range that starts at 0
            if len(pending) < BLOCK and at + len(pending) < limit:
                continue
            cut = _cut(pending, limit - at)
            if cut:
                yield _take(pending, cut, at)
                at += cut
            elif len(pending) > longest:
                line, rest = _swallow(pending, source, at)
                yield line
                if isinstance(line, Tail):
                    return
                at += line.length + 1
                pending = bytearray(rest)
            if at >= limit:
                return
    except Unreadable as error:
        cut = pending.rfind(b"\n") + 1
        if cut:
            yield _take(pending, cut, at)
        yield Tail(str(error), at + cut, len(pending), digest(pending), bytes(pending[:HEAD]))
        return
    while pending and at < limit:
        cut = _cut(pending, limit - at) or len(pending)
        yield _take(pending, cut, at)
        at += cut


def few(item: Lines) -> Iterator[Lines]:
    """The same lines, at most 65,536 at a time: a line takes memory of its own, however short it is."""
    if item.stop <= _MOST or len(ends := np.flatnonzero(item.data[: item.stop] == _LF)) <= _MOST:
        yield item
        return
    start = 0
    for stop in [*(ends[_MOST - 1 : -1 : _MOST] + 1).tolist(), item.stop]:
        data, size = padded(item.data[start:stop].tobytes())
        yield Lines(data, size, item.offset + start)
        start = stop


def _take(pending: bytearray, cut: int, at: int) -> Lines:
    with memoryview(pending) as view, view[:cut] as part:
        data, stop = padded(part)
    del pending[:cut]
    return Lines(data, stop, at)


def _cut(pending: bytearray, owned: int) -> int:
    """Bytes of the whole lines to hand out: those that start among the next `owned` bytes; 0 while there is none."""
    last = pending.find(b"\n", owned - 1) + 1 if len(pending) >= owned else 0
    return last or pending.rfind(b"\n") + 1


def _swallow(pending: bytearray, source: Iterator[bytes], at: int) -> tuple[Long | Tail, bytes]:
    """Read on to the end of a line that is too long, keeping its head; and what was read beyond it."""
    hasher, length, head, rest = xxhash.xxh3_64(pending), len(pending), bytes(pending[:HEAD]), b""
    pending.clear()
    try:
        for chunk in source:
            found = chunk.find(b"\n")
            part = chunk if found < 0 else chunk[:found]
            hasher.update(part)
            length += len(part)
            if found >= 0:
                rest = chunk[found + 1 :]
                break
    except Unreadable as error:
        return Tail(str(error), at, length, hasher.hexdigest(), head), b""
    return Long(at, length, hasher.hexdigest(), head), rest
