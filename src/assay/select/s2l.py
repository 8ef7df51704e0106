"""S2L: the budget spread evenly over clusters of rows whose losses fell alike while a small model learnt them.

    for the sources, the smallest first:        an equal share of what is left of the budget
      k-means of its rows' loss trajectories
      for the clusters of more than 2 rows, the smallest first:
                                                an equal share of what is left of the source's; rows at random
      what then is left                         rows of the clusters of 1 or 2, at random

An equal share of what is left is R // m, R units for m parts: what a small part cannot spend goes to those after it,
so that no part gets more while another, which has rows left, gets less (water-filling, up to one unit). Size is what
a part costs in the budget's unit.

`reference` is this, the released code, whose comment says that clusters are visited from the largest on: it does from
the smallest. `paper` is Algorithm 1, which knows no sources and visits small clusters like others.

Guarantee: never over the budget; the choice follows content and the seed, not the order of rows. Not nested. Rows
without a trajectory are not chosen, and it says so. Source: Yang et al., SmallToLarge (S2L), 2024,
https://arxiv.org/abs/2403.07384.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float, Int64

from assay.contracts import Selector
from assay.errors import RecipeError, suggest
from assay.kernels.draws import uniform
from assay.models.clusters import Cells, Vectors
from assay.types import Groups, Limit, Selection, Signals

_TINY = 2  # rows of a cluster that is left for the end
_VARIANTS = ("reference", "paper")


@final
@dataclass(frozen=True)
class S2l(Selector):
    """Equal shares for every source and, inside, for every cluster of loss trajectories.

    of        the signal that holds the trajectories
    clusters  of k-means in each source, or as many as it has rows
    rounds    of k-means
    variant   `reference` or `paper`

    >>> trajectories = np.array([[3, 1], [3, 1], [3, 1], [3, 1], [2, 2], [2, 2], [2, 2]], np.float32)
    >>> signals = Signals({"row_hash": np.arange(7, dtype=np.uint64), "loss_trajectory": trajectories})
    >>> chosen = S2l(clusters=2).select(signals, None, Limit(4, "examples", np.ones(7, np.int64)), np.random.default_rng(0))
    >>> int((chosen.rows < 4).sum()), int((chosen.rows >= 4).sum())
    (2, 2)
    """

    needs: ClassVar[tuple[str, ...]] = ("row_hash", "source")
    paper: ClassVar[str] = "https://arxiv.org/abs/2403.07384"

    of: str = "loss_trajectory"
    clusters: int = 100
    rounds: int = 20
    variant: str = "reference"

    def __post_init__(self) -> None:
        for name, least, most in (("clusters", 1, 10**6), ("rounds", 1, 10_000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"s2l: {name} must be from {least} to {most}; got {getattr(self, name)}")
        if self.variant not in _VARIANTS:
            said = suggest(self.variant, _VARIANTS)
            raise RecipeError(f"s2l: variant must be {' or '.join(_VARIANTS)}; got {self.variant!r}: {said}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The trajectories."""
        return (self.of,)

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Rows source by source and cluster by cluster, in the order in which these are visited."""
        paths, hashes = signals[self.of], signals["row_hash"]
        if paths.ndim != 2:
            raise RecipeError(
                f"s2l reads loss trajectories, (n, checkpoints); {self.of!r} has one number a row: name another"
            )
        known = signals.present(self.of)
        rows = np.flatnonzero(known)[np.argsort(hashes[known], kind="stable")]
        keys = uniform(int(rng.integers(2**63)), hashes)
        take = partial(self._inside, paths, keys, limit, int(rng.integers(2**63)))
        found = fill(self._sources(rows, groups), limit, limit.amount, take)
        chosen = Selection.ranked(found, -np.arange(len(found), dtype=np.float64), nested=False)
        lacking = np.flatnonzero(~known)
        return replace(chosen, reasons={f"no {self.of}": lacking}) if len(lacking) else chosen

    def _sources(self, rows: Int64[np.ndarray, "k"], groups: Groups | None) -> list[np.ndarray]:
        if groups is None or self.variant == "paper":
            return [rows]
        return _parts(rows, groups.ids[rows])

    def _inside(
        self, paths: np.ndarray, keys: np.ndarray, limit: Limit, seed: int, rows: Int64[np.ndarray, "k"], share: int
    ) -> Int64[np.ndarray, "r"]:
        """A source's share, spent on its clusters."""
        clusters = _parts(rows, self._cells(paths, rows, seed))
        tiny = 0 if self.variant == "paper" else _TINY
        draw = partial(_drawn, keys, limit)
        first = fill([part for part in clusters if len(part) > tiny], limit, share, draw)
        rest = np.concatenate([rows[:0], *(part for part in clusters if len(part) <= tiny)])
        return np.concatenate([first, draw(rest, share - _cost(limit, first))])

    def _cells(self, paths: Float[np.ndarray, "n d"], rows: Int64[np.ndarray, "k"], seed: int) -> np.ndarray:
        vectors, count = Vectors(paths, rows, "euclidean"), min(self.clusters, len(rows))
        if not count:
            return np.zeros(0, np.int32)
        cells = Cells.fit(vectors, count, self.rounds, False, np.random.default_rng(seed))
        return cells.nearest(vectors)[0]


def fill(
    parts: list[Int64[np.ndarray, "_"]],
    limit: Limit,
    amount: int,
    take: Callable[[Int64[np.ndarray, "_"], int], Int64[np.ndarray, "_"]],
) -> Int64[np.ndarray, "k"]:
    """What `take(part, share)` takes of each part, the cheapest first, for an equal share of what is left of `amount`.

    >>> limit = Limit(5, "examples", np.ones(8, np.int64))
    >>> fill([np.arange(1, 8), np.arange(1)], limit, 5, lambda part, share: part[:share]).tolist()
    [0, 1, 2, 3, 4]
    """
    found, left = [np.zeros(0, np.int64)], amount
    for place, part in enumerate(sorted(parts, key=partial(_cost, limit))):
        found.append(take(part, left // (len(parts) - place)))
        left -= _cost(limit, found[-1])
    return np.concatenate(found)


def _drawn(keys: Float[np.ndarray, "n"], limit: Limit, rows: np.ndarray, share: int) -> np.ndarray:
    """Rows at random, as many as a share pays for."""
    return Limit(share, limit.unit, limit.cost).prefix(rows[np.argsort(keys[rows], kind="stable")])


def _cost(limit: Limit, rows: np.ndarray) -> int:
    return int(limit.cost[rows].sum())


def _parts(rows: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Rows of one label each."""
    return [rows[labels == one] for one in np.unique(labels)]
