"""Threshold: every row whose score reaches a value, best first, as far as the budget goes.

S = {i : s_i ≥ θ}. Nested. The rule of published filters, e.g. 0.018112 for DCLM's fastText score (Li et al. 2024,
https://arxiv.org/abs/2406.11794) or 3 for FineWeb-Edu (Penedo et al. 2024, https://arxiv.org/abs/2406.17557).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class Threshold(Selector):
    """Takes rows whose score is at least `at_least`.

    >>> signals = Signals({"score": np.array([0.1, 0.9, 0.5])})
    >>> limit = Limit(3, "examples", np.ones(3, np.int64))
    >>> Threshold(at_least=0.5).select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [1, 2]
    """

    needs: ClassVar[tuple[str, ...]] = ("score",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.11794"

    at_least: float = 0.0

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Sort what passes by score, largest first; name the threshold for what does not."""
        score = signals["score"]
        passes = score >= self.at_least
        passing = np.flatnonzero(passes)
        rows = passing[limit.take(passing).best(score[passing])]
        below = {f"threshold: score below {self.at_least:g}": np.flatnonzero(~passes)}
        return Selection(rows, score[rows].astype(np.float64), np.ones(len(rows)), True, below)
