"""RegMix: train many small models on random mixtures, learn which mixture reaches which loss, and ask for the best.

    tried      T = {w_1, ..., w_n},   w ~ Dirichlet(s q),   q = p^(1/2) / sum p^(1/2),   s one of 15 from 0.1 to 5 (evenly in log s)
               kept where w <= 15 p; parts below 1/5000 are zero, the others whole multiples of it; no mixture twice
    learnt     f = boosted trees, w -> loss, at a small rate, which stop growing by held-out trials
    answer     the mean of the 128 of 100,000 draws from Dirichlet(p) for which f is smallest

p are the domains' shares of the pool. With several losses each has its own f, and the mean of them counts. Every draw is first
moved to the nearest mixture that the domains can supply (`kernels/projection.py`; one that they can supply stays), so the
mean is one that they can supply too: the answer is always feasible.

`weights` is told the largest weight of each domain, `limits`. Where these are finite they are the domains' sizes times one
factor, so p follows from them; where the sizes are unknown (infinite limits) the mean of the trials stands for p.

Two readings, by `variant`. `paper`: a share of the trials, drawn by chance, says how many trees there are, then all trials grow
that many; rounding leaves each mixture's sum at one. `reference`, the released code: the last share of the trials says when to
stop and is never learnt from; where these are also the trials on which a rank correlation is then reported, as there, that
number is too good. Mixtures are rounded part by part, so that their sums miss one by up to 0.3 %, and scaled afterwards.

A leaf holds 20 trials at least, so trees cannot tell fewer than 40 apart: they predict a constant, and that is refused.
Checked on the authors' 512 runs: 13 rank correlations and 17 weights as published (tests/mix/test_regmix.py).
Source: Liu et al. 2024, RegMix, https://arxiv.org/abs/2407.01492; released code https://github.com/sail-sg/regmix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Float64, Int64

from assay.contracts import Forecaster, Mixer
from assay.errors import InputError, RecipeError
from assay.kernels.projection import onto_capped_simplex
from assay.models.boosted_trees import LEAF, BoostedTrees
from assay.types import Mixture, Trials

_STRENGTHS = np.logspace(np.log10(0.1), np.log10(5), 15)
_GRID = 5000  # the smallest part of a mixture is one of so many: 100 documents of the published proxies
_DRAWS = 100  # draws for each mixture that is wanted: caps refuse some, and rounding makes some equal
_CLOSE = 1e-5


@final
@dataclass(frozen=True)
class RegMix(Mixer, Forecaster):
    """Regression on trials by boosted trees.

    tried      mixtures to try
    caps       a mixture tried has at most so many times a domain's share of the pool
    rounds     trees, at most
    rate       learning rate of the trees
    patience   growth ends when so many trees in a row have not helped on held-out trials
    held       the share of trials held out to stop the growth
    samples    mixtures of which the best are looked for
    best       how many of them are averaged
    variant    `paper` or `reference` (the released code)

    >>> domains = Mixture(("code", "web"), np.array([0.2, 0.8]))
    >>> method, rng = RegMix(tried=100, samples=2000, best=20), np.random.default_rng(0)
    >>> spent = np.stack([one.weights for one in method.propose(domains, None, rng)])
    >>> trials = Trials(domains.domains, spent, (spent[:, :1] - 0.6) ** 2)  # code at 0.6 is best
    >>> bool(abs(method.weights(trials, np.array([1.0, 4.0]), rng).weights[0] - 0.6) < 0.1)
    True
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2407.01492"

    tried: int = 512
    caps: float = 15.0
    rounds: int = 1000
    rate: float = 0.01
    patience: int = 3
    held: float = 0.2
    samples: int = 100_000
    best: int = 128
    variant: Literal["paper", "reference"] = "paper"

    def __post_init__(self) -> None:
        if self.variant not in ("paper", "reference"):
            raise RecipeError(f"regmix: variant must be paper or reference; got {self.variant!r}")
        if not (self.tried >= 1 and self.rounds >= 1 and self.caps >= 1 and 1 <= self.best <= self.samples):
            raise RecipeError(
                "regmix: tried, rounds and caps must be at least 1, and best from 1 to samples; got "
                f"{self.tried}, {self.rounds}, {self.caps:g}, {self.best} and {self.samples}"
            )
        if not 0 < self.held < 1:
            raise RecipeError(f"regmix: held must be a share of the trials between 0 and 1; got {self.held:g}")

    def propose(self, domains: Mixture, trials: Trials | None, rng: np.random.Generator) -> list[Mixture]:
        """At most `tried` distinct mixtures, in an order of chance; fewer where the domains allow no more."""
        prior = domains.weights
        drawn = _drawn(prior, self.tried * _DRAWS, rng)
        drawn = drawn[(drawn <= np.minimum(self.caps * prior, 1.0)).all(axis=1)]
        drawn = np.where(drawn < 1 / _GRID, 0.0, drawn)
        drawn = drawn / drawn.sum(axis=1, keepdims=True)
        whole = whole_parts(drawn) if self.variant == "paper" else np.round(drawn * _GRID).astype(np.int64)
        distinct = np.unique(whole, axis=0)
        chosen = distinct[rng.permutation(len(distinct))[: self.tried]]
        return [Mixture(domains.domains, parts / parts.sum()) for parts in chosen]

    def weights(self, trials: Trials, limits: Float[np.ndarray, "g"], rng: np.random.Generator) -> Mixture:
        """The mean of the best simulated mixtures; raises InputError where there are too few trials to tell them apart."""
        prior = _prior(trials, limits)
        grown = self._grown(trials, rng)
        samples = np.zeros((self.samples, len(prior)))
        samples[:, prior > 0] = rng.dirichlet(prior[prior > 0], self.samples)
        samples = onto_capped_simplex(samples, limits)
        order = np.argsort(_mean(grown, samples), kind="stable")
        answer = onto_capped_simplex(samples[order[: self.best]].mean(axis=0)[None], limits)[0]
        return Mixture(trials.names, answer)

    def forecast(
        self, trials: Trials, mixtures: Float[np.ndarray, "k g"], rng: np.random.Generator
    ) -> Float64[np.ndarray, "k t"]:
        """The losses (k, t) that other mixtures (k, g) would reach, as learnt from the trials."""
        return np.stack([trees.predict(mixtures) for trees in self._grown(trials, rng)], axis=1)

    def _grown(self, trials: Trials, rng: np.random.Generator) -> list[BoostedTrees]:
        """The trees of each loss."""
        least = int(np.ceil(2 * LEAF / (1 - self.held)))
        if len(trials) < least:
            raise InputError(
                f"regmix needs at least {least} trials, because its trees cannot tell fewer apart; got {len(trials)}: try more "
                "mixtures, or use data_mixing_law, which gets along with fewer"
            )
        held = round(self.held * len(trials))
        order = np.arange(len(trials)) if self.variant == "reference" else rng.permutation(len(trials))
        return [self._of_one(trials.spent, losses, order, held) for losses in trials.losses.T]

    def _of_one(
        self,
        spent: Float64[np.ndarray, "r g"],
        losses: Float64[np.ndarray, "r"],
        order: Int64[np.ndarray, "r"],
        held: int,
    ) -> BoostedTrees:
        """The trees of one loss."""
        learnt, stop = order[: len(order) - held], order[len(order) - held :]
        trees = BoostedTrees.grown(
            spent[learnt], losses[learnt], self.rounds, self.rate, (spent[stop], losses[stop]), self.patience
        )
        if self.variant == "reference":
            return trees
        return BoostedTrees.grown(spent, losses, trees.rounds, self.rate)


