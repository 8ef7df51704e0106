"""Uniform per domain: the same share of the budget for every domain, rows at random inside each.

Order rows by (how much of its domain's share a row's random predecessors in the domain have spent); all domains then
grow side by side, and what a small domain cannot spend goes to the others. Nested. The uniform mixture is the usual
baseline of domain reweighting (DoReMi, Xie et al. 2023, https://arxiv.org/abs/2305.10429).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.kernels.draws import uniform
from assay.types import Groups, Limit, Selection, Signals

_BLOCK = 1 << 20


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
        near = _near(keys, groups, limit)
        here, ids = limit.take(near), groups.ids[near]
        inside = np.lexsort((keys[near], ids))
        spent = np.cumsum(here.cost[inside], dtype=np.int64)
        first = np.searchsorted(ids[inside], np.arange(len(groups.names)))
        before = np.concatenate([np.zeros(1, np.int64), spent])[first]
        within = spent - before[ids[inside]]
        rows = near[here.prefix(inside[np.argsort(within, kind="stable")])]
        return Selection.ranked(rows, -np.arange(len(rows), dtype=np.float64))


def _near(keys: Float64[np.ndarray, "n"], groups: Groups, limit: Limit) -> Int64[np.ndarray, "k"]:
    """The rows that can be reached, ascending: those of smallest keys in each domain, as far as any domain is filled.

    All domains are filled to one level, or emptied; the last row that is looked at lies at most two rows above it.
    """
    everyone, ids = np.arange(len(keys)), groups.ids
    if not len(keys) or ids.min() < 0:
        return everyone
    totals = np.bincount(ids, None if limit.uniform else limit.cost, len(groups.names))
    totals = totals * int(limit.cost[0]) if limit.uniform else totals
    level = _level(totals, limit.amount) + 2 * int(limit.cost.max())
    ceilings = 1.1 * level / np.maximum(totals, 1) + 1e-3
    blocks = (slice(first, first + _BLOCK) for first in range(0, len(keys), _BLOCK))
    near = np.concatenate([part.start + np.flatnonzero(keys[part] <= ceilings[ids[part]]) for part in blocks])
    held = np.bincount(ids[near], limit.take(near).cost, len(totals))
    return near if (held >= np.minimum(level, totals)).all() else everyone


def _level(totals: Float64[np.ndarray, "g"], amount: int) -> int:
    """The least whole amount that, spent on every domain that has it, spends the budget; or what the largest domain has."""
    low, high = 0, int(totals.max())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if np.minimum(totals, middle).sum() >= amount else (middle, high)
    return high
