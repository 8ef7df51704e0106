"""The data multiplier: how many times as much random data reaches the loss of the choice.

    delta(D) = L_random(D) - L_choice(B)            with the interval that `intervals` gives it at every budget D
    estimate = D*/B where delta(D*) = 0
    interval = the budgets at which delta's interval holds zero, over B

The interval inverts the very test of the verdict (Fieller), so it charges the choice's draw, the curve's noise and the
documents at once, and it holds 1 exactly when the verdict is undecided. Between budgets delta follows a monotone
cubic in log D through the measured means (no form is imposed, nothing is extrapolated). Outside the measured
budgets the multiplier is censored: above the largest `estimate` is null and `low` stands as a bound; below the smallest
`high` stands. A choice trained once for each seed is paired with random's draw of that seed at every budget.

Sources: Fritsch and Carlson 1980, https://doi.org/10.1137/0717021 (monotone cubic); Fieller 1954,
https://doi.org/10.1111/j.2517-6161.1954.tb00159.x (interval of a crossing). A fitted power law with offset
(Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556) is read beside it: power_law.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from assay.errors import RecipeError
from assay.verify import intervals
from assay.verify.intervals import Difference

LEAST_BUDGETS = 5


@final
@dataclass(frozen=True)
class Multiplier:
    """Times as much random data: `estimate` is null where it is censored, `low` or `high` where there is no bound."""

    estimate: float | None
    low: float | None
    high: float | None
    censored: bool


def crossing(budgets: Float[np.ndarray, "p"], gaps: Float[np.ndarray, "p"], start: int) -> float | None:
    """The budget nearest to `budgets[start]` at which `gaps` (falling, on the whole) passes zero; None if none does.

    A gap above zero at the start means that random is still worse there: look to larger budgets; else to smaller ones.
    Only the two budgets around the change of sign are inverted, so a wobble of the curve elsewhere has no say.

    >>> round(crossing(np.array([1.0, 2, 4, 8, 16]), np.array([2.0, 1, 0, -1, -2]), 0), 6)
    4.0
    """
    if gaps[start] == 0:
        return float(budgets[start])
    step = 1 if gaps[start] > 0 else -1
    other = start + step
    while 0 <= other < len(gaps) and gaps[other] * step > 0:
        other += step
    if not 0 <= other < len(gaps):
        return None
    curve: Callable[[float], float] = PchipInterpolator(np.log(budgets), gaps)
    low, high = sorted((other - step, other))
    if gaps[low] * gaps[high] == 0:
        return float(budgets[other])
    return float(np.exp(brentq(lambda x: float(curve(x)), np.log(budgets[low]), np.log(budgets[high]), xtol=1e-12)))


def multiplier(
    choice: Float[np.ndarray, "*a d"],
    curve: Float[np.ndarray, "p m d"],
    budgets: Int[np.ndarray, "p"],
    sizes: Int[np.ndarray, "d"],
    start: int,
    level: float = 0.05,
) -> Multiplier:
    """Compare the choice, one result of it or one for each draw, with random at each of p rising budgets (its own is
    `budgets[start]`) and invert.

    Raises RecipeError below five budgets or where they do not rise.
    """
    check(budgets)
    rows = np.atleast_2d(choice)
    mean, draws = intervals.pair(rows, curve)
    # Where a budget is the whole pool, there is one arm, of one seed; paired with every seed of the choice it would pass for m.
    alone = [len(rows) > 1 and place != start and not np.ptp(one, 0).any() for place, one in enumerate(curve)]
    found = differences(mean, draws, sizes, start, level, alone)
    return inverted(found, np.asarray(budgets, np.float64), start)


def check(budgets: Int[np.ndarray, "p"]) -> None:
    """Raise a sentence for budgets between which nothing can be read."""
    if len(budgets) < LEAST_BUDGETS or (np.diff(budgets) <= 0).any():
        raise RecipeError(f"random's curve needs at least {LEAST_BUDGETS} rising budgets; got {budgets.tolist()}")


def differences(
    choice: Float[np.ndarray, "d"],
    curve: Float[np.ndarray, "p m d"],
    sizes: Int[np.ndarray, "d"],
    start: int,
    level: float,
    alone: Sequence[bool],
) -> list[Difference]:
    """The choice against random at every budget, or against the one arm that is alone there; the choice is charged what random's
    draws differ by at its own."""
    own = intervals.spread(curve[start], sizes)
    return [
        intervals.difference(
            choice, draws.mean(0)[None] if one else draws, sizes, own, intervals.spread(draws, sizes), level
        )
        for draws, one in zip(curve, alone, strict=True)
    ]


def inverted(found: Sequence[Difference], budgets: Float[np.ndarray, "p"], start: int) -> Multiplier:
    """The budgets at which the difference and the ends of its interval are zero, in budgets of the choice."""
    ends = [
        crossing(budgets, np.array([getattr(one, name) for one in found]), start)
        for name in ("estimate", "low", "high")
    ]
    times = budgets / budgets[start]
    return _bounded([float(end / budgets[start]) if end else None for end in ends], found, times, start)


def _bounded(
    ends: list[float | None], found: Sequence[Difference], times: Float[np.ndarray, "p"], start: int
) -> Multiplier:
    """Turn what lies beyond the curve into bounds: the largest budget from below, the smallest from above."""
    estimate, low, high = ends
    if low is None and found[start].low > 0:
        low = float(times[-1])
    if high is None and found[start].high < 0:
        high = float(times[0])
    return Multiplier(estimate, low, high, estimate is None)
