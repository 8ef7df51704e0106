"""Coverage-centric selection: drop the likely wrong labels, cut the rest into strata by score, spend the budget evenly on them.

    1.  D' = D without the ⌊β|D|⌋ rows of lowest accumulated margin
    2.  R_1 … R_k: D' by score, in k ranges of equal width between the least and the largest
    3.  smallest first:  m_i = min(|R_i|, ⌊m / strata left⌋),  m ← m − m_i;  m_i rows of R_i, all equally likely

Taking only the hardest rows covers little of the data at small budgets and falls below random; strata keep easy rows in. The cut
is by margin (`aum`) whichever score makes the strata. `variant` "reference" ends the last stratum at 1.0001 times the largest
score, as the released code does: of scores that are all below zero it loses the largest. `balance` "class" gives each class (the
source of a row) a budget in proportion to its own rows in D', and strata of its own.

Guarantee: min(budget, |D'|) rows; under a byte budget each stratum gives the longest prefix that fits. The draw is a function of
seed and content, the same for any layout.
Source: Zheng, Liu, Lai and Prakash, Coverage-centric Coreset Selection for High Pruning Rates, 2022,
https://arxiv.org/abs/2210.15809 (k = 50; β rises with the pruning: none at 50 %, 0.1 at 70 to 80 %, 0.3 at 90 % on CIFAR-10).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Selector
from assay.errors import RecipeError
from assay.kernels.draws import uniform
from assay.types import Groups, Limit, Mixture, Selection, Signals

_CUT, _LOST = "ccs: among the lowest accumulated margins", "ccs: above the last stratum of the reference"


@final
@dataclass(frozen=True)
class Ccs(Selector):
    """Takes rows from all strata of a score, evenly.

    beta       the share of rows of lowest margin that is dropped first, 0 to 1
    strata     ranges of the score (k)
    margin     the signal with the accumulated margins; "": the score is one
    variant    "paper", or "reference": its last stratum ends at 1.0001 times the largest score
    balance    "none", or "class": every class has its own budget and strata

    >>> signals = Signals({"score": np.arange(8.0), "row_hash": np.arange(8, dtype=np.uint64)})
    >>> limit = Limit(3, "examples", np.ones(8, np.int64))
    >>> chosen = Ccs(beta=0.25, strata=3).select(signals, None, limit, np.random.default_rng(0))
    >>> sorted((chosen.gains // 2).astype(int).tolist()), chosen.reasons
    ([1, 2, 3], {'ccs: among the lowest accumulated margins': array([0, 1])})
    """

    needs: ClassVar[tuple[str, ...]] = ("score", "row_hash", "source")
    paper: ClassVar[str] = "https://arxiv.org/abs/2210.15809"

    beta: float = 0.1
    strata: int = 50
    margin: str = ""
    variant: str = "paper"
    balance: str = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.beta < 1 or self.strata < 1:
            raise RecipeError(
                f"ccs: beta must lie in [0, 1) and strata be at least 1; got {self.beta} and {self.strata}"
            )
        if self.variant not in ("paper", "reference") or self.balance not in ("none", "class"):
            raise RecipeError(
                f"ccs: variant must be paper or reference, and balance none or class; got {self.variant!r} and {self.balance!r}"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """The margins, where they are another signal than the score."""
        return (self.margin,) if self.margin else ()

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Cut, then strata, of all rows or of each class; RecipeError where classes are asked for and there are none."""
        if self.balance == "class" and groups is None:
            raise RecipeError(
                "ccs: balance = 'class' needs a class for every row; got none: name its field with --source-field"
            )
        score, keys = signals["score"], uniform(int(rng.integers(2**63)), signals["row_hash"])
        margin = signals[self.margin] if self.margin else score
        by_margin = np.lexsort((keys, margin))  # NaN last: a row of which no margin is known is not cut
        cut = np.sort(by_margin[: int(self.beta * len(score) + 1e-9)])
        left = np.sort(by_margin[len(cut) :])
        ids = groups.ids[left] if self.balance == "class" and groups is not None else np.zeros(len(left), np.int64)
        taken, lost = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for rows, amount in zip(*_shared(left, ids, limit), strict=True):
            chosen, above = self._spread(rows, score, keys, limit.take(rows, amount))
            taken, lost = [*taken, chosen], [*lost, above]
        found = np.concatenate(taken)
        rows = found[np.argsort(-keys[found], kind="stable")]
        reasons = {_CUT: cut, _LOST: np.concatenate(lost)}
        told = {reason: kept for reason, kept in reasons.items() if len(kept)}
        return Selection(rows, score[rows].astype(np.float64), np.ones(len(rows)), False, told)

    def _spread(
        self,
        rows: Int64[np.ndarray, "j"],
        score: Float64[np.ndarray, "n"],
        keys: Float64[np.ndarray, "n"],
        limit: Limit,
    ) -> tuple[Int64[np.ndarray, "k"], Int64[np.ndarray, "r"]]:
        """Rows chosen out of `rows`, whose costs `limit` has, and those that no stratum holds."""
        places = strata_of(score[rows], self.strata, self.variant)
        order = np.lexsort((keys[rows], places))
        edges = np.searchsorted(places[order], np.arange(self.strata + 1))
        strata = [order[start:stop] for start, stop in pairwise(edges.tolist())]
        chosen, amount = [np.zeros(0, np.int64)], limit.amount
        for number, stratum in enumerate(sorted(strata, key=lambda one: int(limit.cost[one].sum()))):
            part = Limit(amount // (self.strata - number), limit.unit, limit.cost).prefix(stratum)
            amount -= int(limit.cost[part].sum())
            chosen.append(part)
        return rows[np.concatenate(chosen)], rows[places == self.strata]


def strata_of(score: Float64[np.ndarray, "n"], strata: int, variant: str) -> Int64[np.ndarray, "n"]:
    """The stratum of each score, of equal widths; `strata` itself for one that the reference's last stratum leaves out.

    >>> [strata_of(np.array([-3.0, -2.0, -1.0]), 2, variant).tolist() for variant in ("paper", "reference")]
    [[0, 1, 1], [0, 1, 2]]
    """
    if not len(score):
        return np.zeros(0, np.int64)
    least, largest = float(score.min()), float(score.max())
    if variant == "reference":
        largest *= 1.0001
        if largest <= least:
            return np.full(len(score), strata)
    edges = least + (largest - least) / strata * np.arange(strata + 1)
    places = np.searchsorted(edges, score, side="right") - 1
    return places if variant == "reference" else np.clip(places, 0, strata - 1)


def _shared(
    left: Int64[np.ndarray, "j"], ids: Int64[np.ndarray, "j"], limit: Limit
) -> tuple[list[Int64[np.ndarray, "r"]], list[int]]:
    """The rows of each class, and the budget in proportion to what they cost."""
    parts = [left[ids == one] for one in np.unique(ids)]
    costs = np.array([limit.cost[part].sum() for part in parts], np.float64)
    amount = min(limit.amount, int(costs.sum()))
    if len(parts) < 2:
        return parts, [limit.amount] * len(parts)
    shares = Mixture(tuple(map(str, range(len(parts)))), costs / costs.sum())
    return parts, shares.split(amount).tolist()
