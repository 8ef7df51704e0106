"""A fuzz run: small valid files and recipes, mutated without end, through every reader and parser that data or users reach.

What must hold of every input: no exception but Assay's own errors; rows read and rows quarantined together are the rows that
there are, by a count that has nothing to do with Assay's where one is possible; what is written is what was read; time and
memory stay bounded. Mutations are drawn by hypothesis (https://hypothesis.works), each target works in a process of its own,
in which kernels check every index (NUMBA_BOUNDSCHECK) and memory is limited; a process that dies, hangs or outgrows its limit
is a crash too. The input that was being tried lies in a file, so that any crash can be repeated.

    python bench/prove_fuzz.py [--minutes 10]

`tests/test_fuzz.py` runs the same targets for a few seconds; every crash that was found is a case there.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import gzip
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from assay import expressions, flags, gallery, general, quotas, recipe
from assay.board import tree as board
from assay.errors import AssayError
from assay.io.fields import Fields, detect, detect_others
from assay.io.reader import read
from assay.io.sources import find, plan
from assay.io.writer import copy_rows, join
from assay.types import Budget

ROOT = Path(__file__).parent.parent
PATIENCE = 20  # seconds that one input may take
ROOM = 2 << 30  # bytes that a process may grow by
COLUMNS = ("id", "source", "score")
FIELDS = Fields(text="text", id="id", source="meta.source", extra=("score",))

ROWS = [
    {"id": f"r{number}", "text": text, "meta": {"source": "web"}, "score": number / 3, "tags": ["a", {"b": None}]}
    for number, text in enumerate(
        ["plain", 'quotes " and \\ and \n', "naïve 世界 \U0001f9ea", "a\tb", "0", " ", "x" * 300]
    )
]
CHAT = {"text": [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": [{"type": "text", "text": "Hello"}]}]}


# --- Inputs ---------------------------------------------------------------------------------------------------------------


def lines(rows: list[dict]) -> bytes:
    """Rows as JSON lines."""
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def in_csv() -> bytes:
    """The same rows as CSV."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "text", "meta.source", "score"])
    writer.writerows([row["id"], row["text"], "web", row["score"]] for row in ROWS)
    return out.getvalue().encode()


def table() -> pa.Table:
    """The same rows as a table."""
    return pa.table({
        "id": [row["id"] for row in ROWS], "text": [row["text"] for row in ROWS], "score": [row["score"] for row in ROWS],
        "meta": [row["meta"] for row in ROWS],
    })  # fmt: skip


def in_parquet(**how: object) -> bytes:
    """The same rows as Parquet."""
    out = io.BytesIO()
    pq.write_table(table(), out, row_group_size=3, **how)
    return out.getvalue()


def in_arrow(stream: bool) -> bytes:
    """The same rows as an Arrow stream or file, as `datasets` saves them."""
    out = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, table().schema) as writer:
        writer.write_table(table(), max_chunksize=3)
    return out.getvalue()


