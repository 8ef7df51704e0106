"""What the verbs do, between flags and functions: build a recipe, run it, show what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec
import numpy as np

from assay import catalog, engine, flags, gallery, recipe
from assay.errors import AssayError, RecipeError, suggest
from assay.io import files, mirror
from assay.io.sources import kind_of
from assay.recipe import Recipe
from assay.report import terminal
from assay.report.progress import Bars
from assay.run.passes import Watch
from assay.run.workers import Crew
from assay.runs import Run
from assay.steps import Step
from assay.types import Budget


@final
@dataclass(frozen=True)
class How:
    """How a command works, none of which changes an answer."""

    workers: int | None = None
    store: Path | None = None
    memory: str | None = None
    dry_run: bool = False
    quiet: bool = False
    engine: str | None = None
    address: str | None = None

    def crew(self, wanted: Recipe | None = None) -> Crew:
        """Who works: what the flags say, else what the recipe says."""
        named = "local" if wanted is None else wanted.engine
        return Crew(self.workers, self.engine or ("ray" if self.address else named), self.address)

    def place(self, out: Path, store: Path | None, watch: Watch, wanted: Recipe | None = None) -> engine.Place:
        """Where the run lies and how it is worked."""
        limit = engine.MEMORY if self.memory is None else memory(self.memory)
        return engine.Place(out, self.store or store, self.crew(wanted), watch, limit)


def memory(text: str) -> int:
    """Bytes, from `2GB` or `500MB`.

    >>> memory("2GB")
    2000000000
    """
    budget = Budget.parse(text)
    if budget.unit != "bytes" or budget.share or budget.amount < engine.LEAST_MEMORY:
        raise RecipeError(f"--memory must be an amount such as 2GB, and at least 1GB; got {text!r}")
    return budget.limit(0)


def select(pool: Sequence[str], out: Path | None, given: dict[str, Any], how: How) -> None:
    """`assay select`: from a pool, a recipe, or a finished run."""
    wanted, earlier = compose(pool, given)
    run = _run(wanted, out, how, earlier)
    if run is not None and wanted.verify.eval:
        verify(run.path, msgspec.structs.asdict(wanted.verify), how.crew(wanted), how.quiet)


def clean(pool: Sequence[str], out: Path | None, given: dict[str, Any], how: How) -> None:
    """`assay clean`: from a pool, a recipe that does not select, or a finished run, whose measures are taken as they are."""
    wanted, store = compose_clean(pool, given)
    _run(wanted, out, how, None, store)


def _run(wanted: Recipe, out: Path | None, how: How, earlier: Run | None, store: Path | None = None) -> Run | None:
    """Run a recipe and show what came of it; or only the plan."""
    if how.dry_run:
        from assay.plan import plan

        terminal.show_plan(plan(wanted, how.workers), terminal.console())
        return None
    if out is None:
        raise RecipeError("give --out FOLDER, where the run is to be written")
    with Bars(how.quiet) as bars:
        run = engine.run(wanted, how.place(out, store, bars.watch, wanted), earlier)
    terminal.show(run.summary(), run.verdict, terminal.console(), files.address(out))
    return run


def compose(pool: Sequence[str], given: dict[str, Any]) -> tuple[Recipe, Run | None]:
    """The recipe that the arguments say, and the finished run to start from if that is what they name.

    A cleaned run is a pool: its kept rows.
    """
    if len(pool) == 1 and pool[0].endswith(".toml"):
        return recipe.parse(flags.tree(opened(pool[0]), given)), None
    if (earlier := finished(pool)) is None:
        return recipe.parse(flags.tree({"pool": list(pool)}, given)), None
    if earlier.recipe.select is None:
        if (rows := earlier.recipe.write.rows) != "rows":
            raise RecipeError(
                f"{files.address(earlier.path)} wrote {rows} and no rows to choose from; clean again with --write rows, or "
                "select from its pool"
            )
        if not earlier.facts["counts"]["kept"]:
            raise RecipeError(
                f"{files.address(earlier.path)} must hold rows to choose from, and its cleaning kept none: loosen its rules"
            )
        return recipe.parse(flags.tree({"pool": [files.address(earlier.path / "selected")]}, given)), None
    return again(earlier, given), earlier


def compose_clean(pool: Sequence[str], given: dict[str, Any]) -> tuple[Recipe, Path | None]:
    """The same for cleaning: a finished run stands for its pool and its steps, and lends the store with what it measured."""
    if len(pool) == 1 and pool[0].endswith(".toml"):
        return recipe.parse(flags.clean_tree(opened(pool[0]), given)), None
    if (earlier := finished(pool)) is None:
        return recipe.parse(flags.clean_tree({"pool": list(pool)}, given)), None
    return recipe.parse(flags.clean_tree(earlier.tree, given)), earlier.store


def opened(path: str) -> dict[str, Any]:
    """The tree of a recipe file, without what it leaves open."""
    return gallery.close(recipe.read_tree(files.read_bytes(path).decode("utf-8", "replace"), path), {})


def finished(pool: Sequence[str]) -> Run | None:
    """The finished run that the arguments name, if that is what they do."""
    if len(pool) != 1 or (files.is_url(pool[0]) and kind_of(pool[0])[0]):
        return None
    place = Path(pool[0]) if not files.is_url(pool[0]) or not mirror.plain(pool[0]) else mirror.folder(pool[0])
    return Run(place) if mirror.present(place / "recipe.json") else None


def again(earlier: Run, given: dict[str, Any]) -> Recipe:
    """An earlier run's recipe with another decision laid over it; what its signals were made of cannot change."""
    fixed = [
        name
        for name in flags.given(given)
        if name in ("target", "method", *flags.CLEAN, *flags.READ) and name != "scores"
    ]
    wanted = recipe.parse(flags.tree(earlier.tree, {name: value for name, value in given.items() if name not in fixed}))
    if not fixed and _scored(wanted) != _scored(earlier.recipe):
        fixed = ["set"]
    if fixed:
        flag = {"score_fields": "score-field"}.get(fixed[0], fixed[0].replace("_", "-"))
        raise RecipeError(
            "on a finished run only the decision can change (budget, select, rank, quota, general, where, scores, seed, write), "
            f"not what its signals were made of; got --{flag}: select from the pool instead"
        )
    return wanted


