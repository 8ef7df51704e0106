"""A finished run, to look at and to go on from: the folder that `select` wrote, as one object.

```python
run = assay.select("pool.jsonl", target="target.jsonl", budget="10%", out="run/")
run.selected          # the chosen rows, in order of choice
run.upto("5%")        # a smaller budget, from stored scores
run.why(17)           # why row 17 is in or out
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import polars as pl
from jaxtyping import Int64

from assay.errors import MissingExtra, RecipeError, RunError
from assay.general import MARK, parse_share
from assay.io import files, mirror, reasons
from assay.io.fields import Fields
from assay.io.frames import load_dataset
from assay.io.ledger import scan_manifest
from assay.io.sources import Shard
from assay.io.writer import output_name
from assay.recipe import Recipe, parse
from assay.report.html import fragment
from assay.types import Budget, Limit, Selection

if TYPE_CHECKING:
    import datasets

    from assay.models.torch_dataset import TorchRows

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
    "status",
    "filters",
    "duplicates",
    "edits",
    "fits",
    "lacks",
    "about",
)


@final
@dataclass(frozen=True)
class Run:
    """A run folder on disk or at a URL; everything is read from it when it is asked for."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", mirror.folder(self.path))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says; raises RunError where the run is not finished."""
        path = self.path / "run.json"
        if not mirror.present(path):
            what = "a run that has not finished" if mirror.present(self.path / "recipe.json") else "no run folder"
            raise RunError(
                f"{files.address(self.path)} must be the folder of a finished run; it is {what}: run assay select first, or again"
            )
        return files.read_json(str(path))

    @property
    def store(self) -> Path:
        """Where the signals lie that it was made from."""
        place = self.facts["store"]
        return mirror.folder(place) if files.is_url(place) else self.path / place

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
        return scan_manifest(mirror.fetched_folder(self.path / "manifest.parquet"))

    @property
    def selected(self) -> pl.DataFrame:
        """The rows that stay (row, id, shard, source, bytes, score, rank, weight): chosen ones in order of choice, kept ones
        in row order."""
        chosen = self.manifest.filter(pl.col("status") == self.facts["status"]).sort("rank", "row")
        return chosen.select("row", "id", "shard", "source", "bytes", "score", "rank", "weight").collect()

    def upto(self, budget: str | int) -> pl.DataFrame:
        """The first rows of `selected` that fit a smaller budget; RecipeError where the selector is not nested."""
        wanted, totals = Budget.parse(budget), self.facts["totals"]
        if self.facts["budget"] is None:
            raise RecipeError(f"{self.path} kept what was clean, without an order; choose from it with assay select")
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
        cut, chosen = self.facts.get("cut"), self.facts["counts"].get(self.status, 0)
        better = None
        if entry["score"] is not None:
            better = self.manifest.filter(pl.col("score") > entry["score"]).select(pl.len()).collect().item()
        told = {**entry, "cut": cut, "better": better, "chosen": chosen, "of": self.facts["counts"]["input"]}
        about = _about(self, entry)
        return {**told, **about, "sentence": _sentence({**told, **about}, self.facts)}

    @property
    def verdict(self) -> dict[str, Any] | None:
        """The latest verdict, or None before any `verify`."""
        path = self.path / "verdict.json"
        return files.read_json(str(path)) if mirror.present(path) else None

    @property
    def cleaned(self) -> Int64[np.ndarray, "k"]:
        """Rows in row order that no step dropped: those that stay, and those that only the selection left out."""
        steps, rules = self.tree["steps"], {rule["reason"]: rule for rule in self.facts.get("filters") or []}
        told = self.tally.filter(pl.col("status") == "not_chosen")["reason"].to_list()
        dropped = [reason for reason in told if _order(reason, steps, rules)[0] == _BY_STEPS]
        alive = (pl.col("status") != "quarantined") & (
            (pl.col("status") == self.status) | ~reasons.shared().is_in(dropped)
        )
        return np.sort(self.manifest.filter(alive).select("row").collect(engine="streaming")["row"].to_numpy())

    def to_dataset(self) -> datasets.Dataset:
        """The selected rows as a Hugging Face dataset, streamed from disk; raises MissingExtra without that library."""
        return load_dataset(mirror.fetched_folder(self.path / "selected"))

    def to_torch(
        self,
        tokenizer: str | Path | Callable[[str], Sequence[int]] | None = None,
        columns: Sequence[str] | None = None,
        *,
        seed: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> TorchRows:
        """The selected rows as a torch `IterableDataset`, streamed from disk, every row once over all ranks and workers.

        Without a tokenizer (a tokenizer.json, or a function from text to ids) items are rows as dicts, of which `columns` may be
        picked; with one `{"input_ids": tensor}` and these columns. `seed` shuffles, anew for each `set_epoch`. MissingExtra
        without torch, RunError where no rows were written.
        """
        if self.recipe.write.rows != "rows":
            raise RunError(f"{self.path} must hold selected rows and holds none; select again with --write rows")
        folder = Path(mirror.fetched_folder(self.path / "selected"))
        return torch_rows(folder, self.text_fields, tokenizer, columns, seed, rank, world)

    @property
    def text_fields(self) -> tuple[tuple[str, Fields], ...]:
        """Where the texts of selected files are, by the ends of their paths; last, "" for all others."""
        write = self.recipe.write
        form = (
            None if write.format == "same" else write.format,
            None if write.compression == "same" else write.compression,
        )
        named = []
        for index, told in self.facts["other_fields"].items():
            shard = self.facts["shards"][int(index)]
            name = output_name(Shard(**{**shard, "files": tuple(shard["files"])}), *form)
            named.append((f"selected/{name}", _fields(told)))
        return (*named, ("", _fields(self.facts["fields"])))

    def __repr__(self) -> str:
        counts, spent = self.facts["counts"], self.facts["bytes"]
        verdict = self.verdict["answer"] if self.verdict else "not verified"
        stays = self.facts["status"]
        return (
            f"Run({files.address(self.path)!r}: {counts[stays]:,} of {counts['input']:,} rows, {spent[stays]:,} bytes, {verdict})"
        )

    def summary(self) -> dict[str, Any]:
        """What a run shows when it ends: from its account and its manifest, without a look at any text."""
        told = self.facts
        score = {"name": told["rank_by"], "cut": told["cut"]} if told.get("cut") is not None else None
        given = {key: told.get(key) for key in FACTS}
        shown = {"pictures": self.pictures, "funnel": self.funnel, "sources": self.sources(), "score": score}
        return {"title": self.title, **given, **shown}

    @property
    def pictures(self) -> bool:
        """Whether its rows are labelled pictures, which no judge of `verify` learns from."""
        return any(shard.get("holds") == "pictures" for shard in self.facts.get("shards", ()))

    @property
    def cost(self) -> dict[str, float]:
        """`seconds` of selecting and `bytes_read`; what earlier runs spent on results found in the store counts as well, so that
        a choice does not look cheap because another was made before."""
        stages = self.facts["stages"]
        earlier = sum(one.get("earlier_seconds", 0) for one in stages)
        read = sum(one["bytes"] for one in stages)
        return {"seconds": round(self.facts["seconds"] + earlier, 3), "bytes_read": read}

    @property
    def status(self) -> str:
        """What the manifest calls a row that came through: `chosen`, or `kept` where nothing was selected."""
        return self.facts.get("status") or "chosen"

    @property
    def title(self) -> str:
        """What came through, and by which methods it was chosen."""
        steps = [step for step in self.tree["steps"] if "score" in step or "select" in step]
        names = " then ".join(str(step.get("score") or step.get("select")) for step in steps)
        counts = self.facts["counts"]
        rows = f"{counts.get(self.status, 0):,} of {counts['input']:,} rows"
        return f"{rows} kept" if self.status == "kept" else f"{rows} by {names}"

    @cached_property
    def funnel(self) -> list[dict[str, Any]]:
        """Rows and bytes left after each reason for leaving, in the order in which rows left, from the whole input on.

        Each stage has `stage, reason, key, rows, bytes` (`key` is the reason as the manifest has it), `out` (rows that left
        there), `example` (one of these, `row` and `id`), and `step` where a step of the recipe took them; a rule's has
        `said`, `paper` and `broken` (rows that broke it, those that an earlier rule took among them).
        """
        stages = _funnel(self.tally, self.facts, self.tree["steps"])
        seen = reasons.examples(self.manifest, self.tally, 1).select("reason", "row", "id").rows(named=True)
        examples = {entry.pop("reason"): entry for entry in seen}
        return [{**stage, "example": examples.get(stage["key"])} for stage in stages]

    @cached_property
    def tally(self) -> pl.DataFrame:
        """Rows and bytes by status and reason, where reasons leave out the one row or item that they name."""
        return reasons.tally(self.manifest)

    def sources(self) -> list[dict[str, Any]]:
        """Rows and bytes of every source, in the pool and in the choice; none where no row names a source."""
        chosen = pl.col("status") == self.status
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


def _fields(told: dict[str, Any]) -> Fields:
    return Fields(**{**told, "extra": tuple(told["extra"])})


def torch_rows(
    path: Path,
    fields: Sequence[tuple[str, Fields]],
    tokenizer: str | Path | Callable[[str], Sequence[int]] | None = None,
    columns: Sequence[str] | None = None,
    seed: int | None = None,
    rank: int = 0,
    world: int = 1,
) -> TorchRows:
    """A stream of the rows of a file or folder; see `Run.to_torch`."""
    try:
        from assay.models.torch_dataset import TorchRows
    except ImportError:
        raise MissingExtra.of("a torch dataset", "models") from None
    return TorchRows((str(path),), fields, tokenizer, columns, seed, rank, world)


def arm(run: Run, wanted: str) -> tuple[str, Int64[np.ndarray, "k"]]:
    """An arm to compare a run's choice with, by what a user calls it: its name in a verdict, and its rows in row order.

    `cleaned` is the pool after the run's own cleaning, without selection; anything else is the folder of another run on the
    same pool (chosen, or only cleaned). Raises RunError where the pool or the texts are others.
    """
    if wanted == "cleaned":
        return wanted, run.cleaned
    other = Run(mirror.folder(wanted))
    if other.facts["fingerprint"] != run.facts["fingerprint"]:
        raise RunError(
            f"{files.address(other.path)} must be a run on the same pool as {files.address(run.path)}; its pool has other content"
        )
    if _edits(other) != _edits(run):
        raise RunError(
            f"{other.path} must edit texts as {run.path} does, or the two would differ in more than their rows; compare "
            "runs with the same edits"
        )
    return f"run {other.path.resolve().name}", np.sort(other.selected["row"].to_numpy())


def lines_of(run: Run, rows: Int64[np.ndarray, "k"]) -> pl.DataFrame:
    """`row, id, shard` of some rows (sorted, distinct), in row order."""
    wanted = pl.LazyFrame({"row": rows})
    return (
        run.manifest.select("row", "id", "shard")
        .join(wanted, on="row", how="semi")
        .collect(engine="streaming")
        .sort("row")
    )


def _edits(run: Run) -> list[str]:
    return [edit["key"] for edit in run.facts.get("edits") or ()]


def _funnel(counts: pl.DataFrame, facts: dict[str, Any], steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stages of `Run.funnel`, out of rows and bytes by reason."""
    left, sizes = int(counts["rows"].sum()), int(counts["bytes"].sum())
    stages = [{"stage": "read", "reason": "", "key": "", "rows": left, "bytes": sizes, "out": 0}]
    rules = {rule["reason"]: rule for rule in facts.get("filters") or []}
    gone = counts.filter(pl.col("status") != (facts.get("status") or "chosen")).drop("status")
    rows = gone.group_by("reason").sum().rows(named=True)
    for entry in sorted(rows, key=lambda entry: _order(entry["reason"], steps, rules)):
        left, sizes, reason = left - entry["rows"], sizes - entry["bytes"], entry["reason"]
        named = _STAGES.get(reason, {"stage": reason.partition(":")[0], "reason": reason})
        kind, step, *_ = _order(reason, steps, rules)
        known = {key: value for key, value in rules.get(reason, {}).items() if key in ("said", "paper", "broken")}
        known |= {"step": step} if kind == _BY_STEPS else {}
        stages.append({**named, "key": reason, "rows": left, "bytes": sizes, "out": entry["rows"], **known})
    return stages


