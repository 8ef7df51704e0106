"""The facts of a run, gathered for people: what the report draws, computed here because the report computes nothing.

Numbers come from the manifest; the texts of borderline rows and the n-grams that pull a score come from the pool, and
are left out, with a note, where the pool is no longer as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from assay.account import View, reopened
from assay.errors import AssayError
from assay.runs import FACTS, Run

BINS, EXAMPLES, EXCERPT, SAMPLE, FEATURES = 60, 12, 600, 300, 15


_STAGES = {"quarantined": ("readable", "could not be read"), "budget": ("chosen", "beyond the budget")}


def facts(run: Run) -> dict[str, Any]:
    """Everything `report` shows of a run, as plain JSON."""
    told = run.facts
    rows = run.manifest.select("row", "status", "reason", "bytes", "score", "rank").collect()
    readable = rows.filter(pl.col("status") != "quarantined")
    chosen = readable.filter(pl.col("status") == "chosen")
    examples, features, notes = _from_text(run, readable)
    return {
        "title": run.title,
        **{key: told[key] for key in FACTS},
        "funnel": _funnel(rows),
        "score": _score(readable, chosen, told),
        "sources": run.sources(),
        "lengths": _lengths(readable, chosen),
        "features": features,
        "borderline": examples,
        "notes": [*told["notes"], *notes],
    }


def _funnel(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows left after each reason for leaving, from the whole input down to the choice."""
    left, sizes = len(rows), int(rows["bytes"].sum())
    stages = [{"stage": "read", "rows": left, "bytes": sizes, "reason": ""}]
    gone = rows.filter(pl.col("status") != "chosen")
    kinds = (
        pl.when(pl.col("status") == "quarantined").then(pl.lit("quarantined")).otherwise(pl.col("reason")).alias("kind")
    )
    grouped = gone.group_by(kinds).agg(pl.len(), pl.col("bytes").sum()).sort("kind").rows(named=True)
    order = {"quarantined": 0, "budget": 2}
    for group in sorted(grouped, key=lambda group: order.get(group["kind"], 1)):
        left, sizes = left - group["len"], sizes - group["bytes"]
        stage, reason = _STAGES.get(group["kind"], (group["kind"].partition(":")[0], group["kind"]))
        stages.append({"stage": stage, "rows": left, "bytes": sizes, "reason": reason})
    return stages


def _score(readable: pl.DataFrame, chosen: pl.DataFrame, told: dict[str, Any]) -> dict[str, Any] | None:
    scores = readable["score"].drop_nulls().to_numpy()
    if not len(scores):
        return None
    low, high = np.percentile(scores, [0.1, 99.9])
    low, high = min(low, scores.max()), max(high, low + 1e-9)
    edges = np.linspace(low, high, BINS + 1)
    everything, taken = (_histogram(values, edges) for values in (scores, chosen["score"].drop_nulls().to_numpy()))
    return {"name": told["rank_by"], "edges": edges.tolist(), "all": everything, "chosen": taken, "cut": told["cut"]}


def _histogram(values: np.ndarray, edges: np.ndarray) -> list[int]:
    """Counts per bin; what lies outside goes to the first and the last bin."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _lengths(readable: pl.DataFrame, chosen: pl.DataFrame) -> dict[str, Any] | None:
    sizes = readable["bytes"].to_numpy()
    if not len(sizes):
        return None
    edges = np.geomspace(max(sizes.min(), 1), max(sizes.max(), 2), 41)
    return {
        "edges": edges.tolist(),
        "all": _histogram(sizes, edges),
        "chosen": _histogram(chosen["bytes"].to_numpy(), edges),
    }


def _from_text(run: Run, readable: pl.DataFrame) -> tuple[Any, Any, list[str]]:
    """Borderline examples and features; empty, with a note, where the text cannot be read any more."""
    try:
        with reopened(run) as view:
            edge = _borderline_rows(readable)
            texts = dict(zip(*view.texts(np.concatenate(list(edge.values()))), strict=True)) if edge else {}
            examples = {side: _examples(run, rows, texts) for side, rows in edge.items()} or None
            return examples, _features(view, readable), []
    except (AssayError, OSError) as error:
        return None, None, [f"no examples and no n-grams are shown, because the pool cannot be read any more: {error}"]


def _borderline_rows(readable: pl.DataFrame) -> dict[str, np.ndarray]:
    """The rows nearest to the cut on each side, best first."""
    scored = readable.filter(pl.col("score").is_not_null())
    if not len(scored):
        return {}
    inside = scored.filter(pl.col("status") == "chosen").sort("score", "row").head(EXAMPLES)
    outside = scored.filter(pl.col("reason") == "budget").sort("score", "row", descending=[True, False]).head(EXAMPLES)
    return {"in": inside["row"].to_numpy()[::-1], "out": outside["row"].to_numpy()}


def _examples(run: Run, rows: np.ndarray, texts: dict[int, str]) -> list[dict[str, Any]]:
    found = run.manifest.filter(pl.col("row").is_in(rows.tolist())).collect().rows(named=True)
    by_row = {entry["row"]: entry for entry in found}
    keys = ("row", "id", "shard", "source", "score", "rank")
    return [{**{key: by_row[row][key] for key in keys}, "text": texts.get(row, "")[:EXCERPT]} for row in rows.tolist()]


def _features(view: View, readable: pl.DataFrame) -> dict[str, Any] | None:
    """N-grams that pull chosen rows up and other rows down, from a sample of both."""
    inside = readable["status"].to_numpy() == "chosen"
    rows = readable["row"].to_numpy()
    pulls = view.contrast(_spread(rows[inside]), _spread(rows[~inside]), FEATURES)
    if pulls is None:
        return None
    return {side: [{"feature": name, "weight": weight} for name, weight in found] for side, found in pulls.items()}


def _spread(rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "j"]:
    """At most SAMPLE rows, evenly spread."""
    return rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)]