def _scored(wanted: Recipe) -> tuple[Step, ...]:
    """The steps up to the last score: which rows it scored, and what their texts were, hangs on all of them."""
    last = max((at for at, step in enumerate(wanted.steps) if step.kind == "score"), default=-1)
    return wanted.steps[: last + 1]


def verify(path: Path, given: dict[str, Any], crew: Crew, quiet: bool) -> None:
    """`assay verify`: the choice against random, on held-out text."""
    from assay import trial

    run, given = Run(path), flags.given(given)
    if results := given.pop("results", None):
        terminal.show_verdict(trial.reported(run, results), terminal.console())
        return
    if not given.get("eval"):
        raise RecipeError("give --eval FILE with held-out text of what you want, or --results FILE of your own trainer")
    asked = trial.asking(given)
    with Bars(quiet) as bars:
        verdict = trial.verify(run, asked, crew, bars.watch)
    terminal.show_verdict(verdict, terminal.console())


def arms(path: Path, out: Path | None, given: dict[str, Any], how: How) -> None:
    """`assay arms`: the arms of a run, for a trainer of one's own; with `how.dry_run` only their sizes."""
    from assay import handout
    from assay.report.handout import show_arms

    known = flags.given(given)
    known |= {"arms": handout.arms_of(known["arms"])} if "arms" in known else {}
    run, asked = Run(path), handout.HandoutAsked(**known)
    if how.dry_run:
        show_arms(handout.preview(run, asked, how.crew()), terminal.console(), None)
        return
    if out is None:
        raise RecipeError("give --out FOLDER, where the arms are to be written")
    files.here(out, "--out of assay arms")
    with Bars(how.quiet) as bars:
        told = handout.handout(run, asked, out, how.crew(), bars.watch)
    show_arms(told, terminal.console(), str(out))


def mix(pool: Sequence[str], out: Path | None, asked: dict[str, Any], read: dict[str, Any], how: How) -> None:
    """`assay mix`: which mixture of the domains to train on."""
    from assay import mixing
    from assay.report.mixing import show_mixture

    if out is None:
        raise RecipeError("give --out FOLDER, where the mixture is to be written")
    files.here(out, "--out of assay mix")
    wanted = mixing_asked(flags.given(asked), flags.given(read))
    with Bars(how.quiet) as bars:
        told = mixing.mix(pool, wanted, out, how.crew(), bars.watch)
    show_mixture(told, terminal.console(), str(out))


