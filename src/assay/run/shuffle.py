"""The second verb of spreading work: bring together the records of one key from all over a pool, in bounded memory.

    map     every piece is read once (`Emit`); its records, sorted by key, lie in the store under the piece
    merge   where there are more than `fan` such files, groups of consecutive ones become one file each
    reduce  the keys are cut into ranges that a worker can hold; a worker takes its range out of every file, sorts by
            (key, row), hands it to `combine`, and what that gives is saved: a later run, or a rerun, reads it from there

A kill repeats the pieces, merges and ranges that were under way. A range that turns out too large (keys need not be even)
is halved until it fits, or is a single key: all records of one key are handed over together, so they must fit.
Nothing depends on where the ranges lie: `combine` never sees a key in two calls, and its results come in order of keys.

External sorting: Knuth, The Art of Computer Programming 3 (1998), section 5.4; map, shuffle, reduce: Dean and
Ghemawat, MapReduce, 2004, https://research.google/pubs/pub62/.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64, Shaped

from assay.contracts import Combine, Emit, Engine, Rows
from assay.io import files, mirror, spill, store
from assay.io.blocks import Block
from assay.io.sources import Piece
from assay.io.spill import KEYS
from assay.kernels.ordering import settle
from assay.run.jobs import Job
from assay.run.passes import Pool
from assay.run.source import source_digest
from assay.run.visit import Visit
from assay.types import Batch

Part = tuple[Path, int]  # a file of sorted records, and what to add to its `row`

# A range in memory is there as read, as sorted, as keys and their order, and then as whatever `combine` makes of it.
_COPIES = 6
_HELD = 64 << 20  # bytes of records that the reading of one piece keeps in memory before they go to a scratch file
_SMALL = 8 << 20  # bytes of records below which more ranges than one are not worth a worker


@final
@dataclass
class EmitJob(Job):
    """Keeps what `emit` gives for the living rows of a piece, sorted by key; rows count within the piece.

    A piece may be one compressed file of any size, so what exceeds 64 MB waits in a scratch file for the final merge.
    """

    emit: Emit
    key: str
    folder: Path
    labels: Int64[np.ndarray, "j"] | None = None
    spilled: list[int] = field(default_factory=list)
    held: list[np.ndarray] = field(default_factory=list)

    @property
    def file(self) -> str:
        return f"records-{self.key}.npy"

    def block(self, block: Block | None, batch: Batch, first: int) -> None:
        """Nothing is handed on: records are held here, because only here it is known how many there are."""
        if first == 0:
            self._clear()
        if self.labels is not None:
            batch = replace(batch, columns={**batch.columns, "label": self.labels[batch.rows]})
        records = self.emit(batch) if len(batch) else None
        if records is None or not len(records):
            return
        self.held.append(records)
        if sum(part.nbytes for part in self.held) > _HELD:
            self._spill()

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        if not self.spilled:
            store.save(path, in_order(np.concatenate(self.held)) if self.held else np.zeros(0, np.uint8))
        else:
            if self.held:
                self._spill()
            runs = spill.runs(spill.scratch(self.folder), self.dtype, self.spilled)
            spill.save_parts(path, self.dtype, sum(self.spilled), _merged(runs, sum(self.spilled)))
        self._clear()

    def _spill(self) -> None:
        whole = in_order(np.concatenate(self.held))
        self.dtype = whole.dtype
        spill.append(spill.scratch(self.folder), whole)
        self.spilled.append(len(whole))
        self.held.clear()

    def _clear(self) -> None:
        """A scratch file of this name is this thread's, perhaps of a piece that failed half way."""
        spill.remove(spill.scratch(self.folder))
        self.spilled.clear()
        self.held.clear()


def in_order(records: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "r"]:
    """Records sorted by key, then row, then as they were given.

    >>> records = np.array([(7, 1), (3, 2), (7, 0)], [("key", np.uint64), ("row", np.int64)])
    >>> in_order(records).tolist()
    [(3, 2), (7, 0), (7, 1)]
    """
    keys = np.ascontiguousarray(records["key"])
    order = np.argsort(keys)  # vector code where numpy has it, but equal keys come in any order
    ordered = keys[order]
    if np.count_nonzero(ordered[1:] == ordered[:-1]) > len(keys) // 8:
        order = np.argsort(keys, kind="stable")  # merges what comes in runs, and leaves nothing to settle
    settle(order, ordered, np.ascontiguousarray(records["row"]).view(np.uint64))
    return records.take(order)  # several times faster than records[order]


