"""The command: every flag does what it says, and every mistake of a user's is one sentence and exit code 2."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import (
    COMMAND,
    Answer,
    account_holds,
    assay,
    chosen,
    done,
    examples,
    jsonl,
    line,
    manifest,
    packed,
    quarantined,
    ranked,
    select,
    selected,
    texts,
    told,
)  # fmt: skip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LENGTH = ("--method", "length", "--budget", "10")
RANDOM = ("--method", "random", "--budget", "10%")
FOUR = [
    {"text": "aaaa bbbb", "id": "a", "q": 4},
    {"text": "cc", "id": "b", "q": 1},
    {"text": "dddd dddd dddd", "id": "c", "q": 3},
    {"text": "ee ee", "id": "d", "q": 2},
]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "pool.jsonl", examples())


@pytest.fixture
def four(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "four.jsonl", FOUR)


# --- The command itself -----------------------------------------------------------------------------------------------


def test_help_answers_without_the_heavy_libraries():
    code = "import sys; from assay.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(verb in shown for verb in ("select", "verify", "report", "why", "methods"))
    assert not {"numpy", "polars", "pyarrow", "numba"} & set(shown.splitlines()[-1].split())


def test_the_installed_command_ends_with_2_and_one_sentence(tmp_path: Path):
    made = subprocess.run(
        [COMMAND, "select", tmp_path / "none.jsonl", *LENGTH, "--out", tmp_path / "run"], capture_output=True, text=True
    )
    assert "no file" in Answer(made.returncode, made.stdout, made.stderr).sentence
    version = subprocess.run([COMMAND, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("assay 0.")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("select", "POOL", "--budgte", "5"), ("--budgte", "--budget")),
        (("selct", "POOL"), ("selct", "select")),
        (("select",), ("pool",)),
        (("select", "POOL", "--seed", "x"), ("--seed", "integer")),
        (("select", "POOL", "--limit", "0"), ("--limit", "1")),
        (("select", "POOL", "--budget"), ("--budget",)),
        (("verify", "RUN", "--seeds", "1"), ("--seeds", "3")),
        (("why", "RUN"), ("row",)),
        (("methods", "dsirr"), ("dsirr", "dsir")),
        (("why", "RUN", "0"), ("finished run",)),
        (("report", "RUN"), ("finished run",)),
        (("verify", "RUN", "--eval", "POOL"), ("finished run",)),
    ],
)
def test_a_slip_in_the_command_is_one_sentence(
    tmp_path: Path, pool: Path, arguments: tuple[str, ...], words: tuple[str, ...]
):
    named = {"POOL": str(pool), "RUN": str(tmp_path / "norun")}
    sentence = assay(*(named.get(word, word) for word in arguments)).sentence
    assert all(word.lower() in sentence.lower() for word in words), sentence


def test_methods_lists_and_describes():
    everything = assay("methods").out
    assert all(
        name in everything
        for name in (
            "dsir",
            "random",
            "length",
            "uniform_per_domain",
            "top_k",
            "gumbel_top_k",
            "threshold",
            "percentile",
        )
    )
    assert (
        "1903.06059" in assay("methods", "gumbel_top_k").out and "temperature" in assay("methods", "gumbel_top_k").out
    )


# --- Mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--budget", "10"), ("--target", "--method", "random", "length", "uniform_per_domain")),
        (("--method", "dsir", "--budget", "10"), ("needs a target", "random")),
        (("--method", "random"), ("must have a budget", "got none")),
        (("--method", "random", "--budget", "5 apples"), ("5 apples",)),
        (("--method", "random", "--budget", "1e9"), ("larger than the pool",)),
        (("--method", "random", "--budget", "1GB"), ("larger than the pool", "bytes")),
        (("--method", "random", "--budget", "1e3tokens"), ("--tokenizer",)),
        (("--method", "randm", "--budget", "5"), ("did you mean 'random'",)),
        (("--method", "exact", "--budget", "5"), ("scorer or a selector",)),
        (("--method", "top_k", "--budget", "5"), ("there is none", "--score-field")),
        (("--method", "random", "--budget", "5", "--select", "topk"), ("did you mean 'top_k'",)),
        (("--score-field", "meta.quality", "--budget", "5", "--set", "top_k.k=3"), ("no parameter 'k'",)),
        (("--score-field", "meta.quality", "--budget", "5", "--set", "k=3"), ("METHOD.PARAMETER=VALUE",)),
        (("--method", "gumbel_top_k", "--set", "gumbel_top_k.temperature=hot", "--budget", "5"), ("temperature",)),
        (("--score-field", "meta.qualty", "--budget", "5"), ("meta.qualty",)),
        (("--method", "random", "--budget", "5", "--text-field", "txt"), ("txt", "did you mean 'text'")),
        (("--method", "random", "--budget", "5", "--text", "{txet}"), ("txet", "did you mean 'text'")),
        (("--method", "random", "--budget", "5", "--text", "{text"), ("template",)),
        (("--method", "random", "--budget", "5", "--text", "words"), ("at least one field",)),
        (("--method", "random", "--budget", "5", "--where", "bites > 5"), ("did you mean 'bytes'",)),
        (("--method", "random", "--budget", "5", "--where", "bytes >"), ("cannot be read",)),
        (("--method", "random", "--budget", "5", "--where", "bytes"), ("true or false",)),
        (("--method", "random", "--budget", "5", "--where", "bytes > 1000000"), ("nothing can be chosen: no living row",)),
        (("--method", "length", "--budget", "7kb"), ("nothing can be chosen: the row that comes first", "--budget")),
        (("--score-field", "meta.quality", "--rank", "source", "--budget", "5"), ("a number",)),
        (("--method", "random", "--budget", "5", "--quota", "source:cod>=10%"), ("did you mean 'code'",)),
        (("--method", "random", "--budget", "5", "--quota", "nonsense"), ("a quota must look like",)),
        (("--method", "random", "--budget", "5", "--write", "row"), ("rows", "'row'")),
        (("--method", "random", "--budget", "5", "--format", "xml"), ("xml", "jsonl")),
        (("--method", "random", "--budget", "5", "--compression", "bz2"), ("bz2", "gzip")),
        (("--method", "random", "--budget", "5", "--scores", "none.csv"), ("none.csv",)),
        (("--method", "random", "--budget", "1e3tokens", "--tokenizer", "none.json"), ("none.json",)),
        (("--target", "none.jsonl", "--budget", "5"), ("none.jsonl",)),
        (("--target", "POOL=x%", "--budget", "5"), ("=30%",)),
        (("--method", "uniform_per_domain", "--source-field", "nope", "--budget", "5"), ("nope",)),
        (("--id-field", "nope", "--method", "random", "--budget", "5"), ("nope",)),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tmp_path: Path, pool: Path, arguments: tuple[str, ...], words: tuple[str, ...]):
    sentence = select(
        pool, *(word.replace("POOL", str(pool)) for word in arguments), "--out", tmp_path / "run"
    ).sentence
    assert all(word in sentence for word in words), sentence


def test_no_out_is_said_before_anything_is_read(pool: Path):
    assert "--out" in select(pool, *RANDOM).sentence


def refused(tmp_path: Path, name: str, content: bytes, *arguments: object) -> str:
    return select(packed(tmp_path / name, content), *(arguments or RANDOM), "--out", tmp_path / "run").sentence


def test_pools_with_nothing_to_read_are_refused(tmp_path: Path):
    assert "empty" in refused(tmp_path, "empty.jsonl", b"")
    assert "no row could be read" in refused(tmp_path, "blank.jsonl", b"\n\n \n")
    assert "no row could be read" in refused(tmp_path, "broken.jsonl", b"{{{\nnot json\n")
    assert "name" in refused(tmp_path, "fields.jsonl", b'{"name": 1, "age": 2}\n')
    assert "at least one readable row" in refused(tmp_path, "void.jsonl", b'{"text": ""}\n{"text": ""}\n', *LENGTH)
    assert "suffix" in refused(tmp_path, "pool.xyz", b"words\n")
    assert "Parquet" in refused(tmp_path, "pool.parquet", b"PAR1 no it is not PAR1")
    (tmp_path / "nothing").mkdir()
    assert "nothing to read" in select(tmp_path / "nothing", *RANDOM, "--out", tmp_path / "run").sentence
    assert "matches no file" in select(tmp_path / "*.nope", *RANDOM, "--out", tmp_path / "run").sentence


def test_targets_with_nothing_to_learn_from_are_refused(tmp_path: Path, pool: Path):
    for name, content, told_of in (
        ("empty.jsonl", b"", "empty"), ("void.jsonl", b'{"text": ""}\n', "at least one readable example"),
        ("fields.jsonl", b'{"name": 1}\n', "name"),
    ):  # fmt: skip
        target = packed(tmp_path / name, content)
        assert told_of in select(pool, "--target", target, "--budget", "5", "--out", tmp_path / "run").sentence


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path):
    sentence = select("/proc/1/mem", *RANDOM, "--out", tmp_path / "run").sentence
    assert "/proc/1/mem" in sentence


# --- Bad rows ---------------------------------------------------------------------------------------------------------

BAD = {
    b'{"text": "unfinished': "not valid JSON",
    b'{"text": "\xff\xfe"}': "UTF-8",
    b"[1, 2]": "object",
    b'"a string"': "object",
    b'{"text": 7}': "must be a string",
    b'{"text": null}': "must be a string",
    b'{"text": ""}': "empty",
    b'{"other": "field"}': "missing",
    b'{"text": "\\ud800"}': "surrogate",
    b'{"text": {"a": 1}}': "must be a string",
    b"\x00\x01\x02": "JSON",
    b"{" * 5000: "JSON",
}


def test_bad_rows_are_quarantined_with_place_reason_and_bytes(tmp_path: Path):
    lines = [line for pair in zip([line_of(k) for k in range(len(BAD))], BAD, strict=True) for line in pair]
    pool = jsonl(tmp_path / "pool.jsonl", [*lines[:4], b"", *lines[4:]])
    done(pool, "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 2 * len(BAD))
    entries = quarantined(tmp_path / "run")
    assert [entry["raw"] for entry in entries] == list(BAD)
    assert [entry["row"] for entry in entries] == [2 * k + 1 for k in range(len(BAD))]
    assert [entry["line"] for entry in entries] == [2 * k + 2 + (k >= 2) for k in range(len(BAD))]
    assert all(word in entry["reason"] for entry, word in zip(entries, BAD.values(), strict=True))
    content = pool.read_bytes()
    assert all(content[entry["offset"] : entry["offset"] + entry["length"]] == entry["raw"] for entry in entries)
    assert selected(tmp_path / "run") == b"".join(line + b"\n" for line in lines[::2])


def line_of(k: int) -> bytes:
    return line({"text": f"row {k} is fine"})


def test_a_truncated_gzip_keeps_what_is_whole(tmp_path: Path):
    lines = [line(row) for row in examples()]
    whole = gzip.compress(b"".join(one + b"\n" for one in lines))
    pool = tmp_path / "cut.jsonl.gz"
    pool.write_bytes(whole[: len(whole) // 2])
    done(pool, "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    counts = told(tmp_path / "run")["counts"]
    assert counts["quarantined"] == 1 and 100 < counts["chosen"] < len(lines)
    account_holds(tmp_path / "run", counts["chosen"] + 1)
    assert selected(tmp_path / "run") == b"".join(one + b"\n" for one in lines[: counts["chosen"]])
    entry = quarantined(tmp_path / "run")[0]
    assert lines[counts["chosen"]].startswith(entry["raw"]) and "gzip" in entry["reason"]


def test_a_line_of_a_hundred_megabytes_is_quarantined_by_its_place(tmp_path: Path):
    pool = tmp_path / "pool.jsonl"
    with pool.open("wb") as file:
        file.write(b'{"text": "before"}\n{"text": "')
        for _ in range(100):
            file.write(b"a" * 1_000_000)
        file.write(b'"}\n{"text": "after"}\n')
    done(pool, "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 3)
    (entry,) = quarantined(tmp_path / "run")
    assert (entry["row"], entry["line"], entry["offset"], entry["length"], len(entry["raw"])) == (
        1,
        2,
        19,
        100_000_012,
        65536,
    )
    assert selected(tmp_path / "run") == b'{"text": "before"}\n{"text": "after"}\n'


def test_max_line_is_the_users(tmp_path: Path, four: Path):
    done(four, "--method", "length", "--budget", "100%", "--max-line", "43", "--out", tmp_path / "run")
    assert [entry["row"] for entry in quarantined(tmp_path / "run")] == [2] and "43" in quarantined(tmp_path / "run")[
        0
    ]["reason"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5,
)  # fmt: skip
rows = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=20) | json_values,
        "id": json_values,
        "source": json_values,
        "meta": json_values,
    },
)


@given(
    objects=st.lists(rows, min_size=1, max_size=12),
    noise=st.lists(st.binary(max_size=12), max_size=6),
    seed=st.integers(0, 9),
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_noise_is_accounted_for(tmp_path: Path, objects: list[Any], noise: list[bytes], seed: int):
    import random
    import shutil

    shutil.rmtree(tmp_path, ignore_errors=True)
    whole = [json.dumps(row).encode() for row in objects]
    cut = [one[: seed + 1] for one in whole]
    lines = [one.replace(b"\n", b" ") for one in [*whole, *cut, *noise]]
    random.Random(seed).shuffle(lines)
    pool = jsonl(tmp_path / "pool.jsonl", [b'{"text": "one that can be read", "id": 1, "source": "s"}', *lines])
    done(pool, "--method", "length", "--budget", "100%", "--where", "bytes > 2", "--out", tmp_path / "run")
    kept = [one for one in [*pool.read_bytes().split(b"\n")[:-1]] if one.strip(b" \t\r")]
    account_holds(tmp_path / "run", len(kept))
    assert selected(tmp_path / "run") == b"".join(kept[row] + b"\n" for row in chosen(tmp_path / "run"))


def test_a_row_without_a_score_is_left_out_and_says_why(tmp_path: Path):
    pool = jsonl(
        tmp_path / "pool.jsonl",
        [{**row, "q": None if row["id"] == "a" else str(row["q"]) if row["id"] == "b" else row["q"]} for row in FOUR],
    )
    done(pool, "--score-field", "q", "--budget", "3", "--out", tmp_path / "run")
    assert ranked(tmp_path / "run") == [2, 3, 1]
    assert "no score" in manifest(tmp_path / "run")["reason"][0] and manifest(tmp_path / "run")["score"][0] is None


# --- Flags ------------------------------------------------------------------------------------------------------------


def test_dry_run_tells_and_writes_nothing(tmp_path: Path, pool: Path):
    answer = done(pool, *RANDOM, "--dry-run", "--out", tmp_path / "run")
    assert f"{len(examples())}" in answer.out.replace(",", "") and not (tmp_path / "run").exists()
    assert "random" in answer.out and "10%" in answer.out
    done(packed(tmp_path / "pool.jsonl.gz", pool.read_bytes()), *RANDOM, "--dry-run")


def test_limit_looks_at_the_first_rows_only(tmp_path: Path, pool: Path):
    done(pool, *LENGTH, "--limit", "20", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 20)
    best = sorted(range(20), key=lambda row: (-len(examples()[row]["text"].encode()), row))[:10]
    assert ranked(tmp_path / "run") == best
    again = done(tmp_path / "run", "--budget", "5", "--out", tmp_path / "again")
    assert again.code == 0 and ranked(tmp_path / "again") == best[:5]


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 9, 100])
def test_limit_cuts_across_files(tmp_path: Path, limit: int):
    for k in range(3):
        jsonl(tmp_path / f"pool/{k}.jsonl", FOUR[:3])
    done(tmp_path / "pool", "--method", "length", "--budget", "100%", "--limit", str(limit), "--out", tmp_path / "run")
    account_holds(tmp_path / "run", min(limit, 9))
    assert len(selected(tmp_path / "run").splitlines()) == min(limit, 9)


def test_text_field_id_field_and_source_field(tmp_path: Path):
    rows = [
        {"text": "x" * 50, "body": {"main": "short"}, "key": "k1", "where": "north"},
        {"text": "y", "body": {"main": "longer text"}, "key": 2, "where": "south"},
    ]
    pool = jsonl(tmp_path / "pool.jsonl", rows)
    done(
        pool,
        "--method",
        "length",
        "--budget",
        "1",
        "--text-field",
        "body.main",
        "--id-field",
        "key",
        "--source-field",
        "where",
        "--out",
        tmp_path / "run",
    )
    assert manifest(tmp_path / "run").select("id", "source", "bytes", "status").rows() == [
        ("k1", "north", 5, "not_chosen"),
        ("2", "south", 11, "chosen"),
    ]


def test_a_row_without_an_id_is_called_by_shard_and_line(tmp_path: Path):
    pool = jsonl(
        tmp_path / "pool.jsonl", [b'{"text": "a"}', b"", b'{"text": "b"}', b"broken", b'{"text": "c", "id": "mine"}']
    )
    done(pool, "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    assert manifest(tmp_path / "run")["id"].to_list() == ["pool.jsonl:1", "pool.jsonl:3", "pool.jsonl:4", "mine"]


def test_a_template_joins_fields_and_takes_a_typed_newline(tmp_path: Path):
    pool = jsonl(
        tmp_path / "pool.jsonl",
        [
            {"instruction": "Add", "input": None, "output": "3"},
            {"instruction": "Say", "input": "hi", "output": "hi there"},
        ],
    )
    done(
        pool,
        "--method",
        "length",
        "--budget",
        "1",
        "--text",
        "{instruction}\\n{input}\\n{output}",
        "--out",
        tmp_path / "run",
    )
    assert manifest(tmp_path / "run")["bytes"].to_list() == [len("Add\n\n3"), len("Say\nhi\nhi there")]
    assert selected(tmp_path / "run") == line({"instruction": "Say", "input": "hi", "output": "hi there"}) + b"\n"


def test_score_field_and_rank(tmp_path: Path, pool: Path):
    done(pool, "--score-field", "meta.quality", "--budget", "10", "--out", tmp_path / "plain")
    best = sorted(range(len(examples())), key=lambda row: (-examples()[row]["meta"]["quality"], row))[:10]
    assert ranked(tmp_path / "plain") == best
    done(
        pool,
        "--score-field",
        "meta.quality",
        "--rank",
        "zscore(meta.quality) - 2 * zscore(bytes)",
        "--budget",
        "10",
        "--out",
        tmp_path / "rank",
    )
    quality, size = (
        pl.Series([row["meta"]["quality"] for row in examples()]),
        pl.Series([len(text.encode()) for text in texts(examples())]),
    )
    value = (quality - quality.mean()) / quality.std(0) - 2 * (size - size.mean()) / size.std(0)
    scores = manifest(tmp_path / "rank").filter(pl.col("status") == "chosen")["score"].sort(descending=True)
    assert scores.to_list() == pytest.approx(value.sort(descending=True).head(10).to_list())


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_scores_that_people_already_have(tmp_path: Path, four: Path, suffix: str):
    frame = pl.DataFrame({"id": ["d", "a", "zz", "c"], "mine": [0.9, 0.1, 7.0, 0.5]})
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[suffix](
        tmp_path / f"mine.{suffix}"
    )
    done(four, "--scores", tmp_path / f"mine.{suffix}", "--budget", "2", "--out", tmp_path / "run")
    assert ranked(tmp_path / "run") == [3, 2]
    assert "no score" in manifest(tmp_path / "run")["reason"][1]


def test_scores_by_number_of_a_row_that_has_a_number_for_an_id(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", [{"id": k, "text": f"row {k}"} for k in range(5)])
    pl.DataFrame({"id": [4, 2], "good": [1, 2]}).write_csv(tmp_path / "good.csv")
    done(pool, "--scores", tmp_path / "good.csv", "--rank", "good * 2", "--budget", "1", "--out", tmp_path / "run")
    assert ranked(tmp_path / "run") == [2]


def test_scores_that_fit_no_row_or_name_a_row_twice_are_refused(tmp_path: Path, four: Path):
    for name, ids, word in (("other", ["x", "y"], "none of its 2 ids"), ("twice", ["a", "a"], "more than once")):
        pl.DataFrame({"id": ids, "s": [1.0, 2.0]}).write_csv(tmp_path / f"{name}.csv")
        assert (
            word
            in select(four, "--scores", tmp_path / f"{name}.csv", "--budget", "1", "--out", tmp_path / "run").sentence
        )
    pl.DataFrame({"id": ["a"], "s": ["good"]}).write_csv(tmp_path / "words.csv")
    assert (
        "at least one number"
        in select(four, "--scores", tmp_path / "words.csv", "--budget", "1", "--out", tmp_path / "run").sentence
    )


def test_scores_join_a_finished_run_without_its_text(tmp_path: Path, four: Path):
    done(four, "--method", "length", "--budget", "2", "--out", tmp_path / "run")
    four.unlink()
    pl.DataFrame({"id": ["d", "a", "c"], "mine": [0.9, 0.1, 0.5]}).write_csv(tmp_path / "mine.csv")
    flags = (
        "--scores",
        tmp_path / "mine.csv",
        "--select",
        "top_k",
        "--rank",
        "mine - 0.001 * bytes",
        "--write",
        "none",
    )
    done(tmp_path / "run", *flags, "--out", tmp_path / "again")
    assert ranked(tmp_path / "again") == [3, 2]


@pytest.mark.parametrize("row", ["99", "nobody", "²", "1e3"])
def test_why_of_no_row_is_one_sentence(tmp_path: Path, four: Path, row: str):
    done(four, "--method", "length", "--budget", "2", "--out", tmp_path / "run")
    assert "rows go from 0 to 3" in assay("why", tmp_path / "run", row).sentence


def test_duplicate_ids_are_no_mistake_and_why_shows_one(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", [{"id": "same", "text": "one"}, {"id": "same", "text": "three"}])
    done(pool, "--method", "length", "--budget", "1", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 2)
    answer = assay("why", tmp_path / "run", "same")
    assert answer.code == 0 and "same" in answer.out
    assert "no row" in assay("why", tmp_path / "run", "other").sentence


def test_where_drops_with_its_reason(tmp_path: Path, pool: Path):
    done(pool, *RANDOM, "--where", "source = 'code'", "--where", "bytes BETWEEN 100 AND 500", "--out", tmp_path / "run")
    rows = [examples()[row] for row in chosen(tmp_path / "run")]
    assert rows and all(row["source"] == "code" and 100 <= len(row["text"].encode()) <= 500 for row in rows)
    reasons = dict(manifest(tmp_path / "run").group_by("reason").len().iter_rows())
    assert reasons["where: source = 'code'"] == sum(row["source"] != "code" for row in examples())
    assert "where: bytes BETWEEN 100 AND 500" in reasons


def test_quota_bounds_shares_of_the_choice(tmp_path: Path, pool: Path):
    done(
        pool,
        "--score-field",
        "meta.quality",
        "--quota",
        "source:law>=25%,code<=50%",
        "--budget",
        "40",
        "--out",
        tmp_path / "run",
    )
    counts = dict(manifest(tmp_path / "run").filter(pl.col("status") == "chosen").group_by("source").len().iter_rows())
    assert counts["law"] >= 10 and counts["code"] <= 20 and sum(counts.values()) == 40


def test_write_ids_and_none(tmp_path: Path, pool: Path):
    done(pool, *LENGTH, "--out", tmp_path / "rows")
    done(pool, *LENGTH, "--write", "ids", "--out", tmp_path / "ids")
    done(pool, *LENGTH, "--write", "none", "--out", tmp_path / "none")
    listed = [json.loads(entry) for entry in (tmp_path / "ids/selected/pool.jsonl.ids.jsonl").read_bytes().splitlines()]
    assert listed == [{"row": row, "id": examples()[row]["id"]} for row in chosen(tmp_path / "rows")]
    assert not (tmp_path / "none/selected").exists()
    assert manifest(tmp_path / "rows").equals(manifest(tmp_path / "ids")) and manifest(tmp_path / "rows").equals(
        manifest(tmp_path / "none")
    )


def test_format_and_compression(tmp_path: Path, pool: Path):
    done(pool, *LENGTH, "--out", tmp_path / "plain")
    wanted = [examples()[row] for row in chosen(tmp_path / "plain")]
    done(pool, *LENGTH, "--compression", "zstd", "--out", tmp_path / "zstd")
    assert (
        selected(tmp_path / "zstd") == selected(tmp_path / "plain")
        and (tmp_path / "zstd/selected/pool.jsonl.zst").exists()
    )
    done(pool, *LENGTH, "--format", "parquet", "--out", tmp_path / "table")
    assert pl.read_parquet(tmp_path / "table/selected/pool.parquet")["id"].to_list() == [row["id"] for row in wanted]
    done(
        tmp_path / "table/selected/pool.parquet",
        "--method",
        "length",
        "--budget",
        "100%",
        "--format",
        "jsonl",
        "--compression",
        "gzip",
        "--out",
        tmp_path / "back",
    )
    assert [
        json.loads(one) for one in gzip.decompress((tmp_path / "back/selected/pool.jsonl.gz").read_bytes()).splitlines()
    ] == wanted


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        texts(examples()), trainers.BpeTrainer(vocab_size=300, special_tokens=["?"], show_progress=False)
    )
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_budget_in_tokens(tmp_path: Path, pool: Path, tokenizer: Path):
    from tokenizers import Tokenizer

    counter = Tokenizer.from_file(str(tokenizer))
    tokens = [len(counter.encode(text, add_special_tokens=False)) for text in texts(examples())]
    answer = done(
        pool, "--method", "random", "--budget", "5e3tokens", "--tokenizer", tokenizer, "--out", tmp_path / "run"
    )
    told_of = told(tmp_path / "run")
    assert told_of["tokens"] == {"input": sum(tokens), "chosen": sum(tokens[row] for row in chosen(tmp_path / "run"))}
    assert 5000 - max(tokens) < told_of["budget"]["spent"] == told_of["tokens"]["chosen"] <= 5000
    assert "tokens" in answer.out and "bytes" in answer.out and "rows" in answer.out
    done(
        pool,
        "--method",
        "random",
        "--budget",
        "50%tokens",
        "--tokenizer",
        tokenizer,
        "--where",
        "tokens < 100",
        "--out",
        tmp_path / "half",
    )
    assert (
        all(tokens[row] < 100 for row in chosen(tmp_path / "half"))
        and told(tmp_path / "half")["budget"]["limit"] == sum(tokens) // 2
    )
    assert (
        "must be a tokenizer.json"
        in select(pool, *RANDOM, "--tokenizer", pool, "--where", "tokens < 9", "--out", tmp_path / "bad").sentence
    )


def test_targets_with_shares(tmp_path: Path, pool: Path):
    for kind in ("code", "law"):
        jsonl(tmp_path / f"{kind}.jsonl", [row for row in examples() if row["source"] == kind][:15])
    targets = ("--target", f"{tmp_path}/code.jsonl=70%", "--target", f"{tmp_path}/law.jsonl=30%")
    done(pool, *targets, "--budget", "40", "--out", tmp_path / "run")
    counts = dict(manifest(tmp_path / "run").filter(pl.col("status") == "chosen").group_by("source").len().iter_rows())
    assert sum(counts.values()) == 40 and counts["law"] >= 9 and counts["code"] >= 20
    assert set(told(tmp_path / "run")["signals"]) == {"dsir:code", "dsir:law"}
    done(tmp_path / "run", "--budget", "20", "--out", tmp_path / "again")
    assert len(chosen(tmp_path / "again")) == 20
    jsonl(tmp_path / "other/code.jsonl", examples()[:5])
    clash = ("--target", f"{tmp_path}/code.jsonl=70%", "--target", f"{tmp_path}/other/code.jsonl=30%")
    assert "'code'" in select(pool, *clash, "--budget", "40", "--out", tmp_path / "clash").sentence


@pytest.mark.parametrize(
    "flags, expected",
    [
        (("--select", "threshold", "--set", "threshold.at_least=3", "--budget", "100%"), [0, 2]),
        (("--select", "percentile", "--set", "percentile.at_least=30", "--budget", "100%"), [0, 2, 3]),
        (("--select", "top_k", "--budget", "50%"), [0, 2]),
        (("--select", "gumbel_top_k", "--set", "gumbel_top_k.temperature=0.001", "--budget", "3"), [0, 2, 3]),
    ],
)
def test_select_says_how_to_choose(tmp_path: Path, four: Path, flags: tuple[str, ...], expected: list[int]):
    done(four, "--score-field", "q", *flags, "--out", tmp_path / "run")
    assert chosen(tmp_path / "run") == expected


# --- Odd places -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "with space.jsonl",
        "naïve-日本語.jsonl",
        "a=b.jsonl",
        "x%.jsonl",
        "[1].jsonl",
        "-dash.jsonl",
        "double.jsonl.jsonl",
        "UPPER.JSONL",
    ],
)
def test_odd_names(tmp_path: Path, name: str):
    pool = jsonl(tmp_path / "my data" / name, FOUR)
    done(pool, "--method", "length", "--budget", "2", "--out", tmp_path / "my run")
    assert chosen(tmp_path / "my run") == [0, 2] and (tmp_path / "my run/selected" / name).exists()
    assert assay("why", tmp_path / "my run", "c").code == 0


def test_a_link_is_read_and_two_files_of_one_name_stay_two(tmp_path: Path):
    jsonl(tmp_path / "a/pool.jsonl", FOUR[:2])
    jsonl(tmp_path / "b/pool.jsonl", FOUR[2:])
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a/pool.jsonl")
    done(tmp_path / "a", tmp_path / "b", "--method", "length", "--budget", "100%", "--out", tmp_path / "run")
    account_holds(tmp_path / "run", 4)
    assert sorted(selected(tmp_path / "run").splitlines()) == sorted(map(line, FOUR))
    done(tmp_path / "link.jsonl", "--method", "length", "--budget", "1", "--out", tmp_path / "linked")
    assert chosen(tmp_path / "linked") == [0]


def test_a_folder_of_code_chooses_what_is_like_a_few_files(tmp_path: Path):
    for row in examples():
        suffix = "py" if row["source"] == "code" else "txt"
        packed(tmp_path / "site" / row["source"] / f"{row['id']}.{suffix}", row["text"].encode())
    packed(tmp_path / "site/logo.dat", b"\x00\x01")
    packed(tmp_path / "site/code/latin.py", "# café".encode("latin-1"))
    wanted = [
        packed(tmp_path / f"want{k}.py", row["text"].encode())
        for k, row in enumerate(r for r in examples() if r["source"] == "code")
    ][:12]
    done(
        tmp_path / "site",
        *(word for path in wanted for word in ("--target", path)),
        "--budget",
        "20",
        "--out",
        tmp_path / "run",
    )
    kept = [json.loads(one) for one in selected(tmp_path / "run").splitlines()]
    assert sum(row["id"].endswith(".py") for row in kept) >= 16  # a third of the pool's rows are no code
    (entry,) = quarantined(tmp_path / "run")
    assert (entry["file"], entry["line"], entry["reason"]) == (
        str(tmp_path / "site/code/latin.py"),
        1,
        "the file is not valid UTF-8",
    )
    assert entry["raw"] == "# café".encode("latin-1")


def test_a_run_inside_the_pool_folder_is_not_its_own_input(tmp_path: Path):
    jsonl(tmp_path / "pool/four.jsonl", FOUR)
    for out in ("a", "b", "a"):
        store = ("--store", tmp_path / "pool/store")
        done(tmp_path / "pool", "--method", "length", "--budget", "2", "--out", tmp_path / "pool" / out, *store)
        account_holds(tmp_path / "pool" / out, 4)


def test_no_arguments_is_the_help():
    answer = assay()
    assert answer.code == 2 and "select" in answer.out and not answer.err


def test_a_pool_behind_a_url(tmp_path: Path, four: Path):
    import fsspec

    for k in (1, 2):
        with fsspec.open(f"memory://bucket/part{k}.jsonl", "wb") as file:
            file.write(b"".join(line(row) + b"\n" for row in FOUR[2 * k - 2 : 2 * k]))
    done("memory://bucket/*.jsonl", *("--method", "length", "--budget", "3"), "--out", tmp_path / "far")
    done(four, *("--method", "length", "--budget", "3"), "--out", tmp_path / "near")
    assert manifest(tmp_path / "far").drop("shard").equals(manifest(tmp_path / "near").drop("shard"))
    assert selected(tmp_path / "far") == selected(tmp_path / "near")
    assert "nothing at" in select("memory://bucket/none.jsonl", *LENGTH, "--out", tmp_path / "no").sentence


def test_a_chat_is_rendered_for_scoring_and_kept_whole(tmp_path: Path):
    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}], "n": k}
        for k, text in enumerate(["hi", "a long question"])
    ]
    done(jsonl(tmp_path / "chat.jsonl", rows), "--method", "length", "--budget", "1", "--out", tmp_path / "run")
    assert selected(tmp_path / "run") == line(rows[1]) + b"\n"
    assert manifest(tmp_path / "run")["bytes"].to_list() == [
        len(f"user: {text}\nassistant: yes") for text in ("hi", "a long question")
    ]


def test_files_of_one_pool_may_have_other_fields(tmp_path: Path):
    for name, rows in (
        ("a.jsonl", [{"instruction": "add", "output": f"one and {n}", "id": f"a{n}"} for n in range(20)]),
        ("b.jsonl", [{"text": f"a text of number {n}"} for n in range(20)]),
        ("c.jsonl", [{"messages": [{"role": "user", "content": f"hello {n}"}]} for n in range(20)]),
    ):
        jsonl(tmp_path / "pool" / name, rows)
    run = tmp_path / "run"
    done(tmp_path / "pool", "--method", "random", "--budget", "100%", "--out", run)
    assert told(run)["counts"]["chosen"] == 60
    ids = manifest(run)["id"].to_list()
    assert ids[0] == "a0" and ids[20] == "b.jsonl:1"
    done(run, "--budget", "50%", "--out", tmp_path / "again")
    assert told(tmp_path / "again")["counts"]["chosen"] == 30
