"""Tar shards of image-text pairs (WebDataset): consecutive members of one basename are one sample, and one row.

    0001.png 0001.txt 0001.json   basename: path up to the first dot of the last name; suffix: all after that dot
    image      the first member with the suffix of an image, whole (`io/encoded_images.py`)
    caption    the .txt, or a field of the .json; id: the basename; all else: fields of the .json

The archive is read from front to back and never unpacked: names are read, nothing is ever written under them. A chosen
sample leaves with the bytes of its members, headers and padding included. Members without a suffix, hidden ones
(`.name`, `._name`) and `__names__` belong to no sample. Where the archive is damaged or ends early, what is left is one
quarantined row. Source: the WebDataset format, https://github.com/webdataset/webdataset; POSIX.1-2001 pax, and GNU tar's
long names and sizes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
import xxhash
from jaxtyping import Bool

from assay.io.blocks import EMPTY, LONE_SURROGATE, Bad, Block, block_of
from assay.io.encoded_images import SUFFIXES, fault_of
from assay.io.lines import BLOCK, HEAD, Tail, digest
from assay.io.row import Fields, get, object_of, unmarked
from assay.io.sources import Piece, Shard
from assay.io.streams import Unreadable, chunks
from assay.types import Column, Texts

END = bytes(1024)  # two blocks of zeros end an archive
LONGEST = 64_000_000
_UNIT, _STEP = 512, 1 << 20
_MOST_HEADER = 1 << 20  # bytes of a long name or of a member's pax records
_EARLY = "the tar archive ends early"
_KEY = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")  # a last name that begins with a dot is hidden, and no match
_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")
_ROWS = 4096


class _Damaged(Exception):
    """The rest of an archive cannot be read; the message says why."""


@final
@dataclass(frozen=True)
class Sample:
    """One sample: its basename, its bytes in the archive (`raw`, of a sample too long the first 64 KB), where its members'
    contents lie in them by suffix, its place in the unpacked file, and what is wrong with it ("" where nothing is)."""

    key: str
    raw: bytes = field(repr=False)
    members: dict[str, tuple[int, int]]
    offset: int
    length: int
    hash: str
    fault: str

    def member(self, suffix: str) -> bytes | None:
        """The content of a member; None where there is none."""
        span = self.members.get(suffix)
        return None if span is None else self.raw[span[0] : span[1]]

    @property
    def image(self) -> bytes | None:
        """The encoded image."""
        return next((self.member(suffix) for suffix in self.members if suffix in SUFFIXES), None)

    @cached_property
    def told(self) -> dict[str, Any]:
        """The object in the .json; empty where there is none."""
        return object_of(self.member("json") or b"") or {}

    def value(self, path: str) -> Any:
        """A field: `id` is the basename, `text` (or `txt`) the .txt where there is one, all others those of the .json."""
        if path in ("id", "__key__"):
            return self.key
        text = self.member("txt") if path in ("text", "txt") else None
        if text is not None:
            return text.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
        return self.told[path] if path in self.told else get(self.told, path)


Item = Sample | Tail | bytes


def samples(path: str, compression: str, longest: int) -> Iterator[Item]:
    """The samples of an archive in order; bytes are headers that speak for the whole archive, a `Tail` ends a damaged one."""
    source = _Source(chunks(path, compression))
    held: _Held | None = None
    try:
        while (header := _header(source)) is not None:
            key, suffix = split(header.name)
            if held is not None and suffix and held.key != key:
                yield held.done()
                held = None
            if header.whole or not suffix:
                _passed(source, header.size)
                if header.whole:
                    yield header.raw
                continue
            held = held or _Held(key, header.offset, longest)
            held.member(suffix, header, source)
        if held is not None and source.ended:
            yield held.done()
        if not source.offset or source.ended:
            return
        reason = f"{_EARLY} (it has no end mark)"
    except (_Damaged, Unreadable) as error:
        reason = str(error)
    if held is not None and held.complete:
        yield held.done()
        held = None
    yield _tail(source, held, reason)


def split(name: str) -> tuple[str, str]:
    """Basename and suffix of a member; two empty strings for one that belongs to no sample.

    >>> split("a.b/0001.seg.png"), split("./0001.txt"), split("notes"), split("__MACOSX/._1.png")
    (('a.b/0001', 'seg.png'), ('0001', 'txt'), ('', ''), ('', ''))
    """
    name = name.removeprefix("./")
    found = _KEY.fullmatch(name)
    if found is None or any(part[:2] == part[-2:] == "__" for part in name.split("/")):
        return "", ""
    return found[1], found[2].lower()


@final
class _Source:
    """Unpacked bytes, so many at a time; `offset` of them were taken, and `ended` says that the last were an end mark."""

    def __init__(self, source: Iterator[bytes]):
        self._chunks, self._held, self._at, self.offset, self.ended = source, b"", 0, 0, False

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end of the file."""
        parts = []
        while count:
            if self._at == len(self._held):
                self._held, self._at = next(self._chunks, b""), 0
                if not self._held:
                    break
            part = self._held[self._at : self._at + count]
            parts.append(part)
            count -= len(part)
            self._at += len(part)
            self.offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def exactly(self, count: int) -> bytes:
        """The next bytes, all of them."""
        found = self.take(count)
        if len(found) < count:
            raise _Damaged(_EARLY)
        return found


