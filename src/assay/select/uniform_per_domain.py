"""Uniform per domain: the same share of the budget for every domain, rows at random inside each.

Order rows by (how much of its domain's share a row's random predecessors in the domain have spent); all domains then
grow side by side, and what a small domain cannot spend goes to the others. Nested. The uniform mixture is the usual
baseline of domain reweighting (DoReMi, Xie et al. 2023, https://arxiv.org/abs/2305.10429).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.kernels.draws import uniform
from assay.types import Groups, Limit, Selection, Signals


@final
@dataclass(frozen=True)
class UniformPerDomain(Selector):
    """Spends the same on every domain.

    >>> signals = Signals({"row_hash": np.arange(4, dtype=np.uint64)})
    >>> groups = Groups(np.array([0, 0, 0, 1]), ("web", "code"))
    >>> limit = Limit(2, "examples", np.ones(4, np.int64))
    >>> sorted(groups.ids[UniformPerDomain().select(signals, groups, limit, np.random.default_rng(0)).rows].tolist())
    [0, 1]
    """

    needs: ClassVar[tuple[str, ...]] = ("row_hash", "source")
    paper: ClassVar[str] = "https://arxiv.org/abs/2305.10429"

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Shuffle inside each domain, then interleave the domains by what each has spent."""
        if groups is None:
            raise RecipeError("uniform_per_domain needs a domain for every row; name its field with --source-field")
        keys = uniform(int(rng.integers(2**63)), signals["row_hash"])
        inside = np.lexsort((keys, groups.ids))
        spent = np.cumsum(limit.cost[inside], dtype=np.int64)
        first = np.searchsorted(groups.ids[inside], np.arange(len(groups.names)))
        before = np.concatenate([np.zeros(1, np.int64), spent])[first]
        within = spent - before[groups.ids[inside]]
        rows = limit.prefix(inside[np.argsort(within, kind="stable")])
        return Selection.ranked(rows, -np.arange(len(rows), dtype=np.float64))
