"""The rows that arms are drawn from, and the draw: by a number of (key, content), of which only what can matter is sorted.

A row's name is its content hash, mixed with how many rows before it have the same; so neither workers nor the layout of
shards change a draw, and copies of one text are drawn one by one. Rows are looked at a few million at a time: a pool may
have a hundred million, and what a draw holds in memory is in proportion to the draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from assay.kernels.lucky import by_class, lucky
from assay.kernels.occurrence import occurrence

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_AT_ONCE = 1 << 22
_NO_EDGES = np.zeros(0, np.int64)


@final
@dataclass(frozen=True)
class Frame:
    """The rows that can be drawn: their numbers, bytes, and content names that tell copies of one text apart."""

    rows: Int64[np.ndarray, "n"]
    sizes: Int64[np.ndarray, "n"]
    names: UInt64[np.ndarray, "n"]

    @classmethod
    def of(
        cls, sizes: Int64[np.ndarray, "n"], hashes: UInt64[np.ndarray, "n"], eligible: Bool[np.ndarray, "n"]
    ) -> Frame:
        """Keep the rows of a pool that are eligible (readable, not removed) and hold text; `eligible` is a mask."""
        rows = np.flatnonzero(eligible & (sizes > 0))
        names = hashes[rows]
        return cls(rows, sizes[rows], names + occurrence(names) * GOLDEN)

    def at(self, rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "j"]:
        """Positions in this frame of those pool rows that it holds, in their order; a row given twice stands twice."""
        position = np.searchsorted(self.rows, rows)
        position = np.minimum(position, max(0, len(self.rows) - 1))
        return position[self.rows[position] == rows] if len(self.rows) else position[:0]

    def drawn(self, key: int, budget: int) -> Int64[np.ndarray, "k"]:
        """Positions in the order of draw `key`, at least `budget` bytes; only the share that can matter is sorted."""
        share = budget / max(1, int(self.sizes.sum()))
        for ceiling in (share * 1.1 + 1e-4, share * 2 + 1e-2, 1.0):
            near, luck = self.lucky(key, np.array([ceiling]))
            if int(self.sizes[near].sum()) >= budget:
                break
        return near[np.lexsort((near, luck))]

    def lucky(
        self, key: int, ceilings: Float64[np.ndarray, "g"], edges: Int64[np.ndarray, "g_plus_1"] = _NO_EDGES
    ) -> tuple[Int64[np.ndarray, "k"], Float64[np.ndarray, "k"]]:
        """Positions whose number in draw `key` is at most the ceiling of their class of length, and these numbers.

        Class c holds the sizes above `edges[c - 1]` up to `edges[c]`; without edges there is one class.
        """
        found, lucks = [np.zeros(0, np.int64)], [np.zeros(0)]
        for part in self._parts():
            near, luck = lucky(key, self.names[part], self.sizes[part], ceilings, edges)
            found.append(near + part.start)
            lucks.append(luck)
        return np.concatenate(found), np.concatenate(lucks)

    def held(self, edges: Int64[np.ndarray, "g_plus_1"]) -> Float64[np.ndarray, "g"]:
        """Bytes of all rows by class of length, those shorter and longer than all edges first and last."""
        whole = np.zeros(len(edges) + 1)
        by_class(self.sizes, edges, whole)
        return whole

    def _parts(self) -> Iterator[slice]:
        return (slice(start, start + _AT_ONCE) for start in range(0, len(self.rows), _AT_ONCE))
