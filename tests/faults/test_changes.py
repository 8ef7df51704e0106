"""Files that change, grow, shrink or vanish while a run reads them: refused with their name, never mixed, and nothing of the
other content is kept: with the old content back, the same command gives the bytes of an undisturbed run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import assay, done, jsonl, packed, products, select
from faults import DATA, accounted, pool, real_lines, when_writing

WHEN = {"count": "index-", "fit": "part-", "score": "score-", "copy": ".parts/.0"}
DSIR = ("--target", DATA / "target.jsonl", "--method", "dsir", "--budget", "20%", "--where", "bytes > 9")


def swapped(path: Path) -> None:
    """Other text of the same size, and the time of before: what `stat` tells of a file's content is the same."""
    times, content = path.stat(), path.read_bytes()
    with path.open("r+b") as file:
        file.write(content.swapcase() if path.suffix == ".jsonl" else content[::-1])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def grown(path: Path) -> None:
    """One more line, or what a packed file makes of it."""
    with path.open("ab") as file:
        file.write(b'{"text": "one more line"}\n')


def shrunk(path: Path) -> None:
    """Half of it."""
    os.truncate(path, path.stat().st_size // 2)


HOW = {"swapped": swapped, "grown": grown, "shrunk": shrunk, "vanished": Path.unlink}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("changes")
    pool(folder / "pool", rows=90)
    done(folder / "pool", *DSIR, "--out", folder / "run")
    return folder / "run"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("when", WHEN)
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, undisturbed: Path, when: str, how: str):
    lines = pool(tmp_path / "pool", rows=90)
    name = {"swapped": "a.jsonl", "grown": "b.jsonl.gz", "shrunk": "a.jsonl", "vanished": "c.jsonl.zst"}[how]
    path = tmp_path / "pool" / name
    content = path.read_bytes()
    # Read up to its end, and not yet stored: what was read before may be another content than what was read after.
    with when_writing(WHEN[when], lambda: HOW[how](path)):
        sentence = select(tmp_path / "pool", *DSIR, "--out", tmp_path / "run").sentence
    told = ("changed", "no longer there", "shorter", "cannot be read")
    assert name in sentence and any(words in sentence for words in told), sentence
    assert not (tmp_path / "run" / "run.json").exists() and not list((tmp_path / "run").glob("selected/*"))
    path.write_bytes(content)
    done(tmp_path / "pool", *DSIR, "--out", tmp_path / "run")
    same(tmp_path / "run", undisturbed)
    accounted(tmp_path / "run", lines)


def same(run: Path, other: Path) -> None:
    """The same bytes, but for where the quarantine says that the files lie."""
    mine, theirs = dict(products(run)), dict(products(other))
    assert mine.pop("quarantine.jsonl").count(b"\n") == theirs.pop("quarantine.jsonl").count(b"\n")
    assert mine == theirs


def test_what_was_read_of_a_changing_file_serves_no_later_run(tmp_path: Path):
    content = b"".join(line + b"\n" for line in real_lines()[:60])
    path, store = packed(tmp_path / "pool.jsonl", content), ("--store", tmp_path / "store")
    done(path, *DSIR, "--out", tmp_path / "first", *store)
    # Counted by the first run; the second scores it for another target, and other text comes meanwhile.
    other = jsonl(tmp_path / "other.jsonl", real_lines()[60:80])
    asked = (path, "--target", other, *DSIR[2:])
    with when_writing("score-", lambda: swapped(path)):
        assert "pool.jsonl has changed" in select(*asked, *store, "--out", tmp_path / "second").sentence
    path.unlink()
    path.write_bytes(content)
    done(*asked, *store, "--out", tmp_path / "third")
    done(*asked, "--out", tmp_path / "alone")
    assert products(tmp_path / "third") == products(tmp_path / "alone")


@pytest.mark.parametrize("how", HOW)
def test_a_file_that_changed_after_the_selection(tmp_path: Path, how: str):
    lines = pool(tmp_path / "pool", rows=90)
    path, run = tmp_path / "pool" / "a.jsonl", tmp_path / "run"
    done(tmp_path / "pool", *DSIR, "--out", run)
    before, content = products(run), path.read_bytes()
    HOW[how](path)
    again = ("--budget", "5%", "--out", tmp_path / "again")
    held = jsonl(tmp_path / "held.jsonl", real_lines()[-12:])
    for sentence in (
        select(run, *again).sentence,
        assay("verify", run, "--eval", held, "--workers", "1", "-q").sentence,
        assay("arms", run, "--write", "rows", "--out", tmp_path / "arms", "--workers", "1", "-q").sentence,
    ):
        assert "a.jsonl" in sentence and ("changed" in sentence or "no longer" in sentence), sentence
    assert not list((tmp_path / "again").glob("selected/*")) and products(run) == before
    accounted(run)
    path.write_bytes(content)
    done(tmp_path / "pool", *DSIR, "--out", run)  # the same content under another time: the run stands
    assert products(run) == before
    accounted(run, lines)
