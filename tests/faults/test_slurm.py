"""The script for Slurm (examples/slurm/assay.sbatch): Ray really started on loopback, with stand-ins for srun and scontrol.

A stand-in node is a process group with a scratch folder and a name of its own on this machine; everything above it is real:
raylets by `ray start`, the command, signals, exit codes, ports.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import ROOT, assay, examples, jsonl, products, told

SCRIPT = ROOT / "examples" / "slurm" / "assay.sbatch"
BOUND = 240.0  # seconds that anything may take on a machine that is busy with other things; a quiet one takes a few

SCONTROL = """#!/bin/bash
[[ "$1 $2" == "show hostnames" ]] && exec tr , '\\n' <<<"$3"
printf '%s\\n' "$*" >>"$FAKE/scontrol"
"""
# As srun: one task on a node, with the environment that Slurm gives it and srun's own standard input. On TERM it kills all of
# the task at once, as srun of Slurm 22.05 was seen to do.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in
  --nodelist=*) node=${1#*=} ;;
  --nodes=1 | --ntasks=1 | --cpus-per-task=1 | --export=ALL | --overlap) ;;
  *) echo "srun: unrecognized option $1" >&2; exit 1 ;;
  esac
  shift
done
mkdir -p "$FAKE/$node"
[[ $node != "$FAKE_ABSENT" ]] || set -- sleep 1000
TMPDIR=$FAKE/$node SLURMD_NODENAME=$node setsid "$@" <&0 &
trap 'kill -KILL -- "-$!"; exit 143' TERM
wait "$!"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder with a short path that is the cluster: its commands in bin/, the scratch of each node under its name."""
    folder = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
    (folder / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    yield folder
    for process in running(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()
    shutil.rmtree(folder)


def environment(site: Path, job: int, nodes: str, **more: str) -> dict[str, str]:
    """What Slurm sets in a batch script, and how this machine is to be used."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_", "ASSAY_"))}
    slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": nodes, "SLURM_CPUS_PER_TASK": "1"}
    here = {"ASSAY_HEAD_IP": own_address(), "ASSAY_OBJECT_STORE": "80000000", "ASSAY_JOIN_SECONDS": "240"}
    path = f"{site / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**kept, **slurm, **here, "PATH": path, "FAKE": str(site), "FAKE_ABSENT": "", **more}


def own_address() -> str:
    """The address that Ray takes for this machine, which is where it listens."""
    import ray

    return ray.util.get_node_ip_address()


def sbatch(site: Path, job: int, nodes: str, *words: object, **more: str) -> subprocess.Popen[str]:
    """The script as Slurm starts it: a copy of it, in a process group of its own."""
    copy = shutil.copy(SCRIPT, site / f"job{job}")
    return subprocess.Popen(
        ["bash", copy, *map(str, words)],
        env=environment(site, job, nodes, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """A job's exit code and what it said."""
    out, err = process.communicate(timeout=BOUND)
    return process.returncode, out + err


def running(site: Path, job: int | None = None) -> list[psutil.Process]:
    """Processes of this cluster, or of one job on it, by the environment that they have inherited."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            given = process.environ()
            if given.get("FAKE") == str(site) and job in (None, int(given["SLURM_JOB_ID"])):
                found.append(process)
    return found


def until(holds, what: str) -> None:
    deadline = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < deadline, f"not within {BOUND:.0f} seconds: {what}"
        time.sleep(0.05)


def stored(run: Path) -> int:
    """Results of pieces in a run's store so far; folders may come and go meanwhile."""
    return sum(len(names) for folder, _, names in os.walk(run / "store"))


def all_gone(site: Path, job: int) -> None:
    """No process of the job is left, and no folder of it on any node's scratch."""
    until(lambda: not running(site, job), f"job {job} leaves nothing running")
    assert not list(site.glob("*/ray.*"))


def pool(folder: Path) -> Path:
    """Thirty shards of real text."""
    for shard in range(30):
        jsonl(folder / f"{shard:02}.jsonl", ({**row, "id": f"{shard}-{row['id']}"} for row in examples()[shard::15]))
    return folder


def test_stopped_in_the_middle_and_queued_again_gives_the_local_bytes(tmp_path: Path, site: Path):
    target = jsonl(tmp_path / "target.jsonl", examples()[:20])
    asked = ["select", pool(tmp_path / "pool"), "--target", target, "--method", "dsir", "--budget", "10%", "-q"]
    assert assay(*asked, "--workers", "1", "--out", tmp_path / "local").code == 0
    asked += ["--out", tmp_path / "run"]

    first = sbatch(site, 41, "n1,n2", *asked)
    until(lambda: first.poll() is not None or stored(tmp_path / "run") > 5, "the command has begun")
    first.send_signal(signal.SIGUSR1)  # to the batch shell alone, as --signal=B:USR1@60 does
    code, said = ended(first)
    assert code == 143 and "queued again" in said, said
    assert (site / "scontrol").read_text() == "requeue 41\n"
    all_gone(site, 41)
    assert not (tmp_path / "run" / "run.json").exists()

    again = sbatch(site, 41, "n1,n2", *asked)
    wrong = ["select", tmp_path / "nowhere", "--method", "random", "--budget", "10%", "--out", tmp_path / "none"]
    beside = sbatch(site, 42, "n1", *wrong)  # another job on the same machine
    code, said = ended(beside)
    assert code == 2 and "nowhere" in said, said
    code, said = ended(again)
    assert code == 0 and "on 2 nodes" in said, said
    assert products(tmp_path / "run") == products(tmp_path / "local")
    assert told(tmp_path / "run")["counts"] == told(tmp_path / "local")["counts"]
    all_gone(site, 41)
    all_gone(site, 42)


def test_a_node_that_never_joins_ends_the_job_with_its_name(site: Path):
    code, said = ended(sbatch(site, 43, "n1,n2", "--version", FAKE_ABSENT="n2", ASSAY_JOIN_SECONDS="0"))
    assert code == 1 and "missing: n2. Look whether" in said, said
    all_gone(site, 43)


def answer(site: Path, function: str, **more: str) -> str:
    """What a function of the script says, sourced alone."""
    command = ["bash", "-c", f'source "{SCRIPT}" && {function}']
    return subprocess.run(
        command, env=environment(site, 44, "n1", **more), capture_output=True, text=True, check=True
    ).stdout.strip()


def test_jobs_have_ports_of_their_own_and_take_none_that_is_in_use(site: Path):
    first, second = (int(answer(site, "port 127.0.0.1", SLURM_JOB_ID=str(job))) for job in (700, 701))
    assert 20000 <= first < second < 32000 and second - first == 2
    with socket.create_server(("127.0.0.1", first)):
        assert int(answer(site, "port 127.0.0.1", SLURM_JOB_ID="700")) not in (first, first + 1, second)


def test_what_slurm_gave_a_node(site: Path):
    assert answer(site, "gpus") == "0"
    assert answer(site, "gpus", SLURM_GPUS_PER_NODE="a100:4") == "4"
    assert answer(site, "gpus", SLURM_GPUS_PER_NODE="a100:4", SLURM_GPUS_ON_NODE="2") == "2"
    assert answer(site, "scratch", ASSAY_SCRATCH=str(site)).startswith(f"{site}/ray.")
    long = site / ("far" * 9)
    long.mkdir()
    elsewhere = Path(answer(site, "scratch", ASSAY_SCRATCH=str(long)))
    assert elsewhere.parent == Path("/tmp") and elsewhere.stat().st_mode & 0o777 == 0o700
    elsewhere.rmdir()
