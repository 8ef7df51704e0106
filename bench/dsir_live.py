"""Every document's log importance weight: the installed peer beside `dsir_reference`, on any pool and target.

    python bench/dsir_live.py POOL.jsonl TARGET.jsonl --peer bench/peers/.venv/bin/python [--n 2] [--buckets 10000]

Prints the largest relative difference, and fails beyond 1e-6, or where the length filters disagree. The peer runs in
its own environment; files may be compressed (.gz, .zst) and are unpacked for it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from assay.contracts import Rows
from assay.kernels.hashing import hash_rows
from assay.score.dsir_reference import DsirReference
from assay.types import Batch, Texts

TOLERANCE = 1e-6
WEIGHTS = Path(__file__).parent / "peers" / "dsir_weights.py"


@dataclass(frozen=True)
class Held(Rows):
    """Texts in memory, seen in batches of a size."""

    batch: Batch
    size: int = 64

    @classmethod
    def of(cls, texts: list[str], size: int = 64) -> Held:
        held = Texts.of(texts)
        return cls(Batch(np.arange(len(held)), hash_rows(held.data, held.offsets), {"text": held}), size)

    def reduce(self, part: Callable, merge: Callable) -> Any:
        merged = None
        for start in range(0, len(self), self.size):
            rows = np.arange(start, min(start + self.size, len(self)))
            text = {"text": self.batch.text.take(rows)}
            found = part(Batch(rows - start, self.batch.hashes[rows], text))
            merged = found if merged is None else merge(merged, found)
        return merged

    def sample(self, k: int) -> Batch:
        rows = np.sort(np.argsort(self.batch.hashes, kind="stable")[:k])
        return Batch(rows, self.batch.hashes[rows], {"text": self.batch.text.take(rows)})

    def __len__(self) -> int:
        return len(self.batch)


def read_texts(path: Path) -> list[str]:
    """The text of every line of a JSONL file."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        raw = gzip.decompress(raw)
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw).read()
    return [json.loads(line)["text"] for line in raw.decode("utf-8").split("\n") if line.strip()]


def peer_weights(
    peer: str, pool: list[str], target: list[str], n: int = 2, buckets: int = 10_000, fit: str = "auto"
) -> dict[str, Any]:
    """What `peers/dsir_weights.py` finds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("pool.jsonl", "target.jsonl", "out.json")]
        for path, texts in zip(paths, (pool, target), strict=False):
            path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
        command = [peer, str(WEIGHTS), *map(str, paths), str(n), str(buckets), fit]
        subprocess.run(command, check=True, capture_output=True, timeout=3600)
        return json.loads(paths[2].read_text("utf-8"))


def our_weights(pool: list[str], target: list[str], method: DsirReference) -> np.ndarray:
    """log w of every document; NaN below the length filter."""
    held, rng = Held.of(pool), np.random.default_rng(0)
    return method.score(method.fit(held, Held.of(target), rng), held.batch)


def largest_difference(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The largest |ours − theirs| / |theirs|; equal zeros differ by nothing."""
    difference = np.abs(ours - theirs)
    return float(np.max(difference / np.where(theirs == 0, 1, np.abs(theirs)), initial=0.0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--n", type=int, default=2)
    parser.add_argument("--buckets", type=int, default=10_000)
    asked = parser.parse_args()
    pool, target = read_texts(asked.pool), read_texts(asked.target)
    found = peer_weights(asked.peer, pool, target, asked.n, asked.buckets)
    settings = {"n": asked.n, "buckets": asked.buckets, "tokenizer": found["tokenizer"]}
    worst = largest_difference(
        np.array(found["weights"]), our_weights(pool, target, DsirReference(min_tokens=0, **settings))
    )
    filtered = np.isnan(our_weights(pool, target, DsirReference(**settings)))
    unlike = int((filtered == np.array(found["kept"])).sum())
    print(f"{len(pool):,} documents, {found['versions']}, tokenizer {found['tokenizer']}")
    print(f"largest relative difference {worst:.2e}; length filters disagree on {unlike} documents")
    return int(not worst <= TOLERANCE or unlike > 0)


if __name__ == "__main__":
    sys.exit(main())