def _mean(grown: Sequence[BoostedTrees], mixtures: Float64[np.ndarray, "k g"]) -> Float64[np.ndarray, "k"]:
    return np.mean([trees.predict(mixtures) for trees in grown], axis=0)


def _prior(trials: Trials, limits: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """The domains' shares of the pool, from limits in proportion to their sizes; or the mean of the trials."""
    known = limits if np.isfinite(limits).all() else trials.spent.mean(axis=0)
    return known / known.sum()


def _drawn(prior: Float64[np.ndarray, "g"], draws: int, rng: np.random.Generator) -> Float64[np.ndarray, "r g"]:
    """Draws around the tempered prior, each of a strength drawn by chance; a domain without data has no part."""
    tempered = np.sqrt(prior) / np.sqrt(prior).sum()
    found, living = np.zeros((draws, len(prior))), prior > 0
    counts = rng.multinomial(draws, np.full(len(_STRENGTHS), 1 / len(_STRENGTHS)))
    found[:, living] = np.concatenate(
        [rng.dirichlet(strength * tempered[living], count) for strength, count in zip(_STRENGTHS, counts, strict=True)]
    )
    return found


def whole_parts(weights: Float64[np.ndarray, "r g"]) -> Int64[np.ndarray, "r g"]:
    """Each row in whole parts that sum to 5000: floors, and what is left to the largest fractions.

    >>> whole_parts(np.array([[0.33333, 0.33333, 0.33334]])).tolist()
    [[1667, 1666, 1667]]
    """
    exact = weights * _GRID
    parts = np.floor(exact + _CLOSE).astype(np.int64)
    place = np.argsort(np.argsort(parts - exact, axis=1, kind="stable"), axis=1, kind="stable")
    return parts + (place < (_GRID - parts.sum(axis=1))[:, None])
