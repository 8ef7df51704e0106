"""A linear model over hashed words and word n-grams: what the learned quality methods share.

    x_j(d) = z_j(d) / sqrt(L(d))     z_j = 1 where an n-gram of orders 1..n of document d falls into bucket j, L = Σ_j z_j
    f(d)   = b + Σ_j w_j x_j(d)      w, b minimise |w|² / 2 + b² / 2 + Σ_i C c_i loss(f(d_i), y_i)

`loss` is logistic for two classes and squared for ratings; c_i are weights of the rows with mean 1, C is the `cost`. As
in fastText, the model that DCLM and Ultra-FineWeb filter with, a document is the mean of its n-grams and the model is
linear in them; but a word that is said twice counts once, a document has length 1 in x and not in words, and instead of
following a gradient at some learning rate the optimum itself is found (`kernels.linear`), so nothing needs tuning but C.

How well it does is measured on documents that it was not trained on: these are cut into 1 / held_out folds by a hash of
(key, content), so copies of a text lie in one fold, and as many folds are held out in turn as give ENOUGH documents.

Source: Joulin et al., Bag of tricks for efficient text classification, 2016, https://arxiv.org/abs/1607.01759; Li et
al., DataComp-LM, 2024, https://arxiv.org/abs/2406.11794; Wang et al., Ultra-FineWeb, 2025,
https://arxiv.org/abs/2505.05427.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt32, UInt64

from assay.errors import InputError, RecipeError
from assay.kernels.draws import uniform
from assay.kernels.linear import logistic_pass, products, squared_pass
from assay.kernels.ngrams import list_ngrams
from assay.kernels.ngrams_extra import list_presence, score_presence
from assay.types import Batch, Texts

COSTS = {
    "logistic": (3.0, 10.0, 30.0, 100.0),
    "squared": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
}  # tried where none is given
ENOUGH = 1000  # held-out documents of the rarer class: the AUC's standard error is then about 0.01 or less
CUT = 16_384  # bytes of a training document that are looked at, so that a sample of long documents stays small
_CLOSE = 3e-3  # largest |change of a dual variable| / C in a pass that ends the training
_SLICE = 2_000  # documents whose n-grams are listed at a time


@final
@dataclass(frozen=True)
class LinearConfig:
    """What the methods have in common; they document it. Raises RecipeError where a number is out of its range.

    >>> LinearConfig("toxicity", 2, 1 << 18, 20, 50_000, 0.1, 0.0).folds
    10
    """

    method: str
    word_ngrams: int
    buckets: int
    epochs: int
    examples: int
    held_out: float
    cost: float

    def __post_init__(self) -> None:
        ranges = (
            ("word_ngrams", 1, 8), ("buckets", 2, 1 << 26), ("epochs", 1, 1000), ("examples", 10, 10_000_000),
            ("held_out", 0.01, 0.5), ("cost", 0, 1e6),
        )  # fmt: skip
        for name, least, most in ranges:
            if not least <= getattr(self, name) <= most:
                raise RecipeError(
                    f"{self.method}: {name} must be from {least} to {most:.9g}; got {getattr(self, name)}"
                )

    @property
    def folds(self) -> int:
        """How many folds a share of `held_out` each makes."""
        return max(2, round(1 / self.held_out))


@final
@dataclass(frozen=True)
class Examples:
    """Training documents as their distinct buckets: document i has `picks[ends[i] : ends[i + 1]]`."""

    picks: UInt32[np.ndarray, "r"]
    ends: Int64[np.ndarray, "b_plus_1"]
    hashes: UInt64[np.ndarray, "b"]

    @classmethod
    def of(cls, texts: Texts, hashes: UInt64[np.ndarray, "b"], config: LinearConfig) -> Examples:
        """The first 16 KB of each text, hashed."""
        picks, sizes = [], [np.zeros(1, np.int64)]
        for start in range(0, len(texts), _SLICE):
            cut = cut_texts(texts, start, min(start + _SLICE, len(texts)))
            found, ends = list_presence(cut.data, cut.offsets, config.word_ngrams, config.buckets)
            picks.append(found)
            sizes.append(np.diff(ends))
        ends = np.cumsum(np.concatenate(sizes), dtype=np.int64)
        return cls(np.concatenate(picks) if picks else np.zeros(0, np.uint32), ends, hashes)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def present(self) -> Bool[np.ndarray, "b"]:
        """Which documents hold a token at all."""
        return np.diff(self.ends) > 0


def cut_texts(texts: Texts, start: int, stop: int) -> Texts:
    """The first 16 KB of the texts from `start` to `stop`."""
    spans = zip(texts.offsets[start:stop], texts.sizes[start:stop], strict=True)
    return Texts.of_bytes([texts.data[at : at + min(size, CUT)].tobytes() for at, size in spans])


def in_content_order(batch: Batch, values: Float64[np.ndarray, "b"]) -> tuple[Batch, Float64[np.ndarray, "b"]]:
    """A sample and its values, sorted by content, so that neither layout nor order of the pool reaches the training."""
    order = np.lexsort((values, batch.hashes))
    return Batch(batch.rows[order], batch.hashes[order], {"text": batch.text.take(order)}), values[order]


@final
@dataclass(frozen=True)
class Task:
    """What is to be learnt: `aims (b,)` (signs for the logistic loss, numbers for the squared), weighted."""

    examples: Examples
    aims: Float64[np.ndarray, "b"]
    weights: Float64[np.ndarray, "b"]
    loss: Literal["logistic", "squared"]
    config: LinearConfig

    def train(self, rows: Int64[np.ndarray, "k"], cost: float, key: int) -> tuple[Float64[np.ndarray, "d_plus_1"], int]:
        """w, with b last, from some rows; and how many passes it took. The order of visits comes from `key`."""
        step = logistic_pass if self.loss == "logistic" else squared_pass
        weights, duals = np.zeros(self.config.buckets + 1), np.zeros(len(self.examples))
        costs, rng = np.maximum(cost * self.weights, 1e-12), np.random.default_rng(key)
        limit = _CLOSE * (1.0 if self.loss == "logistic" else float(np.abs(self.aims).max(initial=1.0)))
        for epoch in range(1, self.config.epochs + 1):
            order = rng.permutation(rows)
            moved = step(self.examples.picks, self.examples.ends, self.aims, costs, order, duals, weights)
            if moved < limit:
                return weights, epoch
        return weights, self.config.epochs

    def folds(self, key: int, rarer: int) -> Int64[np.ndarray, "b"]:
        """The fold of each row, -1 for those that need not be held out because others give ENOUGH of the `rarer`."""
        folds = (uniform(key, self.examples.hashes) * self.config.folds).astype(np.int64)
        used = min(self.config.folds, -(-ENOUGH * self.config.folds // max(rarer, 1)))
        return np.where(folds < used, folds, -1)

    def held_out(
        self, folds: Int64[np.ndarray, "b"], key: int
    ) -> tuple[Int64[np.ndarray, "k"], dict[float, Float64[np.ndarray, "k"]]]:
        """The rows of the folds, and for each cost what models say of them that were not trained on their fold."""
        tested = np.flatnonzero(folds >= 0)
        costs = (self.config.cost,) if self.config.cost else COSTS[self.loss]
        found = {cost: np.zeros(len(tested)) for cost in costs}
        for fold in np.unique(folds[tested]):
            rest, inside = np.flatnonzero(folds != fold), folds[tested] == fold
            for cost, values in found.items():
                weights, _ = self.train(rest, cost, key)
                values[inside] = products(self.examples.picks, self.examples.ends, weights)[tested[inside]]
        return tested, found


def require_text(count: int, what: str, config: LinearConfig) -> None:
    """Raise InputError where there are too few documents of a kind to learn from."""
    if count < 2:
        raise InputError(f"{config.method} needs at least 2 {what} with a word in them; got {count}")


def linear(
    texts: Texts, word_ngrams: int, weights: Float32[np.ndarray, "d"], intercept: float
) -> Float64[np.ndarray, "b"]:
    """f of every text; NaN for one without a token.

    >>> linear(Texts.of(["", "fine words"]), 1, np.full(8, 0.5, np.float32), 1.0).round(3).tolist()
    [nan, 1.707]
    """
    sums, totals = score_presence(texts.data, texts.offsets, word_ngrams, weights)
    return np.where(totals > 0, intercept + sums / np.sqrt(np.maximum(totals, 1)), np.nan)


def pulls(texts: Texts, word_ngrams: int, weights: Float32[np.ndarray, "d"], top: int) -> list[tuple[str, float]]:
    """The n-grams of largest summed |w_j x_j| over the first 16 KB of each text; of equals the alphabet's first."""
    found: dict[str, float] = {}
    for text in cut_texts(texts, 0, len(texts)):
        encoded, grams = text.encode("utf-8"), {}
        for bucket, start, stop in list_ngrams(encoded, word_ngrams, len(weights)):
            grams.setdefault(bucket, " ".join(encoded[start:stop].decode("utf-8", "replace").lower().split()))
        for bucket, gram in grams.items():
            found[gram] = found.get(gram, 0.0) + float(weights[bucket]) / len(grams) ** 0.5
    return sorted(found.items(), key=lambda pull: (-abs(pull[1]), pull[0]))[:top]
