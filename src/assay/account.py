"""`run.json`: the account of a run, written last, and how a finished run is opened again without reading its text."""

from __future__ import annotations

import platform
import time
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int64

from assay import __version__, catalog
from assay.contracts import Explainer
from assay.decide import Decision
from assay.editing import restore
from assay.io import files, mirror, store
from assay.io.fields import Fields
from assay.io.sources import Piece, Shard, find
from assay.outputs import STAYS, Ledger
from assay.recipe import Recipe, to_tree
from assay.run.local import Local
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import Workers
from assay.runs import Run
from assay.state import State
from assay.steps import Step
from assay.types import Fitted

BYTES_PER_TOKEN = 4.0  # of English under byte-pair vocabularies; only for an estimate that is labelled as one
_EVERY = 1_000_000  # features that a sample of texts may have
_LIBRARIES = ("numpy", "numba", "polars", "pyarrow")


def write(recipe: Recipe, out: Path, state: State, decision: Decision | None, ledger: Ledger, started: float) -> Run:
    """Write what was learnt and `run.json`, and return the run."""
    for name, fitted in state.fits.items():
        if fitted.arrays:
            store.save_named(out / "fitted" / f"{name}.npz", fitted.arrays)
    pool, counts = state.pool, ledger.counts()
    account = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "recipe": to_tree(recipe),
        "digest": recipe.digest,
        "fingerprint": pool.fingerprint,
        "versions": {
            "assay": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "counts": {**counts, "blank": pool.count().blank},
        **_amounts(state, recipe, decision, ledger),
        "seconds": round(time.time() - started, 3),
        "stages": [_stage(stage) for stage in pool.stages],
        "engine": "ray" if pool.local.apart else "local",
        "quarantine": _quarantine(pool),
        "notes": [*pool.notes, *state.notes, *(decision.notes if decision is not None else ())],
        "status": ledger.stays,
        "filters": state.filters,
        "duplicates": state.duplicates,
        "edits": state.edits,
        "lacks": list(recipe.origin.lacks),
        "about": {"recipe": recipe.origin.name, "about": recipe.origin.about, "sources": list(recipe.origin.sources)},
        "signals": state.files,
        "scores": state.scores,
        "fits": {name: dict(fitted.notes) for name, fitted in state.fits.items()},
        "inputs": inputs(state, recipe),
        "store": _place_of_store(pool, out),
        "shards": [{**asdict(shard), "path": files.absolute(shard.path)} for shard in pool.shards],
        "fields": asdict(pool.fields),
        "other_fields": {str(index): asdict(fields) for index, fields in pool.others.items()},
        "stats": {str(index): stat for index, stat in pool.stats.items()},
        "pieces": [(piece.shard.index, piece.number, piece.start, piece.stop) for piece in pool.planned],
        "limit": pool.limit,
    }
    files.write_json(str(out / "run.json"), account)
    return Run(out)


def _place_of_store(pool: Pool, out: Path) -> str:
    """Where the signals lie: relative to the run folder if inside it, so that the folder may be moved."""
    root, own = pool.store.root.absolute(), out.absolute()
    return str(root.relative_to(own)) if root.is_relative_to(own) else files.address(root)


def inputs(state: State, recipe: Recipe) -> str:
    """What all files that decide about a run are taken for, unread: a finished run with the same inputs stands."""
    others = [store.file_key(path) for path in _files(recipe)]
    steps = [[store.stat_key(shard, "") for shard in find(paths)] for paths in _examples(recipe)]
    return store.digest(state.pool.stats, [target.stats for target in state.targets], others, steps)


def content(state: State, recipe: Recipe) -> str:
    """What those files hold."""
    others = [store.file_digest(path) for path in _files(recipe)]
    steps = [
        [store.content_digest(Piece(shard, 0, 0, shard.size)) for shard in find(paths)] for paths in _examples(recipe)
    ]
    return store.digest(state.pool.fingerprint, [target.fingerprint for target in state.targets], others, steps)


def _files(recipe: Recipe) -> list[str]:
    """Scores, the tokenizer, and the models that methods name."""
    named = [catalog.build(kind, name, dict(given)) for step in recipe.steps for kind, name, given in step.methods()]
    models = [path for method in named for path in getattr(method, "models", {}).values()]
    return [*recipe.read.scores, *filter(None, [recipe.tokenizer]), *models]


def _examples(recipe: Recipe) -> list[tuple[str, ...]]:
    """The examples that steps name: targets of their own, and what these are learnt against."""
    return [paths for step in recipe.steps for paths in (step.target, step.against) if paths]


def _amounts(state: State, recipe: Recipe, decision: Decision | None, ledger: Ledger) -> dict[str, Any]:
    """What stays, in rows, bytes and tokens; of a choice also the budget, and the score at the cut."""
    table, stays = state.pool.count(), ledger.status == STAYS
    size = {"input": int((state.pool.original or table).sizes.sum()), ledger.stays: int(table.sizes.sum(where=stays))}
    common = {
        "bytes": size,
        "estimated_tokens": {name: int(amount / BYTES_PER_TOKEN) for name, amount in size.items()},
        "totals": {"examples": int(table.readable.sum()), "bytes": size["input"]},
    }
    if decision is None or recipe.select is None:
        nothing = dict.fromkeys(("tokens", "budget", "nested", "rank_by", "cut", "general"))
        return {**common, **nothing}
    chosen, limit = decision.selection.rows, decision.limit
    tokens = None
    if limit.unit == "tokens":
        tokens = {"input": int(limit.cost.sum()), "chosen": int(limit.cost[chosen].sum())}
    return {
        **common,
        "tokens": tokens,
        "budget": {
            "asked": recipe.select.budget,
            "unit": limit.unit,
            "limit": limit.amount,
            "spent": int(limit.cost[chosen].sum()),
        },
        "nested": decision.selection.nested,
        "rank_by": decision.rank_by,
        "cut": _cut(decision),
        "general": _general(recipe.select, decision),
    }


