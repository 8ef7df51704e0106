"""The peer: data-selection 1.0.3 from PyPI, run as its README says, in its own environment and in cold processes.

Its filter of 100 tokens is off, so that both sides choose a tenth of the same rows; it scores every row either way.

    python reference_dsir.py POOL TARGET OUT K PROCESSES
"""

import shutil
import sys
from pathlib import Path

from data_selection import HashedNgramDSIR

if __name__ == "__main__":
    pool, target, out, chosen, processes = sys.argv[1:]
    for folder in (out, out + "-cache"):
        shutil.rmtree(folder, ignore_errors=True)
    dsir = HashedNgramDSIR([pool], [target], cache_dir=out + "-cache", num_proc=int(processes), min_example_length=1)
    dsir.fit_importance_estimator(num_tokens_to_fit="auto")
    dsir.compute_importance_weights()
    dsir.resample(out_dir=out, num_to_sample=int(chosen), cache_dir=out + "-cache")
    written = [path for path in Path(out).rglob("*.jsonl")]
    print(sum(line.strip() != "" for path in written for line in path.open(encoding="utf-8")))
