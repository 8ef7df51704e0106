"""A gauge that many processes set and one reads: how far each trial is, in a small mapped file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np


@final
@dataclass(frozen=True)
class Slot:
    """One trial's place; `slot(units, loss)` sets it. Pickles, and opens the file in whatever process calls it."""

    path: Path
    number: int

    def __call__(self, units: int, loss: float) -> None:
        # Not through a map: two machines that write one page of a shared file would undo each other's numbers. Where the
        # file is not seen nothing is shown, which is no reason to end a trial.
        with contextlib.suppress(OSError), open(self.path, "r+b") as file:
            file.seek(16 * self.number)
            file.write(np.array([units, loss], np.float64).tobytes())


@final
@dataclass(frozen=True)
class Gauge:
    """All places of one file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     gauge = Gauge.of(Path(folder) / "gauge", 2)
    ...     gauge.slot(1)(300, 2.5)
    ...     gauge.done(), gauge.loss()
    (300, 2.5)
    """

    path: Path

    @classmethod
    def of(cls, path: Path, slots: int) -> Gauge:
        """A new one, all at zero and no loss known."""
        path.parent.mkdir(parents=True, exist_ok=True)
        held = np.memmap(path, np.float64, "w+", shape=(max(1, slots), 2))
        held[:] = 0, np.nan
        held.flush()
        return cls(path)

    def slot(self, number: int) -> Slot:
        """The place of one trial."""
        return Slot(self.path, number)

    def done(self) -> int:
        """Units of all trials together."""
        return int(self._held()[:, 0].sum())

    def loss(self) -> float:
        """The mean loss of the trials that have one; NaN where none has."""
        known = self._held()[:, 1]
        known = known[~np.isnan(known)]
        return float(known.mean()) if len(known) else float("nan")

    def _held(self) -> np.ndarray:
        return np.memmap(self.path, np.float64, "r").reshape(-1, 2)
