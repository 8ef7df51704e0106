"""Deduplication of a pool ten times larger than the memory granted: `assay clean --dedup minhash --memory 1GB` over 10 GB.

The peak of the summed PSS of the whole process tree, sampled ten times a second, against the grant and the few bytes that
every row may take besides (64, the row table among them). The pool is real text repeated with small edits (pools.py), so
nearly every row has near-duplicates: more candidates, and larger components, than any crawl has.
The size comes from ASSAY_BENCH_SIZE, the grant from ASSAY_BENCH_MEMORY, in bytes. Writes bench/results/dedup_memory.json;
exit code 1 where a peak is above what is allowed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

from harness import ASSAY, WORK, record, run
from pools import count_lines, pool

MEMORY = int(float(os.environ.get("ASSAY_BENCH_MEMORY", "1e9")))
SIZE = int(float(os.environ.get("ASSAY_BENCH_SIZE", "1e10")))
# Verifying keeps the shingles of every candidate on disk, and here nearly every row is one: 2.5 bytes for a byte of text, so it
# gets a smaller pool.
WAYS = {"exact": (SIZE, ()), "minhash, bands alone": (SIZE, ("minhash.verify=0",)), "minhash, verified": (SIZE * 2 // 5, ())}
BASE = 10**9  # what the base methods are promised, whatever the pool (docs/architecture.md, 7)
OUT, STORE = WORK / "dedup-memory", WORK / "store-dedup-memory"


def measure(way: str, size: int, settings: tuple[str, ...]) -> dict:
    """One method: peak, allowance, seconds."""
    path = pool(size)
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)
    grant = f"{MEMORY // 10**6}MB"
    command = [ASSAY, "clean", path, "--dedup", way.partition(",")[0], "--memory", grant, "--out", OUT, "--store", STORE]
    command += [word for setting in settings for word in ("--set", setting)]
    ran = run([*command, "--workers", "2"], watch=True)
    rows, counts = count_lines(path), json.loads((OUT / "run.json").read_text())["counts"]
    assert counts["input"] == rows
    allowed = max(MEMORY, BASE) + 64 * rows
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "work": f"clean: {way}, --memory {MEMORY / 1e9:g}GB, {size / 1e9:.1f} GB, {rows:,} rows: peak memory",
        "peer": "the grant + 64 bytes a row", "version": "", "ratio": ran.peak / allowed, "direction": "of the allowance",
        "bytes": {"ours": ran.peak, "theirs": allowed}, "ours": f"{ran.peak / 1e6:.0f} MB",
        "theirs": f"{allowed / 1e6:.0f} MB", "wanted": "below 1", "kept": counts["kept"],
        "note": f"{size / 1e6 / ran.seconds:.0f} MB/s while sampled",
    }  # fmt: skip


if __name__ == "__main__":
    rows = []
    for way, (size, settings) in WAYS.items():
        rows.append(measure(way, size, settings))
        record("dedup_memory", {"rows": rows})
    sys.exit(0 if all(row["ratio"] < 1 for row in rows) else 1)
