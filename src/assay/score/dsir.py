"""DSIR, made fit for small targets: shrunken n-gram log importance weights, and a length rule proven on held-out text.

    z_j(x) = 1 where an n-gram of orders 1..n of document x falls into bucket j, else 0;   L(x) = Σ_j z_j(x)
    t_j    = Σ_{x in target} z_j(x),   p_j = Σ_{x in pool and target} z_j(x),   e_j = p_j Σ t / Σ p
    w_j    = log (t_j + a) / (e_j + a)          posterior mean of p̂_j / q̂_j under t_j ~ Poisson(r e_j), r ~ Gamma(a, a)
    s(x)   = Σ_j (w_j − m) z_j(x) / (L(x) + c)  m = Σ_j p_j w_j / Σ p, the pool's mean weight

`length` chooses the denominator: `sum` is Σ w_j z_j(x) as in the paper, `mean` divides it by L(x), `held_out` is the
above: a mean drawn to the pool's by c imaginary n-grams, so that few words prove little (Bühlmann's credibility).
Then a and c are those under which held-out target ranks highest in the pool: each target document is scored by the
counts of all the others, r(x) is the share of the pool's bytes (of a sample) that score at least as high, and the mean
of log (r(x) + 1/100) over the target's bytes should be low: by how much lower than under a = 0.3 and c = 20, less one
standard error of the difference, decides. Nothing but target and pool is looked at.

In the paper w = log p̂/q̂ of total counts, summed. A target of sixty documents leaves most buckets empty, p̂ = 0 makes
them count as −18, and short documents win. Here what is rare says little, present or absent (w → 0 as e_j, t_j → 0);
a word that a document repeats counts once, because words come in bursts. `dsir_reference` is the package's formula.

Guarantee: counts are integers and the sample follows content, so neither workers nor layout change a weight. A document
without a token has no score (NaN).
Source: Xie, Santurkar, Ma, Liang, Data Selection for Language Models via Importance Resampling, 2023,
https://arxiv.org/abs/2302.03169; held-out estimation: Jelinek and Mercer, Interpolated estimation of Markov source
parameters from sparse data, 1980; credibility: Bühlmann, 1967, https://doi.org/10.1017/S0515036100008989.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from assay.contracts import Explainer, Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.kernels.ngrams import list_ngrams
from assay.kernels.ngrams_extra import count_presence, list_presence, score_presence
from assay.types import Batch, Fitted, Texts

# What is tried, and what is taken where the target is too small to tell; LOG.md has the figures.
_SMOOTHINGS = (0.03, 0.1, 0.3, 1.0, 3.0)
_PRIORS = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0)  # below ten, scraps of a few words can win
_USUAL = (0.3, 20.0)
_FEWEST = 8  # target documents; fewer cannot vote
_CUT = 16_384  # bytes of a sampled document that are looked at, so that a sample of long documents stays small
_CAUTION = 1.0  # standard errors by which a setting's lead over the usual one is discounted
_RESOLUTION = 0.01  # ranks within the best hundredth of the pool count as nearly the same
_LENGTHS = ("held_out", "mean", "sum")
_Length = tuple[float, float, float]  # m, and the two parts of the denominator


@final
@dataclass(frozen=True)
class Dsir(Scorer, Explainer):
    """Hashed n-gram importance weights, shrunk where the target says little.

    `n` is the longest n-gram in tokens (1 to 8) and `buckets` the size of the table (2 to 2^28; the paper has 10,000);
    `smoothing` is a, in documents (0: chosen on held-out target); `length` is the rule above; `sample` is how many rows
    of pool and of target the held-out choice looks at (100 to 1,000,000).

    >>> Dsir(length="sum").smoothing
    0.0
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2302.03169"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)

    n: int = 2
    buckets: int = 1 << 18
    smoothing: float = 0.0
    length: str = "held_out"
    sample: int = 4096

    def __post_init__(self) -> None:
        for name, least, most in (("n", 1, 8), ("buckets", 2, 1 << 28), ("smoothing", 0, 1e9), ("sample", 100, 1e6)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"dsir: {name} must be from {least} to {most:.9g}; got {getattr(self, name)}")
        if self.length not in _LENGTHS:
            raise RecipeError(f"dsir: length must be one of {', '.join(_LENGTHS)}; got {self.length!r}")

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """w `weights (d,)`, and `length (3,)`: what a bucket costs, and the two parts of the denominator.

        Raises InputError where there is no target, or pool or target has no token.
        """
        if target is None:
            raise InputError("dsir needs a target, some documents like those that you want; name it with --target")
        raw, aim = (rows.reduce(_Count(self.n, self.buckets), operator.add) for rows in (pool, target))
        for name, counts in (("pool", raw), ("target", aim)):
            if not counts.any():
                raise InputError(f"dsir needs a {name} with at least one word; got none in its text field")
        table = _Table(aim, raw + aim)
        (smoothing, prior), rank = self._settle(table, pool, target)
        weights = table.weights(smoothing)
        length = {"mean": (0.0, 0.0, 1.0), "sum": (0.0, 1.0, 0.0)}.get(self.length, _length(table.mean(weights), prior))
        notes = {
            "smoothing": smoothing, "prior_length": prior if math.isfinite(prior) else "infinite",
            "held_out_rank": rank, "pool_ngrams": int(raw.sum()), "target_ngrams": int(aim.sum()),
        }  # fmt: skip
        return Fitted({"weights": weights, "length": np.array(length)}, notes)

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row; NaN for one without a token."""
        sums, totals = score_presence(batch.text.data, batch.text.offsets, self.n, fitted.arrays["weights"])
        return _normalise(sums, totals, tuple(fitted.arrays["length"].tolist()))

    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The n-grams of largest summed w − m over the first 16 KB of each text; of equals the alphabet's first."""
        centre, pulls = float(fitted.arrays["length"][0]), {}
        for text in _cut(texts):
            encoded, seen = text.encode("utf-8"), set()
            for bucket, start, stop in list_ngrams(encoded, self.n, self.buckets):
                if bucket not in seen:
                    seen.add(bucket)
                    gram = " ".join(encoded[start:stop].decode("utf-8", "replace").lower().split())
                    pulls[gram] = pulls.get(gram, 0.0) + float(fitted.arrays["weights"][bucket]) - centre
        return sorted(pulls.items(), key=lambda pull: (-abs(pull[1]), pull[0]))[:top]

    def _settle(self, table: _Table, pool: Rows, target: Rows) -> tuple[tuple[float, float], float | None]:
        """(a, c), and the geometric mean of the held-out ranks where they were looked at."""
        smoothings = (self.smoothing,) if self.smoothing else _SMOOTHINGS
        priors = {"mean": (0.0,), "sum": (math.inf,)}.get(self.length, _PRIORS)
        usual = (self.smoothing or _USUAL[0], priors[0] if len(priors) == 1 else _USUAL[1])
        if len(smoothings) == len(priors) == 1:
            return usual, None
        aims, rows = target.sample(self.sample), pool.sample(self.sample)
        trial = _Trial.of(self, rows.text.take(~np.isin(rows.hashes, aims.hashes)), aims.text)
        if len(trial.held_bytes) < _FEWEST or not trial.sizes.any():
            return usual, None
        found = [(a, trial.ranks(table, a, priors, self.length == "sum")) for a in smoothings]
        ranks = {(a, c): rank for a, each in found for c, rank in zip(priors, each, strict=True)}
        best = max(ranks, key=lambda setting: trial.lead(ranks[setting], ranks[usual]))
        return best, math.exp(trial.mean(ranks[best]))


