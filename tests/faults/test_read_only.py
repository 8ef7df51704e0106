"""Folders that may not be written, as a user whom modes concern: one sentence, nothing half-written, and then it works."""

from __future__ import annotations

import json
import multiprocessing.context
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import assay, packed, products
from faults import DATA, accounted, pool

DSIR = ("--target", DATA / "target.jsonl", "--method", "dsir", "--budget", "20%", "--workers", "1", "-q")
NOBODY = 65534


def as_nobody(commands: list[list[object]], warm: list[object], out: Path) -> None:
    """Each command's exit code and error, run as a user without rights; what they import is loaded before."""
    assert assay(*warm).code == 0
    os.umask(0o022)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    answers = [assay(*arguments) for arguments in commands]
    out.write_text(json.dumps([(answer.code, answer.err) for answer in answers]))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anyone may reach, other than pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="assay-read-only-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_folders_that_may_not_be_written(open_folder: Path, forks: multiprocessing.context.ForkServerContext):
    lines = pool(open_folder / "pool", rows=90)
    target = packed(open_folder / "target.jsonl", (DATA / "target.jsonl").read_bytes())
    asked = ["select", open_folder / "pool", "--target", target, *DSIR[2:], "--out"]
    assert assay(*asked, open_folder / "mine" / "run").code == 0
    locked = open_folder / "locked"
    locked.mkdir()
    before = products(open_folder / "mine" / "run")
    for path in [open_folder / "mine", *(open_folder / "mine").rglob("*"), locked]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    commands = [
        [*asked, locked / "run"],
        [*asked, open_folder / "free", "--store", locked / "store"],
        [*asked, open_folder / "mine" / "run"],
        ["report", open_folder / "mine" / "run"],
        ["select", open_folder / "mine" / "run", "--budget", "5%", "-q", "--workers", "1", "--out", locked / "again"],
        [*asked, open_folder / "there"],
    ]
    warm = [*asked, open_folder / "warm"]
    process = forks.Process(target=as_nobody, args=(commands, warm, open_folder / "told"))
    process.start()
    process.join(120)
    answers = json.loads((open_folder / "told").read_text())
    for (code, err), command in zip(answers[:-1], commands[:-1], strict=True):
        folder = "locked" if "locked" in str(command) else "mine"
        assert code == 2 and len(err.strip().splitlines()) == 1 and "Traceback" not in err, err
        assert str(open_folder / folder) in err and "ermission denied" in err, err
    assert list(locked.iterdir()) == [] and products(open_folder / "mine" / "run") == before
    assert answers[-1][0] == 0, answers[-1]
    accounted(open_folder / "there", lines)
    locked.chmod(0o777)
    assert assay(*asked, locked / "run").code == 0 and products(locked / "run") == before
