"""What the five verbs do, between flags and functions: build a recipe, run it, show what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay import catalog, flags, recipe
from assay.errors import AssayError, RecipeError
from assay.io import files
from assay.recipe import Recipe, Step
from assay.report import terminal
from assay.report.progress import Bars
from assay.runs import Run


def select(
    pool: Sequence[str],
    out: Path | None,
    given: dict[str, Any],
    workers: int | None,
    store: Path | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """`assay select`: from a pool, a recipe, or a finished run."""
    from assay import engine

    wanted, earlier = compose(pool, given)
    if dry_run:
        from assay.plan import plan

        terminal.show_plan(plan(wanted, workers), terminal.console())
        return
    if out is None:
        raise RecipeError("give --out FOLDER, where the run is to be written")
    with Bars(quiet) as bars:
        run = engine.run(wanted, engine.Place(out, store, workers, bars.watch), earlier)
    terminal.show(run.summary(), run.verdict, terminal.console(), str(out))
    if wanted.verify.eval:
        trial = wanted.verify
        verify(
            out,
            list(trial.eval),
            list(trial.general),
            trial.against,
            trial.proxy,
            trial.seeds,
            trial.decontaminate,
            workers,
            quiet,
        )


def compose(pool: Sequence[str], given: dict[str, Any]) -> tuple[Recipe, Run | None]:
    """The recipe that the arguments say, and the finished run to start from if that is what they name."""
    if len(pool) == 1 and pool[0].endswith(".toml"):
        tree = recipe.read_tree(files.read_bytes(pool[0]).decode("utf-8", "replace"), pool[0])
        return recipe.parse(flags.tree(tree, given)), None
    if len(pool) == 1 and (Path(pool[0]) / "recipe.json").exists():
        earlier = Run(Path(pool[0]))
        return again(earlier, given), earlier
    return recipe.parse(flags.tree({"pool": list(pool)}, given)), None


def again(earlier: Run, given: dict[str, Any]) -> Recipe:
    """An earlier run's recipe with another decision laid over it; what its signals were made of cannot change."""
    fixed = [name for name in flags.given(given) if name in ("target", "method", *flags.READ) and name != "scores"]
    wanted = recipe.parse(flags.tree(earlier.tree, {name: value for name, value in given.items() if name not in fixed}))
    if not fixed and _scores(wanted) != _scores(earlier.recipe):
        fixed = ["set"]
    if fixed:
        flag = {"score_fields": "score-field"}.get(fixed[0], fixed[0].replace("_", "-"))
        raise RecipeError(
            f"on a finished run only the decision can change (budget, select, rank, quota, where, scores, seed, write), not "
            f"what its signals were made of; got --{flag}: select from the pool instead"
        )
    return wanted


def _scores(wanted: Recipe) -> list[Step]:
    return [step for step in wanted.steps if step.kind == "score"]


def verify(
    path: Path,
    eval_paths: Sequence[str],
    general: Sequence[str],
    against: str,
    proxy: str,
    seeds: int,
    decontaminate: bool,
    workers: int | None,
    quiet: bool,
) -> None:
    """`assay verify`: the choice against random, on held-out text."""
    from assay import trial

    run = Run(path)
    if not eval_paths:
        raise RecipeError("give --eval FILE with held-out text of what you want")
    asked = trial.Asked(tuple(eval_paths), tuple(general), against, proxy, seeds, decontaminate)
    with Bars(quiet) as bars:
        verdict = trial.verify(run, asked, workers, bars.watch)
    terminal.show_verdict(verdict, terminal.console())


def report(path: Path, quiet: bool) -> None:
    """`assay report`: facts.json, a summary on the terminal, and report.html."""
    from assay import explain
    from assay.report.html import render

    run = Run(path)
    facts = explain.facts(run)
    files.write_json(str(path / "facts.json"), facts)
    files.write_bytes(str(path / "report.html"), render(facts, run.verdict).encode("utf-8"))
    terminal.show(facts, run.verdict, terminal.console(), str(path))


def why(path: Path, row: str) -> None:
    """`assay why`: one row's story, with its text and the n-grams that pull its score while the pool is as it was."""
    from assay.account import reopened

    run = Run(path)
    told = run.why(row)
    with contextlib.suppress(AssayError), reopened(run) as view:
        pulls = view.pulls(np.array([told["row"]]), 8) if told["status"] != "quarantined" else None
        told["features"] = [{"feature": name, "weight": weight} for name, weight in pulls or ()]
        told["text"] = "".join(view.texts(np.array([told["row"]]))[1])
    terminal.show_why(told, terminal.console())


def methods(name: str | None) -> None:
    """`assay methods`: the list, or one method."""
    if name is None:
        everything = [catalog.describe(kind, known) for kind in catalog.KINDS for known in catalog.methods(kind)]
        terminal.show_methods(everything, terminal.console())
    else:
        terminal.show_method(catalog.describe(catalog.kind_of(name), name), terminal.console())
