"""A worker that runs out of memory, or is killed for it: the message says which shard, and what to lower; the rerun ends well."""

from __future__ import annotations

import json
import multiprocessing.context
import os
import resource
import signal
from pathlib import Path

import pytest
from command import assay, done, jsonl, packed, products
from faults import accounted, real_lines

from assay.errors import RunError
from assay.io.fields import Fields
from assay.io.sources import find, plan
from assay.run.local import Local
from assay.run.visit import Visit

DRAWN = ("--method", "length", "--budget", "100%")


def killed_at_the_second(task: Visit) -> None:
    """What the system does to a worker that takes too much: here at one shard."""
    if task.piece.shard.path.endswith("b.jsonl"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_told_of_with_its_shard(tmp_path: Path):
    for name in ("a", "b"):
        jsonl(tmp_path / f"{name}.jsonl", real_lines()[:5])
    pieces = plan(find([str(tmp_path)]))
    tasks = [Visit(piece, Fields(text="text"), (), tmp_path / "store", ()) for piece in pieces]
    with Local(2) as local, pytest.raises(RunError) as refused:
        list(local.map(killed_at_the_second, tasks))
    sentence = str(refused.value)
    assert "b.jsonl" in sentence and "--workers" in sentence and "--memory" in sentence and "kept" in sentence


def starved(arguments: list[object], megabytes: int, out: Path) -> None:
    """The command, after a small run that loads what it needs, with so much more address space and no more."""
    warm = packed(out.parent / "warm" / "a.jsonl", real_lines()[0])
    assert assay("select", warm, *DRAWN, "--workers", "1", "-q", "--out", out.parent / "warm" / "run").code == 0
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    answer = assay(*arguments)
    out.write_text(json.dumps({"code": answer.code, "err": answer.err}))


def test_memory_that_runs_out_is_told_of_with_the_shard(
    tmp_path: Path, forks: multiprocessing.context.ForkServerContext
):
    lines = [real_lines()[0], b'{"text": "' + b"much " * 10_000_000 + b'"}', real_lines()[1]]
    path = packed(tmp_path / "pool" / "big.jsonl", b"\n".join(lines))
    arguments = ["select", path, *DRAWN, "--workers", "1", "-q", "--out", tmp_path / "run"]
    process = forks.Process(target=starved, args=(arguments, 90, tmp_path / "told"))
    process.start()
    process.join(120)
    told = json.loads((tmp_path / "told").read_text())
    assert told["code"] == 2 and "Traceback" not in told["err"], told
    assert "memory ran out at" in told["err"] and "big.jsonl" in told["err"] and "--workers" in told["err"]
    done(path, *DRAWN, "--out", tmp_path / "run")
    accounted(tmp_path / "run", lines)
    done(path, *DRAWN, "--out", tmp_path / "alone")
    assert products(tmp_path / "run") == products(tmp_path / "alone")
