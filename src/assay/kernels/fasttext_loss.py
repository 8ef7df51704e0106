"""From the summed rows of a text to fastText's probabilities: softmax, a tree of yes and no, or one sigmoid a label.

    x        = mean of the rows,  z_l = <x, w_l>     (or z = x, where rows were multiplied with w once for all)
    softmax  p_l = exp z_l / Σ exp z                 two labels: z_0 - z_1 is all that is kept
    tree     p_l = Π over the nodes on the way to leaf l of σ(±z_node)
    sigmoid  p_l = σ of z_l, cut to -8..8 and rounded down to steps of 1/32, as in the library's table

The library adds 1e-5 to each probability before it takes its logarithm (in a tree: to that of every step), so what it
reports can lie above 1; so it is here. Of equal probabilities it reports the last. A text without a row has none (NaN).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from numba import njit

from assay.kernels.fasttext_lanes import LANES, dot_lanes

_TINY = 1e-5
_MOST, _STEPS = 8.0, 512
_U = np.uint64


@njit(nogil=True, _nrt=False)
def _logit(hidden: Float32[np.ndarray, "d"], weights: Float32[np.ndarray, "d"], node: int) -> float:
    """z of one label or node."""
    if len(weights) == 0:
        return np.float64(hidden[node])
    start, total = node * len(hidden), 0.0
    for lane in range(0, len(hidden), LANES):
        total += np.float64(dot_lanes(hidden, _U(lane), weights, _U(start + lane)))
    return total


@njit(nogil=True, _nrt=False)
def _mean(sums: Float32[np.ndarray, "b d"], row: int, count: int, hidden: Float32[np.ndarray, "d"]) -> None:
    for at in range(len(hidden)):
        hidden[at] = sums[row, at] / np.float32(count)


@njit(cache=True, nogil=True)
def softmax(
    sums: Float32[np.ndarray, "b d"], counts: Int64[np.ndarray, "b"], weights: Float32[np.ndarray, "d"], labels: int,
    wanted: int,
) -> tuple[Int32[np.ndarray, "b"], Float64[np.ndarray, "b"]]:  # fmt: skip
    """The best label (b,) and its probability (b,), or those of label `wanted` where it is not -1."""
    picks, chances = np.full(len(sums), -1, np.int32), np.full(len(sums), np.nan)
    hidden, logits = np.zeros(sums.shape[1], np.float32), np.zeros(labels)
    for row in range(len(sums)):
        if counts[row] == 0:
            continue
        _mean(sums, row, counts[row], hidden)
        for label in range(min(labels, len(hidden)) if len(weights) == 0 else labels):
            logits[label] = _logit(hidden, weights, label)
        pick, most, whole = 0, logits[0], 0.0
        for label in range(labels):
            if logits[label] >= most:
                pick, most = label, logits[label]
        for label in range(labels):
            whole += math.exp(logits[label] - most)
        picks[row] = pick if wanted < 0 else wanted
        chances[row] = math.exp(logits[picks[row]] - most) / whole + _TINY
    return picks, chances


@njit(cache=True, nogil=True)
def sigmoids(
    sums: Float32[np.ndarray, "b d"], counts: Int64[np.ndarray, "b"], weights: Float32[np.ndarray, "d"], labels: int,
    wanted: int,
) -> tuple[Int32[np.ndarray, "b"], Float64[np.ndarray, "b"]]:  # fmt: skip
    """The same for one-against-all and negative sampling."""
    picks, chances = np.full(len(sums), -1, np.int32), np.full(len(sums), np.nan)
    hidden = np.zeros(sums.shape[1], np.float32)
    for row in range(len(sums)):
        if counts[row] == 0:
            continue
        _mean(sums, row, counts[row], hidden)
        most = -1.0
        for label in range(labels):
            if wanted < 0 or label == wanted:
                z = _logit(hidden, weights, label)
                step = math.floor((np.float32(z) + np.float32(_MOST)) * np.float32(_STEPS / _MOST / 2))
                edge = step * (2 * _MOST / _STEPS) - _MOST
                chance = 0.0 if z < -_MOST else 1.0 if z > _MOST else 1 / (1 + math.exp(-edge))
                if chance >= most:
                    picks[row], most = label, chance
        chances[row] = most + _TINY
    return picks, chances


@njit(nogil=True, _nrt=False)
def _climb(
    hidden: Float32[np.ndarray, "d"], weights: Float32[np.ndarray, "d"], parents: Int32[np.ndarray, "q"],
    right: Int32[np.ndarray, "q"], leaf: int, labels: int,
) -> float:  # fmt: skip
    """log p of one leaf."""
    node, score = np.int64(leaf), 0.0
    while parents[node] >= 0:
        parent = np.int64(parents[node])
        yes = 1 / (1 + math.exp(-_logit(hidden, weights, parent - labels)))
        score += math.log((yes if right[parent] == node else 1 - yes) + _TINY)
        node = parent
    return score


@njit(cache=True, nogil=True)
def tree(
    sums: Float32[np.ndarray, "b d"], counts: Int64[np.ndarray, "b"], weights: Float32[np.ndarray, "d"],
    left: Int32[np.ndarray, "q"], right: Int32[np.ndarray, "q"], parents: Int32[np.ndarray, "q"], wanted: int,
) -> tuple[Int32[np.ndarray, "b"], Float64[np.ndarray, "b"]]:  # fmt: skip
    """The same for hierarchical softmax: branches that cannot win are not visited."""
    labels = (len(left) + 1) // 2
    picks, chances = np.full(len(sums), -1, np.int32), np.full(len(sums), np.nan)
    hidden = np.zeros(sums.shape[1], np.float32)
    nodes, scores = np.zeros(labels + 1, np.int64), np.zeros(labels + 1)
    for row in range(len(sums)):
        if counts[row] == 0:
            continue
        _mean(sums, row, counts[row], hidden)
        if wanted >= 0:
            picks[row] = wanted
            chances[row] = math.exp(_climb(hidden, weights, parents, right, wanted, labels))
            continue
        nodes[0], scores[0], waiting, most = 2 * labels - 2, 0.0, 1, -np.inf
        while waiting:
            waiting -= 1
            node, score = nodes[waiting], scores[waiting]
            if score < most:
                continue
            if node < labels:
                picks[row], most = node, score
                continue
            yes = 1 / (1 + math.exp(-_logit(hidden, weights, node - labels)))
            nodes[waiting], scores[waiting] = right[node], score + math.log(yes + _TINY)
            nodes[waiting + 1], scores[waiting + 1] = left[node], score + math.log(1 - yes + _TINY)
            waiting += 2
        chances[row] = math.exp(most)
    return picks, chances


@njit(cache=True, nogil=True)
def grow_tree(
    counts: Int64[np.ndarray, "g"],
) -> tuple[Int32[np.ndarray, "q"], Int32[np.ndarray, "q"], Int32[np.ndarray, "q"]]:
    """Left and right children and parents (2 g - 1,) of the Huffman tree over labels, counts descending (-1: none)."""
    labels = len(counts)
    size = 2 * labels - 1
    left, right, parents = np.full(size, -1, np.int32), np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    weight = np.full(size, 10**15, np.int64)
    for label in range(labels):
        weight[label] = counts[label]
    leaf, node = labels - 1, labels
    for parent in range(labels, size):
        if leaf >= 0 and weight[leaf] < weight[node]:
            first, leaf = leaf, leaf - 1
        else:
            first, node = node, node + 1
        if leaf >= 0 and weight[leaf] < weight[node]:
            second, leaf = leaf, leaf - 1
        else:
            second, node = node, node + 1
        left[parent], right[parent] = first, second
        parents[first], parents[second] = parent, parent
        weight[parent] = weight[first] + weight[second]
    return left, right, parents


@njit(cache=True, nogil=True)
def multiply(
    block: Float32[np.ndarray, "k d"], weights: Float32[np.ndarray, "g d"], table: Float32[np.ndarray, "d"],
    first: int, width: int,
) -> None:  # fmt: skip
    """Write z (k, g) of rows, whose last axis is a multiple of 8, into a flat table `width` wide, from row `first` on."""
    flat, ruler = block.reshape(-1), weights.reshape(-1)
    depth = block.shape[1]
    for row in range(len(block)):
        for label in range(len(weights)):
            total = np.float32(0)
            for lane in range(0, depth, LANES):
                total += dot_lanes(flat, _U(row * depth + lane), ruler, _U(label * depth + lane))
            table[(first + row) * width + label] = total