_STAGES = {
    "quarantined": {"stage": "readable", "reason": "could not be read"},
    "budget": {"stage": "chosen", "reason": "beyond the budget"},
}
_FIRST, _BY_STEPS, _BY_SELECTOR, _LAST = range(4)


def _order(reason: str, steps: list[dict[str, Any]], rules: dict[str, Any]) -> tuple[int, int, int, str]:
    """Where a reason stands in the order of the steps: what cannot be read first, what the selection left out last."""
    if reason in rules:
        return _BY_STEPS, rules[reason]["step"], list(rules).index(reason), reason
    kind, _, rest = reason.partition(": ")
    for number, step in enumerate(steps):
        gave = {
            "where": step.get("where") == rest,
            "duplicate": "group" in step and step.get("as", step["group"]) == rest,
            "contaminated": step.get("filter") == "decontaminate",
            "rule": rest == "listed word" and step.get("filter") == "word_list",
            "edited": "edit" in step and rest.startswith(f"{step['edit']} "),
        }
        if gave.get(kind):
            return _BY_STEPS, number, 0, reason
    return {"quarantined": _FIRST, "budget": _LAST}.get(reason, _BY_SELECTOR), 0, 0, reason


_NAMED = re.compile(r"duplicate: (?P<group>.+) of row (?P<stays>\d+)")


