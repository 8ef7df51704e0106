"""Local processes: map a function over items, results in order, whatever the number of workers.

One forkserver imports the heavy modules once and forks the workers from there, so a worker starts in milliseconds and
no lock of a threaded library is ever copied in mid-hold. With one worker, or one item, everything runs in place.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, final

from assay.errors import RunError

_PRELOAD = ["assay.run.preload"]
_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# glibc hands freed blocks of megabytes back to the system at once, and each block then costs a page fault per 4 KB again;
# below 32 MB (its upper limit) they stay with the worker, which needs the same sizes for the next block of text.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
WORKER_ENVIRONMENT = {**dict.fromkeys(_THREADS, "1"), **_KEEP_MEMORY}


def available_workers() -> int:
    """Processors this process may use, which a container or a scheduler may have narrowed."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prestart() -> None:
    """Start the server that workers are forked from, so that its imports overlap with the caller's own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    with _one_thread_each(), _hidden_main():
        multiprocessing.forkserver.ensure_running()


@final
class Local:
    """Workers on this machine; a context manager that starts none until there is more than one item to do.

    >>> with Local(workers=1) as local:
    ...     list(local.map(abs, [-2, 1]))
    [2, 1]
    """

    def __init__(self, workers: int | None = None):
        self.workers = workers or available_workers()
        self._executor: ProcessPoolExecutor | None = None
        self._waiting = deque[tuple[Any, Future]]()

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *unused: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Let the workers go, and with them what they keep in memory; the next items start new ones, in milliseconds."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    @property
    def beside(self) -> int:
        """See `Workers.beside`."""
        return self.workers

    @property
    def apart(self) -> bool:
        """See `Workers.apart`."""
        return False

    @property
    def places(self) -> Mapping[str, int]:
        """See `Workers.places`."""
        return {}

    def meet(self, folder: Path) -> None:
        """See `Workers.meet`: this machine sees what it has."""

    def hold(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.hold`: a process of this machine lasts as long as its run."""
        yield from self.map(function, items)

    def warm(self) -> None:
        """Start the forkserver early, so that its imports overlap with the caller's own work."""
        if self.workers > 1:
            self._start()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield `function(item)` in the order of the items, at most two items per worker ahead of the reader."""
        listed = list(items)
        if self.workers == 1 or len(listed) <= 1:
            yield from map(function, listed)
            return
        try:
            yield from self._spread(function, listed)
        except BrokenProcessPool:
            self._executor = None
            raise RunError(
                f"a worker process was killed, most likely for lack of memory, at {self._suspects()}; run the same command "
                "again with fewer --workers or a smaller --memory: finished shards are kept"
            ) from None

    def _spread(self, function: Callable[[Any], Any], items: list[Any]) -> Iterator[Any]:
        executor, self._waiting = self._start(), deque[tuple[Any, Future]]()
        for item in items:
            with _hidden_main():
                self._waiting.append((item, executor.submit(function, item)))
            if len(self._waiting) >= 3 * self.workers:
                yield self._next()
        while self._waiting:
            yield self._next()

    def _next(self) -> Any:
        """The oldest item's result; the item counts as under way until it is there."""
        value = self._waiting[0][1].result()
        self._waiting.popleft()
        return value

    def _suspects(self) -> str:
        """What was under way when a worker died: the oldest items without a result, as many as there are workers."""
        lost = [item for item, future in self._waiting if future.exception() is not None]
        return " or ".join(dict.fromkeys(told(item) for item in lost[: self.workers])) or "the start of a worker"

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            prestart()
            context = multiprocessing.get_context("forkserver")
            with _one_thread_each():
                self._executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_follow_parent)
                with _hidden_main():
                    self._executor.submit(int)
        return self._executor


def told(item: Any) -> str:
    """What an item is, for a message: its `title` where it has one."""
    return str(getattr(item, "title", "a part of the work"))


def _follow_parent() -> None:
    """End this worker when its run is killed: an orphan must not go on writing into a store that a rerun uses."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers are the parallelism: libraries inside them get one thread, those of the caller keep theirs."""
    kept = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Hide the caller's script while workers start: they need our modules, and must not run the script again."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    if "__file__" in kept:
        del main.__file__
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
