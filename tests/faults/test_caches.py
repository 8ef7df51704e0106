"""What the store may serve: nothing of another pool, of an older version, or of a file that only looks the same; and no answer
depends on a clock, or on what order files' times are in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import done, packed, products, told
from faults import DATA, accounted, finished, pool, real_lines

from assay import io, run

DSIR = ("--target", DATA / "target.jsonl", "--method", "dsir", "--budget", "20%")
YEAR = 365 * 24 * 3600


def read_again(folder: Path, out: str, *asked: object) -> dict[str, int]:
    """Bytes that each stage read, in a run that shares the store of the others."""
    done(folder / "pool", *DSIR, *asked, "--store", folder / "store", "--out", folder / out)
    stages: dict[str, int] = {}
    for stage in told(folder / out)["stages"]:
        stages[stage["stage"]] = stages.get(stage["stage"], 0) + stage["bytes"]
    return stages


def test_files_times_and_clocks_that_go_back_change_nothing(tmp_path: Path):
    lines = pool(tmp_path / "pool", rows=90)
    assert sum(read_again(tmp_path, "now").values())
    for out, years in (("future", 60), ("past", -50)):  # a clock moved back makes every file one of the future
        for number, path in enumerate(sorted((tmp_path / "pool").iterdir())):
            at = path.stat().st_ctime + (years - 5 * number) * YEAR
            os.utime(path, (at, at))
        read_again(tmp_path, out)
        assert products(tmp_path / out) == products(tmp_path / "now")
        accounted(tmp_path / out, lines)
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (1, 1))
    assert "score dsir" not in read_again(tmp_path, "old store")
    assert products(tmp_path / "old store") == products(tmp_path / "now")


def test_other_text_of_the_same_size_and_time_is_other_text(tmp_path: Path):
    content = b"".join(line + b"\n" for line in real_lines()[:60])
    path = packed(tmp_path / "pool" / "a.jsonl", content)
    read_again(tmp_path, "first")
    times = path.stat()
    with path.open("r+b") as file:  # in place: also the inode is the same
        file.write(b"".join(line + b"\n" for line in sorted(real_lines()[:60])))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns and path.stat().st_size == times.st_size
    read_again(tmp_path, "second")
    accounted(tmp_path / "second", sorted(real_lines()[:60]))
    done(tmp_path / "pool", *DSIR, "--out", tmp_path / "alone")
    assert products(tmp_path / "second") == products(tmp_path / "alone")


def test_another_pool_of_the_same_names_and_rows_is_another_pool(tmp_path: Path):
    for folder, first in (("one", 0), ("two", 60)):
        packed(
            tmp_path / folder / "pool" / "a.jsonl", b"".join(row + b"\n" for row in real_lines()[first : first + 60])
        )
        (tmp_path / folder / "store").symlink_to(tmp_path / "shared", target_is_directory=True)
    (tmp_path / "shared").mkdir()
    read_again(tmp_path / "one", "run")
    assert {"score dsir", "fit count"} <= {name for name, size in read_again(tmp_path / "two", "run").items() if size}
    accounted(tmp_path / "two" / "run", real_lines()[60:120])
    done(tmp_path / "two" / "pool", *DSIR, "--out", tmp_path / "alone")
    assert products(tmp_path / "two" / "run") == products(tmp_path / "alone")


@pytest.mark.parametrize("what", ["version", "method", "kernels"])
def test_what_an_older_version_stored_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str):
    lines = pool(tmp_path / "pool", rows=60)
    read_again(tmp_path, "today")
    before = finished(tmp_path)
    assert not any(read_again(tmp_path, "again").values())
    if what == "version":
        monkeypatch.setattr(io.store, "__version__", "0.0.1")
        monkeypatch.setattr(run.passes, "__version__", "0.0.1")
    elif what == "kernels":
        monkeypatch.setattr(run.source, "_kernels_digest", lambda: b"older")
    else:
        source = run.source.inspect.getsource
        monkeypatch.setattr(run.source.inspect, "getsource", lambda thing: source(thing) + "# older")
    stages = read_again(tmp_path, "older")
    assert stages["fit count"] and stages["score dsir"]
    assert products(tmp_path / "older") == products(tmp_path / "today")
    accounted(tmp_path / "older", lines)
    assert before  # what was there stays there, for whoever it belongs to