def _about(run: Run, entry: dict[str, Any]) -> dict[str, Any]:
    """What else is known of a row's fate: the row that stays in place of a copy."""
    named = _NAMED.fullmatch(entry["reason"] or "")
    if named is None:
        return {}
    stays = int(named["stays"])
    told = reasons.lines(run.manifest, [stays], ("id", "status", "reason")).get(stays, {})
    return {"stays": {"row": stays, "group": named["group"], **told}}


def _sentence(told: dict[str, Any], facts: dict[str, Any]) -> str:
    """Why a row is in or out, in words."""
    if told["status"] == "quarantined":
        return f"It could not be read: {told['reason']}."
    stands = ""
    if told["score"] is not None:
        stands = f" Its score {told['score']:.4g} ({facts['rank_by']}) is beaten by {told['better']:,} of {told['of']:,} rows."
    drawn, changes = (
        told["status"] == "chosen" and told["reason"].startswith(MARK),
        told["reason"].partition("edited: ")[2],
    )
    edited = f" Its text was changed by {changes}." if changes else ""
    if told["status"] == "kept":
        return f"Kept.{edited}{stands}"
    if told["status"] == "chosen":
        part = f"part of the {parse_share(facts['recipe']['steps'][-1]['general'])} kept general, " if drawn else ""
        return f"Chosen, as {part}number {told['rank']:,} of {told['chosen']:,}.{edited}{stands}"
    if told["reason"] != "budget":
        return f"{_dropped(told, facts)}{stands}"
    share = facts["recipe"]["steps"][-1].get("general")
    others = f" and on the {parse_share(share)} kept general" if share and parse_share(share).parts else ""
    spent = f"the budget of {facts['budget']['limit']:,} {facts['budget']['unit']} was spent on better ones{others}"
    return f"Not chosen: {spent}.{stands}" + (
        f" The last one chosen has {facts['cut']:.4g}." if facts["cut"] is not None else ""
    )


