"""A trial of a finished run: held-out text, overlap with the pool, arms at equal cost, one model each, the verdict."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from assay import __version__, account, catalog, runs, sweep, training
from assay.errors import InputError, RecipeError
from assay.io import files, mirror, results, store
from assay.io.row import Form
from assay.io.secrets import masked_tree
from assay.models import dialogue
from assay.opening import open_pool
from assay.recipe import Read, Verify
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import HERE, Crew
from assay.runs import Run
from assay.types import Budget, join_texts
from assay.verify import arms, choices, external, judge, overlap
from assay.verify.arms import Draft, Frame, Plan, Trial
from assay.verify.instructions import Instructions
from assay.verify.judge import EvalSet, Held, Judge
from assay.verify.stability import together
from assay.verify.verdict import Paid, Question, verdict


def asking(given: Mapping[str, Any]) -> Verify:
    """What was asked, from the words of flags and recipes; words may be joined by commas.

    >>> asking({"eval": ["a.jsonl"], "proxy": ["ngram,lm-nano"]}).proxy
    ('ngram', 'lm-nano')
    """
    words = {
        key: tuple(word for each in given[key] for word in str(each).split(",") if word)
        for key in ("proxy", "rivals", "shares")
        if key in given
    }
    listed = {key: tuple(map(str, value)) if isinstance(value, list | tuple) else value for key, value in given.items()}
    return Verify(**{**listed, **words})


def verify(run: Run, asked: Verify, crew: Crew = HERE, watch: Watch = quiet) -> dict[str, Any]:
    """Run the trials, write `verdicts/<digest>.json` and `verdict.json`, and return the verdict."""
    start, proxies = time.perf_counter(), [judge.proxy(name) for name in asked.proxy]
    _refuse_pictures(run)
    for proxy in proxies:
        arms.check(_trial(proxy, asked))
    if asked.sweep is not None:
        sweep.check(run, asked.sweep, asked.shares, asked.general)
    with crew.hired() as local:
        pool = account.reopen_edited(run, local, watch)
        pool.refuse_changes()
        question = _question(run, asked, pool)
        found = _overlap(pool, question, asked)
        read = _turns(pool) if asked.instructions else pool
        told = together([_judged(run, asked, proxy, question, read, found) for proxy in proxies])
    if told["budget"]["unit"] == "bytes":
        told["budget"]["tokens"] = _tokens(run, told["budget"]["bytes"])
    told["overlap"] = {"documents": len(found), "removed": len(found) if asked.decontaminate else 0}
    told["selection_cost"] = run.cost
    told |= {
        "seconds": round(time.perf_counter() - start, 3),
        "versions": {"assay": __version__, "python": platform.python_version()},
    }
    return _write(run, told, asked)


def reported(run: Run, path: str, level: float = 0.05) -> dict[str, Any]:
    """The verdict on models that somebody else's trainer made, from a file of results; written where `verify` writes its own."""
    told = external.verdict_of(results.records(path), level, path, _selector(run)[0])
    told |= {"selection_cost": run.cost, "versions": {"assay": __version__, "python": platform.python_version()}}
    told["digest"] = store.digest(run.facts["digest"], run.facts["fingerprint"], told, __version__)
    return _written(run, told)


def _refuse_pictures(run: Run) -> None:
    """Raise InputError where a run chose pictures: there is no judge of those."""
    if run.pictures:
        raise InputError(
            "the judges are language models and this run chose pictures; train on selected/ and on random choices of as many, and "
            "compare them with assay verify RUN --results"
        )


