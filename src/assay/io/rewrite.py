"""Rows out with other texts: what an edit changed is put in the old text's place, and all else leaves as it came.

Of a JSON line and of a CSV record only the bytes of the text's value are replaced (the last one, where a key is
repeated), so the order of keys, spaces, and the spelling of numbers stay; rows that no edit touched leave byte for byte.
A value that was spelled in ASCII alone is spelled so again. Parquet and Arrow: `io/rewrite_table.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from assay.errors import InputError
from assay.io.convert import csv_header
from assay.io.files import atomic_write
from assay.io.lines import Lines
from assay.io.plain import load, top_folder
from assay.io.records import shard_lines
from assay.io.row import Fields, delimiter
from assay.io.sources import Piece, Shard
from assay.io.text_field import one_text_field, refused_text
from assay.kernels import json_lines as kernel
from assay.kernels import json_tokens as token
from assay.types import Texts

_QUOTE, _CR, _LF = 34, 13, 10

NewText = Callable[[int], str | None]


def copy_edited(
    piece: Piece,
    keep: Bool[np.ndarray, "b"],
    rows: Int64[np.ndarray, "k"],
    texts: Texts,
    fields: Fields,
    out: str,
    max_line: int = 64_000_000,
) -> int:
    """Write the rows of a piece where `keep` is true to a part, in order; return how many.

    Row `rows[i]` of the piece (rising) is written with `texts[i]` as its text; rows of no `keep` count for nothing.
    InputError where the text is not one plain field.
    """
    keep = np.asarray(keep) > 0
    one_text_field(fields, piece.shard.path)
    if piece.shard.format in ("parquet", "arrow"):
        from assay.io.rewrite_table import copy_edited_batches

        return copy_edited_batches(piece, keep, rows, texts, fields, out)
    places = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    new = lambda row: texts[places[row]] if row in places else None  # noqa: E731
    made = {"csv": _csv_rows, "text": _text_rows}.get(piece.shard.format, _json_rows)
    with atomic_write(out, durable=False) as file:
        for written in made(piece, keep, new, fields, max_line):
            file.write(written)
    return int(keep.sum())


def _json_rows(
    piece: Piece, keep: Bool[np.ndarray, "b"], new: NewText, fields: Fields, max_line: int
) -> Iterator[bytes]:
    """The kept lines of JSON, with new values in their places."""
    names = [name.encode() for name in one_text_field(fields, piece.shard.path).split(".")]
    ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
    wanted = np.frombuffer(b"".join(names), np.uint8), ends, np.array([0, len(names)], np.int64)
    row = 0
    for item in shard_lines(piece.shard, piece.start, piece.stop, max_line):
        if not isinstance(item, Lines):
            row += 1
            continue
        most = kernel.count_lines(item.data, item.stop)
        lines, found = np.empty((most, 4), np.int64), np.empty((most, 1, 4), np.int64)
        count, _ = kernel.scan(item.data, item.stop, max_line, *wanted, lines, found)
        kept = np.flatnonzero(keep[row : row + count])
        spans = np.concatenate([lines[kept, 2:], found[kept, 0, :3]], axis=1).tolist()
        raw = item.data[: item.stop].tobytes()
        yield b"".join(
            _json_row(raw, span, new(row + at), piece.shard) for at, span in zip(kept.tolist(), spans, strict=True)
        )
        row += count


def _json_row(raw: bytes, span: Sequence[int], text: str | None, shard: Shard) -> bytes:
    """One line, `span` being its start and stop, and kind, start and stop of its text."""
    start, stop, kind, first, last = span
    if text is None:
        return raw[start : stop + 1]
    if kind not in (token.STRING, token.NUMBER, token.TRUE, token.FALSE, token.NULL):
        got = {token.ARRAY: "is a chat or a list", token.OBJECT: "is an object"}.get(kind, "cannot be found again")
        raise InputError(refused_text(shard.path, got))
    quote = 1 if kind == token.STRING else 0
    spelled = json.dumps(text, ensure_ascii=raw[first:last].isascii())
    return raw[start : first - quote] + spelled.encode() + raw[last + quote : stop + 1]


def _csv_rows(
    piece: Piece, keep: Bool[np.ndarray, "b"], new: NewText, fields: Fields, max_line: int
) -> Iterator[bytes]:
    """The kept records of CSV, with new values in their places."""
    from assay.io.tabular import records

    comma = delimiter(piece.shard.path).encode()
    column = _csv_column(piece.shard, one_text_field(fields, piece.shard.path))
    row = -1  # the header is the first record
    for item in records(piece.shard, max_line):
        if not isinstance(item, list):
            row += 1
            continue
        for record in item:
            if record.raw.strip():
                if row >= 0 and keep[row]:
                    text = new(row)
                    yield record.raw if text is None else _csv_row(record.raw, column, text, comma)
                row += 1


def _csv_column(shard: Shard, name: str) -> int:
    """Which column holds the text: the last of that name, as it is read."""
    header, comma = csv_header(shard), delimiter(shard.path).encode()
    cells = [header[start:stop].decode() for start, stop in _cells(header, comma)]
    plain = [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]
    return max(at for at, cell in enumerate(plain) if cell == name)


def _csv_row(raw: bytes, column: int, text: str, comma: bytes) -> bytes:
    start, stop = _cells(raw, comma)[column]
    special = any(mark in text for mark in ('"', "\r", "\n", comma.decode())) or not text
    quoted = special or raw[start : start + 1] == b'"'
    spelled = '"' + text.replace('"', '""') + '"' if quoted else text
    return raw[:start] + spelled.encode() + raw[stop:]


def _cells(raw: bytes, comma: bytes) -> list[tuple[int, int]]:
    """Where the cells of a record start and stop, quotes included."""
    cells, at = [], 0
    while True:
        start = at
        if raw[at : at + 1] == b'"':
            at = _closing(raw, at + 1) + 1
        else:
            while at < len(raw) and raw[at] not in (comma[0], _CR, _LF):
                at += 1
        cells.append((start, at))
        if raw[at : at + 1] != comma:
            return cells
        at += 1


def _closing(raw: bytes, at: int) -> int:
    """The quote that ends the cell whose content starts at `at`; a doubled quote does not."""
    while True:
        at = raw.index(b'"', at)
        if raw[at + 1 : at + 2] != b'"':
            return at
        at += 2


def _text_rows(
    piece: Piece, keep: Bool[np.ndarray, "b"], new: NewText, fields: Fields, max_line: int
) -> Iterator[bytes]:
    """The kept files of a folder, as JSON lines."""
    for row in np.flatnonzero(keep).tolist():
        name, text = piece.shard.files[piece.start + row], new(row)
        content = load(piece.shard, name, max_line)[0].decode("utf-8") if text is None else text
        made = {"id": name, "source": top_folder(name), "text": content}
        yield json.dumps(made, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
