"""The one greedy: climbs any monotone submodular `Objective` in three ways, and stops where the budget does.

    plain        in each round all rows are asked for what they would add, and the one that adds most is taken
    lazy         the same rows, ties too: what a row added when it was last asked is a bound, and only rows are asked whose bound is
                 above what another adds now (Minoux, Accelerated greedy algorithms, 1978, https://doi.org/10.1007/BFb0006528)
    stochastic   in each round the best of (n / k) ln(1 / ε) rows drawn at random: at least 1 - 1/e - ε of the best in expectation
                 (Mirzasoleiman et al., Lazier than lazy greedy, 2015, https://arxiv.org/abs/1409.7938)

Plain and lazy reach at least 1 - 1/e of the best set of k rows (Nemhauser, Wolsey and Fisher, 1978,
https://doi.org/10.1007/BF01588971), and a smaller budget is a prefix. The order ends at the first row that does not fit, as
every ranking here does. Ties go to the first row.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Objective
from assay.types import Limit

OPTIMIZERS = ("plain", "lazy", "stochastic")
_ASKED = 8  # rows that lazy greedy asks for at once

Pick = tuple[int, float]


def greedy(
    objective: Objective,
    limit: Limit,
    optimizer: str,
    price: Float64[np.ndarray, "n"] | None,
    order: Int64[np.ndarray, "n"],
    epsilon: float,
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, "k"], Float64[np.ndarray, "k"]]:
    """Rows in order of choice and what each added. With a `price` the row of most gain for its price is taken.

    `order` lists the rows as stochastic greedy draws them, best by content, so that a draw does not depend on the layout.
    """
    if optimizer == "stochastic":
        picks = _stochastic(objective, price, order, _expected(limit, len(order)), epsilon, rng)
    else:
        picks = (_plain if optimizer == "plain" else _lazy)(objective, price, len(order))
    rows, gains, spent = list[int](), list[float](), 0
    while spent < limit.amount and (pick := next(picks, None)) is not None:
        spent += int(limit.cost[pick[0]])
        if spent <= limit.amount:
            rows.append(pick[0])
            gains.append(pick[1])
    return np.array(rows, np.int64), np.array(gains, np.float64)


def _worth(gains: Float64[np.ndarray, "k"], price: np.ndarray | None, rows: np.ndarray) -> Float64[np.ndarray, "k"]:
    return gains if price is None else gains / price[rows]


def _plain(objective: Objective, price: np.ndarray | None, n: int) -> Iterator[Pick]:
    state, left = objective.start(), np.arange(n)
    while len(left):
        gains = objective.gains(state, left)
        best = int(np.argmax(_worth(gains, price, left)))
        row = int(left[best])
        yield row, float(gains[best])
        objective.add(state, row)
        left = np.delete(left, best)


def _lazy(objective: Objective, price: np.ndarray | None, n: int) -> Iterator[Pick]:
    state, everyone = objective.start(), np.arange(n)
    bounds, asked, chosen = objective.gains(state, everyone), np.zeros(n, np.int64), 0
    heap = list(zip((-_worth(bounds, price, everyone)).tolist(), range(n), strict=True))
    heapq.heapify(heap)
    while heap:
        stale = list[int]()
        while heap and len(stale) < _ASKED and asked[heap[0][1]] < chosen:
            stale.append(heapq.heappop(heap)[1])
        if stale:
            rows = np.array(stale)
            bounds[rows], asked[rows] = objective.gains(state, rows), chosen
            for worth, row in zip(_worth(bounds[rows], price, rows).tolist(), stale, strict=True):
                heapq.heappush(heap, (-worth, row))
            continue
        row = heapq.heappop(heap)[1]
        yield row, float(bounds[row])
        objective.add(state, row)
        chosen += 1


def _stochastic(
    objective: Objective,
    price: np.ndarray | None,
    order: np.ndarray,
    expected: int,
    epsilon: float,
    rng: np.random.Generator,
) -> Iterator[Pick]:
    state, left, remain = objective.start(), order.copy(), len(order)
    size = max(1, math.ceil(len(order) / max(expected, 1) * math.log(1 / epsilon)))
    while remain:
        places = rng.choice(remain, min(size, remain), replace=False, shuffle=False)
        places = places[np.argsort(left[places])]
        gains = objective.gains(state, left[places])
        best = int(np.argmax(_worth(gains, price, left[places])))
        row = int(left[places[best]])
        yield row, float(gains[best])
        objective.add(state, row)
        remain -= 1
        left[places[best]] = left[remain]


def _expected(limit: Limit, n: int) -> int:
    """About how many rows the budget will buy."""
    return min(n, limit.amount if limit.unit == "examples" else round(limit.amount * n / max(1, limit.total)))
