"""A real Ray cluster of several nodes on this machine, and how a node is killed while it is at a piece of work.

A node is a raylet with its agents and workers. A worker's title says what it is doing, so whoever stops a worker with
SIGSTOP, finds the title of a task there and then kills the node with SIGKILL has killed it in the middle of that task.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

_OBJECTS = 80 << 20


@dataclass
class Raylets:
    """A head without processors, and nodes of one processor each; a node that is killed is replaced."""

    count: int = 2
    cluster: Any = None
    nodes: list[Any] = field(default_factory=list)
    adding: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Raylets:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        lean = {"object_store_memory": _OBJECTS, "include_dashboard": False, "include_log_monitor": False}
        # Ray's own hooks at exit are signal handlers, which no thread but the first may set.
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **lean}, shutdown_at_exit=False)
        for _ in range(self.count):
            self.add()
        self.cluster.wait_for_nodes()
        return self

    def __exit__(self, *unused: object) -> None:
        import ray

        for thread in self.adding:
            thread.join()
        ray.shutdown()
        # A driver's own forkserver has Ray's folder in its arguments, by `sys.path`: it must live, whoever is here last.
        processes = [process for node in (*self.nodes, self.cluster.head_node) for process in _tree(node)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    @property
    def address(self) -> str:
        return self.cluster.address

    def add(self) -> None:
        """One more node; it joins when it is ready."""
        for attempt in range(3):
            try:
                self.nodes.append(self.cluster.add_node(wait=False, num_cpus=1, object_store_memory=_OBJECTS))
                return
            except Exception:  # Ray's own, after 30 seconds, which a busy machine may take
                if attempt == 2:
                    raise

    def kill(self, node: Any) -> None:
        """SIGKILL to the raylet and everything that it has started."""
        for process in _tree(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.nodes.remove(node)
        self.cluster.worker_nodes.discard(node)

    def kill_at(self, task: str, now: Callable[[], bool], moment: int = 0, patience: float = 240.0) -> str:
        """Kill a node whose worker is stopped in the middle of a task of this name while `now` holds; which, as its title says.

        Workers are stopped and let go again every few milliseconds until one is caught, so that nothing passes unseen;
        `moment` of the tasks go by before.
        """
        end, passed = time.monotonic() + patience, set[str]()
        while time.monotonic() < end:
            # Another stage's workers are let alone: finding and stopping them costs the run a processor.
            for node in list(self.nodes) if now() else ():
                for worker in _workers(node):
                    with _stopped(worker):
                        title = _title(worker)
                        if title.startswith(f"ray::{task} ") and now():
                            passed.add(title)
                            if len(passed) <= moment:
                                continue
                            time.sleep(0.1)  # what it was at cannot end meanwhile, and so neither can the stage
                            if now():
                                self.kill(node)
                                self.adding.append(threading.Thread(target=self.add))
                                self.adding[-1].start()
                                return title
            time.sleep(0.001)
        raise AssertionError(f"no worker was seen at {task} in {patience} s")


def _tree(node: Any) -> list[psutil.Process]:
    """All processes of a node."""
    found = []
    for listed in node.all_processes.values():
        for info in listed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(info.process.pid)
                found += [process, *process.children(recursive=True)]
    return found


def _raylet(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def _workers(node: Any) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [one for one in _raylet(node).children() if "Agent" not in (title := _title(one)) and "::" in title]
    return []


def _title(process: psutil.Process) -> str:
    try:
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[0].decode()
    except OSError:
        return ""


@contextlib.contextmanager
def _stopped(process: psutil.Process) -> Iterator[None]:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)


@dataclass
class Storm:
    """Kills that are done one after another beside a run: `watch` is the run's, `kills` are (begin of the stage's name, task)."""

    raylets: Raylets
    kills: list[tuple[str, str]]
    moment: int = 0
    stage: str = ""
    titles: list[str] = field(default_factory=list)
    failure: BaseException | None = None

    def watch(self, stage: str, done: int, total: int, unit: str = "bytes", loss: float = 0.0) -> None:
        """Told by the run how far it is."""
        self.stage = stage

    def __enter__(self) -> Storm:
        self.thread = threading.Thread(target=self._kill, daemon=True)
        self.thread.start()
        return self

    def _kill(self) -> None:
        try:
            for stage, task in self.kills:
                self.titles.append(
                    self.raylets.kill_at(task, lambda stage=stage: self.stage.startswith(stage), self.moment)
                )
        except BaseException as error:
            self.failure = AssertionError(f"after {self.titles}, in {self.stage!r}: {error}")

    def __exit__(self, *unused: object) -> None:
        self.thread.join(240)
        if self.failure is not None:
            raise self.failure
