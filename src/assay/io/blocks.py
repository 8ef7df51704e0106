"""What the readers hand out: a `Block` of rows, some of them `Bad`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Int64

from assay.io.lines import Long, Tail
from assay.io.row import Fields
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Column, Texts

LONE_SURROGATE = "the text holds half a surrogate pair, which is no character"
EMPTY = "the text is empty"


def too_long(fields: Fields) -> str:
    """The reason of a line above the limit."""
    return f"the line is longer than {fields.max_line} bytes"


@final
@dataclass(frozen=True)
class Bad:
    """A row that cannot be read: its row in the piece, line (from 1), why, first 64 KB, offset, length and hash.

    Offset and length are bytes of the decompressed file (of the file list, for plain text; 0 for Parquet).
    """

    row: int
    line: int
    reason: str
    raw: bytes
    offset: int
    length: int
    hash: str = ""


@final
@dataclass(frozen=True)
class Block:
    """`count` consecutive rows of a piece, good ones in `batch`, others in `bad`; `lines` lines, of them `blank`.

    Of an uncompressed file of JSON lines `spans` are offset and length of each row, so that it can be read again alone,
    and `text_spans` offset, length and flags of its text, so that it can be read again without parsing.
    """

    count: int
    lines: int
    blank: int
    line_numbers: Int64[np.ndarray, "b"]
    bad: tuple[Bad, ...]
    batch: Batch
    spans: Int64[np.ndarray, "b 2"] | None = None
    text_spans: Int64[np.ndarray, "b 3"] | None = None


def block_of(
    count: int,
    lines: int,
    line_numbers: Int64[np.ndarray, "b"],
    bad: tuple[Bad, ...],
    rows: Int64[np.ndarray, "b"],
    columns: dict[str, Column],
) -> Block:
    """A block whose good rows are `rows` (numbers in the piece) with these columns; hashes their text."""
    text = columns["text"]
    assert isinstance(text, Texts)
    batch = Batch(rows.astype(np.int64, copy=False), hash_rows(text.data, text.offsets), columns)
    return Block(count, lines, lines - count, line_numbers.astype(np.int64, copy=False), bad, batch)


def empty_columns(columns: Sequence[str]) -> dict[str, Column]:
    """The wanted columns with no rows."""
    names = dict.fromkeys(["text", *columns])
    none = Texts(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    return {name: none if name in ("text", "id", "source", "image") else np.zeros(0) for name in names}


def unreadable(item: Long | Tail, row: int, line: int, fields: Fields, columns: Sequence[str]) -> Block:
    """The block of one row that is a line too long, or the damaged tail of a file."""
    reason = too_long(fields) if isinstance(item, Long) else item.reason
    bad = Bad(row, line + 1, reason, item.head, item.offset, item.length, item.hash)
    block = block_of(1, 1, np.array([line + 1]), (bad,), np.zeros(0, np.int64), empty_columns(columns))
    return replace(block, spans=np.array([[item.offset, item.length]]))