@final
@dataclass(frozen=True)
class _Header:
    """What stands before a member's content: its name, the bytes of all its headers, where they lie, the content's size; or, of
    the `whole` archive, records without a member."""

    name: str
    raw: bytes
    offset: int
    size: int
    whole: bool = False


def _header(source: _Source) -> _Header | None:
    """The next member's; None at the end of the file."""
    raw, offset, told = b"", source.offset, dict[str, bytes]()
    while True:
        unit = source.take(_UNIT)
        if not raw and (not unit or (source.ended and len(unit) < _UNIT and not any(unit))):
            return None
        if len(unit) < _UNIT:
            raise _Damaged(_EARLY)
        if not any(unit):
            source.ended, offset = True, source.offset
            if raw:
                raise _Damaged(f"the tar archive is damaged at byte {source.offset - _UNIT}")
            continue
        source.ended = False
        kind, size = _checked(unit, source.offset - _UNIT)
        if kind not in b"xgLK":
            return _Header(*_named(unit, told, kind, raw, offset, size))
        if size > _MOST_HEADER:
            raise _Damaged(f"the tar archive has a header of {size} bytes at byte {source.offset - _UNIT}")
        body = source.exactly(_padded(size))
        raw += unit + body
        if kind == b"g":
            return _Header("", raw, offset, 0, whole=True)
        told |= {"path": body[:size].rstrip(b"\0")} if kind == b"L" else _records(body[:size]) if kind == b"x" else {}


def _checked(unit: bytes, at: int) -> tuple[bytes, int]:
    """Kind and size of a header block whose checksum is right."""
    try:
        total = int(unit[148:156].strip(b"\0 ") or b"-1", 8)
        if total != sum(unit) - sum(unit[148:156]) + 8 * 32:
            raise ValueError
        return unit[156:157], _number(unit[124:136])
    except ValueError:
        raise _Damaged(f"the tar archive is damaged at byte {at}") from None


