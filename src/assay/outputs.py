"""The run folder: what `select` leaves for people and for other programs, under fixed names.

```
selected/           chosen rows, in row order, in the input's own format and compression
manifest.parquet/   one part per input shard, one row per input row: what became of it
quarantine.jsonl    what could not be read, with file, line, reason and raw bytes
run.json            recipe, digest, versions, counts that add up, cost of each stage; written last
recipe.json         written first: another recipe into the same folder is refused
```

Everything appears by rename. A rerun skips the shards that are there and writes the same bytes for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import msgspec
import numpy as np

from assay.decide import Decision
from assay.editing import reasons_of
from assay.errors import InputError, RunError
from assay.general import MARK
from assay.io import files, ids, mirror, spill, writer
from assay.io import store as stored
from assay.io.fields import Fields
from assay.io.ledger import write_manifest_pieces, write_quarantine
from assay.io.rewrite import copy_edited
from assay.io.sources import Piece, Shard
from assay.recipe import Recipe, Write
from assay.run.learnt import Edit
from assay.run.passes import Pool
from assay.run.table import row_type
from assay.run.visit import Visit, edited_texts
from assay.runs import Run
from assay.state import State
from assay.types import Texts

NOT_CHOSEN, STAYS, QUARANTINED = 0, 1, 2
_AT_ONCE = 4 << 30  # bytes of shards whose chosen rows are copied before they are joined
_COLUMNS = ("status", "why", "other", "score", "rank", "weight")


def begin(recipe: Recipe, out: Path) -> Run | None:
    """See whether the folder is free for this recipe; a finished run of the same recipe is handed back as it is.

    A run that was refused or killed before it wrote any output leaves signals only, which serve any recipe.
    """
    refuse_others(out)
    marker = out / "recipe.json"
    if mirror.present(marker):
        if files.read_json(str(marker))["digest"] == recipe.digest:
            return Run(out) if mirror.present(out / "run.json") else None
        if mirror.present(out / "pool.json") or mirror.present(out / "run.json"):
            raise RunError(
                f"{files.address(out)} holds a run of another recipe; give another --out, or remove that folder first"
            )
    return None


def refuse_others(out: Path) -> None:
    """Refuse a folder that is none of Assay's, before anything is written there."""
    there = files.entries(out)
    if "recipe.json" not in there and not {"store", "pool"}.issuperset(there):
        raise RunError(
            f"{files.address(out)} must be a new folder or one of an earlier run; it holds other files: give another --out"
        )


def claim(recipe: Recipe, out: Path) -> None:
    """Write down whose folder this is, once it is locked."""
    begin(recipe, out)
    files.write_json(str(out / "recipe.json"), {"digest": recipe.digest, "recipe": msgspec.to_builtins(recipe)})


@final
@dataclass(frozen=True)
class Ledger:
    """What became of every row: `status (n,)` is NOT_CHOSEN, STAYS (which `stays` names) or QUARANTINED, `why (n,)` indexes
    `reasons`, `other (n,)` is the row that a reason speaks of; score NaN, rank -1 and other -1 mean none."""

    status: np.ndarray
    why: np.ndarray
    other: np.ndarray
    reasons: tuple[str, ...]
    score: np.ndarray
    rank: np.ndarray
    weight: np.ndarray
    stays: str = "chosen"

    @classmethod
    def of(cls, state: State, decision: Decision | None) -> Ledger:
        """Put the steps' drops, the selector's reasons and the choice side by side; a row that lost only to the budget says so."""
        n, fates = len(state.pool.count()), state.fates
        why = np.zeros(n, np.int32)
        reasons = [_BUDGET if decision is not None else "", *fates.reasons]
        rest = _rest(state, decision)
        if decision is not None:
            _number(decision_reasons(decision), why, reasons)
        if len(fates.why):
            np.add(fates.why, 1, out=why, where=fates.why >= 0)
        general = np.zeros(0, np.int64) if decision is None else decision.selection.general
        _number([*state.pool.count().bad.items(), *_edited(state, rest.status, general)], why, reasons)
        other = np.broadcast_to(np.int8(-1), n) if fates.other is None else fates.other
        return replace(rest, why=why, other=other, reasons=tuple(reasons))

    @property
    def statuses(self) -> tuple[str, ...]:
        """The names of the codes in `status`."""
        return ("not_chosen", self.stays, "quarantined")

    def part(self, rows: slice) -> Ledger:
        """The same for some consecutive rows."""
        arrays = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return replace(self, **arrays)

    def counts(self) -> dict[str, int]:
        """Rows by what became of them; `filtered` are those of the not chosen that something else than the budget kept out."""
        counts = {name: int((self.status == code).sum()) for code, name in enumerate(self.statuses)}
        by_budget = (self.why == 0) & (self.reasons[0] == _BUDGET)
        filtered = int(((self.status == NOT_CHOSEN) & ~by_budget).sum())
        return {"input": len(self.status), **counts, "filtered": filtered}

    def told(self) -> tuple[np.ndarray, list[str]]:
        """The reasons of these rows as codes and names, those that speak of another row with its number."""
        names = list(self.reasons)
        open_ended = np.array([name.endswith(" of row ") for name in names])
        used, codes = np.unique(self.why, return_inverse=True)
        codes, listed = codes.astype(np.int32), [names[code] for code in used]
        rows = np.flatnonzero(open_ended[self.why])
        if len(rows):
            codes[rows] = np.arange(len(rows)) + len(listed)
            listed += [f"{names[why]}{other}" for why, other in zip(self.why[rows], self.other[rows], strict=True)]
        return codes, listed


