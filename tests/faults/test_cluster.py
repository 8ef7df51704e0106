"""The Ray engine on a real cluster of several nodes: the same bytes as one machine, also when nodes or the driver are killed.

What takes longer (every stage at several moments, larger pools, a dead head) is in `bench/prove_cluster.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import CLEANING, COMMAND, account_holds, assay, examples, jsonl, packed, products, told
from raylets import Raylets, Storm

from assay import engine, recipe, trial
from assay.errors import RunError
from assay.run import cluster
from assay.run.passes import quiet
from assay.run.workers import Crew
from assay.runs import Run

ROWS = 24_000  # the records of `minhash` are then enough for several ranges
RAY = Crew(None, "ray")
CLOCKED = ("date", "time_to_quality")  # of a verdict
RECIPE = """
pool = "pool"
target = "target.jsonl"
seed = 3
steps = [
  { filter = "decontaminate", target = "eval.jsonl" },
  { edit = "pii_mask" },
  { score = "quality_classifier", against = "against.jsonl" },
  { score = "dsir" },
  { group = "exact" },
  { group = "minhash" },
  { select = "top_k", rank = "zscore(dsir) + zscore(quality_classifier)", budget = "20%" },
]
"""


@pytest.fixture(scope="module")
def raylets() -> Iterator[Raylets]:
    """Two nodes; this process is their driver, so that every run here finds its workers warm."""
    import ray

    with Raylets(2) as running:
        ray.init(running.address, log_to_driver=False, logging_level="critical")
        with RAY.hired() as crew:
            while len(crew.places) < 2:
                list(crew.map(time.sleep, [0.3] * 4))
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A pool of twelve shards, two of them packed, with copies and near copies; a target, eval items, held-out text."""
    folder, home = tmp_path_factory.mktemp("cluster"), os.getcwd()
    texts = [row["text"][:300] for row in examples()]
    rows = [
        {"id": f"r{n}", "text": f"{texts[n * 7 % len(texts)]}\nversion {n % 7} of jane{n % 3}@university-press.org"}
        for n in range(ROWS)
    ]
    assert 0 < ROWS - len({row["text"] for row in rows}) < ROWS // 10  # copies, but few: most rows go on to `minhash`
    for number in range(12):
        jsonl(folder / "pool" / f"{number}.jsonl{'.zst' if number > 9 else ''}", rows[number::12])
    docs, code = ([{"text": row["text"]} for row in examples() if row["source"] == kind] for kind in ("docs", "code"))
    for name, part in {"target": docs[:60], "eval": docs[60:70], "held": docs[70:110], "against": code[:200]}.items():
        jsonl(folder / f"{name}.jsonl", part)
    packed(folder / "all.toml", RECIPE.encode())
    os.chdir(folder)
    yield folder
    os.chdir(home)


def run(name: str, crew: Crew, watch: Any = quiet) -> Run:
    """Every kind of step, with all that it makes in a folder of this name."""
    wanted = recipe.parse(recipe.read_tree(RECIPE))
    return engine.run(wanted, engine.Place(Path(name), Path(f"{name}-store"), crew, watch))


@pytest.fixture(scope="module")
def local(place: Path) -> Run:
    return run("local", Crew(2))


def nodes(run: Run) -> dict[str, dict[str, int]]:
    """Items by node, of every stage that was spread."""
    return {stage["stage"]: stage["nodes"] for stage in run.facts["stages"] if stage.get("nodes")}


def same(one: Run, other: Run) -> None:
    assert products(one.path) == products(other.path)
    assert one.facts["counts"] == other.facts["counts"]
    account_holds(one.path, ROWS)


def test_every_kind_of_step_runs_on_all_nodes_and_gives_the_same_bytes(raylets: Raylets, local: Run):
    ours = run("ray", RAY)
    same(ours, local)
    assert ours.facts["engine"] == "ray" and local.facts["engine"] == "local" and not nodes(local)
    spread = nodes(ours)
    assert {stage for stage, where in spread.items() if len(where) < 2 and sum(where.values()) > 1} == set(), spread
    kinds = {stage.split()[0] for stage in spread}
    assert {"fit", "score", "emit", "join", "edit", "write"} <= kinds, spread


def test_nodes_killed_at_a_task_in_every_stage_cost_no_byte(raylets: Raylets, local: Run):
    kills = [
        ("fit", "visit"),
        ("score dsir", "visit"),
        ("emit bands", "reduce_range"),
        ("", "work"),
    ]
    with Storm(raylets, kills) as storm:
        ours = run("storm", RAY, storm.watch)
    assert [title.split()[0] for title in storm.titles] == [f"ray::{task}" for _, task in kills]
    same(ours, local)
    assert len({node for where in nodes(ours).values() for node in where}) > 2  # those that came for the killed ones


def test_a_trial_is_the_same_also_when_a_node_dies_with_an_actor(raylets: Raylets, local: Run):
    asked = trial.asking({"eval": ["held.jsonl"], "proxy": ["ngram"], "seeds": 4, "decontaminate": True})
    wanted = untimed(trial.verify(local, asked, Crew(2)))
    run("ray", RAY)
    with Storm(raylets, [("", "run")]) as storm:
        assert untimed(trial.verify(Run(Path("ray")), asked, RAY)) == wanted
    assert storm.titles[0].startswith("ray::run ngram on ")


