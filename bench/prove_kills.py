"""Kill storms: `assay select` and `assay clean` killed with -9 at random moments, rerun until they end, compared byte for byte.

Every storm starts from nothing, is killed up to six times (the whole process group, so workers die too), and must then
leave the same `selected/`, `quarantine.jsonl` and `manifest.parquet/` as a run that nobody disturbed.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import ASSAY, ROOT, WORK, record, run
from pools import pool, target

STORMS = int(os.environ.get("ASSAY_PROVE_STORMS", "30"))
BYTES = {"select": 60 * 10**6, "clean": 12 * 10**6}


def command(verb: str, out: Path) -> list[str]:
    """The run that is killed: a selection, or all of FineWeb's rules with eval items, two kinds of copies and an edit."""
    asked = {
        "select": ["--target", target(), "--method", "dsir", "--budget", "10%"],
        "clean": ["--recipe", "fineweb", "--eval", target(), "--dedup", "exact", "--dedup", "minhash"],
    }
    place = ["--out", out, "--store", out.with_name(out.name + "-store"), "--workers", "2"]
    return [str(part) for part in [ASSAY, verb, pool(BYTES[verb]), *asked[verb], *place]]


def fingerprint(out: Path) -> dict[str, str]:
    """Digest of every file that is promised to be the same."""
    promised = [*(out / "selected").rglob("*"), *(out / "manifest.parquet").rglob("*"), out / "quarantine.jsonl"]
    files = sorted(path for path in promised if path.is_file() and not path.name.startswith("_"))
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def forget(out: Path) -> None:
    """No trace of an earlier run."""
    for folder in (out, out.with_name(out.name + "-store")):
        shutil.rmtree(folder, ignore_errors=True)


def storm(verb: str, out: Path, whole: float, chance: random.Random) -> int:
    """Kill at random moments, then let it end; how often it was killed."""
    forget(out)
    killed = 0
    for _ in range(chance.randint(1, 6)):
        process = subprocess.Popen(
            command(verb, out), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(chance.uniform(0.2, 1.0) * whole)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    run(command(verb, out))
    return killed


def storms(verb: str) -> tuple[list[str], int]:
    """A row of the table, and how many storms ended with the same bytes."""
    peace, out = WORK / "run-peace", WORK / "run-storm"
    forget(peace)
    run(command(verb, peace))
    forget(peace)
    whole = run(command(verb, peace)).seconds
    wanted, chance = fingerprint(peace), random.Random(20240229)
    assert len(wanted) >= 3, wanted
    kills = same = 0
    for number in range(STORMS):
        kills += storm(verb, out, whole, chance)
        equal = fingerprint(out) == wanted
        same += equal
        print(
            f"   {verb}, storm {number + 1}: {kills} kills so far, {'the same bytes' if equal else 'OTHER BYTES'}",
            flush=True,
        )
    told = f"{verb}, {BYTES[verb] // 10**6} MB, 2 processes, {whole:.1f} s in peace"
    return [told, str(STORMS), str(kills), f"{same} of {STORMS}"], same


def main() -> int:
    """Run the storms; exit code 1 if one left other bytes."""
    found = [storms(verb) for verb in BYTES]
    table = {"columns": ["run", "storms", "kills", "same bytes after"], "rows": [row for row, _ in found]}
    record("kills", {"table": table, "same": min(same for _, same in found)})
    return 0 if all(same == STORMS for _, same in found) else 1


if __name__ == "__main__":
    sys.exit(main())
