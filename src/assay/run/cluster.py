"""A Ray cluster: the verbs of `Local` on many machines. Scheduling, retries, spilling and autoscaling are Ray's.

    map     a task for each item, spread over the nodes; a task whose node dies is worked again elsewhere
    hold    an actor for each processor, or for each GPU where there are some, which keeps the models that it has loaded

No method knows of it. What items read and leave lies in files under names that say what they are (see `io/store.py`), on a
path that every node sees or in an object store, so a task that is worked twice leaves the same bytes twice. Ray Data is not
used: its blocks are rows in memory, whereas here a piece's result is a file that outlives the run, which is what makes
a rerun cheap and lets the two engines share a store.

Nothing waits for ever: the driver asks every two seconds whether the head still answers and whether any machine is left.

Ray: Moritz and others, 2018, https://arxiv.org/abs/1712.05889.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from assay import __version__
from assay.errors import AssayError, InputError, MissingExtra, RunError, masked
from assay.io import files, spill
from assay.run.local import WORKER_ENVIRONMENT, told

RETRIES = 8  # times that an item is begun again after its machine died; one that kills its worker must end at last
_AHEAD = 3  # items handed out for each worker, so that none waits for the driver
_LOOK = 2.0  # seconds between two looks at the cluster
_HEAD_PATIENCE = 30.0  # seconds that the head may be silent; Ray itself ends the process after 60
_MACHINE_PATIENCE = 600.0  # seconds without any machine: an autoscaler may be fetching one
_AGAIN = "run the same command again: finished shards are kept"
# Ray reads these when it is imported: no telemetry, no reports of its own on the user's terminal, and minutes, not a
# quarter of an hour, until a port is given up that is no cluster's. A worker out of memory is tried thrice again.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_NUM_REDIS_GET_RETRIES": "2",
    "RAY_task_oom_retries": "3",
}


def _ray() -> Any:
    """The package; MissingExtra where it is not installed."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise MissingExtra.of("engine = ray", "ray") from None
    return ray


@final
@dataclass(frozen=True)
class Order:
    """What travels with every item: what to do, which Assay asks, from which folder, and where all must see the same file."""

    function: Callable[[Any], Any]
    version: str
    folder: str
    seen: tuple[tuple[str, str], ...]

    def __call__(self, item: Any) -> tuple[Any, str]:
        """What the function gives, and the node that worked it."""
        with contextlib.suppress(OSError):  # a node without this folder can still read whole paths and URLs
            os.chdir(self.folder)
        _check(self.version, self.seen)
        return self.function(item), _here()


def _here() -> str:
    return str(_ray().get_runtime_context().get_node_id())[:12]


@lru_cache(maxsize=64)
def _check(version: str, seen: tuple[tuple[str, str], ...]) -> None:
    """Refuse to work with another version, or where the run's files are not seen; once for a process and an order."""
    node = os.uname().nodename
    if version != __version__:
        raise RunError(
            f"every node must have the same Assay; {node} has {__version__}, this command {version}: install one on all"
        )
    for path, token in seen:
        with contextlib.suppress(InputError):
            if files.read_bytes(path).decode() == token:
                continue
        raise RunError(
            f"every node must see the run's files; {node} does not see {os.path.dirname(path)}: give --out and --store on a "
            "path that all share, or in an object store"
        )


@final
@dataclass(frozen=True)
class _Start:
    """What an actor does first."""

    title: str = "the start of a worker"


_START = _Start()


@final
@dataclass
class _Hands:
    """Actors of one `hold`, by what they do: start, wait, or work on (number, item) until a reference is there."""

    starting: dict[Any, Any] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, tuple[Any, int, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.starting) + len(self.idle) + len(self.busy)

    def all(self) -> list[Any]:
        """Every one of them."""
        return [*self.starting.values(), *self.idle, *(actor for actor, _, _ in self.busy.values())]


