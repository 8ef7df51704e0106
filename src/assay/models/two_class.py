"""Two classes of documents: a linear model, its probabilities calibrated, and what it is worth on held-out documents.

    p(d) = sigma(A f(d) + B)          f the linear model of `linear`, A and B fitted to held-out documents (Platt)

Both classes weigh the same however many documents each has, because how many one happens to have says nothing about the
pool: p is the probability where both are equally common. Where the share of the wanted kind is q, it is p q / (p q +
(1 - p)(1 - q)); the order of documents, and so every percentile, is the same for any q.

The cost C, A and B are chosen on one half of the held-out documents and judged on the other, and the other way round, so
AUC, accuracy and calibration are of documents that decided nothing. Then the model is trained on all documents with the
C, A and B that all held-out documents choose.

    calibration error   Σ_bins share of documents × |mean p − share of the wanted kind|, ten bins of equal width

Source: Platt, Probabilistic outputs for support vector machines, 1999 (with its targets (N+ + 1) / (N+ + 2) and
1 / (N- + 2)); Guo et al., On calibration of modern neural networks, 2017, https://arxiv.org/abs/1706.04599; standard
error of an AUC: Hanley and McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import expit
from scipy.stats import rankdata

from assay.kernels.draws import uniform
from assay.models.linear import Examples, LinearConfig, Task, in_content_order, require_text
from assay.types import Batch, Fitted, join_texts

_BINS = 10
_FEWEST = 10  # held-out documents of each class; with fewer nothing is measured, and A = 1, B = 0
_UNMEASURED_COST = 10.0
_NEWTON = 50


def train_two_class(wanted: Batch, others: Batch, config: LinearConfig, rng: np.random.Generator) -> Fitted:
    """What tells `wanted` from `others`; both are sorted by content, and `others` without what is in `wanted`.

    Arrays `weights (d,)` and `intercept (1,)` of A f + B; notes as `judged` gives them. Raises InputError where a class
    has fewer than two documents with a word.
    """
    others = _take(others, ~np.isin(others.hashes, wanted.hashes))
    signs = np.repeat([1.0, -1.0], [len(wanted), len(others)])
    both = Batch(
        np.zeros(len(signs), np.int64),
        np.concatenate([wanted.hashes, others.hashes]),
        {"text": join_texts([wanted.text, others.text])},
    )
    both, signs = in_content_order(both, signs)
    examples, keys = Examples.of(both.text, both.hashes, config), rng.integers(1 << 62, size=3).tolist()
    counts = {sign: int((examples.present & (signs == sign)).sum()) for sign in (1.0, -1.0)}
    for sign, what in ((1.0, "examples"), (-1.0, "examples of the other kind")):
        require_text(counts[sign], what, config)
    rarer = min(counts.values())
    task = Task(examples, signs, _balanced(signs, examples.present), "logistic", config)
    cost, (slope, shift), notes = judged(task, rarer, keys)
    weights, epochs = task.train(np.flatnonzero(examples.present), cost, keys[1])
    notes = {"wanted": counts[1.0], "others": counts[-1.0], "cost": cost, "epochs": epochs, **notes}
    arrays = {
        "weights": (slope * weights[:-1]).astype(np.float32),
        "intercept": np.array([slope * weights[-1] + shift]),
    }
    return Fitted(arrays, notes)


def judged(task: Task, rarer: int, keys: list[int]) -> tuple[float, tuple[float, float], dict[str, Any]]:
    """C, (A, B), and the notes.

    `held_out` (documents), `auc`, `auc_standard_error`, `accuracy` (at 0.5, the mean of both classes'),
    `calibration_error`, `log_loss` (nats), `reliability` (rows of: bin from, to, share of the documents, mean p, share of
    the wanted among them; both classes weigh the same).
    """
    tested, found = task.held_out(task.folds(keys[0], rarer), keys[1])
    there = task.examples.present[tested]
    tested, found = tested[there], {cost: values[there] for cost, values in found.items()}
    signs = task.aims[tested]
    half = uniform(keys[2], task.examples.hashes[tested]) < 0.5
    fewest = min(int(((signs == sign) & (half == side)).sum()) for sign in (1.0, -1.0) for side in (True, False))
    if fewest < _FEWEST // 2:
        return task.config.cost or _UNMEASURED_COST, (1.0, 0.0), {"held_out": 0, "auc": None, "calibration_error": None}
    chances = np.zeros(len(tested))
    for side in (True, False):
        cost, (slope, shift) = _best({key: values[half != side] for key, values in found.items()}, signs[half != side])
        chances[half == side] = expit(slope * found[cost][half == side] + shift)
    return *_best(found, signs), measure(chances, signs > 0)


def measure(chances: Float64[np.ndarray, "k"], wanted: Bool[np.ndarray, "k"]) -> dict[str, Any]:
    """How good probabilities are, both classes weighing the same; the words are those of `judged`.

    >>> measure(np.array([0.9, 0.8, 0.1, 0.6]), np.array([True, True, False, False]))["auc"]
    1.0
    """
    signs = np.where(wanted, 1.0, -1.0)
    weights = _balanced(signs, np.ones(len(signs), bool))
    area = auc(chances, wanted)
    clipped = np.clip(chances, 1e-12, 1 - 1e-12)
    table = reliability(chances, wanted, weights)
    return {
        "held_out": len(chances),
        "auc": area,
        "auc_standard_error": _auc_error(area, int(wanted.sum()), int((~wanted).sum())),
        "accuracy": float((((chances >= 0.5) == wanted) * weights).mean()),
        "calibration_error": float(sum(share * abs(mean - seen) for *_, share, mean, seen in table)),
        "log_loss": float((-np.log(np.where(wanted, clipped, 1 - clipped)) * weights).mean()),
        "reliability": [[round(value, 6) for value in row] for row in table],
    }


def auc(values: Float64[np.ndarray, "k"], wanted: Bool[np.ndarray, "k"]) -> float:
    """The chance that one of the wanted has a larger value than one of the others; a tie is half a chance."""
    ours, theirs = int(wanted.sum()), int((~wanted).sum())
    return float((rankdata(values)[wanted].sum() - ours * (ours + 1) / 2) / (ours * theirs))


def reliability(
    chances: Float64[np.ndarray, "k"], wanted: Bool[np.ndarray, "k"], weights: Float64[np.ndarray, "k"]
) -> list[tuple[float, float, float, float, float]]:
    """Rows of (bin from, to, share of the weight, mean probability, share of the wanted) for bins that are not empty."""
    bins = np.minimum((chances * _BINS).astype(np.int64), _BINS - 1)
    rows = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        mass = weights[inside].sum()
        mean, seen = (chances[inside] @ weights[inside]) / mass, (wanted[inside] @ weights[inside]) / mass
        rows.append((number / _BINS, (number + 1) / _BINS, float(mass / weights.sum()), float(mean), float(seen)))
    return rows


def platt(values: Float64[np.ndarray, "k"], signs: Float64[np.ndarray, "k"]) -> tuple[float, float]:
    """A and B that minimise the weighted log loss of sigma(A f + B) against Platt's targets: damped Newton steps."""
    wanted = signs > 0
    weights = _balanced(signs, np.ones(len(signs), bool))
    counts = np.where(wanted, wanted.sum(), (~wanted).sum())
    aims = np.where(wanted, (counts + 1) / (counts + 2), 1 / (counts + 2))
    columns = np.stack([values, np.ones(len(values))])
    at = np.array([1.0, 0.0])
    for _ in range(_NEWTON):
        chances = expit(at @ columns)
        slope = columns @ (weights * (chances - aims))
        curve = (columns * (weights * chances * (1 - chances))) @ columns.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        at = at - step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    return (float(at[0]), float(at[1])) if at[0] > 0 else (1.0, 0.0)


def _best(
    found: Mapping[float, Float64[np.ndarray, "k"]], signs: Float64[np.ndarray, "k"]
) -> tuple[float, tuple[float, float]]:
    """The cost whose calibrated probabilities have the smallest log loss, of equals the smallest; and its A and B."""
    weights = _balanced(signs, np.ones(len(signs), bool))
    fits = {cost: platt(values, signs) for cost, values in found.items()}
    losses = {
        cost: float((weights * np.logaddexp(0, -signs * (slope * found[cost] + shift))).mean())
        for cost, (slope, shift) in fits.items()
    }
    cost = min(sorted(losses), key=lambda key: losses[key])
    return cost, fits[cost]


def _balanced(signs: Float64[np.ndarray, "k"], counted: Bool[np.ndarray, "k"]) -> Float64[np.ndarray, "k"]:
    """Weights of mean 1 under which both classes weigh the same."""
    ours = np.maximum((counted & (signs > 0)).sum(), 1)
    theirs = np.maximum((counted & (signs < 0)).sum(), 1)
    return np.where(signs > 0, (ours + theirs) / (2 * ours), (ours + theirs) / (2 * theirs))


def _auc_error(area: float, ours: int, theirs: int) -> float:
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (ours - 1) * (one - area**2) + (theirs - 1) * (two - area**2)
    return math.sqrt(max(spread, 0.0) / (ours * theirs))


def _take(batch: Batch, keep: Bool[np.ndarray, "b"]) -> Batch:
    return Batch(batch.rows[keep], batch.hashes[keep], {"text": batch.text.take(keep)})
