"""Peak learning rates of the neural proxies: bits per byte on held-out text of the mixed pool, rate by rate.

    python bench/tune_rates.py ../shared/data [lm-nano ...]        adds to bench/results/rates.json

One draw of the pool for every rate, one set of initial weights, the schedule and batches of the proxy itself. The rates in
`models/causal_config.py` are the best of each size here, or the smaller of two that are alike.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from harness import RESULTS, record
from pools import documents

from assay.models.causal import train
from assay.models.causal_bits import bits
from assay.models.causal_config import SIZES
from assay.models.causal_model import one_thread
from assay.models.stream import Batch, stream
from assay.types import Sequences, Texts
from assay.verify import judge

HELD = 300
TRIED = {  # tokens, peak rates, rows of a step
    "lm-nano": (1_000_000, (2e-3, 3e-3, 5e-3), (8, 16)),
    "lm-micro": (500_000, (1e-3, 2e-3, 4e-3), (8,)),
    "lm-mini": (200_000, (5e-4, 1e-3, 2e-3), (8,)),
}


def tried(size: str, texts: list[str]) -> list[dict]:
    """Every rate of one size."""
    tokens, rates, heights = TRIED[size]
    proxy, rows = judge.proxy(size), []
    order = np.random.default_rng(0).permutation(len(texts))
    held = Texts.of([texts[place] for place in order[:HELD]])
    asked, whole = proxy.encode(held), proxy.encode(Texts.of([texts[place] for place in order[HELD:]]))
    block = Sequences(whole.data[:tokens], np.array([0, tokens]))
    for height in heights:
        for rate in rates:
            config = replace(SIZES[size], rate=rate, rows=height, warm=SIZES[size].warm * SIZES[size].rows // height)
            batches = partial(_batches, block, config.context, height)
            start = time.perf_counter()
            with one_thread():
                (found,) = (
                    bits(one, asked).sum() / held.sizes.sum()
                    for one in train(config, batches, (tokens // config.step,), 0, None, lambda units, loss: None)
                )
            rows.append([size, f"{tokens:,}", str(height), f"{rate:g}", f"{found:.4f}"])
            print(*rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    return rows


def _batches(block: Sequences, context: int, rows: int) -> Iterator[Batch]:
    return stream(iter([block]), context, rows)


def main() -> None:
    """The sizes asked for, beside those that were tried before."""
    texts = [text for _, text in documents("pool_mixed.jsonl.zst")]
    columns = ["proxy", "tokens", "rows of a step", "peak rate", "bits per byte, held out"]
    path = RESULTS / "rates.json"
    for size in sys.argv[2:] or TRIED:
        found = tried(size, texts)
        before = json.loads(path.read_text("utf-8"))["table"]["rows"] if path.exists() else []
        rows = sorted([row for row in before if row[0] != size] + found, key=lambda row: list(TRIED).index(row[0]))
        record("rates", {"table": {"columns": columns, "rows": rows}})


if __name__ == "__main__":
    sys.exit(main())
