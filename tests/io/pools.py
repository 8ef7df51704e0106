"""Short ways to read a whole pool, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.io.blocks import Bad
from assay.io.fields import Fields, detect
from assay.io.reader import read
from assay.io.sources import find, plan

Row = tuple[int, Any]


def rows_of(
    path: str | Sequence[str], fields: Fields | None = None, piece_bytes: int = 16 << 20, columns: Sequence[str] = ()
) -> list[Any]:
    """Every row of a pool in order: its text, or its `Bad`; checks the counts on the way."""
    shards = find([path] if isinstance(path, str) else path)
    known = detect(shards, fields or Fields())
    result: list[Any] = []
    for piece in plan(shards, piece_bytes):
        row = line = 0
        for block in read(piece, known, columns):
            merged: dict[int, Any] = {bad.row: bad for bad in block.bad}
            merged.update(zip(block.batch.rows.tolist(), block.batch.text, strict=True))
            assert sorted(merged) == list(range(row, row + block.count))
            assert (
                len(block.line_numbers) == block.count and block.lines == block.count + block.blank
            ) or piece.shard.format == "csv"
            assert (block.line_numbers[1:] > block.line_numbers[:-1]).all()
            assert block.count == 0 or (line < block.line_numbers[0] and block.line_numbers[-1] <= line + block.lines)
            row, line = row + block.count, line + block.lines
            result += [merged[key] for key in sorted(merged)]
    return result


def texts_of(path: str | Sequence[str], fields: Fields | None = None, piece_bytes: int = 16 << 20) -> list[str]:
    """The texts of the readable rows."""
    return [row for row in rows_of(path, fields, piece_bytes) if not isinstance(row, Bad)]


def bad_of(path: str | Sequence[str], fields: Fields | None = None) -> list[Bad]:
    """The rows that cannot be read."""
    return [row for row in rows_of(path, fields) if isinstance(row, Bad)]
