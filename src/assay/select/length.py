"""Length: the longest rows first (or the shortest), a baseline that many quality scores turn out to be.

Order by bytes of text. Equal lengths keep row order; nested. For instruction data the longest answers are a hard
baseline (Zhao et al. 2024, https://arxiv.org/abs/2402.04833).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class Length(Selector):
    """Takes the longest (or shortest) rows.

    >>> signals = Signals({"bytes": np.array([10, 30, 20])})
    >>> limit = Limit(1, "examples", np.ones(3, np.int64))
    >>> Length().select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [1]
    """

    needs: ClassVar[tuple[str, ...]] = ("bytes",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.04833"

    first: Literal["longest", "shortest"] = "longest"

    def __post_init__(self) -> None:
        if self.first not in ("longest", "shortest"):
            raise RecipeError(f"length: first must be 'longest' or 'shortest'; got {self.first!r}")

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Sort by bytes of text."""
        gains = signals["bytes"].astype(np.float64) * (1 if self.first == "longest" else -1)
        rows = limit.best(gains)
        return Selection.ranked(rows, gains[rows])
