"""Points for `bench_facility.py` and `bench_clusters.py`, one choice among them by Assay, and what a choice is worth.

Usage: facility_points.py POINTS.npy K OPTIMIZER NEIGHBOURS, prints the processor's and the clock's seconds, then the rows;
compiling is warmed up before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import run

WIDTH, HEAPS = 384, 300
_ONE = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)


def alone(command: list[str | Path]) -> dict[str, Any]:
    """What a command says in its last line, of JSON, when it may have one core and one thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})  # libraries that count cores, not variables, find one too
    try:
        return json.loads(run(command, variables=_ONE).output.splitlines()[-1])
    finally:
        os.sched_setaffinity(0, before)


def points(path: Path, n: int) -> Path:
    """Vectors of length one around a few hundred centres, float32, made once."""
    if not path.exists():
        rng = np.random.default_rng(0)
        centres = rng.normal(size=(HEAPS, WIDTH))
        out = np.lib.format.open_memmap(path, "w+", np.float32, (n, WIDTH))
        for start in range(0, n, 10_000):
            block = centres[rng.integers(0, HEAPS, min(10_000, n - start))] + rng.normal(
                size=(min(10_000, n - start), WIDTH)
            )
            out[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
        out.flush()
    return path


def value(vectors: np.ndarray, rows: list[int]) -> float:
    """Σ_i max_j cos(x_i, x_j)² over all points, whatever a method has looked at."""
    chosen, total = vectors[rows], 0.0
    for start in range(0, len(vectors), 4_096):
        similarity = (vectors[start : start + 4_096] @ chosen.T) ** 2
        total += float(similarity.max(axis=1).sum(dtype=np.float64))
    return total


def main() -> None:
    """Choose K of the points."""
    from assay.select.facility_location import FacilityLocation
    from assay.types import Limit, Signals

    path, k, optimizer, neighbours = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])

    def choose(vectors: np.ndarray, count: int) -> list[int]:
        method = FacilityLocation(similarity="squared_cosine", optimizer=optimizer, neighbours=neighbours)
        signals = Signals({"embed": vectors, "row_hash": np.arange(len(vectors), dtype=np.uint64)})
        limit = Limit(count, "examples", np.ones(len(vectors), np.int64))
        return method.select(signals, None, limit, np.random.default_rng(0)).rows.tolist()

    vectors = np.load(path, mmap_mode="r").view(np.ndarray)
    choose(np.array(vectors[:200]), 5)
    worked, started = time.process_time(), time.perf_counter()
    rows = choose(vectors, k)
    clock = time.perf_counter() - started
    print(json.dumps({"seconds": time.process_time() - worked, "clock": clock, "rows": rows}))


if __name__ == "__main__":
    main()
