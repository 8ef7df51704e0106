"""Arms: which rows each model is trained on, in which order, to the unit as many for every arm.

A unit is what the judge reads: a byte for `ngram`, a token of one fixed tokenizer for neural proxies. How many units a row
has is known only once it was read, so arms are made in two moves: `draft` takes rows in order until there are surely
enough (by bytes), and `settle`, when the judge has read them, cuts every arm at the same number of units.

    B       = min(units of the choice, of every other fixed arm, of the eligible pool, trial.units), in whole steps
    choice  = its rows; where it holds more than B, a uniform draw of them
    random  = for each seed a fresh order of the eligible pool; the curve's budgets are prefixes of that one order
    length  = for each seed a draw with as much text in every class of length as the choice has there
    rs2     = for each seed and each pass over the data a fresh draw of B units (its first pass is random's own)
    pool    = the eligible pool, or a uniform draw of it where it holds more than `trial.curve` units

An order sorts rows by a counter-based number of (seed, content of the row, how many rows before it have the same
content): neither workers nor the layout of shards change a draw, and copies of one text are drawn one by one, not as a
block (a block would make random poorer in distinct text than a fair draw is, which flatters the choice). A budget takes
the longest prefix that fits and then the beginning of the next row, so that all arms cost the same to the unit.

Sources: random at equal cost with the rate decayed at the arm's own budget, Kaddour et al. 2023 (No Train No Gain),
https://arxiv.org/abs/2307.06440; RS2, Okanovic et al. 2023, https://arxiv.org/abs/2305.18424.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int64

from assay.errors import InputError, RecipeError
from assay.kernels.draws import uniform
from assay.types import Sequences
from assay.verify.frame import GOLDEN, Frame
from assay.verify.intervals import LEAST_DRAWS
from assay.verify.rivals import matched, short_of

Source = Callable[[Int64[np.ndarray, "k"]], Iterator[Sequences]]
_KEYS, _FIXED, _POOL, _RANDOM = 0x7E57 << 32, 0, 1, 2  # far from the keys with which selectors draw
_FAMILIES = {"length": 0x7E58 << 32, "rs2": 0x7E59 << 32, "order": 0x7E5A << 32}
_MOST_SEEDS, _MOST_EPOCHS = 1_000, 100
_AMPLE = 1.5  # how many more bytes are drawn where units are not bytes: one arm's text may have more bytes a unit
RIVALS = ("length", "rs2")
__all__ = [
    "RIVALS", "Arm", "Draft", "Frame", "Order", "Pass", "Plan", "Source", "Trial", "check", "draft", "ladder", "matched",
    "plan", "reordered", "rival", "settle", "taken",
]  # fmt: skip


@final
@dataclass(frozen=True)
class Trial:
    """How arms are made and judged: the protocol's numbers, said in the verdict.

    seeds    draws of random, at least 3
    level    probability of a false verdict, two-sided
    units    at most so many for the choice and its equals; a larger choice is thinned by a uniform draw
    curve    at most so many for the largest budget of random's curve
    reach    the curve goes to at most this many times the choice's budget
    epochs   passes over the data; every arm is trained on `epochs` times the budget
    rivals   arms beside random: `length`, and `rs2` where there is more than one epoch
    seed     another one gives other draws throughout
    """

    seeds: int = 5
    level: float = 0.05
    units: int = 4_000_000
    curve: int = 16_000_000
    reach: int = 16
    epochs: int = 1
    rivals: tuple[str, ...] = ()
    seed: int = 0

    def key(self, slot: int) -> int:
        """The key of one draw: no two slots of no two seeds share one."""
        return _KEYS + self.seed * (_MOST_SEEDS + _RANDOM) + slot

    def other_key(self, family: str, seed: int, epoch: int = 0) -> int:
        """The same for draws of which there is one for each seed and pass."""
        return _FAMILIES[family] + (self.seed * _MOST_SEEDS + seed) * _MOST_EPOCHS + epoch


@final
@dataclass(frozen=True)
class Pass:
    """Rows in the order of reading; of the one at `cut`, if that is not -1, only the first `keep` units."""

    rows: Int64[np.ndarray, "k"]
    cut: int = -1
    keep: int = 0


@final
@dataclass(frozen=True)
class Arm:
    """What one model is trained on: `budget` units of data, as often as there are passes."""

    name: str
    seed: int
    budget: int
    passes: tuple[Pass, ...]

    @property
    def rows(self) -> Int64[np.ndarray, "k"]:
        """The rows of its first pass, in row order; one used twice stands twice."""
        return np.sort(self.passes[0].rows)

    @property
    def cost(self) -> int:
        """Units that the model is trained on, all passes together."""
        return self.budget * len(self.passes)

    def stream(self, source: Source) -> Iterator[Sequences]:
        """The arm's documents in the order of reading, `cost` units in all; `source` yields those of any rows, in order."""
        for one in self.passes:
            at = 0
            for block in source(one.rows):
                inside = at <= one.cut < at + len(block)
                at += len(block)
                yield block.shortened(one.cut - at + len(block), one.keep) if inside else block
            if at != len(one.rows):
                raise InputError(
                    f"arm {self.name!r} asked for {len(one.rows)} rows and got {at}: the pool changed since the run"
                )


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
        """Units of the choice and of every arm compared with it."""
        return int(self.budgets[self.start])

    @property
    def rows(self) -> Int64[np.ndarray, "k"]:
        """Every row that some arm reads."""
        return np.unique(np.concatenate([one.rows for arm in self.arms for one in arm.passes]))


