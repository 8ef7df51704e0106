"""Labelled pictures as rows: files of class folders, archives of them, arrays; what cannot be decoded is quarantined.

    row        one picture: PNG or JPEG as it came, or a picture of an array (uint8) as binary PGM or PPM
    id         its path in the folder or archive, its number in the array
    label      the folder it lies in; or what the file with the labels says of it
    columns    `image`, `label`, and `text`, which is the image again: size and content hash of a row are those of its bytes

An archive's names are only ever looked up, never made into paths; a name that leads out of it, one that occurs twice and a
picture of more than `PIXELS` pixels are quarantined. Formats other than PNG and JPEG are not tried. Source of the two formats of
arrays: netpbm, https://netpbm.sourceforge.net/doc/ppm.html.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import BinaryIO, final

import numpy as np
from jaxtyping import Bool, UInt8

from assay.errors import InputError, MissingExtra
from assay.io import archives, arrays
from assay.io.albums import is_array, is_picture
from assay.io.blocks import EMPTY, Bad, Block, block_of
from assay.io.files import atomic_write, open_read, read_bytes, write_bytes
from assay.io.labels import Labels, numbers_of
from assay.io.lines import BLOCK, HEAD, digest
from assay.io.row import Fields
from assay.io.sources import Piece, Shard
from assay.types import Column, Texts

PIXELS = 50_000_000
_TOO_LARGE = f"the picture has more than {PIXELS:,} pixels"
_FORMATS = ("PNG", "JPEG")
_LABELS = "labels.jsonl"  # in a part: what the chosen pictures' lines said


@final
@dataclass(frozen=True)
class Picture:
    """A row: its name, its encoded bytes, why it cannot be read ("" if it can), its label, its line among the labels."""

    name: str
    content: bytes
    reason: str
    label: str
    line: bytes = b""


def read_pictures(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    """The pictures of a piece as rows; `columns`: some of id, source (the label) and numbers that stand among the labels.

    Raises InputError where an archive or array is none, MissingExtra without Pillow.
    """
    _pillow()
    held: list[Picture] = []
    first, size = 0, 0
    for picture in _pictures(piece, fields, None):
        held.append(picture)
        size += len(picture.content)
        if size >= BLOCK:
            yield _block(held, first, fields, columns)
            first, held, size = first + len(held), [], 0
    if held:
        yield _block(held, first, fields, columns)


def _block(pictures: list[Picture], first: int, fields: Fields, columns: Sequence[str]) -> Block:
    bad = tuple(
        Bad(first + at, first + at + 1, one.reason, one.content[:HEAD], 0, len(one.content), digest(one.content))
        for at, one in enumerate(pictures)
        if one.reason
    )
    good = [at for at, one in enumerate(pictures) if not one.reason]
    images = Texts.of_bytes([pictures[at].content for at in good])
    labels = Texts.of([pictures[at].label for at in good])
    made: dict[str, Column] = {"text": images, "image": images, "label": labels}
    for name in columns:
        if name == "id":
            made[name] = Texts.of([pictures[at].name for at in good])
        elif name == "source":
            made[name] = labels
        elif name not in made:
            made[name] = numbers_of([pictures[at].line for at in good], name)
    rows = np.arange(first, first + len(pictures))
    return block_of(len(rows), len(rows), rows + 1, bad, rows[good], made)


def _pictures(piece: Piece, fields: Fields, keep: Bool[np.ndarray, "b"] | None) -> Iterator[Picture]:
    """The pictures of a piece in order, decoded once to see that they can be; or some of them, only copied."""
    shard = piece.shard
    if not shard.album:
        yield from _of_folder(piece, fields.max_line, keep)
    elif is_array(shard.files[0]):
        yield from _of_array(shard, fields)
    else:
        labels = Labels.of(shard.file(0), None if len(shard.files) < 2 else _beside(shard), fields.source)
        yield from _of_archive(shard.file(0), labels, fields.max_line, keep)


def _beside(shard: Shard) -> str:
    return os.path.join(shard.path, shard.files[1])


def _of_folder(piece: Piece, longest: int, keep: Bool[np.ndarray, "b"] | None) -> Iterator[Picture]:
    for row, number in enumerate(range(piece.start, piece.stop)):
        if keep is None or keep[row]:
            name = piece.shard.files[number].replace(os.sep, "/")
            try:
                with open_read(piece.shard.file(number)) as file:
                    content = _upto(file, longest + 1)
            except InputError:
                yield Picture(name, b"", "the file cannot be opened", "")
                continue
            yield _checked(name, content, longest, _folder_of(name), b"", keep is None)


def _of_archive(path: str, labels: Labels, longest: int, keep: Bool[np.ndarray, "b"] | None) -> Iterator[Picture]:
    with archives.opened(path) as archive:
        seen: set[str] = set()
        entries = [entry for entry in archive.infolist() if _is_listed(entry)]
        if not entries:
            raise InputError(f"{path!r} must hold pictures, .png or .jpg; its {len(archive.filelist):,} files are none")
        for row, entry in enumerate(entries):
            name = entry.filename
            if keep is None or keep[row]:
                content, reason = _member(archive, entry, longest)
                reason = _refused(name, seen) or reason
                line = labels.line(name)
                label = labels.label(line) if labels.named else _folder_of(name)
                found = Picture(name, content, reason, label, line)
                yield found if reason else _checked(name, content, longest, label, line, keep is None)
            seen.add(name)


def _of_array(shard: Shard, fields: Fields) -> Iterator[Picture]:
    """Pictures of an array as PGM (one channel) or PPM (three); no more is in memory than one at a time."""
    album = arrays.Album.of(shard.file(0), None if len(shard.files) < 2 else _beside(shard), fields.source)
    if album.size > fields.max_line:
        raise InputError(f"a picture of {shard.file(0)!r} must be at most {fields.max_line} bytes; it has {album.size}")
    height, width, channels = (*album.shape, 1)[:3]
    head = b"P%d\n%d %d\n255\n" % (5 if channels == 1 else 6, width, height)
    for row, raw in enumerate(album.rows()):
        reason = "" if len(raw) == album.size else "the array is damaged, or ends before its last picture"
        yield Picture(str(row), raw if reason else head + raw, reason, album.labels[row] if album.labels else "")


def _is_listed(entry: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive is a picture, by its name; what systems put beside files is none."""
    last = entry.filename.rpartition("/")[2]
    return is_picture(last) and not last.startswith(".") and not entry.filename.startswith("__MACOSX/")


