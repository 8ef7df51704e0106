"""What the steps of a run have made so far: the engine fills it, the account and the outputs read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Shaped

from assay.run.passes import Pool
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

    def __iter__(self) -> Iterator[str]:
        return iter([*self._ready, *self._lazy])

    def __len__(self) -> int:
        return len(self._ready) + len(self._lazy)


@final
@dataclass
class State:
    """What the steps have made so far: signals by name, which of them score steps made, who dropped which rows."""

    pool: Pool
    targets: list[Pool]
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    fits: dict[str, Fitted] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    dropped: list[tuple[str, np.ndarray]] = field(default_factory=list)
