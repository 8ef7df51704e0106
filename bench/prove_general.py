"""What a narrow choice costs elsewhere, and what a general share buys back: the sweep of `assay verify` on real text.

    python bench/prove_general.py ../shared/data

The pool is `text/pool_mixed.jsonl.zst` (16 sources). Each source below is the target in turn: 60 of its documents are the
target, 150 others the held-out target text; 8 documents of each other source are the held-out general text; none of them
stays in the pool, nor does any row that overlaps one. `dsir` chooses 2 % of the pool's bytes, once with each general share,
and `ngram` is trained on every choice and on five draws of random at the same bytes. Answers on the target are corrected
for the number of shares. Writes bench/results/general.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import harness
import numpy as np
from held import read

import assay

TARGETS = ("scitldr_abstracts", "medquad", "movie_reviews", "gsm8k_train")
TARGET, HELD, GENERAL = 60, 150, 8
BUDGET, UNITS = "2%bytes", "600kB"
COLUMNS = [
    "target", "general share", "bits per byte on the target", "saved against random", "answer",
    "bits per byte on general text", "saved against random", "answer",
]  # fmt: skip


def laid_out(rows: list[dict[str, Any]], wanted: str, folder: Path) -> dict[str, str]:
    """Pool, target, and held-out sets of one target as files; draws fixed by seed 0."""
    order = np.random.default_rng(0).permutation(len(rows))
    own = [row for row in order if rows[row]["source"] == wanted]
    others: dict[str, list[int]] = {}
    for row in order:
        others.setdefault(rows[row]["source"], []).append(int(row))
    general = [row for source in sorted(others) if source != wanted for row in others[source][:GENERAL]]
    parts = {"target": own[:TARGET], "held": own[TARGET : TARGET + HELD], "general": general}
    out = {int(row) for part in parts.values() for row in part}
    parts["pool"] = [row for row in range(len(rows)) if row not in out]
    for name, part in parts.items():
        lines = (json.dumps(rows[row], ensure_ascii=False) + "\n" for row in part)
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    return {name: str(folder / f"{name}.jsonl") for name in parts}


def swept(rows: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """One target's verdict with its sweep."""
    with TemporaryDirectory() as name:
        files = laid_out(rows, wanted, Path(name))
        run = assay.select(files["pool"], target=files["target"], budget=BUDGET, out=Path(name) / "run", workers=2)
        told = assay.verify(
            run, eval=files["held"], general=files["general"], sweep="general", decontaminate=True, units=UNITS, rivals=(),
            workers=2,
        )  # fmt: skip
    random = [arm for arm in told["arms"] if arm["name"] == "random"]
    means = {key: float(np.mean([arm[key] for arm in random])) for key in ("metric", "general")}
    found = {"target": wanted, "budget": told["budget"]["bytes"], "random": means, "overlap": told["overlap"]}
    print(f"{wanted}: {told['sweep_sentence']}", flush=True)
    return {**found, "sweep": told["sweep"], "sentence": told["sweep_sentence"], "seconds": told["seconds"]}


def line(target: str, entry: dict[str, Any]) -> list[str]:
    """A share's row of the table."""
    gaps = [entry[gap] for gap in ("gain", "change")]
    saved = [f"{gap['estimate']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})" for gap in gaps]
    return [
        target, f"{100 * entry['share']:g} %", f"{entry['metric']:.3f}", saved[0], entry["answer"],
        f"{entry['general']:.3f}", saved[1], entry["general_answer"],
    ]  # fmt: skip


def table(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Random's own figures, then every share's."""
    lines = []
    for one in found:
        random = one["random"]
        lines.append([one["target"], "random", f"{random['metric']:.3f}", "", "", f"{random['general']:.3f}", "", ""])
        lines += [line("", entry) for entry in one["sweep"]]
    return {"columns": COLUMNS, "rows": lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    asked = parser.parse_args()
    rows = read(asked.data / "text" / "pool_mixed.jsonl.zst")
    found = [swept(rows, wanted) for wanted in asked.targets]
    harness.record("general", {"budget": BUDGET, "units": UNITS, "targets": found, "table": table(found)})


if __name__ == "__main__":
    main()
