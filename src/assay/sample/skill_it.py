"""Skill-It: rows of each skill in proportion to the losses of the skills that it helps, in rounds.

    p_i ∝ prior_i · exp(η Σ_τ Σ_j A_ij L_j(τ))         τ the last `window` rounds, restarted from the prior every round
    p_i ∝ prior_i · exp(η Σ_j A_ij)                    at first, as if every loss were 1

A is the skills graph, A_ij > 0 where training on skill i lowers the loss of skill j (i a prerequisite of j); skills are the
domains of the rows. L_j is the validation loss of skill j at the end of a round of `every` batches, which the training loop
measures: the column `domain_loss (k, g)` of `update`, the same in each row, NaN where it was not measured. A loop that measures
none gives the training loss of each row instead: L_j is then the mean over the round's rows of j. A skill without a loss in a
round keeps the last one, and at first has the mean of those that have one.

Where the authors' code differs it is offered as `reference`: off-diagonal ones of A become 1/2; with `targets` (skills that
count, a subset of the columns of A) the window's losses are averaged, not summed; the losses at first are the prior's numbers
(n_i / Σn · g) unless there are targets.

Guarantee: weights sum to 1; losses of any size overflow nothing; rows of a skill come without repetition until it is exhausted.
Source: Chen, Roberts, Bhatia, Wang, Zhang, Sala, Ré, Skill-it! A Data-Driven Skills Framework for Understanding and Training
Language Models, 2023, https://arxiv.org/abs/2307.14430, and its code, https://github.com/HazyResearch/skill-it (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Sampler, State
from assay.errors import InputError, RecipeError
from assay.sample._parts import counted, gibbs, losses_of, next_rows, of_domains, shares
from assay.types import Signals

_VARIANTS, _PRIORS = ("paper", "reference"), ("uniform", "size")


@final
@dataclass(frozen=True)
class SkillIt(Sampler):
    """Multiplicative weights over skills, through a graph of which skill helps which.

    graph      A: rows of numbers, none negative; row i says what skill i helps (empty: each helps itself)
    targets    the skills whose losses count, by number (empty: all)
    eta        η (the paper: 0.5 on LEGO, 0.2 out of domain)
    window     rounds whose losses are summed
    every      batches in a round
    prior      uniform, or size: in proportion to the rows of each skill
    variant    paper or reference, as above

    >>> signals = Signals({"source": np.array([0, 1])})
    >>> SkillIt(graph=((1, 1), (0, 1)), eta=1.0).init(2, signals, np.random.default_rng(0))["weights"].round(3).tolist()
    [0.731, 0.269]
    """

    needs: ClassVar[tuple[str, ...]] = ("source",)
    measures: ClassVar[tuple[str, ...]] = ("loss", "domain_loss")
    paper: ClassVar[str] = "https://arxiv.org/abs/2307.14430"

    graph: tuple[tuple[float, ...], ...] = ()
    targets: tuple[int, ...] = ()
    eta: float = 0.5
    window: int = 3
    every: int = 100
    prior: str = "uniform"
    variant: str = "paper"

    def __post_init__(self) -> None:
        for name, words in (("variant", _VARIANTS), ("prior", _PRIORS)):
            if getattr(self, name) not in words:
                raise RecipeError(f"skill_it: {name} must be one of {', '.join(words)}; got {getattr(self, name)!r}")
        for name in ("window", "every"):
            if getattr(self, name) < 1:
                raise RecipeError(f"skill_it: {name} must be 1 or more; got {getattr(self, name)}")
        if not self.eta > 0:
            raise RecipeError(f"skill_it: eta must be above 0; got {self.eta}")

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        """p `weights (g,)`, `prior (g,)`, losses of the last rounds `history (r, g)`, sums of this round, and the domains."""
        state = of_domains("skill_it", signals, rng)
        count = len(state["taken"])
        prior = np.ones(count) if self.prior == "uniform" else shares(state) * count
        first = prior if self.variant == "reference" and not self.targets else np.ones(count)
        weights = self._weights(self._graph(count), prior, first)
        history = np.zeros((0, count))
        return {
            **state,
            **_nothing(count),
            "prior": prior,
            "history": history,
            "weights": weights,
            "step": np.zeros(1, np.int64),
        }

    def propose(
        self, state: State, size: int, pending: Int64[np.ndarray, "r"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "b"]:
        """Rows whose skills are drawn one by one."""
        weights = state["weights"]
        return next_rows(state, rng.choice(len(weights), size, p=weights), pending)

    def update(self, state: State, rows: Int64[np.ndarray, "k"], drawn_with: State, measured: Signals) -> State:
        """Gather losses; at the end of a round the weights of the next. InputError for a loss that is missing or not finite."""
        step = int(state["step"][0]) + 1
        moved = {**state, **self._gathered(state, rows, measured), "taken": counted(state, rows)}
        moved["step"] = np.array([step])
        if step % self.every:
            return moved
        history = np.concatenate([state["history"], self._round(moved)[None]])[-self.window :]
        losses = history.mean(0) if self.variant == "reference" and self.targets else history.sum(0)
        weights = self._weights(self._graph(len(losses)), state["prior"], losses)
        return {**moved, **_nothing(len(losses)), "history": history, "weights": weights}

    def _gathered(self, state: State, rows: Int64[np.ndarray, "k"], measured: Signals) -> dict[str, np.ndarray]:
        """The round's losses so far: sums over the rows trained on, and what was validated."""
        found = {name: state[name] for name in ("sums", "numbers", "validated")}
        if "domain_loss" in measured.columns:
            told = np.asarray(measured["domain_loss"], np.float64)[0]
            if np.isinf(told).any():
                raise InputError(
                    "skill_it needs finite losses; got inf: go back to a checkpoint and lower the learning rate"
                )
            found["validated"] = np.where(np.isnan(told), found["validated"], told)
        if "loss" in measured.columns:
            means, _ = losses_of("skill_it", state, rows, measured.columns)
            number = np.bincount(state["source"][rows], minlength=len(means))
            found |= {"sums": found["sums"] + means * number, "numbers": found["numbers"] + number}
        return found

    def _round(self, state: State) -> Float64[np.ndarray, "g"]:
        """L of the round that ends: validated, or else trained, or else as before."""
        trained = np.where(state["numbers"] > 0, state["sums"] / np.maximum(state["numbers"], 1), np.nan)
        losses = np.where(np.isnan(state["validated"]), trained, state["validated"])
        known = ~np.isnan(losses)
        if not known.any():
            raise InputError(
                f"skill_it needs losses within every round of {self.every} batches; none was reported in this one"
            )
        old = state["history"][-1] if len(state["history"]) else np.full(len(losses), losses[known].mean())
        return np.where(known, losses, old)

    def _graph(self, count: int) -> Float64[np.ndarray, "g g"]:
        """A, with zeros for skills that are no target."""
        graph = np.array(self.graph, np.float64) if self.graph else np.eye(count)
        if graph.shape != (count, count) or not (graph >= 0).all():
            raise RecipeError(
                f"skill_it: graph must be {count} rows of {count} numbers, none negative; got shape {graph.shape}"
            )
        if self.variant == "reference":
            graph = np.where((graph == 1) & ~np.eye(count, dtype=bool), 0.5, graph)
        if not all(0 <= one < count for one in self.targets):
            raise RecipeError(f"skill_it: targets must be skills from 0 to {count - 1}; got {self.targets}")
        counts = np.isin(np.arange(count), self.targets) if self.targets else np.ones(count, bool)
        return graph * counts

    def _weights(
        self, graph: Float64[np.ndarray, "g g"], prior: Float64[np.ndarray, "g"], losses: Float64[np.ndarray, "g"]
    ) -> Float64[np.ndarray, "g"]:
        """p after these losses: always from the prior, never from the weights before."""
        return gibbs(np.log(prior) + self.eta * graph @ losses)


def _nothing(count: int) -> dict[str, np.ndarray]:
    """A round in which nothing was measured yet."""
    return {"sums": np.zeros(count), "numbers": np.zeros(count, np.int64), "validated": np.full(count, np.nan)}
