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

from assay.types import Groups, occurrence

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Loaded = tuple[pa.Table, dict[str, Any]]


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
        return None if self.sources is None else Groups(self.sources.astype(np.int64), self.source_names)

    @property
    def distinct_hashes(self) -> UInt64[np.ndarray, "n"]:
        """Content hashes that tell copies of one text apart, so that a draw does not take them as a block."""
        return self.hashes + occurrence(self.hashes).astype(np.uint64) * _GOLDEN

    def padded(self, mask: Bool[np.ndarray, "b"], piece: int) -> Bool[np.ndarray, "b"]:
        """A mask over a piece's range as one over all rows that the piece holds."""
        return np.concatenate([mask, np.zeros(self.counts[piece] - len(mask), bool)])


def build(loaded: Sequence[Loaded], extra: Sequence[str], limit: int | None) -> Table:
    """Join the tables of all pieces, in order, cut to `limit` rows."""
    counts = np.array([facts["rows"] for _, facts in loaded], np.int64)
    stops = np.minimum(np.cumsum(counts), np.iinfo(np.int64).max if limit is None else limit)
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1]])
    tables = [table for table, facts in loaded if facts["rows"]]
    sources, names = _sources(tables, limit)
    return Table(
        ranges=tuple(zip(starts.tolist(), stops.tolist(), strict=True)),
        counts=tuple(counts.tolist()),
        sizes=_column(tables, "bytes", np.int64)[:limit],
        hashes=_column(tables, "hash", np.uint64)[:limit],
        readable=_column(tables, "readable", bool)[:limit],
        sources=sources,
        source_names=names,
        extra={name: _column(tables, name, np.float64)[:limit] for name in extra},
        blank=sum(facts["blank"] for _, facts in loaded),
        lines=tuple(facts["lines"] for _, facts in loaded),
        bad=_bad(loaded, starts, limit),
    )


def _column(tables: Sequence[pa.Table], name: str, dtype: Any) -> np.ndarray:
    if not tables:
        return np.zeros(0, dtype)
    return np.concatenate([table[name].to_numpy(zero_copy_only=False).astype(dtype, copy=False) for table in tables])


def _sources(tables: Sequence[pa.Table], limit: int | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Codes by first appearance; a row that names no source has the source ''."""
    if not tables or "source" not in tables[0].column_names:
        return None, ()
    coded = pa.chunked_array([chunk for table in tables for chunk in table["source"].chunks]).dictionary_encode()
    coded = coded.unify_dictionaries().combine_chunks()
    return coded.indices.to_numpy(zero_copy_only=False)[:limit].astype(np.int32), tuple(coded.dictionary.to_pylist())


def _bad(loaded: Sequence[Loaded], starts: np.ndarray, limit: int | None) -> dict[str, np.ndarray]:
    """Unreadable rows by reason, as global row numbers."""
    found: dict[str, list[np.ndarray]] = {}
    for (_, facts), start in zip(loaded, starts, strict=True):
        for reason, rows in facts["bad"].items():
            found.setdefault(reason, []).append(start + np.array(rows, np.int64))
    joined = {reason: np.concatenate(parts) for reason, parts in found.items()}
    return {reason: rows if limit is None else rows[rows < limit] for reason, rows in joined.items()}