def _merged(runs: Sequence[np.ndarray], total: int) -> Iterator[np.ndarray]:
    """The records of several sorted runs (of rows in ascending order), a range of keys at a time."""
    ways = max(1, -(-total * runs[0].itemsize // _HELD))
    for low, high in _even(ways):
        parts = [run[slice(*spill.span(run, low, high))] for run in runs]
        yield in_order(np.concatenate(parts))


def _even(ways: int) -> list[tuple[int, int]]:
    """All keys, cut into equal ranges [low, high)."""
    return [(KEYS * way // ways, KEYS * (way + 1) // ways) for way in range(ways)]


@final
@dataclass(frozen=True)
class Range:
    """The work of one reduce task: the keys of [low, high), at most `limit` bytes of records at a time, combined."""

    parts: tuple[Part, ...]
    low: int
    high: int
    limit: int
    combine: Combine | None
    out: Path

    @property
    def title(self) -> str:
        """The range in words."""
        return f"the join of keys {self.low / KEYS:.1%} to {self.high / KEYS:.1%}"


def reduce_range(task: Range) -> None:
    """Save what `combine` gives for a range of keys; without it, save the merged records themselves."""
    if mirror.present(task.out):
        return
    if task.combine is None:
        dtype = spill.measure(task.parts[0][0])[0]
        counts = sum(spill.spans(path, task.low, task.high) for path, _ in task.parts)
        spill.save_parts(task.out, dtype, counts, _fitting(task))
        return
    found = [task.combine(records) for records in _fitting(task)]
    store.save(task.out, np.concatenate(found) if len(found) > 1 else found[0] if found else ())


def _fitting(task: Range) -> Iterator[np.ndarray]:
    """The records of a range in order, with their rows made global, in as few parts as the limit allows."""
    ahead = [(task.low, task.high)]
    while ahead:
        low, high = ahead.pop()
        count = sum(spill.spans(path, low, high) for path, _ in task.parts)
        middle = (low + high) // 2
        if count * spill.measure(task.parts[0][0])[0].itemsize > task.limit and high - low > 1:
            ahead += [(middle, high), (low, middle)]
        elif count:
            yield _taken(task.parts, low, high)


def _taken(parts: Sequence[Part], low: int, high: int) -> np.ndarray:
    found = []
    for path, first in parts:
        records = spill.between(path, low, high)
        records["row"] += first
        found.append(records)
    return in_order(np.concatenate(found))


@final
@dataclass(frozen=True)
class Shuffler(Engine):
    """What a grouper is handed: see `Engine`. `memory` bytes are for all workers of a machine; `fan` files are merged at once.

    Ranges are of memory / (6 workers) bytes of records, so that what sorting and combining need besides fits too.
    """

    memory: int = 1 << 30
    fan: int = 256

    def shuffle(
        self, pool: Rows, emit: Emit, combine: Combine, labels: Int64[np.ndarray, "n"] | None = None
    ) -> Iterator[Shaped[np.ndarray, "r"]]:
        """See `Engine.shuffle`; what `combine` gave is kept in the store, so that a later run does not read the pool.

        With `labels` (n,) only rows whose label is not below 0 are read, and `emit` finds theirs in the column `label`.
        """
        assert isinstance(pool, Pool), "only a pool on disk can be shuffled"
        key = store.digest(
            "emit", _named(emit), pool.alive_key(), None if labels is None else spill.digest_array(labels)
        )
        source = _Source(pool, EmitJob(emit, key, pool.store.root / "shuffles"), f"emit {_title(emit)}", labels)
        source.count()
        folder = pool.store.root / "shuffles" / store.digest(pool.fingerprint, key, _named(combine))
        with files.in_turn(folder.with_name(key)):  # a run of another pool, or of another combine, has the same records
            if not mirror.present(folder / "done.json"):
                parts = source.parts()
                with pool.stage(f"join {_title(emit)}"):
                    self._reduce(pool, parts, combine, folder)
            source.remove()
            ranges = files.read_json(str(folder / "done.json"))["ranges"]
        for at in range(ranges):
            found = store.load(_result(folder / f"in-{ranges}", at))
            if isinstance(found, np.ndarray) and len(found):
                yield found

    def _reduce(self, pool: Pool, parts: list[Part], combine: Combine, folder: Path) -> None:
        """Merge what the pieces emitted, combine it range by range, and note that it is done."""
        workers, level = pool.local.workers, 0
        limit = max(1, self.memory // (_COPIES * pool.local.beside))
        while len(parts) > self.fan:
            groups = [tuple(parts[start : start + self.fan]) for start in range(0, len(parts), self.fan)]
            merged = folder / f"merged-{level}"
            tasks = [Range(part, 0, KEYS, limit, None, _result(merged, at)) for at, part in enumerate(groups)]
            list(pool.local.map(reduce_range, tasks))
            parts, level = [(task.out, 0) for task in tasks], level + 1
        total = sum(count * dtype.itemsize for dtype, count in (spill.measure(path) for path, _ in parts))
        ways = max(-(-total // limit), 4 * workers if workers > 1 and total > _SMALL else 1) if parts else 0
        out = folder / f"in-{ways}"
        tasks = [
            Range(tuple(parts), low, high, limit, combine, _result(out, at))
            for at, (low, high) in enumerate(_even(ways))
        ]
        list(pool.local.map(reduce_range, tasks))
        if ways > 1:
            pool.local.rest()  # every worker keeps a range's worth of memory, which whoever reads the results can use
        files.write_json(str(folder / "done.json"), {"ranges": ways})
        for below in range(level):
            files.remove_folder(str(folder / f"merged-{below}"))


@final
@dataclass(frozen=True)
class _Source:
    """The files of sorted records that the pieces of a pool give."""

    pool: Pool
    job: EmitJob
    stage: str
    labels: Int64[np.ndarray, "n"] | None

    def count(self) -> None:
        """Count first where that costs no reading of its own, or must come first; a new pool is counted while it emits."""
        pool = self.pool
        known = all(pool.store.content(stat) is not None for stat in pool.stats.values())
        if pool.table is None and not known and pool.limit is None and self.labels is None:
            pool.visit(self.stage, (self.job,))
        pool.count()

    def parts(self) -> list[Part]:
        """Emit from every piece that has not, and say where the records are."""
        tasks = self._tasks()
        if self.labels is None:
            self.pool.visit(self.stage, (self.job,))
        else:
            lacking = mirror.absent([task.path(self.job) for task, _ in tasks])
            self.pool.work(self.stage, [task for task, _ in tasks if task.path(self.job) in lacking])
        found = [(task.path(self.job), first) for task, first in tasks]
        return [part for part in found if spill.measure(part[0])[1]]

    def remove(self) -> None:
        """The records are needed no more."""
        spill.remove(*(task.path(self.job) for task, _ in self._tasks()))

    def _tasks(self) -> list[tuple[Visit, int]]:
        """The pieces to read, each with its first row; with labels only those that hold a row with one."""
        table, tasks = self.pool.count(), []
        for number, (piece, (first, stop)) in enumerate(zip(self.pool.pieces, table.ranges, strict=True)):
            job, alive = self.job, None
            if self.labels is not None:
                labels = np.where(self.pool.living[first:stop], self.labels[first:stop], -1)
                if not (labels >= 0).any():
                    continue
                labels = np.concatenate([labels, np.full(table.counts[number] - len(labels), -1)])
                job, alive = replace(self.job, labels=labels, spilled=[], held=[]), labels >= 0
            tasks.append((self.pool.task(piece, (job,), alive), first))
        return tasks


def _result(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npy"


def _title(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return name.strip("_").lower()


def _named(function: Any) -> tuple[Any, ...]:
    """What tells one emit or combine from another: its name, its source and, of a dataclass, its fields (arrays by their
    bytes)."""
    if not dataclasses.is_dataclass(function):
        return (function.__module__, function.__qualname__, source_digest(function))
    values = [(each.name, _plain(getattr(function, each.name))) for each in dataclasses.fields(function)]
    return (type(function).__module__, type(function).__qualname__, values, source_digest(function))


def _plain(value: Any) -> Any:
    return spill.digest_array(value) if isinstance(value, np.ndarray) else value
