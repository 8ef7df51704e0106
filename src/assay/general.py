"""A share of a choice that stays general: rows drawn at random beside those that a method chooses.

    S(B) = the method's best rows within (1 - s) B, and of the others, in random order, those within s B

A choice for one target costs breadth elsewhere, and a random share buys some of it back; where the rows come from one source
(`source:wiki=20%`), it is a replay of what a model knows already. The random order is a function of the seed and a row's content
(`kernels/draws.py`), so neither workers nor layout change it. If the method is nested, so is S: a smaller budget is a prefix.
Source: replay of a few percent of general text against forgetting in continued training, Ibrahim et al. 2024,
https://arxiv.org/abs/2403.08763.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8, UInt64

from assay.errors import RecipeError, suggest
from assay.kernels.draws import uniform
from assay.kernels.shares import WHOLE, side_by_side
from assay.types import Groups, Limit, Mixture, Selection

MARK = "general"  # the reason that a manifest gives for such a row
SHARES = ("0", "10", "20", "40", "60", "80")  # percent: what a sweep tries where nobody says otherwise
_KEY = 0x6E6E << 32  # far from the keys with which selectors and trials draw
_SHARE = re.compile(r"^\s*(?:source:(.+?)\s*=)?\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*$")


@final
@dataclass(frozen=True)
class Share:
    """A share of the budget in whole parts of 10,000, and the source that its rows must come from, or None for any.

    >>> str(parse_share("20%")), str(parse_share("source:wiki=12.5%"))
    ('20 %', '12.5 % from wiki')
    """

    parts: int
    source: str | None = None

    def __str__(self) -> str:
        return f"{100 * self.parts / WHOLE:g} %" + (f" from {self.source}" if self.source else "")


def parse_share(text: str) -> Share:
    """Read `20%` or `source:wiki=20%`; raises RecipeError on anything else, or beyond 0 to under 100 %."""
    match = _SHARE.match(text)
    parts = round(float(match[2]) / 100 * WHOLE) if match else -1
    if match is None or not 0 <= parts < WHOLE:
        raise RecipeError(
            f'general must be a share of the budget from 0% to under 100%, such as 20% or "source:wiki=20%"; got {text!r}'
        )
    return Share(parts, match[1])


@final
@dataclass(frozen=True)
class Draw:
    """What the general share of some rows is drawn from: each row's number, smallest first, and which rows may be drawn."""

    share: Share
    luck: Float64[np.ndarray, "n"]
    allowed: Bool[np.ndarray, "n"]

    @classmethod
    def of(cls, share: Share, seed: int, hashes: UInt64[np.ndarray, "n"], groups: Groups | None) -> Draw:
        """Over the rows of a pool; raises RecipeError where the share names a source that is not there."""
        allowed = np.ones(len(hashes), bool)
        if share.source is not None:
            if groups is None:
                raise RecipeError(f"general {share} needs a source for every row; name its field with --source-field")
            if share.source not in groups.names:
                told = suggest(share.source, groups.names)
                raise RecipeError(f"general names a source {share.source!r} that the pool does not have; {told}")
            allowed = groups.ids == groups.names.index(share.source)
        return cls(share, uniform(_KEY + seed, hashes), allowed)

    def take(self, rows: Int64[np.ndarray, "k"]) -> Draw:
        """The same over some of the rows."""
        return Draw(self.share, self.luck[rows], self.allowed[rows])


def select(draw: Draw, method: Callable[[Limit], Selection], limit: Limit) -> Selection:
    """The method's choice and the random share side by side in one order.

    Raises RecipeError where a named source does not hold its share.
    """
    share = draw.share
    chosen = method(
        replace(limit, amount=limit.amount + int(limit.cost.max(initial=0)))
    )  # so that the budget never ends it
    if not chosen.nested:
        whole = Mixture(("method", MARK), np.array([WHOLE - share.parts, share.parts]) / WHOLE).split(limit.amount)
        chosen = method(replace(limit, amount=int(whole[0])))
    order, sides = _merged(draw, chosen, limit)
    drawn = order[sides[order] == 1]
    _refuse_short(draw, limit, order, drawn)
    gains = np.full(len(limit.cost), np.nan)
    gains[chosen.rows] = chosen.gains
    weights = np.ones(len(limit.cost))
    weights[chosen.rows] = chosen.weights
    weights[drawn] = 1.0
    return Selection(
        order, _filled(gains[order], sides[order] == 1), weights[order], chosen.nested, chosen.reasons, drawn
    )


def _merged(draw: Draw, chosen: Selection, limit: Limit) -> tuple[Int64[np.ndarray, "k"], UInt8[np.ndarray, "n"]]:
    """Both orders as one; of the random one only as much is sorted as can matter."""
    cost = np.ascontiguousarray(limit.cost, np.int64)
    reach = limit.amount / max(1, int(cost.sum(where=draw.allowed)))
    for ceiling in (2 * reach * draw.share.parts / WHOLE + 1e-3, 2 * reach + 1e-2, 1.0):
        near = np.flatnonzero(draw.allowed & (draw.luck <= ceiling))
        near = near[np.lexsort((near, draw.luck[near]))]
        order, sides, seen = side_by_side(chosen.rows, near, cost, draw.share.parts, limit.amount)
        if seen < len(near) or ceiling >= 1:
            break
    return order, sides


def _filled(gains: Float64[np.ndarray, "k"], drawn: Bool[np.ndarray, "k"]) -> Float64[np.ndarray, "k"]:
    """A drawn row stands where its turn came: at the gain of the method's row before it, or of the first one."""
    if drawn.all():
        return np.zeros(len(gains))
    last = np.maximum.accumulate(np.where(drawn, -1, np.arange(len(gains))))
    return gains[np.where(last < 0, np.argmin(drawn), last)]


def _refuse_short(draw: Draw, limit: Limit, order: Int64[np.ndarray, "k"], drawn: Int64[np.ndarray, "r"]) -> None:
    """A source that is named must hold its share of what was chosen, to less than a row."""
    share = draw.share
    if share.source is None:
        return
    spent, free = int(limit.cost[order].sum()), int(limit.cost[drawn].sum())
    left = draw.allowed.copy()
    left[order] = False
    need = spent * share.parts // WHOLE
    if not left.any() and free + int(limit.cost.max(initial=0)) < need:
        raise RecipeError(
            f"general {share} needs {need:,} {limit.unit} that the method did not choose, and {share.source} has only "
            f"{free:,} left; lower the share or the budget"
        )
