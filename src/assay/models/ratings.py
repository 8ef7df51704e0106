"""Ratings learnt from rated documents: ridge regression over the features of `linear`, judged on held-out documents.

    r(d) = clip(m + s f(d), least, most)       m, s mean and spread of the ratings; f learnt with the squared loss

C is chosen by the mean squared error on one half of the held-out documents and judged on the other, and the other way
round, so the rank correlation and the errors are of documents that decided nothing; then all rated documents train.

Source: Penedo et al., The FineWeb datasets, 2024, https://arxiv.org/abs/2406.17557 (a regression on a language model's
ratings, spread over the pool; theirs is linear on the embedding of a network); Sachdeva et al., How to train data-efficient
LLMs, 2024, https://arxiv.org/abs/2402.09668 (Ask-LLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.stats import rankdata

from assay.kernels.draws import uniform
from assay.models.linear import Examples, LinearConfig, Task, in_content_order, require_text
from assay.types import Batch, Fitted

_FEWEST = 10  # held-out documents of each half; with fewer nothing is measured
_UNMEASURED_COST = 3.0


def train_ratings(
    batch: Batch, ratings: Float64[np.ndarray, "b"], config: LinearConfig, rng: np.random.Generator
) -> Fitted:
    """What gives `ratings (b,)`, all finite, from the texts of the batch.

    Arrays `weights (d,)`, `intercept (1,)` and `range (2,)`; notes as `judged` gives them, with the ratings' histogram.
    Raises InputError where fewer than two rated documents have a word.
    """
    batch, ratings = in_content_order(batch, ratings)
    examples, keys = Examples.of(batch.text, batch.hashes, config), rng.integers(1 << 62, size=3).tolist()
    rows = np.flatnonzero(examples.present)
    require_text(len(rows), "rated documents", config)
    mean, spread = float(ratings[rows].mean()), float(ratings[rows].std()) or 1.0
    task = Task(examples, (ratings - mean) / spread, np.ones(len(ratings)), "squared", config)
    cost, notes = judged(task, len(rows), keys, (mean, spread))
    weights, epochs = task.train(rows, cost, keys[1])
    arrays = {
        "weights": (spread * weights[:-1]).astype(np.float32),
        "intercept": np.array([mean + spread * weights[-1]]),
        "range": np.array([ratings[rows].min(), ratings[rows].max()]),
    }
    return Fitted(
        arrays, {"rated": len(rows), "histogram": _histogram(ratings[rows]), "cost": cost, "epochs": epochs, **notes}
    )


def judged(task: Task, rated: int, keys: list[int], scale: tuple[float, float]) -> tuple[float, dict[str, Any]]:
    """C, and the notes: `held_out` (documents), `rank_correlation` (Spearman), `mean_absolute_error`, and that of giving
    every document the median rating, `mean_absolute_error_of_median`, all in the units of the ratings."""
    tested, found = task.held_out(task.folds(keys[0], rated), keys[1])
    there = task.examples.present[tested]
    tested, found = tested[there], {cost: values[there] for cost, values in found.items()}
    aims, half = task.aims[tested], uniform(keys[2], task.examples.hashes[tested]) < 0.5
    if min(half.sum(), (~half).sum()) < _FEWEST:
        return task.config.cost or _UNMEASURED_COST, {
            "held_out": 0,
            "rank_correlation": None,
            "mean_absolute_error": None,
        }
    guesses = np.zeros(len(tested))
    for side in (True, False):
        cost = _best({key: values[half != side] for key, values in found.items()}, aims[half != side])
        guesses[half == side] = found[cost][half == side]
    mean, spread = scale
    guesses, truth = mean + spread * guesses, mean + spread * aims
    guesses = np.clip(guesses, truth.min(), truth.max())
    return _best(found, aims), {
        "held_out": len(tested),
        "rank_correlation": rank_correlation(guesses, truth),
        "mean_absolute_error": float(np.abs(guesses - truth).mean()),
        "mean_absolute_error_of_median": float(np.abs(np.median(truth) - truth).mean()),
    }


def rank_correlation(left: Float64[np.ndarray, "k"], right: Float64[np.ndarray, "k"]) -> float | None:
    """Spearman's: Pearson's of the ranks, equal values sharing their mean rank; None where one side is constant.

    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 9.0])), 9)
    1.0
    """
    one, two = (rankdata(values) - (len(values) + 1) / 2 for values in (left, right))
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size else None


def _best(found: Mapping[float, Float64[np.ndarray, "k"]], aims: Float64[np.ndarray, "k"]) -> float:
    """The cost of least squared error, of equals the smallest."""
    errors = {cost: float(((values - aims) ** 2).mean()) for cost, values in found.items()}
    return min(sorted(errors), key=lambda key: errors[key])


def _histogram(ratings: Float64[np.ndarray, "k"]) -> list[list[float]]:
    """Rows of (rating, documents) where there are at most 20 different ones, else of (bin from, to, documents)."""
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= 20:
        return [[float(value), int(count)] for value, count in zip(values, counts, strict=True)]
    counts, edges = np.histogram(ratings, 10)
    return [[float(edges[k]), float(edges[k + 1]), int(counts[k])] for k in range(10)]
