"""Assay on one screen: read a pool, score it, choose from it, write down what became of every row.

`run(recipe, place)` is the product. Each step sees only the rows that are still alive, under their original numbers;
text is read by scores alone, everything after them is numbers. Kill it anywhere and run it again: what was finished
is found in the store or in the run folder, and the bytes come out the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Int64

from assay import account, catalog, expressions, outputs
from assay.contracts import Scorer
from assay.decide import Decision, decide, limit_for
from assay.errors import InputError, RecipeError
from assay.io import files, store
from assay.io.fields import Fields, detect, detect_others
from assay.io.scores import join_scores
from assay.io.sources import find
from assay.recipe import MEASURED, Read, Recipe, Step
from assay.run.jobs import Annotate, Score
from assay.run.local import Local
from assay.run.passes import Pool, Watch, quiet
from assay.runs import Run
from assay.state import Columns, State
from assay.types import Budget, Signals


@final
@dataclass(frozen=True)
class Place:
    """Where a run lies and how it is worked: none of it changes an answer."""

    out: Path
    store: Path | None = None
    workers: int | None = None
    watch: Watch = quiet


def run(recipe: Recipe, place: Place, earlier: Run | None = None) -> Run:
    """Do what the recipe says and return the run folder; scores of an `earlier` run are taken as they are."""
    started = time.time()
    done = outputs.begin(recipe, place.out)
    with Local(place.workers) as local, files.locked(place.out):
        outputs.claim(recipe, place.out)
        state = open_state(recipe, place, local) if earlier is None else resume_state(recipe, place, local, earlier)
        if done is not None and done.facts["inputs"] == account.inputs(state, recipe):
            return done
        for number, step in enumerate(recipe.steps[:-1]):
            apply(step, state, recipe, np.random.default_rng([recipe.seed, number]))
        state.pool.count()
        with state.pool.stage("decide"):
            decision = choose(state, recipe)
            ledger = outputs.Ledger.of(state, decision)
        with state.pool.stage("write"):
            outputs.write(recipe, place.out, state.pool, ledger, account.content(state, recipe))
        return account.write(recipe, place.out, state, decision, ledger, started)


def open_state(recipe: Recipe, place: Place, local: Local) -> State:
    """The pool and the targets, with their fields found; nothing is read yet but their first rows."""
    local.warm()
    kept = store.Store(place.store or place.out / "store")
    pool = open_pool(recipe.pool, recipe.read, kept, local, place.watch)
    targets = [open_target(target.path, recipe.read, kept, local) for target in recipe.targets]
    return State(pool, targets)


def open_pool(paths: tuple[str, ...], read: Read, kept: store.Store, local: Local, watch: Watch = quiet) -> Pool:
    """A pool of whatever the paths name."""
    wanted = Fields(read.text_field, read.id_field, read.source_field, read.text, read.score_fields, read.max_line)
    shards = find(paths)
    fields = detect(shards, wanted)
    return Pool(shards, fields, kept, local, read.limit, watch, others=detect_others(shards, wanted, fields))


def open_target(paths: tuple[str, ...], read: Read, kept: store.Store, local: Local) -> Pool:
    """A target is a pool too; one without a readable row is refused."""
    target = open_pool(paths, Read(read.text_field, text=read.text, max_line=read.max_line), kept, local)
    if not target.count().readable.any():
        raise InputError(f"the target {', '.join(paths)} must hold at least one readable example; it has none")
    return target


def resume_state(recipe: Recipe, place: Place, local: Local, earlier: Run) -> State:
    """The state of a finished run after its score steps: its row table and its scores, without reading any text."""
    pool = account.reopen(earlier, local, place.watch)
    state = State(pool, [])
    for name, file in earlier.facts["signals"].items():
        state.signals[name] = pool.column(file)
    state.files, state.scores = dict(earlier.facts["signals"]), list(earlier.facts["scores"])
    state.fits = account.fits(earlier)
    return state


def apply(step: Step, state: State, recipe: Recipe, rng: np.random.Generator) -> None:
    """One step before the selection: drop rows by an expression, or add a score where an earlier run has not left it."""
    if step.kind == "where":
        keep = expressions.evaluate(step.name, columns(state, recipe), state.pool.living)
        if keep.dtype.kind != "b":
            raise RecipeError(
                f"a where must be true or false for every row; {step.name!r} is neither: compare it, as in bytes > 200"
            )
        drop(state, f"where: {step.name}", ~keep)
    elif step.alias not in state.scores:
        score(step, state, recipe, rng)


def drop(state: State, reason: str, rows: Bool[np.ndarray, "n"]) -> None:
    """Take rows out of everything that follows, and remember why."""
    living = state.pool.living
    state.dropped.append((reason, np.flatnonzero(living & rows)))
    state.pool.alive = living & ~rows


def score(step: Step, state: State, recipe: Recipe, rng: np.random.Generator) -> None:
    """Fit and score, once for each target, all targets in one reading of the pool."""
    scorer: Scorer = catalog.build("score", step.name, step.parameters)
    pool, targets = state.pool, state.targets if scorer.uses_target != "no" else []
    pool.needs = scorer.needs
    jobs: dict[str, Score] = {}
    for number, target in enumerate(targets or [None]):
        name = step.alias if len(targets) < 2 else f"{step.alias}:{recipe.targets[number].name}"
        state.fits[name] = scorer.fit(pool, target, rng)
        source, learnt = catalog.source_digest("score", step.name), store.fitted_digest(state.fits[name])
        jobs[name] = Score(scorer, state.fits[name], store.digest(source, scorer, learnt, pool.alive_key()))
        if pool.store.replaced(store.digest(name, source, scorer, recipe.pool, recipe.targets), learnt):
            state.notes.append(f"{name}: the fit changed with the pool or the target, so every row is scored again")
    pool.visit(f"score {step.alias}", tuple(jobs.values()))
    for name, job in jobs.items():
        state.signals[name], state.files[name] = pool.column(job.file), job.file
    state.scores.append(step.alias)


def columns(state: State, recipe: Recipe) -> Columns:
    """Every signal there is: of the row table, of the user's own columns and files, and of the score steps."""
    table, pool = state.pool.count(), state.pool
    for name, values in table.extra.items():
        if np.isnan(values).all():
            raise InputError(
                f"no row of {', '.join(recipe.pool)} has a number at {name!r}; name a field that has one, dots for nesting"
            )
    own = {"bytes": table.sizes, **table.extra}
    lazy = {"row_hash": lambda: table.distinct_hashes}
    if table.sources is not None:
        lazy["source"] = lambda: np.array(table.source_names, object)[table.sources]
    for path in recipe.read.scores:
        for name, values in join_scores(path, pool.ids()).items():
            if name in MEASURED:
                raise InputError(
                    f"{path} has a column {name!r}, which is the name of a signal that every pool has; rename it"
                )
            own[name] = values
    if recipe.tokenizer is not None:
        own["tokens"] = count_tokens(pool, recipe.tokenizer)
    return Columns({**own, **state.signals}, lazy)


def count_tokens(pool: Pool, tokenizer: str) -> Int64[np.ndarray, "n"]:
    """Tokens of every row, (n,), by a tokenizer; counted once for a pool and a tokenizer."""
    counter = catalog.build("annotate", "tokens", {"tokenizer": tokenizer})
    job = Annotate(counter, "tokens", store.digest("tokens", files.read_bytes(tokenizer)))
    pool.visit("count tokens", (job,))
    return pool.column(job.file)


def choose(state: State, recipe: Recipe) -> Decision:
    """The selection, from numbers alone."""
    table, pool = state.pool.count(), state.pool
    if not table.readable.any():
        raise InputError(f"the pool {', '.join(recipe.pool)} must hold at least one readable row; it has none")
    signals = Signals(columns(state, recipe))
    limit = limit_for(Budget.parse(recipe.select.budget or ""), signals, table.readable)
    own = [name for name in signals.columns if name not in (*state.signals, "bytes", "row_hash", "source", "tokens")]
    return decide(
        recipe.select,
        signals,
        table.groups,
        pool.living,
        limit,
        recipe.targets,
        tuple(state.scores or own),
        recipe.seed,
    )
