"""How a bench measures: a cold subprocess of the installed command, its seconds, the memory of its process tree.

    ran = run(["assay", "select", …])             seconds, nothing else going on
    ran = run(["assay", "select", …], watch=True) and the peak of the summed PSS, sampled from /proc/*/smaps_rollup
    record("select", …)                           bench/results/select.json, from which bench/tables.py makes tables

Seconds are taken without sampling, because reading smaps_rollup holds the lock of the memory map that the program
allocates through. PSS shares a page among the processes that map it, so its sum over a tree counts each page once.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
WORK = HERE / "data"  # Pools that benches build; ignored by git.
ASSAY = Path(sys.executable).parent / "assay"
PEERS = HERE / "peers" / ".venv" / "bin" / "python"


@dataclass(frozen=True)
class Ran:
    """What one command took: seconds of wall clock, peak summed PSS in bytes (0 if not watched), what it printed."""

    seconds: float
    peak: int
    output: str


def run(
    command: list[str | Path], watch: bool = False, variables: dict[str, str] | None = None, every: float = 0.05
) -> Ran:
    """Run a command in a session of its own and wait for it, looking at its memory `every` so many seconds where it is
    watched; a failure stops the bench with what it printed."""
    environment = {**os.environ, **(variables or {})}
    log = WORK / f"output-{os.getpid()}.txt"
    WORK.mkdir(exist_ok=True)
    with log.open("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
        )
        peak = 0
        while watch and process.poll() is None:
            peak = max(peak, summed_pss(process.pid))
            time.sleep(every)
        code = process.wait()
        seconds = time.perf_counter() - start
    output = log.read_text("utf-8", "replace")
    log.unlink()
    if code:
        sys.exit(f"{' '.join(map(str, command))}\nleft with {code}:\n{output[-4000:]}")
    return Ran(seconds, peak, output)


def best(command: list[str | Path], times: int = 3, before: Callable[[], None] = lambda: None) -> Ran:
    """The fastest of several cold runs: what the machine can do when nobody else disturbs it."""
    runs = []
    for _ in range(times):
        before()
        runs.append(run(command))
    return min(runs, key=lambda ran: ran.seconds)


def summed_pss(session: int) -> int:
    """Proportional set size in bytes, summed over every process of a session; one that ends meanwhile counts as 0."""
    total = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                # "pid (name) state parent group session …": the name may hold spaces, so read from its closing bracket.
                stat = Path(entry.path, "stat").read_bytes()
                if int(stat[stat.rindex(b")") + 2 :].split()[3]) == session:
                    lines = Path(entry.path, "smaps_rollup").read_bytes().splitlines()
                    total += next(int(line.split()[1]) for line in lines if line.startswith(b"Pss:")) * 1024
            except (OSError, StopIteration, ValueError):
                continue
    return total


def machine() -> str:
    """Processor and cores, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def commit() -> str:
    """The commit that is measured; `+` if files differ from it."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def record(name: str, facts: dict) -> None:
    """Write bench/results/NAME.json with the machine, the commit and the date beside the facts, and print the facts.

    A table of ratios reads `rows`: work, peer, version, ratio, ours and theirs (with their units), wanted, note.
    Other tables read `table`: columns and rows of text.
    """
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    whole = {
        "name": name,
        **facts,
        "machine": machine(),
        "python": platform.python_version(),
        "commit": commit(),
        "date": now,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for row in facts.get("rows", []):
        print(
            f"   {row['work']}: {row['ratio']:.2f} x {row['peer']} "
            f"({row['ours']} against {row['theirs']}); wanted {row['wanted']}"
        )
    print(f"   {path.relative_to(ROOT)}")