@final
@dataclass(frozen=True)
class Order:
    """Positions in a frame in the order in which an arm takes them, one array for each pass; surely enough of them."""

    name: str
    seed: int
    passes: tuple[Int64[np.ndarray, "k"], ...]


@final
@dataclass(frozen=True)
class Draft:
    """Orders before anybody has counted their units; `held` are the bytes of the fixed arms. `whole`: the orders of random hold
    all rows of the frame. `notes` are for the plan's."""

    frame: Frame
    orders: tuple[Order, ...]
    held: Mapping[str, int]
    whole: bool
    seeded: bool
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> Int64[np.ndarray, "k"]:
        """Every row that some arm may read: what one pass over the pool must gather."""
        return self.frame.rows[np.unique(np.concatenate([part for order in self.orders for part in order.passes]))]


def draft(
    fixed: Mapping[str, Int64[np.ndarray, "k"]],
    frame: Frame,
    trial: Trial,
    bytes_per_unit: float = 1.0,
    seeded: bool = False,
) -> Draft:
    """Order the rows of every arm: the fixed ones by name (`choice` first; perhaps others), random's draws, rivals, the pool.

    `bytes_per_unit` is what a unit of text takes at most, on the whole; `seeded`: the judge has randomness of its own, so that
    fixed arms are trained once for each seed. Rows that the frame lacks (removed as overlap, unreadable, empty) leave the
    fixed arms too. Raises InputError where an arm holds no text.
    """
    check(trial)
    if taken := sorted({"random", "pool", *RIVALS} & set(fixed)):
        raise RecipeError(
            f"an arm must not be named {taken[0]!r}, which verify needs for itself: rename the run's folder"
        )
    places = {name: np.sort(frame.at(rows)) for name, rows in fixed.items()}
    for name, at in places.items():
        if not len(at):
            raise InputError(f"arm {name!r} must hold text to train on; it has none left: choose more rows")
    whole, most, enough = int(frame.sizes.sum()), *(_scaled(one, bytes_per_unit) for one in (trial.curve, trial.units))
    held = {name: int(frame.sizes[at].sum()) for name, at in places.items()}
    small = min(whole, enough, *held.values())
    ample = small if bytes_per_unit == 1 else min(whole, _scaled(small, _AMPLE))
    largest = min(whole, max(ample, most), ample * trial.reach)
    orders = [Order(name, 0, (_thinned(frame, at, trial.key(_FIXED), enough),)) for name, at in places.items()]
    for seed in range(trial.seeds):
        orders.append(Order("random", seed, (frame.drawn(trial.key(_RANDOM + seed), largest),)))
        orders += [
            Order(name, seed, rival(name, seed, frame, places["choice"], small, trial, ample - small))
            for name in _rivals(trial)
        ]  # fmt: skip
    orders.append(Order("pool", 0, (frame.drawn(trial.key(_POOL), min(whole, most)),)))
    notes = _rivals_notes(frame, places["choice"], small, trial)
    return Draft(frame, tuple(orders), held, largest >= whole, seeded, notes)


def _scaled(units: int, bytes_per_unit: float) -> int:
    return int(np.ceil(units * bytes_per_unit))


