"""The nearest point of a capped simplex: weights that sum to one, none below zero, none above its cap.

    min |w - p|^2,  0 <= w <= c,  sum w = 1        has the answer        w = clip(p - tau, 0, c)

for the one tau at which the weights sum to one (Wang & Lu 2015, https://arxiv.org/abs/1503.01002). The sum falls in tau along
straight lines that bend at p and p - c, so tau is found exactly: sort the bends, walk along them, cut the line that passes
one. A point that lies inside stays what it is to the last bit.

>>> onto_capped_simplex(np.array([[0.9, 0.1, 0.0]]), np.array([0.6, 1.0, 0.2])).round(3).tolist()
[[0.6, 0.25, 0.15]]
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

_CLOSE = 1e-12  # rows as near as that to the simplex are in it


def onto_capped_simplex(
    points: Float64[np.ndarray, "r g"], caps: Float64[np.ndarray, "g"]
) -> Float64[np.ndarray, "r g"]:
    """The nearest weights to each row; the caps (infinite ones are 1) must sum to at least one."""
    most = np.minimum(caps, 1.0)
    outside = ((points < 0) | (points > most)).any(axis=1) | (np.abs(points.sum(axis=1) - 1) > _CLOSE)
    if not outside.any():
        return points
    found = points.copy()
    found[outside] = _projected(points[outside], most)
    return found


def _projected(points: Float64[np.ndarray, "r g"], caps: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "r g"]:
    bends = np.concatenate([points - caps, points], axis=1)
    turns = np.concatenate([np.full(points.shape, -1.0), np.ones(points.shape)], axis=1)
    order = np.argsort(bends, axis=1, kind="stable")
    bends, slopes = np.take_along_axis(bends, order, 1), np.cumsum(np.take_along_axis(turns, order, 1), axis=1)
    falls = np.cumsum(slopes[:, :-1] * np.diff(bends, axis=1), axis=1)
    sums = np.concatenate([np.full((len(points), 1), caps.sum()), caps.sum() + falls], axis=1)
    # The first bend at which no more than one is left; where the caps sum to one that is the first of all.
    after = np.argmax(sums <= 1, axis=1)
    before, rows = np.maximum(after - 1, 0), np.arange(len(points))
    slope = np.where(after > 0, slopes[rows, before], -1.0)
    over = np.where(after > 0, sums[rows, before] - 1, 0.0)
    tau = bends[rows, before] - over / np.where(slope == 0, -1.0, slope)
    if caps.sum() <= 1:
        return np.broadcast_to(caps / caps.sum(), points.shape)
    return np.clip(points - tau[:, None], 0.0, caps)  # not scaled: a weight at its cap would pass it by a rounding
