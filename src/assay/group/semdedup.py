"""SemDeDup: of rows that say nearly the same, by their embeddings, within a cell of k-means.

    order the rows of a cell by distance to its centre      farthest first, unless `first` says otherwise
    share_i = max over earlier j of <x_i, x_j>              x of length one; clipped to 0..1; 0 for the first
    drop i where share_i > 1 - ε                            the step's at_most = 1 - ε, 0.95 for instance

By the rule `earlier_item`, which is that of the released code, an earlier row counts though it is itself dropped: of a chain
a ~ b ~ c with a unlike c, b and c go. By the rule `greedy` only rows that stay count, so c stays; this rule knows ε itself.
The paper tunes ε until the wished share of the pool is left: `semdedup_rank`, the place of a row among all by its share, from
0 to below 1, says the same without a search, ties broken by row: `where = "semdedup_rank < 0.75"` leaves three quarters.

Guarantee: exact within a cell, however large: cells are compared block by block, none is cut into pieces. Rows of two cells
are never compared. A cell of one row, and a row without a cell, keeps its row: share 0. Memory: one cell as float32, and one
block of similarities.
Source: Abbas, Tirumala, Simig, Ganguli, Morcos, SemDeDup: Data-efficient learning at web-scale through semantic
deduplication, 2023, https://arxiv.org/abs/2303.09540; written from its description.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64, Shaped

from assay.contracts import Engine, Grouper, Rows
from assay.errors import RecipeError
from assay.models import clusters
from assay.types import Groups, Signals

_BLOCK = 2_048  # rows of a cell that are compared at a time
_RULES, _FIRST = ("earlier_item", "greedy"), ("farthest", "nearest")


@final
@dataclass(frozen=True)
class Semdedup(Grouper):
    """How near each row comes to a row of its cell that stands before it.

    of         the signal of vectors, which an earlier step measured
    inside     the signal of cells, of a `kmeans` step; its distances are the signal of that name with `_distance`
    rule       `earlier_item`: every earlier row counts; `greedy`: only those that stay
    eps        1 - the similarity from which on the rule `greedy` lets a row go
    first      which rows of a cell come first: those `farthest` from the centre (the hard ones), or the `nearest`

    >>> vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> cells = {"kmeans": np.zeros(3, np.int32), "kmeans_distance": np.array([0.3, 0.2, 0.1]), "living": np.ones(3, bool)}
    >>> _, told = Semdedup().group(None, Signals({"embed": vectors, **cells}), None, np.random.default_rng(0))
    >>> told["semdedup"].tolist(), told["semdedup_of"].tolist()
    ([0.0, 1.0, 0.0], [-1, 0, -1])
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2303.09540"
    gives: ClassVar[Literal["groups", "share", "cells"]] = "share"

    of: str = "embed"
    inside: str = "kmeans"
    rule: str = "earlier_item"
    eps: float = 0.05
    first: str = "farthest"

    def __post_init__(self) -> None:
        for name, known in (("rule", _RULES), ("first", _FIRST)):
            if getattr(self, name) not in known:
                raise RecipeError(f"semdedup: {name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if not 0 <= self.eps <= 1:
            raise RecipeError(f"semdedup: eps must be from 0 to 1; got {self.eps}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors, the cells, and the distances to their centres."""
        return (self.of, self.inside, f"{self.inside}_distance")

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """The largest similarity of each row to an earlier one of its cell, that row, and the place among all rows."""
        whole, living = signals[self.of], signals["living"]
        cell = np.where(living & clusters.present(whole, self.of), signals[self.inside], -1)
        share, holder = np.zeros(len(whole), np.float32), np.full(len(whole), -1)
        for rows in _cells(cell, signals[f"{self.inside}_distance"], self.first):
            vectors = clusters.Vectors(whole, rows, "cosine")
            share[rows], near = nearest_earlier(vectors, None if self.rule == "earlier_item" else 1 - self.eps)
            holder[rows] = np.where(share[rows] > 0, rows[near], -1)
        return None, Signals({"semdedup": share, "semdedup_of": holder, "semdedup_rank": _rank(share, living)})


def _cells(
    cell: Int[np.ndarray, "n"], distance: Shaped[np.ndarray, "n"], first: str
) -> Iterator[Int64[np.ndarray, "r"]]:
    """The rows of each cell, in the order of their distance; ties by row."""
    rows = np.flatnonzero(cell >= 0)
    far = distance[rows].astype(np.float64)
    rows = rows[np.lexsort((-far if first == "farthest" else far, cell[rows]))]
    starts = np.flatnonzero(np.diff(cell[rows], prepend=-1))
    return iter(np.split(rows, starts[1:])) if len(rows) else iter(())


def nearest_earlier(
    vectors: clusters.Vectors, least: float | None
) -> tuple[Float32[np.ndarray, "r"], Int64[np.ndarray, "r"]]:
    """For each vector its largest similarity to an earlier one, in 0..1, and which that is (0 where none is alike).

    With `least` only earlier ones count that stay: those no more similar than this to one that stays before them.
    """
    share, near = np.zeros(len(vectors), np.float32), np.zeros(len(vectors), np.int64)
    kept = np.ones(len(vectors), bool)
    everything = vectors.block(slice(None))
    for part in vectors.parts(_BLOCK):
        block = everything[part]
        for before in vectors.parts(_BLOCK):
            if before.start >= part.start:
                break
            _raise(share[part], near[part], block @ everything[before].T, before.start, kept[before])
        own = np.triu(block @ block.T, 1).T
        if least is None:
            _raise(share[part], near[part], own, part.start, kept[part])
            continue
        for row in range(len(block)):  # one after the other: whether a row stays depends on those before it
            _raise(
                share[part][row : row + 1],
                near[part][row : row + 1],
                own[row : row + 1, :row],
                part.start,
                kept[part][:row],
            )
            kept[part.start + row] = share[part.start + row] <= least
    return np.minimum(share, 1), near


def _raise(
    share: Float32[np.ndarray, "b"],
    near: Int64[np.ndarray, "b"],
    similarity: Float32[np.ndarray, "b j"],
    start: int,
    kept: Bool[np.ndarray, "j"],
) -> None:
    """Take note of larger similarities, in place; of equal ones the earliest stays."""
    if not kept.all():
        similarity = np.where(kept, similarity, np.float32(0))
    if similarity.shape[1]:
        best = similarity.argmax(axis=1)
        found = similarity[np.arange(len(best)), best]
        larger = found > share
        share[larger], near[larger] = found[larger], start + best[larger]


def _rank(share: Float32[np.ndarray, "n"], living: Bool[np.ndarray, "n"]) -> Float32[np.ndarray, "n"]:
    """The place of each living row by its share, from 0 to below 1; NaN for the others."""
    rows = np.flatnonzero(living)
    place = np.full(len(share), np.nan)
    place[rows[np.argsort(share[rows], kind="stable")]] = np.arange(len(rows)) / max(len(rows), 1)
    return place