def _cut(decision: Decision) -> float | None:
    """The lowest score of a row that was chosen by it."""
    if decision.score is None:
        return None
    rows, drawn = decision.selection.rows, decision.selection.general
    by_method = np.setdiff1d(rows, drawn) if len(drawn) else rows
    return float(decision.score[by_method].min()) if len(by_method) else None


def _general(step: Step, decision: Decision) -> dict[str, Any] | None:
    """The share that was drawn at random; None where none was asked for."""
    if step.share is None:
        return None
    drawn, limit = decision.selection.general, decision.limit
    return {"asked": step.general, "rows": len(drawn), "spent": int(limit.cost[drawn].sum()), "unit": limit.unit}


def _stage(stage: Any) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "seconds": round(stage.seconds, 3),
        "bytes": stage.bytes,
        "peak_mb": round(stage.peak / 1e6, 1),
        **({"earlier_seconds": round(stage.earlier, 3)} if stage.earlier else {}),
        **({"nodes": stage.places} if stage.places else {}),
    }


def _quarantine(pool: Pool) -> list[dict[str, Any]]:
    """Reasons with their number of rows and one example each."""
    found: dict[str, dict[str, Any]] = {}
    for entry in pool.unreadable():
        example = {"file": entry["file"], "line": entry["line"], "reason": entry["reason"]}
        told = found.setdefault(entry["reason"], {"reason": entry["reason"], "rows": 0, "example": example})
        told["rows"] += 1
    return sorted(found.values(), key=lambda told: -told["rows"])


def reopen(run: Run, local: Workers, watch: Watch = quiet) -> Pool:
    """The pool of a finished run, from the store alone."""
    told = run.facts
    files.refuse_paths([*(shard["name"] for shard in told["shards"]), *told["signals"].values(), *told["fits"]], run.path)
    shards = tuple(Shard(**{**shard, "files": tuple(shard["files"])}) for shard in told["shards"])
    fields = _fields(told["fields"])
    others = {int(index): _fields(other) for index, other in told["other_fields"].items()}
    stats = {int(index): stat for index, stat in told["stats"].items()}
    pieces = tuple(Piece(shards[index], *place) for index, *place in told["pieces"])
    kept = store.Store(run.store)
    return Pool(shards, fields, kept, local, told["limit"], watch, stats, planned=pieces, others=others)


def _fields(told: dict[str, Any]) -> Fields:
    return Fields(**{**told, "extra": tuple(told["extra"])})


def reopen_edited(run: Run, local: Workers, watch: Watch = quiet) -> Pool:
    """The same, its texts as the run's edits made them."""
    pool = reopen(run, local, watch)
    if run.facts["edits"]:
        restore(pool, run.facts["edits"])
        pool.count()
        pool.resize("edit")
    return pool


def fits(run: Run) -> dict[str, Fitted]:
    """What the scorers of a run had learnt."""
    return {
        name: Fitted(store.load_named(path) if mirror.present(path := run.path / "fitted" / f"{name}.npz") else {}, notes)
        for name, notes in run.facts["fits"].items()
    }


@final
class View:
    """A finished run with its pool open: texts of rows, and what pulls their scores."""

    def __init__(self, run: Run, pool: Pool):
        self.run, self.pool = run, pool

    def texts(self, rows: Int64[np.ndarray, "k"]) -> tuple[list[int], list[str]]:
        """Row numbers in order, and their texts; of pictures, whose bytes are no text, none."""
        if self.pool.shards[0].holds == "pictures":
            return [], []
        batch = self.pool.take(np.unique(rows))
        return batch.rows.tolist(), list(batch.text)

    def pulls(self, rows: Int64[np.ndarray, "k"], top: int) -> list[tuple[str, float]] | None:
        """Features with the largest pull on the last score step's scores, summed over some rows; None where it cannot say."""
        steps = [step for step in self.run.recipe.steps if step.kind == "score"]
        learnt = fits(self.run)
        if not steps or not len(rows):
            return None
        scorer = catalog.build("score", steps[-1].name, steps[-1].parameters)
        names = [name for name in learnt if name.partition(":")[0] == steps[-1].alias]
        if not isinstance(scorer, Explainer) or not names:
            return None
        return scorer.explain(learnt[names[0]], self.pool.take(rows).text, top)

    def contrast(
        self, chosen: Int64[np.ndarray, "k"], others: Int64[np.ndarray, "j"], top: int
    ) -> dict[str, list[tuple[str, float]]] | None:
        """What lifts the chosen rows above the others: features that pull them up, and features that pull the others down.

        Pulls are per row; a word that all rows have alike, such as "the", cancels out.
        """
        lifted, held = self.pulls(chosen, _EVERY), self.pulls(others, _EVERY)
        if lifted is None or held is None:
            return None
        lifting = {feature: pull / len(chosen) for feature, pull in lifted}
        holding = {feature: pull / len(others) for feature, pull in held}
        gaps = {name: lifting.get(name, 0.0) - holding.get(name, 0.0) for name in lifting | holding}
        order = sorted(gaps, key=lambda name: (-gaps[name], name))
        up = [(name, gaps[name]) for name in order if lifting.get(name, 0.0) > 0][:top]
        down = [(name, -gaps[name]) for name in order if holding.get(name, 0.0) < 0][:top]
        return {"up": up, "down": down}


@contextmanager
def reopened(run: Run) -> Any:
    """Open a finished run's pool for reading text; refused where a file has changed since."""
    with Local(1) as local:
        pool = reopen_edited(run, local)
        pool.refuse_changes()
        yield View(run, pool)
