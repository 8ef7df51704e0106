"""The promises to the user (docs/architecture.md): rows accounted for, bytes as they came, the same answer, resume."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import (
    COMMAND,
    account_holds,
    assay,
    chosen,
    done,
    examples,
    jsonl,
    line,
    manifest,
    packed,
    products,
    quarantined,
    ranked,
    select,
    selected,
    told,
    unpacked,
)  # fmt: skip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.io import files, mirror

ODD = [
    b'{"text": "carriage return stays"}\r',
    b'{"text": "no-break\xc2\xa0space, \xe2\x80\xa8 line separator, \xc2\x85 next line"}',
    b'  {"text" :"spaces\\tand \\u00e9scapes and \\ud83d\\ude00",  "n":1e400, "text2": null}  ',
    b'{"text": "last key wins", "text": "\xf0\x9f\x92\xa9 and \x7f"}',
    b'{"text": "nested", "meta": {"a": [1, {"b": 2}]}, "big": 123456789012345678901234567890}',
]
EVERYTHING = ("--method", "length", "--budget", "100%")


# --- Rows leave as they came ------------------------------------------------------------------------------------------


def test_odd_lines_leave_byte_for_byte(tmp_path: Path):
    pool = packed(tmp_path / "odd.jsonl", b"\xef\xbb\xbf" + b"\n".join([*ODD, b"", b"   ", b'{"text": "no last LF"}']))
    done(pool, *EVERYTHING, "--out", tmp_path / "run")
    assert selected(tmp_path / "run") == b"\n".join([*ODD, b'{"text": "no last LF"}', b""])
    assert told(tmp_path / "run")["counts"]["blank"] == 2
    account_holds(tmp_path / "run", len(ODD) + 1)


def test_a_part_of_the_lines_keeps_their_order_and_bytes(tmp_path: Path):
    lines = [line(row) for row in examples()]
    pool = jsonl(tmp_path / "pool.jsonl", lines)
    done(pool, "--method", "random", "--budget", "30%", "--out", tmp_path / "run")
    rows = chosen(tmp_path / "run")
    assert len(rows) == int(0.3 * len(lines)) and rows == sorted(rows)
    assert selected(tmp_path / "run") == b"".join(lines[row] + b"\n" for row in rows)


@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=30), escaped=st.booleans())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_unicode_leaves_byte_for_byte_and_is_accounted_for(tmp_path: Path, texts: list[str], escaped: bool):
    shutil.rmtree(tmp_path, ignore_errors=True)
    lines = [
        json.dumps({"text": text}, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        for text in [*texts, "one that can be read"]
    ]
    pool = jsonl(tmp_path / "pool.jsonl", lines)
    done(pool, *EVERYTHING, "--out", tmp_path / "run")
    account_holds(tmp_path / "run", len(lines))
    unread = {entry["row"]: entry["raw"] for entry in quarantined(tmp_path / "run")}
    assert all(unread[row] == lines[row] for row in unread)
    assert {
        row for row, text in enumerate(texts) if not text or any("\ud800" <= sign <= "\udfff" for sign in text)
    } == set(unread)
    assert selected(tmp_path / "run") == b"".join(one + b"\n" for row, one in enumerate(lines) if row not in unread)


def test_parquet_keeps_every_column_and_type(tmp_path: Path):
    rows, turn = len(examples()), [("role", pa.string()), ("n", pa.int16())]
    table = pa.table({
        "text": [row["text"] for row in examples()],
        "chat": pa.array([[{"role": "user", "n": k}] for k in range(rows)], pa.list_(pa.struct(turn))),
        "when": pa.array([k * 10**9 for k in range(rows)], pa.timestamp("ns", "UTC")),
        "kind": pa.array([row["source"] for row in examples()]).dictionary_encode(),
        "raw": pa.array([bytes([k % 256]) if k % 3 else None for k in range(rows)], pa.binary()),
        "price": pa.array([None] * rows, pa.decimal128(9, 2)),
        "empty": pa.nulls(rows),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "pool.parquet", row_group_size=100)
    done(tmp_path / "pool.parquet", "--method", "random", "--budget", "20%", "--out", tmp_path / "run")
    kept = pq.read_table(tmp_path / "run" / "selected" / "pool.parquet")
    assert kept.schema.equals(pq.read_schema(tmp_path / "pool.parquet"))
    assert kept.equals(pq.read_table(tmp_path / "pool.parquet").take(chosen(tmp_path / "run")))


# --- The same answer --------------------------------------------------------------------------------------------------


def ten_files(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Path:
    """The examples over ten files whose names sort naturally, not by letters."""
    rows, size = examples(), -(-len(examples()) // 10)
    for k in range(10):
        jsonl(folder / f"part{k + 1}.jsonl{suffixes[k % len(suffixes)]}", rows[k * size : (k + 1) * size])
    return folder


RECIPES = {
    "random": ("--method", "random", "--budget", "15%"),
    "gumbel": ("--score-field", "meta.quality", "--select", "gumbel_top_k", "--budget", "20%bytes", "--seed", "3"),
    "quota": (
        "--score-field",
        "meta.quality",
        "--rank",
        "zscore(meta.quality)",
        "--quota",
        "source:law<=5%,docs>=20%",
        "--budget",
        "100",
    ),
    "dsir": ("--target", "TARGET", "--where", "bytes > 100", "--budget", "10%", "--select", "gumbel_top_k"),
    "domains": ("--method", "uniform_per_domain", "--budget", "40kb", "--where", "bytes > 120"),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_one_file_or_ten_give_the_same_rows(tmp_path: Path, recipe: tuple[str, ...]):
    target = str(jsonl(tmp_path / "target.jsonl", examples()[:30]))
    recipe = tuple(word.replace("TARGET", target) for word in recipe)
    done(jsonl(tmp_path / "one.jsonl", examples()), *recipe, "--out", tmp_path / "one")
    done(ten_files(tmp_path / "ten"), *recipe, "--out", tmp_path / "many")
    assert (tmp_path / "one/quarantine.jsonl").read_bytes() == (tmp_path / "many/quarantine.jsonl").read_bytes() == b""
    assert manifest(tmp_path / "one").drop("shard").equals(manifest(tmp_path / "many").drop("shard"))
    parts = [tmp_path / f"many/selected/part{k}.jsonl" for k in range(1, 11)]
    assert selected(tmp_path / "one") == b"".join(path.read_bytes() for path in parts if path.exists())


@pytest.mark.parametrize("recipe", ["random", "gumbel"])
def test_a_draw_follows_the_text_and_not_its_place(tmp_path: Path, recipe: str):
    for name, rows in (("straight", examples()), ("reversed", examples()[::-1])):
        done(jsonl(tmp_path / f"{name}.jsonl", rows), *RECIPES[recipe], "--out", tmp_path / name)
    drawn = [
        sorted(json.loads(line)["text"] for line in selected(tmp_path / name).splitlines())  # of copies, any may be it
        for name in ("straight", "reversed")
    ]
    assert drawn[0] == drawn[1]


def test_one_or_four_workers_write_the_same_bytes(tmp_path: Path):
    pool, target = ten_files(tmp_path / "ten", ("", ".gz", ".zst")), jsonl(tmp_path / "target.jsonl", examples()[:30])
    recipe = ("--target", target, "--quota", "source:law<=5%,docs>=15%", "--budget", "100")
    done(pool, *recipe, "--out", tmp_path / "one", "--workers", "1")
    done(pool, *recipe, "--out", tmp_path / "four", "--workers", "4")
    assert products(tmp_path / "one") == products(tmp_path / "four")
    assert told(tmp_path / "one")["counts"] == told(tmp_path / "four")["counts"]
    lines = {line(row) for row in examples()}
    for path in (tmp_path / "four/selected").iterdir():
        assert set(unpacked(path).splitlines()) <= lines


def test_a_gzip_header_holds_no_time(tmp_path: Path):
    done(jsonl(tmp_path / "pool.jsonl.gz", examples()), *RECIPES["random"], "--out", tmp_path / "run")
    header = (tmp_path / "run/selected/pool.jsonl.gz").read_bytes()[:10]
    assert header[3] == 0 and header[4:8] == b"\0\0\0\0"


def test_the_seed_changes_the_draw_and_nothing_else_does(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done(pool, "--method", "random", "--budget", "10%", "--seed", seed, "--out", tmp_path / name)
    assert products(tmp_path / "a") == products(tmp_path / "b")
    assert chosen(tmp_path / "a") != chosen(tmp_path / "c")


def test_text_that_is_read_again_is_the_text_that_was_counted(tmp_path: Path):
    """Uncompressed lines are read again by their place, compressed ones are parsed again: the scores must be equal."""
    rows = [line({**row, "text": f"{copy} {row['text']}"}) for copy in range(25) for row in examples()]
    chat = line({"text": [{"role": "user", "content": "a chat among plain text"}], "source": "docs"})
    rows[5:5], rows[9000:9000] = [*ODD, b"", b"{broken", b'{"text": ""}', b'{"text": "\\ud800"}'], [b"[]", chat]
    content, target = b"\xef\xbb\xbf" + b"\n".join(rows), jsonl(tmp_path / "target.jsonl", examples()[:30])
    for name in ("plain.jsonl", "packed.jsonl.gz"):
        pool = packed(tmp_path / name, content)
        done(
            pool,
            "--target",
            target,
            "--where",
            "bytes > 90",
            "--budget",
            "10%",
            "--out",
            tmp_path / name.partition(".")[0],
        )
    plain, gz = (manifest(tmp_path / name).drop("shard", "id") for name in ("plain", "packed"))
    assert plain.equals(gz) and plain["score"].count() > 0.9 * len(plain)
    assert selected(tmp_path / "plain") == selected(tmp_path / "packed")
    account_holds(tmp_path / "plain", len(rows) - 1)


# --- Resume -----------------------------------------------------------------------------------------------------------


def big_pool(folder: Path) -> Path:
    """Three shards of which one has several pieces: 30 MB of lines made of the examples, every row different."""
    rows = examples()
    for shard, copies in (("a.jsonl", 90), ("b.jsonl.gz", 4), ("c.jsonl.zst", 8)):
        jsonl(
            folder / shard,
            (
                {**row, "id": f"{shard}-{copy}-{row['id']}", "text": f"{copy} {row['text']}"}
                for copy in range(copies)
                for row in rows
            ),
        )
    return folder


def _quietly(arguments: list[str]) -> None:
    os.setpgid(0, 0)
    assay(*arguments)


@pytest.fixture(scope="module")
def forks() -> Iterator[multiprocessing.context.ForkServerContext]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["assay.engine", "command"])
    yield context


def test_killed_at_any_time_and_run_again_gives_the_same_bytes(
    tmp_path: Path, forks: multiprocessing.context.ForkServerContext
):
    pool = big_pool(tmp_path / "pool")
    arguments = ["select", str(pool), *RECIPES["quota"], "-q", "--workers", "1", "--out"]
    start = time.perf_counter()
    assert assay(*arguments, tmp_path / "whole").code == 0
    seconds, dice, killed = time.perf_counter() - start, random.Random(5), 0
    for _ in range(6):
        process = forks.Process(target=_quietly, args=([*arguments, str(tmp_path / "killed")],))
        process.start()
        process.join(dice.uniform(0.05, 1) * seconds)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            killed += 1
        process.join()
    assert killed >= 1  # how many depends on how fast the first run was
    assert assay(*arguments, tmp_path / "killed").code == 0
    assert products(tmp_path / "whole") == products(tmp_path / "killed")
    account_holds(tmp_path / "killed", 102 * len(examples()))
    assert not list((tmp_path / "killed").rglob("*.parts")) and not (tmp_path / "killed/.parts").exists()


def test_the_command_killed_with_its_workers_goes_on_where_it_was(tmp_path: Path):
    pool = ten_files(tmp_path / "ten")
    arguments = [str(COMMAND), "select", str(pool), *RECIPES["random"], "-q", "--workers", "2", "--out"]
    process = subprocess.Popen([*arguments, str(tmp_path / "run")], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").rglob("*.arrow")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    done(pool, *RECIPES["random"], "--out", tmp_path / "run", "--workers", "1")
    done(pool, *RECIPES["random"], "--out", tmp_path / "fresh", "--workers", "1")
    assert products(tmp_path / "run") == products(tmp_path / "fresh")


def test_a_finished_run_stands(tmp_path: Path):
    pool = ten_files(tmp_path / "ten")
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")
    before = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "run").rglob("*")
        if path.is_file() and path.name not in (".lock", "recipe.json")
    }
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_what_a_killed_writer_left_is_removed_by_the_rerun(tmp_path: Path):
    pool, run = jsonl(tmp_path / "pool.jsonl", examples()), tmp_path / "run"
    done(pool, *RECIPES["random"], "--out", run)
    before = products(run)
    left = [run / "manifest.parquet" / ".000000.parquet.tmp-7-7", run / "selected" / ".pool.jsonl.tmp-7-7"]
    for path in left:
        path.write_bytes(b"half of it")
    (run / "run.json").unlink()
    done(pool, *RECIPES["random"], "--out", run)
    assert products(run) == before and not any(path.exists() for path in left)


def test_another_recipe_into_the_same_run_is_refused(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")
    before = products(tmp_path / "run")
    assert "another recipe" in select(pool, "--method", "random", "--budget", "16%", "--out", tmp_path / "run").sentence
    assert before == products(tmp_path / "run")


def test_a_refused_command_leaves_the_folder_free_for_the_mended_one(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    assert "no file" in select(tmp_path / "pol.jsonl", *RECIPES["random"], "--out", tmp_path / "run").sentence
    assert (
        "larger than the pool"
        in select(pool, "--method", "random", "--budget", "1e9", "--out", tmp_path / "run").sentence
    )
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")


def test_a_run_killed_before_its_first_file_is_whole_goes_on(tmp_path: Path):
    pool, out = jsonl(tmp_path / "pool.jsonl", examples()), tmp_path / "run"
    out.mkdir()
    (out / f".recipe.json{mirror.TEMPORARY}a-dead-writer").write_text('{"digest": "a03')
    done(pool, *RECIPES["random"], "--out", out)
    assert not [path.name for path in out.iterdir() if files.half_written(path.name)]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path):
    pool, out = jsonl(tmp_path / "pool.jsonl", examples()), tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    assert "holds other files" in select(pool, *RECIPES["random"], "--out", out).sentence
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]
    assert "is a file" in select(pool, *RECIPES["random"], "--out", pool).sentence


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("changed", ["pool", "target"])
def test_changed_files_between_runs_are_refused(tmp_path: Path, changed: str, finished: bool):
    pool, target = jsonl(tmp_path / "pool.jsonl", examples()), jsonl(tmp_path / "target.jsonl", examples()[:20])
    arguments = (pool, "--target", target, "--budget", "10%", "--out", tmp_path / "run")
    done(*arguments)
    before = products(tmp_path / "run")
    if not finished:
        (tmp_path / "run/run.json").unlink()
    jsonl(tmp_path / f"{changed}.jsonl", examples()[5:30])
    assert "has changed since" in select(*arguments).sentence
    assert before == products(tmp_path / "run")


def test_a_touched_pool_of_the_same_content_is_the_same_pool(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")
    before = products(tmp_path / "run")
    os.utime(pool, (1, 1))
    done(pool, *RECIPES["random"], "--out", tmp_path / "run")
    assert before == products(tmp_path / "run")


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path: Path, forks: multiprocessing.context.ForkServerContext):
    pool, out = big_pool(tmp_path / "pool"), tmp_path / "run"
    arguments = ["select", str(pool), *RECIPES["random"], "-q", "--workers", "1", "--out", str(out)]
    process = forks.Process(target=_quietly, args=(arguments,))
    process.start()
    deadline = time.monotonic() + 60
    while not list((out / "store").rglob("*.arrow")) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert "another run" in assay(*arguments).sentence
    process.join()
    account_holds(out, 102 * len(examples()))


# --- Decide again, and what the store spares --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet", "folder"])
def test_deciding_again_reads_no_text_and_equals_a_fresh_selection(tmp_path: Path, form: str):
    pool = tmp_path / f"pool.{form}"
    if form == "parquet":
        pl.DataFrame(examples()).write_parquet(pool)
    elif form == "folder":
        for row in examples()[:60]:
            packed(pool / row["source"] / f"{row['id']}.txt", row["text"].encode())
    else:
        jsonl(pool, examples())
    done(pool, "--method", "random", "--budget", "30%", "--out", tmp_path / "run")
    done(pool, "--method", "random", "--budget", "5%", "--out", tmp_path / "fresh")
    (tmp_path / "run").rename(tmp_path / "moved")
    pool.rename(tmp_path / "gone")
    done(tmp_path / "moved", "--budget", "5%", "--write", "ids", "--out", tmp_path / "again")
    assert manifest(tmp_path / "again").equals(manifest(tmp_path / "fresh"))
    ids = [
        json.loads(entry)
        for path in sorted((tmp_path / "again/selected").iterdir())
        for entry in path.read_bytes().splitlines()
    ]
    assert [entry["row"] for entry in ids] == chosen(tmp_path / "fresh")
    assert "no longer there" in select(tmp_path / "moved", "--budget", "5%", "--out", tmp_path / "rows").sentence


def test_deciding_again_from_scores_keeps_the_fit_and_writes_the_same_rows(tmp_path: Path):
    pool, target = jsonl(tmp_path / "pool.jsonl", examples()), jsonl(tmp_path / "target.jsonl", examples()[:25])
    done(pool, "--target", target, "--budget", "20%", "--out", tmp_path / "run")
    done(pool, "--target", target, "--budget", "5%", "--quota", "source:law<=1%", "--out", tmp_path / "fresh")
    target.unlink()
    done(tmp_path / "run", "--budget", "5%", "--quota", "source:law<=1%", "--out", tmp_path / "again")
    assert products(tmp_path / "fresh") == products(tmp_path / "again")
    assert all(stage["bytes"] == 0 for stage in told(tmp_path / "again")["stages"])


@pytest.mark.parametrize(
    "flag", [("--target", "t.jsonl"), ("--method", "random"), ("--limit", "5"), ("--text-field", "id")]
)
def test_what_signals_were_made_of_cannot_change_on_a_finished_run(tmp_path: Path, flag: tuple[str, str]):
    done(jsonl(tmp_path / "pool.jsonl", examples()), *RECIPES["random"], "--out", tmp_path / "run")
    assert flag[0] in select(tmp_path / "run", *flag, "--budget", "5%", "--out", tmp_path / "again").sentence


def test_an_added_shard_is_all_that_is_read(tmp_path: Path):
    pool, arguments = (
        ten_files(tmp_path / "ten"),
        ("--method", "random", "--budget", "10%", "--store", tmp_path / "store"),
    )
    done(pool, *arguments, "--out", tmp_path / "first")
    added = jsonl(pool / "part11.jsonl", [{**row, "id": f"new-{row['id']}"} for row in examples()[:50]])
    done(pool, *arguments, "--out", tmp_path / "second")
    assert (
        sum(stage["bytes"] for stage in told(tmp_path / "second")["stages"] if stage["stage"] == "count")
        == added.stat().st_size
    )
    account_holds(tmp_path / "second", len(examples()) + 50)


def test_a_copied_pool_shares_what_was_computed_but_a_changed_file_of_the_same_size_does_not(tmp_path: Path):
    rows = [{"text": "one two three"}, {"text": "four"}]
    pool = jsonl(tmp_path / "pool.jsonl", rows)
    done(pool, "--method", "length", "--budget", "1", "--store", tmp_path / "store", "--out", tmp_path / "a")
    jsonl(pool, [{"text": "four"}, {"text": "one two three"}])
    done(pool, "--method", "length", "--budget", "1", "--store", tmp_path / "store", "--out", tmp_path / "b")
    assert chosen(tmp_path / "a") == [0] and chosen(tmp_path / "b") == [1]


def test_a_changed_file_in_a_folder_of_text_is_seen(tmp_path: Path):
    packed(tmp_path / "docs/a.txt", b"some words")
    deep = packed(tmp_path / "docs/sub/b.txt", b"the longest of the texts")
    for name, expected in (("one", b"longest"), ("two", b"some words")):
        done(
            tmp_path / "docs",
            "--method",
            "length",
            "--budget",
            "1",
            "--store",
            tmp_path / "store",
            "--out",
            tmp_path / name,
        )
        assert expected in selected(tmp_path / name)
        deep.write_bytes(b"short")


def test_why_and_the_order_of_choice_agree_with_the_manifest(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    done(
        pool, "--score-field", "meta.quality", "--budget", "10", "--quota", "source:law<=10%", "--out", tmp_path / "run"
    )
    best = sorted(range(len(examples())), key=lambda row: (-examples()[row]["meta"]["quality"], row))
    law = [row for row in best if examples()[row]["source"] == "law"]
    expected = [row for row in best if row not in law[1:]][:10]
    assert ranked(tmp_path / "run") == expected
    for row in (expected[0], best[-1]):
        answer = assay("why", tmp_path / "run", row)
        assert answer.code == 0 and examples()[row]["id"] in answer.out
