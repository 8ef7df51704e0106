"""The multiplier a second time, from a power law with offset fitted to random's curve.

    L(D) = E + A (D / B)^-a          least squares over the p budgets' means, E >= 0, A > 0, B the choice's budget
    estimate = D*/B where L(D*) = M(c)
    interval = the D at which the verdict's interval around L(D) - M(c) holds zero, over B

The interval is the verdict's own (intervals.py) with fitted draws in place of measured ones: near its optimum the fit is
linear in the measured losses, L(D) = L + h(D) (y - mean y) with h = J(D) (J'J)^-1 J' and J the fit's Jacobian, so every
draw j, whose budgets are nested and share what luck it had, has a fitted value of its own at any D (the delta method), for
each document too. The choice is charged random's spread, as measured, at its own budget. Nothing is read beyond the budgets
that random was tried at. A fit learns from all budgets at once, so its interval is narrower than the cubic's; what it leaves
out is that curves do not follow the form, which is why it is the second reading and not the first (docs/verify.md).

Sources: Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556 (the form); Golub and Pereyra 1973,
https://doi.org/10.1137/0710036 (E and A are linear given a, so one number is searched).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize_scalar, nnls

from assay.errors import RecipeError
from assay.verify import intervals
from assay.verify.multiplier import Multiplier, check, inverted

LEAST_POINTS = 4  # one more than the law has parameters
_LEAST, _MOST = 0.01, 3.0  # exponents searched; losses of text fall with 0.05 to 0.5
_COARSE, _FINE = 61, 49


@final
@dataclass(frozen=True)
class PowerLaw:
    """floor + scale * times ** -exponent: the loss at `times` the budget of the choice."""

    floor: float
    scale: float
    exponent: float

    def at(self, times: Float[np.ndarray, "*a"]) -> Float[np.ndarray, "*a"]:
        """The loss there.

        >>> PowerLaw(1.0, 2.0, 0.5).at(np.array([1.0, 4.0])).tolist()
        [3.0, 2.0]
        """
        return self.floor + self.scale * times**-self.exponent

    def slopes(self, times: Float[np.ndarray, "p"]) -> Float[np.ndarray, "p 3"]:
        """How the loss changes with floor, scale and exponent; a floor that was held at zero does not move."""
        power = times**-self.exponent
        free = np.full(len(times), float(self.floor > 0))
        return np.stack([free, power, -self.scale * np.log(times) * power], 1)


def fit(times: Float[np.ndarray, "p"], losses: Float[np.ndarray, "p"]) -> PowerLaw | None:
    """The power law nearest to the losses; None where they do not fall, so that no law of this form describes them.

    Raises RecipeError for fewer than four points.

    >>> times = 2.0 ** np.arange(-3, 4)
    >>> law = fit(times, 1.5 + 0.7 * times**-0.3)
    >>> round(law.floor, 4), round(law.scale, 4), round(law.exponent, 4)
    (1.5, 0.7, 0.3)
    """
    if len(times) < LEAST_POINTS:
        raise RecipeError(f"a power law with offset needs at least {LEAST_POINTS} budgets; got {len(times)}")
    grid = np.geomspace(_LEAST, _MOST, _COARSE)
    best = int(np.argmin([_linear(times, losses, a)[1] for a in grid]))
    around = float(grid[max(0, best - 1)]), float(grid[min(_COARSE - 1, best + 1)])
    exponent = float(minimize_scalar(lambda a: _linear(times, losses, a)[1], bounds=around, options={"xatol": 1e-10}).x)
    floor, scale = _linear(times, losses, exponent)[0]
    return PowerLaw(float(floor), float(scale), exponent) if scale > 0 else None


def _linear(
    times: Float[np.ndarray, "p"], losses: Float[np.ndarray, "p"], exponent: float
) -> tuple[Float[np.ndarray, "2"], float]:
    return nnls(np.stack([np.ones(len(times)), times**-exponent], 1), losses)


@final
@dataclass(frozen=True)
class Fitted:
    """Random's draws as the law tells them, at any size between the budgets: (m, d) numbers like measured ones."""

    law: PowerLaw
    times: Float[np.ndarray, "p"]
    curve: Float[np.ndarray, "p m d"]
    sizes: Int[np.ndarray, "d"]

    def draws(self, times: float) -> Float[np.ndarray, "m d"]:
        """The draws at `times` the budget; their mean metric is the law's."""
        at = np.array([times])
        weight = (self.law.slopes(at) @ np.linalg.pinv(self.law.slopes(self.times)))[0]
        told = np.tensordot(weight, self.curve, 1)
        level = float(self.law.at(at)[0]) - float(intervals.metric(told, self.sizes).mean())
        return told + level * self.sizes


def multiplier_power_law(
    choice: Float[np.ndarray, "*a d"],
    curve: Float[np.ndarray, "p m d"],
    budgets: Int[np.ndarray, "p"],
    sizes: Int[np.ndarray, "d"],
    start: int,
    level: float = 0.05,
) -> tuple[Multiplier, PowerLaw | None]:
    """The multiplier by the fitted law, and the law; unknown where random's curve does not fall.

    Arguments as for `multiplier`. Raises RecipeError below five budgets or where they do not rise.
    """
    check(budgets)
    times = np.asarray(budgets, np.float64) / budgets[start]
    mean, draws = intervals.pair(np.atleast_2d(choice), curve)
    law = fit(times, intervals.metric(draws, sizes).mean(1))
    if law is None:
        return Multiplier(None, None, None, True), None
    fitted, own = Fitted(law, times, draws, sizes), intervals.spread(draws[start], sizes)
    grid = np.unique(np.concatenate([np.geomspace(times[0], times[-1], _FINE), times]))
    found = [
        intervals.difference(mean, told, sizes, own, intervals.spread(told, sizes), level)
        for told in map(fitted.draws, grid)
    ]
    return inverted(found, grid, int(np.searchsorted(grid, 1.0))), law


def left_out(budgets: Int[np.ndarray, "p"], losses: Float[np.ndarray, "p"]) -> dict[str, list[float]]:
    """How well either reading tells a budget that it has not seen: every inner budget is left out in turn and predicted from
    the others. Misses, predicted minus measured, by `cubic` and `power_law`; needs five budgets.

    >>> budgets = 1000 * 2 ** np.arange(6)
    >>> misses = left_out(budgets, 1.5 + 8 * budgets**-0.25)
    >>> [len(found) for found in misses.values()], max(map(abs, misses["power_law"])) < 1e-6
    ([4, 4], True)
    """
    check(budgets)
    times = np.asarray(budgets, np.float64) / budgets[0]
    misses: dict[str, list[float]] = {"cubic": [], "power_law": []}
    for place in range(1, len(times) - 1):
        kept = np.arange(len(times)) != place
        cubic = float(PchipInterpolator(np.log(times[kept]), losses[kept])(np.log(times[place])))
        law = fit(times[kept], losses[kept])
        told = float(law.at(times[place : place + 1])[0]) if law else float(losses[kept].mean())
        misses["cubic"].append(cubic - float(losses[place]))
        misses["power_law"].append(told - float(losses[place]))
    return misses
