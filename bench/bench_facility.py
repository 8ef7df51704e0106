"""Facility location beside apricot on the same points, on scikit-learn's digits, and alone on a million points.

    python bench/bench_facility.py                  all of it
    python bench/bench_facility.py many             only the million; what else the record holds stays (`apricot`: the rest)

Both choose from the same vectors by squared cosine in the same run, by turns, each a cold process with one thread on one
core; counted are the processor's seconds, the best of `TIMES`, compiling left out on both sides. Every choice is checked:
lazy greedy over all pairs must be worth what apricot's is (to 1e-5: apricot works in 64 bits); what looks at neighbours
only, or at a sample, is worth less, and the share is told, over all pairs, so that nobody is fast by choosing worse. On the
digits the ranks and gains must be apricot's, but for two rows of one gain. The million shows that memory stays bounded: the
vectors, 32 bytes for each neighbour of each row, and a gigabyte. ASSAY_BENCH_POINTS, _CHOSEN, _MANY, _MANY_CHOSEN and _TIMES
change the sizes.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from facility_points import WIDTH, alone, points, value
from harness import HERE, PEERS, RESULTS, WORK, record, run

POINTS = int(float(os.environ.get("ASSAY_BENCH_POINTS", "20000")))
CHOSEN = int(float(os.environ.get("ASSAY_BENCH_CHOSEN", "1000")))
MANY = int(float(os.environ.get("ASSAY_BENCH_MANY", "1e6")))
MANY_CHOSEN = int(float(os.environ.get("ASSAY_BENCH_MANY_CHOSEN", "50000")))
TIMES, NEIGHBOURS = int(os.environ.get("ASSAY_BENCH_TIMES", "2")), 64
EXACT, NEAR, DRAWN = ("lazy", 0), ("lazy", NEIGHBOURS), ("stochastic", NEIGHBOURS)
# Ours, the peer's way, and what is wanted; the peer looks for neighbours too in the last.
PAIRS = (
    (EXACT, EXACT, "at least 3"), (NEAR, EXACT, "at least 3"), (DRAWN, EXACT, "aim 10"), (DRAWN, DRAWN, "at least 3"),
)  # fmt: skip


def said(way: tuple[str, int]) -> str:
    """A way in words."""
    return f"{way[0]}, {f'{way[1]} neighbours' if way[1] else 'all pairs'}"


def against_apricot() -> list[dict[str, Any]]:
    """Seconds of each way against apricot's, with the share of its value."""
    path = points(WORK / f"facility-{POINTS}.npy", POINTS)
    theirs = [PEERS, HERE / "peers" / "apricot_facility.py"]
    sides = {"ours": [sys.executable, HERE / "facility_points.py"], "theirs": theirs}
    asked = {("ours", pair[0]) for pair in PAIRS} | {("theirs", pair[1]) for pair in PAIRS}
    best: dict[Any, dict[str, Any]] = {}
    for _ in range(TIMES):
        for side, way in sorted(asked):
            found = alone([*sides[side], path, str(CHOSEN), way[0], str(way[1])])
            best[side, way] = min(found, best.get((side, way), found), key=lambda one: one["seconds"])
    vectors = np.load(path)
    worth = {key: value(vectors, found["rows"]) for key, found in best.items()}
    top = worth["theirs", EXACT]
    for (side, way), found in best.items():
        least = 1 - 1e-5 if way == EXACT else 0.9
        assert side == "theirs" or (len(set(found["rows"])) == CHOSEN and worth[side, way] > least * top), (way, worth)
    version = run([PEERS, "-c", "import importlib.metadata as m; print(m.version('apricot-select'))"]).output.strip()
    return [{
        "work": f"facility location, {CHOSEN:,} of {POINTS:,} points, {said(ours)}, one thread",
        "peer": f"apricot, {said(theirs)}", "version": version,
        "ratio": best["theirs", theirs]["seconds"] / best["ours", ours]["seconds"], "direction": "faster",
        "ours": f"{best['ours', ours]['seconds']:.2f} s", "theirs": f"{best['theirs', theirs]['seconds']:.2f} s",
        "wanted": wanted, "share_of_value": worth["ours", ours] / worth["theirs", theirs],
        "note": f"worth {worth['ours', ours] / worth['theirs', theirs]:.5f} of apricot's choice, over all pairs; "
                f"apricot compiles {best['theirs', theirs]['compiling']:.1f} s more in every fit",
    } for ours, theirs, wanted in PAIRS]  # fmt: skip


