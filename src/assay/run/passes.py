"""A pool as the engine holds it: shards on disk, one row table in memory, and passes over the text.

The first pass, whatever it is for, also counts: it gives every piece its first row and every row its size and hash.
Results are per piece in the store; a pass visits only the pieces that lack one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from assay import __version__
from assay.contracts import NOWHERE, Checkpoints, Merge, Part, Rows
from assay.errors import InputError, RecipeError
from assay.io import files, mirror
from assay.io import store as stored
from assay.io.checkpoints import InFolder
from assay.io.fields import Fields
from assay.io.reader import read_rows
from assay.io.row import Form
from assay.io.sources import Piece, Shard, plan
from assay.io.store import Store
from assay.run.jobs import Annotate, Gather, Index, Job, Portion, Reduce, Resize, joined, unreadable_path
from assay.run.learnt import Edit, edited
from assay.run.source import source_digest
from assay.run.stages import Stage, paid
from assay.run.table import Counted, Table, build
from assay.run.visit import Visit, changed, gone, peak_memory, visit
from assay.run.workers import Workers
from assay.types import Batch, Texts, join_texts

PORTION = 1 << 20  # bytes of text after which what a network says is kept


class Watch(Protocol):
    """What is told how far a stage is: so much of a total, in bytes or another unit, and a loss where something learns."""

    def __call__(self, stage: str, done: int, total: int, unit: str = "bytes", loss: float = math.nan) -> None:
        """Called now and then while a stage runs."""


def quiet(stage: str, done: int, total: int, unit: str = "bytes", loss: float = math.nan) -> None:
    """A watch that shows nothing."""


@final
@dataclass
class Pool(Rows):
    """Ordered rows in shards; row numbers never change. Made by `assay.read`; passes fill in what is known."""

    shards: tuple[Shard, ...]
    fields: Fields
    store: Store
    local: Workers
    limit: int | None = None
    watch: Watch = quiet
    stats: dict[int, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    needs: tuple[str, ...] = ("text",)
    table: Table | None = None
    alive: np.ndarray | None = None
    planned: tuple[Piece, ...] = ()
    others: dict[int, Fields] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    original: Table | None = None  # the row table before the first edit
    copies: dict[int, int] = field(default_factory=dict)  # shards of known content: how many before them hold the same
    form: Form = "text"  # in which rows are handed back; they are counted as text whatever it is
    learning: Path | None = None  # where what is learnt of it keeps how far it is

    def __post_init__(self) -> None:
        self.local.meet(self.store.root)
        self.planned = self.planned or plan(self.shards)
        self.pieces = self.planned
        layouts = (self.fields, *self.others.values())
        named = tuple(name for name in ("id", "source") if any(getattr(fields, name) for fields in layouts))
        self.columns = named + self.fields.extra
        self.index = Index(self.columns, self.store.root / "unreadable")
        if not self.stats:
            self.stats = self._current_stats()
        self.copies = self._copies()

    def _copies(self) -> dict[int, int]:
        """Of every shard whose content is known, how many shards before it hold the same."""
        seen: Counter[str] = Counter()
        copies = {}
        for shard in self.shards:
            if content := self.store.content(self.stats[shard.index]):
                copies[shard.index] = seen[content]
                seen[content] += 1
        return copies

    def fields_of(self, shard: Shard) -> Fields:
        """Where a shard's rows have their text; shards of one pool may differ."""
        return self.others.get(shard.index, self.fields)

    def __len__(self) -> int:
        self.count()
        return int(self.living.sum())

    @property
    def living(self) -> Bool[np.ndarray, "n"]:
        """(n,) which rows are readable and no step has dropped."""
        assert self.table is not None
        return self.table.readable if self.alive is None else self.alive

    def count(self) -> Table:
        """The row table; reads the text only where no earlier run counted it."""
        if self.table is None:
            self.visit("count", ())
        assert self.table is not None
        return self.table

    def reduce(self, part: Part, merge: Merge) -> Any:
        """See `Rows.reduce`; each piece's part is kept in the store under what made it."""
        source = (source_digest(part), merge.__module__, merge.__qualname__)
        job = Reduce(part, merge, stored.digest(part, *source, self.alive_key()))
        self.visit(f"fit {type(part).__name__.strip('_').lower()}", (job,))
        merged = None
        for piece in self.pieces:
            tree = stored.load(self.task(piece, (job,)).path(job))
            if isinstance(tree, np.ndarray) or len(tree):
                merged = tree if merged is None else merge(merged, tree)
        if merged is None:
            raise InputError("no row of the pool is alive and readable, so there is nothing to learn from")
        return merged

    def sample(self, k: int) -> Batch:
        """See `Rows.sample`."""
        hashes, living = self.count().hashes, np.flatnonzero(self.living)
        order = np.lexsort((living, hashes[living]))[:k] if len(living) > k else np.arange(len(living))
        return self.take(np.sort(living[order]))

    def take(self, rows: Int64[np.ndarray, "k"]) -> Batch:
        """The batch of some rows, in row order: read alone where their place is known, otherwise with the pieces around them."""
        if self.form == "text" and all(shard.format == "jsonl" and not shard.compression for shard in self.shards):
            return concatenate([batch for batch in self._alone(np.sort(rows)) if len(batch)])
        return concatenate([_globally(batch, first) for first, batch in self.gather(rows, _keep)])

    def _alone(self, rows: Int64[np.ndarray, "k"]) -> Iterator[Batch]:
        """Some sorted rows of uncompressed JSON lines, piece by piece, by their offsets."""
        for piece, (first, stop) in zip(self.pieces, self.count().ranges, strict=True):
            inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, stop)]
            inside = inside[self.count().readable[inside]]
            if len(inside):
                table, _ = stored.load_table(self.task(piece, ()).path(self.index))
                spans = np.stack([stored.numbers(table[name])[inside - first] for name in ("offset", "length")], axis=1)
                batch = read_rows(piece.shard, self.fields_of(piece.shard), self.columns, spans)
                yield edited(Batch(inside, batch.hashes, batch.columns), self.edits)
        self.refuse_changes()

    def gather(self, rows: Int64[np.ndarray, "k"], use: Callable[[Batch], Any]) -> Iterator[tuple[int, Any]]:
        """Yield (first row of the piece, `use(batch)`) for every block with some of the rows, in row order."""
        mask = np.zeros(len(self.count().readable), bool)
        mask[rows] = True
        table, tasks, firsts = self.count(), [], []
        for number, (first, stop) in enumerate(table.ranges):
            if mask[first:stop].any():
                alive = table.padded(mask[first:stop], number)
                tasks.append(self._in_form(self.task(self.pieces[number], (Gather(use),), alive)))
                firsts.append(first)
        for first, done in zip(firsts, self.local.map(visit, tasks), strict=True):
            yield from ((first, part) for part in done.gathered)
        self.refuse_changes()

    def _in_form(self, task: Visit) -> Visit:
        """A piece read in the pool's form; where text lies in the file says nothing about turns."""
        return task if self.form == "text" else replace(task, fields=replace(task.fields, form=self.form), index=None)

    @property
    def fingerprint(self) -> str:
        """Changes when the content does: a digest of all shards' content."""
        self.count()
        contents = [self.store.content(self.stats[shard.index]) or self.stats[shard.index] for shard in self.shards]
        return stored.digest(contents, self.limit)

    def refuse_changes(self) -> None:
        """Raise InputError where a file is not what it was when it was read, so that two states are never mixed."""
        try:
            now = self._current_stats()
        except FileNotFoundError as error:
            raise InputError(gone(error.filename)) from None
        for shard in self.shards:
            if now[shard.index] != self.stats[shard.index]:
                raise InputError(changed(shard.path))

    def _current_stats(self) -> dict[int, str]:
        states = stored.remote_states(self.shards)
        return {
            shard.index: stored.stat_key(shard, (self.fields_of(shard), self.columns), states) for shard in self.shards
        }

    def batches(self) -> Iterator[Batch]:
        """Every living row with its text and columns, block by block, in row order."""
        for first, batch in self.gather(np.flatnonzero(self.count().readable), _keep):
            yield _globally(batch, first)

    def column(self, file: str) -> Shaped[np.ndarray, "n"]:
        """A stored result of one number per row, (n,), after its pass; `file` is the job's."""
        whole: np.ndarray | None = None
        for piece, (first, stop) in zip(self.pieces, self.count().ranges, strict=True):
            part = np.asarray(stored.load(self.task(piece, ()).at(file)))
            whole = np.empty((len(self.count()), *part.shape[1:]), part.dtype) if whole is None else whole
            whole[first:stop] = part[: stop - first]
        return np.zeros(0) if whole is None else whole

    def unreadable(self) -> Iterator[dict[str, Any]]:
        """Every row that cannot be read, in row order, as `quarantine.jsonl` lists it."""
        table, lines_before, shard = self.count(), 0, -1
        bad = np.sort(np.concatenate([np.zeros(0, np.int64), *table.bad.values()]))
        for number, piece in enumerate(self.pieces):
            lines_before = lines_before if piece.shard.index == shard else 0
            shard, (first, stop) = piece.shard.index, table.ranges[number]
            some = np.searchsorted(bad, first) < np.searchsorted(bad, stop)
            path = unreadable_path(self.task(piece, ()).path(self.index))
            for entry in stored.read_lines(path) if some else ():
                if first + entry["row"] < stop:
                    place = {
                        "file": piece.shard.path,
                        "line": lines_before + entry["line"],
                        "row": first + entry["row"],
                    }
                    if piece.shard.format == "text":
                        place |= {"file": piece.shard.file(piece.start + entry["row"]), "line": 1}
                    yield {**place, **{key: entry[key] for key in ("reason", "offset", "length", "hash", "raw")}}
            lines_before += table.lines[number]

    def ids(self) -> Iterator[Texts]:
        """The ids of the rows, piece by piece, as the rows carry them ('' where one has none)."""
        for piece, (first, stop) in zip(self.pieces, self.count().ranges, strict=True):
            table, _ = stored.load_table(self.task(piece, ()).path(self.index))
            names = stored.texts(table["id"]) if "id" in table.column_names else Texts.of([""] * len(table))
            yield names.head(stop - first)

    def visit(self, stage: str, jobs: Sequence[Job]) -> None:
        """One pass: every piece that lacks a result of these jobs is read once, for all of them."""
        if self.table is not None:
            self._visit(stage, jobs)
            return
        with files.in_turn(self.store.root):  # the first pass moves results to where their content says
            self._visit(stage, jobs)

    def _visit(self, stage: str, jobs: Sequence[Job]) -> None:
        if self.table is None and self.limit is not None:
            self._count_to_limit()
        counting = (self.index,) if self.table is None else ()
        tasks = [
            self.task(piece, (*counting, *jobs), self._alive_in(number)) for number, piece in enumerate(self.pieces)
        ]
        lacking = _lacking(tasks)
        if any(isinstance(job, Annotate) and job.annotator.heavy for job in jobs):
            self._in_portions(stage, lacking)
        else:
            self.work(stage, lacking)
        if 0 < len(lacking) < len(tasks):
            self.notes.append(
                f"{stage}: {len(tasks) - len(lacking)} of {len(tasks)} pieces of the pool were in the store"
            )
        if self.table is None:
            self._settle()
            if any(self.copies.values()):
                self._visit(stage, jobs)  # where one of two equal files was known before, the other lacks its results

    def tell(self, stage: str, done: int, total: int, unit: str, loss: float = math.nan) -> None:
        """See `Rows.tell`."""
        self.watch(stage, done, total, unit, loss)

    @property
    def checkpoints(self) -> Checkpoints:
        """See `Rows.checkpoints`."""
        return NOWHERE if self.learning is None else InFolder(self.learning)

    def _in_portions(self, stage: str, tasks: Sequence[Visit]) -> None:
        """Pieces whose rows take long: about a megabyte of text at a time, each kept as soon as it is done."""
        portions = [(task, job, self._portions(task, job)) for task in tasks for job in task.jobs]
        self.work(stage, _lacking([portion for _, _, several in portions for portion in several]))
        for task, job, several in portions:
            rows = self.count().counts[self._number(task.piece)]
            joined([one.path(one.jobs[0]) for one in several], rows, task.path(job))

    def _number(self, piece: Piece) -> int:
        return next(number for number, one in enumerate(self.pieces) if one is piece or one == piece)

    def _portions(self, task: Visit, job: Any) -> list[Visit]:
        """Visits of one piece for some of its living rows each."""
        number = self._number(task.piece)
        first, stop = self.count().ranges[number]
        living = self.living[first:stop]
        sizes = np.where(living, self.count().sizes[first:stop], 0)
        which = np.cumsum(sizes) // PORTION + np.cumsum(living) // job.annotator.portion
        stops = [*(np.flatnonzero(np.diff(which)) + 1).tolist(), len(which)]
        alive = self.count().padded(living, number)
        return [
            self._in_form(replace(
                task, jobs=(Portion(job, place, len(stops)),), alive=alive, span=(start, stop),
                size=int(sizes[start:stop].sum()),
            ))
            for place, (start, stop) in enumerate(zip([0, *stops], stops, strict=False))
        ]  # fmt: skip

    def _settle(self) -> None:
        """Build the row table, and file each whole shard under its content."""
        contents: dict[int, list[str]] = {}
        for piece, found in zip(self.pieces, self._counted(), strict=True):
            contents.setdefault(piece.shard.index, []).append(found.facts["content"])
        planned = Counter(piece.shard.index for piece in self.planned)
        seen: Counter[str] = Counter()
        for index, parts in contents.items():
            content, whole = self.store.content(self.stats[index]), len(parts) == planned[index]
            if content is None and whole:
                content = stored.digest(parts, self.others.get(index, self.fields), self.columns, __version__)
                self.store.finish(self.stats[index], content, seen[content])
            seen[content or ""] += 1
        self.copies = self._copies()
        tasks = [self.task(piece, (self.index,)) for piece in self.pieces]
        self.work("count", _lacking(tasks))  # of a copy that was known as the only one
        self.table = build(self._counted(), self.fields.extra, self.limit)
        if self.limit is not None:
            self.alive = self.table.readable

    def _counted(self) -> list[Counted]:
        return [Counted.at(self.task(piece, ()).path(self.index)) for piece in self.pieces]

    def _count_to_limit(self) -> None:
        """Count pieces until they hold `limit` rows, and forget the rest."""
        rows = 0
        for number, piece in enumerate(self.pieces):
            self.work("count", _lacking([self.task(piece, (self.index,))]))
            rows += stored.load_table(self.task(piece, ()).path(self.index))[1]["rows"]
            if rows >= (self.limit or 0):
                self.pieces = self.pieces[: number + 1]
                break
        self._settle()

    def task(self, piece: Piece, jobs: tuple[Job, ...], alive: np.ndarray | None = None) -> Visit:
        """The work of one piece."""
        folder = self.store.folder(self.stats[piece.shard.index], self.copies.get(piece.shard.index, 0))
        beside = tuple(name for name in self.needs if name == "image")
        task = Visit(
            piece, self.fields_of(piece.shard), self.columns, folder, jobs, alive, edits=self.edits, beside=beside
        )
        only_text = set(self.needs) <= {"text"} and self.index not in jobs
        return replace(task, index=task.path(self.index)) if only_text else task

    def work(self, name: str, tasks: list[Visit]) -> None:
        """Visit pieces, spread over the workers, and note what it cost."""
        if not tasks:
            return
        stage, start, done = Stage(name), time.perf_counter(), 0
        before = Counter(self.local.places)
        total = sum(_size(task) for task in tasks)
        peaks: dict[str, int] = {}
        spread = self.local.hold if any(job.holds for job in tasks[0].jobs) else self.local.map
        for task, visited in zip(tasks, spread(visit, self._watched(tasks)), strict=True):
            done += _size(task)
            peaks[visited.worker] = visited.peak
            self.watch(name, done, total)
        self.refuse_changes()
        peak, own = peak_memory()
        peaks[own] = peak
        stage.seconds, stage.bytes, stage.peak = time.perf_counter() - start, total, sum(peaks.values())
        stage.places = dict(Counter(self.local.places) - before)
        self.stages.append(stage)

    def _watched(self, tasks: list[Visit]) -> list[Visit]:
        """The tasks with what their files must still be when they have been read."""
        keys = {task.piece.shard.index: self.stats[task.piece.shard.index] for task in tasks}
        text = any(task.piece.shard.format == "text" for task in tasks)
        watched = [
            replace(task, stat=stored.piece_key(task.piece, (task.fields, task.columns)))
            if task.piece.shard.format == "text"
            else replace(task, stat=keys[task.piece.shard.index])
            for task in tasks
        ]
        if text:
            self.refuse_changes()  # after the files were looked at one by one
        return watched

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note what something cost, but for passes within, which note themselves."""
        start, before, first = time.perf_counter(), Counter(self.local.places), len(self.stages)
        yield
        places = dict(Counter(self.local.places) - before)
        seconds = time.perf_counter() - start - sum(one.seconds for one in self.stages[first:])
        self.stages.append(Stage(name, seconds, 0, peak_memory()[0], places))

    def paid(self, name: str, key: str) -> AbstractContextManager[None]:
        """Work whose results stay in the store under a key; see `stages.paid`."""
        return paid(self.stages, self.store, name, key)

    def _alive_in(self, number: int) -> np.ndarray | None:
        if self.alive is None or self.table is None:
            return None
        first, stop = self.table.ranges[number]
        return self.table.padded(self.alive[first:stop], number)

    def alive_key(self) -> str:
        """What tells one set of living rows, and what edits made of their texts, from another in the store.

        The same places of another pool are other rows, so the content of all shards belongs to it.
        """
        rows = "all" if self.alive is None else stored.digest(self.fingerprint, np.packbits(self.alive).tobytes())
        return rows if not self.edits else stored.digest(rows, [edit.key for edit in self.edits])

    def among(self, mask: Bool[np.ndarray, "n"]) -> Pool:
        """The same pool with fewer living rows: a view, which shares everything else."""
        view = copy(self)
        view.alive = self.living & mask
        return view

    def everyone(self) -> Pool:
        """The same pool with every readable row alive: a view, which shares everything else."""
        view = copy(self)
        view.alive = None
        return view

    def turns(self) -> Pool:
        """The same pool, its rows handed back as marked turns (`io/row.py`): a view, whose numbers, sizes and hashes of rows
        stay those of their text."""
        if self.edits:
            raise RecipeError(
                "rows must be read as they were written to tell prompts from responses; this run edits their text (edit "
                f"steps: {len(self.edits)}): leave out --instructions, or judge a run without edits"
            )
        self.count()
        view = copy(self)
        view.form = "turns"
        return view

    def edit(self, edit: Edit) -> None:
        """From here on every text is read through one more edit, and sizes and hashes are those of the edited texts."""
        self.count()
        self.edits = (*self.edits, edit)
        self.resize("edit")

    def resize(self, stage: str) -> None:
        """Take sizes and hashes from the edited texts; rows that are no longer alive have none."""
        job = Resize(stored.digest([edit.key for edit in self.edits], self.alive_key()))
        self.visit(stage, (job,))
        assert self.table is not None
        self.original = self.original or self.table
        sizes, hashes = (np.asarray(self.measured(job.file, name)) for name in ("bytes", "hash"))
        self.table = replace(
            self.table,
            sizes=np.where(self.living, sizes, self.table.sizes),
            hashes=np.where(self.living, hashes, self.table.hashes),
        )

    def parts(self, file: str) -> Iterator[tuple[int, int, Any]]:
        """A stored table of columns, piece by piece: first row, row after the last, and the table (mapped)."""
        for piece, (first, stop) in zip(self.pieces, self.count().ranges, strict=True):
            if stop > first:
                yield first, stop, stored.open_table(self.task(piece, ()).at(file))

    def measured(self, file: str, name: str) -> Shaped[np.ndarray, "n"]:
        """One column of such tables for all rows, (n,); strings come as an object array."""
        whole: np.ndarray | None = None
        for first, stop, table in self.parts(file):
            part = stored.values(table[name])
            whole = np.empty((len(self.count()), *part.shape[1:]), part.dtype) if whole is None else whole
            whole[first:stop] = part[: stop - first]
        return np.zeros(0) if whole is None else whole

    def keep_column(self, file: str, values: Shaped[np.ndarray, "n"]) -> None:
        """Store one number per row under a job's file name, piece by piece, for `column` to read."""
        for number, (piece, (first, stop)) in enumerate(zip(self.pieces, self.count().ranges, strict=True)):
            padding = np.zeros(self.count().counts[number] - (stop - first), values.dtype)
            stored.save(self.task(piece, ()).at(file), np.concatenate([values[first:stop], padding]))


