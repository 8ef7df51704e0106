"""Domain upsampling: one mixture of domains for most of the training, another for its end.

    p_t = before   while t ≤ T − ⌊f T + 1/2⌋,     after   from then on         T steps, f the `share` of the last phase

For the last tenth to fifth of the training small domains that are dense in what one wants come more often than the bulk of
the web. The learning rate goes on as it would have: there is no second warm-up. Leaving a domain out of `after` (its weight
0) tells what it is worth, at the cost of the last phase only.

Guarantee: the stream is a function of seed and rows; rows of a domain come without repetition until it is exhausted, over
both phases. A small domain of large weight is read several times over: its rows are few, whatever its weight.
Source: Blakeney, Paul, Larsen, Owen, Frankle, Does your data spark joy? Performance gains from domain upsampling at the end of
training, 2024, https://arxiv.org/abs/2406.03476: 5 to 30 % were tried, 10 to 20 % were best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Sampler, State
from assay.errors import RecipeError
from assay.sample._parts import counted, next_rows, normalised, of_domains, shares
from assay.types import Signals


@final
@dataclass(frozen=True)
class DomainUpsampling(Sampler):
    """Two mixtures, the second at the end.

    steps   T, batches of the whole training
    share   f, the part of them in the last phase, above 0 and below 1
    before  weights of the domains in the first phase (empty: by their rows); they need not sum to 1
    after   weights of the domains in the last phase (empty: all alike)

    >>> method = DomainUpsampling(steps=10, share=0.2, after=(0.0, 1.0))
    >>> state = method.init(4, Signals({"source": np.array([0, 0, 0, 1])}), np.random.default_rng(0))
    >>> later = method.update({**state, "step": np.array([7])}, np.array([0]), {}, Signals({}))
    >>> state["weights"].tolist(), later["weights"].tolist()
    ([0.75, 0.25], [0.0, 1.0])
    """

    needs: ClassVar[tuple[str, ...]] = ("source",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.03476"

    steps: int = 1000
    share: float = 0.2
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise RecipeError(f"domain_upsampling: steps must be the batches of the whole training; got {self.steps}")
        if not 0 < self.share < 1:
            raise RecipeError(f"domain_upsampling: share must be above 0 and below 1; got {self.share}")

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        """The mixture of the step `weights (g,)`, `step (1,)`, and the domains."""
        state = of_domains("domain_upsampling", signals, rng)
        mixtures = {
            "before": _mixture("before", self.before, shares(state)),
            "after": _mixture("after", self.after, np.ones(len(state["taken"]))),
        }
        return {**state, **mixtures, "weights": self._weights(mixtures, 0), "step": np.zeros(1, np.int64)}

    def propose(
        self, state: State, size: int, pending: Int64[np.ndarray, "r"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "b"]:
        """Rows whose domains are drawn one by one."""
        weights = state["weights"]
        return next_rows(state, rng.choice(len(weights), size, p=weights), pending)

    def update(self, state: State, rows: Int64[np.ndarray, "k"], drawn_with: State, measured: Signals) -> State:
        """Count the batch, and change the mixture when the last phase begins."""
        step = int(state["step"][0]) + 1
        taken, weights = counted(state, rows), self._weights(state, step)
        return {**state, "taken": taken, "weights": weights, "step": np.array([step])}

    def _weights(self, state: State, done: int) -> Float64[np.ndarray, "g"]:
        """The mixture after `done` batches; past the end it stays the last."""
        return state["before" if done < self.steps - int(self.share * self.steps + 0.5) else "after"]


def _mixture(name: str, given: tuple[float, ...], otherwise: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    if not given:
        return normalised(otherwise)
    weights = np.array(given, np.float64)
    if weights.shape != otherwise.shape or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise RecipeError(
            f"domain_upsampling: {name} must be a weight for each of {len(otherwise)} domains, none negative and one above 0; "
            f"got {given}"
        )
    return normalised(weights)