def _rivals(trial: Trial) -> tuple[str, ...]:
    """In one epoch RS2 is random, which is there already."""
    return tuple(name for name in trial.rivals if name != "rs2" or trial.epochs > 1)


def rival(
    name: str, seed: int, frame: Frame, choice: Int64[np.ndarray, "k"], size: int, trial: Trial, further: int = 0
) -> tuple[Int64[np.ndarray, "j"], ...]:
    """Positions of one of `RIVALS`, at least `size` bytes of them in each pass, and `further` ones to choose from."""
    if name == "rs2":
        first = frame.drawn(trial.key(_RANDOM + seed), size + further)
        fresh = [frame.drawn(trial.other_key("rs2", seed, epoch), size + further) for epoch in range(1, trial.epochs)]
        return (first, *fresh)
    return (matched(frame, choice, size, trial.other_key("length", seed), further),)


def _rivals_notes(frame: Frame, choice: Int64[np.ndarray, "k"], size: int, trial: Trial) -> tuple[str, ...]:
    notes = []
    if "rs2" in trial.rivals and trial.epochs == 1:
        notes.append("rs2 is left out: with one pass over the data a fresh subset for each pass is random itself")
    if "length" in trial.rivals and (short := short_of(frame, choice, size)) > 0:
        notes.append(
            f"length: the pool has too little text as long as some of the choice's; {short:.1%} of the arm is of lengths nearby"
        )
    return tuple(notes)


def settle(drafted: Draft, units: Int64[np.ndarray, "n"], trial: Trial, step: int = 1) -> Plan:
    """Cut every arm at the same number of units; `units` of every row of the frame that some arm may read, `step` at a time."""
    held = {(order.name, order.seed): min(int(units[part].sum()) for part in order.passes) for order in drafted.orders}
    fixed = {name: size for (name, _), size in held.items() if name not in ("random", "pool", *RIVALS)}
    most = min(size for (name, _), size in held.items() if name == "random")
    rivals = [size for (name, _), size in held.items() if name in RIVALS]
    budget = min(*fixed.values(), *rivals, most, trial.units) // step * step
    if not budget:
        raise InputError(
            f"the choice must hold at least {step:,} units of text, one step of training; it has "
            f"{min(fixed.values()):,}: choose more rows"
        )
    whole = most if drafted.whole else None
    budgets, start = ladder(budget, min(most, max(budget, trial.curve)), trial, step)
    context = min(held.get(("pool", 0), 0), trial.curve) // step * step
    sizes = {"pool": [context], "random": [size for size in budgets.tolist() if whole is None or size < whole]}
    arms = [
        _arm(order, drafted, units, size, trial, seed)
        for order in drafted.orders
        for seed in _seeds(order, drafted, trial)
        for size in sizes.get(order.name, [budget])
    ]
    return Plan(tuple(arms), budgets, start, _notes(drafted, fixed, budget, step, context))


def _seeds(order: Order, drafted: Draft, trial: Trial) -> range:
    """A fixed arm is trained once, or once for each seed where the judge has randomness of its own."""
    if order.name in ("random", "pool", *RIVALS):
        return range(order.seed, order.seed + 1)
    return range(trial.seeds if drafted.seeded else 1)


def _arm(order: Order, drafted: Draft, units: Int64[np.ndarray, "n"], budget: int, trial: Trial, seed: int) -> Arm:
    """One arm. Passes over rows that were read already, and a fixed arm's every pass, are in an order of (seed, pass)."""
    fixed, passes = order.name in drafted.held, []
    for epoch in range(trial.epochs):
        one = taken(order.passes[epoch % len(order.passes)], drafted.frame.rows, units, budget)
        again = fixed or epoch >= len(order.passes)
        passes.append(reordered(one, trial.other_key("order", seed, epoch)) if again else one)
    return Arm(order.name, seed, budget, tuple(passes))


def taken(
    order: Int64[np.ndarray, "k"], rows: Int64[np.ndarray, "n"], units: Int64[np.ndarray, "n"], budget: int
) -> Pass:
    """The longest prefix of `order` (positions) within `budget` units, and the next row's beginning."""
    spent = np.cumsum(units[order], dtype=np.int64)
    whole = int(np.searchsorted(spent, budget, side="right"))
    rest = budget - (int(spent[whole - 1]) if whole else 0)
    if not rest or whole == len(order):
        return Pass(rows[order[:whole]])
    return Pass(rows[order[: whole + 1]], whole, rest)


