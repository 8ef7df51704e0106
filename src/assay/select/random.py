"""Random: every row equally likely, the baseline that every other choice must beat.

Order by u_i ~ U(0, 1), a function of the seed and the row's content, so that the draw is the same for any number of
workers and any layout; copies of one text are drawn together. Under a byte budget it takes the longest prefix that fits.
Source: the control of every selection study; RS2 shows how strong it is (Okanovic et al. 2023,
https://arxiv.org/abs/2305.18424).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.kernels.draws import uniform
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class Random(Selector):
    """Takes rows at random, without replacement.

    >>> signals = Signals({"row_hash": np.arange(3, dtype=np.uint64)})
    >>> limit = Limit(2, "examples", np.ones(3, np.int64))
    >>> len(Random().select(signals, None, limit, np.random.default_rng(0)))
    2
    """

    needs: ClassVar[tuple[str, ...]] = ("row_hash",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2305.18424"

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Order by a uniform draw per row, largest first."""
        keys = uniform(int(rng.integers(2**63)), signals["row_hash"])
        rows = limit.best(keys)
        return Selection.ranked(rows, keys[rows])
