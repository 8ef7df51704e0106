"""Two runs at once: one folder is refused to the second, and one store is shared by any number of runs and pools."""

from __future__ import annotations

import multiprocessing.context
from pathlib import Path

from command import assay, products
from faults import accounted, pool, through_all, when_writing


def quietly(arguments: list[object]) -> None:
    """The command, its exit code this process's."""
    raise SystemExit(assay(*arguments).code)


def test_a_second_run_into_one_folder_is_refused_and_the_first_goes_on(tmp_path: Path):
    lines, answers = pool(tmp_path / "pool", rows=90), []
    again = through_all(tmp_path, tmp_path / "run")
    with when_writing(
        "score-", lambda: answers.append(assay(*again))
    ):  # both within one process: the lock is the file's
        assert assay(*again).code == 0
    assert "is being written by another run" in answers[0].sentence and str(tmp_path / "run") in answers[0].sentence
    accounted(tmp_path / "run", lines)


def test_two_pools_and_two_runs_of_one_share_a_store_at_once(
    tmp_path: Path, forks: multiprocessing.context.ForkServerContext
):
    lines = {name: pool(tmp_path / name / "pool", rows) for name, rows in (("one", 90), ("two", 130))}
    store, asked = ("--store", tmp_path / "store"), {}
    for name, folder, out in (("one", "one", "a"), ("again", "one", "b"), ("two", "two", "c")):
        asked[name] = through_all(tmp_path / folder, tmp_path / out, *store)
    processes = [forks.Process(target=quietly, args=(arguments,)) for arguments in asked.values()]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    for folder, out in (("one", "a"), ("one", "b"), ("two", "c")):
        alone = tmp_path / f"alone-{folder}"
        assert assay(*through_all(tmp_path / folder, alone)).code == 0
        assert products(tmp_path / out) == products(alone)
        accounted(tmp_path / out, lines[folder])