@final
@dataclass(frozen=True)
class _Table:
    """t `aim (d,)` and p `background (d,)`."""

    aim: Int64[np.ndarray, "d"]
    background: Int64[np.ndarray, "d"]

    @property
    def expected(self) -> Float64[np.ndarray, "d"]:
        """e: what the target would hold were it like the pool."""
        return self.background * (self.aim.sum() / self.background.sum())

    def weights(self, smoothing: float) -> Float32[np.ndarray, "d"]:
        """w."""
        return np.log((self.aim + smoothing) / (self.expected + smoothing)).astype(np.float32)

    def mean(self, weights: Float32[np.ndarray, "d"]) -> float:
        """m."""
        return float((self.background * weights.astype(np.float64)).sum() / self.background.sum())


@final
@dataclass(frozen=True)
class _Trial:
    """A sample of the pool, and target documents of which each is held out in turn."""

    scorer: Dsir
    rows: Texts
    sizes: Int64[np.ndarray, "b"]
    picks: Int64[np.ndarray, "r"]
    owners: Int64[np.ndarray, "r"]
    held_bytes: Int64[np.ndarray, "t"]

    @classmethod
    def of(cls, scorer: Dsir, rows: Texts, held: Texts) -> _Trial:
        cut = _cut(held)
        picks, ends = list_presence(cut.data, cut.offsets, scorer.n, scorer.buckets)
        totals = np.diff(ends)
        owners = np.repeat(np.arange(int((totals > 0).sum())), totals[totals > 0])
        return cls(scorer, _cut(rows), rows.sizes, picks.astype(np.int64), owners, held.sizes[totals > 0])

    def ranks(self, table: _Table, smoothing: float, priors: tuple[float, ...], plain: bool) -> list[np.ndarray]:
        """For every c the log ranks (t,) of the held-out documents; `plain` sums are not centred."""
        weights = table.weights(smoothing)
        centre = 0.0 if plain else table.mean(weights)
        sums, totals = score_presence(self.rows.data, self.rows.offsets, self.scorer.n, weights)
        others = np.maximum(table.aim[self.picks] - 1, 0)  # A document cut within a word shows one that nobody has.
        pulls = np.log((others + smoothing) / (table.expected[self.picks] + smoothing))
        held_sums, held_totals = np.bincount(self.owners, pulls), np.bincount(self.owners)
        two = ((sums, totals), (held_sums, held_totals))
        return [self._log_ranks(*(_normalise(*each, _length(centre, prior)) for each in two)) for prior in priors]

    def mean(self, values: Float64[np.ndarray, "t"]) -> float:
        """Over the target's bytes."""
        return float((values * self.held_bytes).sum() / self.held_bytes.sum())

    def lead(self, ranks: Float64[np.ndarray, "t"], usual: Float64[np.ndarray, "t"]) -> float:
        """By how much the ranks are better than the usual ones, less a standard error of that."""
        gains = usual - ranks
        error = math.sqrt((((gains - self.mean(gains)) * self.held_bytes) ** 2).sum()) / self.held_bytes.sum()
        return self.mean(gains) - _CAUTION * error

    def _log_ranks(self, scores: Float64[np.ndarray, "b"], held: Float64[np.ndarray, "t"]) -> Float64[np.ndarray, "t"]:
        """log of the share of the pool's bytes that score at least as high as each held-out document."""
        scores = np.nan_to_num(scores, nan=-np.inf)
        order = np.argsort(scores, kind="stable")
        below = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.sizes[order])])
        return np.log(1 - below[np.searchsorted(scores[order], held)] / max(below[-1], 1) + _RESOLUTION)


def _length(centre: float, prior: float) -> _Length:
    """(m, c, 1), or (m, 1, 0) for c = ∞: the sum."""
    return (centre, prior, 1.0) if math.isfinite(prior) else (centre, 1.0, 0.0)


def _normalise(sums: np.ndarray, totals: np.ndarray, length: _Length) -> Float64[np.ndarray, "b"]:
    """(Σ w − m L) / (fixed + each L); NaN where L = 0."""
    centre, fixed, each = length
    return np.where(totals > 0, (sums - centre * totals) / (fixed + each * np.maximum(totals, 1)), np.nan)


def _cut(texts: Texts) -> Texts:
    """The first 16 KB of every text."""
    return Texts.of_bytes(
        [texts.data[at : at + min(size, _CUT)].tobytes() for at, size in zip(texts.offsets, texts.sizes, strict=False)]
    )


@final
@dataclass(frozen=True)
class _Count:
    """A part of the fit: in how many documents each bucket is reached."""

    n: int
    buckets: int

    def __call__(self, batch: Batch) -> Int64[np.ndarray, "d"]:
        counts = np.zeros(self.buckets, np.int64)
        count_presence(batch.text.data, batch.text.offsets, self.n, counts)
        return counts
