"""Arms: which rows each model is trained on, to the byte as many for every arm.

    B       = min(bytes of the choice, of every other fixed arm, of the eligible pool, trial_bytes)
    choice  = its rows; where it holds more than B, a uniform draw of them
    random  = for each seed a fresh order of the eligible pool; the curve's budgets are prefixes of that one order
    pool    = the eligible pool, or a uniform draw of it where it holds more than `curve_bytes`

An order sorts rows by a counter-based number of (seed, content of the row, how many rows before it have the same
content): neither workers nor the layout of shards change a draw, and copies of one text are drawn one by one, not as a
block (a block would make random poorer in distinct text than a fair draw is, which flatters the choice). A budget takes
the longest prefix that fits and then the beginning of the next row, so that all arms cost the same to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from assay.errors import InputError, RecipeError
from assay.kernels.draws import uniform
from assay.types import Texts
from assay.verify.intervals import LEAST_DRAWS

Source = Callable[[Int64[np.ndarray, "k"]], Iterator[Texts]]
_KEYS, _FIXED, _POOL, _RANDOM = 0x7E57 << 32, 0, 1, 2  # far from the keys with which selectors draw
_MOST_SEEDS = 1_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@final
@dataclass(frozen=True)
class Trial:
    """How arms are made and judged: the protocol's numbers, said in the verdict.

    seeds         draws of random, at least 3
    level         probability of a false verdict, two-sided
    trial_bytes   at most so many bytes for the choice and its equals; a larger choice is thinned by a uniform draw
    curve_bytes   at most so many bytes for the largest budget of random's curve
    reach         the curve goes to at most this many times the choice's budget
    seed          another one gives other draws throughout
    """

    seeds: int = 5
    level: float = 0.05
    trial_bytes: int = 4_000_000
    curve_bytes: int = 16_000_000
    reach: int = 16
    seed: int = 0

    def key(self, slot: int) -> int:
        """The key of one draw: no two slots of no two seeds share one."""
        return _KEYS + self.seed * (_MOST_SEEDS + _RANDOM) + slot


@final
@dataclass(frozen=True)
class Arm:
    """Rows in row order (one used twice stands twice); only `keep` bytes of the row `cut`, if that is not -1."""

    name: str
    seed: int
    budget: int
    rows: Int64[np.ndarray, "k"]
    cut: int
    keep: int

    def stream(self, source: Source) -> Iterator[Texts]:
        """The arm's texts block by block, `budget` bytes in all; `source` yields the texts of sorted distinct rows."""
        distinct, repeats = np.unique(self.rows, return_counts=True)
        at = 0
        for block in source(distinct):
            rows, times = distinct[at : at + len(block)], repeats[at : at + len(block)]
            at += len(block)
            yield self._shortened(block.take(np.repeat(np.arange(len(block)), times)), np.repeat(rows, times))
        if at != len(distinct):
            raise InputError(
                f"arm {self.name!r} asked for {len(distinct)} rows and got {at}: the pool changed since the run"
            )

    def _shortened(self, block: Texts, rows: Int64[np.ndarray, "b"]) -> Texts:
        found = np.flatnonzero(rows == self.cut)
        if not len(found):
            return block
        last = int(found[-1])  # of a row's copies only the last is cut
        start, stop = int(block.offsets[last]) + self.keep, int(block.offsets[last + 1])
        offsets = block.offsets.copy()
        offsets[last + 1 :] -= stop - start
        return Texts(np.concatenate([block.data[:start], block.data[stop:]]), offsets)


@final
@dataclass(frozen=True)
class Plan:
    """Every arm to train; `budgets` of random's curve rise, `budgets[start]` is the choice's; `notes` explain."""

    arms: tuple[Arm, ...]
    budgets: Int64[np.ndarray, "p"]
    start: int
    notes: tuple[str, ...]

    @property
    def budget(self) -> int:
        """Bytes of the choice and of every arm compared with it."""
        return int(self.budgets[self.start])

    @property
    def rows(self) -> Int64[np.ndarray, "k"]:
        """Every row that some arm reads: what one pass over the pool must gather."""
        return np.unique(np.concatenate([arm.rows for arm in self.arms]))


