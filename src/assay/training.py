"""Arms trained: what they read is laid down once, every trial maps it, and what a trial found is kept for whoever asks again.

The documents of all arms, in the judge's own symbols, lie in files beside the run while its trials last. A trial's result
is kept in the run's store under everything that it depends on (judge, rows by content, order, budget, seed, held-out
text): another run on the same pool and store finds random's arms there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int64, UInt64

from assay import __version__
from assay.io import files, gauge, mirror, spill, store
from assay.io.row import Form
from assay.run.passes import Pool
from assay.types import Batch, Sequences, Texts
from assay.verify import judge
from assay.verify.arms import Arm, Draft, Plan, Trial, settle
from assay.verify.judge import Judge, Probe, Result, Task

SAMPLE = 500  # rows that tell how many bytes a unit takes
MARGIN = 1.25  # how far an arm's bytes per unit may lie above the sample's


def bytes_per_unit(proxy: Judge, pool: Pool) -> float:
    """At most so many bytes of text in a unit, on the whole; 1 where units are bytes."""
    if proxy.unit == "bytes" and pool.form == "text":
        return 1.0
    batch = pool.sample(SAMPLE)
    _, documents = _encode(batch, proxy, pool.form)
    return MARGIN * int(pool.count().sizes[batch.rows].sum()) / max(1, int(documents.sizes.sum()))


def _encode(batch: Batch, proxy: Judge, form: Form) -> tuple[np.ndarray, Sequences]:
    return batch.rows, proxy.encode(batch.text) if form == "text" else proxy.encode_turns(batch.text)


def spool(drafted: Draft, proxy: Judge, pool: Pool, folder: Path) -> Spooled:
    """Lay down every row that some arm may read; one that says nothing in the pool's form lies there empty."""
    sizes, kind = np.zeros(len(drafted.rows), np.int64), np.dtype(np.uint8)
    with files.atomic_write(str(folder / "symbols"), durable=False) as out:
        for first, (rows, documents) in pool.gather(drafted.rows, partial(_encode, proxy=proxy, form=pool.form)):
            kind = documents.data.dtype
            out.write(np.ascontiguousarray(documents.data[documents.offsets[0] : documents.offsets[-1]]).data)
            sizes[np.searchsorted(drafted.rows, first + rows)] = documents.sizes
    store.save(folder / "offsets.npy", np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))
    store.save(folder / "rows.npy", drafted.rows)
    return Spooled(folder, kind.str)


