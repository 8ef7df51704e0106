"""All four rule sets through the installed command beside datatrove's three filters on the same text, per core.

`assay clean POOL --recipe rules.toml` with four filter steps and one worker reads a pool, judges it and writes; datatrove's
GopherQualityFilter, GopherRepetitionFilter and FineWebQualityFilter (C4's is left out, to its advantage) run in a loop over
texts in memory, without writing, on every so many rows of the same pool. Both are cold processes, told by the wall clock
and by bytes of the JSON lines they read; the filters' own seconds, without starting Python and reading, stand beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from harness import ASSAY, HERE, PEERS, WORK, best, record, run
from pools import pool

POOL_BYTES = int(float(os.environ.get("ASSAY_BENCH_BYTES", "1e9")))
PEER_BYTES = 6 * 10**6
THREE = "gopher_quality,gopher_repetition,fineweb"
OUT, STORE, RECIPE = WORK / "run-rules", WORK / "store-rules", WORK / "rules.toml"


def clean() -> None:
    """Nothing stored from an earlier run."""
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)


def command(path: Path) -> list[str | Path]:
    """The whole job as a user types it."""
    return [ASSAY, "clean", path, "--recipe", RECIPE, "--out", OUT, "--store", STORE, "--workers", "1"]


def slice_of(path: Path, size: int) -> Path:
    """Every so many rows of a pool until they make `size` bytes."""
    cut = WORK / "rules-slice.jsonl"
    step = max(path.stat().st_size // size, 1)
    with path.open("rb") as rows, cut.open("wb") as out:
        out.writelines(row for place, row in enumerate(rows) if place % step == 0)
    return cut


def main() -> None:
    """Measure, record."""
    path = pool(POOL_BYTES)
    steps = "".join(f'  {{ filter = "{name}" }},\n' for name in ("gopher_quality", "gopher_repetition", "c4", "fineweb"))
    RECIPE.write_text(f"steps = [\n{steps}]\n", "utf-8")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        clean()
        first = run(command(pool(20 * 10**6))).seconds
        warm = best(command(pool(20 * 10**6)), 2, clean).seconds
        ours = best(command(path), 2, clean)
    counts = json.loads((OUT / "run.json").read_text())["counts"]
    asked = slice_of(path, PEER_BYTES)
    peer = run([PEERS, HERE / "peers" / "datatrove_rules.py", asked, "-", THREE])
    inside = json.loads(peer.output.splitlines()[-1])["seconds"]
    size, given = path.stat().st_size, asked.stat().st_size
    rate, theirs = size / ours.seconds / 1e6, given / peer.seconds / 1e6
    version = run([PEERS, "-c", "import importlib.metadata as m; print(m.version('datatrove'))"]).output.strip()
    row = {
        "work": f"four rule sets, {size / 1e9:.1f} GB, one core, whole command, per byte",
        "peer": "datatrove (three filters)",
        "version": version,
        "ratio": rate / theirs,
        "direction": "faster",
        "seconds": {"ours": ours.seconds, "theirs": peer.seconds, "theirs_inside_the_filters": inside},
        "bytes": {"ours": size, "theirs": given},
        "ours": f"{rate:.1f} MB/s",
        "theirs": f"{theirs:.2f} MB/s on {given / 1e6:.0f} MB ({given / inside / 1e6:.2f} inside the filters)",
        "wanted": "at least 150",
    }
    record("rules_speed", {"rows": [row], "counts": counts, "compile_seconds": first - warm})


if __name__ == "__main__":
    sys.exit(main())
