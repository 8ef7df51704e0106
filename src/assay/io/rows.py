"""Rows of a file as dicts, with every field that they came with: for trainers, which want more than the text.

What is cheap comes first: a row is handed over raw (a JSON line as bytes) and becomes a dict where somebody takes it, so
that rows that are skipped or belong to another worker cost no parsing.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from assay.errors import InputError
from assay.io.lines import Lines
from assay.io.records import shard_lines
from assay.io.row import Fields, delimiter, get, render_chat
from assay.io.sources import Piece, Shard

Raw = bytes | dict[str, Any]
_LONGEST = 1 << 30


def raw_rows(piece: Piece) -> Iterator[Raw]:
    """The rows of a piece in order, blank lines left out."""
    if piece.shard.format in ("parquet", "arrow"):
        from assay.io.tables import table_batches

        for batch in table_batches(
            piece.shard, piece.start, piece.stop if piece.shard.format == "parquet" else None, None
        ):
            yield from batch.to_pylist()
    elif piece.shard.format == "webdataset":
        from assay.io.webdataset import rows

        yield from rows(piece.shard.path, piece.shard.compression)
    elif piece.shard.format == "csv":
        yield from _csv_rows(piece.shard)
    else:
        for item in shard_lines(piece.shard, piece.start, piece.stop, _LONGEST):
            if isinstance(item, Lines):
                yield from (line for line in item.data[: item.stop].tobytes().split(b"\n") if line.strip())


def _csv_rows(shard: Shard) -> Iterator[Raw]:
    from assay.io.tabular import records

    header: list[str] | None = None
    for item in records(shard, _LONGEST):
        for record in item if isinstance(item, list) else ():
            if record.raw.strip():
                text = io.StringIO(record.raw.decode("utf-8"), newline="")
                values = next(csv.reader(text, delimiter=delimiter(shard.path)))
                if header is not None:
                    yield dict(zip(header, values, strict=True))
                header = header or values


def as_row(raw: Raw) -> dict[str, Any]:
    """A raw row as a dict.

    >>> as_row(b'{"text": "one"}')
    {'text': 'one'}
    """
    return json.loads(raw.removeprefix(b"\xef\xbb\xbf")) if isinstance(raw, bytes) else raw


def text_of(row: dict[str, Any], fields: Fields) -> str:
    """What Assay reads of a row: the text field, a chat as lines, or a template's fields joined; InputError where it has none.

    >>> text_of({"q": "2 + 2?", "a": 4}, Fields(template="{q} {a}"))
    '2 + 2? 4'
    """
    if fields.template is not None:
        return "".join(literal + _spelled(value(row, name) if name else "") for literal, name in fields.parts)
    found = value(row, fields.text or "text")
    text = found if isinstance(found, str) else render_chat(found)
    if text is None:
        raise InputError(
            f"a row must have its text in {fields.text or 'text'!r}; got {type(found).__name__}: name the field"
        )
    return text


def value(row: dict[str, Any], path: str) -> Any:
    """The value of a field, by its own name or by a dotted path."""
    return row[path] if path in row else get(row, path)


def _spelled(found: Any) -> str:
    return "" if found is None else found if isinstance(found, str) else str(found)