def digits() -> dict[str, dict[str, Any]]:
    """How many of apricot's first hundred ranks on the digits are ours, and how far gains are off at most, as a share."""
    from sklearn.datasets import load_digits

    from assay.select.facility_location import FacilityLocation
    from assay.types import Limit, Signals

    path, vectors, told = WORK / "facility-digits.json", load_digits().data, {}
    run([PEERS, HERE / "peers" / "apricot_goldens.py", path])
    for name, wanted in json.loads(path.read_text("utf-8")).items():
        if isinstance(wanted, dict) and "gains" in wanted:
            signals = Signals({"embed": vectors, "row_hash": np.arange(len(vectors), dtype=np.uint64)})
            limit = Limit(len(wanted["rows"]), "examples", np.ones(len(vectors), np.int64))
            found = FacilityLocation(similarity=name).select(signals, None, limit, np.random.default_rng(0))
            off = float(np.abs(found.gains / np.array(wanted["gains"]) - 1).max())
            same = int((found.rows == wanted["rows"]).sum())
            assert set(found.rows.tolist()) == set(wanted["rows"]) and off < 1e-5, (name, same, off)
            told[name] = {"ranks": len(found), "same": same, "gains_off": off}
    return told


def many() -> list[dict[str, Any]]:
    """Seconds and peak memory of a million points with neighbours."""
    path = points(WORK / f"facility-{MANY}.npy", MANY)
    command = [sys.executable, HERE / "facility_points.py", path, str(MANY_CHOSEN), *map(str, NEAR)]
    ran = run(command, watch=True, every=1.0)
    found, allowed = json.loads(ran.output.splitlines()[-1]), MANY * (4 * WIDTH + 32 * NEIGHBOURS) + 1e9
    assert len(set(found["rows"])) == MANY_CHOSEN
    return [{
        "work": f"facility location, {MANY_CHOSEN:,} of {MANY:,} points, {said(NEAR)}: peak memory",
        "peer": "the vectors + 32 bytes a neighbour + 1 GB", "version": "", "ratio": ran.peak / allowed,
        "direction": "of the allowance", "bytes": {"ours": ran.peak, "theirs": allowed},
        "ours": f"{ran.peak / 1e9:.1f} GB", "theirs": f"{allowed / 1e9:.1f} GB", "wanted": "below 1",
        "note": f"all pairs take {4 * MANY**2 / 1e12:.1f} TB; {found['clock']:,.0f} s, of processor {found['seconds']:,.0f} s",
    }]  # fmt: skip


def main() -> None:
    """The parts that are asked for, beside those that were recorded before."""
    path, parts = RESULTS / "facility.json", ("apricot", "many")
    asked = [word for word in sys.argv[1:] if word in parts] or parts  # make gives every bench the data's folder
    facts = json.loads(path.read_text("utf-8")) if path.exists() else {"rows": [], "digits": {}}
    lonely, beside = ([row for row in facts["rows"] if ("apricot" in row["peer"]) is which] for which in (False, True))
    record("facility", {
        "digits": digits() if "apricot" in asked else facts["digits"],
        "rows": (against_apricot() if "apricot" in asked else beside) + (many() if "many" in asked else lonely),
    })  # fmt: skip


if __name__ == "__main__":
    main()
