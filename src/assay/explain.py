"""The facts of a run, gathered for people: what the report draws, computed here because the report computes nothing.

Numbers come from the manifest, which is never loaded whole; the texts of rows that are shown and the n-grams that pull a
score come from the pool, and are left out, with a note, where the pool is no longer as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from assay import catalog
from assay.account import View, reopened
from assay.contracts import Learner
from assay.errors import AssayError
from assay.general import MARK
from assay.io import reasons
from assay.run.learnt import models
from assay.runs import FACTS, Run
from assay.steps import parse_step
from assay.types import Batch, Rule

BINS, SIZES, EXAMPLES, EXCERPT, SAMPLE, FEATURES = 60, 40, 12, 600, 300, 15
THROWN, GLIMPSE, BEFORE = (
    4,
    300,
    80,
)  # examples of a reason, characters of each, and how many of them before a matched span
_SPAN, _STAYS = re.compile(r"“(.+)”", re.DOTALL), re.compile(r" of row (\d+)$")


def facts(run: Run) -> dict[str, Any]:
    """Everything `report` shows of a run, as plain JSON."""
    told = run.facts
    examples, dropped, features, notes = _from_text(run)
    return {
        "title": run.title,
        **{key: told.get(key) for key in FACTS},
        "pictures": run.pictures,
        "funnel": run.funnel,
        "dropped": dropped,
        "score": _score(run, told),
        "sources": run.sources(),
        "lengths": _lengths(run),
        "features": features,
        "borderline": examples,
        "notes": [*told["notes"], *notes],
    }


def _lines(run: Run) -> pl.LazyFrame:
    """The manifest's lines of rows that could be read."""
    return run.manifest.filter(pl.col("status") != "quarantined")


def _score(run: Run, told: dict[str, Any]) -> dict[str, Any] | None:
    score = pl.col("score")
    quantiles = [score.quantile(q, "linear").alias(f"q{q}") for q in (0.001, 0.999)]
    low, high, top = _lines(run).select(*quantiles, score.max()).collect(engine="streaming").row(0)
    if low is None:
        return None
    low, high = min(low, top), max(high, low + 1e-9)
    everything, taken = _histogram(run, (score - low) / (high - low), BINS)
    edges = np.linspace(low, high, BINS + 1).tolist()
    return {"name": told.get("rank_by"), "edges": edges, "all": everything, "chosen": taken, "cut": told.get("cut")}


def _lengths(run: Run) -> dict[str, Any] | None:
    size = pl.col("bytes")
    smallest, largest = _lines(run).select(size.min().alias("low"), size.max().alias("high")).collect().row(0)
    if smallest is None:
        return None
    low, high = max(smallest, 1), max(largest, 2)
    place = (size.clip(1) / low).log() / math.log(high / low) if high > low else size * 0.0
    everything, taken = _histogram(run, place, SIZES)
    return {"edges": np.geomspace(low, high, SIZES + 1).tolist(), "all": everything, "chosen": taken}


def _histogram(run: Run, place: pl.Expr, bins: int) -> tuple[list[int], list[int]]:
    """Counts per bin of `place`, which is 0 at the first edge and 1 at the last, over all rows and over those that came
    through; what lies outside goes to the first and the last bin."""
    told = _lines(run).select((place * bins).floor().clip(0, bins - 1).alias("bin"), pl.col("status") == run.status)
    counted = told.drop_nulls().group_by("bin", "status").len().collect(engine="streaming")
    everything, taken = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    for where, through, rows in counted.iter_rows():
        everything[int(where)] += rows
        taken[int(where)] += rows * through
    return everything.tolist(), taken.tolist()


def _from_text(run: Run) -> tuple[Any, Any, Any, list[str]]:
    """Borderline examples, what each reason threw away, and features; without texts where they cannot be read any more."""
    try:
        with reopened(run) as view:
            edge = _borderline_rows(run)
            texts = dict(zip(*view.texts(np.concatenate(list(edge.values()))), strict=True)) if edge else {}
            examples = {side: _examples(run, rows, texts) for side, rows in edge.items()} or None
            shown = view if view.pool.shards[0].holds == "text" else None
            return examples, _dropped(run, shown), _features(run, view), []
    except (AssayError, OSError) as error:
        note = f"no texts and no n-grams are shown, because the pool cannot be read any more: {error}"
        return None, _dropped(run, None), None, [note]


def _borderline_rows(run: Run) -> dict[str, np.ndarray]:
    """The rows nearest to the cut on each side, best first; none where nothing was chosen by a score."""
    scored = _lines(run).filter(pl.col("score").is_not_null()).select("row", "score", "status", "reason")
    by_score = (pl.col("status") == "chosen") & ~pl.col("reason").str.starts_with(MARK)
    inside = scored.filter(by_score).sort("score", "row").head(EXAMPLES)
    outside = scored.filter(pl.col("reason") == "budget").sort("score", "row", descending=[True, False]).head(EXAMPLES)
    near = {"in": inside.collect()["row"].to_numpy()[::-1], "out": outside.collect()["row"].to_numpy()}
    return near if any(map(len, near.values())) else {}


def _examples(run: Run, rows: np.ndarray, texts: dict[int, str]) -> list[dict[str, Any]]:
    found = reasons.lines(run.manifest, rows.tolist(), ("id", "shard", "source", "score", "rank"))
    return [{**found[row], "text": texts.get(row, "")[:EXCERPT]} for row in rows.tolist()]


def _features(run: Run, view: View) -> dict[str, Any] | None:
    """N-grams that pull chosen rows up and other rows down, from a sample of both."""
    if not any("score" in step for step in run.tree["steps"]):
        return None
    inside, outside = (_spread(run, came) for came in (True, False))
    pulls = view.contrast(inside, outside, FEATURES) if len(inside) else None
    if pulls is None:
        return None
    return {side: [{"feature": name, "weight": weight} for name, weight in found] for side, found in pulls.items()}


