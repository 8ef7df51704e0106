"""What a manifest says in total: rows and bytes by reason, and a few rows of each, in memory that rows do not enlarge.

A reason may name the one row or item that it is about (`duplicate: minhash of row 17`); a million of those would be a
million reasons, so they are cut back to what they have in common before anything is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

_ABOUT_ONE = (
    (r"^(duplicate: .+?) of row \d+$", "${1}"),
    (r"(?s)^(contaminated: .+?) item .*$", "${1}"),
    (r"(?s)^(contaminated): item .*$", "${1}"),
    (r"(?s)^(contaminated: [^“]+?)(?: [^ “]+)?: “.*$", "${1}"),
    (r"(?s)^(rule: listed word) .*$", "${1}"),
)
_STAYED = ("chosen", "kept")
_SCATTER, _SPAN = 2_654_435_761, 2**32  # Knuth's multiplier spreads consecutive rows evenly (TAOCP 3, 6.4)
_DRAWN = 64  # rows of a reason that a sample reaches for; far more than are shown, so that none is left without


def shared() -> pl.Expr:
    """A line's reason without the one row or item that it names; what could not be read has one reason together.

    >>> told = ["duplicate: minhash of row 17", "contaminated: gsm8k.jsonl item 3: “two and two”", "budget"]
    >>> pl.DataFrame({"status": "not_chosen", "reason": told}).select(shared())["reason"].to_list()
    ['duplicate: minhash', 'contaminated: gsm8k.jsonl', 'budget']
    """
    told = pl.col("reason")
    for pattern, kept in _ABOUT_ONE:
        told = told.str.replace(pattern, kept)
    return pl.when(pl.col("status") == "quarantined").then(pl.lit("quarantined")).otherwise(told).alias("reason")


def tally(manifest: pl.LazyFrame) -> pl.DataFrame:
    """Lines and bytes of every (status, shared reason), sorted: `status, reason, rows, bytes`."""
    told = manifest.select("status", shared(), "bytes")
    counted = told.group_by("status", "reason").agg(pl.len().alias("rows"), pl.col("bytes").sum())
    return counted.sort("status", "reason").collect(engine="streaming")


def examples(manifest: pl.LazyFrame, counts: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` lines of every reason of `counts` for which rows left, scattered over the pool, in row order.

    Columns: `row, id, shard, source, bytes, reason, told`, where `told` is the reason in full.
    """
    wanted = counts.filter(~pl.col("status").is_in([*_STAYED, "quarantined"])).select(
        "reason", (_SPAN * pl.min_horizontal(1.0, _DRAWN / pl.col("rows"))).alias("limit")
    )
    place = pl.col("row") * _SCATTER % _SPAN
    lines = manifest.filter(~pl.col("status").is_in([*_STAYED, "quarantined"]))
    lines = lines.select("row", "id", "shard", "source", "bytes", pl.col("reason").alias("told"), shared())
    drawn = lines.join(wanted.lazy(), on="reason").filter(place < pl.col("limit"))
    found = drawn.drop("limit").collect(engine="streaming").sort(place, "row")
    return found.group_by("reason", maintain_order=True).head(most).sort("reason", "row")


def lines(manifest: pl.LazyFrame, rows: Iterable[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Some columns of some rows' lines, by row."""
    wanted = manifest.filter(pl.col("row").is_in(list(rows))).select("row", *columns)
    return {entry["row"]: entry for entry in wanted.collect(engine="streaming").rows(named=True)}