def _trial(proxy: Judge, asked: Verify) -> Trial:
    """The protocol's numbers: the judge's own, and what was asked instead."""
    usual = proxy.trial
    units = _units(proxy, asked.units)
    seeds = usual.seeds if asked.seeds is None else asked.seeds
    curve = max(units, usual.curve * units // usual.units)
    return replace(usual, seeds=seeds, units=units, curve=curve, epochs=asked.epochs, rivals=asked.rivals)


def _units(proxy: Judge, asked: str | int | None) -> int:
    """An arm's most units: as many as were asked for in this judge's unit, or what it is used to."""
    if asked is None or isinstance(asked, int):
        return proxy.trial.units if asked is None else asked
    budget = Budget.parse(asked)
    if budget.share or budget.unit not in ("bytes", "tokens"):
        raise RecipeError(f"--units must be an amount in bytes or tokens, such as 4MB or 2e6tokens; got {asked!r}")
    return budget.limit(0) if budget.unit == proxy.unit else proxy.trial.units


def _judged(
    run: Run, asked: Verify, proxy: Judge, question: Question, pool: Pool, removed: Int64[np.ndarray, "r"]
) -> dict[str, Any]:
    """One proxy's verdict."""
    trial = _trial(proxy, asked)
    drafted = _draft(run, asked, pool, removed, proxy, trial)
    kept = mirror.folder(asked.cache) if asked.cache else run.store
    probes = [held.probe for held in question.sets]
    plan, found = training.conduct(drafted, proxy, trial, probes, pool, run.path / ".trial", kept / "trials")
    told = verdict(*sweep.apart(plan, found), trial, proxy, question, _paid(run, drafted, plan))
    return {**told, **sweep.curve(plan, found, trial, question)}


def _paid(run: Run, drafted: Draft, plan: Plan) -> Paid:
    """Seconds of selecting, and bytes of the rows that the choice's arm reads whole."""
    one = next(arm for arm in plan.arms if arm.name == "choice").passes[0]
    rows = one.rows if one.cut < 0 else np.delete(one.rows, one.cut)
    sizes = drafted.frame.sizes[np.searchsorted(drafted.frame.rows, rows)]
    return Paid(run.cost["seconds"], int(sizes.sum()))


def _tokens(run: Run, budget: int) -> int | None:
    """The arms' budget in tokens, where the run counted them: in proportion to the choice's bytes."""
    tokens = run.facts["tokens"]
    return None if tokens is None else round(tokens["chosen"] * budget / run.facts["bytes"]["chosen"])


def _question(run: Run, asked: Verify, pool: Pool) -> Question:
    selector, features = _selector(run)
    general = _held(asked.general, run, pool, asked.instructions, True) if asked.general else None
    held, tasks = _held(asked.eval, run, pool, asked.instructions), choices.load(asked.tasks)
    return Question(held, general, _against(asked), selector, features, tasks)


def _against(asked: Verify) -> str:
    """The arm that the main question is about: the first that was named."""
    return _named(asked.against[0])


def _named(against: str) -> str:
    return against if against in ("random", "cleaned") else f"run {Path(against).resolve().name}"


def _held(paths: Sequence[str], run: Run, pool: Pool, instructions: bool, general: bool = False) -> EvalSet:
    """Held-out documents, or held-out instructions; general text may be either, whatever the pool is."""
    read = run.recipe.read
    plain = Read(read.text_field, text=read.text, max_line=read.max_line)
    form: Form = "turns" if instructions else "text"
    held = open_pool(tuple(paths), plain, pool.store, pool.local, form=form)
    rows = np.flatnonzero(held.count().readable)
    documents, named = held.take(rows).text, ", ".join(paths)
    marked = held.turns().take(rows).text if instructions else documents
    if not instructions or (general and not dialogue.prompted(marked)):
        return Held.of(named, documents)
    return Instructions.of(named, documents, marked)


def _turns(pool: Pool) -> Pool:
    """The pool, its rows read as turns; refused where none of a sample has a prompt and a response."""
    view = pool.turns()
    if not dialogue.prompted(view.sample(training.SAMPLE).text):
        fields = pool.fields.template or pool.fields.text
        raise InputError(
            f"--instructions needs a pool whose rows have a prompt and a response; this run read {fields!r}, which is one text: "
            "select again with --text '{prompt} {response}' in the names of your fields, or leave out --instructions"
        )
    return view


def _selector(run: Run) -> tuple[str, tuple[str, ...]]:
    """Who chose, and what it looked at."""
    steps, select = run.recipe.steps, run.recipe.select
    rank = "" if select is None or select.rank is None else select.rank
    chose = [step for step in steps if step.kind == "score" or (step.kind == "annotate" and step.alias in rank)]
    if not chose:
        return "clean" if select is None else select.name, ()
    features = {name for step in chose for name in catalog.load(step.kind, step.name).features}
    return " and ".join(step.name for step in chose), tuple(sorted(features))


def _overlap(pool: Pool, question: Question, asked: Verify) -> Int64[np.ndarray, "r"]:
    """Rows of the pool that repeat an eval document; refused unless they are to be removed."""
    readable, rows = np.flatnonzero(pool.count().readable), [np.zeros(0, np.int64)]
    sets = [(held.documents, held.path) for held in question.sets[: question.first_task]]
    if question.tasks:  # one pass for all: their items are short
        documents = join_texts([task.documents for task in question.tasks])
        sets.append((documents, ", ".join(task.path for task in question.tasks)))
    for documents, path in sets:
        part = overlap.OverlapPart.of(documents)
        found = [first + repeated for first, repeated in pool.gather(readable, part)]
        overlap.refuse(np.concatenate([*rows[:1], *found]), len(readable), path, asked.decontaminate)
        rows += found
    return np.unique(np.concatenate(rows))


def _draft(run: Run, asked: Verify, pool: Pool, removed: Int64[np.ndarray, "r"], proxy: Judge, trial: Trial) -> Draft:
    eligible = pool.count().readable.copy()
    eligible[removed] = False
    frame = Frame.of(pool.count().sizes, pool.count().hashes, eligible)
    fixed = {"choice": np.sort(run.selected["row"].to_numpy())}
    fixed |= dict(runs.arm(run, other) for other in asked.against if other != "random")
    fixed |= sweep.choices(run, asked.shares, pool.local, pool.watch) if asked.sweep else {}
    return arms.draft(fixed, frame, trial, training.bytes_per_unit(proxy, pool), proxy.seeded)


def _write(run: Run, told: dict[str, Any], asked: Verify) -> dict[str, Any]:
    told["digest"] = store.digest(
        run.facts["digest"], run.facts["fingerprint"], asked, told["eval"]["fingerprint"], __version__
    )
    return _written(run, told)


def _written(run: Run, told: dict[str, Any]) -> dict[str, Any]:
    told = masked_tree(told)
    files.write_json(str(run.path / "verdicts" / f"{told['digest']}.json"), told)
    files.write_json(str(run.path / "verdict.json"), told)
    return told
