"""Quotas: bounds on each group's share of the choice, met for any selector.

`"source:code>=10%,web<=60%"` bounds shares of the budget. The selector runs on all groups at once; a group whose share
breaks its bound is fixed at the bound, the selector runs on the others with what is left, and so on until nothing
breaks: at most one round per group. Where some are too small and others too large, those are fixed that miss more in sum:
what they miss (or leave) moves the cut for all others that way, so none of them could come back within its bound. For a
selector that takes the best first under a budget in rows this is the optimum under the bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Int64

from assay.errors import RecipeError, suggest
from assay.types import Groups, Limit, Selection

_BOUND = re.compile(r"^\s*(.+?)\s*(>=|<=|==?)\s*([0-9.]+)\s*%\s*$")
Select = Callable[[np.ndarray, Limit], Selection]


@final
@dataclass(frozen=True)
class Bound:
    """A group's least and largest share of the budget, 0 to 1."""

    group: str
    low: float = 0.0
    high: float = 1.0


def parse(text: str) -> tuple[str, tuple[Bound, ...]]:
    """Read `field:group>=10%,group<=60%`.

    >>> parse("source:code>=10%, web<=60%")[1][1]
    Bound(group='web', low=0.0, high=0.6)
    """
    name, colon, rest = text.partition(":")
    bounds: dict[str, Bound] = {}
    for part in rest.split(","):
        match = _BOUND.match(part)
        if not colon or match is None:
            raise RecipeError(f'a quota must look like "source:code>=10%,web<=60%"; got {text!r}')
        share = float(match[3]) / 100
        old = bounds.get(match[1], Bound(match[1]))
        low = share if match[2] != "<=" else old.low
        high = share if match[2] != ">=" else old.high
        if not 0 <= low <= high <= 1:
            raise RecipeError(
                f"the quota on {match[1]!r} must lie between 0% and 100%, least before most; got {text!r}"
            )
        bounds[match[1]] = Bound(match[1], low, high)
    return name.strip(), tuple(bounds.values())


def select(
    bounds: Sequence[Bound], groups: Groups, candidates: Int64[np.ndarray, "c"], limit: Limit, run: Select
) -> Selection:
    """Choose from `candidates` under `limit` so that every bound holds; `run(rows, limit)` is the selector.

    Raises RecipeError that names the bound which cannot hold.
    """
    codes = {bound.group: _code(bound.group, groups) for bound in bounds}
    rows_of = {bound.group: candidates[groups.ids[candidates] == codes[bound.group]] for bound in bounds}
    _refuse_impossible(bounds, rows_of, candidates, limit, groups)
    fixed: dict[str, int] = {}
    free_choice = rest = run(candidates, limit)
    while broken := _broken(bounds, fixed, rest, rows_of, limit):
        fixed |= broken
        free = candidates[~np.isin(groups.ids[candidates], [codes[group] for group in fixed])]
        rest = run(free, replace(limit, amount=limit.amount - sum(fixed.values())))
    parts = [run(rows_of[group], replace(limit, amount=amount)) for group, amount in fixed.items()]
    return _merge([rest, *parts], free_choice)


def _units(bound: Bound, limit: Limit) -> tuple[int, int]:
    """Least and most in whole units; a share of exactly x % is rounded down."""
    high = int(bound.high * limit.amount + 1e-9)
    if bound.low == bound.high or limit.unit != "examples":
        return min(int(bound.low * limit.amount + 1e-9), high), high
    return int(np.ceil(bound.low * limit.amount - 1e-9)), high


def _broken(
    bounds: Sequence[Bound], fixed: Mapping[str, int], rest: Selection, rows_of: Mapping[str, np.ndarray], limit: Limit
) -> dict[str, int]:
    """Groups out of bounds, with the amount to fix them at: those below theirs, those above, or both if they cancel out."""
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    missing = 0  # units that floors lack, less those that ceilings free
    for bound in bounds:
        if bound.group in fixed:
            continue
        spent = int(limit.cost[rest.rows[np.isin(rest.rows, rows_of[bound.group])]].sum())
        floor, ceiling = _units(bound, limit)
        if spent < floor and not _close(spent, floor, rows_of[bound.group], limit):
            low[bound.group] = floor
            missing += floor - spent
        elif spent > ceiling:
            high[bound.group] = ceiling
            missing -= spent - ceiling
    return low if missing > 0 else high if missing < 0 else low | high


