"""Assay on one screen: read a pool, score it, choose from it, write down what became of every row.

`run(recipe, place)` is the product. Each step sees only the rows that are still alive, under their original numbers;
text is read by scores alone, everything after them is numbers. Kill it anywhere and run it again: what was finished
is found in the store or in the run folder, and the bytes come out the same.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Int32, Int64

from assay import account, catalog, expressions, measure, outputs
from assay.contracts import AIM, Scorer, Selector
from assay.decide import Decision, decide, limit_for
from assay.duplicates import apply_group
from assay.editing import apply_edit
from assay.errors import InputError, RecipeError
from assay.io import files, store
from assay.io.scores import join_scores
from assay.opening import numbers_of, open_pool, open_target, pool_numbers
from assay.recipe import Recipe
from assay.run.jobs import Score
from assay.run.numbers import Numbers, Stored
from assay.run.passes import Pool, Watch, quiet
from assay.run.shuffle import Shuffler
from assay.run.workers import HERE, Crew, Workers
from assay.runs import Run
from assay.state import Columns, State
from assay.steps import MEASURED, Step
from assay.types import Budget, Signals

MEMORY = 2_000_000_000  # bytes for the whole tree of processes, beside 64 bytes a row
LEAST_MEMORY = 1_000_000_000
_BESIDE = 600_000_000  # what the processes take that is no shuffle's (bench/prove_dedup_memory.py)
_TOGETHER = ("annotate", "filter", "where")  # steps that need nothing but numbers once the text was measured


@final
@dataclass(frozen=True)
class Place:
    """Where a run lies and how it is worked: none of it changes an answer."""

    out: Path
    store: Path | None = None
    crew: Crew = HERE
    watch: Watch = quiet
    memory: int = MEMORY


def run(recipe: Recipe, place: Place, earlier: Run | None = None) -> Run:
    """Do what the recipe says and return the run folder; scores of an `earlier` run are taken as they are."""
    started = time.time()
    done = outputs.begin(recipe, place.out)
    with place.crew.hired() as local, files.locked(place.out):
        outputs.claim(recipe, place.out)
        state = open_state(recipe, place, local) if earlier is None else resume_state(recipe, place, local, earlier)
        if done is not None and done.facts["inputs"] == account.inputs(state, recipe):
            return done
        local.meet(place.out / ".parts")
        work(state, recipe, shuffler(place.memory))
        state.pool.count()
        with state.pool.stage("decide"):
            decision = None if recipe.select is None else choose(state, recipe)
            ledger = outputs.Ledger.of(state, decision)
        with state.pool.stage("write"):
            outputs.write(recipe, place.out, state.pool, ledger, account.content(state, recipe))
        return account.write(recipe, place.out, state, decision, ledger, started)


def open_state(recipe: Recipe, place: Place, local: Workers) -> State:
    """The pool and the targets, with their fields found; nothing is read yet but their first rows."""
    local.warm()
    kept, numbers = store.Store(place.store or place.out / "store"), pool_numbers(recipe)
    pool = open_pool(recipe.pool, recipe.read, kept, local, place.watch, numbers)
    refuse_pictures(pool, recipe)
    targets = [open_target(target.path, recipe.read, kept, local, numbers) for target in recipe.targets]
    return State(pool, targets)


def refuse_pictures(pool: Pool, recipe: Recipe) -> None:
    """RecipeError where a pool holds pictures and a method reads text, or another format is asked for."""
    shard = pool.shards[0]
    if shard.holds != "pictures":
        return
    named = [(kind, name) for step in recipe.steps for kind, name, _ in step.methods()]
    texts = [name for kind, name in named if "text" in catalog.load(kind, name).needs and name != "exact"]
    if texts or recipe.tokenizer is not None:
        place = shard.file(0) if shard.album else shard.path
        raise RecipeError(f"{(texts or ['a tokenizer'])[0]} reads text; {place} holds pictures: leave it out")
    if (recipe.write.format, recipe.write.compression) != ("same", "same"):
        raise RecipeError("pictures are written as they came; leave --format and --compression out")


def resume_state(recipe: Recipe, place: Place, local: Workers, earlier: Run) -> State:
    """The state of a finished run after its score steps: its row table and its scores, without reading any text."""
    pool = account.reopen(earlier, local, place.watch)
    state = State(pool, [])
    for name, file in earlier.facts["signals"].items():
        state.signals[name] = pool.column(file)
    state.files, state.scores = dict(earlier.facts["signals"]), list(earlier.facts["scores"])
    state.fits = account.fits(earlier)
    return state


def shuffler(memory: int) -> Shuffler:
    """The engine of steps that look at all rows at once, with what is left of the memory granted."""
    return Shuffler(memory - _BESIDE)


def work(state: State, recipe: Recipe, engine: Shuffler) -> None:
    """Every step before the selection, in order; steps that share a pass over the text are taken together."""
    steps = recipe.steps if recipe.select is None else recipe.steps[:-1]
    number = 0
    while number < len(steps):
        together = [step for step in itertools.takewhile(lambda step: step.kind in _TOGETHER, steps[number:])]
        jobs = measure.measure(together, state, recipe, engine)
        for place, step in enumerate(together or steps[number : number + 1]):
            apply(step, number + place, state, recipe, engine, jobs.get(place, []))
        number += len(together) or 1


def apply(
    step: Step, number: int, state: State, recipe: Recipe, engine: Shuffler, jobs: list[measure.Annotate]
) -> None:
    """One step before the selection; a score that an earlier run has left is not made again."""
    if step.kind == "where":
        where(step, state, recipe)
    elif step.kind == "filter":
        measure.apply_filter(step, number, jobs, state)
    elif step.kind == "group":
        apply_group(step, number, state, recipe, columns(state, recipe), engine)
    elif step.kind == "edit":
        apply_edit(step, number, state, recipe, columns(state, recipe), engine)
    elif step.kind == "score" and step.alias not in state.scores:
        score(step, state, recipe, np.random.default_rng([recipe.seed, number]))


def where(step: Step, state: State, recipe: Recipe) -> None:
    """Drop the rows for which an expression does not hold."""
    state.pool.count()
    keep = expressions.evaluate(step.name, columns(state, recipe), state.pool.living)
    if keep.dtype.kind != "b":
        raise RecipeError(
            f"a where must be true or false for every row; {step.name!r} is neither: compare it, as in bytes > 200"
        )
    state.drop(~keep, f"where: {step.name}")


def score(step: Step, state: State, recipe: Recipe, rng: np.random.Generator) -> None:
    """Fit and score, once for each target, all targets in one reading of the pool."""
    scorer: Scorer = catalog.build("score", step.name, step.parameters)
    pool, named = state.pool, score_targets(step, scorer, state, recipe)
    if scorer.reads:
        score_signals(step, scorer, named, state, columns(state, recipe), rng)
        return
    source = catalog.source_digest("score", step.name)
    against = (
        pool if not step.against else open_target(step.against, recipe.read, pool.store, pool.local, numbers_of(step))
    )
    pool.needs = against.needs = scorer.needs
    jobs: dict[str, Score] = {}
    for name, target in named.items():
        state.fits[name] = scorer.fit(against, target, rng)
        learnt = store.fitted_digest(state.fits[name])
        folder = pool.store.root / "learnt" / learnt
        store.lay_down(folder, state.fits[name].arrays)
        jobs[name] = Score(scorer, folder, store.digest(source, scorer, learnt, pool.alive_key()))
        if pool.store.replaced(store.digest(name, source, scorer, recipe.pool, recipe.targets, step), learnt):
            state.notes.append(f"{name}: the fit changed with the pool or the target, so every row is scored again")
    pool.visit(f"score {step.alias}", tuple(jobs.values()))
    pool.needs = ("text",)
    for name, job in jobs.items():
        state.signals[name], state.files[name] = pool.column(job.file), job.file
    state.scores.append(step.alias)


def score_signals(
    step: Step,
    scorer: Scorer,
    named: dict[str, Pool | None],
    state: State,
    known: Columns,
    rng: np.random.Generator,
) -> None:
    """The same for a scorer that reads signals: arithmetic on what earlier steps measured, of pool and target alike."""
    rows = Numbers(state.pool, {name: signal_of(name, step, state, known) for name in scorer.reads})
    for name, target in named.items():
        aims = None if target is None else Numbers(target, target_signals(scorer.reads, step, target, state))
        state.fits[name] = scorer.fit(rows, aims, rng)
        values = np.full(len(state.pool.living), np.nan)
        with state.pool.stage(f"score {step.alias}"):
            for batch in rows.blocks():
                values[batch.rows] = scorer.score(state.fits[name], batch)
        state.signals[name], state.files[name] = values, f"score-{store.digest(name, values.tobytes())}.npy"
        state.pool.keep_column(state.files[name], values)
    state.scores.append(step.alias)


def signal_of(name: str, step: Step, state: State, known: Columns) -> Stored | np.ndarray:
    """Where a signal lies, or itself; refused by name where no step before has made it."""
    if name in state.makers:
        return Stored(state.makers[name].job.file, state.makers[name].column)
    if name == "source":
        return sources_of(state.pool)
    if name not in known:
        raise RecipeError(catalog.unmade(step.name, name, known))
    return known[name]


def sources_of(pool: Pool) -> Int32[np.ndarray, "n"]:
    """Each row's source as a whole number, (n,); all are of one where rows name none."""
    sources = pool.count().sources
    return np.zeros(len(pool.living), np.int32) if sources is None else sources


