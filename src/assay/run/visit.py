"""What a worker does: read one piece once, and hand every block of it to every job that was asked for.

All jobs of a pass share one reading of the text. A job's result lands under its final name in the store before the
worker answers, so a killed run repeats only pieces that were under way.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Int64

import assay.kernels.ngrams  # noqa: F401  the forkserver loads compiled kernels once for all workers
from assay.errors import AssayError, InputError, RunError
from assay.io import mirror, store
from assay.io.blocks import Block
from assay.io.fields import Fields
from assay.io.reader import read, read_texts
from assay.io.sources import Piece
from assay.run.jobs import Gather, Job, Reduce
from assay.run.learnt import Edit, edited, same_text
from assay.types import Batch, Texts, join_texts


@final
@dataclass(frozen=True)
class Visit:
    """A piece to read, the jobs to feed, where results go, and which rows are alive (None: all).

    `index` is given where the jobs want nothing but text: a piece that was counted says where each text lies, and is not
    parsed again. `edits` are what every text goes through before a job sees it. `stat` is what the piece's files were taken
    for when the run began: where they are something else after they were read, nothing of it is kept.
    """

    piece: Piece
    fields: Fields
    columns: tuple[str, ...]
    folder: Path
    jobs: tuple[Job, ...]
    alive: np.ndarray | None = None
    index: Path | None = None
    edits: tuple[Edit, ...] = ()
    stat: str = ""
    beside: tuple[str, ...] = ()  # columns that are read for the jobs alone and never kept: encoded images
    size: int | None = None  # bytes of the rows asked for, where these are not the whole piece
    span: tuple[int, int] | None = None  # where only a run of the piece's rows is asked for: its first, and the one behind it

    @property
    def title(self) -> str:
        """The piece in words: the file, and which part of it."""
        piece = self.piece
        return f"{piece.shard.path} ({piece.start:,} to {piece.stop:,})" if piece.start else piece.shard.path

    @property
    def asked(self) -> Bool[np.ndarray, "r"] | None:
        """The rows that jobs are to see: those alive, of the span if there is one; None: all."""
        if self.alive is None or self.span is None:
            return self.alive
        within = np.zeros(len(self.alive), bool)
        within[slice(*self.span)] = self.alive[slice(*self.span)]
        return within

    def path(self, job: Job) -> Path:
        """Where the store keeps a job's result for this piece."""
        return self.at(job.file)

    def at(self, file: str) -> Path:
        """Where the store keeps the result of a job whose `file` this is."""
        return self.folder / f"{self.piece.number:06d}.{file}"


@final
@dataclass(frozen=True)
class Visited:
    """What a visit reports: rows seen, the worker's peak memory in bytes, and gathered parts."""

    piece: Piece
    rows: int
    peak: int
    worker: str
    gathered: list[Any]


def visit(task: Visit) -> Visited:
    """Read the piece block by block, feed the jobs, save their results; InputError where memory runs out, or the file changes."""
    try:
        return _visit(task)
    except MemoryError:
        raise RunError(
            f"memory ran out at {task.piece.shard.path}; run the same command again with fewer --workers or a smaller "
            "--memory: finished shards are kept"
        ) from None
    except AssayError:
        raise
    except Exception:
        _refuse_changes(task)  # what is read of a file that changes meanwhile may be anything
        raise


def _visit(task: Visit) -> Visited:
    parts: list[list[Any]] = [[] for _ in task.jobs]
    rows = 0
    for block, batch, count in _blocks(task):
        batch = edited(batch, task.edits)
        for job, kept in zip(task.jobs, parts, strict=True):
            kept.append(job.block(block, batch, rows))
            if isinstance(job, Reduce):
                kept[:] = [job.fold(kept)]  # one part per piece in memory, however large the piece
        rows += count
    _refuse_changes(task)
    gathered = []
    for job, kept in zip(task.jobs, parts, strict=True):
        if isinstance(job, Gather):
            gathered += [part for part in kept if part is not None]
        else:
            job.finish(kept, rows, task.piece, task.path(job))
    return Visited(task.piece, rows, *peak_memory(), gathered)


def _refuse_changes(task: Visit) -> None:
    """Raise InputError where the piece's file is not what it was, so that nothing that was read of it is kept."""
    try:
        if task.stat and store.piece_key(task.piece, (task.fields, task.columns)) != task.stat:
            raise InputError(changed(task.piece.shard.path))
    except FileNotFoundError as error:
        raise InputError(gone(error.filename)) from None


def gone(path: str) -> str:
    """What is said where a file is not there any more."""
    return f"{path} is no longer there; put it back, or select again from another pool"


def changed(path: str) -> str:
    """What is said where a file is not what it was."""
    return f"{path} has changed since it was read; select again from the pool as it is now"


def edited_texts(task: Visit) -> tuple[Int64[np.ndarray, "k"], Texts]:
    """Rows of the piece, of those alive, whose text the edits change, and their new texts."""
    rows, texts = [np.zeros(0, np.int64)], []
    for _, batch, _ in _blocks(task):
        after = edited(batch, task.edits)
        changed = ~same_text(batch, after) if len(batch) else np.zeros(0, bool)
        rows.append(batch.rows[changed])
        texts.append(after.text.take(changed))
    return np.concatenate(rows), join_texts(texts)


def _blocks(task: Visit) -> Iterator[tuple[Block | None, Batch, int]]:
    """Blocks with their living rows, and how many rows each takes up."""
    table = store.load_table(task.index)[0] if task.index is not None and mirror.present(task.index) else None
    if table is not None and "text_offset" in table.column_names:
        yield from _known(task, table)
        return
    asked = task.asked
    for block in read(task.piece, task.fields, (*task.columns, *task.beside)):
        yield block, _living(block.batch, asked), block.count


def _known(task: Visit, table: store.Table) -> Iterator[tuple[None, Batch, int]]:
    """The living rows of a counted piece, their text taken from where it is known to lie."""
    readable, hashes = store.numbers(table["readable"]), store.numbers(table["hash"])
    rows = np.flatnonzero(readable if task.alive is None else readable & task.asked)
    names = ("text_offset", "text_length", "text_flags")
    spans = np.stack([store.numbers(table[name]) for name in names], axis=1)[rows]
    done, counted = 0, 0
    for texts in read_texts(task.piece, spans):
        here = rows[done : done + len(texts)]
        done += len(texts)
        upto = int(here[-1]) + 1 if done < len(rows) else len(table)
        yield None, Batch(here, hashes[here], {"text": texts}), upto - counted
        counted = upto
    if not len(rows):
        yield None, Batch(rows, hashes[rows], {"text": Texts.of([])}), len(table)


def peak_memory() -> tuple[int, str]:
    """This process's largest resident set in bytes, and its name among those of all machines."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, mirror.owner()


def take(batch: Batch, positions: Bool[np.ndarray, "b"]) -> Batch:
    """Some rows of a batch, by position or mask."""
    chosen = {
        name: column.take(positions) if isinstance(column, Texts) else column[positions]
        for name, column in batch.columns.items()
    }
    return Batch(batch.rows[positions], batch.hashes[positions], chosen)


def _living(batch: Batch, alive: np.ndarray | None) -> Batch:
    if alive is None or alive[batch.rows].all():
        return batch
    return take(batch, alive[batch.rows])
