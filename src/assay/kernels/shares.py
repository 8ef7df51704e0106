"""Two orders of the same rows side by side under one budget: a share `drawn` of what is spent, the rest `first`'s.

    a row's turn    F = (spent so far by its side + its cost) / (its side's share); the smaller F goes next, ties to `first`
    a row of both   goes when its first turn comes; once the turn of `first` comes too, it counts as `first`'s, and `drawn`
                    may take another in its place
    the end         the first row that does not fit, or: `first` has no more rows and `drawn` has its share of what it spent

Guarantee: rows are distinct, their cost is at most `amount`, and the order for a smaller amount is a prefix of that for a
larger one, as long as `first` does not end for want of budget. So at every budget b the rows are those of `first` within its
share of b, and the rows of `drawn`, without those, within its own. This is weighted fair queueing of two flows (Demers, Keshav
and Shenker 1989, https://doi.org/10.1145/75246.75248).

>>> order, sides, seen = side_by_side(np.array([0, 1, 2, 3]), np.array([1, 5]), np.ones(6, np.int64), 5_000, 3)
>>> order.tolist(), sides.tolist(), seen
([0, 1, 5], [2, 2, 0, 0, 0, 1], 2)
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8
from numba import njit, types

WHOLE = 10_000  # shares are whole numbers of these parts, so that no rounding decides whose turn it is
_ROWS = types.Array(types.int64, 1, "C", readonly=True)
_SIGNATURE = types.Tuple((types.int64[::1], types.uint8[::1], types.int64))(
    _ROWS, _ROWS, _ROWS, types.int64, types.int64
)


@njit([_SIGNATURE], cache=True, nogil=True)
def side_by_side(
    first: Int64[np.ndarray, "k"], drawn: Int64[np.ndarray, "j"], cost: Int64[np.ndarray, "n"], share: int, amount: int
) -> tuple[Int64[np.ndarray, "r"], UInt8[np.ndarray, "n"], int]:
    """Rows in order, on whose side each row stands (0 none, 1 `drawn`, 2 `first`), and how many rows of `drawn` were looked at."""
    order = np.empty(min(len(first) + len(drawn), len(cost)), np.int64)
    sides = np.zeros(len(cost), np.uint8)
    count = at = seen = spent = free = settled = 0
    while True:
        while seen < len(drawn) and sides[drawn[seen]] != 0:
            seen += 1
        if at == len(first) and seen == len(drawn):
            break
        by_first = seen == len(drawn)
        if not by_first and at < len(first):
            ours, theirs = spent + cost[first[at]], free + cost[drawn[seen]]
            by_first = ours * share <= theirs * (WHOLE - share)
        elif not by_first and (free + cost[drawn[seen]]) * (WHOLE - share) > spent * share:
            break
        row = first[at] if by_first else drawn[seen]
        if by_first and sides[row] == 1:
            free -= cost[row]
        elif spent + free + cost[row] > amount:
            break
        else:
            order[count] = row
            count += 1
        if by_first:
            spent += cost[row]
            at += 1
        else:
            free += cost[row]
        moved = sides[row] == 1
        sides[row] = 2 if by_first else 1
        if not moved:
            settled = at
    for place in range(settled, at):  # moved after the last row came in, with no budget left for another in its place
        sides[first[place]] = 1
    return order[:count], sides, seen


def reference(first: list[int], drawn: list[int], cost: list[int], share: int, amount: int) -> list[int]:
    """The order in plain Python, every sum made anew: what the kernel is tested against.

    >>> reference([0, 1, 2, 3], [1, 5], [1] * 6, 5_000, 3)
    [0, 1, 5]
    """
    order: list[int] = []
    ours: list[int] = []
    while True:
        left = [row for row in drawn if row not in order and row not in ours]
        spent, free = (sum(cost[row] for row in rows) for rows in (ours, set(order) - set(ours)))
        more = first[len(ours) : len(ours) + 1]
        if not more and (not left or (free + cost[left[0]]) * (WHOLE - share) > spent * share):
            return order
        turn = bool(more) and (not left or (spent + cost[more[0]]) * share <= (free + cost[left[0]]) * (WHOLE - share))
        row = more[0] if turn else left[0]
        if row not in order:
            if spent + free + cost[row] > amount:
                return order
            order.append(row)
        ours += [row] if turn else []
