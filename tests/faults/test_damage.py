"""Damaged files of every format: truncated, a byte flipped anywhere, a bomb, a line too long. Every row is accounted for, what
is refused is refused in one sentence that names the file, nothing crashes, and memory stays bounded."""

from __future__ import annotations

import gzip
import json
import multiprocessing.context
import resource
import shutil
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from command import assay, done, manifest, packed, quarantined, select, told
from faults import accounted, real_lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EVERYTHING = ("--method", "length", "--budget", "100%")
LINES = [*real_lines()[:20], *(line[:300] for line in real_lines()[20:24]), *real_lines()[24:40]]
CONTENT = b"".join(line + b"\n" for line in LINES)
FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "csv", "json", "arrow")


def made(folder: Path, form: str) -> bytes:
    """The same rows in a form, as bytes."""
    rows = [json.loads(line) for line in LINES[:20]]
    table = pa.table({"id": [row["id"] for row in rows], "text": [row["text"] for row in rows]})
    if form == "parquet":
        pq.write_table(table, folder / "made", row_group_size=8, compression="zstd", write_page_checksum=True)
        return (folder / "made").read_bytes()
    if form == "arrow":
        with pa.ipc.new_file(folder / "made", table.schema) as writer:
            writer.write_table(table)
        return (folder / "made").read_bytes()
    if form == "csv":
        return b"id,text\n" + b"".join(b'%d,"%s"\n' % (k, row["id"].encode() * 9) for k, row in enumerate(rows))
    if form == "json":
        return json.dumps(rows).encode()
    if form == "jsonl.zst":  # in frames, as a writer that flushes makes them: one block is read whole or not at all
        return b"".join(zstandard.compress(CONTENT[at : at + 4000]) for at in range(0, len(CONTENT), 4000))
    return packed(folder / f"made.{form}", CONTENT).read_bytes()


def survived(path: Path, run: Path) -> bool:
    """Whether the file could be read; every row is accounted for then, else one sentence names the file."""
    answer = select(path, *EVERYTHING, "--text-field", "text", "--out", run)
    if answer.code == 0:
        accounted(run)
        return True
    assert path.name in answer.sentence or "at least one readable row" in answer.sentence, answer.err
    return False


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_anywhere(tmp_path: Path, form: str, data: st.DataObject):
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    content = bytearray(made(tmp_path, form))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = packed(tmp_path / f"x.{form.split('.')[0]}", b"")
    path = path.rename(tmp_path / f"pool.{form}")
    path.write_bytes(content)
    if survived(path, tmp_path / "run") and form == "jsonl":
        accounted(tmp_path / "run", [line for line in bytes(content).split(b"\n") if line.strip()])


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_ends_early(tmp_path: Path, form: str):
    content = made(tmp_path, form)
    read = []
    for share in (0.999, 0.6, 0.02):
        path = tmp_path / f"pool.{form}"
        path.write_bytes(content[: int(share * len(content))])
        run = tmp_path / f"run-{share}"
        if survived(path, run):
            read.append(told(run)["counts"])
            if form in ("jsonl.gz", "jsonl.zst"):
                assert "ends early" in quarantined(run)[-1]["reason"]
    assert bool(read) == (form not in ("parquet", "arrow"))  # which say at their end where everything lies
    assert all(one["not_chosen"] == 0 for one in read) and (not read or read[0]["chosen"] >= 18)


