"""A pool as a method sees it that reads signals: blocks of living rows with numbers in place of text.

Blocks are of rows by number, wherever files begin and end, so that sums do not depend on the layout. Columns on disk are mapped,
and a block at a time is copied: gradients of a large pool do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Int64, Shaped, UInt64

from assay.contracts import Merge, Part, Rows
from assay.errors import InputError
from assay.io import store
from assay.run.passes import Pool
from assay.types import Batch

BLOCK = 4096  # rows


class Stored(NamedTuple):
    """A column of the tables that a job has left in the store."""

    file: str
    column: str


@final
@dataclass(frozen=True)
class Numbers(Rows):
    """Living rows that have all of some signals: each an array (n, ...), or where it is stored."""

    pool: Pool
    signals: Mapping[str, Stored | np.ndarray]

    def blocks(self) -> Iterator[Batch]:
        """The rows, about `BLOCK` at a time, in order; rows that lack a number are left out."""
        table, living = self.pool.count(), self.pool.living
        for start in range(0, len(living), BLOCK):
            rows = start + np.flatnonzero(living[start : start + BLOCK])
            yield self._batch(rows, table.hashes[rows])

    def _batch(self, rows: Int64[np.ndarray, "k"], hashes: UInt64[np.ndarray, "k"]) -> Batch:
        """The rows with their signals; those that lack a number are left out."""
        columns = {name: self._at(name, rows) for name in self.signals}
        known = np.ones(len(rows), bool)
        for column in columns.values():
            if column.dtype.kind == "f":
                known &= ~np.isnan(column).reshape(len(rows), -1).any(axis=1)
        if known.all():
            return Batch(rows, hashes, columns)
        return Batch(rows[known], hashes[known], {name: column[known] for name, column in columns.items()})

    def _at(self, name: str, rows: Int64[np.ndarray, "b"]) -> Shaped[np.ndarray, "b ..."]:
        """A column at some rows, which ascend."""
        source = self.signals[name]
        if isinstance(source, np.ndarray):
            return source[rows]
        parts = []
        for piece, (first, stop) in zip(self.pool.pieces, self.pool.count().ranges, strict=True):
            inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, stop)]
            if len(inside):
                table = store.open_table(self.pool.task(piece, ()).at(source.file))
                parts.append(store.numbers(table[source.column])[inside - first])
        return np.concatenate(parts) if parts else np.zeros(0)

    def reduce(self, part: Part, merge: Merge) -> Any:
        """See `Rows.reduce`."""
        merged = None
        for batch in self.blocks():
            if len(batch):
                found = part(batch)
                merged = found if merged is None else merge(merged, found)
        if merged is None:
            raise InputError(
                f"no row of {self.pool.shards[0].path} has all of the signals {', '.join(self.signals)}, so there is nothing to "
                "learn from"
            )
        return merged

    def sample(self, k: int) -> Batch:
        """See `Rows.sample`."""
        hashes, living = self.pool.count().hashes, np.flatnonzero(self.pool.living)
        rows = np.sort(living[np.lexsort((living, hashes[living]))[:k]])
        return self._batch(rows, hashes[rows])

    def __len__(self) -> int:
        return len(self.pool)
