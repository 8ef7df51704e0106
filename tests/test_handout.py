"""The arms of a run for a trainer of one's own: equal to the unit, as the rows came, and the same verdict on the way back."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import ROOT, assay, done, jsonl
from tokenizers import Tokenizer

from assay import handout, trial
from assay.errors import RecipeError, RunError
from assay.handout import SHIPPED, HandoutAsked, preview
from assay.io import export
from assay.models import ngram
from assay.recipe import Verify
from assay.run.workers import Crew
from assay.runs import Run
from assay.types import Texts

RNG = np.random.default_rng(11)
GOOD, OTHER = (["".join(RNG.choice(list("abcdefghij"), 5)) for _ in range(150)] for _ in range(2))


def _rows(words: list[str], count: int, least: int, most: int) -> list[dict[str, Any]]:
    return [{"text": " ".join(RNG.choice(words, int(RNG.integers(least, most))))} for _ in range(count)]


POOL = [{"id": f"r{k}", **row} for k, row in enumerate(_rows(GOOD, 250, 20, 80) + _rows(OTHER, 1_000, 5, 50))]
POOL = [POOL[at] for at in RNG.permutation(len(POOL))]
HELD = _rows(GOOD, 40, 30, 60)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("handout")
    jsonl(folder / "pool.jsonl", POOL)
    jsonl(folder / "target.jsonl", _rows(GOOD, 40, 30, 60))
    jsonl(folder / "held.jsonl", HELD)
    done(folder / "pool.jsonl", "--target", folder / "target.jsonl", "--budget", "8%", "--out", folder / "run")
    return Run(folder / "run")


def _arms(run: Run, out: Path, *arguments: object) -> dict[str, Any]:
    answer = assay("arms", run.path, "--out", out, "-q", "--workers", "1", *arguments)
    assert answer.code == 0, answer.err
    return json.loads((out / "arms.json").read_bytes())


def _lines(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "manifest.parquet").with_columns(pl.col("arm").cast(pl.String))


def _by_pass(out: Path) -> dict[tuple[str, int, int], pl.DataFrame]:
    return dict(_lines(out).partition_by("arm", "seed", "epoch", as_dict=True, maintain_order=True))  # type: ignore[arg-type]


def test_arms_have_as_many_tokens_as_the_choice_to_the_token(run: Run, tmp_path: Path) -> None:
    told = _arms(run, tmp_path / "arms", "--epochs", "2")
    count = Tokenizer.from_file(str(SHIPPED))
    cost = {at: len(count.encode(row["text"], add_special_tokens=False).ids) + 1 for at, row in enumerate(POOL)}
    chosen = run.selected["row"].to_list()
    assert told["unit"] == "tokens" and told["budget"] == sum(cost[row] for row in chosen)
    passes = _by_pass(tmp_path / "arms")
    assert set(passes) == {
        (name, s, e) for name in ("choice", "random", "length", "rs2") for s in range(3) for e in range(2)
    }
    for lines in passes.values():
        assert lines["units"].to_list() == [cost[row] for row in lines["row"]]
        assert lines["position"].to_list() == list(range(len(lines))) and lines["row"].n_unique() == len(lines)
        assert lines["keep"].sum() == told["budget"] and (lines["keep"] < lines["units"]).sum() <= 1
        assert lines["id"].to_list() == [POOL[row]["id"] for row in lines["row"]]
        assert set(lines["shard"].cast(pl.String)) == {"pool.jsonl"}
    for seed in range(3):
        assert sorted(passes["choice", seed, 0]["row"]) == sorted(chosen)
        assert passes["choice", seed, 0]["row"].to_list() != passes["choice", seed, 1]["row"].to_list()
        assert sorted(passes["random", seed, 1]["row"]) == sorted(passes["random", seed, 0]["row"])
        assert passes["rs2", seed, 0]["row"].to_list() == passes["random", seed, 0]["row"].to_list()
        assert sorted(passes["rs2", seed, 1]["row"]) != sorted(passes["rs2", seed, 0]["row"])
    assert {(arm["name"], arm["rows"]) for arm in told["arms"] if arm["name"] == "choice"} == {
        ("choice", 2 * len(chosen))
    }


def test_arms_of_a_tokenizer_of_one_s_own(run: Run, tmp_path: Path) -> None:
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    own = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    own.pre_tokenizer = Whitespace()
    own.enable_truncation(7)  # a limit that a count must not be held to
    own.save(str(tmp_path / "own.json"))
    told = _arms(
        run, tmp_path / "arms", "--tokenizer", tmp_path / "own.json", "--units", "2000tokens", "--arms", "choice,random"
    )
    assert told["budget"] == 2_000
    lines = _lines(tmp_path / "arms")
    assert lines["units"].to_list() == [len(POOL[row]["text"].split()) + 1 for row in lines["row"]]
    assert set(lines["arm"]) == {"choice", "random"}


def _read(out: Path) -> dict[tuple[str, int, int], list[bytes]]:
    """What a trainer of one's own reads: the texts of each arm's rows, the last one as far as the manifest says."""
    return {
        (name, seed, budget): [
            POOL[row]["text"].encode()[:keep] for row, keep in lines.sort("position").select("row", "keep").iter_rows()
        ]
        for (name, seed, budget), lines in _lines(out).partition_by("arm", "seed", "budget", as_dict=True).items()
    }


def test_results_of_a_trainer_of_one_s_own_say_what_verify_says(run: Run, tmp_path: Path) -> None:
    """The n-gram model, trained on what lies in `arms/` and reported as rows, against `assay verify` with the same model."""
    told = _arms(run, tmp_path / "arms", "--units", "20kB", "--seeds", "5", "--arms", "choice,random,length,curve")
    held = Texts.of([row["text"] for row in HELD])
    results = []
    for (name, seed, budget), texts in _read(tmp_path / "arms").items():
        assert sum(map(len, texts)) == budget
        model = ngram.train([Texts.of_bytes(texts)], ngram.NGramConfig())
        value = float(model.bits(held).sum() / held.sizes.sum())
        results.append({**told["report"]["line"], "arm": name, "seed": seed, "budget": budget, "value": value})
    assert told["budget"] == 20_000 and len({row["budget"] for row in results}) == 6
    answer = assay("verify", run.path, "--results", jsonl(tmp_path / "results.jsonl", results), "-q")
    assert answer.code == 0, answer.err
    own = json.loads((run.path / "verdict.json").read_bytes())
    asked = Verify((str(run.path.parent / "held.jsonl"),), seeds=5, units="20kB")
    built_in = trial.verify(run, asked, Crew(1))
    reported = {(one["arm"], one["seed"]): one["value"] for one in results if one["budget"] == 20_000}
    compared = [one for one in built_in["arms"] if one["name"] in ("choice", "random", "length")]
    assert len(compared) >= 11
    for one in compared:
        assert one["metric"] == pytest.approx(reported[one["name"], one["seed"]], abs=1e-12)
    assert own["answer"] == built_in["answer"] == "better"
    assert own["difference"]["estimate"] == pytest.approx(built_in["difference"]["estimate"], abs=1e-12)
    assert own["difference"]["low"] >= built_in["difference"]["low"] - 1e-9  # documents can only widen it
    own_worth, built_in_worth = own["multiplier"], built_in["multiplier"]
    assert own_worth["estimate"] == pytest.approx(built_in_worth["estimate"])
    assert own_worth["low"] >= built_in_worth["low"] - 1e-6 and own_worth["censored"] == built_in_worth["censored"]
    assert own["budget"]["bytes"] == built_in["budget"]["bytes"] and len(own["curve"]) == len(built_in["curve"])


def test_a_curve_s_smaller_budgets_begin_the_larger_ones(run: Run, tmp_path: Path) -> None:
    told = _arms(run, tmp_path / "arms", "--units", "10kB", "--arms", "choice,random,curve", "--write", "rows")
    read = {
        budget: b"".join(texts)
        for (name, seed, budget), texts in _read(tmp_path / "arms").items()
        if (name, seed) == ("random", 1)
    }
    assert sorted(read) == [1_250, 2_500, 5_000, 10_000, 20_000, 40_000]
    assert all(read[40_000].startswith(text) and len(text) == size for size, text in read.items())
    files = [arm["file"] for arm in told["arms"]]
    assert len(set(files)) == len(files) == 3 + 3 * 6 and "rows/random-1-40000.jsonl" in files
    assert (
        "random 1 at 40,000 bytes"
        in assay("arms", run.path, "--dry-run", "--units", "10kB", "--arms", "choice,curve").out
    )


@pytest.mark.parametrize("epochs", [1, 2])
def test_rows_leave_as_they_came_in_the_order_of_training(run: Run, tmp_path: Path, epochs: int) -> None:
    told = _arms(run, tmp_path / "arms", "--units", "20kB", "--write", "rows", "--epochs", epochs)
    lines, passes = (run.path.parent / "pool.jsonl").read_bytes().splitlines(keepends=True), _by_pass(tmp_path / "arms")
    for arm in told["arms"]:
        whole = [
            passes[arm["name"], arm["seed"], epoch].filter(pl.col("keep") == pl.col("units")) for epoch in range(epochs)
        ]
        order = [row for one in whole for row in one["row"]]
        assert (tmp_path / "arms" / arm["file"]).read_bytes() == b"".join(lines[row] for row in order)
        cut = _cut(passes, arm, epochs)
        assert arm["left_out"] == [row for row, _ in cut] and arm["written_rows"] == len(order) == arm["rows"] - len(
            cut
        )
        assert arm["written_units"] == arm["units"] - sum(keep for _, keep in cut)
        assert arm["units"] == 20_000 * epochs
    assert not (tmp_path / "arms" / ".work").exists()


def _cut(passes: dict[tuple[str, int, int], pl.DataFrame], arm: dict[str, Any], epochs: int) -> list[tuple[int, int]]:
    found = [
        passes[arm["name"], arm["seed"], epoch].filter(pl.col("keep") < pl.col("units")) for epoch in range(epochs)
    ]
    return [line for one in found for line in one.select("row", "keep").iter_rows()]


def _mixed(folder: Path) -> Run:
    """A run on a pool of three layouts."""
    (folder / "pool").mkdir(parents=True)
    (folder / "pool/a.jsonl.gz").write_bytes(
        gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in POOL[:300]))
    )
    (folder / "pool/b.csv").write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in POOL[300:500]))
    rows = [{**row, "n": at} for at, row in enumerate(POOL[500:900])]
    pq.write_table(pa.Table.from_pylist(rows), folder / "pool/c.parquet", row_group_size=50)
    done(folder / "pool", "--method", "random", "--budget", "10%", "--out", folder / "run")
    return Run(folder / "run")


def test_any_layout_becomes_lines_or_one_table(tmp_path: Path) -> None:
    run = _mixed(tmp_path)
    told = _arms(run, tmp_path / "lines", "--units", "15kB", "--write", "rows", "--arms", "choice,random")
    tables = _arms(
        run, tmp_path / "tables", "--units", "15kB", "--write", "rows", "--format", "parquet", "--arms", "choice,random"
    )
    assert _lines(tmp_path / "lines").equals(_lines(tmp_path / "tables"))
    passes = _by_pass(tmp_path / "lines")
    for arm, same in zip(told["arms"], tables["arms"], strict=True):
        whole = passes[arm["name"], arm["seed"], 0].filter(pl.col("keep") == pl.col("units"))
        rows = [json.loads(line) for line in (tmp_path / "lines" / arm["file"]).read_bytes().splitlines()]
        table = pq.read_table(tmp_path / "tables" / same["file"])
        assert [row["text"] for row in rows] == [POOL[row]["text"] for row in whole["row"]] == table["text"].to_pylist()
        assert table.schema.field("n").type == pa.int64()
        wanted = [row - 500 if row >= 500 else None for row in whole["row"]]
        assert table["n"].to_pylist() == wanted and [row.get("n") for row in rows] == wanted


def test_arms_do_not_depend_on_layout_or_workers(run: Run, tmp_path: Path) -> None:
    _arms(run, tmp_path / "one", "--units", "20kB")
    for part in range(3):
        jsonl(tmp_path / f"pool/part{part}.jsonl", POOL[part * 500 : (part + 1) * 500])
    target = run.path.parent / "target.jsonl"
    done(tmp_path / "pool", "--target", target, "--budget", "8%", "--out", tmp_path / "run")
    assert assay("arms", tmp_path / "run", "-o", tmp_path / "two", "--units", "20kB", "-j", "2", "-q").code == 0
    one, two = (_lines(tmp_path / name).drop("shard") for name in ("one", "two"))
    assert one.equals(two)


def test_a_killed_call_goes_on_and_another_request_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = HandoutAsked(write="rows", arms=("choice", "random")), tmp_path / "arms"
    counted, written, real = [], [], export.write_lines

    def dies(path: str, folder: Path, order: np.ndarray) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        real(path, folder, order)

    honest = handout._counted
    monkeypatch.setattr(handout, "_counted", lambda batch, counter: counted.append(1) or honest(batch, counter))
    monkeypatch.setattr(export, "write_lines", dies)
    with pytest.raises(KeyboardInterrupt):
        handout.handout(run, asked, out, Crew(1))
    assert not (out / "arms.json").exists() and len(list((out / "rows").iterdir())) == 2
    monkeypatch.setattr(export, "write_lines", lambda path, *rest: written.append(path) or real(path, *rest))
    before = len(counted)
    told = handout.handout(run, asked, out, Crew(1))
    assert len(written) == len(set(written)) == 6 == len(told["arms"])
    assert len(counted) == before + 1  # the sample of rows only
    assert handout.handout(run, asked, out, Crew(1)) == told and len(written) == 6
    handout.handout(run, asked, tmp_path / "afresh", Crew(1))
    for name in ["manifest.parquet", "arms.json", *(arm["file"] for arm in told["arms"])]:
        assert (out / name).read_bytes() == (tmp_path / "afresh" / name).read_bytes()
    with pytest.raises(RunError, match="another request"):
        handout.handout(run, HandoutAsked(seeds=4), out, Crew(1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds other files"):
        handout.handout(run, asked, tmp_path / "mine", Crew(1))


def test_a_dry_run_prints_sizes_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    answer = assay("arms", run.path, "--dry-run", "--units", "20kB", "-o", tmp_path / "arms", "-j", "1")
    assert answer.code == 0 and not (tmp_path / "arms").exists()
    assert "20,000 bytes for each arm" in answer.out and "random 2" in answer.out and "rs2 is left out" in answer.out
    about = preview(run, HandoutAsked(), Crew(1))
    exact = _arms(run, tmp_path / "arms")
    assert about["estimate"] and about["budget"] == pytest.approx(exact["budget"], rel=0.1)
    assert "about" in assay("arms", run.path, "--dry-run", "-j", "1").out


def test_a_cleaned_pool_and_other_runs_are_arms(run: Run, tmp_path: Path) -> None:
    """Three steps drop rows and a selector leaves others out: the cleaned arm is what the steps kept."""
    pool = run.path.parent / "pool.jsonl"
    doubled = jsonl(tmp_path / "pool.jsonl", [*POOL, *POOL[:100], {"nothing": 1}])
    target = run.path.parent / "target.jsonl"
    clean = ("--where", "bytes > 60", "--dedup", "exact")
    done(doubled, "--target", target, "--budget", "5%", *clean, "--out", tmp_path / "run")
    assert assay("clean", doubled, *clean, "--out", tmp_path / "clean", "-q", "-j", "1").code == 0
    cleaned = Run(tmp_path / "run").cleaned
    assert cleaned.tolist() == sorted(Run(tmp_path / "clean").selected["row"].to_list())
    assert len(Run(tmp_path / "run").selected) < len(cleaned) < len(POOL)
    told = _arms(
        Run(tmp_path / "run"),
        tmp_path / "arms",
        "--units",
        "10kB",
        "--arms",
        f"choice,random,cleaned,{tmp_path / 'clean'}",
    )
    lines = _lines(tmp_path / "arms")
    assert {arm["name"] for arm in told["arms"]} == {"choice", "random", "cleaned", "run clean"}
    for name in ("cleaned", "run clean"):
        assert set(lines.filter(pl.col("arm") == name)["row"]) <= set(cleaned.tolist())
    outside = set(lines.filter(pl.col("arm") == "random")["row"]) - set(cleaned.tolist())
    assert outside  # random draws from the whole pool, which has copies and short rows
    asked = Verify(
        (str(run.path.parent / "held.jsonl"),), against=("random", "cleaned", str(tmp_path / "clean")), seeds=3
    )
    found = trial.verify(Run(tmp_path / "run"), asked, Crew(1))
    assert {"cleaned", "run clean"} <= {arm["name"] for arm in found["arms"]} and found["against"] == "random"
    with pytest.raises(RunError, match="same pool"):
        handout.handout(run, HandoutAsked(arms=("choice", "random", str(tmp_path / "clean"))), tmp_path / "other", Crew(1))
    assert pool.exists()


def test_edited_texts_are_what_is_counted_and_written(tmp_path: Path) -> None:
    rows = [
        {"text": f"Write to me at person{k}@mail.net about the {GOOD[k % 150]} " + "word " * (k % 30)}
        for k in range(300)
    ]
    pool = jsonl(tmp_path / "pool.jsonl", rows)
    recipe = 'pool = ["POOL"]\n[[steps]]\nedit = "pii_mask"\n[[steps]]\nselect = "random"\nbudget = "20%"\n'
    (tmp_path / "r.toml").write_text(recipe.replace("POOL", str(pool)))
    done(tmp_path / "r.toml", "--out", tmp_path / "run")
    run = Run(tmp_path / "run")
    told = _arms(run, tmp_path / "arms", "--write", "rows", "--units", "3kB", "--arms", "choice,random")
    texts = [
        json.loads(line)["text"] for line in (tmp_path / "arms" / told["arms"][0]["file"]).read_bytes().splitlines()
    ]
    assert texts and not any("person" in text for text in texts)
    assert sum(len(text.encode()) for text in texts) == told["arms"][0]["written_units"]
    done(pool, "--method", "random", "--budget", "20%", "--out", tmp_path / "plain")
    with pytest.raises(RunError, match="edit texts as"):
        handout.handout(run, HandoutAsked(arms=("choice", str(tmp_path / "plain"))), tmp_path / "other", Crew(1))


def test_an_arm_s_rows_stream_into_torch_in_the_order_of_training(run: Run, tmp_path: Path) -> None:
    told = _arms(run, tmp_path / "arms", "--units", "20kB", "--write", "rows", "--arms", "choice,random")
    file = next(arm["file"] for arm in told["arms"] if (arm["name"], arm["seed"]) == ("random", 1))
    lines = [json.loads(line) for line in (tmp_path / "arms" / file).read_bytes().splitlines()]
    assert list(handout.to_torch(tmp_path / "arms", "random", 1)) == lines
    first = next(iter(handout.to_torch(tmp_path / "arms", "random", 1, tokenizer=SHIPPED)))
    assert Tokenizer.from_file(str(SHIPPED)).encode(lines[0]["text"]).ids == first["input_ids"].tolist()
    with pytest.raises(RunError, match=r"rows of length 0.*choice 0"):
        handout.to_torch(tmp_path / "arms", "length", 0)


def test_sentences(run: Run, tmp_path: Path) -> None:
    for arguments, words in (
        (("--units", "10%"), "an amount in tokens or bytes"),
        (("--arms", "random"), "must hold choice"),
        (("--write", "row"), "did you mean 'rows'"),
        (("--units", "1MB", "--tokenizer", "t.json"), "--tokenizer counts tokens"),
        (("--tokenizer", "missing.json"), "'missing.json' cannot be read"),
    ):
        assert words in assay("arms", run.path, "-o", tmp_path / "arms", *arguments).sentence
    assert "give --out" in assay("arms", run.path).sentence
    with pytest.raises(RecipeError, match="choice, which all others equal"):
        HandoutAsked(arms=("random",))


def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands and programs of docs/own-trainer.md, in the order in which a reader would run them."""
    page = (ROOT / "docs/own-trainer.md").read_text("utf-8")
    commands = [line[2:].split() for line in page.splitlines() if line.startswith("$ assay ")]
    trainer, streaming = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, rows in (("pool", POOL), ("target", HELD[:20]), ("heldout", HELD[20:])):
        jsonl(tmp_path / f"{name}.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    for words in commands[:2]:
        assert assay(*words[1:], "-q").code == 0
    exec(trainer, {})
    answer = assay(*commands[2][1:], "-q")
    assert answer.code == 0 and json.loads((tmp_path / "run/verdict.json").read_bytes())["answer"] == "better", answer
    names: dict[str, Any] = {}
    exec(streaming, names)
    assert sum(len(batch["text"]) for batch in names["loader"]) == len(Run(tmp_path / "run").selected)
    told = json.loads((tmp_path / "arms/arms.json").read_bytes())
    rows = next(arm["written_rows"] for arm in told["arms"] if arm["name"] == "random")
    assert len(list(names["arm"])) == rows


@pytest.mark.parametrize("line", [b"[1, 2]", b"{broken", b"[" * 200_000, b"{\"a\": " * 200_000])
def test_a_line_of_results_that_is_no_object_is_a_sentence(run: Run, tmp_path: Path, line: bytes) -> None:
    answer = assay("verify", run.path, "--results", jsonl(tmp_path / "results.jsonl", [{"arm": "choice"}, line]))
    assert answer.code != 0 and "line 2 of" in answer.sentence and "must be a JSON object" in answer.sentence
