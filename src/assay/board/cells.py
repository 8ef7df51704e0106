"""One cell of a board: a method on a task at one budget, chosen as `select` or `clean` choose and judged as `verify` judges.

A cell's run folder is named by its recipe, so that cells with one recipe share one run (what a filter keeps does not depend
on the budget), and all runs share one store: a signal is measured once, and so is every arm of random. Where an earlier run
of the board has the same scores, a further budget or selector decides again on it and fits nothing.

All arms of one task and budget are cut at the same amount, a little below the budget, because choices end at whole rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec
from msgspec.structs import replace

from assay import __version__, account, engine, flags, recipe, training, trial
from assay.board.tree import Board, Method, Pool, Proxy, Task
from assay.errors import RecipeError
from assay.io import store
from assay.io.sources import find
from assay.recipe import Recipe, Verify
from assay.run.local import Local
from assay.run.passes import Watch, quiet
from assay.run.workers import HERE, Crew
from assay.runs import Run
from assay.types import Budget
from assay.verify import judge

BELOW = 0.98  # of the budget: the last row of a choice does not fit as a rule, and rows of a few kilobytes are common


@final
@dataclass(frozen=True)
class How:
    """Where a board lies and how it is worked, none of which changes an answer."""

    out: Path
    store: Path | None = None
    crew: Crew = HERE
    memory: int = engine.MEMORY
    watch: Watch = quiet


@final
@dataclass(frozen=True)
class Cell:
    """One method on one task at one budget, before one proxy."""

    method: Method
    task: Task
    pool: Pool
    budget: str
    proxy: Proxy
    seeds: int
    recipe: Recipe

    @property
    def group(self) -> tuple[str, str, str]:
        """The cells that are compared with each other."""
        return self.proxy.name, self.task.name, self.budget

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        name = re.sub(r"[^a-z0-9]+", "-", self.method.name.lower()).strip("-")
        return f"{name}-{self.recipe.digest[:12]}"

    @property
    def key(self) -> str:
        """Everything that its verdict depends on: files by path, size and time of writing."""
        files = [self.pool.path, *_examples(self.recipe), self.task.eval, self.task.general, self.task.tasks]
        states = [[store.stat_key(shard, "") for shard in find(paths)] for paths in files if paths]
        asked = self.task.decontaminate, self.task.instructions, self.proxy, self.seeds, self.budget
        return store.digest(self.method.name, self.task.name, self.recipe.digest, states, asked, __version__)

    @property
    def scored(self) -> str | None:
        """A name for the steps up to the last score: cells that agree in it have the same scores. None without a score."""
        steps = self.recipe.steps
        last = max((at for at, step in enumerate(steps) if step.kind == "score"), default=-1)
        if last < 0 or any(step.kind in ("group", "edit") for step in steps):
            return None
        read, targets = self.recipe.read, self.recipe.targets
        return store.digest(self.recipe.pool, targets, read, self.recipe.seed, steps[: last + 1])

    def about(self) -> dict[str, Any]:
        """What stands in its row whatever came of it."""
        kind = "control" if self.method.control else "cleaned" if self.method.cleans else "choice"
        return {
            "method": self.method.name,
            "kind": kind,
            "task": self.task.name,
            "pool": self.pool.name,
            "budget": self.budget,
            "proxy": self.proxy.name,
            "seeds": self.seeds,
            "run": f"runs/{self.folder}",
        }


def _examples(wanted: Recipe) -> list[tuple[str, ...]]:
    """Every file that the recipe learns from."""
    own = [paths for step in wanted.steps for paths in (step.target, step.against)]
    return [*(target.path for target in wanted.targets), *own]


def recipe_of(method: Method, task: Task, pool: Pool, budget: str) -> Recipe:
    """What `assay select` or `assay clean` would be told; RecipeError, with the method's name, where that is impossible.

    >>> pool, task = Pool("p", ("p.jsonl",)), Task("t", "p", ("e.jsonl",), ("t.jsonl",))
    >>> [step.name for step in recipe_of(Method("d", {"method": "dsir"}), task, pool, "5%bytes").steps]
    ['dsir', 'top_k']
    """
    given = {key: value for key, value in method.flags.items() if key != "steps"} | {"rows": "none"}
    base: dict[str, Any] = {"pool": list(pool.path), "read": msgspec.to_builtins(pool.read)}
    base |= {"steps": list(method.flags["steps"])} if "steps" in method.flags else {}
    base |= {"targets": [{"path": list(task.target)}]} if task.target else {}
    try:
        tree = flags.clean_tree(base, given) if method.cleans else flags.tree(base, {**given, "budget": budget})
        wanted = recipe.parse(tree)
        return wanted if recipe.aims(wanted) else replace(wanted, targets=())  # then one run serves all tasks
    except RecipeError as error:
        raise RecipeError(f"method {method.name!r} on task {task.name!r}: {error}") from None


def cells(board: Board, proxy: Proxy, methods: tuple[Method, ...]) -> list[Cell]:
    """The cells before one proxy, those that are compared with each other together."""
    seeds = proxy.seeds or board.seeds
    return [
        Cell(method, task, board.pool(task), budget, proxy, seeds, recipe_of(method, task, board.pool(task), budget))
        for task in board.tasks
        if not proxy.tasks or task.name in proxy.tasks
        for budget in board.budgets
        if not proxy.budgets or budget in proxy.budgets
        for method in methods
        if method.fits(task)
    ]


def work(cell: Cell, how: How, leads: Mapping[str, str]) -> dict[str, Any]:
    """Choose, judge, and tell what came of it; `leads` are run folders by the name of their scores."""
    began = time.perf_counter()
    lead = _lead(cell, how, leads)
    place = engine.Place(
        how.out / "runs" / cell.folder, how.store or how.out / "store", how.crew, how.watch, how.memory
    )
    run = engine.run(cell.recipe, place, lead)
    asked = Verify(
        eval=cell.task.eval,
        general=cell.task.general,
        tasks=cell.task.tasks,
        proxy=(cell.proxy.name,),
        seeds=cell.seeds,
        decontaminate=cell.task.decontaminate,
        rivals=cell.proxy.rivals,
        epochs=cell.proxy.epochs,
        units=units(cell, run),
        instructions=cell.task.instructions,
    )
    verdict = trial.verify(run, asked, how.crew, how.watch)
    spent = {"seconds": round(time.perf_counter() - began, 3)}
    return {
        "state": "done",
        "error": None,
        **cell.about(),
        **_found(run, verdict),
        "cost": cost(run, lead, verdict),
        **spent,
    }


def _lead(cell: Cell, how: How, leads: Mapping[str, str]) -> Run | None:
    """A finished run with the same scores and another decision."""
    name = leads.get(cell.scored or "")
    if name is None or name == cell.folder or not (how.out / "runs" / name / "run.json").exists():
        return None
    return Run(how.out / "runs" / name)


def units(cell: Cell, run: Run) -> int:
    """At most so many units for every arm: what fits the budget, or what the proxy is used to."""
    one = judge.proxy(cell.proxy.name)
    most = Budget.parse(cell.budget).limit(run.facts["totals"]["bytes"]) * BELOW
    if one.unit != "bytes":
        with Local(1) as local:
            most /= training.bytes_per_unit(one, account.reopen(run, local))
    return min(cell.proxy.units or one.trial.units, int(most))


def cost(run: Run, lead: Run | None, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of selecting and bytes read, those of the run whose scores were taken over included; seconds of training on the
    choice, and of random to the same quality (`bound`: at least so many; None: not known)."""
    alone = lead is None or any(one["stage"].startswith("score") for one in run.facts["stages"])
    seconds = run.cost["seconds"] if alone else run.facts["seconds"] + lead.cost["seconds"]  # the lead counts what both found
    timed = verdict.get("time_to_quality") or {}
    return {
        "seconds": round(seconds, 3),
        "bytes_read": run.cost["bytes_read"] + (0 if alone else lead.cost["bytes_read"]),
        "training_seconds": timed.get("training_seconds"),
        "random_seconds": timed.get("random_seconds"),
        "bound": bool(timed.get("bound")),
    }


