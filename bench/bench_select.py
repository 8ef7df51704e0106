"""`assay select` end to end with dsir (read, fit, score, choose, write) beside data-selection and beside parsing alone.

Per byte against the package (1.0.3), which gets 20 MB of the same pool and the same two processes, because 1 GB
takes it ten minutes; the best of several cold runs counts for both. Against polars on the same file with the same
cores: the seconds of the whole cold process, and noted, those inside it. Compiling is shown apart: the first run with
an empty cache, less a warm one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from harness import ASSAY, HERE, PEERS, WORK, Ran, best, record, run
from pools import count_lines, pool, target

PROCESSES = 2
POOL_BYTES = int(float(os.environ.get("ASSAY_BENCH_BYTES", "1e9")))
PEER_BYTES = 20 * 10**6
OUT = WORK / "run-select"
STORE = WORK / "store-select"


def clean() -> None:
    """Nothing stored from an earlier run."""
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)


def command(path: Path) -> list[str | Path]:
    """The whole job as a user types it."""
    return [
        ASSAY, "select", path, "--target", target(), "--method", "dsir", "--budget", "10%",
        "--out", OUT, "--store", STORE, "--workers", str(PROCESSES),
    ]  # fmt: skip


def check(path: Path) -> int:
    """The output is what was asked for: a tenth of the rows, each line byte-identical to a line of the pool."""
    facts = json.loads((OUT / "run.json").read_text())
    rows = count_lines(path)
    selected = sorted((OUT / "selected").iterdir())
    assert facts["counts"]["input"] == rows, (facts["counts"], rows)
    assert sum(map(count_lines, selected)) == facts["counts"]["chosen"] == rows // 10, (facts["counts"], rows)
    with path.open("rb") as lines:
        known = {hash(line) for line in lines}
    for file in selected:
        with file.open("rb") as lines:
            assert all(hash(line) in known for line in lines), f"{file}: a line that the pool does not hold"
    return rows


def against_the_package(ours: Ran, size: int) -> dict:
    """Seconds per byte against data-selection on a smaller pool of the same text."""
    small, out = pool(PEER_BYTES), WORK / "run-reference"
    peer = best(
        [
            PEERS,
            HERE / "peers" / "reference_dsir.py",
            small,
            target(),
            out,
            str(count_lines(small) // 10),
            str(PROCESSES),
        ],
        2,
    )
    assert int(peer.output.split()[-1]) == count_lines(small) // 10, peer.output
    ratio = (peer.seconds / small.stat().st_size) / (ours.seconds / size)
    return {
        "work": f"select with dsir, {size / 1e9:.1f} GB, {PROCESSES} processes, per byte",
        "peer": "data-selection",
        "version": "1.0.3",
        "ratio": ratio,
        "direction": "faster",
        "seconds": {"ours": ours.seconds, "theirs": peer.seconds},
        "bytes": {"ours": size, "theirs": small.stat().st_size},
        "ours": f"{size / ours.seconds / 1e6:.0f} MB/s",
        "theirs": f"{small.stat().st_size / peer.seconds / 1e6:.2f} MB/s on {small.stat().st_size / 1e6:.0f} MB",
        "wanted": "at least 60, aim 90",
    }


def against_parsing(ours: Ran, path: Path) -> dict:
    """Seconds of the whole job against those that polars takes only to parse the text field."""
    os.environ["POLARS_MAX_THREADS"] = str(PROCESSES)
    peer = best([PEERS, HERE / "peers" / "parse_text.py", path])
    read, inside = peer.output.split()[-2:]
    assert int(read) > 0
    version = run([PEERS, "-c", "import polars; print(polars.__version__)"]).output.strip()
    return {
        "work": f"select with dsir, {path.stat().st_size / 1e9:.1f} GB, whole job against parsing its text field",
        "peer": "polars read_ndjson",
        "version": version,
        "ratio": ours.seconds / peer.seconds,
        "direction": "times the seconds",
        "seconds": {"ours": ours.seconds, "theirs": peer.seconds, "theirs_inside_the_process": float(inside)},
        "bytes": {"ours": path.stat().st_size, "theirs": path.stat().st_size},
        "ours": f"{ours.seconds:.1f} s",
        "theirs": f"{peer.seconds:.2f} s ({float(inside):.2f} s without starting Python)",
        "wanted": "at most 12, aim 6",
    }


def main() -> None:
    """Measure, check, record."""
    path = pool(POOL_BYTES)
    # A cache of its own: compiling must not depend on what this machine has compiled before.
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        clean()
        small = pool(PEER_BYTES)
        first = run(command(small)).seconds
        warm = best(command(small), 2, clean).seconds
        ours = best(command(path), 3, clean)
    rows = check(path)
    size = path.stat().st_size
    record(
        "select",
        {
            "rows": [against_the_package(ours, size), against_parsing(ours, path)],
            "compile_seconds": first - warm,
            "pool": {"bytes": size, "rows": rows},
            "note": f"compiling, once per machine: {first - warm:.1f} s",
        },
    )


if __name__ == "__main__":
    sys.exit(main())
