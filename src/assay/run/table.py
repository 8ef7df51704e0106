"""The row table: what the engine keeps in memory of every row, 17 bytes and 4 more where there are sources.

Row numbers, ranges of rows per piece, sizes, hashes and sources; ids and line numbers stay on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64, UInt64

from assay.io import store as stored
from assay.types import Groups, occurrence

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@final
@dataclass(frozen=True)
class Table:
    """`ranges` give each piece its rows; `counts` are the rows that a piece holds, more than its range where a limit cut it,
    and `lines` its lines; `bad` are the unreadable rows by reason."""

    ranges: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]
    sizes: Int64[np.ndarray, "n"]
    hashes: UInt64[np.ndarray, "n"]
    readable: Bool[np.ndarray, "n"]
    sources: Int32[np.ndarray, "n"] | None
    source_names: tuple[str, ...]
    extra: dict[str, np.ndarray]
    blank: int
    lines: tuple[int, ...]
    bad: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.readable)

    @property
    def groups(self) -> Groups | None:
        """The sources as groups; None where no row names one."""
        return None if self.sources is None else Groups(self.sources, self.source_names)

    @property
    def distinct_hashes(self) -> UInt64[np.ndarray, "n"]:
        """Content hashes that tell copies of one text apart, so that a draw does not take them as a block."""
        return self.hashes + occurrence(self.hashes).astype(np.uint64) * _GOLDEN

    def padded(self, mask: Bool[np.ndarray, "b"], piece: int) -> Bool[np.ndarray, "b"]:
        """A mask over a piece's range as one over all rows that the piece holds."""
        return np.concatenate([mask, np.zeros(self.counts[piece] - len(mask), bool)])


@final
@dataclass(frozen=True)
class Counted:
    """What the table takes from one piece, copied out, so that the rest of what is stored leaves memory at once."""

    facts: dict[str, Any]
    columns: dict[str, np.ndarray]
    sources: tuple[str, ...]

    @classmethod
    def of(cls, table: pa.Table, facts: dict[str, Any], extra: Sequence[str]) -> Counted:
        """Copy sizes, hashes, readability, the numbers asked for, and sources as codes."""
        names = [name for name in ("bytes", "hash", "readable", *extra) if name in table.column_names]
        columns = {name: np.array(stored.numbers(table[name])) for name in names}
        if "source" not in table.column_names:
            return cls(facts, columns, ())
        coded = table["source"].combine_chunks().dictionary_encode()
        columns["source"] = np.array(stored.numbers(pa.chunked_array([coded.indices])), np.int32)
        return cls(facts, columns, tuple(coded.dictionary.to_pylist()))


def build(pieces: Sequence[Counted], extra: Sequence[str], limit: int | None) -> Table:
    """Join what all pieces counted, in order, cut to `limit` rows."""
    counts = np.array([piece.facts["rows"] for piece in pieces], np.int64)
    stops = np.minimum(np.cumsum(counts), np.iinfo(np.int64).max if limit is None else limit)
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1]])
    held = [piece for piece in pieces if piece.facts["rows"]]
    sources, names = _sources(held, limit)
    return Table(
        ranges=tuple(zip(starts.tolist(), stops.tolist(), strict=True)),
        counts=tuple(counts.tolist()),
        sizes=_column(held, "bytes", np.int64)[:limit],
        hashes=_column(held, "hash", np.uint64)[:limit],
        readable=_column(held, "readable", bool)[:limit],
        sources=sources,
        source_names=names,
        extra={name: _column(held, name, np.float64)[:limit] for name in extra},
        blank=sum(piece.facts["blank"] for piece in pieces),
        lines=tuple(piece.facts["lines"] for piece in pieces),
        bad=_bad(pieces, starts, limit),
    )


def _column(pieces: Sequence[Counted], name: str, dtype: Any) -> np.ndarray:
    """One column of all pieces; each piece lets go of its part."""
    parts = [piece.columns.pop(name).astype(dtype, copy=False) for piece in pieces]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def _sources(pieces: Sequence[Counted], limit: int | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Codes by first appearance; a row that names no source has the source ''."""
    if not pieces or "source" not in pieces[0].columns:
        return None, ()
    codes: dict[str, int] = {}
    for piece in pieces:
        for name in piece.sources:
            codes.setdefault(name, len(codes))
    parts = [
        np.array([codes[name] for name in piece.sources], np.int32)[piece.columns.pop("source")] for piece in pieces
    ]
    return np.concatenate(parts)[:limit], tuple(codes)


def _bad(pieces: Sequence[Counted], starts: np.ndarray, limit: int | None) -> dict[str, np.ndarray]:
    """Unreadable rows by reason, as global row numbers."""
    found: dict[str, list[np.ndarray]] = {}
    for piece, start in zip(pieces, starts, strict=True):
        for reason, rows in piece.facts["bad"].items():
            found.setdefault(reason, []).append(start + np.array(rows, np.int64))
    joined = {reason: np.concatenate(parts) for reason, parts in found.items()}
    return {reason: rows if limit is None else rows[rows < limit] for reason, rows in joined.items()}