WORDS = (
    b"\n", b"\r\n", b"\0", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\\ud83d", b"\\u0000", b"null", b"true", b"NaN", b"-1e999", b"9" * 25, b"[[" * 30, b'{"a":' * 30, b"''", b"(", b")", b"%",
    b"1e9",
    b"inf", b"-", b".", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1", b"ARROW1", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b" ", b"\t",
    b"text",
    b"zscore(", b"SELECT ", b"=", b"$", b"\xc2\xa0", b"1_0", b"<=", b">=", b"10%", b"GB", b"tokens", b"--", b"#",
)  # fmt: skip


SIGNS = b"0123456789.%:,;<=>()\"'{}[]|&*/+-eE_!$#@~^\\ \t\r\nabxz\0\x7f\x80\xff"


def mutated(seeds: tuple[bytes, ...], luck: random.Random) -> bytes:
    """A seed with up to eight changes: bytes set, runs cut, doubled or moved, words put in, ends cut off, or two seeds spliced.

    Hypothesis draws the luck, one draw an input, because a draw for each change takes longer than most inputs do.
    """
    data = bytearray(luck.choice(seeds))
    for _ in range(luck.choice((0, 1, 1, 2, 2, 3, 4, 8))):
        at, size = luck.randint(0, len(data)), luck.choice((1, 1, 1, 2, 4, 8, 30, 300))
        kind = luck.randrange(10)
        if kind < 2 and at < len(data):
            data[at] = luck.choice(SIGNS) if kind else luck.randrange(256)
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size] * luck.choice((1, 1, 2, 20))
        elif kind in (4, 5):
            data[at:at] = luck.choice(WORDS)
        elif kind == 6:
            data[at : at + size] = bytes(luck.choices(SIGNS, k=luck.randint(0, 8)))
        elif kind == 7:
            moved = data[at : at + size]
            del data[at : at + size]
            at = luck.randint(0, len(data))
            data[at:at] = moved
        elif kind == 8 and luck.random() < 0.3:
            del data[at:]
        elif kind == 9:
            other, start = luck.choice(seeds), luck.random()
            data[at:] = other[int(start * len(other)) :]
    return bytes(data)


# --- What must hold -------------------------------------------------------------------------------------------------------


def through(path: Path, fields: Fields = FIELDS) -> int:
    """Read a pool piece by piece and write its readable rows again; how many rows it has, readable or not."""
    shards = find([str(path)])
    try:
        found = detect(shards, Fields())
        detect_others(shards, Fields(), found)
    except AssayError:
        pass
    rows, parts = 0, []
    for number, piece in enumerate(plan(shards, 200)):
        keep: list[bool] = []
        for block in read(piece, fields, COLUMNS):
            good = np.zeros(block.count, bool)
            good[block.batch.rows - len(keep)] = True
            bad = [each.row - len(keep) for each in block.bad]
            assert len(bad) == len(set(bad)) and sorted([*np.flatnonzero(good), *bad]) == list(range(block.count))
            assert all(len(block.batch.columns[name]) == good.sum() for name in ("text", *COLUMNS))
            list(block.batch.text)
            keep += good.tolist()
        parts.append(f"{path}.part{number}")
        assert copy_rows(piece, np.array(keep, bool), parts[-1], fields.max_line) == sum(keep)
        rows += len(keep)
    if len({piece.shard.index for piece in plan(shards, 200)}) == 1:
        join(parts, shards[0], f"{path}.joined")
    return rows


def counted(content: bytes) -> int:
    """Lines that are not blank, of JSON lines."""
    return sum(bool(line.strip(b" \t\r")) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def agree(rows: int, wanted: int | None) -> None:
    """The independent count, where there is one."""
    assert wanted is None or rows == wanted, f"{rows} rows, but there are {wanted}"


def jsonl(data: bytes, folder: Path) -> None:
    """JSON lines, in pieces of 200 bytes."""
    (folder / "a.jsonl").write_bytes(data)
    agree(through(folder / "a.jsonl"), counted(data))


def short_lines(data: bytes, folder: Path) -> None:
    """JSON lines of which those above 100 bytes are too long."""
    (folder / "a.jsonl").write_bytes(data)
    agree(through(folder / "a.jsonl", Fields(text="text", id="id", max_line=100)), counted(data))


def unpacked(unpack: Callable[[bytes], bytes], data: bytes) -> int | None:
    try:
        return counted(unpack(data))
    except Exception:  # whatever another library finds wrong with it: then there is no other count
        return None


def gzipped(data: bytes, folder: Path) -> None:
    """gzip, damaged as a file."""
    (folder / "a.jsonl.gz").write_bytes(data)
    agree(through(folder / "a.jsonl.gz"), unpacked(gzip.decompress, data))


def zstandard_(data: bytes, folder: Path) -> None:
    """zstandard, damaged as a file."""
    (folder / "a.jsonl.zst").write_bytes(data)
    through(folder / "a.jsonl.zst")


def array(data: bytes, folder: Path) -> None:
    """A JSON array."""
    (folder / "a.json").write_bytes(data)
    try:
        held = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        held = None
    agree(through(folder / "a.json"), len(held) if isinstance(held, list) else None)


def comma(data: bytes, folder: Path) -> None:
    """CSV; where there is no quote, every line that is not blank but the first is a row."""
    (folder / "a.csv").write_bytes(data)
    fields = Fields(text="text", id="id", source="meta.source", extra=("score",))
    plain = data.removeprefix(b"\xef\xbb\xbf")
    agree(
        through(folder / "a.csv", fields),
        None if b'"' in data else max(0, sum(bool(x.strip()) for x in plain.split(b"\n")) - 1),
    )


def parquet(data: bytes, folder: Path) -> None:
    """Parquet."""
    (folder / "a.parquet").write_bytes(data)
    try:
        wanted = pq.ParquetFile(io.BytesIO(data)).metadata.num_rows
        groups = pq.ParquetFile(io.BytesIO(data)).metadata
        known = wanted == sum(groups.row_group(k).num_rows for k in range(groups.num_row_groups))
    except Exception:
        known = False
    agree(through(folder / "a.parquet"), wanted if known else None)


def saved(data: bytes, folder: Path) -> None:
    """A folder of `datasets`: its Arrow file damaged."""
    (folder / "state.json").write_text("{}")
    (folder / "dataset_info.json").write_text("{}")
    (folder / "data-00000-of-00001.arrow").write_bytes(data)
    try:
        opened = pa.ipc.open_file(io.BytesIO(data)) if data[:6] == b"ARROW1" else pa.ipc.open_stream(io.BytesIO(data))
        held = opened.read_all()
        held.validate(full=True)  # a file may say what is not so, and be believed
        wanted = held.num_rows
    except Exception:
        wanted = None
    agree(through(folder), wanted)


def texts(data: bytes, folder: Path) -> None:
    """A folder of text files, one of them any bytes, one gzipped."""
    for name, content in (
        ("a.txt", b"plain"),
        ("b.md", data),
        ("c.txt.gz", gzip.compress(data, 1)),
        ("d.txt.zst", data),
    ):
        (folder / name).write_bytes(content)
    agree(through(folder), 4)


def recipes(data: bytes, folder: Path) -> None:
    """A recipe: what can be parsed is written as a tree that parses to the same."""
    text = data.decode("utf-8", "replace")
    tree = gallery.close(recipe.read_tree(text), {})
    flags.clean_tree(tree, {}) if not any("select" in step for step in tree["steps"]) else flags.tree(tree, {})
    made = recipe.parse(tree)
    again = recipe.parse(recipe.to_tree(made))
    assert again == made and again.digest == made.digest


def boards(data: bytes, folder: Path) -> None:
    """A board."""
    board.parse(recipe.read_tree(data.decode("utf-8", "replace")))


SIGNALS = {
    "dsir": np.array([0.1, np.nan, -3.0, 7.5]), "bytes": np.array([3, 0, 900, 12]),
    "source": np.array(["web", "", "cöde", "x"], object),
    "meta.score": np.array([1.0, 2.0, 3.0, 4.0]), "dsir:code": np.array([1.0, 1.0, 0.0, 2.0]),
}  # fmt: skip


def expression(data: bytes, folder: Path) -> None:
    """An expression over four rows."""
    value = expressions.evaluate(data.decode("utf-8", "surrogateescape"), SIGNALS, np.array([True, True, False, True]))
    assert value.shape == (4,)


def words(data: bytes, folder: Path) -> None:
    """A budget, a quota, a share and what else is written in a few letters."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (Budget.parse, quotas.parse, general.parse_share):
        try:
            found = parse(text)
        except AssayError:
            continue
        assert found is not None
        if isinstance(found, Budget):
            assert found.limit(1000) >= 0


def template(data: bytes, folder: Path) -> None:
    """A template of texts."""
    (folder / "a.jsonl").write_bytes(lines(ROWS))
    fields = Fields(template=data.decode("utf-8", "surrogateescape"))
    agree(through(folder / "a.jsonl", detect(find([str(folder / "a.jsonl")]), fields)), len(ROWS))


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and the valid inputs that mutations begin with."""

    run: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]


def toml(*patterns: str) -> tuple[bytes, ...]:
    """Files of the repository."""
    return tuple(path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern)))


