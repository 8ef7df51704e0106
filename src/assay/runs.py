"""A finished run, to look at and to go on from: the folder that `select` wrote, as one object.

```python
run = assay.select("pool.jsonl", target="target.jsonl", budget="10%", out="run/")
run.selected          # the chosen rows, in order of choice
run.upto("5%")        # a smaller budget, from stored scores
run.why(17)           # why row 17 is in or out
```
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import polars as pl

from assay.errors import RecipeError, RunError
from assay.io import files
from assay.io.frames import load_dataset
from assay.io.ledger import scan_manifest
from assay.recipe import Recipe, parse
from assay.report.html import fragment
from assay.types import Budget, Limit, Selection

if TYPE_CHECKING:
    import datasets

FACTS = (
    "created",
    "recipe",
    "digest",
    "versions",
    "counts",
    "bytes",
    "tokens",
    "estimated_tokens",
    "budget",
    "stages",
    "quarantine",
    "notes",
)


@final
@dataclass(frozen=True)
class Run:
    """A run folder on disk; everything is read from it when it is asked for."""

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says; raises RunError where the run is not finished."""
        path = self.path / "run.json"
        if not path.exists():
            what = "a run that has not finished" if (self.path / "recipe.json").exists() else "no run folder"
            raise RunError(
                f"{self.path} must be the folder of a finished run; it is {what}: run assay select first, or again"
            )
        return files.read_json(str(path))

    @property
    def tree(self) -> dict[str, Any]:
        """The recipe as nested dicts."""
        return self.facts["recipe"]

    @property
    def recipe(self) -> Recipe:
        """The recipe that made this run."""
        return parse(self.tree)

    @property
    def manifest(self) -> pl.LazyFrame:
        """One line for every input row; collect only the columns you need."""
        assert self.facts  # refuses a run that has not finished
        return scan_manifest(str(self.path / "manifest.parquet"))

    @property
    def selected(self) -> pl.DataFrame:
        """The chosen rows (row, id, shard, source, bytes, score, rank, weight), in order of choice."""
        chosen = self.manifest.filter(pl.col("status") == "chosen").sort("rank")
        return chosen.select("row", "id", "shard", "source", "bytes", "score", "rank", "weight").collect()

    def upto(self, budget: str | int) -> pl.DataFrame:
        """The first rows of `selected` that fit a smaller budget; RecipeError where the selector is not nested."""
        wanted, totals = Budget.parse(budget), self.facts["totals"]
        if wanted.unit == "tokens":
            raise RecipeError(
                "upto takes a budget in examples or bytes; for tokens select again: assay select RUN --budget ..."
            )
        chosen = self.selected
        cost = chosen["bytes"].to_numpy() if wanted.unit == "bytes" else np.ones(len(chosen), np.int64)
        order = Selection.ranked(np.arange(len(chosen)), np.zeros(len(chosen)), nested=self.facts["nested"])
        kept = order.upto(Limit(wanted.limit(totals[wanted.unit]), wanted.unit, cost))
        if len(kept) == len(chosen) and wanted.limit(totals[wanted.unit]) > cost.sum():
            raise RecipeError(
                f"upto({budget!r}) must be within the run's own budget of {self.facts['budget']['asked']}; select again for more"
            )
        return chosen.head(len(kept))

    def why(self, row: int | str) -> dict[str, Any]:
        """What became of a row, by number or id: status, reason, score, rank, and where the cut lies."""
        by_number = pl.col("row") == int(row) if str(row).isdecimal() else pl.lit(False)
        found = self.manifest.filter((pl.col("id") == str(row)) | by_number).collect()
        exact = found.filter(by_number) if len(found) > 1 else found
        if not len(found):
            raise RunError(
                f"no row of {self.path} has the number or id {row!r}; rows go from 0 to {self.facts['counts']['input'] - 1}"
            )
        return self._explained((exact if len(exact) else found).row(0, named=True))

    def _explained(self, entry: dict[str, Any]) -> dict[str, Any]:
        cut, chosen = self.facts["cut"], self.facts["counts"]["chosen"]
        better = None
        if entry["score"] is not None:
            better = self.manifest.filter(pl.col("score") > entry["score"]).select(pl.len()).collect().item()
        told = {**entry, "cut": cut, "better": better, "chosen": chosen, "of": self.facts["counts"]["input"]}
        return {**told, "sentence": _sentence(told, self.facts)}

    @property
    def verdict(self) -> dict[str, Any] | None:
        """The latest verdict, or None before any `verify`."""
        path = self.path / "verdict.json"
        return files.read_json(str(path)) if path.exists() else None

    def to_dataset(self) -> datasets.Dataset:
        """The selected rows as a Hugging Face dataset, streamed from disk; raises MissingExtra without that library."""
        return load_dataset(str(self.path / "selected"))

    def __repr__(self) -> str:
        counts, spent = self.facts["counts"], self.facts["bytes"]
        verdict = self.verdict["answer"] if self.verdict else "not verified"
        return f"Run({str(self.path)!r}: {counts['chosen']:,} of {counts['input']:,} rows, {spent['chosen']:,} bytes, {verdict})"

    def summary(self) -> dict[str, Any]:
        """What a run shows when it ends: from its account and its manifest, without a look at any text."""
        told = self.facts
        score = {"name": told["rank_by"], "cut": told["cut"]} if told["cut"] is not None else None
        return {"title": self.title, **{key: told[key] for key in FACTS}, "sources": self.sources(), "score": score}

    @property
    def title(self) -> str:
        """What was chosen, and by which methods."""
        steps = [step for step in self.tree["steps"] if "score" in step or "select" in step]
        names = " then ".join(str(step.get("score") or step.get("select")) for step in steps)
        return f"{self.facts['counts']['chosen']:,} of {self.facts['counts']['input']:,} rows by {names}"

    def sources(self) -> list[dict[str, Any]]:
        """Rows and bytes of every source, in the pool and in the choice; none where no row names a source."""
        chosen = pl.col("status") == "chosen"
        counted = (
            self.manifest.filter(pl.col("status") != "quarantined")
            .group_by("source")
            .agg(
                pl.len().alias("rows"),
                pl.col("bytes").sum(),
                chosen.sum().alias("chosen_rows"),
                pl.col("bytes").filter(chosen).sum().alias("chosen_bytes"),
            )
        )
        table = counted.sort("bytes", "source", descending=[True, False]).collect()
        return [] if table["source"].to_list() == [""] else table.rows(named=True)

    def _repr_html_(self) -> str:
        return fragment(self.summary(), self.verdict)


def _sentence(told: dict[str, Any], facts: dict[str, Any]) -> str:
    """Why a row is in or out, in words."""
    if told["status"] == "quarantined":
        return f"It could not be read: {told['reason']}."
    stands = ""
    if told["score"] is not None:
        stands = f" Its score {told['score']:.4g} ({facts['rank_by']}) is beaten by {told['better']:,} of {told['of']:,} rows."
    if told["status"] == "chosen":
        return f"Chosen, as number {told['rank']:,} of {told['chosen']:,}.{stands}"
    if told["reason"] != "budget":
        return f"Kept out by {told['reason']}.{stands}"
    spent = f"the budget of {facts['budget']['limit']:,} {facts['budget']['unit']} was spent on better ones"
    return f"Not chosen: {spent}.{stands}" + (
        f" The last one chosen has {facts['cut']:.4g}." if facts["cut"] is not None else ""
    )
