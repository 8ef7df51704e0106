"""datatrove's four MinHash stages over a folder of JSONL: signatures, buckets, clusters, filter; 14 bands of 8 hashes.

Usage: datatrove_minhash.py POOL OUT; as its example script has it, with a task and a worker for each file of the pool.
"""

import os
import shutil
import sys

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

if __name__ == "__main__":
    pool, out = sys.argv[1:]
    shutil.rmtree(out, ignore_errors=True)
    tasks = len(os.listdir(pool))
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    stages = [
        ([JsonlReader(pool), MinhashDedupSignature(f"{out}/signatures", config)], tasks),
        ([MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=config)], 14),
        ([MinhashDedupCluster(f"{out}/buckets", f"{out}/remove", config=config)], 1),
        ([JsonlReader(pool), MinhashDedupFilter(f"{out}/remove"), JsonlWriter(f"{out}/kept", compression=None)], tasks),
    ]
    for number, (pipeline, count) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=count, workers=2, logging_dir=f"{out}/logs/{number}").run()