def _close(spent: int, floor: int, rows: Int64[np.ndarray, "k"], limit: Limit) -> bool:
    """Whether less than one row of the group is missing, which a byte budget cannot always fill."""
    return limit.unit != "examples" and spent + int(limit.cost[rows].max(initial=0)) > floor and spent > 0


def _refuse_impossible(
    bounds: Sequence[Bound],
    rows_of: Mapping[str, np.ndarray],
    candidates: Int64[np.ndarray, "c"],
    limit: Limit,
    groups: Groups,
) -> None:
    floors = sum(bound.low for bound in bounds)
    if floors > 1 + 1e-9:
        named = " + ".join(f"{bound.group}>={bound.low:.0%}" for bound in bounds if bound.low)
        raise RecipeError(f"the quotas {named} ask for more than 100% of the budget; got {floors:.0%}")
    units = {bound.group: _units(bound, limit) for bound in bounds}
    if sum(low for low, _ in units.values()) > limit.amount:
        named = " + ".join(f"{bound.group}>={bound.low:.0%}" for bound in bounds if bound.low)
        raise RecipeError(
            f"the quotas {named} ask for more whole {limit.unit} than the budget of {limit.amount:,}; lower one of them"
        )
    for bound in bounds:
        have, (need, most) = int(limit.cost[rows_of[bound.group]].sum()), units[bound.group]
        if need > most:
            raise RecipeError(
                f"no whole number of {limit.unit} out of {limit.amount:,} satisfies {bound.group}>={bound.low:.0%} and "
                f"{bound.group}<={bound.high:.0%}; widen the quota or raise the budget"
            )
        if have < need:
            raise RecipeError(
                f"the quota {bound.group}>={bound.low:.0%} needs {need:,} {limit.unit} but the pool has only {have:,}; "
                "lower the quota or the budget"
            )
    named_groups = {bound.group for bound in bounds}
    if {groups.names[code] for code in np.unique(groups.ids[candidates])} <= named_groups:
        ceilings = sum(bound.high for bound in bounds)
        if ceilings < 1 - 1e-9:
            named = " + ".join(f"{bound.group}<={bound.high:.0%}" for bound in bounds)
            raise RecipeError(
                f"the quotas {named} leave {1 - ceilings:.0%} of the budget to no group; raise one of them"
            )


def _code(group: str, groups: Groups) -> int:
    if group not in groups.names:
        raise RecipeError(
            f"the quota names a group {group!r} that the pool does not have; {suggest(group, groups.names)}"
        )
    return groups.names.index(group)


def _merge(parts: Sequence[Selection], free_choice: Selection) -> Selection:
    """Best gain first, ties by row: one order for what several runs chose; what the quota moved out says so."""
    rows = np.concatenate([part.rows for part in parts])
    gains = np.concatenate([part.gains for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    order = np.lexsort((rows, -gains))
    reasons = {**merge_reasons(parts), "quota": np.setdiff1d(free_choice.rows, rows)}
    general = np.concatenate([part.general for part in parts])
    return Selection(rows[order], gains[order], weights[order], False, reasons, general)


def merge_reasons(parts: Sequence[Selection]) -> dict[str, Int64[np.ndarray, "r"]]:
    """The reasons of several selections, each with all its rows.

    >>> one, two = (Selection(np.zeros(0, int), np.zeros(0), np.zeros(0), True, {"low": np.array([k])}) for k in (3, 5))
    >>> merge_reasons([one, two])["low"].tolist()
    [3, 5]
    """
    names = dict.fromkeys(reason for part in parts for reason in part.reasons)
    return {name: np.concatenate([part.reasons[name] for part in parts if name in part.reasons]) for name in names}
