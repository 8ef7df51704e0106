"""Tools of the fault tests: a pool of real text, a run through every stage, something to do at a chosen write, and the checker.

`accounted` is the one check after every fault: input = chosen + not chosen + quarantined, row by row. It reads `run.json`,
`manifest.parquet` and `quarantine.jsonl`, and where it is given the input's lines also `selected/`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import zstandard
from command import ROOT, assay, manifest, packed, quarantined, selected, told

HEAD = 1 << 16  # bytes of a quarantined line that the quarantine keeps
STAYS = ("chosen", "kept")
DATA = ROOT / "examples" / "data"
BROKEN = b'{"text": "a line that stops in the middl'
RECIPE = """
steps = [
  { filter = "gopher_quality", min_doc_words = 12 },
  { group = "minhash" },
  { score = "dsir" },
  { select = "top_k", budget = "20%" },
]
"""


# --- A pool and a run -------------------------------------------------------------------------------------------------


@cache
def real_lines() -> tuple[bytes, ...]:
    """The example pool's lines: ten thousand documents of nine kinds."""
    content = zstandard.ZstdDecompressor().stream_reader((DATA / "pool.jsonl.zst").open("rb")).read()
    return tuple(content.splitlines())


def pool(folder: Path, rows: int = 240) -> list[bytes]:
    """Write three shards, two of them packed, with near-duplicates and a broken line; the lines in the pool's order."""
    lines = [*real_lines()[:rows], BROKEN, *real_lines()[: rows // 6]]
    cuts = [0, len(lines) // 3, 2 * len(lines) // 3, len(lines)]
    for name, start, stop in zip(("a.jsonl", "b.jsonl.gz", "c.jsonl.zst"), cuts, cuts[1:], strict=False):
        packed(folder / name, b"".join(line + b"\n" for line in lines[start:stop]))
    return lines


def through_all(folder: Path, out: Path, *more: object) -> list[object]:
    """`assay select` through every stage there is: count, rules, near-duplicates, fit, score, choice."""
    recipe = folder / "mine.toml"
    if not recipe.exists():
        packed(recipe, RECIPE.encode())
    asked = ["select", folder / "pool", "--recipe", recipe, "--target", DATA / "target.jsonl"]
    return [*asked, "--workers", "1", "-q", "--out", out, *more]


# --- The checker ------------------------------------------------------------------------------------------------------


def accounted(run: Path, lines: Sequence[bytes] | None = None, rows: int | None = None, edited: bool = False) -> None:
    """Every input row appears exactly once: chosen (or kept), not chosen with a reason, or quarantined with its bytes.

    `lines` are the input's rows as they lie in the files (JSON lines without LF): then what was chosen must be these bytes,
    once each and in this order, unless the run has `edited` them, and what was quarantined must be among them.
    """
    table, counts, refused = manifest(run), told(run)["counts"], quarantined(run)
    rows = len(lines) if lines is not None else counts["input"] if rows is None else rows
    assert table["row"].to_list() == list(range(rows)), "a row is missing, or stands there twice"
    status = dict(table.select("row", "status").iter_rows())
    by_status = dict(table.group_by("status").len().iter_rows())
    stays = next(name for name in STAYS if name in counts)
    assert set(by_status) <= {stays, "not_chosen", "quarantined"}
    assert {name: counts[name] for name in (stays, "not_chosen", "quarantined")} == {
        name: by_status.get(name, 0) for name in (stays, "not_chosen", "quarantined")
    }
    assert sum(by_status.values()) == counts["input"] == rows
    assert [entry["row"] for entry in refused] == [row for row in range(rows) if status[row] == "quarantined"]
    assert len({(entry["file"], entry["line"]) for entry in refused}) == len(refused)
    assert table.filter(pl.col("status") != stays)["reason"].str.len_chars().min() != 0
    assert sum(one["rows"] for one in told(run)["quarantine"]) == len(refused)
    if stays == "chosen":
        ranks = table.filter(pl.col("status") == "chosen")["rank"].sort().to_list()
        assert ranks == list(range(1, len(ranks) + 1))
    if lines is None:
        return
    assert all(entry["raw"] == lines[entry["row"]][:HEAD] for entry in refused)
    wanted = [lines[row] for row in range(rows) if status[row] == stays]
    out = selected(run).split(b"\n")[:-1]
    assert len(out) == len(wanted) and (edited or out == wanted)


def lost(run: Path, lines: Sequence[bytes]) -> int:
    """How many of the input's rows no output knows: absent from the manifest, or chosen or quarantined and not there."""
    status = dict(manifest(run).select("row", "status").iter_rows())
    absent = sum(row not in status for row in range(len(lines)))
    chosen = Counter(lines[row] for row, told in status.items() if told in STAYS)
    refused = Counter(lines[row][:HEAD] for row, told in status.items() if told == "quarantined")
    chosen -= Counter(selected(run).split(b"\n"))
    refused -= Counter(entry["raw"] for entry in quarantined(run))
    return absent + chosen.total() + refused.total()


# --- Something to do at a write ---------------------------------------------------------------------------------------


@dataclass
class Moment:
    """When a file whose path holds `word` is opened for writing for the `nth` time: do something, once."""

    word: str
    action: Callable[[], object]
    nth: int = 1
    seen: int = 0


@dataclass
class Watch:
    """What this process opens and renames, as the interpreter's own audit events tell it; hooks cannot be taken off again."""

    moments: list[Moment] = field(default_factory=list)
    renamed: list[str] | None = None
    hooked: bool = False

    def hook(self) -> None:
        """From here on listen."""
        if not self.hooked:
            self.hooked = True
            sys.addaudithook(self.heard)

    def heard(self, event: str, values: tuple[Any, ...]) -> None:
        """An audit event: a file about to be opened for writing, or about to get its name."""
        if event == "open" and self.moments and isinstance(values[0], str) and values[2] & os.O_CREAT:
            for moment in [moment for moment in self.moments if moment.word in values[0]]:
                moment.seen += 1
                if moment.seen == moment.nth:
                    self.moments.remove(moment)
                    moment.action()
        elif event == "os.rename" and self.renamed is not None and ".tmp-" in str(values[0]):
            self.renamed.append(str(values[1]))


WATCH = Watch()


@contextlib.contextmanager
def when_writing(word: str, action: Callable[[], object], nth: int = 1) -> Iterator[Moment]:
    """Do something just before a file whose path holds `word` is written, for the `nth` time; it must come to that."""
    WATCH.hook()
    moment = Moment(word, action, nth)
    WATCH.moments.append(moment)
    try:
        yield moment
    finally:
        with contextlib.suppress(ValueError):
            WATCH.moments.remove(moment)
    assert moment.seen >= nth, f"nothing was written to {word!r} {nth} times, so the fault was never made"


@contextlib.contextmanager
def renames() -> Iterator[list[str]]:
    """The files that get their final names meanwhile."""
    WATCH.hook()
    WATCH.renamed = names = []
    try:
        yield names
    finally:
        WATCH.renamed = None


def kill_when_writing(word: str, nth: int, arguments: Sequence[object]) -> None:
    """In a process of its own: run the command, and die by SIGKILL just before it writes a file whose path holds `word`."""
    with when_writing(word, lambda: os.kill(os.getpid(), signal.SIGKILL), nth):
        assay(*arguments)


def finished(run: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every finished shard: results in the store, of joins, of the manifest and of the selection."""
    kept = {}
    for path in run.rglob("*"):
        place = path.relative_to(run).as_posix()
        shard = place.startswith(
            ("store/shards/", "store/partial/", "store/shuffles/", "selected/", "manifest.parquet/")
        )
        if shard and path.is_file() and not path.name.startswith("."):
            status = path.stat()
            kept[place] = (status.st_ino, status.st_mtime_ns)
    return kept


def redone(before: dict[str, tuple[int, int]], written: Sequence[str], run: Path) -> list[str]:
    """Finished shards that were made a second time: written again under their name, or another file than they were.

    A shard's results move from `partial/` to where its content says; a move keeps the file's inode and time.
    """
    again = {Path(name).relative_to(run).as_posix() for name in written if Path(name).is_relative_to(run)}
    after = finished(run)
    moved = {(Path(place).name, *told) for place, told in after.items()}
    there = {Path(place).name for place in after}
    return [
        place
        for place, told in before.items()
        if place in again or (Path(place).name in there and (Path(place).name, *told) not in moved)
    ]


# --- Full disks -------------------------------------------------------------------------------------------------------


class Disk:
    """A folder whose disk can be filled and emptied: a small tmpfs, or where mounting is refused a limit on file sizes."""

    def __init__(self, kind: str, folder: Path):
        self.kind, self.folder = kind, folder

    def fill(self) -> None:
        """From here on nothing can be written."""
        if self.kind == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            return
        with contextlib.suppress(OSError), open(self.folder / "filler", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """There is room again."""
        if self.kind == "limit":
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        else:
            (self.folder / "filler").unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(megabytes: int = 48) -> Iterator[Disk]:
    """A tmpfs if this user may mount one, otherwise a folder under a limit on file sizes."""
    folder = Path(tempfile.mkdtemp(prefix="assay-full-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    disk = Disk("tmpfs" if mounted else "limit", folder)
    try:
        yield disk
    finally:
        disk.empty()
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        subprocess.run(["rm", "-rf", str(folder)], check=False)
