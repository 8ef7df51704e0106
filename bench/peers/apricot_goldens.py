"""Facility location by apricot on scikit-learn's digits: ranks and gains that tests/select/test_facility_location.py must find.

Usage: apricot_goldens.py tests/goldens/facility_location.json, in the peers' environment (apricot-select, scikit-learn).
"""

import json
import sys
from importlib.metadata import version

import numpy as np
from apricot import FacilityLocationSelection
from sklearn.datasets import load_digits

METRICS = {"squared_cosine": "cosine", "squared_correlation": "corr", "euclidean": "euclidean"}
K = 100


def main() -> None:
    """Lazy greedy, 100 of the 1,797 digits, under three similarities."""
    digits = load_digits().data.astype(np.float64)
    found = {}
    for ours, theirs in METRICS.items():
        model = FacilityLocationSelection(K, theirs, optimizer="lazy").fit(digits)
        found[ours] = {"rows": model.ranking.tolist(), "gains": [round(float(gain), 6) for gain in model.gains]}
    packages = {name: version(name) for name in ("apricot-select", "scikit-learn", "numpy")}
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump({"made": "bench/peers/apricot_goldens.py", "packages": packages, **found}, out)
        out.write("\n")


if __name__ == "__main__":
    main()
