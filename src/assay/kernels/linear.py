"""Linear models over sparse presence features, trained to their optimum by dual coordinate ascent, one row at a time.

Row i shows the distinct buckets j in P_i, each with the value x_ij = 1 / sqrt(|P_i|) (so rows have length one), and the
constant 1 for the intercept. With C_i the weight of row i, the two problems, both strictly convex, are

    logistic   min_w  |w|^2 / 2 + sum_i C_i log(1 + exp(-y_i w.x_i))        y_i = -1 or +1
    squared    min_w  |w|^2 / 2 + sum_i C_i (w.x_i - y_i)^2 / 2             y_i any number

Each row has one dual variable a_i, and w = sum_i a_i y_i x_i (logistic, 0 < a_i < C_i) or sum_i a_i x_i (squared). A
visit to row i makes its own a_i optimal, the others fixed; with s_i = |x_i|^2:

    squared    a_i += (y_i - w.x_i - a_i / C_i) / (s_i + 1 / C_i)
    logistic   a_i = C_i sigma(t), t the root of  t + s_i (C_i sigma(t) - a_i) + y_i w.x_i = 0,  which has slope >= 1

Guarantee: any order of visits leads to the one optimum; a pass in a given order gives the same bits everywhere.
Source: Yu, Huang and Lin, Dual coordinate descent methods for logistic regression and maximum entropy models, 2011,
https://doi.org/10.1007/s10994-010-5221-8; Ho and Lin, Large-scale linear support vector regression, 2012,
https://jmlr.org/papers/v13/ho12a.html. `objective` is the primal in NumPy, which the tests minimise by other means.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64, UInt32
from numba import njit

_STEPS = (
    50  # of a bracketed Newton iteration that needs about four; halving alone would need as many as a double has bits
)
_CLOSE = 1e-10


@njit(nogil=True)
def _product(picks: UInt32[np.ndarray, "r"], start: int, stop: int, weights: Float64[np.ndarray, "d"]) -> float:
    total = 0.0
    for at in range(start, stop):
        total += weights[picks[at]]
    return total


@njit(nogil=True)
def _shift(picks: UInt32[np.ndarray, "r"], start: int, stop: int, weights: Float64[np.ndarray, "d"], by: float) -> None:
    for at in range(start, stop):
        weights[picks[at]] += by


@njit(nogil=True)
def _root(slope: float, cost: float, dual: float, product: float) -> float:
    """C sigma(t) for the t where t + s (C sigma(t) - a) + m = 0: Newton's steps, kept inside a bracket."""
    low, high = -product - slope * (cost - dual), -product + slope * dual
    t = min(max(math.log(dual / (cost - dual)), low), high) if 0.0 < dual < cost else (low + high) / 2
    share = 0.0
    for _ in range(_STEPS):
        share = 1.0 / (1.0 + math.exp(-t))
        off = t + slope * (cost * share - dual) + product
        if off > 0.0:
            high = t
        else:
            low = t
        if abs(off) < _CLOSE:
            break
        t -= off / (1.0 + slope * cost * share * (1.0 - share))
        if not low < t < high:
            t = (low + high) / 2
    return cost * share


@njit(cache=True, nogil=True)
def logistic_pass(
    picks: UInt32[np.ndarray, "r"],
    ends: Int64[np.ndarray, "b_plus_1"],
    signs: Float64[np.ndarray, "b"],
    costs: Float64[np.ndarray, "b"],
    order: Int64[np.ndarray, "k"],
    duals: Float64[np.ndarray, "b"],
    weights: Float64[np.ndarray, "d_plus_1"],
) -> float:
    """Visit the rows of `order` once; `duals` and `weights` (the intercept last) change in place.

    Returns the largest |change of a_i| / C_i.
    """
    worst, last = 0.0, len(weights) - 1
    for k in range(len(order)):
        row = order[k]
        start, stop = ends[row], ends[row + 1]
        if start == stop:
            continue
        scale = 1.0 / math.sqrt(stop - start)
        margin = signs[row] * (scale * _product(picks, start, stop, weights) + weights[last])
        found = _root(2.0, costs[row], duals[row], margin)  # the row has length one, and so has its constant
        change = found - duals[row]
        duals[row] = found
        _shift(picks, start, stop, weights, signs[row] * scale * change)
        weights[last] += signs[row] * change
        worst = max(worst, abs(change) / costs[row])
    return worst


@njit(cache=True, nogil=True)
def squared_pass(
    picks: UInt32[np.ndarray, "r"],
    ends: Int64[np.ndarray, "b_plus_1"],
    aims: Float64[np.ndarray, "b"],
    costs: Float64[np.ndarray, "b"],
    order: Int64[np.ndarray, "k"],
    duals: Float64[np.ndarray, "b"],
    weights: Float64[np.ndarray, "d_plus_1"],
) -> float:
    """As `logistic_pass`, for numbers `aims`; returns the largest |change of a_i|."""
    worst, last = 0.0, len(weights) - 1
    for k in range(len(order)):
        row = order[k]
        start, stop = ends[row], ends[row + 1]
        if start == stop:
            continue
        scale = 1.0 / math.sqrt(stop - start)
        guess = scale * _product(picks, start, stop, weights) + weights[last]
        change = (aims[row] - guess - duals[row] / costs[row]) / (2.0 + 1.0 / costs[row])
        duals[row] += change
        _shift(picks, start, stop, weights, scale * change)
        weights[last] += change
        worst = max(worst, abs(change))
    return worst


@njit(cache=True, nogil=True)
def products(
    picks: UInt32[np.ndarray, "r"], ends: Int64[np.ndarray, "b_plus_1"], weights: Float64[np.ndarray, "d_plus_1"]
) -> Float64[np.ndarray, "b"]:
    """w.x of every row; the intercept alone for one without a bucket."""
    found = np.full(len(ends) - 1, weights[-1])
    for row in range(len(found)):
        start, stop = ends[row], ends[row + 1]
        if stop > start:
            found[row] += _product(picks, start, stop, weights) / math.sqrt(stop - start)
    return found


def objective(
    dense: Float64[np.ndarray, "b d"],
    aims: Float64[np.ndarray, "b"],
    costs: Float64[np.ndarray, "b"],
    weights: Float64[np.ndarray, "d"],
    loss: str,
) -> float:
    """The primal that is minimised, over dense rows; `loss` is logistic or squared.

    >>> objective(np.eye(2), np.array([1.0, -1.0]), np.ones(2), np.zeros(2), "squared")
    1.0
    """
    values = dense @ weights
    losses = np.logaddexp(0, -aims * values) if loss == "logistic" else (values - aims) ** 2 / 2
    return float(weights @ weights / 2 + costs @ losses)
