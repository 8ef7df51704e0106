"""Online Data Mixing: a bandit draws the domain of each batch, the more often the more the model still loses there.

    ε_t = min(1/K, √(ln K / (K t)))                    K domains, step t = 1, 2, …; ε_0 = 1/K
    π_t(i) = (1 − K ε_t) exp(ε_{t−1} R_i) / Σ_j exp(ε_{t−1} R_j) + ε_t
    batch t: a domain i by π_t, then rows of it;  L the batch's mean loss in nats
    R_i ← α R_i + (1 − α) L / π_t(i)                   `paper`, α = 0.9; R_i ← R_i + (L / 10) / π_t(i) as `reference`

Exp3 with a moving average. Where the authors' code differs it is offered by name. `reference`: rewards are summed, of a tenth
of the loss; ε of the step that was just trained, not of the next one; what is lost while warming up does not count. `smoothed`:
the code's update for several domains at once, R_i ← α R_i + (1 − α) L without importance weights, the rest as `reference`.
For the first `warmup` batches domains come by the size of their data. The π_t(i) that a loss is divided by is the one that its
batch was drawn with, however many losses of others have come since (loaders fetch ahead).

Guarantee: weights sum to 1 and are at least ε_t after the warm-up; rows of a domain come without repetition until it is
exhausted; the stream is a function of seed, rows and losses. A loss that can not be learnt (noise) is rewarded too: clean
first. Source: Albalak, Pan, Raffel, Wang, Efficient Online Data Mixing For Language Model Pre-Training, 2023,
https://arxiv.org/abs/2312.02406, and its code, https://github.com/alon-albalak/online-data-mixing (Apache-2.0); Exp3: Auer,
Cesa-Bianchi, Freund, Schapire, 2002, https://doi.org/10.1137/S0097539701398375.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from assay.contracts import Sampler, State
from assay.errors import InputError, RecipeError
from assay.sample._parts import counted, gibbs, losses_of, next_rows, of_domains, shares
from assay.types import Signals

_VARIANTS = ("paper", "reference", "smoothed")
_SCALE = 10.0  # the code's: a loss of ten nats is a reward of one


@final
@dataclass(frozen=True)
class Odm(Sampler):
    """Exp3 over domains, rewarded by the training loss; a batch holds rows of one domain.

    variant    paper, reference or smoothed, as above
    warmup     batches drawn by the size of the domains first (the authors': 2,000 of 100,000)
    smoothing  α, from 0 to below 1

    >>> odm = Odm(warmup=0)
    >>> state = odm.init(4, Signals({"source": np.array([0, 0, 0, 1])}), np.random.default_rng(0))
    >>> drawn_with = {"weights": state["weights"]}
    >>> odm.update(state, np.array([3]), drawn_with, Signals({"loss": np.array([2.0])}))["weights"].round(3).tolist()
    [0.483, 0.517]
    """

    needs: ClassVar[tuple[str, ...]] = ("source",)
    measures: ClassVar[tuple[str, ...]] = ("loss",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2312.02406"

    variant: str = "paper"
    warmup: int = 100
    smoothing: float = 0.9

    def __post_init__(self) -> None:
        if self.variant not in _VARIANTS:
            raise RecipeError(f"odm: variant must be one of {', '.join(_VARIANTS)}; got {self.variant!r}")
        if not 0 <= self.smoothing < 1:
            raise RecipeError(f"odm: smoothing must be from 0 to below 1; got {self.smoothing}")
        if self.warmup < 0:
            raise RecipeError(f"odm: warmup must be a number of batches, 0 or more; got {self.warmup}")

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        """R `reward (g,)`, π of this step `weights (g,)`, `step (1,)`, and the domains."""
        state = of_domains("odm", signals, rng)
        first = shares(state)
        if len(first) < 2:
            raise InputError(
                "odm chooses among domains and needs two or more; got one: name the field that tells them apart"
            )
        return {**state, "reward": np.zeros(len(first)), "weights": first, "step": np.zeros(1, np.int64)}

    def propose(
        self, state: State, size: int, pending: Int64[np.ndarray, "r"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "b"]:
        """The next rows of one domain, drawn by the weights."""
        weights = state["weights"]
        return next_rows(state, np.full(size, rng.choice(len(weights), p=weights)), pending)

    def draw(
        self, state: State, rows: Int64[np.ndarray, "b"], previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[Int64[np.ndarray, "k"], State]:
        """The first `size` of them, and π `weights (g,)`."""
        return rows[:size], {"weights": state["weights"]}

    def update(self, state: State, rows: Int64[np.ndarray, "k"], drawn_with: State, measured: Signals) -> State:
        """One step of the bandit; InputError for a loss that is missing or not finite."""
        step = int(state["step"][0]) + 1
        losses, told = losses_of("odm", state, rows, measured.columns)
        reward = self._reward(state["reward"], losses, told, drawn_with["weights"], step)
        taken, weights = counted(state, rows), self._weights(state, reward, step)
        return {**state, "taken": taken, "reward": reward, "weights": weights, "step": np.array([step])}

    def _reward(
        self,
        reward: Float64[np.ndarray, "g"],
        losses: Float64[np.ndarray, "g"],
        told: Bool[np.ndarray, "g"],
        drawn_with: Float64[np.ndarray, "g"],
        step: int,
    ) -> Float64[np.ndarray, "g"]:
        """R after the losses of some domains, which were drawn with these weights."""
        if self.variant != "paper" and step <= self.warmup:
            return reward
        if self.variant == "reference":
            return np.where(told, reward + losses / _SCALE / drawn_with, reward)
        gained = losses / drawn_with if self.variant == "paper" else losses
        return np.where(told, self.smoothing * reward + (1 - self.smoothing) * gained, reward)

    def _weights(self, state: State, reward: Float64[np.ndarray, "g"], step: int) -> Float64[np.ndarray, "g"]:
        """π of the next batch, after `step` of them."""
        late = 0 if self.variant == "paper" else 1
        if step < self.warmup + late:
            return shares(state)
        now, before = step + 1 - late, step - late
        before = 0 if late and step == self.warmup + 1 else before  # the code's first update: no ε was computed yet
        count, current = len(reward), rate(now, len(reward))
        return (1 - count * current) * gibbs(rate(before, count) * reward) + current


def rate(step: int, domains: int) -> float:
    """ε_t: how much every domain gets at least, and how fast the weights move.

    >>> rate(0, 4), rate(1, 4), round(rate(100, 4), 4)
    (0.25, 0.25, 0.0589)
    """
    return min(1 / domains, float(np.sqrt(np.log(domains) / (domains * step)))) if step else 1 / domains