def _number(digits: bytes) -> int:
    """Octal digits, or, of large sizes, GNU tar's 256-base."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:], "big")
    size = int(digits.split(b"\0")[0].strip() or b"0", 8)
    if size < 0:
        raise ValueError
    return size


def _records(body: bytes) -> dict[str, bytes]:
    """The pax records of a member: `17 path=0001.png\\n`, the number being the length of all of it."""
    told, at = dict[str, bytes](), 0
    while found := _RECORD.match(body, at):
        stop = at + int(found[1])
        if stop <= found.end() or stop > len(body):
            break
        told[found[2].decode("utf-8", "replace")] = body[found.end() : stop - 1]
        at = stop
    return told


def _named(
    unit: bytes, told: dict[str, bytes], kind: bytes, raw: bytes, offset: int, size: int
) -> tuple[str, bytes, int, int]:
    """Name, headers, place and content size of a member; the name is empty where it is no file."""
    if kind == b"S" or any(name.startswith("GNU.sparse") for name in told):
        raise _Damaged(f"the tar archive holds a sparse file at byte {offset}, which is no member of a sample")
    name, prefix = unit[:100].split(b"\0")[0], unit[345:500].split(b"\0")[0]
    if prefix and unit[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    name = told.get("path", name)
    if not re.fullmatch(rb"\d{1,18}", told.get("size", b"0")):
        raise _Damaged(f"the tar archive is damaged at byte {offset}")
    size = int(told.get("size", size))
    is_file, has_content = kind in b"07\0", kind not in b"123456"
    return (
        name.decode("utf-8", "replace") if is_file and not name.endswith(b"/") else "",
        raw + unit,
        offset,
        size if has_content else 0,
    )


def _padded(size: int) -> int:
    return -(-size // _UNIT) * _UNIT


def _passed(source: _Source, size: int) -> None:
    """Read over a content."""
    left = _padded(size)
    while left:
        left -= len(source.exactly(min(left, _STEP)))


@final
class _Held:
    """A sample while its members come in; of one that grows too long only the head is kept."""

    def __init__(self, key: str, offset: int, longest: int):
        self.key, self.offset, self._longest = key, offset, longest
        self.raw, self._members, self._hasher = bytearray(), dict[str, tuple[int, int]](), xxhash.xxh3_64()
        self.length, self._fault, self._within = 0, "", False

    @property
    def complete(self) -> bool:
        """Whether an image and what may say its caption are there, and nothing is under way."""
        found = self._members
        return not self._within and ("txt" in found or "json" in found) and any(suffix in found for suffix in SUFFIXES)

    def member(self, suffix: str, header: _Header, source: _Source) -> None:
        """Take a member up, headers first."""
        if suffix in self._members:
            self._fault = self._fault or f"the sample has two members {suffix!r}"
        self._within = True
        self._put(header.raw)
        self._members[suffix] = (self.length, self.length + header.size)
        left = _padded(header.size)
        while left:
            part = source.exactly(min(left, _STEP))
            self._put(part)
            left -= len(part)
        self._within = False

    def _put(self, part: bytes) -> None:
        self.length += len(part)
        self._hasher.update(part)
        if self.length > self._longest:
            self._fault = f"the sample is longer than {self._longest} bytes"
            self.raw = self.raw[:HEAD] + part[: max(0, HEAD - len(self.raw))]
        else:
            self.raw += part

    def done(self) -> Sample:
        """The sample, whole."""
        raw = bytes(self.raw)
        return Sample(self.key, raw, self._members, self.offset, self.length, self._hasher.hexdigest(), self._fault)


def _tail(source: _Source, held: _Held | None, reason: str) -> Tail:
    """What is left where an archive cannot be read on: with the sample that was under way, of which nobody knows what it lacks."""
    if held is None:
        return Tail(reason, source.offset, 0, digest(b""), b"")
    return Tail(reason, held.offset, held.length, digest(held.raw), bytes(held.raw[:HEAD]))


def read_webdataset(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    """The samples of an archive as rows; `image` among the columns are the encoded images."""
    shard, held, size, row = piece.shard, list[Sample | Tail](), 0, 0
    for item in samples(shard.path, shard.compression, fields.max_line):
        if isinstance(item, bytes):
            continue
        held.append(item)
        size += item.length
        if size >= BLOCK or len(held) >= _ROWS:
            yield _block(held, fields, columns, row)
            held, size, row = [], 0, row + len(held)
    if held:
        yield _block(held, fields, columns, row)


def _block(items: list[Sample | Tail], fields: Fields, columns: Sequence[str], row: int) -> Block:
    bad, good, kept, texts = [], [], list[Sample](), []
    for at, item in enumerate(items):
        text, reason = (b"", item.reason) if isinstance(item, Tail) else _text(item, fields)
        if isinstance(item, Tail) or reason:
            first = item.head if isinstance(item, Tail) else item.raw[:HEAD]
            bad.append(Bad(row + at, row + at + 1, reason, first, item.offset, item.length, item.hash))
        else:
            good.append(row + at)
            kept.append(item)
            texts.append(text)
    made: dict[str, Column] = {name: _column(kept, name, fields) for name in columns if name != "text"}
    made["text"] = Texts.of_bytes(texts)
    count = len(items)
    return block_of(count, count, np.arange(row, row + count) + 1, tuple(bad), np.array(good, np.int64), made)


def _text(sample: Sample, fields: Fields) -> tuple[bytes, str]:
    """(caption, reason that the sample cannot be read or "")."""
    image = sample.image
    if sample.fault or image is None:
        return b"", sample.fault or f"the sample has no image ({' '.join(SUFFIXES)})"
    if fault := fault_of(image):
        return b"", fault
    parts, found = [], False
    for literal, name in fields.parts:
        value = sample.value(name) if name else b""
        spelled, reason = _spelled(value, name, fields)
        if reason:
            return b"", reason
        found |= bool(spelled)
        parts.append(literal.encode() + spelled)
    if not found:
        return b"", EMPTY
    return b"".join(parts), ""


def _spelled(value: Any, name: str, fields: Fields) -> tuple[bytes, str]:
    """(a field as UTF-8, reason that it is none or "")."""
    if value is None:
        missing = (
            f"the field {name!r} is missing" if name not in ("text", "txt") else "no .txt, and no 'text' in a .json"
        )
        return b"", f"the sample has no caption: {missing}"
    if fields.template is None and not isinstance(value, str | bytes):
        return b"", f"the field {name!r} must be a string"
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        return (unmarked(text) if fields.form == "turns" else text).encode("utf-8"), ""
    except UnicodeDecodeError:
        return b"", "the text is not valid UTF-8"
    except UnicodeEncodeError:
        return b"", LONE_SURROGATE


def _column(kept: Sequence[Sample], name: str, fields: Fields) -> Column:
    if name == "image":
        return Texts.of_bytes([sample.image or b"" for sample in kept])
    path = {"id": fields.id, "source": fields.source}.get(name, name)
    values = [None if path is None else sample.value(path) for sample in kept]
    if name in ("id", "source"):
        return Texts.of([_shown(value) for value in values])
    return np.array([_real(value) for value in values], np.float64)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _real(value: Any) -> float:
    """A number, or a string that spells one; NaN for anything else."""
    try:
        return float(value) if isinstance(value, str | bytes | int | float) else np.nan
    except (ValueError, OverflowError):
        return np.nan


def copy_samples(piece: Piece, keep: Bool[np.ndarray, "b"], longest: int) -> Iterator[bytes]:
    """The bytes of the samples of a piece where `keep` is true, and of headers that speak for the whole archive."""
    row = 0
    for item in samples(piece.shard.path, piece.shard.compression, longest):
        if isinstance(item, bytes):
            yield item
            continue
        if isinstance(item, Sample) and keep[row]:
            yield item.raw
        row += 1


def rows(path: str, compression: str = "") -> Iterator[dict[str, Any]]:
    """The samples of an archive, or of parts that `copy_samples` has written, as dicts: what the .json says, `id`, `image` (bytes)
    and, of a .txt, `text`."""
    for sample in samples(path, compression, LONGEST):
        if isinstance(sample, Sample):
            row = {**sample.told, "id": sample.key, "image": sample.image}
            text = sample.value("txt")
            yield {**row, "text": text.decode("utf-8", "replace")} if isinstance(text, bytes) else row


def head(shard: Shard) -> Iterator[dict[str, Any]]:
    """The same without the images, for looking at the first ones."""
    for row in rows(shard.path, shard.compression):
        del row["image"]
        yield row
