"""Progress bars with rate and time left, one per stage, on standard error; silent where that is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@final
class Bars:
    """A context manager whose `watch` the engine calls with (stage, bytes done, bytes in all).

    >>> with Bars(quiet=True) as bars:
    ...     bars.watch("count", 5, 10)
    """

    def __init__(self, quiet: bool = False):
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
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

    def watch(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` bytes of a stage are finished."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done)