@final
class Cluster:
    """Workers of a Ray cluster: that of `address`, else the one of RAY_ADDRESS or of this machine, else one that is begun here.

    RunError where none answers; MissingExtra without the extra `ray`.
    """

    def __init__(self, workers: int | None = None, address: str | None = None):
        self._most, self._address = workers, address
        self._ray = _ray()
        self._joined = False
        self._places = Counter[str]()
        self._seen: dict[str, str] = {}
        self._looked, self._nodes = 0.0, [dict[str, float]()]
        self._answered = self._staffed = time.monotonic()
        kept = {name: value for name, value in os.environ.items() if name.startswith("ASSAY_")}
        self._environment = {"env_vars": {**WORKER_ENVIRONMENT, **kept}}

    def __enter__(self) -> Cluster:
        if not self._ray.is_initialized():
            self._join()
        self._head = _place(self._ray.get_runtime_context().gcs_address)
        self._answered = self._staffed = time.monotonic()
        return self

    def _join(self) -> None:
        _knock(self._address or os.environ.get("RAY_ADDRESS"))
        try:
            self._ray.init(self._address, log_to_driver=False, logging_level="critical", include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            raise _unreachable(self._address, " ".join(str(error).split())) from None
        self._joined = True
        _hush(self._ray)

    def __exit__(self, *unused: object) -> None:
        for path in self._seen:
            spill.remove(Path(path))
        if self._joined:
            self._ray.shutdown()

    def meet(self, folder: Path) -> None:
        """See `Workers.meet`: every worker must read the same few bytes in the folder."""
        known = {os.path.dirname(path) for path in self._seen}
        if (where := str(folder.absolute())) not in known:
            token = uuid.uuid4().hex
            path = os.path.join(where, f".seen-{token}")
            self._seen[path] = token
            files.write_bytes(path, token.encode())

    def _resources(self) -> list[dict[str, float]]:
        """What each living node has; a cluster may grow and shrink while a run lasts. RunError where it is no more."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return self._nodes
        self._looked = now
        if not _answers(self._head):
            if now - self._answered > _HEAD_PATIENCE:
                raise RunError(
                    f"the head of the Ray cluster has not answered at {':'.join(map(str, self._head))} for "
                    f"{now - self._answered:.0f} seconds; start the cluster anew, and {_AGAIN}"
                )
            return self._nodes
        self._answered = time.monotonic()
        self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(node.get("CPU", 0) >= 1 for node in self._nodes):
            self._staffed = now
        elif now - self._staffed > _MACHINE_PATIENCE:
            raise RunError(
                f"the Ray cluster must have a node with a processor; for {now - self._staffed:.0f} seconds it had none: start "
                f"one with ray start --address={':'.join(map(str, self._head))}, and {_AGAIN}"
            )
        return self._nodes

    @property
    def workers(self) -> int:
        """See `Workers.workers`: processors of all nodes, or fewer where fewer were asked for."""
        count = max(1, int(sum(node.get("CPU", 0) for node in self._resources())))
        return min(count, self._most or count)

    @property
    def beside(self) -> int:
        """See `Workers.beside`: processors of the largest node."""
        return min(self.workers, max([1, *(int(node.get("CPU", 0)) for node in self._resources())]))

    @property
    def apart(self) -> bool:
        """See `Workers.apart`."""
        return True

    @property
    def places(self) -> Mapping[str, int]:
        """See `Workers.places`; machines by the first letters of Ray's node id."""
        return self._places.copy()

    def rest(self) -> None:
        """See `Workers.rest`: Ray lets idle workers go by itself."""

    def warm(self) -> None:
        """See `Workers.warm`: a cluster is warm, or Ray starts it."""

    def _order(self, function: Callable[[Any], Any]) -> Any:
        """What travels once for all items of a map."""
        return self._ray.put(Order(function, __version__, os.getcwd(), tuple(self._seen.items())))

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.map`: at most three items for each processor are under way or done and not yet read."""
        task = self._ray.remote(_work)
        how = {"num_cpus": 1, "max_retries": RETRIES, "scheduling_strategy": "SPREAD", "runtime_env": self._environment}
        order, waiting = self._order(function), deque[tuple[Any, Any]]()
        try:
            for item in items:
                asked = task.options(**how, name=_named(function, item))
                waiting.append((item, asked.remote(order, item)))
                if len(waiting) >= _AHEAD * self.workers or (self._most and len(waiting) >= self._most):
                    yield self._value(*waiting.popleft())
            while waiting:
                yield self._value(*waiting.popleft())
        finally:
            for _, reference in waiting:
                self._ray.cancel(reference)

    def _first(self, references: list[Any]) -> Any:
        """The first that is there; looks after the cluster meanwhile."""
        while True:
            ready, _ = self._ray.wait(references, num_returns=1, timeout=_LOOK)
            if ready:
                return ready[0]
            self._resources()

    def _value(self, item: Any, reference: Any) -> Any:
        """A task's result; what ends it for good is a sentence."""
        errors = self._ray.exceptions
        try:
            value, node = self._ray.get(self._first([reference]))
        except errors.RayTaskError as error:
            raise _cause(error) from error
        except errors.OutOfMemoryError:
            raise RunError(
                f"a worker had not enough memory for {told(item)}; give Ray's nodes fewer --num-cpus, or this command a smaller "
                f"--memory, and {_AGAIN}"
            ) from None
        except (errors.WorkerCrashedError, errors.RayActorError, errors.NodeDiedError):
            raise RunError(
                f"{told(item)} lost its worker or its machine {RETRIES + 1} times, most likely for lack of memory; give Ray's "
                f"nodes fewer --num-cpus, or this command a smaller --memory, and {_AGAIN}"
            ) from None
        except errors.RayError as error:
            raise RunError(f"the cluster could not finish {told(item)}: {_line(error)}; {_AGAIN}") from None
        if node:
            self._places[node] += 1
        return value

    def hold(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `Workers.hold`: in the order of the items, whoever of the actors worked them."""
        done, following = dict[int, Any](), 0
        for at, value in self._held(function, deque(enumerate(items))):
            done[at] = value
            while following in done:
                yield done.pop(following)
                following += 1

    def _held(self, function: Callable[[Any], Any], queue: deque[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        """Items as they are done. Only an actor that has started is handed one: it may wait long for room on a smaller
        cluster, and no item waits with it. What an actor had when it died goes to whoever is free.
        """
        order, tries, hands = self._order(function), Counter[int](), _Hands()
        try:
            while queue or hands.busy:
                self._hire(hands, order, len(queue))
                while queue and hands.idle:
                    actor, (at, item) = hands.idle.pop(), queue.popleft()
                    named = actor.work.options(name=_named(function, item))
                    hands.busy[named.remote(item)] = (actor, at, item)
                reference = self._first([*hands.busy, *hands.starting])
                if reference in hands.starting:
                    actor = hands.starting.pop(reference)
                    hands.idle += [actor] if self._begun(actor, reference, tries) else []
                    continue
                actor, at, item = hands.busy.pop(reference)
                if tries[at] < RETRIES and self._lost(reference):
                    tries[at] += 1
                    queue.appendleft((at, item))
                    continue
                yield at, self._value(item, reference)
                hands.idle.append(actor)
        finally:
            for actor in hands.all():
                self._ray.kill(actor)

    def _hire(self, hands: _Hands, order: Any, items: int) -> None:
        """Start as many actors as there is room and work for: one for each GPU, or each processor where there is none."""
        gpus = int(sum(node.get("GPU", 0) for node in self._resources()))
        kind = self._ray.remote(_Holder).options(
            num_cpus=0 if gpus else 1,
            num_gpus=1 if gpus else 0,
            scheduling_strategy="SPREAD",
            runtime_env=self._environment,
        )
        room = min(gpus, self._most or gpus) or self.workers
        for _ in range(min(room, items + len(hands.busy)) - len(hands)):
            actor = kind.remote(order)
            hands.starting[actor.begin.remote()] = actor

    def _begun(self, actor: Any, reference: Any, tries: Counter[int]) -> bool:
        """Whether an actor has started; one that never can is an error at last."""
        if tries[-1] < RETRIES and self._lost(reference):
            tries[-1] += 1
            return False
        self._value(_START, reference)
        return True

    def _lost(self, reference: Any) -> bool:
        """Whether an item's actor died, and not the item's work failed."""
        try:
            self._ray.get(reference)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.OutOfMemoryError):
            return True
        except self._ray.exceptions.RayError:
            return False
        return False


def _cause(error: Any) -> BaseException:
    """What a function raised on a worker, as it would have been raised here."""
    cause = error.cause
    if isinstance(cause, ImportError) and not isinstance(cause, AssayError):
        return RunError(
            f"every node must have the same Python packages as this command; a worker says: {_line(cause)}: install them there"
        )
    return cause if isinstance(cause, BaseException) else error


def _named(function: Callable[[Any], Any], item: Any) -> str:
    """What Ray's own lists call an item's work."""
    return f"{getattr(function, '__name__', 'work').strip('_')} {masked(told(item))}"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _place(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _answers(place: tuple[str, int], patience: float = 5.0) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(place, timeout=patience):
        return True
    return False


def _hush(ray: Any) -> None:
    """Stop Ray from writing its own reports of lost nodes among what this command prints; it has no switch for that."""
    with contextlib.suppress(AttributeError):
        worker = ray._private.worker.global_worker
        worker.threads_stopped.set()
        worker.gcs_error_subscriber.close()


def _knock(address: str | None) -> None:
    """RunError at once where nobody listens: Ray would go on asking for minutes."""
    if address in (None, "", "auto", "local"):
        return
    assert address is not None
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise RunError(
            f"an address must be HOST:PORT of a Ray cluster that this machine belongs to, or auto; got {address!r}"
        )
    if not _answers(_place(address), 10.0):
        raise _unreachable(address, "nobody listens there")


def _unreachable(address: str | None, why: str) -> RunError:
    return RunError(
        f"no Ray cluster answers at {address or 'the usual place'}: {why}; start one with: ray start --head, on every further "
        "machine, this one too: ray start --address=HOST:PORT, and give --address HOST:PORT"
    )


@final
class _Holder:
    """An actor: a process that lasts, so that what a method has loaded stays loaded."""

    def __init__(self, order: Order):
        self._order = order

    def begin(self) -> tuple[None, str]:
        """Answer, to say that it has started; no item, and so at no node."""
        return None, ""

    def work(self, item: Any) -> tuple[Any, str]:
        """One item, and the node."""
        return self._order(item)


def _work(order: Order, item: Any) -> tuple[Any, str]:
    """A task: Ray hands over the order itself."""
    return order(item)
