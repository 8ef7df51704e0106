"""Megabytes a second on one core of the n-gram kernels, beside a plain loop over bytes and a memory copy.

    python bench/kernels.py [FILE.jsonl(.gz|.zst)]

Rates swing with whatever else the machine does, so all take turns, many times, on a slice that is done within one
turn of the scheduler; the best and the median of all turns are printed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from dsir_live import read_texts
from numba import njit

from assay.kernels.ngrams import count_ngrams, score_ngrams
from assay.types import Texts

EXAMPLE = Path(__file__).parent.parent / "examples" / "data" / "pool.jsonl.zst"
SECONDS, SLICE = 20.0, 250_000
KIND, LOWER = np.full(256, 2, np.uint8), np.arange(256, dtype=np.uint8)
for byte in range(256):
    KIND[byte] = 0 if byte in b" \t\n\v\f\r" else 1 if byte >= 128 or chr(byte).isalnum() or byte == 95 else 2
    LOWER[byte] = byte + 32 if 65 <= byte <= 90 else byte


@njit
def byte_loop(data, offsets, weights):
    """1-grams and 2-grams the plain way, one byte after another: what the kernels are compared with."""
    sums, factor, shift = np.zeros(len(offsets) - 1), np.uint64(0x9E3779B97F4A7C15), np.uint64(40)
    mask = np.uint64(len(weights) - 1)
    for row in range(len(sums)):
        word, before, last = np.uint64(0), np.uint64(0), 0
        for at in range(offsets[row], offsets[row + 1]):
            kind = KIND[data[at]]
            if kind != last:
                if last:
                    sums[row] += weights[(word >> shift) & mask]
                    sums[row] += weights[(((before + word) * factor) >> shift) & mask]
                    before = word * factor
                word, last = np.uint64(0), kind
            word = (word + np.uint64(LOWER[data[at]])) * factor
    return sums


def main() -> None:
    texts = Texts.of(read_texts(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE))
    order = np.random.default_rng(0).permutation(len(texts))
    texts = texts.take(np.sort(order[: np.searchsorted(np.cumsum(texts.sizes[order]), SLICE)]))
    size, work = len(texts.data), {"memory copy": texts.data.copy}
    weights = np.random.default_rng(0).normal(size=1 << 16).astype(np.float32)
    work["byte loop, n = 2"] = lambda: byte_loop(texts.data, texts.offsets, weights)
    for bits in (16, 18):
        table, counts = np.resize(weights, 1 << bits), np.zeros(1 << bits, np.int64)
        for n in (1, 2, 3):
            score = f"score, n = {n}, 2^{bits} buckets"
            work[score] = lambda n=n, table=table: score_ngrams(texts.data, texts.offsets, n, table)
        count = f"count, n = 2, 2^{bits} buckets"
        work[count] = lambda counts=counts: count_ngrams(texts.data, texts.offsets, 2, len(counts), counts)
    taken: dict[str, list[float]] = {name: [] for name in work}
    byte_loop(texts.data, texts.offsets, weights)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for name, run in work.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    print(f"{len(texts)} documents, {size:,} bytes, {len(taken['memory copy'])} turns")
    for name, seconds in taken.items():
        print(
            f"{name:28} best {size / min(seconds) / 1e6:6.0f} MB/s   median {size / np.median(seconds) / 1e6:6.0f} MB/s"
        )


if __name__ == "__main__":
    main()
