"""Data Mixing Laws: fit a law of how each loss falls with the mixture, and take the mixture at which the fitted law is lowest.

    L_i(r) = c_i + k_i exp(sum_j t_ij r_j)             loss i at the mixture r of g domains
    answer = argmin  mean_i L_i(r),   r on the simplex, r_j <= what domain j can supply

The shares sum to one, so k_i and t_i are not both determined: k exp(t . r) = exp((t + log k) . r). They are kept as one vector
u_i = t_i + log k_i, and each loss has g + 1 numbers. Every loss is a convex function of the mixture, and so is their mean: the
answer is the lowest point of the fitted law, not one of several. A single loss is lowest in a corner: first as much as there is
of the domain with the smallest u, then of the next.

Two fits, by `variant`, both by Huber's loss with delta 0.02. `paper`: c and u together, from several starts. `reference`, the
released notebook for two domains: first c, as the one of 1000 values from 0 (lower where losses are near it) to the smallest
loss (left out: its logarithm is no number) at which log(L - c) is nearest to a straight line, then u with that c. The released
pipeline averages networks on top of the law; that is left out.

Trials are proposed by halving: a domain's part is the largest that it may have, a half of that, a quarter, and so on down to
1/128; one domain takes the rest. A quarter of the mixtures lack some domain. Of a domain that no trial holds nothing is known: it
counts as no better than the worst of the others.

Guarantee: the answer is feasible, and lowest on the fitted law up to 1e-6 (checked by brute force). The fit finds planted numbers
and the published ones of two domains (tests/mix/test_data_mixing_law.py).
Source: Ye et al. 2024, Data Mixing Laws, https://arxiv.org/abs/2403.16952; released code
https://github.com/yegcjs/mixinglaws, which has no licence: nothing of it stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Float64

from assay.contracts import Forecaster, Mixer
from assay.errors import InputError, RecipeError
from assay.kernels.projection import onto_capped_simplex
from assay.types import Mixture, Trials

_DRAWS = 100  # draws for each mixture that is wanted: many do not add up
_STARTS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.995)  # c as a part of the smallest loss
_MARGIN = 1e-3  # of the range of losses: how far below the smallest c stays


@final
@dataclass(frozen=True)
class MixtureLaw(Mixer, Forecaster):
    """Regression on trials by an exponential law.

    tried      mixtures to try
    caps       a mixture tried has at most so many times a domain's share of the pool
    smallest   the smallest part of a domain in a mixture tried, as one of so many
    delta      where Huber's loss turns from a square into a line
    grid       values of c that `reference` looks at
    variant    `paper` or `reference` (the released notebook)

    >>> spent = np.array([[0.25, 0.75], [0.375, 0.625], [0.5, 0.5], [0.625, 0.375], [0.75, 0.25]])
    >>> trials = Trials(("code", "web"), spent, 1 + np.exp(spent @ [[-2.0, 0.5], [0.0, -1.0]]))
    >>> law, rng = MixtureLaw(), np.random.default_rng(0)
    >>> law.forecast(trials, np.array([[1.0, 0.0]]), rng).round(3).tolist()  # 1 + exp(-2), 1 + exp(0.5)
    [[1.135, 2.649]]
    >>> law.weights(trials, np.array([1.0, 1.0]), rng).weights.round(3).tolist()
    [0.368, 0.632]
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2403.16952"

    tried: int = 32
    caps: float = 15.0
    smallest: int = 128
    delta: float = 0.02
    grid: int = 1000
    variant: Literal["paper", "reference"] = "paper"

    def __post_init__(self) -> None:
        if self.variant not in ("paper", "reference"):
            raise RecipeError(f"data_mixing_law: variant must be paper or reference; got {self.variant!r}")
        if not (self.tried >= 1 and self.caps >= 1 and self.smallest >= 2 and self.grid >= 2 and self.delta > 0):
            raise RecipeError(
                "data_mixing_law: tried and caps must be at least 1, smallest and grid at least 2, delta above 0; got "
                f"{self.tried}, {self.caps:g}, {self.smallest}, {self.grid} and {self.delta:g}"
            )

    def propose(self, domains: Mixture, trials: Trials | None, rng: np.random.Generator) -> list[Mixture]:
        """At most `tried` distinct mixtures, a quarter of them (if there are) without some domain."""
        drawn = self._ladders(domains.weights, rng)
        distinct = drawn[np.sort(np.unique(np.round(drawn * 1e6).astype(np.int64), axis=0, return_index=True)[1])]
        partial = (distinct[:, domains.weights > 0] == 0).any(axis=1)
        some, whole = distinct[partial], distinct[~partial]
        fewer = min(len(some), max(self.tried // 4, self.tried - len(whole)))
        chosen = np.concatenate([whole[: self.tried - fewer], some[:fewer]])
        return [Mixture(domains.domains, weights / weights.sum()) for weights in chosen]

    def weights(self, trials: Trials, limits: Float[np.ndarray, "g"], rng: np.random.Generator) -> Mixture:
        """The lowest point of the fitted law; raises InputError where there are too few trials to fit it."""
        _, directions = self._fitted(trials)
        return Mixture(trials.names, lowest(directions, limits))

    def forecast(
        self, trials: Trials, mixtures: Float[np.ndarray, "k g"], rng: np.random.Generator
    ) -> Float64[np.ndarray, "k t"]:
        """The losses (k, t) that other mixtures (k, g) would reach, by the law fitted to the trials."""
        constants, directions = self._fitted(trials)
        return constants + np.exp(mixtures @ directions.T)

    def _ladders(self, prior: Float64[np.ndarray, "g"], rng: np.random.Generator) -> Float64[np.ndarray, "r g"]:
        """Draws from the domains' ladders; one domain, another each time, takes the rest if it may have that much."""
        draws, living = self.tried * _DRAWS, np.flatnonzero(prior > 0)
        most = np.minimum(1.0, self.caps * prior)
        steps = np.ceil(np.log2(np.maximum(most * self.smallest, 1))).astype(np.int64)
        halvings = rng.integers(0, steps + 2, (draws, len(prior)))
        parts = np.where(halvings > steps, 0.0, most / 2.0**halvings)
        parts[:, prior == 0] = 0
        rest, rows = rng.choice(living, draws), np.arange(draws)
        parts[rows, rest] = 0
        parts[rows, rest] = 1 - parts.sum(axis=1)
        return parts[(parts >= 0).all(axis=1) & (parts <= most + 1e-12).all(axis=1)]

    def _fitted(self, trials: Trials) -> tuple[Float64[np.ndarray, "t"], Float64[np.ndarray, "t g"]]:
        """c and u of each loss."""
        tried = (trials.spent > 0).any(axis=0)
        spent, needed = trials.spent[:, tried], int(tried.sum()) + 1
        if len(trials) < needed or np.linalg.matrix_rank(spent) < needed - 1:
            raise InputError(
                f"data_mixing_law needs at least {needed} trials of different mixtures for {needed - 1} domains, as many as its "
                f"law has numbers; got {len(trials)}, of {np.linalg.matrix_rank(spent)} independent mixtures: try more mixtures"
            )
        fits = np.stack([self._one(spent, losses) for losses in trials.losses.T])
        directions = np.repeat(fits[:, 1:].max(axis=1, keepdims=True), len(tried), axis=1)
        directions[:, tried] = fits[:, 1:]
        return fits[:, 0], directions

    def _one(
        self, spent: Float64[np.ndarray, "r g"], losses: Float64[np.ndarray, "r"]
    ) -> Float64[np.ndarray, "g_plus_1"]:
        """c, then u."""
        low, spread = float(losses.min()), float(np.ptp(losses)) or 1e-9
        if self.variant == "reference":
            values = np.linspace(min(0.0, low - spread), low, self.grid)[:-1]
            constant = min(values, key=lambda c: _bend(spent, losses, c))
            return _huber(spent, losses, self.delta, constant, constant)[0]
        starts = [low - _MARGIN * spread - (1 - part) * max(abs(low), spread) for part in _STARTS]
        top = low - 1e-9 * spread
        fits = [_huber(spent, losses, self.delta, min(start, top), None) for start in starts]
        return min(fits, key=lambda fit: fit[1])[0]


def _straight(spent: Float64[np.ndarray, "r g"], losses: Float64[np.ndarray, "r"], constant: float) -> np.ndarray:
    """Least squares of log(L - c) on the mixture; no intercept, because the parts sum to one."""
    return np.linalg.lstsq(spent, np.log(losses - constant), rcond=None)[0]


def _bend(spent: Float64[np.ndarray, "r g"], losses: Float64[np.ndarray, "r"], constant: float) -> float:
    """One less the squared correlation of log(L - c) with its straight line."""
    logs = np.log(losses - constant)
    left = logs - spent @ _straight(spent, losses, constant)
    return float((left**2).sum() / ((logs - logs.mean()) ** 2).sum())


def _huber(
    spent: Float64[np.ndarray, "r g"], losses: Float64[np.ndarray, "r"], delta: float, start: float, fixed: float | None
) -> tuple[Float64[np.ndarray, "g_plus_1"], float]:
    """c and u at which Huber's loss is least, from a start of c, and that loss; `fixed` is a c that stays."""
    from scipy.optimize import least_squares

    free, begun = fixed is None, np.concatenate([[start], _straight(spent, losses, start)])

    def missed(numbers: Float64[np.ndarray, "g_plus_1"]) -> Float64[np.ndarray, "r"]:
        return numbers[0] + np.exp(spent @ numbers[1:]) - losses

    def slopes(numbers: Float64[np.ndarray, "g_plus_1"]) -> Float64[np.ndarray, "r g_plus_1"]:
        constant = np.full((len(spent), 1), float(free))
        return np.concatenate([constant, np.exp(spent @ numbers[1:])[:, None] * spent], axis=1)

    with np.errstate(over="ignore"):  # a step that leads nowhere is taken back
        found = least_squares(
            missed, begun, slopes, loss="huber", f_scale=delta, x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12
        )
    return found.x, float(found.cost)


def lowest(directions: Float64[np.ndarray, "t g"], limits: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """The mixture within limits at which the mean of exp(u_i . r) is least.

    >>> lowest(np.array([[-1.0, -2.0, 0.0]]), np.array([1.0, 0.3, 1.0])).round(6).tolist()
    [0.7, 0.3, 0.0]
    """
    from scipy.optimize import minimize

    caps = np.minimum(limits, 1.0)
    start = onto_capped_simplex(np.full((1, len(caps)), 1 / len(caps)), caps)[0]

    def mean(r: Float64[np.ndarray, "g"]) -> tuple[float, np.ndarray]:
        each = np.exp(directions @ r)
        return float(each.mean()), each @ directions / len(directions)

    scale = max(mean(start)[0], 1e-300)
    found = minimize(
        lambda r: tuple(part / scale for part in mean(r)), start, jac=True, method="SLSQP",
        bounds=[(0.0, cap) for cap in caps], options={"ftol": 1e-14, "maxiter": 1000},
        constraints={"type": "eq", "fun": lambda r: r.sum() - 1, "jac": lambda r: np.ones_like(r)},
    )  # fmt: skip
    corner = _filled(directions[0], caps) if len(directions) == 1 else found.x
    return onto_capped_simplex(np.clip(corner, 0, caps)[None], caps)[0]


def _filled(direction: Float64[np.ndarray, "g"], caps: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """As much as there is of the smallest first, until the whole is full."""
    order = np.argsort(direction, kind="stable")
    before = np.concatenate([np.zeros(1), np.cumsum(caps[order])[:-1]])
    weights = np.zeros(len(caps))
    weights[order] = np.clip(1 - before, 0, caps[order])
    return weights