PLAIN = lines(ROWS)
CHATS = lines([CHAT, ROWS[0], CHAT])
TARGETS = {
    "JSON lines": Target(jsonl, (PLAIN, CHATS, PLAIN.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + PLAIN, b"\n\n" + PLAIN[:-1])),
    "JSON lines, limit": Target(short_lines, (PLAIN, CHATS)),
    "gzip": Target(gzipped, (
        gzip.compress(PLAIN, 6, mtime=0), gzip.compress(PLAIN, 0, mtime=0) + gzip.compress(CHATS, 9, mtime=0),
    )),
    "zstandard": Target(zstandard_, (
        zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN),
        zstandard.ZstdCompressor(write_content_size=False).compress(PLAIN) + zstandard.ZstdCompressor().compress(CHATS),
    )),
    "JSON array": Target(array, (json.dumps(ROWS).encode(), json.dumps([CHAT, *ROWS], indent=2, ensure_ascii=False).encode())),
    "CSV": Target(comma, (in_csv(), in_csv().replace(b"\r\n", b"\n"), b"text,id\na,1\nb,2\n\nc,3")),
    "Parquet": Target(parquet, (
        in_parquet(), in_parquet(compression="zstd", write_page_checksum=True), in_parquet(use_dictionary=False),
    )),
    "saved dataset": Target(saved, (in_arrow(True), in_arrow(False))),
    "text folder": Target(texts, ("naïve text\r\n世界".encode(), b"\xef\xbb\xbftext", zstandard.compress(b"packed text"))),
    "recipe": Target(recipes, toml("recipes/[!b]*.toml", "src/assay/recipes/*.toml")),
    "board": Target(boards, toml("recipes/board.toml")),
    "expression": Target(expression, (
        b"zscore(dsir) + 0.5 * percent_rank(meta.score)", b"bytes > 200 AND source IN ('web', 'x')", b"-dsir:code",
        b"NOT (dsir < 1e-3)",
        b"CASE WHEN source = 'web' THEN dsir ELSE bytes / 2 END", b"source LIKE 'c%' OR length(source) = 0", b"abs(log(bytes + 1))",
        b"coalesce(dsir, 0) BETWEEN -1 AND 1",
    )),
    "budget, quota, share": Target(words, (
        b"5000", b"10%", b"500MB", b"10%bytes", b"1e9tokens", b"source:code>=10%,web<=60%", b"source: a == 5 %", b"source:wiki=20%",
        b"0.5%",
    )),
    "template": Target(template, (b"{text}", b"Q: {id}\n{text}", b"{meta.source} {{literal}} {score!r:>10}", b"{tags}")),
}  # fmt: skip


