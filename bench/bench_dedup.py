"""Whole deduplication, cold, against datatrove's four MinHash stages and against packages that do the whole job.

Real text with planted near-duplicates (planted.py), read, deduplicated and written by everybody in the same run: 5-word
shingles, 14 bands of 8 hashes, two processes or threads. Ours is the installed command, with a reason for every row that
left; bands alone decide, as in datatrove, or pairs are verified at J = 0.75. datatrove gets a smaller pool and is compared
per byte. Duplicates found are compared level by level, so that nobody is fast by finding less.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from harness import ASSAY, HERE, PEERS, WORK, best, record, run
from planted import folder, found, ids

SIZE = int(float(os.environ.get("ASSAY_BENCH_DEDUP", "3e8")))
SLICE = int(float(os.environ.get("ASSAY_BENCH_DATATROVE", "2e7")))  # what datatrove gets: it takes half a minute for this
TIMES = 3
PACKAGES = ("gaoya", "rensa")  # ASSAY_BENCH_PACKAGES=datasketch adds others
OUT = WORK / "dedup-out"
PROCESSES = ("--workers", "2")
WAYS = {
    "minhash, bands alone": ("--dedup", "minhash", "--set", "minhash.verify=0"),
    "minhash, verified": ("--dedup", "minhash"),
    "exact": ("--dedup", "exact"),
}

Measured = tuple[float, dict[float, tuple[int, int]]]


def ours(pool: Path, flags: tuple[str, ...]) -> Measured:
    """Seconds of `assay clean`, cold, and the planted pairs found."""
    command = [ASSAY, "clean", pool, *flags, "--out", OUT, *PROCESSES]
    ran = best(command, TIMES, lambda: shutil.rmtree(OUT, ignore_errors=True))
    return ran.seconds, found(pool, ids(OUT / "selected"))


def theirs(pool: Path, script: str, *words: str) -> Measured:
    """Seconds of a peer's script, cold, and the planted pairs found."""
    shutil.rmtree(OUT, ignore_errors=True)
    command = [PEERS, HERE / "peers" / script, *words, pool, OUT]
    seconds = run(command).seconds
    kept = OUT / "kept" if (OUT / "kept").is_dir() else OUT
    return seconds, found(pool, ids(kept))


def told(pairs: dict[float, tuple[int, int]]) -> str:
    """Shares of the planted pairs found, by level."""
    return ", ".join(f"{gone / total:.2f} at {level}" for level, (gone, total) in pairs.items() if level >= 0.7)


def peer_version(name: str) -> str:
    """The version of a package in the peers' environment."""
    return run([PEERS, "-c", f"from importlib.metadata import version; print(version({name!r}))"]).output.strip()


def megabytes(pool: Path) -> float:
    """What a pool's files take."""
    return sum(file.stat().st_size for file in pool.iterdir()) / 1e6


def row(way: str, name: str, mine: Measured, pool: Path, other: Measured, other_pool: Path) -> dict:
    """One ratio, per byte where the pools differ, and the planted pairs that each found."""
    speed, their_speed = megabytes(pool) / mine[0], megabytes(other_pool) / other[0]
    return {
        "work": f"clean: {way}, {megabytes(pool):.0f} MB, two processes", "peer": name, "version": peer_version(name),
        "ratio": speed / their_speed, "direction": "faster", "ours": f"{speed:.1f} MB/s",
        "theirs": f"{their_speed:.1f} MB/s on {megabytes(other_pool):.0f} MB",
        "wanted": "at least 40" if name == "datatrove" else "at least 1",
        "pairs": f"found: {told(mine[1])}; {name}: {told(other[1])}",
    }  # fmt: skip


def main() -> None:
    """Ratios of speed: every way of ours against datatrove, and minhash against packages that do the whole job."""
    pool, part = folder(SIZE), folder(SLICE)
    mine = {way: ours(pool, flags) for way, flags in WAYS.items()}
    datatrove = theirs(part, "datatrove_minhash.py")
    rows = [row(way, "datatrove", measured, pool, datatrove, part) for way, measured in mine.items()]
    for name in os.environ.get("ASSAY_BENCH_PACKAGES", " ".join(PACKAGES)).split():
        other = theirs(pool, "minhash_packages.py", name)
        rows += [row(way, name, mine[way], pool, other, pool) for way in WAYS if way.startswith("minhash")]
    record("dedup", {"rows": rows, "assay": version("assay-data")})


if __name__ == "__main__":
    main()
    sys.exit(0)
