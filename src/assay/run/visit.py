"""What a worker does: read one piece once, and hand every block of it to every job that was asked for.

All jobs of a pass share one reading of the text. A job's result lands under its final name in the store before the
worker answers, so a killed run repeats only pieces that were under way.
"""

from __future__ import annotations

import base64
import os
import resource
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

import assay.kernels.ngrams  # noqa: F401  the forkserver loads compiled kernels once for all workers
from assay.contracts import Annotator, Merge, Part, Scorer
from assay.io import store
from assay.io.blocks import Bad, Block
from assay.io.fields import Fields
from assay.io.tokenizers import load_model
from assay.io.reader import read
from assay.io.sources import Piece
from assay.types import Batch, Fitted, Texts, join_texts


class Job(ABC):
    """Something to do with every block of a piece; made anew in the worker for each piece."""

    @property
    @abstractmethod
    def file(self) -> str:
        """The end of the name under which the store keeps the result."""

    @abstractmethod
    def block(self, block: Block, batch: Batch, first: int) -> Any:
        """What one block gives: all its rows in `block`, the living and readable ones in `batch`; its first row is `first`."""

    @abstractmethod
    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        """Join the blocks' parts and save them."""


@final
@dataclass(frozen=True)
class Index(Job):
    """Counts rows and keeps what selecting needs of each: bytes of text, content hash, id, source, numbers asked for."""

    columns: tuple[str, ...]

    @property
    def file(self) -> str:
        return f"index-{store.digest(self.columns)[:16]}.arrow"

    def block(self, block: Block, batch: Batch, first: int) -> tuple[dict[str, Any], tuple[Bad, ...], int, int]:
        """Spread the readable rows' values over all rows of the block."""
        rows, spread = block.batch.rows, {}
        for name, values in self._values(block).items():
            if isinstance(values, Texts):
                spread[name] = _spread_texts(values, rows - first, block.count)
            else:
                empty = np.nan if values.dtype.kind == "f" else 0
                spread[name] = np.full(block.count, empty, values.dtype)
                spread[name][rows - first] = values
        spread["line"] = block.line_numbers.astype(np.int64)
        return spread, block.bad, block.blank, block.lines

    def _values(self, block: Block) -> dict[str, Any]:
        batch = block.batch
        fixed = {"bytes": batch.text.sizes.astype(np.int64), "hash": batch.hashes, "readable": np.ones(len(batch), bool)}
        return {**fixed, **{name: batch.columns[name] for name in self.columns if name in batch.columns}}

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        """One table for the piece; unreadable rows and counts go with it as facts."""
        columns = {name: _join([part[0][name] for part in parts]) for name in (parts[0][0] if parts else ())}
        bad = [_bad_facts(entry) for part in parts for entry in part[1]]
        facts = {
            "rows": rows,
            "bad": bad,
            "blank": sum(part[2] for part in parts),
            "lines": sum(part[3] for part in parts),
            "content": store.content_digest(piece),
        }
        store.save_table(path, columns, facts)


@final
@dataclass(frozen=True)
class Reduce(Job):
    """One part of a fit: a commutative monoid over the living rows."""

    part: Part
    merge: Merge
    key: str

    @property
    def file(self) -> str:
        return f"part-{self.key}.npz"

    def block(self, block: Block, batch: Batch, first: int) -> Any:
        return self.part(batch) if len(batch) else None

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        merged = None
        for part in parts:
            merged = part if merged is None else merged if part is None else self.merge(merged, part)
        store.save(path, () if merged is None else merged)


@final
@dataclass(frozen=True)
class Score(Job):
    """One score for every row: NaN where the row is unreadable, not alive, or declined by the method."""

    scorer: Scorer
    fitted: Fitted
    key: str

    @property
    def file(self) -> str:
        return f"score-{self.key}.npy"

    def block(self, block: Block, batch: Batch, first: int) -> tuple[np.ndarray, np.ndarray]:
        return batch.rows, self.scorer.score(self.fitted, batch).astype(np.float64)

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        scores = np.full(rows, np.nan)
        for positions, values in parts:
            scores[positions] = values
        store.save(path, scores)


@final
@dataclass(frozen=True)
class Annotate(Job):
    """One whole number for every row by an annotator; 0 where the row is unreadable."""

    annotator: Annotator
    column: str
    key: str

    @property
    def file(self) -> str:
        return f"column-{self.key}.npy"

    def block(self, block: Block, batch: Batch, first: int) -> tuple[np.ndarray, np.ndarray]:
        models = {name: load_model(name, path) for name, path in self.annotator.models.items()}
        return batch.rows, self.annotator.annotate(batch, models)[self.column]

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        values = np.zeros(rows, np.int64)
        for positions, found in parts:
            values[positions] = found
        store.save(path, values)


@final
@dataclass(frozen=True)
class Gather(Job):
    """Not stored: hands back the batch of some rows, through a function of it."""

    use: Callable[[Batch], Any]

    @property
    def file(self) -> str:
        return ""

    def block(self, block: Block, batch: Batch, first: int) -> Any:
        return self.use(batch) if len(batch) else None

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        raise AssertionError("gathered parts are handed back, not stored")


@final
@dataclass(frozen=True)
class Visit:
    """A piece to read, the jobs to feed, where results go, and which rows are alive (None: all)."""

    piece: Piece
    fields: Fields
    columns: tuple[str, ...]
    folder: Path
    jobs: tuple[Job, ...]
    alive: np.ndarray | None = None

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
    worker: int
    gathered: list[Any]


def visit(task: Visit) -> Visited:
    """Read the piece block by block, feed the jobs, save their results."""
    parts: list[list[Any]] = [[] for _ in task.jobs]
    rows = 0
    for block in read(task.piece, task.fields, task.columns):
        batch = _living(block.batch, task.alive)
        for job, kept in zip(task.jobs, parts, strict=True):
            kept.append(job.block(block, batch, rows))
        rows += block.count
    gathered = []
    for job, kept in zip(task.jobs, parts, strict=True):
        if isinstance(job, Gather):
            gathered += [part for part in kept if part is not None]
        else:
            job.finish(kept, rows, task.piece, task.path(job))
    return Visited(task.piece, rows, *peak_memory(), gathered)


def peak_memory() -> tuple[int, int]:
    """This process's largest resident set in bytes, and its number."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, os.getpid()


def take(batch: Batch, positions: np.ndarray) -> Batch:
    """Some rows of a batch, by position or mask."""
    chosen = {name: column.take(positions) if isinstance(column, Texts) else column[positions] for name, column in batch.columns.items()}
    return Batch(batch.rows[positions], batch.hashes[positions], chosen)


def _living(batch: Batch, alive: np.ndarray | None) -> Batch:
    if alive is None or alive[batch.rows].all():
        return batch
    return take(batch, alive[batch.rows])


def _spread_texts(values: Texts, positions: np.ndarray, count: int) -> Texts:
    sizes = np.zeros(count, np.int64)
    sizes[positions] = values.sizes
    return Texts(values.data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))


def _join(columns: list[Any]) -> Any:
    return join_texts(columns) if isinstance(columns[0], Texts) else np.concatenate(columns)


def _bad_facts(entry: Bad) -> dict[str, Any]:
    return {**asdict(entry), "raw": base64.b64encode(entry.raw).decode("ascii")}
