"""What can be done with the rows of a piece while it is read: count it, fit on it, score it, annotate it, hand rows back."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64

from assay.contracts import Annotator, Merge, Part, Scorer
from assay.io import spill, store
from assay.io.blocks import Bad, Block
from assay.io.sources import Piece
from assay.run.learnt import fitted, models
from assay.types import Batch, Texts, join_texts

_ROWS = "row of the piece"
_PLACES = ("offset", "length", "text_offset", "text_length", "text_flags")


class Job(ABC):
    """Something to do with every block of a piece; made anew in the worker for each piece."""

    @property
    @abstractmethod
    def file(self) -> str:
        """The end of the name under which the store keeps the result."""

    @property
    def holds(self) -> bool:
        """Whether it loads a model, which a worker had better keep for the next piece."""
        return False

    @abstractmethod
    def block(self, block: Block | None, batch: Batch, first: int) -> Any:
        """What one block gives: all its rows in `block`, the living and readable ones in `batch`; its first row is `first`."""

    @abstractmethod
    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        """Join the blocks' parts and save them."""


@final
@dataclass(frozen=True)
class Index(Job):
    """Counts rows and keeps what selecting needs of each: bytes of text, content hash, id, source, numbers asked for."""

    columns: tuple[str, ...]
    folder: Path

    @property
    def file(self) -> str:
        return f"index-{store.digest(self.columns, 'runs')[:16]}.arrow"

    def block(self, block: Block | None, batch: Batch, first: int) -> tuple[dict[str, Any], dict[str, Any], int, int]:
        """Spread the readable rows' values over all rows of the block; the others, of which there may be as many as there are
        rows, go to a scratch file."""
        if first == 0:
            spill.remove(spill.scratch(self.folder))
        if block.bad:
            entries = b"".join(json.dumps(_bad_facts(entry)).encode() + b"\n" for entry in block.bad)
            spill.append(spill.scratch(self.folder), np.frombuffer(entries, np.uint8))
        rows, found = block.batch.rows, {}
        for name, values in self._values(block).items():
            found[name] = spread(values, rows - first, block.count)
        found["line"] = block.line_numbers.astype(np.int64)
        if block.spans is not None:
            found["offset"], found["length"] = block.spans[:, 0], block.spans[:, 1]
        if block.text_spans is not None:
            found["text_offset"], found["text_length"], found["text_flags"] = block.text_spans.T
        return found, _reasons(block.bad), block.blank, block.lines

    def _values(self, block: Block) -> dict[str, Any]:
        batch = block.batch
        fixed = {
            "bytes": batch.text.sizes.astype(np.int64),
            "hash": batch.hashes,
            "readable": np.ones(len(batch), bool),
        }
        return {**fixed, **{name: batch.columns[name] for name in self.columns if name in batch.columns}}

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        """One table for the piece; unreadable rows and counts go with it as facts."""
        seekable = (
            piece.shard.format == "jsonl" and not piece.shard.compression
        )  # elsewhere a place in the file says nothing
        wanted = [name for name in (parts[0][0] if parts else ()) if seekable or name not in _PLACES]
        names = [name for name in wanted if all(name in part[0] for part in parts)]
        columns = {name: _join([part[0][name] for part in parts]) for name in names}
        bad = _joined([part[1] for part in parts])
        if bad:
            spill.keep(spill.scratch(self.folder), unreadable_path(path))
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

    def block(self, block: Block | None, batch: Batch, first: int) -> Any:
        return self.part(batch) if len(batch) else None

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        merged = self.fold(parts)
        store.save(path, () if merged is None else merged)

    def fold(self, parts: list[Any]) -> Any:
        """The parts merged into one; None where no block had a living row."""
        merged = None
        for part in parts:
            merged = part if merged is None else merged if part is None else self.merge(merged, part)
        return merged


@final
@dataclass(frozen=True)
class Score(Job):
    """One score for every row: NaN where the row is unreadable, not alive, or declined by the method."""

    scorer: Scorer
    learnt: Path
    key: str

    @property
    def file(self) -> str:
        return f"score-{self.key}.npy"

    def block(self, block: Block | None, batch: Batch, first: int) -> tuple[np.ndarray, np.ndarray]:
        return batch.rows, self.scorer.score(fitted(self.learnt), batch).astype(np.float64)

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        scores = np.full(rows, np.nan)
        for positions, values in parts:
            scores[positions] = values
        store.save(path, scores)


