"""Annotate and filter steps: columns measured in one pass over the text, rules applied to the numbers.

All annotate and filter steps that stand together share the pass; what it measured stays in the store, so another threshold
reads no text. A row leaves by the first rule that it breaks; the tallies also say how many rows break each rule at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64, Shaped

from assay import catalog
from assay.contracts import Annotator, Engine, Filter, Learner
from assay.errors import RecipeError, suggest
from assay.io import files, mirror, store
from assay.opening import Labelled, open_target
from assay.recipe import Recipe
from assay.run.jobs import Annotate
from assay.run.passes import Pool
from assay.state import Columns, Made, State
from assay.steps import Step
from assay.types import Fitted, Rule, Signals

_NONE = Signals({})


def learn(
    kind: str,
    name: str,
    method: Any,
    step: Step,
    state: State,
    recipe: Recipe,
    engine: Engine,
    signals: Signals = _NONE,
) -> Path | None:
    """What a Learner learns of the pool and of the step's target, laid down in the store; None for any other method."""
    if not isinstance(method, Learner):
        return None
    pool, target, paths = state.pool, None, step.target or _wanted(name, method, recipe)
    if paths:
        target = open_target(paths, recipe.read, pool.store, pool.local)
    told = (
        pool.fingerprint,
        pool.alive_key(),
        target and target.fingerprint,
        target and paths,
        signals.columns.keys(),
    )
    order = [store.digest(signals["order"].tobytes())] if "order" in signals.columns else []
    folder = (
        pool.store.root / "learnt" / store.digest(catalog.source_digest(kind, name), method, told, order, recipe.seed)
    )
    with pool.paid(f"learn {name}", folder.name):
        if not mirror.present(folder / "names.json"):
            rows = None if target is None else Labelled(_as_read(method, target))
            view = _as_read(method, pool)
            view.learning = pool.store.root / "learning" / folder.name
            with pool.stage(f"learn {name}"):
                found = method.learn(view, rows, signals, engine, np.random.default_rng(recipe.seed))
            files.write_json(str(folder / "notes.json"), dict(found.notes))
            store.lay_down(folder, found.arrays)
            files.remove_folder(str(view.learning))
    state.fits[step.alias] = Fitted({}, files.read_json(str(folder / "notes.json")))
    return folder


def _wanted(name: str, method: Any, recipe: Recipe) -> tuple[str, ...]:
    """The recipe's target, which a network learns from where its step names no other; RecipeError where there are several."""
    if not (isinstance(method, Annotator) and method.heavy) or method.uses_target == "no" or not recipe.targets:
        return ()
    if len(recipe.targets) > 1:
        raise RecipeError(f"{name} learns from one target; name it in its step: {{ annotate = {name!r}, target = 'FILE' }}")
    return recipe.targets[0].path


def in_form(method: Any, pool: Pool) -> Pool:
    """The pool as the method reads rows; rows whose text was edited are read as text."""
    turns = isinstance(method, Annotator) and method.form == "turns"
    return pool.turns() if turns and not pool.edits else pool


def _as_read(method: Any, pool: Pool) -> Pool:
    """A view of the pool with the columns that the method reads, in the form in which it does."""
    pool.count()
    view = copy(in_form(method, pool))
    view.needs = method.needs if isinstance(method, Annotator) and method.heavy else view.needs
    return view


def jobs_of(step: Step, state: State, recipe: Recipe, engine: Engine) -> list[Annotate]:
    """The annotators of an annotate or filter step, as jobs; equal ones have equal keys."""
    annotators = [(name, given) for kind, name, given in step.methods() if kind == "annotate"]
    return [annotate_job(name, given, step, state, recipe, engine) for name, given in annotators]


def annotate_job(
    name: str, parameters: Mapping[str, Any], step: Step, state: State, recipe: Recipe, engine: Engine
) -> Annotate:
    """One annotator as a job, its models and what it learnt in the key."""
    method = catalog.build("annotate", name, dict(parameters))
    learnt = learn("annotate", name, method, step, state, recipe, engine)
    opened = [(kind, store.file_digest(path)) for kind, path in method.models.items()]
    key = store.digest(
        catalog.source_digest("annotate", name), method, opened, learnt and learnt.name, state.pool.alive_key()
    )
    return Annotate(method, learnt, key)


def measure(steps: Sequence[Step], state: State, recipe: Recipe, engine: Engine) -> dict[int, list[Annotate]]:
    """One pass for all annotators of consecutive steps; gives each step (by its position here) its jobs."""
    jobs = {place: jobs_of(step, state, recipe, engine) for place, step in enumerate(steps) if step.kind != "where"}
    distinct = {job.key: job for several in jobs.values() for job in several}
    together = [job for job in distinct.values() if not job.annotator.heavy]
    if together:
        state.pool.needs = tuple({name for job in together for name in job.annotator.needs})
        state.pool.visit("measure", tuple(together))
        state.pool.needs = ("text",)
    for job in distinct.values():
        if job.annotator.heavy:
            measure_heavy(job, state.pool, type(job.annotator).__module__.rpartition(".")[2])
    for place, several in jobs.items():
        for job in several:
            expose(steps[place], job, state)
    return jobs


def measure_heavy(job: Annotate, pool: Pool, name: str) -> None:
    """A pass of its own for an annotator that runs a network; rows whose text was edited are read as text."""
    pool.count()
    view = copy(in_form(job.annotator, pool))
    view.needs = job.annotator.needs
    with view.paid(f"measure {name}", store.digest(job.key, view.fingerprint)):
        view.visit(f"measure {name}", (job,))


