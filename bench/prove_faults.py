"""Killed with -9 at fifty moments of a run through every stage, at least five in each: does the rerun give the same bytes, and
does it redo anything that was finished?

A run that nobody disturbs says how long each stage takes. Then the run is started anew and dies by SIGKILL a share of the
stage's seconds after that stage began (a timer in the process itself, for some stages take milliseconds). The rerun tells every
file that it gives its name; a shard's result that was there and is named again, or is another file than before, counts as
redone. After each rerun `tests/faults/faults.py` accounts for every row of the input, bytes included.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from harness import ROOT, WORK, record

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

from command import assay, products, told  # noqa: E402
from faults import accounted, finished, lost, pool, redone, renames, through_all  # noqa: E402

KILLS = int(os.environ.get("ASSAY_PROVE_KILLS", "50"))
ROWS = int(os.environ.get("ASSAY_PROVE_FAULT_ROWS", "2000"))
TRIES = 6  # a moment that a stage outran is tried again, earlier


def stages_told(trace: Path, at: str, delay: float) -> None:
    """Make every stage write its name as it begins; in one of them start the clock that ends this process."""
    from assay.run import passes

    work, stage = passes.Pool.work, passes.Pool.stage

    def begun(name: str) -> None:
        with trace.open("a") as file:
            file.write(name + "\n")
        if name == at:
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def traced_work(self: Any, name: str, tasks: list[Any]) -> None:
        if tasks:
            begun(name)
        work(self, name, tasks)

    def traced_stage(self: Any, name: str) -> Any:
        begun(name)
        return stage(self, name)

    passes.Pool.work, passes.Pool.stage = traced_work, traced_stage


def killed(arguments: list[Any], trace: Path, at: str, delay: float) -> None:
    """The command, which dies in the stage `at`."""
    stages_told(trace, at, delay)
    raise SystemExit(assay(*arguments).code)


def resumed(arguments: list[Any], told_at: Path) -> None:
    """The command again; leaves what it gave a name."""
    with renames() as written:
        code = assay(*arguments).code
    told_at.write_text(json.dumps({"code": code, "written": written}))


def digest(run: Path) -> dict[str, str]:
    """Of every file that is promised to be the same."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in products(run).items()}


def process(forks: Any, target: Any, *arguments: Any) -> int:
    """A function in a process of its own; its exit code."""
    one = forks.Process(target=target, args=arguments)
    one.start()
    one.join()
    return one.exitcode


def moment(forks: Any, folder: Path, stage: str, delay: float) -> dict[str, Any]:
    """Kill one run, run it again, and look: the stage in which it died, finished shards then, redone ones, and its digest."""
    run, trace = folder / "run", folder / "trace"
    for _ in range(TRIES):
        shutil.rmtree(run, ignore_errors=True)
        trace.unlink(missing_ok=True)
        code = process(forks, killed, through_all(folder, run), trace, stage, delay)
        died = trace.read_text().splitlines()[-1]
        if code == -signal.SIGKILL and died == stage:
            break
        delay /= 2
    before = finished(run)
    process(forks, resumed, through_all(folder, run), folder / "told")
    answer = json.loads((folder / "told").read_text())
    again = redone(before, answer["written"], run)
    return {"stage": died, "finished": len(before), "redone": len(again), "code": answer["code"], "again": again[:3]}


def moments(stages: dict[str, float]) -> list[tuple[str, float]]:
    """Fifty moments: as many in each stage as its share of the seconds, at least five, evenly spread."""
    total, each = sum(stages.values()), max(1, min(5, KILLS // len(stages)))
    left = max(0, KILLS - each * len(stages))
    counts = {name: each + int(left * seconds / total) for name, seconds in stages.items()}
    counts[max(stages, key=stages.__getitem__)] += KILLS - sum(counts.values())
    return [(name, seconds * (k + 0.5) / counts[name]) for name, seconds in stages.items() for k in range(counts[name])]


def main() -> int:
    """Kill, run again, compare; exit code 1 if a rerun gave other bytes, redid a finished shard or lost a row."""
    folder = WORK / "faults"
    shutil.rmtree(folder, ignore_errors=True)
    lines = pool(folder / "pool", ROWS)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["assay.engine", "command", "faults"])
    process(forks, resumed, through_all(folder, folder / "warm"), folder / "told")
    process(forks, resumed, through_all(folder, folder / "peace"), folder / "told")
    accounted(folder / "peace", lines)
    wanted, stages = digest(folder / "peace"), Counter[str]()
    for one in told(folder / "peace")["stages"]:
        stages[one["stage"]] += max(one["seconds"], 0.001)
    found, begun = [], time.monotonic()
    for stage, delay in moments(dict(stages)):
        one = moment(forks, folder, stage, delay)
        one["same"] = one["code"] == 0 and digest(folder / "run") == wanted
        one["lost"], one["rows"] = lost(folder / "run", lines), len(lines)
        if not one["lost"]:
            accounted(folder / "run", lines)
        found.append(one)
        print(f"   {len(found)} kills, in {one['stage']}: {one}, {time.monotonic() - begun:.0f} s", flush=True)
    return report(found, dict(stages))


def report(found: list[dict[str, Any]], stages: dict[str, float]) -> int:
    """Write bench/results/faults.json."""
    kills = Counter(one["stage"] for one in found)
    table_rows = []
    for name in dict.fromkeys([*stages, *kills]):
        mine = [one for one in found if one["stage"] == name]
        counts = [f"{stages.get(name, 0):.2f}", len(mine), sum(one["same"] for one in mine)]
        counts += [sum(one[key] for one in mine) for key in ("finished", "redone", "rows", "lost")]
        table_rows.append([name, *map(str, counts)])
    totals = [str(sum(int(row[at]) for row in table_rows)) for at in range(2, 8)]
    table_rows.append(["all", f"{sum(stages.values()):.2f}", *totals])
    columns = ["stage", "seconds in peace", "kills", "same bytes after", "finished shards found", "of these redone"]
    columns += ["rows through", "rows lost"]
    facts = {
        "kills": len(found), "per_stage": dict(kills), "same": sum(one["same"] for one in found),
        "redone": sum(one["redone"] for one in found), "rows_through": sum(one["rows"] for one in found),
        "rows_lost": sum(one["lost"] for one in found),
        "table": {"columns": columns, "rows": table_rows},
    }  # fmt: skip
    record("faults", facts)
    return 0 if facts["same"] == len(found) and not facts["redone"] and not facts["rows_lost"] else 1


if __name__ == "__main__":
    sys.exit(main())
