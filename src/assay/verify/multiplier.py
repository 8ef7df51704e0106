"""The data multiplier: how many times as much random data reaches the loss of the choice.

    delta(D) = L_random(D) - L_choice(B)            with the interval that `intervals` gives it at every budget D
    estimate = D*/B where delta(D*) = 0
    interval = the budgets at which delta's interval holds zero, over B

The interval inverts the very test of the verdict (Fieller), so it charges the choice's draw, the curve's noise and the
documents at once, and it holds 1 exactly when the verdict is undecided. Between budgets delta follows a monotone
cubic in log D through the measured means (no form is imposed, nothing is extrapolated). Outside the measured
budgets the multiplier is censored: above the largest `estimate` is null and `low` stands as a bound; below the smallest
`high` stands.

Sources: Fritsch and Carlson 1980, https://doi.org/10.1137/0717021 (monotone cubic); Fieller 1954,
https://doi.org/10.1111/j.2517-6161.1954.tb00159.x (interval of a crossing). A fitted power law with offset
(Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556) was measured beside it: docs/verify.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from assay.errors import RecipeError
from assay.verify import intervals

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
    choice: Float[np.ndarray, "d"],
    curve: Float[np.ndarray, "p m d"],
    budgets: Int[np.ndarray, "p"],
    sizes: Int[np.ndarray, "d"],
    start: int,
    level: float = 0.05,
) -> Multiplier:
    """Compare the choice with random at each of p rising budgets (its own is `budgets[start]`) and invert.

    Raises RecipeError below five budgets or where they do not rise.
    """
    if len(budgets) < LEAST_BUDGETS or (np.diff(budgets) <= 0).any():
        raise RecipeError(f"random's curve needs at least {LEAST_BUDGETS} rising budgets; got {budgets.tolist()}")
    own = intervals.spread(curve[start], sizes)
    found = [intervals.difference(choice, draws, sizes, own, intervals.spread(draws, sizes), level) for draws in curve]
    grid = np.asarray(budgets, np.float64)
    ends = [
        crossing(grid, np.array([getattr(one, name) for one in found]), start) for name in ("estimate", "low", "high")
    ]
    return _bounded([float(end / grid[start]) if end else None for end in ends], found, grid / grid[start], start)


def _bounded(
    ends: list[float | None], found: list[intervals.Difference], times: Float[np.ndarray, "p"], start: int
) -> Multiplier:
    """Turn what lies beyond the curve into bounds: the largest budget from below, the smallest from above."""
    estimate, low, high = ends
    if low is None and found[start].low > 0:
        low = float(times[-1])
    if high is None and found[start].high < 0:
        high = float(times[0])
    return Multiplier(estimate, low, high, estimate is None)