def target_signals(names: Sequence[str], step: Step, target: Pool, state: State) -> dict[str, Stored | np.ndarray]:
    """What a step reads, of a target's rows: measured there as it was measured on the pool."""
    found: dict[str, Stored | np.ndarray] = {}
    for name in names:
        if name == "source":
            found[name] = sources_of(target)
        elif name in state.makers:
            job = measure.on_target(state.makers[name], target)
            found[name] = Stored(job.file, state.makers[name].column)
        else:
            raise RecipeError(
                f"{step.name} reads the signal {name!r} of its target too; only an annotate step can measure it there"
            )
    return found


def score_targets(step: Step, scorer: Scorer, state: State, recipe: Recipe) -> dict[str, Pool | None]:
    """The signals that a score step makes, each with what it is fitted to: the step's own target, or those of the recipe."""
    if step.target:
        target = open_target(step.target, recipe.read, state.pool.store, state.pool.local, numbers_of(step))
        target.needs = scorer.needs
        return {step.alias: target}
    targets = state.targets if scorer.uses_target != "no" else []
    for target in targets:
        target.needs = scorer.needs
    if len(targets) < 2:
        return {step.alias: targets[0] if targets else None}
    return {f"{step.alias}:{recipe.targets[place].name}": target for place, target in enumerate(targets)}


