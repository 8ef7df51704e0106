"""Instruction-following difficulty under a small model, beside what Cherry LLM published of the same rows.

    python bench/prove_ifd.py ../shared/data                     all unbiased rows, lm-nano; writes bench/results/ifd.json
    python bench/prove_ifd.py ../shared/data --rows 300          a try
    python bench/prove_ifd.py ../shared/data --model FOLDER --experience 0      a checkpoint as it is

The published verdict is `ifd_top_5pct` of alpaca_rated: the rows that Cherry LLM's 7-billion model puts into its top
five per cent. Only rows of `random_9k` are an unbiased sample, so these alone are scored. `area` is the chance that a
published row has a larger score than another row (0.5: no relation), among rows below 1, and of all; `share` is how many
of the top rows, as many as are published, are published ones. Both variants and both readings of the response alone,
by one model, and beside them the response's length.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import numpy as np
from held import Held
from trials import load

from assay.annotate.ifd import Ifd, ratio
from assay.models.dialogue import Turn, marked
from assay.models.two_class import auc
from assay.types import Fitted, Signals


def dialogue(row: dict[str, Any]) -> str:
    """A row as marked turns, its input below its instruction."""
    prompt = "\n".join(part for part in (row["instruction"], row["input"]) if part)
    return marked([Turn("user", prompt), Turn("assistant", row["output"])])


def judged(score: np.ndarray, published: np.ndarray) -> dict[str, Any]:
    """Areas of a score, and how many of its top rows are published ones."""
    known = np.isfinite(score)
    below = known & (score < 1)
    top = np.argsort(-np.where(below, score, -np.inf), kind="stable")[: published.sum()]
    return {
        "area": round(float(auc(score[below], published[below])), 4),
        "area_of_all": round(float(auc(score[known], published[known])), 4),
        "share": round(float(published[top].mean()), 4),
        "below_one": int(below.sum()),
        "declined": int((~known).sum()),
    }


def main() -> int:
    """Learn, score, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="lm-nano")
    parser.add_argument("--experience", type=int, default=10_000)
    parser.add_argument("--rows", type=int)
    asked = parser.parse_args()
    rows = [row for row in load(asked.data / "instruct" / "alpaca_rated.jsonl.gz") if row["random_9k"]][: asked.rows]
    held, published = Held.of([dialogue(row) for row in rows]), np.array([row["ifd_top_5pct"] for row in rows])
    method = Ifd(model=asked.model, experience=asked.experience)
    fitted: Fitted = method.learn(held, None, Signals({}), None, np.random.default_rng(0))
    models: dict[str, Any] = {"fitted": fitted, "prepared": method.prepare({"fitted": fitted})}
    found = {}
    for direct in ("cherry", "superfiltering"):
        columns = replace(method, direct=direct).annotate(held.batch, models)
        conditioned, alone = (np.asarray(columns[name]) for name in ("ifd_conditioned", "ifd_direct"))
        for variant in ("loss_ratio", "perplexity_ratio"):
            found[f"{variant}, {direct}"] = judged(ratio(variant, conditioned, alone), published)
    found["length of the response"] = judged(-1 / (1 + np.array([len(row["output"]) for row in rows])), published)
    table = [
        [name, *(told[key] for key in ("area", "area_of_all", "share", "below_one"))] for name, told in found.items()
    ]
    for line in table:
        print("   " + "  ".join(str(part) for part in line))
    facts = {"model": asked.model, "experience": fitted.notes["experience_rows"], "documents": len(rows)}
    columns = ["score", "area below 1", "area of all", "share of the top", "rows below 1"]
    told = {**facts, "published": int(published.sum()), "scores": found, "table": {"columns": columns, "rows": table}}
    harness.record("ifd" if asked.rows is None else "ifd_try", told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
