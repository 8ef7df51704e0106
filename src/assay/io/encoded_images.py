"""Encoded images: whether one is whole, and the picture in it.

Whether an image is whole is told from its own marks, without a library: so a pool has the same readable rows on every machine,
and counting it decodes nothing. What passes and still cannot be decoded is for a method to decline.

    png    signature, chunks with the checksums that they name, IHDR to IEND     (W3C PNG, 3rd edition)
    jpg    SOI, segments up to a scan, and EOI after it                          (ITU-T T.81)
    webp   a RIFF as long as it says       gif   blocks up to the trailer       bmp   as long as it says
"""

from __future__ import annotations

import importlib.util
import io
import struct
import warnings
import zlib
from typing import Any

from assay.errors import MissingExtra
from assay.types import Texts

SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp")
MOST_PIXELS = 1 << 27  # of a picture that is decoded: 400 MB as bytes of three colours
_PNG, _SOI, _EOI = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd9"
_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])  # JPEG markers without a segment
_SCAN = 0xDA
_TRAILER, _IMAGE, _EXTENSION = 0x3B, 0x2C, 0x21  # kinds of a GIF's blocks


def fault_of(encoded: bytes) -> str:
    """What is wrong with an encoded image, "" where nothing is.

    >>> fault_of(b"GIF89a" + bytes(7) + b";"), fault_of(b"hello")
    ('', 'the image is of no known kind: jpg, png, webp, gif or bmp')
    """
    if not encoded:
        return "the image is empty"
    if encoded.startswith(_PNG):
        return _png(encoded)
    if encoded.startswith(_SOI):
        return _whole("jpg", _jpg(encoded))
    if encoded.startswith((b"GIF87a", b"GIF89a")):
        return _whole("gif", _gif(encoded))
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return _whole("webp", struct.unpack("<I", encoded[4:8])[0] + 8 <= len(encoded))
    if encoded.startswith(b"BM") and len(encoded) > 26:
        return _whole("bmp", struct.unpack("<I", encoded[2:6])[0] <= len(encoded))
    return "the image is of no known kind: jpg, png, webp, gif or bmp"


def _whole(kind: str, whole: bool) -> str:
    return "" if whole else f"the image is damaged ({kind}: it ends early)"


def _png(encoded: bytes) -> str:
    """Chunks are length, type, data, checksum; damage to those that a picture does not need is left alone."""
    at, data = len(_PNG), False
    while at + 12 <= len(encoded):
        (size,), kind = struct.unpack(">I", encoded[at : at + 4]), encoded[at + 4 : at + 8]
        stop = at + 8 + size
        if stop + 4 > len(encoded):
            break
        if (
            kind[:1].isupper()
            and zlib.crc32(encoded[at + 4 : stop]) != struct.unpack(">I", encoded[stop : stop + 4])[0]
        ):
            return "the image is damaged (png: a checksum is wrong)"
        data |= kind == b"IDAT"
        if kind == b"IEND":
            return "" if data else "the image is damaged (png: it has no data)"
        at = stop + 4
    return _whole("png", False)


def _jpg(encoded: bytes) -> bool:
    """Whether there is an end after the first scan: the one of a preview, which lies in a segment, is not it."""
    at = 2
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == _SCAN:
            return encoded.rfind(_EOI, at) > 0
        at += 1 if marker == 0xFF else 2 if marker in _ALONE else 2 + struct.unpack(">H", encoded[at + 2 : at + 4])[0]
    return False


def _gif(encoded: bytes) -> bool:
    """Whether blocks follow one another up to the trailer: tables of colours, extensions, images in parts of at most 255 bytes."""
    at = 13 + _colours(encoded[10:11])
    while at < len(encoded):
        kind = encoded[at]
        if kind == _TRAILER:
            return True
        if kind == _IMAGE:
            at += 11 + _colours(encoded[at + 9 : at + 10])
        elif kind == _EXTENSION:
            at += 2
        else:
            return False
        while at < len(encoded) and encoded[at]:
            at += 1 + encoded[at]
        at += 1
    return False


def _colours(flags: bytes) -> int:
    """Bytes of the table that the flags announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def encoded_at(images: Texts, place: int) -> bytes:
    """The bytes of one image of a column `image`.

    >>> encoded_at(Texts.of_bytes([b"a", b"bc"]), 1)
    b'bc'
    """
    return images.data[images.offsets[place] : images.offsets[place + 1]].tobytes()


def picture(encoded: bytes) -> Any | None:
    """The Pillow image, decoded, in RGB; None where it cannot be decoded or has more than 2^27 pixels.

    Transparency is left out, as CLIP's own preprocessing does. Raises MissingExtra where Pillow is not installed.
    """
    if importlib.util.find_spec("PIL") is None:
        raise MissingExtra.of("reading images", "images")
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = Image.open(io.BytesIO(encoded))
            return found.convert("RGB") if 0 < found.width * found.height <= MOST_PIXELS else None
        except MemoryError:
            raise
        except Exception:  # what a damaged file makes of a decoder may be anything: it is no picture
            return None
