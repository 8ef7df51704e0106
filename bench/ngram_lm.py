"""The judge's quality and cost: bits per byte on held-out text by order and size, CPU seconds, and memory, as a table.

    python bench/ngram_lm.py FILE.jsonl[.gz|.zst] [--sizes 200000 1000000] [--orders 5 6 8 10]

Documents are shuffled (seed 0); the first 150 kB are held out, the arms are prefixes of the rest. Compiling is apart.
"""

from __future__ import annotations

import argparse
import json
import random
import time

import polars as pl

from assay.models.ngram import NGramConfig, train
from assay.types import Texts


def prefix(strings: list[str], size: int) -> Texts:
    """The first documents that together hold at least `size` bytes."""
    chosen, spent = [], 0
    for string in strings:
        if spent >= size:
            break
        chosen.append(string)
        spent += len(string.encode())
    return Texts.of(chosen)


def measure(arm: Texts, held_out: Texts, order: int) -> dict[str, float]:
    """One model: bits per held-out byte, seconds per MB of training and held-out text, memory per training byte."""
    began = time.process_time()
    model = train([arm], NGramConfig(order=order))
    trained = time.process_time()
    bits = model.bits(held_out).sum()
    scored = time.process_time()
    size, held = int(arm.sizes.sum()), int(held_out.sizes.sum())
    return {
        "bytes": size, "order": order, "bits_per_byte": round(float(bits) / held, 4),
        "train_seconds_per_MB": round((trained - began) / size * 1e6, 3),
        "score_seconds_per_MB": round((scored - trained) / held * 1e6, 3),
        "memory_per_byte": round(model.nbytes / size, 1),
    }  # fmt: skip


def main() -> None:
    """Print one JSON line for each order and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--field", default="text")
    parser.add_argument("--sizes", type=int, nargs="+", default=[200_000, 1_000_000, 4_000_000])
    parser.add_argument("--orders", type=int, nargs="+", default=[4, 5, 6, 7, 8, 9, 10])
    asked = parser.parse_args()
    strings = pl.read_ndjson(asked.file, infer_schema_length=None)[asked.field].to_list()
    random.Random(0).shuffle(strings)
    held_out = prefix(strings, 150_000)
    for order in (4, 16):  # compiles
        measure(prefix(strings, 1_000), prefix(strings, 1_000), order)
    for size in asked.sizes:
        for order in asked.orders:
            print(json.dumps(measure(prefix(strings[len(held_out) :], size), held_out, order)), flush=True)


if __name__ == "__main__":
    main()
