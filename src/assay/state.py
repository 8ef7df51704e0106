"""What the steps of a run have made so far: the engine fills it, the account and the outputs read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, Shaped

from assay.run.jobs import Annotate
from assay.run.passes import Pool
from assay.run.table import row_type
from assay.steps import Step
from assay.types import Fitted


@final
class Columns(Mapping[str, np.ndarray]):
    """Signals by name, some of them made only when they are asked for: a column of every row costs memory.

    >>> Columns({"a": np.zeros(1)}, {"b": lambda: np.ones(1)})["b"].tolist()
    [1.0]
    """

    def __init__(self, ready: Mapping[str, np.ndarray], lazy: Mapping[str, Callable[[], np.ndarray]]):
        self._ready, self._lazy = ready, lazy

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "n"]:
        return self._lazy[name]() if name in self._lazy else self._ready[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lazy or name in self._ready  # and makes none, as looking it up would

    def __iter__(self) -> Iterator[str]:
        return iter([*self._ready, *self._lazy])

    def __len__(self) -> int:
        return len(self._ready) + len(self._lazy)


@final
@dataclass
class Fates:
    """Why rows left before any selection: `why (n,)` indexes `reasons` (-1: still there); `other (n,)` is the row that a
    reason ending in "of row " speaks of. Neither is made before a row leaves.

    >>> fates = Fates(3)
    >>> fates.drop(np.array([True, False, False]), "where: bytes > 9")
    >>> fates.why.tolist(), fates.reasons
    ([0, -1, -1], ['where: bytes > 9'])
    """

    size: int
    reasons: list[str] = field(default_factory=list)
    why: Int32[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0, np.int32))
    other: Int[np.ndarray, "n"] | None = None
    codes: dict[str, int] = field(default_factory=dict)

    def drop(
        self,
        rows: Bool[np.ndarray, "b"] | Int[np.ndarray, "k"],
        reason: str,
        others: Int[np.ndarray, "k"] | None = None,
        first: int = 0,
    ) -> None:
        """Let rows go, a mask or numbers counted from `first`; `others` gives each the row that its reason names."""
        if not len(self.why):
            self.why = np.full(self.size, -1, np.int32)
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        positions = positions + first if first else positions
        self.why[positions] = self.code(reason)
        if others is not None:
            if self.other is None:
                self.other = np.full(self.size, -1, row_type(self.size))
            self.other[positions] = others

    def code(self, reason: str) -> int:
        """The number of a reason."""
        if reason not in self.codes:
            self.codes[reason] = len(self.reasons)
            self.reasons.append(reason)
        return self.codes[reason]


@final
@dataclass(frozen=True)
class Made:
    """Which step measured a signal, by which job, and what the column is called there."""

    step: Step
    job: Annotate
    column: str


@final
@dataclass
class State:
    """What the steps have made so far: signals by name, which of them score steps made, who dropped which rows, and what
    each step tells of itself for `run.json`."""

    pool: Pool
    targets: list[Pool]
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    lazy: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    makers: dict[str, Made] = field(default_factory=dict)  # what measured a signal, so that it can be measured on a target
    annotated: set[str] = field(default_factory=set)  # signals of annotate steps: no filter's column takes their place
    fits: dict[str, Fitted] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fates: Fates = field(default_factory=lambda: Fates(0))
    filters: list[dict[str, Any]] = field(default_factory=list)
    duplicates: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    edited: Int64[np.ndarray, "n"] | None = None  # one bit for each edit step that changed the row

    def mark_edited(self, rows: Bool[np.ndarray, "n"]) -> None:
        """Remember which rows the next edit step changed."""
        if self.edited is None:
            self.edited = np.zeros(len(rows), np.int64)
        self.edited[rows] |= 1 << len(self.edits)

    def drop(self, rows: Bool[np.ndarray, "n"], reason: str) -> None:
        """Take living rows out of everything that follows, and remember why."""
        living = self.pool.living
        self.fates.size = len(living)
        self.fates.drop(living & rows, reason)
        self.pool.alive = living & ~rows
