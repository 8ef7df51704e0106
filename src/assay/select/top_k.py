"""Top k: the rows of largest score, S = argmax over |S| = k of Σ_{i∈S} s_i.

Exact and nested: a smaller budget is a prefix. Equal scores keep row order. It takes the best of a noisy score at face
value; see `gumbel_top_k` for drawing instead. Source: the plain rule, as in DataComp's top fraction by score
(Gadre et al. 2023, https://arxiv.org/abs/2304.14108).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class TopK(Selector):
    """Takes the rows of largest score.

    >>> signals = Signals({"score": np.array([0.1, 0.9, 0.5])})
    >>> limit = Limit(2, "examples", np.ones(3, np.int64))
    >>> TopK().select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [1, 2]
    """

    needs: ClassVar[tuple[str, ...]] = ("score",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2304.14108"

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Sort by score, largest first, and keep the longest prefix that fits."""
        score = signals["score"]
        rows = limit.best(score)
        return Selection.ranked(rows, score[rows])
