"""The Python face: every kind of pool gives the same choice, and a run answers for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from command import account_holds, chosen, done, examples, jsonl, line, products, selected, told

import assay
from assay.errors import AssayError, RecipeError, RunError

ROWS = [
    {"id": row["id"], "text": row["text"], "source": row["source"], "quality": row["meta"]["quality"]}
    for row in examples()
]


def as_dataset() -> Any:
    import datasets

    return datasets.Dataset.from_list(ROWS)


POOLS = {
    "dicts": lambda: ROWS,
    "strings and dicts": lambda: [
        row["text"] if number % 2 else {"text": row["text"]} for number, row in enumerate(ROWS)
    ],
    "pandas": lambda: pd.DataFrame(ROWS),
    "polars": lambda: pl.DataFrame(ROWS),
    "lazy": lambda: pl.LazyFrame(ROWS),
    "arrow": lambda: pa.Table.from_pylist(ROWS),
    "dataset": as_dataset,
}


@pytest.mark.parametrize("kind", POOLS)
def test_every_kind_of_pool_gives_the_same_choice(tmp_path: Path, kind: str):
    run = assay.select(POOLS[kind](), method="random", budget="10%", seed=2, out=tmp_path / "run")
    done(
        jsonl(tmp_path / "pool.jsonl", ROWS),
        "--method",
        "random",
        "--budget",
        "10%",
        "--seed",
        "2",
        "--out",
        tmp_path / "command",
    )
    assert run.selected["row"].sort().to_list() == chosen(tmp_path / "command")
    account_holds(tmp_path / "run", len(ROWS))


def test_the_names_are_functions_even_after_methods_were_loaded():
    code = (
        "import assay, assay.select.top_k, assay.verify.judge\n"
        "from assay.select.random import Random\n"
        "from assay import catalog, select, verify\n"
        "catalog.build('select', 'length', {})\n"
        "assert callable(assay.select) and callable(select) and callable(assay.verify) and callable(verify)\n"
        "assert assay.select.__name__ == 'select' and 'select' in dir(assay)\n"
        "import assay.api; assert assay.api.select is select\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_a_cell_run_twice_is_one_run_and_other_rows_are_refused(tmp_path: Path):
    first = assay.select(ROWS, target=ROWS[:20], budget=20, out=tmp_path / "run")
    before = products(tmp_path / "run")
    again = assay.select(list(ROWS), target=ROWS[:20], budget=20, out=tmp_path / "run")
    assert first.selected.equals(again.selected) and before == products(tmp_path / "run")
    with pytest.raises(RunError, match="another recipe"):
        assay.select(ROWS[:-1], target=ROWS[:20], budget=20, out=tmp_path / "run")
    assert before == products(tmp_path / "run")


def test_memory_is_not_laid_down_in_a_folder_of_yours(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="other files"):
        assay.select(ROWS, method="random", budget=5, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_pool_that_is_read_knows_itself(tmp_path: Path):
    path = jsonl(tmp_path / "pool.jsonl", [*ROWS, b"broken"])
    pool = assay.read(path, text_field="text", id_field="id")
    assert len(pool) == len(ROWS) and pool.head(2) == [row["text"] for row in ROWS[:2]]
    assert pool.fingerprint == assay.read([path], text_field="text", id_field="id").fingerprint
    assert pool.fingerprint != assay.read(ROWS[1:]).fingerprint
    assert len(assay.read(path, limit=10)) == 10
    run = assay.select(pool, method="length", budget=3, out=tmp_path / "run")
    assert told(tmp_path / "run")["counts"]["quarantined"] == 1 and len(run.selected) == 3
    assert str(path) in repr(pool)


def test_words_mean_what_the_flags_mean(tmp_path: Path):
    path = jsonl(tmp_path / "pool.jsonl", ROWS)
    run = assay.select(
        path, score_fields="quality", where="bytes > 100", rank="zscore(quality)", quota="source:law<=10%",
        select="gumbel_top_k",
        set="gumbel_top_k.temperature=0.1", seed=4, rows="ids", budget="50", out=tmp_path / "python",
    )  # fmt: skip
    flags = (
        "--score-field",
        "quality",
        "--where",
        "bytes > 100",
        "--rank",
        "zscore(quality)",
        "--quota",
        "source:law<=10%",
        "--select",
        "gumbel_top_k",
    )
    done(
        path,
        *flags,
        "--set",
        "gumbel_top_k.temperature=0.1",
        "--seed",
        "4",
        "--write",
        "ids",
        "--budget",
        "50",
        "--out",
        tmp_path / "command",
    )
    assert run.facts["digest"] == told(tmp_path / "command")["digest"]
    assert products(tmp_path / "python") == products(tmp_path / "command")


def test_a_run_answers_for_itself(tmp_path: Path):
    run = assay.select(ROWS, score_fields=["quality"], budget="10%", out=tmp_path / "run")
    best = sorted(range(len(ROWS)), key=lambda row: (-ROWS[row]["quality"], row))[: len(ROWS) // 10]
    assert run.selected["row"].to_list() == best and run.selected["rank"].to_list() == list(range(1, len(best) + 1))
    assert run.selected.columns == ["row", "id", "shard", "source", "bytes", "score", "rank", "weight"]
    assert run.upto(5)["row"].to_list() == best[:5]
    share = run.upto("1%bytes")
    assert share["row"].to_list() == best[: len(share)] and share["bytes"].sum() <= 0.01 * run.facts["bytes"]["input"]
    inside, outside = run.why(best[0]), run.why(ROWS[0]["id"])
    assert inside["status"] == "chosen" and inside["rank"] == 1 and inside["better"] == 0
    assert outside["row"] == 0 and outside["status"] == ("chosen" if 0 in best else "not_chosen")
    with pytest.raises(RecipeError, match="within the run's own budget"):
        run.upto("50%")
    with pytest.raises(AssayError, match="no row"):
        run.why("nobody")
    assert repr(run).startswith("Run(") and f"{len(best):,} of {len(ROWS):,} rows" in repr(run)


def test_a_choice_with_a_quota_has_no_prefix(tmp_path: Path):
    run = assay.select(ROWS, score_fields="quality", quota="source:law>=20%", budget=20, out=tmp_path / "run")
    with pytest.raises(RecipeError, match="not nested"):
        run.upto(5)
    again = assay.select(run, budget=10, out=tmp_path / "again")
    assert len(again.selected) == 10 and (again.selected["source"] == "law").sum() >= 2


def test_what_a_run_was_made_of_cannot_change(tmp_path: Path):
    run = assay.select(ROWS, target=ROWS[:20], budget=20, out=tmp_path / "run")
    for words in ({"target": ROWS[:5]}, {"method": "random"}, {"set": "dsir.n=1"}, {"score_fields": "quality"}):
        with pytest.raises(RecipeError, match="only the decision can change"):
            assay.select(run, budget=10, out=tmp_path / "again", **words)


@pytest.mark.parametrize("kind", ["dicts", "pandas", "dataset"])
def test_a_run_becomes_a_dataset(tmp_path: Path, kind: str):
    run = assay.select(POOLS[kind](), method="length", budget=7, out=tmp_path / "run")
    dataset = run.to_dataset()
    rows = sorted(run.selected["row"].to_list())
    assert [dict(row) for row in dataset] == [ROWS[row] for row in rows]
    with pytest.raises(RunError, match="--write"):
        assay.select(ROWS, method="length", budget=7, rows="none").to_dataset()


def test_a_saved_dataset_folder_stays_one(tmp_path: Path):
    import datasets

    as_dataset().save_to_disk(tmp_path / "saved", num_shards=3)
    run = assay.select(tmp_path / "saved", method="random", budget="20%", out=tmp_path / "run")
    rows = sorted(run.selected["row"].to_list())
    assert [dict(row) for row in run.to_dataset()] == [ROWS[row] for row in rows]
    assert len(datasets.load_from_disk(str(tmp_path / "run/selected/saved"))) == len(rows)


def test_a_run_shows_itself_in_a_notebook(tmp_path: Path):
    run = assay.select(ROWS, target=ROWS[:20], budget=20, out=tmp_path / "run")
    shown = run._repr_html_()
    assert f"{len(ROWS)}" in shown.replace(",", "") and "<script src" not in shown and "http-equiv" not in shown
    pd.testing.assert_index_equal(run.selected.to_pandas().columns, pd.Index(run.selected.columns))


def test_without_out_a_run_lies_in_a_temporary_folder():
    run = assay.select(ROWS, method="length", budget=2)
    assert (run.path / "selected/pool.jsonl").read_bytes().count(b"\n") == 2
    assert selected(run.path).splitlines()[0] in {line(row) for row in ROWS}


@pytest.mark.parametrize(
    "pool, words",
    [
        ([], "must be a path"),
        ([1, 2], "list of dicts"),
        (3, "int"),
        ({"text": "x"}, "dict"),
        (pl.DataFrame(), ""),
        (None, "NoneType"),
    ],
)
def test_what_is_no_pool_is_refused_in_a_sentence(pool: Any, words: str):
    with pytest.raises(AssayError) as refusal:
        assay.select(pool, method="random", budget=1)
    assert words in str(refusal.value)
