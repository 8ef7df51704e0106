"""Killed with -9 in every stage, just before a shard gets its name: the rerun gives the same bytes and redoes nothing finished.

`bench/prove_faults.py` does the same at fifty moments of a larger run, by the clock, with two workers.
"""

from __future__ import annotations

import multiprocessing.context
from pathlib import Path

import pytest
from command import assay, products
from faults import accounted, finished, kill_when_writing, pool, redone, renames, through_all

# What a stage writes, and before which of its files the process dies.
STAGES = {
    "count": ("index-", 2), "emit": ("records-", 2), "join": ("shuffles/", 2), "fit": ("part-", 3), "score": ("score-", 2),
    "manifest": ("manifest.parquet/", 2), "write": ("selected/", 2),
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A pool, and a run of it that nobody killed."""
    folder = tmp_path_factory.mktemp("kills")
    lines = pool(folder / "pool")
    assert assay(*through_all(folder, folder / "whole")).code == 0
    accounted(folder / "whole", lines)
    return folder, lines


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_stage_and_run_again(
    tmp_path: Path, undisturbed: tuple[Path, list[bytes]], forks: multiprocessing.context.ForkServerContext, stage: str
):
    folder, lines = undisturbed
    arguments = through_all(folder, tmp_path / "run")
    process = forks.Process(target=kill_when_writing, args=(*STAGES[stage], arguments))
    process.start()
    process.join(120)
    assert process.exitcode == -9 and not (tmp_path / "run" / "run.json").exists()
    before = finished(tmp_path / "run")
    with renames() as written:
        assert assay(*arguments).code == 0
    assert products(tmp_path / "run") == products(folder / "whole")
    assert redone(before, written, tmp_path / "run") == []
    assert before or stage == "count"
    accounted(tmp_path / "run", lines)