def _refused(name: str, seen: set[str]) -> str:
    """Why a member is not taken: its name would lead out of a folder, or stands twice."""
    parts = name.split("/")
    if ".." in parts or "" in parts or "\\" in name or ":" in parts[0] or not name.isprintable():
        return "the name leads out of the archive, or is no path"
    return "the archive holds this name twice" if name in seen else ""


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, longest: int) -> tuple[bytes, str]:
    """(content, reason that there is none or ""): never more than the member says that it has, and than is allowed."""
    if entry.flag_bits & 1:
        return b"", "the file is encrypted"
    if entry.file_size > longest:
        return b"", f"the file is longer than {longest} bytes"
    try:
        with archive.open(entry) as file:
            return file.read(longest + 1), ""
    except archives.DAMAGE:
        return b"", "the archive is damaged here"


def _checked(name: str, content: bytes, longest: int, label: str, line: bytes, look: bool) -> Picture:
    reason = f"the file is longer than {longest} bytes" if len(content) > longest else fault(content) if look else ""
    return Picture(name, content, reason, label, line)


def fault(content: bytes) -> str:
    """Why bytes are no PNG or JPEG picture that can be decoded; "" if they are."""
    if not content:
        return EMPTY.replace("text", "file")
    image = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures: they are refused here
            with image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                if picture.width * picture.height > PIXELS:
                    return _TOO_LARGE
                picture.load()
    except image.UnidentifiedImageError:
        return "the file is no PNG or JPEG picture"
    except image.DecompressionBombError:
        return _TOO_LARGE
    except Exception:  # hostile bytes end in errors of many kinds, none of which is the end of a run
        return "the picture is damaged"
    return ""


def pixels(images: Texts, side: int) -> UInt8[np.ndarray, "b d d 3"]:
    """Decoded pictures in red, green and blue, scaled (bilinear) to `side` by `side`; alpha is dropped, orientation tags are
    not looked at."""
    image = _pillow()
    found = np.empty((len(images), side, side, 3), np.uint8)
    for at in range(len(images)):
        content = images.data[images.offsets[at] : images.offsets[at + 1]].tobytes()
        with image.open(io.BytesIO(content), formats=(*_FORMATS, "PPM")) as picture:
            plain = picture.convert("RGB")
            found[at] = np.asarray(plain if plain.size == (side, side) else plain.resize((side, side), 2))
    return found


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra.of("a pool of pictures", "images") from None
    return Image


def _upto(file: BinaryIO, most: int) -> bytes:
    """At most so many bytes of a file that may give fewer than it is asked for."""
    content = bytearray()
    while len(content) < most and (chunk := file.read(most - len(content))):
        content += chunk
    return bytes(content)


def _folder_of(name: str) -> str:
    """The folder that a picture lies in, which is its label.

    >>> _folder_of("train/cat/1.png"), _folder_of("1.png")
    ('cat', '')
    """
    return name.rpartition("/")[0].rpartition("/")[2]


def copy_pictures(piece: Piece, keep: Bool[np.ndarray, "b"], out: str, longest: int) -> int:
    """Write the chosen pictures of a piece to a part, byte for byte, and their lines among the labels; return how many."""
    if piece.shard.album and is_array(piece.shard.files[0]):
        arrays.copy(
            piece.shard.file(0), None if len(piece.shard.files) < 2 else _beside(piece.shard), keep, out, longest
        )
        return int(keep.sum())
    lines = []
    with atomic_write(out, durable=False) as file, zipfile.ZipFile(file, "w") as archive:
        for picture in _pictures(piece, Fields(source="", max_line=longest), keep):
            archive.writestr(archives.entry(picture.name), picture.content)
            lines.append(picture.line)
        archive.writestr(archives.entry(_LABELS), b"".join(line + b"\n" for line in lines if line))
    return int(keep.sum())


def join_pictures(parts: Sequence[str], final: str) -> None:
    """One archive of a shard's parts, and beside it a file with their labels where there was one."""
    if is_array(final):
        with atomic_write(final) as file:
            file.write(read_bytes(parts[0]))
        return
    lines = b""
    for part in parts:
        with archives.opened(part) as archive:
            lines += archive.read(_LABELS)
    if lines:
        write_bytes(final.removesuffix(".zip") + "_labels.jsonl", lines)
    with atomic_write(final) as file, zipfile.ZipFile(file, "w") as whole:
        for part in parts:
            with archives.opened(part) as archive:
                for entry in archive.infolist():
                    if entry.filename != _LABELS:
                        whole.writestr(archives.entry(entry.filename), archive.read(entry))