def _lacking(tasks: Sequence[Visit]) -> list[Visit]:
    """The tasks with the jobs whose results are not in the store; without those of which nothing is left."""
    absent = mirror.absent([task.path(job) for task in tasks for job in task.jobs])
    left = [replace(task, jobs=tuple(job for job in task.jobs if task.path(job) in absent)) for task in tasks]
    return [task for task in left if task.jobs]


def _size(task: Visit) -> int:
    piece = task.piece
    if task.size is not None:
        return task.size
    by_bytes = piece.shard.format == "jsonl" and not piece.shard.compression
    return piece.stop - piece.start if by_bytes else piece.shard.size if piece.number == 0 else 0


def _keep(batch: Batch) -> Batch:
    return batch


def _globally(batch: Batch, first: int) -> Batch:
    return Batch(batch.rows + first, batch.hashes, batch.columns)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Batches joined in order, with the columns that all of them have: text that was found by its place comes alone."""
    columns: dict[str, Any] = {}
    for name in batches[0].columns if batches else ():
        if not all(name in batch.columns for batch in batches):
            continue
        parts = [batch.columns[name] for batch in batches]
        columns[name] = join_texts(parts) if isinstance(parts[0], Texts) else np.concatenate(parts)
    rows = [batch.rows for batch in batches] or [np.zeros(0, np.int64)]
    hashes = [batch.hashes for batch in batches] or [np.zeros(0, np.uint64)]
    return Batch(np.concatenate(rows), np.concatenate(hashes), columns or {"text": Texts.of([])})