def untimed(verdict: Any) -> Any:
    """A verdict without what a clock says."""
    if isinstance(verdict, dict):
        return {key: untimed(value) for key, value in verdict.items() if "seconds" not in key and key not in CLOCKED}
    return [untimed(value) for value in verdict] if isinstance(verdict, list) else verdict


@pytest.mark.parametrize("name", CLEANING)
def test_shipped_recipes_clean_alike(name: str, raylets: Raylets, place: Path):
    pool = place / "few"
    for number in range(0 if pool.exists() else 4):
        jsonl(pool / f"{number}.jsonl", examples()[number:400:4])
    clean = ("clean", pool, "--recipe", name, "-q")
    for out, how in {"here": ["--workers", 1], "there": ["--engine", "ray"]}.items():
        answer = assay(*clean, "--out", place / f"{name}-{out}", *how)
        assert answer.code == 0, answer.err
    assert products(place / f"{name}-here") == products(place / f"{name}-there")
    assert told(place / f"{name}-there")["engine"] == "ray"


@pytest.mark.parametrize("method", ["color_filter", "rds_plus"])
def test_signals_of_models_are_alike(method: str, raylets: Raylets, place: Path):
    """Models trained on the driver and kept by the workers: the same bytes, also where a network works row after row."""
    pool = place / "some"
    for number in range(0 if pool.exists() else 4):
        jsonl(pool / f"{number}.jsonl", [{"text": row["text"][:200]} for row in examples()[number:160:4]])
    asked = ("select", pool, "--target", "target.jsonl", "--method", method, "--budget", "20%", "-q")
    for out, how in {"here": ["--workers", 2], "there": ["--engine", "ray"]}.items():
        answer = assay(*asked, "--out", place / f"{method}-{out}", *how)
        assert answer.code == 0, answer.err
    assert products(place / f"{method}-here") == products(place / f"{method}-there")


def _named(folder: Path, word: str) -> list[str]:
    """Files with a word in their names, in folders that come and go meanwhile."""
    return [name for _, _, names in os.walk(folder) for name in names if word in name]


def test_a_killed_driver_redoes_no_finished_piece(raylets: Raylets, local: Run, place: Path):
    command = [COMMAND, "select", "all.toml", "--out", "driven", "--store", "driven-store", "-q"]
    driver = subprocess.Popen([*command, "--address", raylets.address], cwd=place)  # an address says: engine ray
    while not (scored := _named(place / "driven-store", ".score-")) and driver.poll() is None:
        time.sleep(0.002)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL and scored
    finished = {
        path: path.stat().st_ino for path in (place / "driven-store" / "shards").rglob("[!.]*") if path.is_file()
    }
    assert len(finished) > 24 and not (place / "driven" / "run.json").exists()
    packed(place / "all.toml", RECIPE.replace("seed", 'engine = "ray"\nseed').encode())
    answer = assay(*command[1:])
    assert answer.code == 0, answer.err
    assert told(place / "driven")["engine"] == "ray"
    same(Run(place / "driven"), local)
    assert {path: path.stat().st_ino for path in finished if path.exists()} == {
        path: number for path, number in finished.items() if "records-" not in path.name
    }


def test_work_that_kills_its_worker_ends_with_a_sentence(raylets: Raylets, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "RETRIES", 1)
    with RAY.hired() as crew:
        for spread in (crew.map, crew.hold):
            with pytest.raises(
                RunError, match="lost its worker or its machine 2 times, most likely for lack of memory; give"
            ):
                list(spread(os._exit, [3]))
        assert list(crew.map(abs, [-2, 3, -4])) == list(crew.hold(abs, [-2, 3, -4])) == [2, 3, 4]


def test_what_a_worker_refuses(raylets: Raylets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with RAY.hired() as crew:
        with pytest.raises(TypeError, match="bad operand"):  # an error of the work is that error here
            list(crew.map(abs, ["x"]))
        crew.meet(tmp_path / "store")
        assert list(crew.map(abs, [-1])) == [1]
        crew.meet(tmp_path / "out")
        for left in (tmp_path / "out").iterdir():
            left.unlink()
        with pytest.raises(RunError, match=r"does not see .*out: give --out and --store on a path that all share"):
            list(crew.map(abs, [-1]))
    assert not list((tmp_path / "store").glob(".*"))
    monkeypatch.setattr(cluster, "__version__", "9.9")
    with RAY.hired() as crew, pytest.raises(RunError, match=r"must have the same Assay; .* has .*, this command 9\.9"):
        list(crew.map(abs, [-1]))


def test_refusals_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool = jsonl(tmp_path / "pool.jsonl", examples()[:9])
    ask = [COMMAND, "select", pool, "--method", "random", "--budget", "3", "--out", tmp_path / "run", "-q"]

    def refused(*more: str, **variables: str) -> str:
        command = [str(word) for word in [*ask, *more]]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **variables})
        assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1, ended.stderr
        return ended.stderr

    assert "no Ray cluster answers at 127.0.0.1:9: nobody listens there; start one with" in refused(
        "--address", "127.0.0.1:9"
    )
    assert "must be HOST:PORT" in refused("--engine", "ray", RAY_ADDRESS="ray://127.0.0.1:9")
    assert "engine must be local or ray; got 'rai'" in refused("--engine", "rai")
    assert "say --engine ray" in refused("--engine", "local", "--address", "127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'assay-data[ray]'" in assay(*ask[1:], "--engine", "ray").sentence