@final
@dataclass(frozen=True)
class Spooled:
    """A source of the arms' documents for the trials: rows and symbols in files that every worker maps."""

    folder: Path
    kind: str

    @property
    def documents(self) -> Sequences:
        """All of them, mapped, in row order."""
        symbols = store.mapped_bytes(self.folder / "symbols").view(np.dtype(self.kind))
        return Sequences(symbols, np.asarray(store.mapped(self.folder / "offsets.npy")))

    def units(self, frame_rows: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """Units of each row of a frame; 0 for those that were not laid down."""
        found = np.zeros(len(frame_rows), np.int64)
        found[np.searchsorted(frame_rows, store.mapped(self.folder / "rows.npy"))] = self.documents.sizes
        return found

    def __call__(self, rows: Int64[np.ndarray, "k"]) -> Iterator[Sequences]:
        """The documents of any rows that were laid down, in blocks of a few thousand."""
        yield from judge.Gathered(store.mapped(self.folder / "rows.npy"), self.documents)(rows)


def conduct(
    drafted: Draft, proxy: Judge, trial: Trial, probes: Sequence[Probe], pool: Pool, folder: Path, kept: Path
) -> tuple[Plan, list[Result]]:
    """Every arm trained and measured; `folder` is where its work lies until it is done, `kept` what stays for other runs."""
    try:
        source = spool(drafted, proxy, pool, folder)
        plan = settle(drafted, source.units(drafted.frame.rows), trial, proxy.step)
        tasks = judge.tasks(plan, proxy, source, probes)
        asked = store.digest([_probe_digest(probe) for probe in probes], pool.form)
        keys = [_key(task, drafted, asked) for task in tasks]
        found = dict(
            zip(keys, [_kept(kept, key, task.course.arms) for key, task in zip(keys, tasks, strict=True)], strict=True)
        )
        missing = {key: task for key, task in zip(keys, tasks, strict=True) if found[key] is None}
        for key, results in zip(missing, _trained(missing, proxy, pool, folder, kept), strict=True):
            found[key] = results
            _keep(kept, key, results)
        return plan, [
            replace(one, name=arm.name, seed=arm.seed)  # two arms of the same content are trained once
            for key, task in zip(keys, tasks, strict=True)
            for one, arm in zip(found[key] or (), task.course.arms, strict=True)
        ]
    finally:
        files.remove_folder(folder)


def _trained(
    tasks: dict[str, Task], proxy: Judge, pool: Pool, folder: Path, kept: Path
) -> Iterator[tuple[Result, ...]]:
    """The trials in order, over the workers where the judge allows that, with their progress shown meanwhile."""
    meter = gauge.Gauge.of(folder / "gauge", len(tasks))
    desks = [
        replace(
            task, course=replace(task.course, folder=kept / f"{key}.work", report=meter.slot(number), form=pool.form)
        )
        for number, (key, task) in enumerate(tasks.items())
    ]
    total = sum(task.course.costs[-1] for task in tasks.values())
    stage = f"train and test {proxy.name}"
    show = partial(pool.watch, stage, total=total, unit=proxy.unit)
    with _watched(lambda: show(done=min(meter.done(), total), loss=meter.loss())):
        yield from (pool.local.hold if proxy.parallel or pool.local.apart else map)(judge.run, desks)


@contextmanager
def _watched(show: Callable[[], None]) -> Iterator[None]:
    """Show how far it is, twice a second."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            show()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        show()


def _key(task: Task, drafted: Draft, asked: str) -> str:
    """Everything that a result depends on; rows by content, so that it holds for whoever has the same text."""
    proxy, course = task.judge, task.course
    arms = [_content(arm, drafted) for arm in course.arms]
    return store.digest(proxy.name, proxy.described(), course.seed if proxy.seeded else 0, arms, asked, __version__)


def _content(arm: Arm, drafted: Draft) -> str:
    names: UInt64[np.ndarray, "n"] = drafted.frame.names
    parts = [
        (spill.digest_array(names[np.searchsorted(drafted.frame.rows, one.rows)]), one.cut, one.keep)
        for one in arm.passes
    ]
    return store.digest(parts, arm.budget)


def _probe_digest(probe: Probe) -> str:
    texts = [probe.texts] if probe.contexts is None else [probe.texts, probe.contexts]
    return store.digest([_text_digest(each) for each in texts], probe.ends, probe.form)


def _text_digest(texts: Texts) -> tuple[str, str]:
    data = texts.data[texts.offsets[0] : texts.offsets[-1]]
    return spill.digest_array(data), spill.digest_array(np.diff(texts.offsets))


def _kept(folder: Path, key: str, arms: tuple[Arm, ...]) -> tuple[Result, ...] | None:
    """What was found before; None where nobody asked yet."""
    if not mirror.present(folder / f"{key}.npz"):
        return None
    arrays = store.load_named(folder / f"{key}.npz")
    return tuple(
        Result(
            arm.name, arm.seed, arm.budget, len(arm.rows),
            tuple(arrays[f"{number}-{at}"] for at in range(int(arrays["probes"]))), float(arrays["seconds"][number]),
        )
        for number, arm in enumerate(arms)
    )  # fmt: skip


def _keep(folder: Path, key: str, results: tuple[Result, ...]) -> None:
    bits = {f"{number}-{at}": bits for number, one in enumerate(results) for at, bits in enumerate(one.bits)}
    seconds = np.array([one.seconds for one in results])
    store.save_named(folder / f"{key}.npz", {**bits, "probes": np.array(len(results[0].bits)), "seconds": seconds})
    files.remove_folder(folder / f"{key}.work")