def columns(state: State, recipe: Recipe) -> Columns:
    """Every signal there is: of the row table, of the user's own columns and files, and of the score steps."""
    table, pool = state.pool.count(), state.pool
    for name, values in table.extra.items():
        if np.isnan(values).all() and name in recipe.read.score_fields:
            raise InputError(
                f"no row of {', '.join(recipe.pool)} has a number at {name!r}; name a field that has one, dots for nesting"
            )
    own = {"bytes": table.sizes, **table.extra}
    lazy = {"row_hash": lambda: table.distinct_hashes, **state.lazy}
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
        own["tokens"] = count_tokens(state, recipe)
    return Columns({**own, **state.signals}, lazy)


def count_tokens(state: State, recipe: Recipe) -> Int64[np.ndarray, "n"]:
    """Tokens of every row, (n,), by the recipe's tokenizer; counted once for a pool and a tokenizer."""
    step = Step("annotate", "tokens", "tokens", {"tokenizer": recipe.tokenizer})
    everyone = replace(state, pool=state.pool.everyone())
    job = measure.annotate_job("tokens", step.parameters, step, everyone, recipe, shuffler(MEMORY))
    everyone.pool.visit("count tokens", (job,))
    return everyone.pool.measured(job.file, "tokens")


def choose(state: State, recipe: Recipe) -> Decision:
    """The selection, from numbers alone."""
    table, pool, step = state.pool.count(), state.pool, recipe.select
    assert step is not None
    if not table.readable.any():
        raise InputError(f"the pool {', '.join(recipe.pool)} must hold at least one readable row; it has none")
    signals = Signals(columns(state, recipe))
    limit = limit_for(Budget.parse(step.budget or ""), signals, table.readable)
    made = {*state.signals, *state.lazy, *MEASURED, "tokens", *pool_numbers(recipe)} - {*recipe.read.score_fields}
    own = [name for name in signals.columns if name not in made] or [
        step.alias for step in recipe.steps if step.kind == "annotate"
    ]
    for name, values in aims_of(step, state, recipe).items():
        signals = signals.adding(name, values)
    return decide(
        step, signals, table.groups, pool.living, limit, recipe.targets, tuple(state.scores or own), recipe.seed
    )


def aims_of(step: Step, state: State, recipe: Recipe) -> dict[str, np.ndarray]:
    """What a selector reads of the target's rows (t, …), under `target:NAME` where NAME is a signal of the pool's rows."""
    selector: Selector = catalog.build("select", step.name, step.parameters)
    named = [name.removeprefix(AIM) for name in selector.reads if name.startswith(AIM)]
    if not named:
        return {}
    target = open_target(recipe.targets[0].path, recipe.read, state.pool.store, state.pool.local)
    blocks = [batch.columns for batch in Numbers(target, target_signals(named, step, target, state)).blocks()]
    return {AIM + name: np.concatenate([np.asarray(block[name]) for block in blocks]) for name in named}
