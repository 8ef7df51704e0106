"""Totals and samples of a manifest by reason, against a plain count in Python."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import polars as pl
import pytest

from assay.io import reasons


def lines(n: int) -> pl.DataFrame:
    """A manifest of all kinds of reasons; most of them name another row or item each."""
    rng = np.random.default_rng(5)
    told = {
        "a": lambda row: ("not_chosen", f"duplicate: minhash of row {row // 2}"),
        "b": lambda row: ("not_chosen", f"contaminated: my eval.jsonl item {row}: “two\nlines of row 3”"),
        "c": lambda row: ("not_chosen", "rule: c4/lines (lines of row 5 must be at least 3)"),
        "d": lambda row: ("kept", "edited: c4_lines" if row % 2 else ""),
        "e": lambda row: ("quarantined", f"not JSON: byte {row}"),
        "f": lambda row: ("not_chosen", "budget"),
    }
    drawn = [
        told[kind](row) for row, kind in enumerate(rng.choice(list("abcdef"), n, p=[0.2, 0.2, 0.01, 0.3, 0.09, 0.2]))
    ]
    return pl.DataFrame(
        {
            "row": range(n), "id": [f"id-{row}" for row in range(n)], "shard": "s", "source": "web",
            "bytes": rng.integers(0, 900, n), "status": [status for status, _ in drawn], "reason": [why for _, why in drawn],
        }
    )  # fmt: skip


def plainly(status: str, reason: str) -> str:
    if status == "quarantined":
        return "quarantined"
    return re.sub(r"(?s)^(contaminated: .+?) item .*$", r"\1", re.sub(r"^(duplicate: .+) of row \d+$", r"\1", reason))


def test_a_tally_counts_what_a_loop_counts() -> None:
    table = lines(5_000)
    rows, sizes = Counter(), Counter()
    for line in table.iter_rows(named=True):
        key = (line["status"], plainly(line["status"], line["reason"]))
        rows[key] += 1
        sizes[key] += line["bytes"]
    found = reasons.tally(table.lazy())
    assert {(entry[0], entry[1]): entry[2:] for entry in found.iter_rows()} == {
        key: (rows[key], sizes[key]) for key in rows
    }
    assert len(found) == 7


def test_examples_are_some_of_every_reason_that_made_rows_leave() -> None:
    table = lines(20_000)
    counts = reasons.tally(table.lazy())
    found = reasons.examples(table.lazy(), counts, 4)
    given = dict(found.group_by("reason").len().iter_rows())
    left = {
        "budget",
        "duplicate: minhash",
        "contaminated: my eval.jsonl",
        "rule: c4/lines (lines of row 5 must be at least 3)",
    }
    assert given == dict.fromkeys(left, 4)
    by_row = {line["row"]: line for line in table.iter_rows(named=True)}
    for line in found.iter_rows(named=True):
        true = by_row[line["row"]]
        assert (line["told"], line["id"]) == (true["reason"], true["id"])
        assert line["reason"] == plainly(true["status"], true["reason"])
    assert np.ptp(found.filter(pl.col("reason") == "budget")["row"].to_numpy()) > 2_000, "scattered, not the first ones"
    again = reasons.examples(table.sample(fraction=1, shuffle=True, seed=1).lazy(), counts, 4)
    assert again.equals(found), "the same whatever the order of the lines"


@pytest.mark.parametrize(
    ("told", "together"),
    [
        ("contaminated: item 12: “two: and “two””", "contaminated"),
        ("contaminated: gsm8k.jsonl gsm8k-12: “two”", "contaminated: gsm8k.jsonl"),
        ("contaminated: gsm8k.jsonl", "contaminated: gsm8k.jsonl"),
        ("rule: listed word 'a b'", "rule: listed word"),
        ("duplicate: minhash of row 17", "duplicate: minhash"),
        ("duplicate: minhash of row x", "duplicate: minhash of row x"),
        ("where: reason = 'duplicate: a of row 3'", "where: reason = 'duplicate: a of row 3'"),
        ("", ""),
    ],
)
def test_what_a_reason_says_of_one_row_is_left_out(told: str, together: str) -> None:
    table = pl.DataFrame({"status": ["not_chosen"], "reason": [told]})
    assert table.select(reasons.shared())["reason"].to_list() == [together]


def test_lines_of_some_rows() -> None:
    table = lines(100).lazy()
    assert reasons.lines(table, [7, 3], ("id",)) == {3: {"row": 3, "id": "id-3"}, 7: {"row": 7, "id": "id-7"}}
    assert reasons.lines(table, [], ("id",)) == {}