def occurrence(hashes: UInt64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """How many earlier rows have the same content.

    >>> occurrence(np.array([7, 9, 7, 7], np.uint64)).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(hashes, kind="stable")
    values = hashes[order]
    first = np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
    found = np.empty(len(values), np.int64)
    found[order] = np.arange(len(values)) - starts
    return found


@final
@dataclass(frozen=True)
class Frame:
    """The rows that can be drawn: their numbers, bytes, and content names that tell copies of one text apart."""

    rows: Int64[np.ndarray, "n"]
    sizes: Int64[np.ndarray, "n"]
    names: UInt64[np.ndarray, "n"]

    @classmethod
    def of(
        cls, sizes: Int64[np.ndarray, "n"], hashes: UInt64[np.ndarray, "n"], eligible: Bool[np.ndarray, "n"]
    ) -> Frame:
        """Keep the rows of a pool that are eligible (readable, not removed) and hold text; `eligible` is a mask."""
        rows = np.flatnonzero(eligible & (sizes > 0))
        return cls(rows, sizes[rows], hashes[rows] + occurrence(hashes[rows]).astype(np.uint64) * _GOLDEN)

    def at(self, rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "j"]:
        """Positions in this frame of those pool rows that it holds; a row given twice stands twice."""
        position = np.searchsorted(self.rows, rows)
        position = np.minimum(position, max(0, len(self.rows) - 1))
        return position[self.rows[position] == rows] if len(self.rows) else position[:0]

    def drawn(self, key: int, budget: int) -> Int64[np.ndarray, "k"]:
        """Positions in the order of draw `key`, at least `budget` bytes; only the share that can matter is sorted."""
        luck = uniform(key, self.names)
        share, total = budget / max(1, int(self.sizes.sum())), len(self.rows)
        for ceiling in (share * 1.1 + 1e-4, share * 2 + 1e-2, 1.0):
            near = np.flatnonzero(luck <= ceiling)
            if int(self.sizes[near].sum()) >= budget or len(near) == total:
                break
        return near[np.lexsort((near, luck[near]))]


def arm(name: str, seed: int, frame: Frame, order: Int64[np.ndarray, "k"], budget: int) -> Arm:
    """The longest prefix of `order` (positions in the frame) within `budget` bytes, and the next row's beginning."""
    spent = np.cumsum(frame.sizes[order], dtype=np.int64)
    whole = int(np.searchsorted(spent, budget, side="right"))
    rest = budget - (int(spent[whole - 1]) if whole else 0)
    cut = int(frame.rows[order[whole]]) if rest and whole < len(order) else -1
    taken = order[: whole + (cut >= 0)]
    return Arm(name, seed, budget, np.sort(frame.rows[taken]), cut, rest if cut >= 0 else 0)


def ladder(budget: int, most: int, trial: Trial) -> tuple[Int64[np.ndarray, "p"], int]:
    """Budgets of random's curve, doubling from an eighth of `budget` up to `reach` times or `most`; and its place.

    Where fewer than five fit, smaller ones are added below.

    >>> ladder(800, 4_000, Trial())
    (array([ 100,  200,  400,  800, 1600, 3200, 4000]), 3)
    """
    ceiling = min(budget * trial.reach, most)
    above = [budget * 2**step for step in range(1, 64) if budget * 2**step <= ceiling]
    if ceiling > 1.2 * (above[-1] if above else budget):
        above.append(ceiling)
    below = [budget >> step for step in range(max(3, 4 - len(above)), 0, -1)]
    if below[0] < 1:
        raise InputError(f"the choice holds only {budget} bytes of text, too little to train on: choose more")
    return np.array([*below, budget, *above], np.int64), len(below)


def plan(
    fixed: Mapping[str, Int64[np.ndarray, "k"]],
    frame: Frame,
    trial: Trial,
) -> Plan:
    """Lay out every arm: the fixed ones by name (`choice` first; perhaps a reference), random's draws, the pool.

    Rows that the frame lacks (removed as overlap, unreadable, empty) leave the fixed arms too. Raises InputError where
    an arm holds no text.
    """
    check(trial)
    if taken := sorted({"random", "pool"} & set(fixed)):
        raise RecipeError(
            f"an arm must not be named {taken[0]!r}, which verify needs for itself: rename the run's folder"
        )
    places = {name: frame.at(rows) for name, rows in fixed.items()}
    held = {name: int(frame.sizes[at].sum()) for name, at in places.items()}
    for name, size in held.items():
        if size == 0:
            raise InputError(f"arm {name!r} must hold text to train on; it has none left: choose more rows")
    whole = int(frame.sizes.sum())
    budget = min(*held.values(), whole, trial.trial_bytes)
    budgets, start = ladder(budget, min(whole, max(budget, trial.curve_bytes)), trial)
    arms = [_fixed(name, frame, places[name], budget, trial.key(_FIXED)) for name in places]
    for seed in range(trial.seeds):
        order = frame.drawn(trial.key(_RANDOM + seed), int(budgets[-1]))
        arms += [arm("random", seed, frame, order, int(size)) for size in budgets if size < whole]
    context = min(whole, trial.curve_bytes)
    arms.append(arm("pool", 0, frame, frame.drawn(trial.key(_POOL), context), context))
    return Plan(tuple(arms), budgets, start, _notes(held, budget, whole, context))


def _fixed(name: str, frame: Frame, places: Int64[np.ndarray, "k"], budget: int, key: int) -> Arm:
    """A choice as it is, or thinned to the budget by a draw in which a repeated row has a chance for each repeat."""
    names = frame.names[places]
    luck: Float64[np.ndarray, "k"] = uniform(key, names + occurrence(names).astype(np.uint64) * _GOLDEN)
    return arm(name, 0, frame, places[np.lexsort((places, luck))], budget)


def _notes(held: Mapping[str, int], budget: int, whole: int, context: int) -> tuple[str, ...]:
    notes = [
        f"{name} holds {size:,} bytes; a uniform draw of {budget:,} bytes of it was tried, as much as every other arm"
        for name, size in held.items()
        if size > budget
    ]
    if whole > context:
        notes.append(f"the pool holds {whole:,} bytes; a uniform draw of {context:,} bytes of it stands for it")
    return tuple(notes)


def check(trial: Trial) -> None:
    """Raise a sentence for a trial that cannot be run."""
    if not LEAST_DRAWS <= trial.seeds <= _MOST_SEEDS:
        raise RecipeError(
            f"verify needs {LEAST_DRAWS} to {_MOST_SEEDS} seeds, to know how much random varies; got {trial.seeds}"
        )
    if not 0 < trial.level < 1:
        raise RecipeError(f"level must be between 0 and 1 (0.05 is 5 %); got {trial.level}")
    if trial.trial_bytes < 1_000 or trial.curve_bytes < trial.trial_bytes or trial.reach < 1:
        raise RecipeError(
            "trial_bytes must be at least 1000 and curve_bytes at least trial_bytes; "
            f"got {trial.trial_bytes:,} and {trial.curve_bytes:,}"
        )
