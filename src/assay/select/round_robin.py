"""Round robin over target examples: each in turn takes the row that is nearest to it and not yet taken.

    for r = 1, 2, …   for j = 1 … t   i = argmax_{i not in S} cos(v_i, v(y_j)),   S ← S + (i)

until the budget is spent. This is not the best of max_j cos: every example gets as many rows as every other, though those of one
lie far off. The order is that of choice, round by round, so that gains do not fall along it.

Guarantee: exact and nested; equal cosines keep row order. Of each example only its nearest rows are held, and looked for again
among the rest when they are used up, so memory is t lists and never n times t.
Source: the selection of RDS+: Ivison, Zhang, Brahman, Koh and Dasigi, Large-Scale Data Selection for Instruction Tuning, 2025,
https://arxiv.org/abs/2503.01807. With gradients in place of embeddings: https://arxiv.org/abs/2602.14696 (2026).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from assay.contracts import Selector
from assay.errors import InputError
from assay.models.cosine import cosines, unit
from assay.types import Groups, Limit, Selection, Signals

_HELD = 1 << 23  # nearest rows that are held, of all examples together
_CELLS = 1 << 22  # cosines that are worked out at once
_NO_VECTOR = "round_robin: the row has no vector"


@final
@dataclass(frozen=True)
class RoundRobin(Selector):
    """Target examples take turns, each taking its nearest row.

    of   the signal of vectors (embeddings, gradients), which is measured on the target too

    >>> signals = Signals({"embed": np.array([[1, 0], [1, 0.1], [0, 1]]), "target:embed": np.eye(2)})
    >>> limit = Limit(2, "examples", np.ones(3, np.int64))
    >>> RoundRobin().select(signals, None, limit, np.random.default_rng(0)).rows.tolist()
    [0, 2]
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2503.01807"

    of: str = "embed"

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors of the candidates (n, d) and of the target's examples (t, d)."""
        return (self.of, f"target:{self.of}")

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Rows in the order in which they were taken, each with its cosine; rows without a vector stay out."""
        vectors, aims = signals[self.of], unit(signals[f"target:{self.of}"])
        if not len(aims):
            raise InputError(f"round_robin needs a target with at least one {self.of!r} vector; it has none")
        known = np.isfinite(vectors).all(axis=1)
        rows, gains, spent = [], [], 0
        for row, gain in _turns(vectors, aims, ~known, _share(limit, len(aims))):
            spent += int(limit.cost[row])
            if spent > limit.amount:
                break
            rows.append(row)
            gains.append(gain)
        lacking = {} if known.all() else {_NO_VECTOR: np.flatnonzero(~known)}
        chosen = np.array(rows, np.int64)
        return Selection(chosen, np.array(gains, np.float64), np.ones(len(rows)), True, lacking)


def _share(limit: Limit, examples: int) -> int:
    """About how many rows each example may take."""
    rows = limit.amount if limit.unit == "examples" else limit.amount * len(limit.cost) / max(1, limit.total)
    return int(rows / examples) + 1


class _Nearest(NamedTuple):
    """Of every example the nearest rows that were free when they were looked for, nearest first."""

    rows: Int64[np.ndarray, "t k"]
    gains: Float32[np.ndarray, "t k"]


def _turns(
    vectors: Shaped[np.ndarray, "n d"], aims: Float64[np.ndarray, "t d"], taken: Bool[np.ndarray, "n"], share: int
) -> Iterator[tuple[int, float]]:
    """Rows and cosines in the order of the rounds, until no row is free."""
    left, depth, places = int((~taken).sum()), 4 * share + 64, np.zeros(len(aims), np.int64)
    nearest = _nearest(vectors, aims, taken, depth)
    while left:
        for example in range(len(aims)):
            place = _free(nearest.rows[example], int(places[example]), taken)
            if place == nearest.rows.shape[1]:  # all that it held are taken: look again, further each time
                depth *= 4
                nearest, places[:] = _nearest(vectors, aims, taken, depth), 0
                place = 0
            row = int(nearest.rows[example, place])
            taken[row], places[example], left = True, place + 1, left - 1
            yield row, float(nearest.gains[example, place])
            if not left:
                return


def _free(rows: Int64[np.ndarray, "k"], place: int, taken: Bool[np.ndarray, "n"]) -> int:
    """The first place from this one on whose row is free; past the end where none is."""
    while place < len(rows) and taken[rows[place]]:
        place += 1
    return place


def _nearest(
    vectors: Shaped[np.ndarray, "n d"], aims: Float64[np.ndarray, "t d"], taken: Bool[np.ndarray, "n"], depth: int
) -> _Nearest:
    """The `depth` nearest free rows of every example, fewer where all lists would grow too long; ties by row."""
    count = len(aims)
    depth = max(1, min(depth, _HELD // count, int((~taken).sum())))
    floor = np.full(count, -np.inf, np.float32)  # only what is above is nearer than all that is held
    held = (np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))
    size = max(1, _CELLS // count)
    for start in range(0, len(vectors), size):
        rows = start + np.flatnonzero(~taken[start : start + size])
        near = cosines(vectors[rows], aims)
        places, examples = np.nonzero(near > floor)
        found = (examples, near[places, examples], rows[places])
        held = tuple(np.concatenate(pair) for pair in zip(held, found, strict=True))
        if len(held[0]) > 2 * depth * count:
            held, floor = _kept(*held, count, depth)
    (examples, gains, rows), _ = _kept(*held, count, depth)
    place = np.arange(len(examples)) - np.searchsorted(examples, examples)
    lists = _Nearest(np.zeros((count, depth), np.int64), np.zeros((count, depth), np.float32))
    lists.rows[examples, place], lists.gains[examples, place] = rows, gains
    return lists


def _kept(
    examples: np.ndarray, gains: np.ndarray, rows: np.ndarray, count: int, depth: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], Float32[np.ndarray, "t"]]:
    """Of every example's rows the nearest, and the cosine of its last one where its list is full."""
    order = np.lexsort((-gains, examples))  # stable, and rows come in order: of equal ones the first
    examples, gains, rows = examples[order], gains[order], rows[order]
    place = np.arange(len(examples)) - np.searchsorted(examples, examples)
    floor = np.full(count, -np.inf, np.float32)
    last = place == depth - 1
    floor[examples[last]] = gains[last]
    return (examples[place < depth], gains[place < depth], rows[place < depth]), floor
