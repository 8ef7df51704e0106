"""The arms of a run, written out for a trainer of your own: the same rows, at the same cost, as `assay verify` trains on.

```
arms/arms.json          protocol, budget, every arm, notes, and how results are reported back; written last
arms/manifest.parquet   arm, seed, budget, epoch, position, row, id, shard, units, keep: a line for each time that a row is read
arms/rows/NAME-SEED.*   with `write="rows"`: the rows of an arm as they came, in the order of training, all passes
arms/claim.json         whose folder this is, written first: another request into it is refused
```

All arms have the same number of units (tokens of one tokenizer, or bytes), to the unit: of the row where `keep` is less than
`units` only the beginning is to be read, `keep` units of it. In tokens a document costs its tokens and one end of document.
In `rows/` nothing is cut, because rows leave as they came: that row is left out, and `arms.json` says which one and how much
an arm lacks for it (less than one document for each pass).

With `curve` there are also random arms of other budgets, from an eighth to four times (in one pass each is the beginning of the
next larger one): results on these tell how many times as much random data the choice is worth.

Which rows an arm has depends on the run, the units and the seed alone, so the random arms here are those that `assay verify`
draws for the same budget. A rerun goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from assay import __version__, account, models, outputs, runs, training
from assay.errors import RecipeError, RunError, suggest
from assay.io import export, files, mirror, store, tokenizers
from assay.io.fields import Fields
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import HERE, Crew
from assay.runs import Run
from assay.types import Batch, Budget
from assay.verify import arms
from assay.verify.arms import RIVALS, Arm, Draft, Frame, Pass, Plan, Trial

if TYPE_CHECKING:
    from assay.models.torch_dataset import TorchRows

SHIPPED = Path(models.__file__).parent / "tokenizer-2048.json"
_WORK = ".work"


@final
@dataclass(frozen=True)
class HandoutAsked:
    """What `assay arms` is asked.

    arms       `choice`, `random`, `length`, `rs2`, `curve` (random at other budgets), `cleaned` (the pool after the run's own
               cleaning), other runs' folders
    seeds      draws of random, and of every arm that is drawn
    epochs     passes over the data
    units      at most so much for each arm: `2e6tokens`, `20MB`; None: all that the choice holds, in tokens
    tokenizer  a tokenizer.json that counts tokens; None: the one of 2,048 tokens that Assay's own proxies use
    write      `manifest` names rows, `rows` copies them too
    format     of the copied rows: `jsonl` or `parquet`
    """

    arms: tuple[str, ...] = ("choice", "random", "length", "rs2")
    seeds: int = 3
    epochs: int = 1
    units: str | None = None
    tokenizer: str | None = None
    write: Literal["manifest", "rows"] = "manifest"
    format: Literal["jsonl", "parquet"] = "jsonl"

    def __post_init__(self) -> None:
        for name, known in (("write", ("manifest", "rows")), ("format", ("jsonl", "parquet"))):
            if (got := getattr(self, name)) not in known:
                raise RecipeError(f"--{name} must be {' or '.join(known)}; got {got!r}; {suggest(got, known)}")
        if "choice" not in self.arms:
            raise RecipeError(f"--arms must hold choice, which all others equal; got {','.join(self.arms)}")
        if self.unit == "bytes" and self.tokenizer is not None:
            raise RecipeError(f"--tokenizer counts tokens, but --units is {self.units!r}; give tokens, or no tokenizer")

    @property
    def budget(self) -> Budget | None:
        """The parsed units; RecipeError where they are no amount in tokens or bytes."""
        if self.units is None:
            return None
        budget = Budget.parse(self.units)
        if budget.share or budget.unit not in ("bytes", "tokens"):
            raise RecipeError(
                f"--units must be an amount in tokens or bytes, such as 2e6tokens or 20MB; got {self.units!r}"
            )
        return budget

    @property
    def unit(self) -> Literal["bytes", "tokens"]:
        """What is equal."""
        return "bytes" if self.budget is not None and self.budget.unit == "bytes" else "tokens"

    @property
    def counter(self) -> str | None:
        """The tokenizer that counts, if tokens are counted."""
        return None if self.unit == "bytes" else self.tokenizer or str(SHIPPED)


def handout(
    run: Run, asked: HandoutAsked, out: Path, crew: Crew = HERE, watch: Watch = quiet
) -> dict[str, Any]:
    """Write the arms, and return what `arms.json` says; refused where the folder holds those of another request."""
    key = _digest(run, asked)
    if (done := _begun(out, key)) is not None:
        return done
    with files.locked(out), crew.hired() as local:
        files.write_json(str(out / "claim.json"), {"digest": key})
        files.remove_leftovers(out)
        pool = account.reopen_edited(run, local, watch)
        pool.refuse_changes()
        drafted, trial = _draft(run, asked, pool)
        units = _units(drafted, asked, pool, out / _WORK)
        plan = _plan(drafted, units, trial, asked)
        written = _rows(plan, asked, pool, out) if asked.write == "rows" else ()
        if not (out / "manifest.parquet").exists():
            export.write_arms(str(out / "manifest.parquet"), _manifest(run, plan, drafted.frame, units))
        told = {**_told(run, asked, plan, trial, written), "digest": key}
        files.write_json(str(out / "arms.json"), told)
        files.remove_folder(out / _WORK)
    return files.read_json(str(out / "arms.json"))


def preview(run: Run, asked: HandoutAsked, crew: Crew = HERE) -> dict[str, Any]:
    """What `handout` would write; tokens are an estimate from a sample of rows, bytes are exact."""
    with crew.hired() as local:
        pool = account.reopen_edited(run, local)
        pool.refuse_changes()
        drafted, trial = _draft(run, asked, pool)
        units = drafted.frame.sizes
        if asked.counter:
            units = np.maximum(1, np.round(units / _bytes_per_unit(pool, asked.counter))).astype(np.int64)
        plan = _plan(drafted, units, trial, asked)
        told = _told(run, asked, plan, trial, ())
    return {**told, "estimate": asked.counter is not None}


def _digest(run: Run, asked: HandoutAsked) -> str:
    counter = store.file_digest(asked.counter) if asked.counter else ""
    others = [Run(mirror.folder(name)).facts["digest"] for name in asked.arms if name not in _OWN]
    request = (replace(asked, tokenizer=None), counter, others)
    return store.digest(run.facts["digest"], run.facts["fingerprint"], request, __version__)


def _begun(out: Path, key: str) -> dict[str, Any] | None:
    """What an earlier call of the same request wrote, if it ended."""
    claim, there = out / "claim.json", files.entries(out)
    if not claim.exists():
        if there:
            raise RunError(
                f"{out} must be a new folder, or one of the same arms; it holds other files: give another --out"
            )
        return None
    if files.read_json(str(claim))["digest"] != key:
        raise RunError(
            f"{out} holds the arms of another request or run; give another --out, or remove that folder first"
        )
    return files.read_json(str(out / "arms.json")) if (out / "arms.json").exists() else None


# --- Which rows -------------------------------------------------------------------------------------------------------

_OWN = ("choice", "random", "curve", "cleaned", *RIVALS)
_TIMES = 4  # how many times the choice's budget random's curve goes to


def _draft(run: Run, asked: HandoutAsked, pool: Pool) -> tuple[Draft, Trial]:
    """The arms' orders, without the whole pool, which is no competitor."""
    frame = Frame.of(pool.count().sizes, pool.count().hashes, pool.count().readable)
    fixed = {"choice": np.sort(run.selected["row"].to_numpy())}
    fixed |= dict(runs.arm(run, name) for name in asked.arms if name == "cleaned" or name not in _OWN)
    chosen = frame.at(fixed["choice"])
    most = int(frame.sizes[chosen].sum()) + (len(chosen) if asked.counter else 0)
    units = max(1_000, most if asked.budget is None else min(most, asked.budget.limit(0)))
    rivals = tuple(name for name in RIVALS if name in asked.arms)
    reach = _TIMES if "curve" in asked.arms else 1
    trial = Trial(asked.seeds, units=units, curve=reach * units, reach=reach, epochs=asked.epochs, rivals=rivals)
    ratio = training.MARGIN * _bytes_per_unit(pool, asked.counter) if asked.counter else 1.0
    drafted = arms.draft(fixed, frame, trial, ratio, seeded=True)
    return replace(drafted, orders=tuple(one for one in drafted.orders if one.name != "pool")), trial


