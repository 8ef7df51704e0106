"""Facility location: the rows S by which every row of the pool is represented best.

    f(S) = Σ_i max_{j in S} s(i, j)          s >= 0; greedily, the row of largest f(S + j) - f(S) is added next

    s(i, j)   cosine                 max(0, cos(x_i, x_j))
              squared_cosine         cos(x_i, x_j)²             apricot's "cosine"
              squared_correlation    corr(x_i, x_j)²            apricot's "corr"
              euclidean              max |x - y|² - |x_i - x_j|²      apricot's, and CRAIG's with squared distances

With `neighbours` > 0 a row counts only its so many nearest (itself among them): s(i, j) = 0 for all others, which takes 8
bytes for each instead of 4 n for each row, and a fraction of the time. They are looked for by cosine, so that of `squared_`
similarities the opposite rows of large negative cosine are left out; `euclidean` takes the maximum over the distances found.

Guarantee: greedy reaches at least 1 - 1/e of the best f of any k rows; lazy greedy chooses what plain greedy does, and both
are nested.
With `cost = "scaled"` the row of most gain for its bytes (or tokens) is next, else the cost only says where the order ends;
either way a prefix of one order. Distinct rows, gains that do not grow (stochastic greedy's may), ties by row.
Source: Mirchandani and Francis, Discrete location theory, 1990; for data Lin and Bilmes, 2011,
https://aclanthology.org/P11-1052/, Wei et al., 2015, https://proceedings.mlr.press/v37/wei15.html, and CRAIG, Mirzasoleiman
et al., 2020, https://arxiv.org/abs/1906.01827 (the weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Objective, Selector
from assay.errors import RecipeError
from assay.models import clusters
from assay.select._facility import HOW, Dense, Sparse, sizes
from assay.select._objective import OPTIMIZERS, greedy
from assay.types import Groups, Limit, Selection, Signals

DENSE = 32_768  # rows of which all pairs are held, in 4 GB
_CHOICES = {
    "similarity": tuple(HOW), "optimizer": OPTIMIZERS,
    "cost": ("ignored", "scaled"), "weights": ("one", "cluster_sizes"),
}  # fmt: skip


@final
@dataclass(frozen=True)
class FacilityLocation(Selector):
    """Takes rows that represent the others.

    of            the signal of vectors, which an earlier step measured
    similarity    `cosine`, `squared_cosine`, `squared_correlation` or `euclidean`
    neighbours    each row is represented by its so many nearest rows only; 0: by any row, in 4 n² bytes
    optimizer     `lazy`, `plain` (the same rows, slower) or `stochastic` (much faster, near as good, not nested)
    epsilon       of stochastic greedy: what it may lose
    cost          `ignored`, or `scaled`: a row's gain is divided by what it costs of the budget
    weights       `one`, or `cluster_sizes`: as many as the rows that a chosen row represents, itself among them

    >>> signals = {"embed": np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1]]), "row_hash": np.arange(4, dtype=np.uint64)}
    >>> limit = Limit(2, "examples", np.ones(4, np.int64))
    >>> FacilityLocation().select(Signals(signals), None, limit, np.random.default_rng(0)).rows.tolist()
    [1, 3]
    """

    needs: ClassVar[tuple[str, ...]] = ("row_hash",)
    paper: ClassVar[str] = "https://aclanthology.org/P11-1052/"

    of: str = "embed"
    similarity: str = "cosine"
    neighbours: int = 0
    optimizer: str = "lazy"
    epsilon: float = 0.1
    cost: str = "ignored"
    weights: str = "one"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise RecipeError(
                    f"facility_location: {name} must be one of {', '.join(known)}; got {getattr(self, name)!r}"
                )
        if not 0 <= self.neighbours <= 10_000:
            raise RecipeError(f"facility_location: neighbours must be from 0 to 10,000; got {self.neighbours}")
        if not 0 < self.epsilon < 1:
            raise RecipeError(f"facility_location: epsilon must be between 0 and 1; got {self.epsilon}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors of the candidates (n, d)."""
        return (self.of,)

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Greedily, until the budget is spent; rows without a vector represent nobody and stay out."""
        known = clusters.present(signals[self.of], self.of)
        rows = np.flatnonzero(known)
        vectors, here = clusters.Vectors(signals[self.of], rows, HOW[self.similarity]), limit.take(rows)
        price = np.maximum(here.cost, 1).astype(np.float64) if self.cost == "scaled" else None
        order = np.argsort(signals["row_hash"][rows], kind="stable")
        chosen, gains = greedy(self.objective(vectors), here, self.optimizer, price, order, self.epsilon, rng)
        lacking = {} if known.all() else {f"facility_location: no vector in {self.of}": np.flatnonzero(~known)}
        weights = np.ones(len(chosen)) if self.weights == "one" else sizes(vectors, chosen, self.similarity)
        return Selection(rows[chosen], gains, weights, self.optimizer != "stochastic", lacking)

    def objective(self, vectors: clusters.Vectors) -> Objective:
        """f, over all pairs or over neighbours; RecipeError where all pairs would not fit into memory."""
        if self.neighbours:
            return Sparse.of(vectors, self.neighbours, self.similarity)
        if len(vectors) > DENSE:
            raise RecipeError(
                f"facility_location: neighbours must be above 0 for more than {DENSE:,} rows, whose pairs take "
                f"{4 * DENSE**2 / 1e9:.0f} GB; there are {len(vectors):,} rows: set neighbours = 64"
            )
        return Dense.of(vectors, self.similarity)