_BUDGET = "budget"


def _rest(state: State, decision: Decision | None) -> Ledger:
    """Everything but the reasons: of a choice, or of all living rows."""
    readable, n = state.pool.count().readable, len(state.pool.count())
    status, nothing = np.zeros(n, np.int8), np.zeros(0, np.int32)
    if decision is None:
        status[state.pool.living] = STAYS
        score, rank, weight = (
            np.broadcast_to(np.nan, n),
            np.broadcast_to(np.int8(-1), n),
            (status == STAYS).astype(np.int8),
        )
    else:
        chosen = decision.selection
        status[chosen.rows] = STAYS
        # A column of every row costs memory: the manifest has whole numbers of 64 bits and floats all the same.
        once = bool((chosen.weights == 1).all())
        rank, weight = np.full(n, -1, row_type(n)), np.zeros(n, np.int8 if once else np.float64)
        rank[chosen.rows], weight[chosen.rows] = np.arange(1, len(chosen) + 1), chosen.weights
        score = np.full(n, np.nan) if decision.score is None else decision.score
    status[~readable] = QUARANTINED
    return Ledger(status, nothing, nothing, (), score, rank, weight, "kept" if decision is None else "chosen")


def decision_reasons(decision: Decision) -> list[tuple[str, np.ndarray]]:
    """What kept rows out of a choice, and the chosen rows themselves, which need no reason but where chance put them there."""
    unscored = np.zeros(0, np.int64) if decision.score is None else np.flatnonzero(np.isnan(decision.score))
    missing = (f"no score: {decision.rank_by} is missing", unscored)
    chosen = [("", decision.selection.rows), (MARK, decision.selection.general)]
    return [missing, *decision.selection.reasons.items(), *(pair for pair in chosen if len(pair[1]))]