def test_truncated_parts_of_a_pool_do_not_cost_the_others(tmp_path: Path):
    for form in ("jsonl", "jsonl.gz", "jsonl.zst"):
        content = made(tmp_path, form)
        (tmp_path / "pool").mkdir(exist_ok=True)
        (tmp_path / "pool" / f"part.{form}").write_bytes(content[: -len(content) // 3])
    done(tmp_path / "pool", *EVERYTHING, "--out", tmp_path / "run")
    accounted(tmp_path / "run")
    assert {Path(entry["file"]).suffix for entry in quarantined(tmp_path / "run")} == {".jsonl", ".gz", ".zst"}


# --- Bombs and long lines ---------------------------------------------------------------------------------------------


def bomb(path: Path, line: bytes, megabytes: int) -> Path:
    """A small file that unpacks to a row that can be read, and then to so many megabytes."""
    packer = (
        zstandard.ZstdCompressor(9).compressobj() if path.suffix == ".zst" else zlib.compressobj(9, zlib.DEFLATED, 31)
    )
    block = line * ((1 << 20) // len(line))
    with path.open("wb") as file:
        file.write(packer.compress(LINES[0] + b"\n"))
        for _ in range(megabytes):
            file.write(packer.compress(block))
        file.write(packer.flush())
    return path


def told_memory(arguments: list[object], out: Path) -> None:
    """In a process of its own: run the command, and leave its exit code and the memory that it took beyond its start."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = assay(*arguments).code
    out.write_text(json.dumps({"code": code, "kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}))


@pytest.mark.parametrize(("name", "megabytes"), [("b.jsonl.zst", 300), ("b.jsonl.gz", 120)])
def test_a_bomb_ends_in_one_row_and_little_memory(
    tmp_path: Path, forks: multiprocessing.context.ForkServerContext, name: str, megabytes: int
):
    path, run = bomb(tmp_path / name, b"x", megabytes), tmp_path / "run"
    assert path.stat().st_size < 300_000
    asked = ["select", path, *EVERYTHING, "--text-field", "text", "--workers", "1", "-q", "--out", run]
    process = forks.Process(target=told_memory, args=(asked, tmp_path / "told"))
    process.start()
    process.join(120)
    told_of = json.loads((tmp_path / "told").read_text())
    assert told_of["code"] == 0 and told_of["kb"] < 500_000, told_of
    accounted(run, rows=2)
    (entry,) = quarantined(run)
    assert "zip bomb" in entry["reason"] and "unpack it first" in entry["reason"] and entry["file"].endswith(name)


def test_many_rows_that_cannot_be_read_take_little_memory(
    tmp_path: Path, forks: multiprocessing.context.ForkServerContext
):
    rows, run = 70_000, tmp_path / "run"  # more than are read at a time
    path = packed(tmp_path / "b.jsonl.zst", LINES[0] + b"\n" + b"[]\n" * rows)
    asked = ["select", path, *EVERYTHING, "--text-field", "text", "--workers", "1", "-q", "--out", run]
    process = forks.Process(target=told_memory, args=(asked, tmp_path / "told"))
    process.start()
    process.join(120)
    told_of = json.loads((tmp_path / "told").read_text())
    assert told_of["code"] == 0 and told_of["kb"] < 400_000, told_of
    assert told(run)["counts"] | {"chosen": 1, "quarantined": rows, "input": rows + 1} == told(run)["counts"]
    assert manifest(run)["row"].to_list() == list(range(rows + 1))


def test_a_line_of_a_hundred_megabytes(tmp_path: Path):
    long = b'{"text": "' + b"long " * 20_000_000 + b'"}'
    lines = [LINES[0], long, LINES[1]]
    path = packed(tmp_path / "pool.jsonl", b"\n".join(lines))
    done(path, *EVERYTHING, "--out", tmp_path / "run")
    accounted(tmp_path / "run", lines)
    (entry,) = quarantined(tmp_path / "run")
    assert (entry["line"], entry["offset"], entry["length"]) == (2, len(LINES[0]) + 1, len(long))
    assert "64000000" in entry["reason"]


def test_a_window_that_no_reader_should_hold_is_named(tmp_path: Path):
    window = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=window).compressobj()
    path = tmp_path / "pool.jsonl.zst"
    path.write_bytes(zstandard.compress(CONTENT) + packer.compress(CONTENT) + packer.flush())
    done(path, *EVERYTHING, "--out", tmp_path / "run")
    accounted(tmp_path / "run")
    (entry,) = [entry for entry in quarantined(tmp_path / "run") if "window" in entry["reason"]]
    assert "pack it again" in entry["reason"] and told(tmp_path / "run")["counts"]["chosen"] >= 36


def test_a_member_after_damage_is_not_read_as_a_file_of_its_own(tmp_path: Path):
    whole = gzip.compress(CONTENT)
    path = tmp_path / "pool.jsonl.gz"
    path.write_bytes(whole[:-20] + whole)
    done(path, *EVERYTHING, "--out", tmp_path / "run")
    accounted(tmp_path / "run")
    assert quarantined(tmp_path / "run")[-1]["reason"].startswith("the gzip data is damaged")