def reordered(one: Pass, key: int) -> Pass:
    """The same rows in another uniform order, that of draw `key`."""
    order = np.argsort(uniform(key, np.arange(len(one.rows), dtype=np.uint64)), kind="stable")
    cut = -1 if one.cut < 0 else int(np.flatnonzero(order == one.cut)[0])
    return Pass(one.rows[order], cut, one.keep)


def ladder(budget: int, most: int, trial: Trial, step: int = 1) -> tuple[Int64[np.ndarray, "p"], int]:
    """Budgets of random's curve, doubling from an eighth of `budget` up to `reach` times or `most`; and its place.

    Where fewer than five fit, smaller ones are added below; all are whole steps.

    >>> ladder(800, 4_000, Trial())
    (array([ 100,  200,  400,  800, 1600, 3200, 4000]), 3)
    """
    ceiling = min(budget * trial.reach, most) // step * step
    above = [budget * 2**doubling for doubling in range(1, 64) if budget * 2**doubling <= ceiling]
    if ceiling > 1.2 * (above[-1] if above else budget):
        above.append(ceiling)
    below = [(budget >> halving) // step * step for halving in range(max(3, 4 - len(above)), 0, -1)]
    if below[0] < 1:
        raise InputError(f"the choice holds only {budget} units of text, too little to train on: choose more")
    return np.array([*below, budget, *above], np.int64), len(below)


def plan(fixed: Mapping[str, Int64[np.ndarray, "k"]], frame: Frame, trial: Trial) -> Plan:
    """Lay out every arm where a unit is a byte, so that nothing need be read first."""
    return settle(draft(fixed, frame, trial), frame.sizes, trial)


def _thinned(frame: Frame, places: Int64[np.ndarray, "k"], key: int, enough: int) -> Int64[np.ndarray, "j"]:
    """A choice (sorted positions) in the order in which it is thinned, as far as `enough` bytes: a draw in which a repeated row
    has a chance for each repeat."""
    numbers = np.arange(len(places))
    starts = np.maximum.accumulate(np.where(np.diff(places, prepend=-1) != 0, numbers, 0))
    names = frame.names[places] + (numbers - starts).astype(np.uint64) * GOLDEN
    within = Frame(numbers, frame.sizes[places], names).drawn(key, enough)
    spent = np.cumsum(frame.sizes[places[within]], dtype=np.int64)
    return places[within[: int(np.searchsorted(spent, enough)) + 1]]


def _notes(drafted: Draft, fixed: Mapping[str, int], budget: int, step: int, context: int) -> tuple[str, ...]:
    notes = list(drafted.notes)
    notes += [
        f"{name} holds {drafted.held[name]:,} bytes; a uniform draw of {budget:,} units of it was tried, as much as every other arm"
        for name, size in fixed.items()
        if size >= budget + step
    ]
    whole = int(drafted.frame.sizes.sum())
    if context and sum(len(one.passes[0]) for one in drafted.orders if one.name == "pool") < len(drafted.frame.rows):
        notes.append(f"the pool holds {whole:,} bytes; a uniform draw of {context:,} units of it stands for it")
    return tuple(notes)


def check(trial: Trial) -> None:
    """Raise a sentence for a trial that cannot be run."""
    if not LEAST_DRAWS <= trial.seeds <= _MOST_SEEDS:
        raise RecipeError(
            f"verify needs {LEAST_DRAWS} to {_MOST_SEEDS} seeds, to know how much random varies; got {trial.seeds}"
        )
    if not 0 < trial.level < 1:
        raise RecipeError(f"level must be between 0 and 1 (0.05 is 5 %); got {trial.level}")
    if trial.units < 1_000 or trial.curve < trial.units or trial.reach < 1:
        raise RecipeError(
            "a trial's units must be at least 1000 and its curve at least as many; "
            f"got {trial.units:,} and {trial.curve:,}"
        )
    if not 1 <= trial.epochs <= _MOST_EPOCHS:
        raise RecipeError(f"epochs must be 1 to {_MOST_EPOCHS}; got {trial.epochs}")
    if unknown := sorted(set(trial.rivals) - set(RIVALS)):
        raise RecipeError(f"an arm beside random must be one of {', '.join(RIVALS)}; got {unknown[0]!r}")