def mixing_asked(asked: dict[str, Any], read: dict[str, Any]) -> Any:
    """What flags or Python's words ask of `assay mix`.

    >>> mixing_asked({"loss": ["a,b"], "set": ["regmix.best=10"]}, {}).parameters
    {'best': 10}
    """
    from assay import mixing

    method = str(asked.get("method", "regmix"))
    if method not in catalog.methods("mix"):
        raise RecipeError(f"there is no mixer {method!r}; {suggest(method, catalog.methods('mix'))}")
    words = {name: tuple(map(str, asked[name])) for name in ("eval", "trials") if name in asked}
    words |= {"loss": tuple(word for each in asked["loss"] for word in each.split(","))} if "loss" in asked else {}
    plain = {name: value for name, value in asked.items() if name not in ("set", *words)}
    parameters = flags.parameters(method, asked.get("set", ()))
    return mixing.MixAsked(**plain, **words, parameters=parameters, read=recipe.parse_read(read))


def report(path: Path, quiet: bool) -> None:
    """`assay report`: facts.json, a summary on the terminal, and report.html."""
    from assay import explain
    from assay.report.html import render

    run = Run(path)
    facts = explain.facts(run)
    files.write_json(str(path / "facts.json"), facts)
    files.write_bytes(str(path / "report.html"), render(facts, run.verdict).encode("utf-8"))
    terminal.show(facts, run.verdict, terminal.console(), files.address(path))


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
        terminal.show_methods([*everything, *map(gallery.describe, gallery.shipped())], terminal.console())
        return
    recipes = [name] if name in gallery.shipped() else []
    kinds = [kind for kind in catalog.KINDS if name in catalog.methods(kind)] if recipes else catalog.kinds_of(name)
    for told in (*(catalog.describe(kind, name) for kind in kinds), *map(gallery.describe, recipes)):
        terminal.show_method(told, terminal.console())


def rate(pool: Sequence[str], out: Path | None, asked: dict[str, Any], read: dict[str, Any], quiet: bool) -> None:
    """`assay rate`: ask a chat endpoint for ratings of some rows; ends with 1 where rows are left without one."""
    from assay import rate as rating
    from assay.report.rating import show_cost, show_ratings

    if out is None:
        raise RecipeError("give --out FOLDER, where the ratings are to be written")
    files.here(out, "--out of assay rate")
    wanted = rating.RateAsked(**flags.given(asked), read=recipe.parse_read(flags.given(read)))
    console = terminal.console()
    with Bars(quiet) as bars:
        told = rating.rate(pool, wanted, out, lambda plan: show_cost(plan, console), bars.watch)
    if "failed" in told:
        show_ratings(told, console)
        if told["failed"]:
            raise SystemExit(1)


def span(text: str) -> tuple[float, float]:
    """The lowest and the highest rating, from `0..5`.

    >>> span("0..5")
    (0.0, 5.0)
    """
    low, _, high = text.partition("..")
    try:
        return float(low), float(high)
    except ValueError:
        raise RecipeError(f"--range must look like 0..5; got {text!r}") from None


def board(path: Path, out: Path | None, words: Sequence[str], limit: int | None, how: How) -> None:
    """`assay board`: work what is not done, write the pages; ends with 1 where a cell failed."""
    from assay.board import run as played
    from assay.board.tree import parse
    from assay.report import board as page

    wanted_board = parse(recipe.read_tree(files.read_bytes(str(path)).decode("utf-8", "replace"), str(path)))
    wanted, console = played.Wanted(limit, played.only(words, wanted_board)), terminal.console()
    place = played.place(out)
    bound = engine.MEMORY if how.memory is None else memory(how.memory)
    worked = played.How(place, how.store, how.crew(), bound)
    if how.dry_run:
        page.show_plan(played.plan(wanted_board, worked, wanted), console)
        return

    def tell(row: dict[str, Any], number: int, total: int, left: float) -> None:
        if not how.quiet:
            page.show_cell(row, number, total, left, console)

    told = played.conduct(wanted_board, worked, wanted, tell)
    files.write_bytes(str(place / "board.md"), page.markdown(told).encode("utf-8"))
    files.write_bytes(str(place / "board.html"), page.html(told).encode("utf-8"))
    page.show_board(told, str(place), console)
    if told["cells"]["failed"]:
        raise SystemExit(1)
