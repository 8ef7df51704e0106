"""What share of real text is repeated, and whether `lines` and `substring` find what other programs find.

    python bench/prove_repeats.py [--size 20]

The sets of ../shared/data/text, each by itself and the bench's pool (megabytes by `--size`). Per set: the share of bytes
in lines and paragraphs and of words in spans of 50 that an earlier document holds, and how many documents are mostly
such. Beside: a suffix array over all words (pydivsufsort; the covered words of every document must be equal), a plain
Python script for lines (near: it does not join runs of white space and keeps punctuation above ASCII), and Dolma's Bloom
filter over raw lines, which sees no normalisation and counts copies inside one document.

One worker, in one run; our seconds include reading and counting the file. Peers come from PyPI, without the packages
around them (`--no-deps`), into bench/data/peers-alone. Writes bench/results/repeats.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pools

from assay.group.lines import Lines
from assay.group.paragraphs import Paragraphs
from assay.group.substring import Substring
from assay.io.fields import Fields
from assay.io.sources import find, plan
from assay.io.store import Store
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.shuffle import Shuffler
from assay.types import Signals

ALONE = ("dolma==1.2.1", "pydivsufsort==0.0.20")
FOLDER = harness.WORK / "repeats"
METHODS: dict[str, Any] = {"lines": Lines(), "paragraphs": Paragraphs(), "substring": Substring()}


def peers() -> Path:
    """Where the peers lie; installed once."""
    target = harness.WORK / "peers-alone"
    if not target.exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), *ALONE]
        subprocess.run(command, check=True)
    return target


def ask(*arguments: str | Path) -> dict[str, Any]:
    """What one peer prints."""
    command = [sys.executable, str(harness.HERE / "peers" / "repeats.py"), *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(peers())}
    ran = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(command)}\n{ran.stderr[-3000:]}")
    return json.loads(ran.stdout.strip().splitlines()[-1])


def ours(path: Path, method: Any) -> tuple[float, Signals]:
    """Seconds and signals of one method over a pool that nobody has read before, in which the first copy is preferred."""
    store = FOLDER / "store"
    shutil.rmtree(store, ignore_errors=True)
    start = time.perf_counter()
    with Local(1) as local:
        shards = find((str(path),))
        pool = Pool(shards, Fields("text"), Store(store), local, planned=plan(shards, 64 << 20))
        order = np.arange(len(pool.count().hashes))
        found = method.group(pool, Signals({"order": order}), Shuffler(1 << 30), np.random.default_rng(0))[1]
        return time.perf_counter() - start, Signals({name: np.array(column) for name, column in found.columns.items()})


def file_of(name: str) -> Path:
    """One set as JSON lines of `text` alone."""
    path = FOLDER / f"{name.split('.')[0]}.jsonl"
    rows = (json.dumps({"text": text}) + "\n" for _, text in pools.documents(name))
    path.write_text("".join(rows), "utf-8")
    return path


def dolma(path: Path) -> dict[str, Any]:
    """Its filter over the same rows, in the layout that it wants."""
    folder = FOLDER / "dolma"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "documents").mkdir(parents=True)
    with path.open("rb") as lines, gzip.open(folder / "documents" / "0.jsonl.gz", "wb", 1) as out:
        for number, line in enumerate(lines):
            out.write(json.dumps({"id": str(number), "text": json.loads(line)["text"], "source": ""}).encode() + b"\n")
    return ask("dolma", folder)


def measure(name: str, path: Path) -> tuple[list[str], dict[str, float]]:
    """A row of the table, and the seconds that everybody took."""
    texts = [json.loads(line)["text"] for line in path.open(encoding="utf-8", newline="\n")]
    size = np.array([len(text.encode()) for text in texts])
    found = {kind: ours(path, method) for kind, method in METHODS.items()}
    shares = {kind: signals[kind] for kind, (_, signals) in found.items()}
    suffixes, plain, bloom = ask("suffixes", path, FOLDER / "covered.npy"), ask("python", path), dolma(path)
    covered, words = np.load(FOLDER / "covered.npy")
    equal = np.array_equal(shares["substring"], covered / np.maximum(words, 1))
    cells = [name, f"{size.sum() / 1e6:.1f}", f"{len(texts):,}"]
    for kind, share in shares.items():
        parts = words if kind == "substring" else size
        cells.append(f"{(share * parts).sum() / parts.sum():.1%} ({(share > 0.5).sum():,})")
    cells += [f"{covered.sum() / words.sum():.1%}, {'equal' if equal else 'NOT EQUAL'}"]
    cells += [f"{plain['share']:.1%}", f"{bloom['characters'] / sum(map(len, texts)):.1%}"]
    print(" | ".join(cells), flush=True)
    times = {kind: seconds for kind, (seconds, _) in found.items()}
    times |= {"suffix array": suffixes["seconds"], "python": plain["seconds"], "dolma": bloom["seconds"]}
    return cells, {**times, "bytes": float(size.sum()), "equal": float(equal)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    ours(file_of("tiny_shakespeare.jsonl.gz"), METHODS["lines"])  # Compiles what is not compiled yet.
    names = (*pools.SETS, "inaugural.jsonl.gz", "pool_mixed.jsonl.zst", "arxiv_latex.jsonl.gz")
    table = [measure(name.split(".")[0], file_of(name)) for name in names]
    big, seconds = measure(f"pool of {arguments.size} MB", pools.pool(arguments.size * 10**6))
    assert all(times["equal"] for _, times in [*table, (big, seconds)]), "substring differs from the suffix array"
    speed = [
        [kind, f"{seconds['bytes'] / 1e6 / seconds[kind]:.1f} MB/s"]
        for kind in seconds
        if kind not in ("bytes", "equal")
    ]
    for row in speed:
        print(*row)
    columns = [
        "set",
        "MB",
        "documents",
        "lines",
        "paragraphs",
        "spans",
        "spans, suffix array",
        "lines, Python",
        "lines, Dolma",
    ]
    harness.record(
        "repeats", {"table": {"columns": columns, "rows": [*(row for row, _ in table), big]}, "speed": speed}
    )
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
