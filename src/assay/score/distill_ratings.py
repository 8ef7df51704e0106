"""Ratings distilled: a column of ratings on a sample, by people or a language model, is learnt and spread over the pool.

    r(d) = clip(b + Σ_j w_j z_j(d) / √L(d), least, most)    z_j = 1 where an n-gram of orders 1..word_ngrams falls into
                                                            bucket j, L = Σ_j z_j, [least, most] the range of the ratings

w and b minimise Σ_i C (r(d_i) - rating_i)² / 2 + |w|² / 2 over the rated documents: rows of the step's `target` file (such
as `assay rate` writes) whose field `rating` is a number; the others are unrated. Where there is no target, or none of
its rows is rated, they are rows of the pool. On held-out documents Spearman's rank correlation and the mean absolute
error, beside that of always guessing the median, go with the scores (`models.ratings`): read them first, for what words
cannot show is not learnt.

FineWeb-Edu rounds the prediction clamped to 0..5, halves to even (2.5 becomes 2), and keeps 3 and above. So 2.5 itself is
left out and everything above it kept: `where = "distill_ratings > 2.5"`, or with `as = "edu"`: `where = "edu > 2.5"`.

Guarantee: training follows the content of the documents, so neither workers, layout nor order of the pool change it. A
document without a word has no score (NaN).
Source: Penedo et al., The FineWeb datasets, 2024, https://arxiv.org/abs/2406.17557 (FineWeb-Edu); Sachdeva et al., How to
train data-efficient LLMs, 2024, https://arxiv.org/abs/2402.09668 (Ask-LLM). Theirs read text by a network, this one by words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64, Int64, UInt8, UInt64

from assay.contracts import Explainer, Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.models.linear import LinearConfig, cut_texts, linear, pulls
from assay.models.ratings import train_ratings
from assay.types import Batch, Fitted, Texts

_Found = tuple[UInt64[np.ndarray, "b"], Float64[np.ndarray, "b"], Int64[np.ndarray, "b"], UInt8[np.ndarray, "m"]]


@final
@dataclass(frozen=True)
class DistillRatings(Scorer, Explainer):
    """The rating that a document would get, in the units of the ratings.

    `rating` is the field that holds them (`metadata.edu_score`; `rating` in what `assay rate` writes), `word_ngrams` the
    longest n-gram in words (1 to 8), `buckets` the size of the table (2 to 2^26), `epochs` the most passes over the rated
    documents, `examples` how many of them are looked at (chosen by content), `held_out` the share that is held out at a
    time (0.01 to 0.5), `cost` the weight C of the errors against |w|²/2 (0: chosen among seven from 0.03 to 30).

    >>> DistillRatings(rating="metadata.edu_score").needs
    ('text', 'metadata.edu_score')
    """

    paper: ClassVar[str] = "https://arxiv.org/abs/2406.17557"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "optional"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)

    rating: str = "rating"
    word_ngrams: int = 2
    buckets: int = 1 << 18
    epochs: int = 20
    examples: int = 50_000
    held_out: float = 0.1
    cost: float = 0.0

    def __post_init__(self) -> None:
        if not self.rating or self.rating == "text":
            raise RecipeError(
                f"distill_ratings: rating must name the field that holds the ratings; got {self.rating!r}"
            )
        _ = self.config

    @property
    def needs(self) -> tuple[str, ...]:
        """The text and the field of ratings."""
        return ("text", self.rating)

    @property
    def config(self) -> LinearConfig:
        """The parameters as the model takes them."""
        return LinearConfig(
            "distill_ratings", self.word_ngrams, self.buckets, self.epochs, self.examples, self.held_out, self.cost
        )

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`weights (d,)`, `intercept (1,)`, `range (2,)`; notes on held-out documents as `models.ratings.judged` names them.

        Raises InputError where fewer than two documents with a word are rated.
        """
        rated = _Rated(self.rating, self.examples)
        for rows in (pool if target is None else target, pool):
            hashes, ratings, sizes, data = rows.reduce(rated, _smallest)[:4]
            if len(hashes):
                break
        else:
            raise InputError(f"distill_ratings needs rows with a number in the field {self.rating!r}; got none")
        texts = Texts(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
        batch = Batch(np.zeros(len(hashes), np.int64), hashes, {"text": texts})
        return train_ratings(batch, ratings, self.config, rng)

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """r of every row; NaN for one without a word."""
        arrays = fitted.arrays
        guesses = linear(batch.text, self.word_ngrams, arrays["weights"], float(arrays["intercept"][0]))
        return np.clip(guesses, *arrays["range"].tolist())

    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The n-grams that pull the rating of the texts most; above zero: up."""
        return pulls(texts, self.word_ngrams, fitted.arrays["weights"], top)


@final
@dataclass(frozen=True)
class _Rated:
    """A part of the fit: the rated rows of smallest content hash, at most k, as (hashes, ratings, bytes, text, k)."""

    rating: str
    k: int

    def __call__(self, batch: Batch) -> tuple[np.ndarray, ...]:
        ratings = np.asarray(batch.columns.get(self.rating, np.full(len(batch), np.nan)), np.float64)
        rows = np.flatnonzero(np.isfinite(ratings))
        text = cut_texts(batch.text.take(rows), 0, len(rows))
        return _head((batch.hashes[rows], ratings[rows], text.sizes, text.data), np.array([self.k]))


def _smallest(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """The k rated rows of smallest hash of two parts."""
    return _head(tuple(np.concatenate([left[k], right[k]]) for k in range(4)), left[4])


def _head(found: tuple[np.ndarray, ...], k: np.ndarray) -> tuple[np.ndarray, ...]:
    hashes, ratings, sizes, data = found
    if len(hashes) <= k[0]:
        return (*found, k)
    order = np.sort(np.lexsort((ratings, hashes))[: k[0]])
    text = Texts(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])).take(order)
    return hashes[order], ratings[order], text.sizes, text.data, k