@final
@dataclass(frozen=True)
class Annotate(Job):
    """An annotator's columns for every row; 0, NaN or no text where the row is unreadable or not alive."""

    annotator: Annotator
    learnt: Path | None
    key: str

    @property
    def file(self) -> str:
        return f"columns-{self.key}.arrow"

    @property
    def holds(self) -> bool:
        """Where the annotator has models, or makes one of what it learnt."""
        return self.annotator.heavy or bool(self.annotator.models)

    def block(self, block: Block | None, batch: Batch, first: int) -> tuple[np.ndarray, dict[str, Any]]:
        return batch.rows, self.annotator.annotate(batch, models(self.annotator, self.learnt))

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        names = list(parts[0][1]) if parts else []
        positions = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.int64)
        joined = {name: _join([part[1][name] for part in parts]) for name in names}
        store.save_table(path, {name: spread(values, positions, rows) for name, values in joined.items()}, {})


@final
@dataclass(frozen=True)
class Portion(Job):
    """An annotator's columns for some rows of a piece, kept until all of the piece's are there: what is killed loses no more."""

    whole: Annotate
    number: int
    count: int

    @property
    def file(self) -> str:
        return f"portion-{self.number}-of-{self.count}-{self.whole.key}.arrow"

    @property
    def holds(self) -> bool:
        return True

    def block(self, block: Block | None, batch: Batch, first: int) -> Any:
        return self.whole.block(block, batch, first)

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        """The living rows' columns, one after another."""
        columns = {name: _join([part[1][name] for part in parts]) for name in (parts[0][1] if parts else ())}
        rows_ = [np.zeros(0, np.int64), *(part[0] for part in parts)]
        store.save_table(path, {**columns, _ROWS: np.concatenate(rows_)}, {})


def joined(portions: Sequence[Path], rows: int, path: Path) -> None:
    """The portions of a piece as the one table that `Annotate` writes of it; they are removed."""
    tables = [store.load_table(portion)[0] for portion in portions]
    positions = np.concatenate([np.zeros(0, np.int64), *(store.numbers(table[_ROWS]) for table in tables)])
    columns = {}
    for name in (one for one in tables[0].column_names if one != _ROWS):
        columns[name] = spread(_join([store.column(table[name]) for table in tables]), positions, rows)
    store.save_table(path, columns, {})
    spill.remove(*portions)


@final
@dataclass(frozen=True)
class Resize(Job):
    """What edits leave of every row: bytes and content hash of its text."""

    key: str

    @property
    def file(self) -> str:
        return f"edited-{self.key}.arrow"

    def block(self, block: Block | None, batch: Batch, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return batch.rows, batch.text.sizes.astype(np.int64), batch.hashes

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        sizes, hashes = np.zeros(rows, np.int64), np.zeros(rows, np.uint64)
        for positions, found, named in parts:
            sizes[positions], hashes[positions] = found, named
        store.save_table(path, {"bytes": sizes, "hash": hashes}, {})


@final
@dataclass(frozen=True)
class Gather(Job):
    """Not stored: hands back the batch of some rows, through a function of it."""

    use: Callable[[Batch], Any]

    @property
    def file(self) -> str:
        return ""

    def block(self, block: Block | None, batch: Batch, first: int) -> Any:
        return self.use(batch) if len(batch) else None

    def finish(self, parts: list[Any], rows: int, piece: Piece, path: Path) -> None:
        raise AssertionError("gathered parts are handed back, not stored")


def spread(values: Any, positions: Int64[np.ndarray, "b"], count: int) -> Any:
    """A column of some rows, in order, as one of `count` rows."""
    if isinstance(values, Texts):
        return _spread_texts(values, positions, count)
    whole = np.full((count, *values.shape[1:]), np.nan if values.dtype.kind == "f" else 0, values.dtype)
    whole[positions] = values
    return whole


def _spread_texts(values: Texts, positions: np.ndarray, count: int) -> Texts:
    sizes = np.zeros(count, np.int64)
    sizes[positions] = values.sizes
    data = values.data[values.offsets[0] : values.offsets[-1]]
    return Texts(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))


def _join(columns: list[Any]) -> Any:
    return join_texts(columns) if isinstance(columns[0], Texts) else np.concatenate(columns)


def unreadable_path(index: Path) -> Path:
    """Where the unreadable rows of a piece are kept, beside its index."""
    return index.with_suffix(".bad.jsonl")


def _reasons(bad: Sequence[Bad]) -> dict[str, list[tuple[int, int]]]:
    """Rows by reason, as runs: (first row, how many)."""
    found: dict[str, list[tuple[int, int]]] = {}
    for entry in bad:
        _extend(found.setdefault(entry.reason, []), entry.row, 1)
    return found


def _joined(parts: Sequence[dict[str, list[tuple[int, int]]]]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for part in parts:
        for reason, runs in part.items():
            for first, count in runs:
                _extend(found.setdefault(reason, []), first, count)
    return found


def _extend(runs: list[tuple[int, int]], first: int, count: int) -> None:
    if runs and sum(runs[-1]) == first:
        first, count = runs[-1][0], runs.pop()[1] + count
    runs.append((first, count))


def _bad_facts(entry: Bad) -> dict[str, Any]:
    return {**vars(entry), "raw": base64.b64encode(entry.raw).decode("ascii")}