def _edited(state: State, status: np.ndarray, general: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Rows that stay with another text than they came with, by the edits that changed them; general ones still say so."""
    if state.edited is None:
        return []
    masks = np.where(status == STAYS, state.edited, 0)
    told = reasons_of(masks, [entry["edit"] for entry in state.edits])
    changed = [(reason, np.flatnonzero(masks == mask)) for mask, reason in told.items()]
    return changed + [
        (f"{MARK}, {reason}", drawn) for reason, rows in changed if len(drawn := np.intersect1d(rows, general))
    ]


def _number(told: Iterable[tuple[str, np.ndarray]], why: np.ndarray, reasons: list[str]) -> None:
    """Write the number of each reason to its rows, and add the reasons that are new."""
    for reason, rows in told:
        reasons += [] if reason in reasons else [reason]
        why[rows] = reasons.index(reason)


@final
@dataclass(frozen=True)
class Kept:
    """A ledger laid down in a folder, for workers to map: a shard may have a hundred million rows."""

    folder: Path
    reasons: tuple[str, ...]
    stays: str

    @classmethod
    def of(cls, ledger: Ledger, folder: Path) -> Kept:
        """Write the columns, one file each."""
        for name in _COLUMNS:
            stored.save(folder / f"{name}.npy", getattr(ledger, name))
        return cls(folder, ledger.reasons, ledger.stays)

    def opened(self) -> Ledger:
        """The ledger again, its columns mapped."""
        columns = {name: stored.mapped(self.folder / f"{name}.npy") for name in _COLUMNS}
        return Ledger(reasons=self.reasons, stays=self.stays, **columns)


def write(recipe: Recipe, out: Path, pool: Pool, ledger: Ledger, content: str) -> None:
    """Write the selection and the account of every row; what is there already, under its final name, stays.

    `content` is a digest of what the run was made of.
    """
    _same_content(out, content)
    files.remove_leftovers(out, beside=("store",))
    how = recipe.write
    if how.rows == "rows":
        pool.refuse_changes()
    copies = [] if how.rows == "none" else _copies(how, out, pool, ledger)
    absent = mirror.absent([path for one in copies for path in (one.final, one.part)])
    tasks: list[Part | Copy | Join] = [*_parts(out, pool, ledger)]  # the manifest first: its parts take longest
    for together in _shares([one for one in copies if one.final in absent]):
        _each(pool, [*tasks, *(one for one in together if one.part in absent)])
        tasks = []
        if how.rows == "rows":
            _refuse_changes(out, pool)
        _each(pool, _joins(how, together))
    _each(pool, tasks)
    _describe(how, out, pool)
    write_quarantine(str(out / "quarantine.jsonl"), pool.unreadable())
    files.remove_leftovers(out, beside=("store",))  # of nodes that died while they wrote
    files.remove_folder(out / ".parts")


def _refuse_changes(out: Path, pool: Pool) -> None:
    """Rows may have been copied from a file that changed meanwhile: none of them is taken over then."""
    try:
        pool.refuse_changes()
    except InputError:
        files.remove_folder(out / ".parts")
        raise


def _same_content(out: Path, content: str) -> None:
    """Refuse to mix two pools or targets in one folder: the files may have changed since the run was begun."""
    marker = out / "pool.json"
    if mirror.present(marker) and files.read_json(str(marker))["content"] != content:
        raise RunError(
            f"the pool or target of {files.address(out)} has changed since that run was begun; give another --out, or remove "
            "the folder"
        )
    files.write_json(str(marker), {"content": content})


def _work(task: Part | Copy | Join) -> None:
    """One thing to write: a part of the manifest, a piece's chosen rows, or a shard's file."""
    if isinstance(task, Part):
        write_part(task)
    elif isinstance(task, Copy):
        copy(task)
    else:
        join(task)


def _each(pool: Pool, tasks: Sequence[Part | Copy | Join]) -> None:
    """Spread what is to be written."""
    for _ in pool.local.map(_work, tasks):
        pass


def _shares(copies: list[Copy]) -> Iterator[list[Copy]]:
    """Whole shards, in order, a few GB of them at a time: what is copied of them lies on disk twice until it is joined."""
    held: list[Copy] = []
    size, last = 0, -1
    for one in copies:
        if one.piece.shard.index != last and size > _AT_ONCE:
            yield held
            held, size = [], 0
        size += 0 if one.piece.shard.index == last else one.piece.shard.size
        last = one.piece.shard.index
        held.append(one)
    if held:
        yield held


def _joins(how: Write, copies: list[Copy]) -> list[Join]:
    """Each shard's copied rows under its final name."""
    finals: dict[Path, list[Copy]] = {}
    for task in copies:
        finals.setdefault(task.final, []).append(task)
    return [Join(how, same[0].piece.shard, tuple(task.part for task in same), final) for final, same in finals.items()]


def _describe(how: Write, out: Path, pool: Pool) -> None:
    """What a folder of selected rows has beside them."""
    if how.rows != "none":
        files.make_parents(str(out / "selected" / "rows"))  # there also where no row stays
    if how.rows == "rows":
        writer.finish(
            [shard for shard in pool.shards if mirror.known(out / "selected" / _name(how, shard))],
            str(out / "selected"),
            _form(how)[0],
        )


@final
@dataclass(frozen=True)
class Join:
    """A shard's file of chosen rows, out of what its pieces gave."""

    how: Write
    shard: Shard
    parts: tuple[Path, ...]
    final: Path

    @property
    def title(self) -> str:
        """What is written, in words."""
        return f"the chosen rows of {self.shard.path}"


def join(task: Join) -> None:
    """Write it, and let the parts go at once: all of them beside all files would take the disk twice."""
    parts = [str(part) for part in task.parts]
    if mirror.present(task.final):  # a worker was lost after it had joined them, and perhaps removed some
        pass
    elif task.how.rows == "ids":
        ids.join(parts, str(task.final))
    else:
        writer.join(parts, task.shard, str(task.final), *_form(task.how))
    spill.remove(*task.parts)


def _form(how: Write) -> tuple[str | None, str | None]:
    """Format and compression as the writer takes them: None is the input's own."""
    return (None if how.format == "same" else how.format), (None if how.compression == "same" else how.compression)


def _name(how: Write, shard: Shard) -> str:
    return f"{shard.name}.ids.jsonl" if how.rows == "ids" else writer.output_name(shard, *_form(how))


def _copies(how: Write, out: Path, pool: Pool, ledger: Ledger) -> list[Copy]:
    chosen, tasks, lines_before, shard = ledger.status == STAYS, [], 0, -1
    for number, (piece, (first, stop)) in enumerate(zip(pool.pieces, pool.count().ranges, strict=True)):
        lines_before = lines_before if piece.shard.index == shard else 0
        shard = piece.shard.index
        if chosen[first:stop].any():
            keep = pool.count().padded(chosen[first:stop], number)
            name, index = out / "selected" / _name(how, piece.shard), pool.task(piece, ()).path(pool.index)
            part = out / ".parts" / f"{number:06d}"
            only_ids = how.rows == "ids"
            tasks.append(
                Copy(
                    piece,
                    first,
                    lines_before,
                    pool.fields_of(piece.shard),
                    keep,
                    part,
                    name,
                    only_ids,
                    index,
                    pool.edits,
                )
            )
        lines_before += pool.count().lines[number]
    return tasks


@final
@dataclass(frozen=True)
class Copy:
    """A piece's chosen rows, `keep (rows of the piece,)`, on their way to the shard's output."""

    piece: Piece
    first: int
    lines_before: int
    fields: Fields
    keep: np.ndarray
    part: Path
    final: Path
    only_ids: bool
    index: Path
    edits: tuple[Edit, ...] = ()

    @property
    def title(self) -> str:
        """What is written, in words."""
        return f"the chosen rows of {self.piece.shard.path}"


def copy(task: Copy) -> None:
    """Write one piece's chosen rows under a temporary name."""
    if task.only_ids:
        table, _ = stored.load_table(task.index)
        rows = np.flatnonzero(task.keep)
        ids.write(str(task.part), rows + task.first, _ids(table, task.piece.shard.name, task.lines_before).take(rows))
    elif task.edits:
        rows, texts = edited_texts(Visit(task.piece, task.fields, (), task.part, (), task.keep, task.index, task.edits))
        copy_edited(task.piece, task.keep, rows, texts, task.fields, str(task.part), task.fields.max_line)
    else:
        writer.copy_rows(task.piece, task.keep, str(task.part), task.fields.max_line)


def _parts(out: Path, pool: Pool, ledger: Ledger) -> list[Part]:
    """Parts of the manifest to write: one for each shard, with a line for every row."""
    tasks, kept = [], Kept.of(ledger, out / ".parts" / "ledger")
    numbered: dict[int, list[int]] = {}
    for number, piece in enumerate(pool.pieces):
        numbered.setdefault(piece.shard.index, []).append(number)
    finals = {shard.index: out / "manifest.parquet" / f"{shard.index:06d}.parquet" for shard in pool.shards}
    absent = mirror.absent(finals.values())
    for shard in pool.shards:
        numbers, final_path = numbered.get(shard.index, []), finals[shard.index]
        if numbers and final_path in absent:
            first, stop = pool.count().ranges[numbers[0]][0], pool.count().ranges[numbers[-1]][1]
            tables = tuple(pool.task(pool.pieces[number], ()).path(pool.index) for number in numbers)
            tasks.append(Part(final_path, shard.name, first, stop, tables, kept))
    return tasks


@final
@dataclass(frozen=True)
class Part:
    """One shard's part of the manifest: the index tables of its pieces, and the ledger of its rows."""

    final: Path
    shard: str
    first: int
    stop: int
    tables: tuple[Path, ...]
    ledger: Kept

    @property
    def title(self) -> str:
        """What is written, in words."""
        return f"the manifest of {self.shard}"


def write_part(task: Part) -> None:
    """Join ids and sizes from the store with what became of the rows, a piece of the shard at a time."""
    write_manifest_pieces(str(task.final), _manifest_pieces(task))


def _manifest_pieces(task: Part) -> Iterator[dict[str, Any]]:
    first, lines_before = task.first, 0
    for path in task.tables:
        table, facts = stored.load_table(path)
        n = min(facts["rows"], task.stop - first)
        if n > 0:  # a piece in the middle of a long line has no rows, and no columns either
            # Mapped anew for each piece: what stays mapped counts as memory, a row after another.
            ledger = task.ledger.opened().part(slice(first, first + n))
            yield _manifest_rows(task.shard, first, table, lines_before, ledger)
        lines_before += facts["lines"]
        first += n


def _manifest_rows(shard: str, first: int, table: stored.Table, lines_before: int, ledger: Ledger) -> dict[str, Any]:
    """The manifest's columns for the rows of one piece."""
    n = len(ledger.status)
    sources = stored.texts(table["source"]).head(n) if "source" in table.column_names else ""
    return {
        "row": np.arange(first, first + n),
        "id": _ids(table, shard, lines_before).head(n),
        "shard": shard,
        "source": sources,
        "bytes": stored.numbers(table["bytes"])[:n],
        "status": (ledger.status, ledger.statuses),
        "reason": ledger.told(),
        "score": ledger.score,
        "rank": ledger.rank,
        "weight": ledger.weight,
    }


def _ids(table: stored.Table, shard: str, lines_before: int) -> Texts:
    names = stored.texts(table["id"]) if "id" in table.column_names else None
    if names is not None and names.sizes.all():
        return names
    lines = (stored.numbers(table["line"]) + lines_before).tolist()
    return Texts.of([(names[row] if names else "") or f"{shard}:{line}" for row, line in enumerate(lines)])
