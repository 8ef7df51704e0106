"""A trial of a finished run: held-out text, overlap with the pool, arms at equal bytes, one model each, the verdict.

The arms' text is read from the pool in one pass and laid down beside the run while the trial lasts; every trial maps it
and trains one model, in its own process where there are workers.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64

from assay import __version__, account, catalog
from assay.errors import RunError
from assay.io import files, store
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.local import Local
from assay.run.passes import Pool, Watch, quiet
from assay.runs import Run
from assay.types import Batch, Texts
from assay.verify import arms, judge, overlap
from assay.verify.arms import Frame, Plan, Trial
from assay.verify.judge import Held, Judge
from assay.verify.verdict import Question, verdict


@final
@dataclass(frozen=True)
class Asked:
    """What `assay verify` is asked: held-out text, general text beside it, whom to beat, by which proxy, over how many draws."""

    eval: tuple[str, ...]
    general: tuple[str, ...] = ()
    against: str = "random"
    proxy: str = "ngram"
    seeds: int = 5
    decontaminate: bool = False


def verify(run: Run, asked: Asked, workers: int | None = None, watch: Watch = quiet) -> dict[str, Any]:
    """Run the trials, write `verdicts/<digest>.json` and `verdict.json`, and return the verdict."""
    start, trial, proxy = time.perf_counter(), Trial(seeds=asked.seeds), judge.proxy(asked.proxy)
    arms.check(trial)
    with Local(workers) as local:
        pool = account.reopen_edited(run, local, watch)
        pool.refuse_changes()
        question = _question(run, asked, pool)
        found = _overlap(pool, question, asked)
        plan = _plan(run, asked, pool, found, trial)
        results = _trials(plan, proxy, question, pool, run.path / ".trial")
    told = verdict(plan, results, trial, proxy, question)
    told["budget"]["tokens"] = _tokens(run, plan.budget)
    told["overlap"] = {"documents": len(found), "removed": len(found) if asked.decontaminate else 0}
    told["selection_cost"] = {
        "seconds": run.facts["seconds"],
        "bytes_read": sum(stage["bytes"] for stage in run.facts["stages"]),
    }
    told |= {
        "seconds": round(time.perf_counter() - start, 3),
        "versions": {"assay": __version__, "python": platform.python_version()},
    }
    return _write(run, told, asked)


def _tokens(run: Run, budget: int) -> int | None:
    """The arms' budget in tokens, where the run counted them: in proportion to the choice's bytes."""
    tokens = run.facts["tokens"]
    return None if tokens is None else round(tokens["chosen"] * budget / run.facts["bytes"]["chosen"])


def _question(run: Run, asked: Asked, pool: Pool) -> Question:
    selector, features = _selector(run)
    general = _held(asked.general, run, pool) if asked.general else None
    return Question(_held(asked.eval, run, pool), general, _against(asked), selector, features)


def _against(asked: Asked) -> str:
    return asked.against if asked.against == "random" else f"run {Path(asked.against).resolve().name}"


def _held(paths: Sequence[str], run: Run, pool: Pool) -> Held:
    read = run.recipe.read
    held = open_pool(
        tuple(paths), Read(read.text_field, text=read.text, max_line=read.max_line), pool.store, pool.local
    )
    batch = held.take(np.flatnonzero(held.count().readable))
    return Held.of(", ".join(paths), batch.text)


def _selector(run: Run) -> tuple[str, tuple[str, ...]]:
    """Who chose, and what it looked at."""
    steps, select = run.recipe.steps, run.recipe.select
    rank = "" if select is None or select.rank is None else select.rank
    chose = [step for step in steps if step.kind == "score" or (step.kind == "annotate" and step.alias in rank)]
    if not chose:
        return "clean" if select is None else select.name, ()
    features = {name for step in chose for name in catalog.load(step.kind, step.name).features}
    return " and ".join(step.name for step in chose), tuple(sorted(features))


def _overlap(pool: Pool, question: Question, asked: Asked) -> Int64[np.ndarray, "r"]:
    """Rows of the pool that repeat an eval document; refused unless they are to be removed."""
    readable, rows = np.flatnonzero(pool.count().readable), [np.zeros(0, np.int64)]
    for held, paths in zip(question.sets, (asked.eval, asked.general), strict=False):
        part = overlap.OverlapPart.of(held.documents)
        found = [first + repeated for first, repeated in pool.gather(readable, part)]
        overlap.refuse(np.concatenate([*rows[:1], *found]), len(readable), ", ".join(paths), asked.decontaminate)
        rows += found
    return np.unique(np.concatenate(rows))


def _plan(run: Run, asked: Asked, pool: Pool, removed: Int64[np.ndarray, "r"], trial: Trial) -> Plan:
    eligible = pool.count().readable.copy()
    eligible[removed] = False
    frame = Frame.of(pool.count().sizes, pool.count().hashes, eligible)
    fixed = {"choice": np.sort(run.selected["row"].to_numpy())}
    if asked.against != "random":
        other = Run(Path(asked.against))
        if other.facts["fingerprint"] != run.facts["fingerprint"]:
            raise RunError(f"{asked.against} must be a run on the same pool as {run.path}; its pool has other content")
        fixed[_against(asked)] = np.sort(other.selected["row"].to_numpy())
    return arms.plan(fixed, frame, trial)


def _trials(plan: Plan, proxy: Judge, question: Question, pool: Pool, folder: Path) -> list[judge.Result]:
    """One model for each arm, spread over the workers."""
    try:
        source = _spool(plan, pool, folder)
        tasks = judge.tasks(plan, proxy, source, question.sets)
        total, results = sum(task.arm.budget for task in tasks), []
        for result in pool.local.map(judge.run, tasks):
            results.append(result)
            pool.watch("train and test arms", sum(one.budget for one in results), total)
        return results
    finally:
        files.remove_folder(folder)


def _text(batch: Batch) -> Batch:
    return Batch(batch.rows, batch.hashes, {"text": batch.text})


def _spool(plan: Plan, pool: Pool, folder: Path) -> Spooled:
    """Lay down the text of every row that some arm reads."""
    sizes = [np.zeros(1, np.int64)]
    with files.atomic_write(str(folder / "text"), durable=False) as out:
        for _, batch in pool.gather(plan.rows, _text):
            text = batch.text
            out.write(text.data[text.offsets[0] : text.offsets[-1]].tobytes())
            sizes.append(text.sizes)
    store.save(folder / "offsets.npy", np.cumsum(np.concatenate(sizes)))
    store.save(folder / "rows.npy", plan.rows)
    return Spooled(folder)


@final
@dataclass(frozen=True)
class Spooled:
    """A source of the arms' text for the trials: rows and bytes in files that every worker maps."""

    folder: Path

    def __call__(self, rows: Int64[np.ndarray, "k"]) -> Iterator[Texts]:
        """The texts of sorted distinct rows, in blocks of a few thousand."""
        held, offsets = store.mapped(self.folder / "rows.npy"), store.mapped(self.folder / "offsets.npy")
        texts = Texts(store.mapped_bytes(self.folder / "text"), np.asarray(offsets))
        places = np.searchsorted(held, rows)
        for start in range(0, len(places), 4096):
            yield texts.take(places[start : start + 4096])


def _write(run: Run, told: dict[str, Any], asked: Asked) -> dict[str, Any]:
    told["digest"] = store.digest(
        run.facts["digest"], run.facts["fingerprint"], asked, told["eval"]["fingerprint"], __version__
    )
    files.write_json(str(run.path / "verdicts" / f"{told['digest']}.json"), told)
    files.write_json(str(run.path / "verdict.json"), told)
    return told
