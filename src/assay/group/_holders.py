"""How much of each row other rows hold, and which row holds most of it: a table of pairs that stays within memory.

    share of row i     Σ_h w(i, h) / size(i)            over the rows h that hold something of it
    holder of row i    argmax_h w(i, h)                 ties: the row that is preferred, the smaller `order`

The pairs (i, h) are as many as the pool makes them. Where they do not fit, the table keeps those of the first rows, and
the caller comes again for the rest: slower, and the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float64, Int, Int64

_PAIR = 24  # bytes of a pair and its weight


@final
@dataclass
class Holders:
    """Weights w of pairs (row, holder) for the rows from `low` until `high`, which shrinks where `room` pairs are not enough."""

    low: int
    high: int
    room: int
    rows: list[Int64[np.ndarray, "e"]] = field(default_factory=list)
    holders: list[Int64[np.ndarray, "e"]] = field(default_factory=list)
    weights: list[Int64[np.ndarray, "e"]] = field(default_factory=list)
    waiting: int = 0

    @classmethod
    def within(cls, memory: int, low: int, high: int) -> Holders:
        """A table that takes a quarter of `memory` together with the copies that sorting it needs."""
        return cls(low, high, max(memory // (4 * 5 * _PAIR), 1))

    def add(
        self, rows: Int64[np.ndarray, "e"], holders: Int64[np.ndarray, "e"], weights: Int64[np.ndarray, "e"]
    ) -> None:
        """Add weights; a pair may come any number of times."""
        for start in range(0, len(rows), self.room):
            part = slice(start, start + self.room)
            inside = (rows[part] >= self.low) & (rows[part] < self.high)
            for table, new in ((self.rows, rows), (self.holders, holders), (self.weights, weights)):
                table.append(new[part][inside].astype(np.int64))
            self.waiting += int(inside.sum())
            if self.waiting > self.room:
                self._sum()

    def _sum(self) -> None:
        rows, holders, weights = (np.concatenate(table) for table in (self.rows, self.holders, self.weights))
        order = np.lexsort((holders, rows))
        rows, holders = rows[order], holders[order]
        new = np.ones(len(rows), bool)
        new[1:] = (rows[1:] != rows[:-1]) | (holders[1:] != holders[:-1])
        rows, holders, weights = rows[new], holders[new], np.add.reduceat(weights[order], np.flatnonzero(new))
        if len(rows) > self.room // 2:
            # The rows of the first quarter of the room stay, so that this happens seldom; at least one row does.
            self.high = max(int(rows[min(self.room // 4, len(rows) - 1)]), int(rows[0]) + 1)
        kept = slice(0, int(np.searchsorted(rows, self.high)))
        self.rows, self.holders, self.weights = [rows[kept]], [holders[kept]], [weights[kept]]
        self.waiting = 0

    def into(self, order: Int[np.ndarray, "n"], held: Int64[np.ndarray, "n"], holder: Int64[np.ndarray, "n"]) -> None:
        """Write Σ w to `held` and the main holder to `holder`, for the rows that are done."""
        if not self.rows or not sum(map(len, self.rows)):
            return
        self._sum()
        rows, holders, weights = self.rows[0], self.holders[0], self.weights[0]
        best = np.lexsort((order[holders], -weights, rows))
        rows, holders, weights = rows[best], holders[best], weights[best]
        starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
        holder[rows[starts]] = holders[starts]
        held[rows[starts]] = np.add.reduceat(weights, starts)


def share(held: Int64[np.ndarray, "n"], size: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """held / size, 0 where nothing is held."""
    return held / np.maximum(size, 1)
