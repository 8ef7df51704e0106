"""Gumbel top k: draws k rows without replacement, P(first = i) = softmax(s / τ)_i.

The k largest of s_i / τ + g_i with g_i standard Gumbel are a sample without replacement from softmax(s / τ): the
resampling step of DSIR. The temperature τ divides the score before the noise; τ → 0 is top k. A row's noise depends
on the seed and the row's content alone, so neither workers nor layout change a draw.
Source: Kool, van Hoof, Welling 2019, https://arxiv.org/abs/1903.06059; in DSIR, Xie et al. 2023,
https://arxiv.org/abs/2302.03169.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.kernels.draws import gumbel
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class GumbelTopK(Selector):
    """Draws rows without replacement, in proportion to exp(score / temperature).

    >>> signals = Signals({"score": np.array([0.0, 99.0]), "row_hash": np.array([1, 2], np.uint64)})
    >>> limit = Limit(1, "examples", np.ones(2, np.int64))
    >>> GumbelTopK().select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [1]
    """

    needs: ClassVar[tuple[str, ...]] = ("score", "row_hash")
    paper: ClassVar[str] = "https://arxiv.org/abs/1903.06059"

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise RecipeError(f"gumbel_top_k: temperature must be above 0 and finite; got {self.temperature}")

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Add one Gumbel draw per row to score / temperature and keep the largest."""
        keys = gumbel(int(rng.integers(2**63)), signals["row_hash"])
        keys += signals["score"] / self.temperature
        rows = limit.best(keys)
        return Selection.ranked(rows, keys[rows])