def _plan(drafted: Draft, units: Int64[np.ndarray, "n"], trial: Trial, asked: HandoutAsked) -> Plan:
    """The arms that were asked for at the one budget, and what is to be known about them."""
    plan = arms.settle(drafted, units, trial)
    rank = {name: place for place, name in enumerate(("choice", "random", *RIVALS))}
    wanted = sorted(
        (one for one in plan.arms if _wanted(one, plan.budget, asked)),
        key=lambda one: (rank.get(one.name, len(rank)), one.name, one.budget != plan.budget, one.budget, one.seed),
    )
    notes = plan.notes
    if "random" in asked.arms and not any(one.name == "random" for one in wanted):
        notes = (*notes, "random is left out: the choice is the whole pool, so every random draw is the choice")
    return replace(plan, arms=tuple(wanted), notes=notes)


def _wanted(arm: Arm, budget: int, asked: HandoutAsked) -> bool:
    if arm.budget != budget:
        return "curve" in asked.arms
    return arm.name in asked.arms or arm.name not in _OWN


def _bytes_per_unit(pool: Pool, counter: str) -> float:
    texts = pool.sample(training.SAMPLE)
    return int(texts.text.sizes.sum()) / max(1, int(_counted(texts, counter)[1].sum()))


@lru_cache(maxsize=2)
def _tokenizer(path: str) -> Any:
    """A tokenizer that counts whole texts, whatever its file says of limits and padding."""
    counter = tokenizers.load(path)
    counter.no_truncation()
    counter.no_padding()
    return counter


