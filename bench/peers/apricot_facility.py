"""Facility location by apricot: the processor's seconds of choosing, then the rows.

Usage: apricot_facility.py POINTS.npy K OPTIMIZER NEIGHBOURS, `0` for all pairs. apricot compiles anew in every fit; what a fit
of a few points takes, which is that, is left out. Its own `n_neighbors` fails on vectors in 0.6.1, so the neighbours are
scikit-learn's, which are counted too.
"""

import json
import sys
import time

import numpy as np
from apricot import FacilityLocationSelection
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors


def near(vectors: np.ndarray, count: int) -> csr_matrix:
    """Of each row the squared cosines of the rows that count it among their nearest."""
    lists = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(vectors)
    graph = lists.kneighbors_graph(vectors, mode="distance").T.tocsr().astype(np.float64)
    graph.data = (1 - graph.data) ** 2
    return csr_matrix((graph.data, graph.indices.astype(np.int32), graph.indptr.astype(np.int32)), graph.shape)


def choose(vectors: np.ndarray, k: int, optimizer: str, neighbours: int) -> tuple[float, list[int]]:
    kinds = {"epsilon": 0.1} if optimizer == "stochastic" else {}  # as ours: (n / k) ln(1 / 0.1) rows are asked
    metric = "precomputed" if neighbours else "cosine"
    model = FacilityLocationSelection(k, metric, optimizer=optimizer, optimizer_kwds=kinds, random_state=0)
    started = time.process_time()
    model.fit(near(vectors, neighbours) if neighbours else vectors)
    return time.process_time() - started, model.ranking.tolist()


if __name__ == "__main__":
    path, k, optimizer, neighbours = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    vectors = np.load(path)
    compiling = min(choose(vectors[:200], 5, optimizer, neighbours)[0] for _ in range(2))
    seconds, rows = choose(vectors, k, optimizer, neighbours)
    print(json.dumps({"seconds": seconds - compiling, "rows": rows, "compiling": compiling}))
