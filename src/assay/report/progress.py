"""Progress bars with rate, time left and loss, one per stage, on standard error; silent where that is no terminal."""

from __future__ import annotations

import math
from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from assay.report.wording import amount, number


@final
class Bars:
    """A context manager whose `watch` the engine calls with (stage, done, in all), in bytes unless it names another unit.

    >>> with Bars(quiet=True) as bars:
    ...     bars.watch("count", 5, 10)
    ...     bars.watch("train and test lm-nano", 4_000, 2_000_000, "tokens", 7.62)
    """

    def __init__(self, quiet: bool = False):
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(24),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=quiet or not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, stage: str, done: int, total: int, unit: str = "bytes", loss: float = math.nan) -> None:
        """Show that `done` of `total` of a stage are finished, how fast, and the loss where there is one."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, told="")
        task = self._tasks[stage]
        self._progress.update(task, completed=done, total=total)
        speed = self._progress.tasks[task].speed
        self._progress.update(task, told=told(done, total, unit, speed, loss))


def told(done: int, total: int, unit: str, speed: float | None, loss: float) -> str:
    """What a bar says of a stage.

    >>> told(1_250_000, 4_000_000, "tokens", 27_800.0, 3.2071)
    '1.25 M of 4.00 M tokens, 27.8 k/s, loss 3.207'
    >>> told(5_000_000, 8_000_000, "bytes", None, math.nan)
    '5.00 of 8.00 MB'
    """
    first, whole = amount(done, unit), amount(total, unit)
    tail = whole.rpartition(" ")[2] if unit == "bytes" else unit
    first = first.removesuffix(f" {tail}")
    rate = f", {amount(round(speed), unit).removesuffix(f' {unit}')}/s" if speed else ""
    learnt = "" if math.isnan(loss) else f", loss {number(loss)}"
    return f"{first} of {whole}{rate}{learnt}"
