"""Bytes out of a file, decompressed, in bounded chunks, and whatever can still be read of a damaged one.

gzip (RFC 1952, several members) and zstandard (RFC 8878, several frames) are undone a little at a time. Where the data
is damaged or ends early, everything before it is yielded first, then `Unreadable` is raised with the reason. So it is
where a file turns out far larger than anybody's text packs: a bomb ends in one quarantined row instead of filling the disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from assay.io.files import open_read

CHUNK = 1 << 20
_GZIP_IN, _GZIP_OUT = 1 << 16, 1 << 20
_ZSTD_IN = 1 << 12
_ZSTD_LEAST = 1 << 6  # zstandard turns at most 4 bytes into 128 KiB, so this is at most 2 MiB out
# gzip packs to no less than a 1,032nd, zstandard to a 32,768th; text of which every line is another stays far from both.
BOMB_BYTES, BOMB_RATIO = 1 << 26, 250


class Unreadable(Exception):
    """The rest of a compressed file cannot be read; the message says why."""


def chunks(path: str, compression: str, start: int = 0) -> Iterator[bytes]:
    """Yield the (decompressed) bytes of a file from byte `start` on, which is 0 for a compressed one."""
    with open_read(path) as file:
        if compression == "gzip":
            yield from _limited(_gunzip(file), file)
        elif compression == "zstd":
            yield from _limited(_unzstd(file, path), file)
        else:
            if start:
                file.seek(start)
            while chunk := file.read(CHUNK):
                yield chunk


def _limited(unpacked: Iterator[bytes], file: BinaryIO) -> Iterator[bytes]:
    """Pass chunks on while what they add up to is in proportion to what was read of the packed file."""
    given = 0
    for chunk in unpacked:
        within = chunk[: max(0, BOMB_BYTES + BOMB_RATIO * file.tell() - given)]
        given += len(within)
        yield from (within[at : at + CHUNK] for at in range(0, len(within), CHUNK))
        if len(within) < len(chunk):
            raise Unreadable(
                f"the file unpacks to more than {BOMB_BYTES >> 20} MB and {BOMB_RATIO} times its packed size, as a zip bomb "
                "does; if it is meant, unpack it first"
            )


def _gunzip(file: BinaryIO) -> Iterator[bytes]:
    member = zlib.decompressobj(31)
    rest, begun, many = b"", False, False
    while True:
        rest = rest or file.read(_GZIP_IN)
        if not rest:
            break
        if not begun and many:  # zero padding after a member is allowed (as gzip itself does)
            rest = rest.lstrip(b"\0")
            if not rest:
                continue
        begun = True
        before = member.copy()
        try:
            out = member.decompress(rest, _GZIP_OUT)
        except zlib.error as error:
            yield from _gunzip_slowly(before, rest)
            raise Unreadable(f"the gzip data is damaged ({_plain(error)})") from None
        if out:
            yield out
        rest = member.unused_data if member.eof else member.unconsumed_tail
        if member.eof:
            member, begun, many = zlib.decompressobj(31), False, True
    if begun:
        yield member.flush()
        raise Unreadable("the gzip data ends early")
    if not many:
        raise Unreadable("the gzip data ends early")


def _gunzip_slowly(member: zlib._Decompress, rest: bytes) -> Iterator[bytes]:
    """What can be had of a damaged chunk, byte by byte, up to the damage."""
    for at in range(len(rest)):
        try:
            out = member.decompress(rest[at : at + 1])
        except zlib.error:
            return
        if out:
            yield out
        if member.eof:
            return


def _unzstd(file: BinaryIO, path: str) -> Iterator[bytes]:
    import zstandard

    maker = zstandard.ZstdDecompressor()
    frame, rest, begun, fed, frame_start, given = maker.decompressobj(), b"", False, 0, 0, 0
    step = _ZSTD_LEAST
    while True:
        rest = rest or file.read(step)
        if not rest:
            break
        begun = True
        try:
            out = frame.decompress(rest)
        except zstandard.ZstdError as error:
            yield from _unzstd_slowly(path, frame_start, fed, given)
            raise Unreadable(_why(error)) from None
        step = min(2 * step, _ZSTD_IN) if len(out) < step * BOMB_RATIO else _ZSTD_LEAST
        fed += len(rest)
        given += len(out)
        if out:
            yield out
        rest = frame.unused_data if frame.eof else b""
        if frame.eof:
            frame, begun, frame_start, given = maker.decompressobj(), False, fed - len(rest), 0
            fed = frame_start
    if begun or fed == 0:
        raise Unreadable("the zstandard data ends early")


def _unzstd_slowly(path: str, start: int, damaged: int, given: int) -> Iterator[bytes]:
    """What can be had of a damaged frame beyond the first `given` bytes: read it again up to byte `damaged` of the file, and
    from there byte by byte, as far as it goes."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    with open_read(path) as file:
        file.seek(start)
        at, seen = start, 0
        while chunk := file.read(min(_ZSTD_IN, damaged - at) if at < damaged else 1):
            try:
                out = frame.decompress(chunk)
            except zstandard.ZstdError:
                return
            at += len(chunk)
            fresh = out[max(0, given - seen) :]
            seen += len(out)
            if fresh:
                yield fresh


def _why(error: Exception) -> str:
    if "too much memory" in str(error):
        return "the zstandard data needs a window above 128 MB (--ultra or --long above 27); pack it again without"
    return f"the zstandard data is damaged ({_plain(error)})"


def _plain(error: Exception) -> str:
    return str(error).split(":")[-1].strip()