def _spread(run: Run, came: bool) -> Int64[np.ndarray, "j"]:
    """At most SAMPLE rows that came through, or did not, evenly spread."""
    rows = _lines(run).filter((pl.col("status") == run.status) == came).select("row")
    total = rows.select(pl.len()).collect().item()
    places = np.unique(np.linspace(0, max(total - 1, 0), min(total, SAMPLE)).astype(np.int64))
    return rows.with_row_index("place").filter(pl.col("place").is_in(places.tolist())).collect()["row"].to_numpy()


def _dropped(run: Run, view: View | None) -> list[dict[str, Any]]:
    """A few rows that every reason threw away, with their texts where the pool can be read; in the order of the funnel.

    A text is shown as the step saw it: after the edits that came before.
    """
    found = reasons.examples(run.manifest, run.tally, THROWN).rows(named=True)
    stays = {entry["row"]: int(named[1]) for entry in found if (named := _STAYS.search(entry["told"]))}
    partners = reasons.lines(run.manifest, stays.values(), ("id", "shard", "source"))
    listed = []
    for stage in run.funnel:
        lines = [entry for entry in found if entry["reason"] == stage["key"]]
        rows = np.array(
            [*(entry["row"] for entry in lines), *(stays.get(entry["row"], -1) for entry in lines)], np.int64
        )
        batch = _as_seen(run, view, stage, np.unique(rows[rows >= 0])) if len(lines) else None
        texts = dict(zip(batch.rows.tolist(), batch.text, strict=True)) if batch is not None else {}
        values = _values(run, stage, batch) if batch is not None else {}
        examples = []
        for entry in lines:
            row, partner = entry["row"], partners.get(stays.get(entry["row"], -1))
            about = {key: entry[key] for key in ("row", "id", "shard", "source", "bytes")}
            shown, other = _seen(texts.get(row, ""), entry["told"]), {}
            if partner:
                shown["text"], theirs = _beside(texts.get(row, ""), texts.get(partner["row"], ""))
                other = {"stays": {**partner, "text": theirs}}
            examples.append({**about, **shown, **values.get(row, {}), **other})
        listed += [{"reason": stage["key"], "examples": examples}] if examples else []
    return listed


def _as_seen(run: Run, view: View | None, stage: Mapping[str, Any], rows: Int64[np.ndarray, "k"]) -> Batch | None:
    """Some rows with their texts as a step of the recipe saw them; None where the pool cannot be read."""
    if view is None:
        return None
    before = [edit for edit in run.facts.get("edits") or [] if edit["step"] < stage.get("step", len(run.tree["steps"]))]
    every = view.pool.edits
    view.pool.edits = every[: len(before)]
    batch = view.pool.take(rows)
    view.pool.edits = every
    return batch


def _seen(text: str, told: str) -> dict[str, Any]:
    """The beginning of a text, or its part around the span that the reason quotes."""
    quoted = _SPAN.search(told)
    if quoted is None:
        return {"text": _glimpse(text)}
    words = r"\W+".join(map(re.escape, re.findall(r"\w+", quoted[1])))
    where = re.search(words, text, re.IGNORECASE) if words else None
    start = max(0, where.start() - BEFORE) if where else 0
    shown = where[0][:EXCERPT] if where else ""
    size = max(GLIMPSE, BEFORE + len(shown))
    return {"text": ("…" if start else "") + _glimpse(text[start:], size), "quoted": quoted[1], "span": shown}


def _beside(text: str, other: str) -> tuple[str, str]:
    """Two texts from shortly before they part, or from the start where that is in sight.

    >>> _beside("a" * 500 + "b", "a" * 500 + "c") == ("…" + "a" * 80 + "b", "…" + "a" * 80 + "c")
    True
    """
    parts = (place for place, (one, two) in enumerate(zip(text, other, strict=False)) if one != two)
    alike = next(parts, min(len(text), len(other)))
    start = max(0, alike - BEFORE) if alike > GLIMPSE - BEFORE and alike < max(len(text), len(other)) else 0
    mark = "…" if start else ""
    return mark + _glimpse(text[start:]), mark + _glimpse(other[start:])


def _glimpse(text: str, size: int = GLIMPSE) -> str:
    return text if len(text) <= size else f"{text[:size]}…"


def _values(run: Run, stage: Mapping[str, Any], batch: Batch) -> dict[int, dict[str, Any]]:
    """What the rule of a stage measured on the rows that broke it: measured again, where the text alone tells it."""
    if not stage["key"].startswith("rule: ") or "step" not in stage:
        return {}
    step, columns = parse_step(run.tree["steps"][stage["step"]]), {}
    method = catalog.build("filter", step.name, step.parameters)
    for name, parameters in method.measured:
        annotator = catalog.build("annotate", name, parameters)
        if not isinstance(annotator, Learner) and set(annotator.needs) <= set(batch.columns):
            columns |= annotator.annotate(batch, models(annotator, None))
    name = stage["key"].partition("/")[2].partition(" (")[0]
    rule = next((rule for rule in method.rules if rule.name == name), None)
    found = {row: _value(rule, columns, place) for place, row in enumerate(batch.rows.tolist())}
    return {row: value for row, value in found.items() if value}


def _value(rule: Rule | None, columns: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One row's value, if it is known and does break the rule."""
    if rule is None or not set(rule.columns[:2]) <= set(columns) or not rule.broken(columns)[place]:
        return {}
    return {
        "measured": f"{rule.column}{f' / {rule.over}' if rule.over else ''}",
        "value": float(rule.value(columns)[place]),
    }