# --- The run --------------------------------------------------------------------------------------------------------------


def attempt(target: Target, data: bytes, folder: Path) -> None:
    """One input, in an empty folder; raises whatever is no error of Assay's own."""
    for path in folder.iterdir():
        path.unlink()
    try:
        target.run(data, folder)
    except AssayError as error:
        assert str(error).strip(), "an error must say something"


def batch(target: Target, folder: Path, examples: int, number: int, tell: Callable[[bytes], None]) -> None:
    """So many inputs of one target, the same ones for the same number; what the first that fails raises is raised."""

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, print_blob=False, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,), report_multiple_bugs=False,
    )  # fmt: skip
    @given(st.integers(0, (1 << 64) - 1))
    def one(draw: int) -> None:
        data = mutated(target.seeds, random.Random(draw))
        tell(data)
        attempt(target, data, folder)

    one()


def child(name: str, seconds: float, first: int, place: Path) -> None:
    """Work on one target for a while, in this process; what came of it goes to standard output as JSON."""
    target, folder = TARGETS[name], place / "inputs"
    folder.mkdir(exist_ok=True)
    for data in target.seeds:
        attempt(target, data, folder)  # compiles kernels, and imports what is imported late
    before, executions, slowest, crashes = peak(), 0, 0.0, []
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + ROOM, resource.RLIM_INFINITY))
    last = [time.perf_counter()]

    def tell(data: bytes) -> None:
        nonlocal executions, slowest
        now = time.perf_counter()
        slowest, last[0] = max(slowest, now - last[0]), now
        executions += 1
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        (place / "last").write_bytes(data)

    until, number = time.monotonic() + seconds, first
    while time.monotonic() < until and len(crashes) < 20:
        try:
            batch(target, folder, 250, number, tell)
        except Exception as error:
            crashes.append(
                {
                    "error": f"{type(error).__name__}: {error}"[:300],
                    "trace": where(error),
                    "input": (place / "last").read_bytes().hex()[:4000],
                }
            )
        number += 1
        last[0] = time.perf_counter()
    faulthandler.cancel_dump_traceback_later()
    grown = max(0, peak() - before)
    print(json.dumps({"executions": executions, "crashes": crashes, "grown": grown, "slowest": round(slowest, 3)}))


