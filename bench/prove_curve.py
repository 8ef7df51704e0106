"""Which reading of random's curve tells a budget that it has not seen: the monotone cubic, or the power law with offset?

    python bench/prove_curve.py examples/data                            writes bench/results/curve.json
    python bench/prove_curve.py examples/data --verdict run/verdict.json a verdict's curve beside (of any proxy)
    python bench/prove_curve.py examples/data --golden tests/goldens/random_curves.json

Every inner budget of a curve is left out in turn and predicted from the others (`power_law.left_out`). The n-gram curves are
three draws of the example pool at eight budgets, measured on its held-out abstracts and on every 40th row of the pool,
which then leaves it. `late` are the misses at the two largest inner budgets, where multipliers are read.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from trials import Held, NGramJudge, Trial, frame_of, load, plan, trained, write

from assay.types import Texts
from assay.verify.intervals import metric
from assay.verify.power_law import left_out

SEEDS, SMALLEST = 3, 64_000


def ngram_curves(data: Path) -> list[dict[str, Any]]:
    """Mean losses of random's draws by budget, (p, m), on two eval sets."""
    rows = [row["text"] for row in load(data / "pool.jsonl.zst") if row["text"]]
    mixed, pool = rows[20::40], [text for place, text in enumerate(rows) if place % 40 != 20]
    asked = [json.loads(line)["text"] for line in (data / "heldout.jsonl").read_text("utf-8").splitlines()]
    held = [Held.of("ngram, abstracts", Texts.of(asked)), Held.of("ngram, mixed", Texts.of(mixed))]
    texts = Texts.of(pool)
    frame = frame_of(texts)
    trial = Trial(seeds=SEEDS, units=8 * SMALLEST, curve=128 * SMALLEST)
    laid = plan({"choice": frame.rows[: len(frame.rows) // 2]}, frame, trial)
    results = trained(laid, texts, held, NGramJudge())
    return [_curve(one, which, results, laid.budgets) for which, one in enumerate(held)]


def _curve(held: Held, which: int, results: list[Any], budgets: np.ndarray) -> dict[str, Any]:
    found = {
        (one.budget, one.seed): float(metric(one.bits[which], held.documents.sizes))
        for one in results
        if one.name == "random"
    }
    sizes = [int(size) for size in budgets if (int(size), 0) in found]
    losses = [[round(found[size, seed], 6) for seed in range(SEEDS)] for size in sizes]
    return {"name": held.path, "budgets": sizes, "losses": losses}


def of_verdict(path: Path) -> dict[str, Any]:
    """The curve of a verdict file."""
    told = json.loads(path.read_text("utf-8"))
    sizes = sorted({point["bytes"] for point in told["curve"]})
    losses = [[point["metric"] for point in told["curve"] if point["bytes"] == size] for size in sizes]
    return {"name": f"{told['judge']['name']}, {told['eval']['path']}", "budgets": sizes, "losses": losses}


def judged(curve: dict[str, Any]) -> dict[str, Any]:
    """The misses of either reading on one curve, and their mean sizes."""
    means = np.array([np.mean(row) for row in curve["losses"]])
    misses = left_out(np.array(curve["budgets"]), means)
    sizes = {name: np.abs(found) for name, found in misses.items()}
    return {
        "name": curve["name"],
        "budgets": curve["budgets"],
        "losses": [round(float(one), 6) for one in means],
        "misses": {name: [round(one, 6) for one in found] for name, found in misses.items()},
        "mean": {name: round(float(found.mean()), 6) for name, found in sizes.items()},
        "late": {name: round(float(found[-2:].mean()), 6) for name, found in sizes.items()},
    }


def main() -> int:
    """Make or read curves, judge both readings, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--verdict", type=Path, action="append", default=[])
    parser.add_argument("--golden", type=Path, help="write the n-gram curves themselves here, for the tests")
    asked = parser.parse_args()
    curves = ngram_curves(asked.data)
    if asked.golden:
        made = "python bench/prove_curve.py examples/data --golden tests/goldens/random_curves.json"
        asked.golden.write_text(json.dumps({"command": made, "curves": curves}, indent=1) + "\n", "utf-8")
    found = [judged(curve) for curve in [*curves, *map(of_verdict, asked.verdict)]]
    for one in found:
        print(f"{one['name']}: mean miss {one['mean']}, at the two largest inner budgets {one['late']}")
    write("curve", {"seeds": SEEDS, "curves": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
