"""Percentile: every row at or above a percentile of the score, best first, as far as the budget goes.

S = {i : s_i ≥ Q_p(s)}, Q_p the p-th percentile by the inverted distribution function, so that at least (100 - p) % of
the rows pass, and ties at the cut all pass. Nested. The rule that sets DCLM's threshold (the top tenth of the pool; Li
et al. 2024, https://arxiv.org/abs/2406.11794).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class Percentile(Selector):
    """Takes rows at or above a percentile of the score, 0 to 100.

    >>> signals = Signals({"score": np.arange(10.0)})
    >>> limit = Limit(10, "examples", np.ones(10, np.int64))
    >>> Percentile(at_least=80.0).select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [9, 8, 7]
    """

    needs: ClassVar[tuple[str, ...]] = ("score",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.11794"

    at_least: float = 90.0

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= 100:
            raise RecipeError(f"percentile: at_least must lie between 0 and 100; got {self.at_least}")

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Turn the percentile into a score and keep what reaches it."""
        score = signals["score"]
        cut = np.percentile(score, self.at_least, method="inverted_cdf") if len(score) else 0.0
        passes = score >= cut
        passing = np.flatnonzero(passes)
        rows = passing[limit.take(passing).best(score[passing])]
        below = {f"percentile: score below the {self.at_least:g}th percentile": np.flatnonzero(~passes)}
        return Selection(rows, score[rows].astype(np.float64), np.ones(len(rows)), True, below)
