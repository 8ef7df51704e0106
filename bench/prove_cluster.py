"""The Ray engine on a real cluster of this machine: the same bytes as one machine, whatever is killed, and what it costs.

    prove_cluster.py DATA            recipes and trials on both engines; storms of killed nodes; killed drivers; a dead head
    prove_cluster.py DATA --speed    `assay select` on 1 GB: two nodes of one processor against two local processes

A storm kills a node with SIGKILL while its worker is stopped in the middle of a task (tests/raylets.py), once in each of six
stages, at another of the stage's tasks in every storm; a node that is killed is replaced. Writes bench/results/cluster.json.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness import ASSAY, ROOT, WORK, record, run
from pools import pool, target
from prove_kills import fingerprint

sys.path.insert(0, str(ROOT / "tests"))
from raylets import Raylets, Storm

from assay import engine, gallery, recipe, trial
from assay.errors import RunError
from assay.run.passes import quiet
from assay.run.workers import Crew
from assay.runs import Run

STORMS = int(os.environ.get("ASSAY_PROVE_STORMS", "10"))
SIZE = 60 * 10**6
SHARDS = 24
PLACE = WORK / "cluster"
RAY = Crew(None, "ray")
CLOCKED = ("date", "time_to_quality")  # of a verdict
STAGES = (
    ("", "visit"), ("fit", "visit"), ("score dsir", "visit"), ("emit bands", "visit"), ("emit bands", "reduce_range"), ("", "work"),
)  # fmt: skip
Row = list[str]


def sharded() -> Path:
    """A pool of 60 MB in 24 shards, a fifth of it twice; held-out text beside it."""
    folder = PLACE / "pool"
    if not folder.exists():
        lines = pool(SIZE).read_bytes().splitlines(keepends=True)
        lines += lines[::5]
        folder.mkdir(parents=True)
        for number in range(SHARDS):
            (folder / f"{number:02d}.jsonl").write_bytes(b"".join(lines[number::SHARDS]))
        held = Path(target()).read_bytes().splitlines(keepends=True)
        (PLACE / "held.jsonl").write_bytes(b"".join(held[: len(held) // 2]))
        (PLACE / "target.jsonl").write_bytes(b"".join(held[len(held) // 2 :]))
    return folder


def everything() -> recipe.Recipe:
    """Every kind of step that reads text, and a choice."""
    steps = [
        {"filter": "decontaminate", "target": str(PLACE / "held.jsonl")},
        {"edit": "pii_mask"},
        {"score": "quality_classifier"},
        {"score": "dsir"},
        {"group": "exact"},
        {"group": "minhash"},
        {"select": "top_k", "rank": "zscore(dsir) + zscore(quality_classifier)", "budget": "20%"},
    ]
    return recipe.parse({"pool": str(sharded()), "target": str(PLACE / "target.jsonl"), "seed": 3, "steps": steps})


def fresh(name: str) -> Path:
    """A place for a run, with no trace of an earlier one."""
    for folder in (PLACE / name, PLACE / f"{name}-store"):
        shutil.rmtree(folder, ignore_errors=True)
    return PLACE / name


def worked(wanted: recipe.Recipe, name: str, crew: Crew, watch: Any = quiet) -> Run:
    """A run from nothing."""
    out = fresh(name)
    return engine.run(wanted, engine.Place(out, out.with_name(f"{name}-store"), crew, watch))


def complete(run: Run) -> bool:
    """Whether every row is in the account."""
    counts = run.facts["counts"]
    return counts["input"] == sum(
        counts[key] for key in counts if key in ("chosen", "kept", "not_chosen", "quarantined")
    )


def same(one: Run, other: Run) -> bool:
    """The same bytes, and all rows."""
    return fingerprint(one.path) == fingerprint(other.path) and complete(one) and len(fingerprint(one.path)) > 2


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def compared() -> Iterable[Row]:
    """Every shipped recipe, and a recipe of all kinds of steps, on both engines."""
    recipes = {name: recipe.parse({"pool": str(sharded()), **gallery.load(name, {})}) for name in gallery.shipped()}
    for name, wanted in {**recipes, "every kind of step": everything()}.items():
        ours, seconds = timed(lambda wanted=wanted: worked(wanted, "there", RAY))
        theirs, alone = timed(lambda wanted=wanted: worked(wanted, "here", Crew(2)))
        spread = [stage["nodes"] for stage in ours.facts["stages"] if sum(stage.get("nodes", {}).values()) > 1]
        both = sum(len(nodes) > 1 for nodes in spread)
        told = f"{seconds:.1f} s; 2 local processes {alone:.1f} s; {both} of {len(spread)} stages on both nodes"
        yield [name, "0", "1 of 1" if same(ours, theirs) else "OTHER BYTES", told]


def trials() -> Iterable[Row]:
    """Verdicts of both engines, with a node killed at a trial."""
    for proxy, more in {"ngram": {}, "lm-nano": {"units": 200_000}}.items():
        asked = trial.asking(
            {"eval": [str(PLACE / "held.jsonl")], "proxy": [proxy], "seeds": 3, "decontaminate": True, **more}
        )
        here = values(trial.verify(Run(PLACE / "here"), asked, Crew(2)))
        with Storm(RAYLETS, [("", "run")]) as storm:
            there = values(trial.verify(Run(PLACE / "there"), asked, RAY))
        yield [
            f"verify, {proxy}",
            str(len(storm.titles)),
            "1 of 1" if here == there else "OTHER VALUES",
            "the same verdict",
        ]


def values(verdict: Any) -> Any:
    """A verdict without what a clock says."""
    if isinstance(verdict, dict):
        return {key: values(value) for key, value in verdict.items() if "seconds" not in key and key not in CLOCKED}
    return [values(value) for value in verdict] if isinstance(verdict, list) else verdict


def storms(peace: Run) -> Iterable[Row]:
    """Nodes killed in every stage."""
    equal, seconds, kills = 0, [], dict.fromkeys(STAGES, 0)
    for number in range(STORMS):
        with Storm(RAYLETS, list(STAGES), moment=number % 5) as storm:
            ours, took = timed(lambda storm=storm: worked(everything(), "storm", RAY, storm.watch))
        equal, seconds = equal + same(ours, peace), [*seconds, took]
        for stage, _ in zip(STAGES, storm.titles, strict=False):
            kills[stage] += 1
        print(f"   storm {number + 1}: {len(storm.titles)} nodes killed, {equal} of {number + 1} the same", flush=True)
    for (stage, task), count in kills.items():
        what = {"work": "writing", "reduce_range": "the join of duplicates"}.get(task, stage or "the first pass")
        yield [
            f"a node killed in {what}",
            str(count),
            f"{equal} of {STORMS}",
            f"{sum(seconds) / len(seconds):.1f} s a run",
        ]


def drivers(peace: Run, whole: float) -> Iterable[Row]:
    """The command itself killed at random moments, then given again."""
    packed = PLACE / "all.toml"
    packed.write_text(toml(everything()), "utf-8")
    chance, kills, equal = random.Random(20240229), 0, 0
    for _ in range(STORMS):
        out = fresh("driven")
        command = [
            str(ASSAY),
            "select",
            str(packed),
            "--out",
            str(out),
            "--store",
            f"{out}-store",
            "--address",
            RAYLETS.address,
        ]
        for share in (chance.uniform(0.2, 0.6), chance.uniform(0.2, 0.9)):
            driver = subprocess.Popen([*command, "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(share * whole)
            if driver.poll() is None:
                driver.send_signal(signal.SIGKILL)
                kills += 1
            driver.wait()
        run([*command, "-q"])
        equal += same(Run(out), peace)
    yield ["the driver killed", str(kills), f"{equal} of {STORMS}", "the same command again goes on"]


def toml(wanted: recipe.Recipe) -> str:
    """A recipe as its file."""
    import json

    steps = [
        "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in step.items()) + " }"
        for step in recipe.to_tree(wanted)["steps"]
    ]
    given = {"pool": str(sharded()), "target": str(PLACE / "target.jsonl")}
    head = "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
    return f"{head}seed = {wanted.seed}\nsteps = [\n" + "".join(f"  {step},\n" for step in steps) + "]\n"


def heads(peace: Run) -> Iterable[Row]:
    """The head killed in the middle of a run: a sentence in bounded time, and a rerun on another cluster."""
    import ray

    started = time.perf_counter()
    script = (
        f"sys.path[:0] = {[str(ROOT / 'bench'), str(ROOT / 'tests')]!r}; import prove_cluster; prove_cluster.beheaded()"
    )
    ended = subprocess.run([sys.executable, "-c", f"import sys; {script}"], capture_output=True, text=True, timeout=600)
    told = ended.stdout.strip().splitlines()[-1:] or [ended.stderr[-300:]]
    assert ray.is_initialized()
    again = engine.run(everything(), engine.Place(PLACE / "headless", PLACE / "headless-store", RAY))
    seconds = time.perf_counter() - started
    equal = same(again, peace) and told[0].startswith("refused")
    yield ["the head killed", "1", "1 of 1" if equal else "OTHER BYTES", f"{told[0]}; all in {seconds:.0f} s"]


def beheaded() -> None:
    """A run on a cluster of its own, whose head dies as soon as the run has scored; says what the run said."""
    import ray

    with Raylets(2) as raylets:
        ray.init(raylets.address, log_to_driver=False, logging_level="critical")
        killed = []

        def watch(stage: str, *more: Any, **others: Any) -> None:
            if stage.startswith("score") and not killed:
                raylets.cluster.head_node.all_processes["gcs_server"][0].process.kill()
                killed.append(time.perf_counter())

        try:
            wanted = everything()
            worked(wanted, "headless", RAY, watch)
            time.sleep(60)
            print("the run ended although its head was dead")
        except RunError as error:
            print(f"refused after {time.perf_counter() - killed[0]:.0f} s: {error}", flush=True)
        os._exit(0)  # without a head Ray's own farewell takes minutes


def speed() -> dict[str, Any]:
    """What a cluster of one machine costs beside local processes, cold, the store empty."""
    texts, asked = pool(10**9), ["--target", target(), "--method", "dsir", "--budget", "10%", "-q"]
    seconds: dict[str, list[float]] = {"ray": [], "local": []}
    for _, (name, how) in itertools.product(
        range(3), {"local": ["--workers", "2"], "ray": ["--address", RAYLETS.address]}.items()
    ):
        out = fresh(f"speed-{name}")
        seconds[name].append(run([ASSAY, "select", texts, *asked, "--out", out, *how]).seconds)
        same_bytes = fingerprint(PLACE / "speed-local") == fingerprint(out)
        assert same_bytes, f"{name} left other bytes"
    ours, theirs = min(seconds["ray"]), min(seconds["local"])
    row = {
        "work": "select, dsir, 1 GB, two processors", "peer": "2 local processes", "version": "", "ratio": theirs / ours,
        "ours": f"{ours:.1f} s on 2 Ray nodes", "theirs": f"{theirs:.1f} s", "wanted": 0.8,
        "note": "the whole command, with joining the cluster and starting its workers",
    }  # fmt: skip
    return {"rows": [row]}


def main() -> int:
    """Exit code 1 where a byte differs."""
    global RAYLETS
    import ray

    if "--speed" in sys.argv:
        with Raylets(2) as RAYLETS:
            record("cluster-speed", speed())
        return 0
    with Raylets(2) as RAYLETS:
        ray.init(RAYLETS.address, log_to_driver=False, logging_level="critical")
        rows = list(compared())
        peace, whole = timed(lambda: worked(everything(), "peace", RAY))
        parts = (trials(), storms(peace), drivers(peace, whole), heads(peace))
        rows += [row for part in parts for row in part]
    table = {"columns": ["what", "kills", "same bytes", "more"], "rows": rows}
    good = not any("OTHER" in cell for row in rows for cell in row) and all(
        row[2].split()[0] == row[2].split()[-1] for row in rows
    )
    record("cluster", {"table": table, "same": good, "kills": sum(int(row[1]) for row in rows), "nodes": 2})
    return 0 if good else 1


RAYLETS: Raylets
if __name__ == "__main__":
    sys.exit(main())
