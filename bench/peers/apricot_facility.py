"""Facility location by apricot: the processor's seconds of fitting, then the rows.

Usage: apricot_facility.py POINTS.npy K OPTIMIZER NEIGHBOURS, `0` for all pairs. apricot compiles anew in every fit; what a fit
of a few points takes, which is that, is left out.
"""

import json
import sys
import time

import numpy as np
from apricot import FacilityLocationSelection


def choose(vectors: np.ndarray, k: int, optimizer: str, neighbours: int) -> tuple[float, list[int]]:
    kinds = {"epsilon": 0.1} if optimizer == "stochastic" else {}  # as ours: (n / k) ln(1 / 0.1) rows are asked
    model = FacilityLocationSelection(
        k, "cosine", optimizer=optimizer, optimizer_kwds=kinds, n_neighbors=neighbours or None, random_state=0
    )
    started = time.process_time()
    model.fit(vectors)
    return time.process_time() - started, model.ranking.tolist()


if __name__ == "__main__":
    path, k, optimizer, neighbours = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    vectors = np.load(path)
    compiling = min(choose(vectors[:200], 5, optimizer, neighbours)[0] for _ in range(2))
    seconds, rows = choose(vectors, k, optimizer, neighbours)
    print(json.dumps({"seconds": seconds - compiling, "rows": rows, "compiling": compiling}))
