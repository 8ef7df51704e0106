"""CSV as records: raw bytes are kept, and a record may span lines inside quotes.

Source: RFC 4180 (2005), https://www.rfc-editor.org/rfc/rfc4180.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from assay.errors import InputError, suggest
from assay.io.blocks import EMPTY, Bad, Block, block_of, too_long, unreadable
from assay.io.lines import HEAD, Lines, Long, Tail, digest
from assay.io.records import shard_lines
from assay.io.row import Fields, delimiter, number, unmarked
from assay.io.sources import Piece, Shard
from assay.kernels.json_tokens import STRING
from assay.types import Column, Texts


class Record(NamedTuple):
    """One record: its raw bytes with the final LF, its first line (from 0), how many lines, its offset in the file."""

    raw: bytes
    line: int
    lines: int
    offset: int


def records(shard: Shard, longest: int) -> Iterator[list[Record] | Long | Tail]:
    """Records in lists of a few megabytes, the header first, blank lines included."""
    held, line, begin, offset = bytearray(), 0, 0, 0
    for item in shard_lines(shard, 0, None, longest):
        if not isinstance(item, Lines):
            yield item
            continue
        made = []
        for raw in _lines(item):
            if not held:
                begin, offset = line, item.offset
            held += raw
            line += 1
            item = Lines(item.data, item.stop, item.offset + len(raw))
            if held.count(b'"') % 2 == 0 or len(held) > longest:
                made.append(Record(bytes(held), begin, line - begin, offset))
                held.clear()
        if made:
            yield made
    if held:
        yield [Record(bytes(held), begin, line - begin, offset)]


def _lines(item: Lines) -> list[bytes]:
    lines = item.data[: item.stop].tobytes().split(b"\n")
    return [line + b"\n" for line in lines[:-1]]


def read_csv(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    """The rows of a CSV file; its first record names the columns."""
    header: list[str] | None = None
    row, seen = 0, 0
    for item in records(piece.shard, fields.max_line):
        if not isinstance(item, list):
            yield unreadable(item, row, seen, fields, columns)
            row, seen = row + 1, seen + 1
            continue
        last = item[-1].line + item[-1].lines
        full = [record for record in item if record.raw.strip()]
        if header is None and full:
            header = _header(full.pop(0).raw, piece.shard)
            _check(header, fields, piece.shard)
        block = _block(full, header or [], piece.shard, fields, columns, row, last - seen)
        row, seen = row + block.count, last
        yield block


def _header(raw: bytes, shard: Shard) -> list[str]:
    try:
        return _parse(raw, shard) or []
    except UnicodeDecodeError as error:
        raise InputError(f"{shard.path!r} must name its columns in UTF-8; {error}: save it anew as UTF-8") from None


def _check(header: list[str], fields: Fields, shard: Shard) -> None:
    for _, name in fields.parts:
        if name and name not in header:
            raise InputError(
                f"{shard.path!r} has no column {name!r}; {suggest(name, header)}; name one with --text-field"
            )


def _parse(raw: bytes, shard: Shard) -> list[str] | None:
    csv.field_size_limit(1 << 30)
    try:
        return next(
            csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), delimiter=delimiter(shard.path), strict=True), []
        )
    except csv.Error:
        return None


def _values(record: Record, header: list[str], shard: Shard, fields: Fields) -> tuple[dict[str, str], str]:
    """(values by column, reason that there are none or "")."""
    if len(record.raw) > fields.max_line:
        return {}, too_long(fields)
    try:
        values = _parse(record.raw, shard)
    except UnicodeDecodeError:
        return {}, "the record is not valid UTF-8"
    if values is None:
        return {}, "the record is not valid CSV"
    if len(values) != len(header):
        return {}, f"the record has {len(values)} fields where the header has {len(header)}"
    return dict(zip(header, values, strict=True)), ""


def _block(
    full: list[Record], header: list[str], shard: Shard, fields: Fields, columns: Sequence[str], row: int, lines: int
) -> Block:
    bad, good, rows, texts = [], [], [], []
    for at, record in enumerate(full):
        values, reason = _values(record, header, shard, fields)
        parts = [(literal, values.get(name, "")) for literal, name in fields.parts]
        if not reason and not any(value for _, value in parts):
            reason = EMPTY
        if reason:
            raw = record.raw[:-1]
            bad.append(Bad(row + at, record.line + 1, reason, raw[:HEAD], record.offset, len(raw), digest(raw)))
        else:
            good.append(values)
            rows.append(row + at)
            own = unmarked if fields.form == "turns" else str
            texts.append("".join(literal + own(value) for literal, value in parts))
    made: dict[str, Column] = {"text": Texts.of(texts)}
    for name in columns:
        path = {"id": fields.id, "source": fields.source}.get(name, name) or ""
        found = [values.get(path, "") for values in good]
        if name in ("id", "source"):
            made[name] = Texts.of(found)
        elif name != "text":
            made[name] = np.array([number(STRING, value.encode()) for value in found], np.float64)
    numbers = np.array([record.line + 1 for record in full], np.int64)
    return block_of(len(full), lines, numbers, tuple(bad), np.array(rows, np.int64), made)
