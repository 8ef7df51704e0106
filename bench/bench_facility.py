"""Facility location beside apricot's lazy greedy on the same points, and alone on a million of them.

    python bench/bench_facility.py

Both choose from the same vectors by squared cosine in the same run, one after the other: seconds inside the process,
compiling left out on both sides. Lazy greedy must be worth what apricot's is (to 1e-5: apricot works in 64 bits); stochastic
greedy over neighbours is worth less, and the share is told, over all pairs, so that nobody is fast by choosing worse. The
million shows that memory stays bounded. ASSAY_BENCH_POINTS, _CHOSEN, _MANY and _MANY_CHOSEN change the sizes; _MANY=0 leaves
the million out.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from facility_points import points, value
from harness import HERE, PEERS, WORK, record, run

POINTS = int(float(os.environ.get("ASSAY_BENCH_POINTS", "20000")))
CHOSEN = int(float(os.environ.get("ASSAY_BENCH_CHOSEN", "1000")))
MANY = int(float(os.environ.get("ASSAY_BENCH_MANY", "1e6")))
MANY_CHOSEN = int(float(os.environ.get("ASSAY_BENCH_MANY_CHOSEN", "50000")))
TIMES, NEIGHBOURS = 2, 64
WAYS = {
    "lazy, all pairs": ("lazy", 0),
    "lazy, neighbours": ("lazy", NEIGHBOURS),
    "stochastic, neighbours": ("stochastic", NEIGHBOURS),
}


def best(command: list) -> dict:
    """The faster of some runs."""
    return min(
        (json.loads(run(command).output.splitlines()[-1]) for _ in range(TIMES)), key=lambda found: found["seconds"]
    )


def against_apricot() -> list[dict]:
    """Seconds of each way against apricot's, with the share of its value."""
    path = points(WORK / f"facility-{POINTS}.npy", POINTS)
    vectors, version = np.load(path), "import importlib.metadata as m; print(m.version('apricot-select'))"
    theirs = best([PEERS, HERE / "peers" / "apricot_facility.py", path, CHOSEN])
    worth, rows = value(vectors, theirs["rows"]), []
    for way, (optimizer, neighbours) in WAYS.items():
        ours = best([sys.executable, HERE / "facility_points.py", path, CHOSEN, optimizer, neighbours])
        share = value(vectors, ours["rows"]) / worth
        assert len(set(ours["rows"])) == CHOSEN and share > (1 - 1e-5 if way == "lazy, all pairs" else 0.9), (
            way,
            share,
        )
        rows.append({
            "work": f"facility location, {CHOSEN:,} of {POINTS:,} points, {way}", "peer": "apricot, lazy",
            "version": run([PEERS, "-c", version]).output.strip(),
            "ratio": theirs["seconds"] / ours["seconds"], "direction": "faster",
            "ours": f"{ours['seconds']:.2f} s", "theirs": f"{theirs['seconds']:.2f} s", "share_of_value": share,
            "wanted": "at least 3" if optimizer == "lazy" else "aim 10",
            "note": f"worth {share:.5f} of apricot's choice, over all pairs",
        })  # fmt: skip
    return rows


def many() -> list[dict]:
    """Seconds and peak memory of a million points with neighbours."""
    path = points(WORK / f"facility-{MANY}.npy", MANY)
    command = [sys.executable, HERE / "facility_points.py", path, MANY_CHOSEN, "lazy", NEIGHBOURS]
    ran = run(command, watch=True, every=1.0)
    seconds, pairs = json.loads(ran.output.splitlines()[-1])["seconds"], 4 * MANY**2
    return [{
        "work": f"facility location, {MANY_CHOSEN:,} of {MANY:,} points, {NEIGHBOURS} neighbours each: peak memory",
        "peer": "all pairs", "version": "", "ratio": ran.peak / pairs, "direction": "of what all pairs take",
        "bytes": {"ours": ran.peak, "theirs": pairs},
        "ours": f"{ran.peak / 1e9:.1f} GB", "theirs": f"{pairs / 1e12:.1f} TB", "seconds": seconds, "wanted": "bounded",
    }]  # fmt: skip


if __name__ == "__main__":
    record("facility", {"rows": against_apricot() + (many() if MANY else [])})