def _found(run: Run, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict in short."""
    general, status = verdict["general"], run.status
    held = run.facts["bytes"][status]
    return {
        "rows": run.facts["counts"][status],
        "bytes": held,
        "unit": verdict["budget"]["unit"],
        "units": verdict["budget"]["units"],
        "metric": verdict["metric"],
        "choice": _mean(verdict, "choice"),
        "random": _mean(verdict, "random"),
        "level": verdict["level"],
        "multiplier": verdict["multiplier"],
        "beside": {one["against"]: {"difference": one["difference"], "p": one["p"]} for one in verdict["comparisons"]},
        "general": None if general is None else {key: general[key] for key in ("difference", "answer")},
        "tasks": [
            {key: one[key] for key in ("name", "metric", "answer", "p_adjusted")} for one in verdict["tasks"] or ()
        ],
        "held": {key: verdict["eval"].get(key) for key in ("documents", "bytes")},
        "shares_features": verdict["shares_features"],
        "notes": [*_notes(run), *verdict["notes"]],
        "sentence": verdict["sentence"],
        "verdict": verdict["digest"],
    }


def _mean(verdict: Mapping[str, Any], name: str) -> float | None:
    values = [arm["metric"] for arm in verdict["arms"] if arm["name"] == name]
    return sum(values) / len(values) if values else None


def _notes(run: Run) -> list[str]:
    """What a reader must know of a run before believing its row."""
    lacks = [f"not done: {each}" for each in run.facts["lacks"]]
    edited = ["texts were edited, in every arm alike: what is judged is which rows stay"] if run.facts["edits"] else []
    return [*edited, *lacks]