def _counted(batch: Batch, counter: str) -> tuple[Int64[np.ndarray, "b"], Int64[np.ndarray, "b"]]:
    """Rows and their tokens, one end of document each."""
    encoded = _tokenizer(counter).encode_batch_fast(list(batch.text), add_special_tokens=False)
    return batch.rows, np.fromiter((len(one) + 1 for one in encoded), np.int64, len(batch))


def _units(drafted: Draft, asked: HandoutAsked, pool: Pool, work: Path) -> Int64[np.ndarray, "n"]:
    """Units of each row of the frame; 0 for rows that no arm may read."""
    frame = drafted.frame
    if asked.counter is None:
        return frame.sizes
    if (work / "units.npy").exists():
        return np.asarray(store.mapped(work / "units.npy"))
    rows, units, done = drafted.rows, np.zeros(len(frame.rows), np.int64), 0
    sizes = frame.sizes[frame.at(rows)]
    for first, (part, tokens) in pool.gather(rows, partial(_counted, counter=asked.counter)):
        at = frame.at(part + first)
        units[at] = tokens
        done += int(frame.sizes[at].sum())
        pool.watch("count tokens", done, int(sizes.sum()))
    store.save(work / "units.npy", units)
    return units


# --- What is written --------------------------------------------------------------------------------------------------


def _manifest(run: Run, plan: Plan, frame: Frame, units: Int64[np.ndarray, "n"]) -> Iterator[dict[str, Any]]:
    """The lines of `manifest.parquet`, a pass of an arm at a time."""
    known = runs.lines_of(run, plan.rows)
    ids, shards, rows = known["id"].to_arrow(), known["shard"].to_arrow(), known["row"].to_numpy()
    for arm in plan.arms:
        for epoch, one in enumerate(arm.passes):
            at, spent = pa.array(np.searchsorted(rows, one.rows)), units[frame.at(one.rows)]
            yield {
                "arm": arm.name, "seed": arm.seed, "budget": arm.budget, "epoch": epoch,
                "position": np.arange(len(one.rows)), "row": one.rows, "id": ids.take(at), "shard": shards.take(at),
                "units": spent, "keep": _keep(one, spent),
            }  # fmt: skip


def _keep(one: Pass, spent: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "k"]:
    """Units to be read of each row of a pass."""
    keep = spent.copy()
    if one.cut >= 0:
        keep[one.cut] = one.keep
    return keep


def _rows(plan: Plan, asked: HandoutAsked, pool: Pool, out: Path) -> list[str]:
    """Copy the rows of every arm; a file that is there already stays. Returns the file of each."""
    names = [f"rows/{_file(arm, plan.budget)}.{asked.format}" for arm in plan.arms]
    lacking = [(arm, name) for arm, name in zip(plan.arms, names, strict=True) if not (out / name).exists()]
    total = sum(arm.cost for arm in plan.arms)
    done = total - sum(arm.cost for arm, _ in lacking)
    if lacking:
        _spool(plan.rows, asked, pool, out / _WORK)
    write = export.write_lines if asked.format == "jsonl" else export.write_table
    for arm, name in lacking:
        order = np.concatenate([_whole(one) for one in arm.passes])
        write(str(out / name), out / _WORK, np.searchsorted(plan.rows, order))
        done += arm.cost
        pool.watch("write arms", done, total)
    return names


def _file(arm: Arm, budget: int) -> str:
    name = "".join(letter if letter.isalnum() or letter in "._" else "-" for letter in arm.name)
    return f"{name}-{arm.seed}" if arm.budget == budget else f"{name}-{arm.seed}-{arm.budget}"


def _whole(one: Pass) -> Int64[np.ndarray, "k"]:
    """The rows of a pass that are read to their end."""
    return one.rows if one.cut < 0 else np.delete(one.rows, one.cut)


def _spool(rows: Int64[np.ndarray, "k"], asked: HandoutAsked, pool: Pool, work: Path) -> None:
    """All rows that some arm reads, in row order, in one file."""
    spooled = work / ("rows.jsonl" if asked.format == "jsonl" else "rows.arrow")
    if spooled.exists() and (asked.format == "parquet" or (work / "ends.npy").exists()):
        return
    copies, parts = _copies(rows, pool, work), {shard.index: (shard, []) for shard in pool.shards}
    for number, _ in enumerate(pool.local.map(outputs.copy, copies)):
        pool.watch("copy rows", number + 1, len(copies))
    pool.refuse_changes()
    for copy in copies:
        parts[copy.piece.shard.index][1].append(str(copy.part))
    spool = export.spool_lines if asked.format == "jsonl" else export.spool_tables
    spool([(shard, held) for shard, held in parts.values() if held], work)


