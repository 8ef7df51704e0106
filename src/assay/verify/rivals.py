"""Random with the choice's lengths: as much text in every class of length as the choice has there, and chance otherwise.

    classes    between quantiles of the choice's lengths in bytes: half of them hold as many rows each, half as much text
    q_c        share of class c in the choice's text · size; what a class lacks is asked of the nearest that have more
    order      row j of a class c, in the order of its draw, is due at (bytes before it in the class + u_c · its own) / q_c

u_c is uniform between 0 and 1, so that a row larger than its class's quota is neither always the first nor always out. Rows
are due one class beside another, so that every prefix keeps the shares.

Why it is an arm: a selector may have found nothing but longer (or shorter) documents, which a plain random arm does not
tell from quality; choosing by length alone does well in instruction tuning (Zhao et al. 2024,
https://arxiv.org/abs/2402.04833). The draw is systematic sampling (Madow and Madow 1944,
https://doi.org/10.1214/aoms/1177731312) in strata.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from assay.kernels.draws import uniform
from assay.verify.frame import Frame

_MOST_CLASSES, _LEAST_ROWS = 20, 25  # a class of fewer rows would have hardly any but the choice's own to draw from
_GAP = 1.1  # two neighbouring lengths of the choice that differ by more leave a gap between their classes
_WIDER = ((1.1, 1e-3), (2.0, 1e-2), (0.0, 1.0))


@final
@dataclass(frozen=True)
class Lengths:
    """Classes of length: sizes above `edges[c - 1]` up to `edges[c]`, and each one's share of a choice's text.

    The first and the last are what is shorter and longer than all of the choice, of which it has none.
    """

    edges: Int64[np.ndarray, "g_plus_1"]
    shares: Float64[np.ndarray, "g"]

    @classmethod
    def of(cls, sizes: Int64[np.ndarray, "k"]) -> Lengths:
        """The classes of a choice whose rows have these sizes.

        >>> Lengths.of(np.array([5, 9, 7])).edges.tolist()
        [4, 9]
        """
        ordered = np.sort(sizes)
        spent = np.cumsum(ordered, dtype=np.float64)
        parts = np.linspace(0, 1, min(_MOST_CLASSES, max(2, len(sizes) // _LEAST_ROWS)) // 2 + 1)[1:-1]
        by_rows = ordered[(parts * len(ordered)).astype(np.int64)]
        by_text = ordered[np.searchsorted(spent, parts * spent[-1])]
        inner = np.unique(np.concatenate([by_rows, by_text]))
        after = ordered[np.minimum(np.searchsorted(ordered, inner, side="right"), len(ordered) - 1)]
        gaps = (
            after[after > inner * _GAP] - 1
        )  # lengths that the choice has not are a class of their own, with no share
        edges = np.unique(np.concatenate([ordered[:1] - 1, inner, gaps, ordered[-1:]]))
        shares = np.bincount(np.searchsorted(edges, ordered), ordered, len(edges) + 1)
        return cls(edges, shares / shares.sum())

    def quotas(self, size: float, held: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
        """`size` bytes shared out by class, in none more than it holds: what one lacks comes from the nearest that have more."""
        wanted = self.shares * size
        given = np.minimum(wanted, held)
        for short in np.flatnonzero(wanted > given).tolist():
            lacks = wanted[short] - given[short]
            for near in sorted(range(len(held)), key=lambda one: (abs(one - short), one)):
                more = min(lacks, max(0.0, held[near] - max(given[near], wanted[near])))
                given[near], lacks = given[near] + more, lacks - more
        return given


def matched(
    frame: Frame, choice: Int64[np.ndarray, "k"], size: int, key: int, further: int = 0
) -> Int64[np.ndarray, "j"]:
    """Positions of a draw in which every class of length holds the share of the text that it has in the choice (positions).

    At least `size` bytes, or all rows; `further` bytes come after these, for a budget that is known only later.
    """
    lengths = Lengths.of(frame.sizes[choice])
    held = frame.held(lengths.edges)
    first = lengths.quotas(size, held)
    second = lengths.quotas(further, held - first)
    near, luck = _drawn(frame, key, lengths, first + second, held)
    of_class = np.searchsorted(lengths.edges, frame.sizes[near])
    order = np.lexsort((near, luck, of_class))
    near, of_class = near[order], of_class[order]
    due = _due(frame.sizes[near], of_class, first, second, uniform(key, np.arange(len(held), dtype=np.uint64)))
    return near[np.argsort(due, kind="stable")]


def _drawn(
    frame: Frame,
    key: int,
    lengths: Lengths,
    wanted: Float64[np.ndarray, "g"],
    held: Float64[np.ndarray, "g"],
) -> tuple[Int64[np.ndarray, "k"], Float64[np.ndarray, "k"]]:
    """The luckiest rows of every class, at least `wanted` bytes of each, and their luck."""
    share, ceilings = wanted / np.maximum(held, 1), np.zeros(len(held))
    short = wanted > 0
    for times, more in _WIDER:
        ceilings[short] = np.minimum(1, share[short] * times + more)
        near, luck = frame.lucky(key, ceilings, lengths.edges)
        found = np.bincount(np.searchsorted(lengths.edges, frame.sizes[near]), frame.sizes[near], len(held))
        short = found < wanted
        if not short.any():
            break
    return near, luck


def _due(
    sizes: Int64[np.ndarray, "k"],
    of_class: Int64[np.ndarray, "k"],
    first: Float64[np.ndarray, "g"],
    second: Float64[np.ndarray, "g"],
    start: Float64[np.ndarray, "g"],
) -> Float64[np.ndarray, "k"]:
    """When each row is due, of rows sorted by class: 0 to 1 within the first quotas, 1 to 2 within the second."""
    spent = np.cumsum(sizes) - sizes
    begins = np.searchsorted(of_class, np.arange(len(first)))
    before = spent - np.append(spent, 0)[np.minimum(begins, len(spent))][of_class]
    reached = before + start[of_class] * sizes
    first, second = first[of_class], second[of_class]
    with np.errstate(divide="ignore", invalid="ignore"):
        late = np.where(second > 0, 1 + (reached - first) / second, reached / first)
        return np.where(reached < first, reached / first, late)


def short_of(frame: Frame, choice: Int64[np.ndarray, "k"], size: int) -> float:
    """The share of `size` bytes that other classes of length had to lend, because the pool has too little text of the choice's
    lengths; above zero only where the choice uses rows more than once."""
    lengths = Lengths.of(frame.sizes[choice])
    wanted = lengths.shares * size
    return float(np.maximum(0, wanted - frame.held(lengths.edges)).sum() / max(1, size))
