"""Peak memory of `assay select` with dsir: the summed PSS of the process tree, for a pool of 200 MB and one of 4 GB.

The promise is 1 GB plus 64 bytes a row, whatever the size of the pool; the ratio is the peak over that allowance.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

from harness import ASSAY, WORK, record, run
from pools import count_lines, pool, target

SIZES = [int(float(size)) for size in os.environ.get("ASSAY_BENCH_SIZES", "2e8 4e9").split()]
OUT = WORK / "run-memory"
STORE = WORK / "store-memory"


def measure(size: int) -> dict:
    """One size: peak PSS against the allowance."""
    path = pool(size)
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)
    command = [ASSAY, "select", path, "--target", target(), "--method", "dsir", "--budget", "10%"]
    ran = run([*command, "--out", OUT, "--store", STORE, "--workers", "2"], watch=True)
    rows = count_lines(path)
    assert json.loads((OUT / "run.json").read_text())["counts"]["input"] == rows
    allowed = 10**9 + 64 * rows
    return {
        "work": f"select with dsir, {size / 1e9:.1f} GB, {rows:,} rows, 2 processes: peak memory",
        "peer": "1 GB + 64 bytes a row",
        "version": "",
        "ratio": ran.peak / allowed,
        "direction": "of the allowance",
        "bytes": {"ours": ran.peak, "theirs": allowed},
        "ours": f"{ran.peak / 1e6:.0f} MB",
        "theirs": f"{allowed / 1e6:.0f} MB",
        "wanted": "below 1",
    }


if __name__ == "__main__":
    record("memory", {"rows": [measure(size) for size in SIZES]})
    sys.exit(0)
