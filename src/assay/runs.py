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

from assay.errors import MissingExtra, RecipeError, RunError
from assay.io import files
from assay.recipe import Recipe, parse
from assay.types import Budget, Limit, Selection

if TYPE_CHECKING:
    import datasets


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
            raise RunError(f"{self.path} must be the folder of a finished run; it is {what}: run assay select first, or again")
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
        return pl.scan_parquet(self.path / "manifest.parquet" / "*.parquet")

    @property
    def selected(self) -> pl.DataFrame:
        """The chosen rows (row, id, shard, source, bytes, score, rank, weight), in order of choice."""
        chosen = self.manifest.filter(pl.col("status") == "chosen").sort("rank")
        return chosen.select("row", "id", "shard", "source", "bytes", "score", "rank", "weight").collect()

    def upto(self, budget: str | int) -> pl.DataFrame:
        """The first rows of `selected` that fit a smaller budget; RecipeError where the selector is not nested."""
        wanted, totals = Budget.parse(budget), self.facts["totals"]
        if wanted.unit == "tokens":
            raise RecipeError("upto takes a budget in examples or bytes; for tokens select again: assay select RUN --budget ...")
        chosen = self.selected
        cost = chosen["bytes"].to_numpy() if wanted.unit == "bytes" else np.ones(len(chosen), np.int64)
        order = Selection.ranked(np.arange(len(chosen)), np.zeros(len(chosen)), nested=self.facts["nested"])
        kept = order.upto(Limit(wanted.limit(totals[wanted.unit]), wanted.unit, cost))
        if len(kept) == len(chosen) and wanted.limit(totals[wanted.unit]) > cost.sum():
            raise RecipeError(f"upto({budget!r}) must be within the run's own budget of {self.facts['budget']['asked']}; select again for more")
        return chosen.head(len(kept))

    def why(self, row: int | str) -> dict[str, Any]:
        """What became of a row, by number or id: status, reason, score, rank, and where the cut lies."""
        by_number = pl.col("row") == int(row) if str(row).lstrip("-").isdigit() else pl.lit(False)
        found = self.manifest.filter((pl.col("id") == str(row)) | by_number).collect()
        exact = found.filter(by_number) if len(found) > 1 else found
        if not len(found):
            raise RunError(f"no row of {self.path} has the number or id {row!r}; rows go from 0 to {self.facts['counts']['input'] - 1}")
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
        """The selected rows as a Hugging Face dataset, streamed from disk."""
        try:
            import datasets
        except ImportError:
            raise MissingExtra.of("to_dataset", "datasets") from None
        folder = self.path / "selected"
        if (arrow := sorted(folder.rglob("dataset_info.json"))) and arrow[0].parent.is_dir():
            return datasets.load_from_disk(str(arrow[0].parent))
        names = sorted(str(path) for path in folder.iterdir()) if folder.exists() else []
        if not names:
            raise RunError(f"{self.path} holds no selected rows (it was written with --write none or ids); select again with --write rows")
        kind = "parquet" if names[0].endswith(".parquet") else "csv" if ".csv" in names[0] else "json"
        return datasets.load_dataset(kind, data_files=names, split="train")

    def __repr__(self) -> str:
        counts, spent = self.facts["counts"], self.facts["bytes"]
        verdict = self.verdict["answer"] if self.verdict else "not verified"
        return f"Run({str(self.path)!r}: {counts['chosen']:,} of {counts['input']:,} rows, {spent['chosen']:,} bytes, {verdict})"

    def _repr_html_(self) -> str:
        from assay.explain import facts
        from assay.report.html import fragment

        return fragment(facts(self), self.verdict)


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
    return f"Not chosen: {spent}.{stands}" + (f" The last one chosen has {facts['cut']:.4g}." if facts["cut"] is not None else "")