def _copies(rows: Int64[np.ndarray, "k"], pool: Pool, work: Path) -> list[outputs.Copy]:
    """A task for every piece with some of the rows."""
    keep, tasks = np.zeros(len(pool.count()), np.int8), []
    keep[rows] = 1
    for number, (piece, (first, stop)) in enumerate(zip(pool.pieces, pool.count().ranges, strict=True)):
        if keep[first:stop].any():
            part, index = work / "parts" / f"{number:06d}", pool.task(piece, ()).path(pool.index)
            wanted = pool.count().padded(keep[first:stop] > 0, number)
            fields = pool.fields_of(piece.shard)
            tasks.append(outputs.Copy(piece, first, 0, fields, wanted, part, part, False, index, pool.edits))
    return tasks


def _told(
    run: Run,
    asked: HandoutAsked,
    plan: Plan,
    trial: Trial,
    written: Sequence[str],
) -> dict[str, Any]:
    """What `arms.json` says."""
    return {
        "assay": __version__,
        "run": run.facts["digest"],
        "pool": run.facts["fingerprint"],
        "unit": asked.unit,
        "tokenizer": None if asked.counter is None else asked.tokenizer or f"{SHIPPED.name}, as shipped with Assay",
        "budget": plan.budget,
        "epochs": trial.epochs,
        "cost": plan.budget * trial.epochs,
        "protocol": {name: asdict(trial)[name] for name in ("seeds", "level", "epochs", "rivals", "seed")},
        "arms": [_arm(arm, file) for arm, file in zip_longest(plan.arms, written)],
        "notes": list(plan.notes),
        "fields": asdict(run.text_fields[-1][1]),
        "how": _HOW,
        "report": {
            "command": "assay verify RUN --results results.jsonl",
            "line": {
                "arm": "choice",
                "seed": 0,
                "task": "heldout",
                "metric": "bits_per_byte",
                "value": 1.234,
                "budget": plan.budget * trial.epochs,
                "unit": asked.unit,
            },
        },
    }


_HOW = (
    "Train one model for each arm and seed: the same initial weights, batch, steps and order policy for all arms of a seed, "
    "the learning rate decayed to zero at the end of each. Read the rows of manifest.parquet by epoch and position; of a "
    "row whose keep is less than its units read only the first keep units. Then write one JSON line for each arm, seed, "
    "budget, task and metric, where budget is the arm's units."
)


def _arm(arm: Arm, file: str | None) -> dict[str, Any]:
    rows = sum(len(one.rows) for one in arm.passes)
    told: dict[str, Any] = {
        "name": arm.name, "seed": arm.seed, "budget": arm.budget, "rows": rows, "units": arm.cost,
    }  # fmt: skip
    if file is not None:
        cut = [one for one in arm.passes if one.cut >= 0]
        told |= {
            "file": file,
            "written_rows": rows - len(cut),
            "written_units": arm.cost - sum(one.keep for one in cut),
            "left_out": [int(one.rows[one.cut]) for one in cut],
        }
    return told


def to_torch(
    folder: Path,
    arm: str,
    seed: int,
    tokenizer: str | Path | Callable[[str], Sequence[int]] | None = None,
    columns: Sequence[str] | None = None,
    rank: int = 0,
    world: int = 1,
) -> TorchRows:
    """The rows of one arm in the order of training, as a torch `IterableDataset`; needs a folder made with `write="rows"`.

    One process with at most one worker reads them in exactly that order; several share them, every row once.
    """
    told = files.read_json(str(folder / "arms.json"))
    known = {(one["name"], one["seed"]): one.get("file") for one in told["arms"] if one["budget"] == told["budget"]}
    if (file := known.get((arm, seed))) is None:
        names = ", ".join(f"{name} {number}" for name, number in known)
        raise RunError(f"{folder} must hold the rows of {arm} {seed}; there are {names}: write them with --write rows")
    fields = Fields(**{**told["fields"], "extra": tuple(told["fields"]["extra"])})
    return runs.torch_rows(folder / file, (("", fields),), tokenizer, columns, None, rank, world)


def arms_of(words: Sequence[str]) -> tuple[str, ...]:
    """Names of arms from flags, where one may hold several.

    >>> arms_of(["choice,random", "other/"])
    ('choice', 'random', 'other/')
    """
    return tuple(dict.fromkeys(word for each in words for word in each.split(",") if word))
