"""Facility location by apricot's lazy greedy: seconds of fitting, compiling left out, then the rows.

Usage: apricot_facility.py POINTS.npy K
"""

import json
import sys
import time

import numpy as np
from apricot import FacilityLocationSelection


def choose(vectors: np.ndarray, k: int) -> list[int]:
    return FacilityLocationSelection(k, "cosine", optimizer="lazy").fit(vectors).ranking.tolist()


if __name__ == "__main__":
    vectors = np.load(sys.argv[1])
    choose(vectors[:200], 5)
    started = time.perf_counter()
    rows = choose(vectors, int(sys.argv[2]))
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows}))
