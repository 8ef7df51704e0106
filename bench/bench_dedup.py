"""Whole deduplication, cold, against datatrove's four MinHash stages and against packages that do the whole job.

One pool of real text with planted near-duplicates (planted.py), read, deduplicated and written by everybody in the same
run: 5-word shingles, 14 bands of 8 hashes, two processes or threads. Ours is the installed command, with what no other
does besides: a reason for every row that left, and pairs verified at J = 0.75. `exact` is measured on the same pool.
Duplicates found are compared level by level, so that nobody is fast by finding less.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from harness import ASSAY, HERE, PEERS, WORK, best, record, run
from planted import folder, found, ids

SIZE = int(float(os.environ.get("ASSAY_BENCH_DEDUP", "6e7")))
TIMES = 3
PACKAGES = ("gaoya", "rensa")  # ASSAY_BENCH_PACKAGES=datasketch adds others
OUT = WORK / "dedup-out"
PROCESSES = ("--workers", "2")


def ours(pool: Path, method: str) -> tuple[float, dict[float, tuple[int, int]]]:
    """Seconds of `assay clean`, cold, and the planted pairs found."""
    command = [ASSAY, "clean", pool, "--dedup", method, "--out", OUT, *PROCESSES]
    ran = best(command, TIMES, lambda: shutil.rmtree(OUT, ignore_errors=True))
    return ran.seconds, found(pool, ids(OUT / "selected"))


def theirs(pool: Path, script: str, *words: str) -> tuple[float, dict[float, tuple[int, int]]]:
    """Seconds of a peer's script, cold, and the planted pairs found."""
    shutil.rmtree(OUT, ignore_errors=True)
    command = [PEERS, HERE / "peers" / script, *words, pool, OUT]
    seconds = run(command).seconds
    if words:  # a package takes seconds, so it may have another try
        seconds = min(seconds, run(command).seconds)
    kept = OUT / "kept" if (OUT / "kept").is_dir() else OUT
    return seconds, found(pool, ids(kept))


def told(pairs: dict[float, tuple[int, int]]) -> str:
    """Shares of the planted pairs found, by level."""
    return ", ".join(f"{gone / total:.2f} at {level}" for level, (gone, total) in pairs.items() if level >= 0.7)


def peer_version(name: str) -> str:
    """The version of a package in the peers' environment."""
    return run([PEERS, "-c", f"from importlib.metadata import version; print(version({name!r}))"]).output.strip()


def main() -> None:
    """One table of ratios: seconds of theirs over seconds of ours."""
    pool = folder(SIZE)
    size = sum(file.stat().st_size for file in pool.iterdir()) / 1e6
    mine = {method: ours(pool, method) for method in ("minhash", "exact")}
    peers = {"datatrove": theirs(pool, "datatrove_minhash.py")}
    for name in os.environ.get("ASSAY_BENCH_PACKAGES", " ".join(PACKAGES)).split():
        peers[name] = theirs(pool, "minhash_packages.py", name)
    rows = []
    for method, (seconds, pairs) in mine.items():
        for name, (other, other_pairs) in peers.items():
            if method == "minhash" or name == "datatrove":
                rows.append({
                    "work": f"clean --dedup {method}, {size:.0f} MB, two processes", "peer": name,
                    "version": peer_version(name), "ratio": other / seconds,
                    "ours": f"{size / seconds:.1f} MB/s", "theirs": f"{size / other:.1f} MB/s",
                    "wanted": "at least 40" if name == "datatrove" else "at least 1",
                    "note": f"pairs found: {told(pairs)}; {name}: {told(other_pairs)}",
                })  # fmt: skip
    record("dedup", {"rows": rows, "assay": version("assay-data")})


if __name__ == "__main__":
    main()
    sys.exit(0)