def on_target(made: Made, target: Pool) -> Annotate:
    """The same annotator's job on a target's rows, measured."""
    method = made.job.annotator.on_target()
    key = store.digest(made.job.key, method, target.fingerprint, target.alive_key())
    job = Annotate(method, made.job.learnt, key)
    if method.heavy:
        measure_heavy(job, target, made.step.name)
    else:
        target.needs = method.needs
        target.visit("measure", (job,))
        target.needs = ("text",)
    return job


def expose(step: Step, job: Annotate, state: State) -> None:
    """Make measured columns signals, which are read only when an expression names them."""
    names = next((table.column_names for _, _, table in state.pool.parts(job.file)), [])
    for name in names:
        shown = renamed(name, step, len(names)) if step.kind == "annotate" else name
        if step.kind == "annotate":
            if shown in state.signals or shown in state.annotated:
                raise RecipeError(f'two steps make a signal called {shown!r}; give one another name with as = "..."')
            state.annotated.add(shown)
        elif shown in state.signals or shown in state.annotated:
            continue
        state.lazy[shown] = partial(state.pool.measured, job.file, name)
        state.makers[shown] = Made(step, job, name)


def renamed(column: str, step: Step, columns: int) -> str:
    """What `as` makes of a column: the alias in place of the method's name, or before another name.

    >>> step = Step("annotate", "fasttext", "language", {})
    >>> renamed("fasttext", step, 2), renamed("fasttext_probability", step, 2)
    ('language', 'language_probability')
    """
    if step.alias == step.name:
        return column
    if column.startswith(step.name):
        return step.alias + column.removeprefix(step.name)
    return step.alias if columns == 1 else f"{step.alias}_{column}"


@final
@dataclass
class Tally:
    """What one rule did: rows and bytes that left by it, and rows that break it, whoever took them first."""

    rule: Rule
    rows: int = 0
    bytes: int = 0
    broken: int = 0
    reason: str = field(default="")


def apply_filter(step: Step, number: int, jobs: Sequence[Annotate], state: State) -> None:
    """Let go of rows that break a rule, piece by piece, and tell of each rule what it did."""
    method: Filter = catalog.build("filter", step.name, step.parameters)
    pool, tallies = state.pool, [Tally(rule, reason=reason(method, step, rule)) for rule in method.rules]
    alive, whole = pool.living.copy(), dict[str, np.ndarray]()
    state.fates.size = len(alive)
    for (first, stop), tables in _aligned(pool, jobs):
        columns = _Part(tables, state, whole, first, stop)
        left = alive[first:stop]
        before = left.copy()
        for tally in tallies:
            broken = before & tally.rule.broken(columns)
            _let_go(tally, broken & left, columns, first, state)
            tally.broken += int(broken.sum())
            left &= ~broken
    pool.alive = alive
    state.filters += [_told(tally, step, number) for tally in tallies]


def reason(method: Filter, step: Step, rule: Rule) -> str:
    """What the manifest says of rows that leave by a rule."""
    return f"{method.prefix}: {step.name}/{rule.name} ({rule})"


def _let_go(tally: Tally, gone: Bool[np.ndarray, "b"], columns: _Part, first: int, state: State) -> None:
    rows = np.flatnonzero(gone)
    if not len(rows):
        return
    tally.rows += len(rows)
    tally.bytes += int(state.pool.count().sizes[rows + first].sum())
    if tally.rule.told is None:
        state.fates.drop(rows, tally.reason, first=first)
        return
    prefix = tally.reason.partition(":")[0]
    for row, told in zip(rows.tolist(), columns.strings(tally.rule.told, rows), strict=True):
        state.fates.drop(np.array([row]), f"{prefix}: {told}", first=first)


def _told(tally: Tally, step: Step, number: int) -> dict[str, Any]:
    rule = tally.rule
    return {
        "step": number, "filter": step.name, "rule": rule.name, "said": str(rule), "reason": tally.reason,
        "paper": rule.paper, "rows": tally.rows, "bytes": tally.bytes, "broken": tally.broken,
    }  # fmt: skip


def _aligned(pool: Any, jobs: Sequence[Annotate]) -> Iterable[tuple[tuple[int, int], list[pa.Table]]]:
    """The tables of several jobs side by side, piece by piece; without a job, the pieces alone."""
    ranges = [(first, stop) for first, stop in pool.count().ranges if stop > first]
    streams = [pool.parts(job.file) for job in jobs]
    for bounds in ranges:
        yield bounds, [next(stream)[2] for stream in streams]


@final
class _Part(Mapping[str, np.ndarray]):
    """The columns of one piece by name: of the filter's own annotators, or of earlier steps."""

    def __init__(self, tables: list[pa.Table], state: State, whole: dict[str, np.ndarray], first: int, stop: int):
        self._tables, self._state, self._whole, self._first, self._stop = tables, state, whole, first, stop
        self._known: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "b"]:
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> Shaped[np.ndarray, "b"]:
        for table in self._tables:
            if name in table.column_names:
                return store.values(table[name])[: self._stop - self._first]
        known = Columns(self._state.signals, self._state.lazy)
        if name not in known:
            raise RecipeError(f"there is no signal {name!r}; {suggest(name, known)}")
        if name not in self._whole:
            self._whole[name] = known[name]
        return self._whole[name][self._first : self._stop]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def strings(self, name: str, rows: Int64[np.ndarray, "k"]) -> list[str]:
        """Some rows of a column of strings."""
        for table in self._tables:
            if name in table.column_names:
                return table[name].take(pa.array(rows)).to_pylist()
        return [str(value) for value in self[name][rows]]