def _dropped(told: dict[str, Any], facts: dict[str, Any]) -> str:
    """Which step dropped a row, and for what."""
    reason = told["reason"]
    kind, _, rest = reason.partition(": ")
    rule = next((rule for rule in facts.get("filters") or [] if rule["reason"] == reason), None)
    if stays := told.get("stays"):
        return f"Dropped as a duplicate: {_copied(stays, facts)}."
    if rule is not None:
        return f"Dropped by the rule {rule['filter']}/{rule['rule']}: {rule['said']}."
    if kind == "contaminated":
        return f"Dropped as contaminated: it holds {rest}."
    if kind == "where":
        return f"Dropped, because this does not hold of it: {rest}."
    if kind == "edited":
        return f"Dropped, because {rest}."
    return f"Kept out by {reason}."


_ALIKE = {"exact": "has the same text", "minhash": "has nearly the same text"}


def _copied(stays: dict[str, Any], facts: dict[str, Any]) -> str:
    """What the row that was preferred has in common with one that was dropped for it, and whether it is in the output."""
    steps = [step for step in facts["recipe"]["steps"] if "group" in step]
    step = next((step for step in steps if step.get("as", step["group"]) == stays["group"]), {"group": stays["group"]})
    row, alike = f"row {stays['row']:,}", _ALIKE.get(step["group"], "is of its group")
    late = f"left later ({stays.get('reason') or 'for another reason'})"
    is_in = stays.get("status") in ("kept", "chosen")
    if step.get("at_most") is None:
        return f"{row} {alike} and {'stays' if is_in else f'was preferred; it {late}'}"
    parts = step["group"] if step["group"] in ("lines", "paragraphs") else "text"
    shared = f"more than {step['at_most']:.0%} of its {parts} stands in other rows, most of that in {row}"
    return f"{shared}, which {'stays' if is_in else late}"
