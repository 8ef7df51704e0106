"""A disk that is full, at the writing of every kind of file: one sentence, then room, and the rerun gives the same bytes.

The disk is a small tmpfs where this user may mount one; elsewhere a limit on file sizes stands for it (the system then says
that a file may not grow, at the same calls). Which one it was is told in the test's properties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import assay, packed, products
from faults import DATA, Disk, accounted, pool, small_disk, through_all, when_writing

# Every kind of file that a selection writes, in the order in which it does.
WRITTEN = {
    "recipe": "recipe.json", "quarantined rows": "unreadable/", "index": "index-", "columns": "columns-", "records": "records-",
    "join": "shuffles/", "fit": "part-", "learnt": "learnt/", "score": "score-", "ledger": ".parts/ledger",
    "manifest": "manifest.parquet/", "copied rows": ".parts/.0", "selected": "selected/", "quarantine": "quarantine.jsonl",
    "what was learnt": "fitted/", "account": "run.json",
}  # fmt: skip
CLEAN = '{ filter = "gopher_quality", min_doc_words = 12 }, { edit = "pii_mask" }, { edit = "drop_repeated_lines" }'


@pytest.fixture
def disk(record_property: Callable[[str, object], None]) -> Iterator[Disk]:
    """A disk to fill."""
    with small_disk() as made:
        record_property("full disk", made.kind)
        yield made


def refused(disk: Disk, word: str, arguments: list[object]) -> str:
    """What the command says when the disk is full from the moment it writes such a file; then there is room again."""
    with when_writing(word, disk.fill):
        answer = assay(*arguments)
    disk.empty()
    return answer.sentence


def test_full_at_every_kind_of_file_of_a_selection(tmp_path: Path, disk: Disk):
    lines = pool(tmp_path / "pool")
    assert assay(*through_all(tmp_path, tmp_path / "whole")).code == 0
    run = disk.folder / "run"
    for kind, word in WRITTEN.items():
        sentence = refused(disk, word, through_all(tmp_path, run))
        assert f"{run}" in sentence and "is full" in sentence and "bytes free" in sentence, f"{kind}: {sentence}"
        assert "make room" in sentence and not (run / "run.json").exists()
    assert assay(*through_all(tmp_path, run)).code == 0
    assert products(run) == products(tmp_path / "whole") and not list(run.glob("**/*.tmp-*"))
    accounted(run, lines)


def test_full_while_a_verdict_and_a_report_are_written(tmp_path: Path, disk: Disk):
    pool(tmp_path / "pool")
    run = disk.folder / "run"
    assert assay(*through_all(tmp_path, run)).code == 0
    before = products(run)
    held = packed(tmp_path / "held.jsonl", b"".join((DATA / "heldout.jsonl").read_bytes().splitlines(True)[:12]))
    verify = ["verify", run, "--eval", held, "--seeds", "3", "--workers", "1", "-q"]
    for word, arguments in (("verdict.json", verify), ("report.html", ["report", run])):
        assert "is full" in refused(disk, word, arguments)
        assert not (run / word).exists() and assay(*arguments).code == 0
    assert products(run) == before


def test_full_while_edited_rows_are_written(tmp_path: Path, disk: Disk):
    pool(tmp_path / "pool")
    recipe = packed(tmp_path / "edits.toml", f"steps = [{CLEAN}]".encode())
    asked = ["clean", tmp_path / "pool", "--recipe", recipe, "--workers", "1", "-q", "--out"]
    assert assay(*asked, tmp_path / "whole").code == 0
    for word in ("edited-", ".parts/.0"):
        assert "is full" in refused(disk, word, [*asked, disk.folder / "run"])
    assert assay(*asked, disk.folder / "run").code == 0
    assert products(disk.folder / "run") == products(tmp_path / "whole")
    accounted(disk.folder / "run", edited=True)


def test_a_limit_on_file_sizes_is_said_for_what_it_is(tmp_path: Path):
    lines, limit = pool(tmp_path / "pool"), Disk("limit", tmp_path)
    try:
        sentence = refused(limit, "score-", through_all(tmp_path, tmp_path / "run"))
    finally:
        limit.empty()
    assert "ulimit -f" in sentence and str(tmp_path / "run") in sentence
    assert assay(*through_all(tmp_path, tmp_path / "run")).code == 0
    accounted(tmp_path / "run", lines)