def where(error: BaseException) -> str:
    """The last place in Assay's own source."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "assay" in frame.filename and "prove_fuzz" not in frame.filename
    ]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}" if ours else "prove_fuzz.py"


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def address_space() -> int:
    """Bytes of addresses that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def worked(name: str, seconds: float, place: Path) -> dict:
    """One target in processes of its own until its time is over; a process that ends otherwise than well is a crash."""
    told = {"target": name, "executions": 0, "crashes": [], "grown": 0, "slowest": 0.0}
    until, number = time.monotonic() + seconds, 0
    variables = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(place / "numba")}
    while number == 0 or (left := until - time.monotonic()) > 1:
        left = max(0.0, until - time.monotonic())
        command = [
            sys.executable,
            __file__,
            "--child",
            name,
            "--seconds",
            str(left),
            "--first",
            str(number * 1_000_000),
            "--place",
            str(place),
        ]
        ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            found = json.loads(ended.stdout.splitlines()[-1])
            told["executions"] += found["executions"]
            told["crashes"] += found["crashes"]
            told["grown"], told["slowest"] = max(told["grown"], found["grown"]), max(told["slowest"], found["slowest"])
        else:
            data = (place / "last").read_bytes().hex()[:4000] if (place / "last").exists() else ""
            told["crashes"].append(
                {"error": f"exit code {ended.returncode}", "trace": ended.stderr[-1500:], "input": data}
            )
        number += 1
        if len(told["crashes"]) >= 20:
            break
    return told


def targets(wanted: str | None) -> Iterator[str]:
    """The names of the targets to be worked."""
    yield from (name for name in TARGETS if wanted is None or wanted in name)


def main() -> int:
    """Run all targets, or be the child of one; exit code 1 if anything crashed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", help="not needed: inputs are made here")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only")
    for flag in ("--child", "--seconds", "--first", "--place"):
        parser.add_argument(flag)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, float(asked.seconds), int(asked.first), Path(asked.place))
        return 0
    place = Path(tempfile.mkdtemp(prefix="assay-fuzz-"))
    names, found = list(targets(asked.only)), []
    for name in names:
        worked(
            name, 0, place
        )  # compiles the kernels that it uses, with their checks; the time of the run begins after that
    begun = time.monotonic()
    for at, name in enumerate(names):
        left = asked.minutes * 60 - (time.monotonic() - begun)
        found.append(worked(name, left / (len(names) - at), place))
        print(f"   {name}: {found[-1]['executions']:,} inputs, {len(found[-1]['crashes'])} crashes", flush=True)
        for crash in found[-1]["crashes"]:
            print(f"      {crash['error']}\n      {crash['trace']}\n      {crash['input'][:600]}", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    if asked.only is None:
        written(found, round(time.monotonic() - begun))
    return 1 if any(one["crashes"] for one in found) else 0


def written(found: list[dict], seconds: int) -> None:
    """The result, with a table for the documents."""
    from harness import record

    rows = [
        [one["target"], f"{one['executions']:,}", str(len(one["crashes"])), f"{one['slowest']:.2f} s",
         f"{one['grown'] / 1e6:.0f} MB"] for one in found
    ]  # fmt: skip
    record("fuzz", {
        "seconds": seconds, "executions": sum(one["executions"] for one in found),
        "crashes": sum(len(one["crashes"]) for one in found),
        "targets": found,
        "table": {
            "columns": ["target", "inputs", "crashes", "slowest input", "memory beyond the first"],
            "rows": rows,
        },
    })  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
