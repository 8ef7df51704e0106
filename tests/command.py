"""The command inside this process, small pools of real text, and what a run folder holds: tools that tests share."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from assay import cli, gallery

COMMAND = Path(sys.executable).parent / "assay"
ROOT = Path(__file__).parent.parent
CLEANING = gallery.cleaning()
STAGED = [name for name in gallery.shipped() if name not in CLEANING]


@dataclass(frozen=True)
class Answer:
    """How the command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of a refusal: exit code 2, one line on standard error, no trace."""
        assert self.code == 2, f"exit code {self.code}: {self.out}{self.err}"
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("assay: ") and "Traceback" not in self.err, self.err
        return lines[0].removeprefix("assay: ")


def assay(*arguments: object) -> Answer:
    """Run `assay ARGUMENTS` in this process, which spares a second of imports; the entry point is the command's own."""
    out, err, kept, code = _stream(), _stream(), sys.argv, 0
    sys.argv = ["assay", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.argv = kept
    return Answer(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)


def select(*arguments: object) -> Answer:
    """`assay select` without bars, with one worker."""
    return assay("select", *arguments, "-q", *([] if "--workers" in arguments else ["--workers", "1"]))


def done(*arguments: object) -> Answer:
    """`select`, which must end well."""
    answer = select(*arguments)
    assert answer.code == 0, answer.err
    return answer


@cache
def examples() -> tuple[dict[str, Any], ...]:
    """Real text of three kinds from this repository: its code, its documents, its licence, as they were in November 2026; some
    thousand rows."""
    packed = (ROOT / "tests" / "goldens" / "examples.jsonl.zst").read_bytes()
    return tuple(map(json.loads, zstandard.ZstdDecompressor().decompressobj().decompress(packed).splitlines()))


def line(row: Any) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def jsonl(path: Path, rows: Iterable[Any]) -> Path:
    """Write rows (dicts, or raw lines as bytes) as JSON lines, packed as the suffix says."""
    lines = [row if isinstance(row, bytes) else line(row) for row in rows]
    return packed(path, b"".join(one + b"\n" for one in lines))


def packed(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    if path.suffix == ".zst":
        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    return path


def unpacked(path: Path) -> bytes:
    """A file's content, decompressed as its suffix says."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True).read()
    return content


def manifest(run: Path) -> pl.DataFrame:
    """The manifest in row order."""
    return pl.concat([pl.read_parquet(part) for part in sorted((run / "manifest.parquet").iterdir())])


def chosen(run: Path) -> list[int]:
    """The chosen rows, in row order."""
    return manifest(run).filter(pl.col("status") == "chosen")["row"].to_list()


def ranked(run: Path) -> list[int]:
    """The chosen rows, in order of choice."""
    return manifest(run).filter(pl.col("status") == "chosen").sort("rank")["row"].to_list()


def told(run: Path) -> dict[str, Any]:
    """What `run.json` says."""
    return json.loads((run / "run.json").read_bytes())


def quarantined(run: Path) -> list[dict[str, Any]]:
    """The quarantine, with the raw bytes decoded."""
    entries = [json.loads(entry) for entry in (run / "quarantine.jsonl").read_bytes().splitlines()]
    return [{**entry, "raw": base64.b64decode(entry["raw"])} for entry in entries]


def selected(run: Path) -> bytes:
    """All selected JSON lines, decompressed, in the order of the shards."""
    return b"".join(unpacked(path) for path in sorted((run / "selected").rglob("*")) if path.is_file())


def products(run: Path) -> Mapping[str, bytes]:
    """Every byte that is promised to be the same: `selected/`, `manifest.parquet/`, `quarantine.jsonl`."""
    kept = [
        path for name in ("selected", "manifest.parquet") for path in sorted((run / name).rglob("*")) if path.is_file()
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in [*kept, run / "quarantine.jsonl"]}


def account_holds(run: Path, rows: int) -> None:
    """Input = chosen + not chosen (each with a reason) + quarantined, one line of the manifest for each."""
    lines, counts = manifest(run), told(run)["counts"]
    assert lines["row"].to_list() == list(range(rows))
    by_status = dict(lines.group_by("status").len().iter_rows())
    for status in ("chosen", "not_chosen", "quarantined"):
        assert by_status.get(status, 0) == counts[status]
    assert counts["input"] == rows == sum(by_status.values())
    assert lines.filter(pl.col("status") != "chosen")["reason"].str.len_chars().min() in (None, *range(1, 10_000))
    assert lines.filter(pl.col("status") == "quarantined")["row"].to_list() == [
        entry["row"] for entry in quarantined(run)
    ]
    ranks = lines.filter(pl.col("status") == "chosen")["rank"].sort().to_list()
    assert ranks == list(range(1, counts["chosen"] + 1))


def texts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]
