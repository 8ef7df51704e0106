"""The row table: what the engine keeps in memory of every row, 17 bytes and 4 more where there are sources.

Row numbers, ranges of rows per piece, sizes, hashes and sources; ids and line numbers stay on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64, UInt64

from assay.io import store as stored
from assay.kernels.occurrence import occurrence
from assay.types import Groups

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_type(n: int) -> type[np.signedinteger[Any]]:
    """The smallest type that holds the numbers of n rows, n itself and -1: a column of every row costs memory."""
    return np.int32 if n < 1 << 31 else np.int64


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
        found = occurrence(self.hashes)  # in place, because a column of every row costs memory
        found *= _GOLDEN
        found += self.hashes
        return found

    def padded(self, mask: Bool[np.ndarray, "b"], piece: int) -> Bool[np.ndarray, "b"]:
        """A mask over a piece's range as one over all rows that the piece holds."""
        return np.concatenate([mask, np.zeros(self.counts[piece] - len(mask), bool)])


@final
@dataclass(frozen=True)
class Counted:
    """What one piece counted, as it lies in the store."""

    path: Path
    facts: dict[str, Any]

    @classmethod
    def at(cls, path: Path) -> Counted:
        """Read the facts alone."""
        return cls(path, json.loads(stored.open_table(path).schema.metadata[b"facts"]))


def build(pieces: Sequence[Counted], extra: Sequence[str], limit: int | None) -> Table:
    """Join what all pieces counted, in order, cut to `limit` rows."""
    counts = np.array([piece.facts["rows"] for piece in pieces], np.int64)
    stops = np.minimum(np.cumsum(counts), np.iinfo(np.int64).max if limit is None else limit)
    starts = np.concatenate([np.zeros(1, np.int64), stops[:-1]])
    held = [piece for piece in pieces if piece.facts["rows"]]
    sources, names = _sources(held)
    return Table(
        ranges=tuple(zip(starts.tolist(), stops.tolist(), strict=True)),
        counts=tuple(counts.tolist()),
        sizes=_column(held, "bytes", np.int64)[:limit],
        hashes=_column(held, "hash", np.uint64)[:limit],
        readable=_column(held, "readable", bool)[:limit],
        sources=None if sources is None else sources[:limit],
        source_names=names,
        extra={name: _column(held, name, np.float64)[:limit] for name in extra},
        blank=sum(piece.facts["blank"] for piece in pieces),
        lines=tuple(piece.facts["lines"] for piece in pieces),
        bad=_bad(pieces, starts, limit),
    )


def _column(pieces: Sequence[Counted], name: str, dtype: Any) -> np.ndarray:
    """One column of all pieces."""
    whole = np.empty(sum(piece.facts["rows"] for piece in pieces), dtype)
    for part, table in _tables(pieces, whole):
        part[:] = stored.numbers(table[name])
    return whole


def _tables(pieces: Sequence[Counted], whole: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Each piece's part of a whole column, and its table: mapped one by one, for copies of all would stay in the heap."""
    first = 0
    for piece in pieces:
        yield whole[first : first + piece.facts["rows"]], stored.open_table(piece.path)
        first += piece.facts["rows"]


def _sources(pieces: Sequence[Counted]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Codes by first appearance; a row that names no source has the source ''."""
    if not pieces or "source" not in stored.open_table(pieces[0].path).column_names:
        return None, ()
    codes: dict[str, int] = {}
    whole = np.empty(sum(piece.facts["rows"] for piece in pieces), np.int32)
    for part, table in _tables(pieces, whole):
        coded = table["source"].combine_chunks().dictionary_encode()
        names = [codes.setdefault(name, len(codes)) for name in coded.dictionary.to_pylist()]
        part[:] = np.array(names, np.int32)[stored.numbers(pa.chunked_array([coded.indices]))]
    return whole, tuple(codes)


def _bad(pieces: Sequence[Counted], starts: np.ndarray, limit: int | None) -> dict[str, np.ndarray]:
    """Unreadable rows by reason, as global row numbers."""
    found: dict[str, list[np.ndarray]] = {}
    for piece, start in zip(pieces, starts, strict=True):
        for reason, runs in piece.facts["bad"].items():
            firsts, counts = np.array(runs, np.int64).T
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            found.setdefault(reason, []).append(start + np.repeat(firsts, counts) + within)
    joined = {reason: np.concatenate(parts) for reason, parts in found.items()}
    return {reason: rows if limit is None else rows[rows < limit] for reason, rows in joined.items()}
