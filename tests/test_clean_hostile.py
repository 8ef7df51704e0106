"""What a hostile user finds in `assay clean`: equal files, mixed layouts, empty ends, odd parameters, files that went away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import assay, done, jsonl, manifest, select, told
from test_clean import ITEM, MAIL, clean, cleaned, prose, rows

import assay as package
from assay import gallery
from assay.errors import RecipeError


def recipe(tmp_path: Path, *steps: str, name: str = "mine") -> list[object]:
    """The flags of a recipe of these steps."""
    path = tmp_path / f"{name}.toml"
    path.write_text(f"steps = [{', '.join(steps)}]")
    return ["--recipe", path]


def kept(run: Path) -> list[str]:
    """Ids of the kept rows."""
    return manifest(run).filter(pl.col("status") == "kept")["id"].to_list()


def reasons(run: Path) -> dict[str, str]:
    """Every row's reason by its id."""
    return dict(manifest(run).select("id", "reason").iter_rows())


# --- One store, many pools --------------------------------------------------------------------------------------------

COPIES = ('{ group = "exact", keep = "first" }', '{ filter = "gopher_quality" }', '{ edit = "pii_mask" }')


def test_two_equal_files_of_one_pool_do_not_share_what_hangs_on_living_rows(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        jsonl(tmp_path / "pool" / name, rows())
    asked = recipe(tmp_path, *COPIES)
    both = cleaned(tmp_path / "pool", *asked, "--out", tmp_path / "both")
    alone = cleaned(tmp_path / "pool" / "a.jsonl", *asked, "--out", tmp_path / "alone")
    assert kept(both) == kept(alone) and len(kept(both)) == len(rows()) - 5
    assert (both / "selected" / "a.jsonl").read_bytes() == (alone / "selected" / "a.jsonl").read_bytes()
    assert not (both / "selected" / "b.jsonl").exists()


def test_a_file_known_alone_may_meet_its_equal(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        jsonl(tmp_path / "pool" / name, rows())
    asked = [*recipe(tmp_path, *COPIES), "--store", tmp_path / "store"]
    cleaned(tmp_path / "pool" / "b.jsonl", *asked, "--out", tmp_path / "alone")
    both = cleaned(tmp_path / "pool", *asked, "--workers", "2", "--out", tmp_path / "both")
    assert told(both)["counts"]["kept"] == len(rows()) - 5 and set(manifest(both).filter(status="kept")["shard"]) == {
        "a.jsonl"
    }


def test_the_same_places_of_another_pool_are_other_rows(tmp_path: Path):
    one = jsonl(tmp_path / "x.jsonl", ({**row, "id": f"x-{row['id']}"} for row in rows()))
    two = jsonl(tmp_path / "y.jsonl", ({**row, "id": f"y-{row['id']}"} for row in rows()))
    asked = [*recipe(tmp_path, *COPIES), "--store", tmp_path / "store"]
    straight = kept(cleaned(one, two, *asked, "--out", tmp_path / "straight"))
    turned = kept(cleaned(two, one, *asked, "--out", tmp_path / "turned"))
    order = {name[0] for name in straight}, {name[0] for name in turned}
    assert order in (({"x"}, {"x"}), ({"x"}, {"y"})) and len(straight) == len(turned) == len(rows()) - 5


# --- Layouts ----------------------------------------------------------------------------------------------------------


def layouts(folder: Path) -> dict[str, Path]:
    """The same rows as plain and packed files side by side, as Parquet, CSV and a JSON array."""
    flat = [{"id": row["id"], "text": row["text"], "source": row["source"]} for row in rows()]
    for k in range(8):
        jsonl(folder / "mixed" / f"p{k}.jsonl{('.gz', '.zst', '')[k % 3]}", flat[k * 10 : (k + 1) * 10])
    (folder / "mixed" / "p3b.jsonl").write_bytes(b"")
    pq.write_table(pa.Table.from_pylist(flat), folder / "rows.parquet", row_group_size=10)
    pl.DataFrame(flat).write_csv(folder / "rows.csv")
    (folder / "rows.json").write_text(json.dumps(flat))
    return {"mixed": folder / "mixed", **{kind: folder / f"rows.{kind}" for kind in ("parquet", "csv", "json")}}


def test_every_layout_keeps_the_same_rows(tmp_path: Path):
    evals = jsonl(tmp_path / "eval.jsonl", [{"text": ITEM}])
    asked = [
        *recipe(tmp_path, '{ filter = "gopher_quality" }', '{ edit = "pii_mask" }'),
        "--eval",
        evals,
        "--dedup",
        "minhash",
    ]
    wanted = reasons(cleaned(jsonl(tmp_path / "one.jsonl", rows()), *asked, "--out", tmp_path / "one"))
    for name, path in layouts(tmp_path).items():
        assert reasons(cleaned(path, *asked, "--out", tmp_path / f"run-{name}")) == wanted, name


# --- Empty ends -------------------------------------------------------------------------------------------------------


def test_a_pool_of_which_nothing_stays_ends_well(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", [row for row in rows() if row["id"].startswith("short")])
    steps = ['{ filter = "gopher_quality" }', '{ group = "minhash" }', '{ group = "lines", at_most = 0.5 }']
    asked = recipe(tmp_path, *steps, '{ edit = "drop_repeated_lines" }', '{ filter = "c4" }')
    run = cleaned(pool, *asked, "--out", tmp_path / "run")
    assert told(run)["counts"]["kept"] == 0 and list((run / "selected").iterdir()) == []
    assert assay("report", run).code == assay("why", run, "2").code == 0
    assert "kept none" in select(run, "--method", "random", "--budget", "5", "--out", tmp_path / "next").sentence


# --- Which copy stays, and what later steps see -----------------------------------------------------------------------


def test_which_copy_stays(tmp_path: Path):
    copies = [("a", " x", 1.0), ("b", " x  ", 3.0), ("c", "  x", None)]
    made = [{"id": name, "text": prose(0) + tail, "q": q} for name, tail, q in copies]
    pool = jsonl(
        tmp_path / "pool.jsonl", [*made, {"id": "d", "text": prose(1)}, {"id": "e", "text": prose(1), "q": -9}]
    )
    for keep, wanted in (("first", ["a", "d"]), ("longest", ["b", "d"]), ("best:q", ["b", "e"])):
        out = tmp_path / keep.replace(":", "-")
        run = cleaned(pool, "--dedup", "exact", "--keep", keep, "--score-field", "q", "--out", out)
        assert kept(run) == wanted, keep


def test_keep_speaks_of_a_step_that_the_recipe_has(tmp_path: Path):
    pool, asked = jsonl(tmp_path / "pool.jsonl", rows()), recipe(tmp_path, '{ group = "minhash" }')
    run = cleaned(pool, *asked, "--dedup", "minhash", "--keep", "first", "--out", tmp_path / "run")
    assert reasons(run)["clean-0"] == "" and reasons(run)["copy-0"] == "duplicate: minhash of row 0"
    again = cleaned(run, "--dedup", "minhash", "--keep", "longest", "--out", tmp_path / "again")
    assert reasons(again)["copy-0"] == ""


def test_steps_after_an_edit_see_the_new_text_and_names_keep_the_old(tmp_path: Path):
    steps = [
        '{ filter = "gopher_quality" }', '{ annotate = "text_statistics" }', '{ annotate = "pii", as = "before" }',
        '{ edit = "pii_mask" }', '{ filter = "pii", emails = 0 }', '{ annotate = "pii", as = "after" }',
        '{ where = "after_email = 0 and words > 50" }', '{ where = "before_email > 0" }',
    ]  # fmt: skip
    run = cleaned(jsonl(tmp_path / "pool.jsonl", rows()), *recipe(tmp_path, *steps), "--out", tmp_path / "run")
    assert kept(run) == ["mail-0", "mail-1", "mail-2"]
    first = recipe(tmp_path, '{ filter = "pii", emails = 0 }', '{ edit = "pii_mask" }', name="first")
    assert not set(kept(cleaned(tmp_path / "pool.jsonl", *first, "--out", tmp_path / "first"))) & {"mail-0", "mail-1"}
    assert MAIL.split()[3] not in (run / "selected" / "pool.jsonl").read_text()


# --- Finished runs ----------------------------------------------------------------------------------------------------


def test_steps_that_a_score_hangs_on_cannot_change_on_a_finished_run(tmp_path: Path):
    pool, asked = jsonl(tmp_path / "pool.jsonl", rows()), recipe(tmp_path, '{ filter = "gopher_quality" }')
    good = jsonl(tmp_path / "good.jsonl", [{"text": prose(300 + k)} for k in range(20)])
    done(pool, *asked, "--target", good, "--method", "dsir", "--budget", "2", "--out", tmp_path / "run")
    looser = ("--set", "gopher_quality.min_doc_words=2", "--out", tmp_path / "again")
    assert "not what its signals were made of" in select(tmp_path / "run", *looser).sentence


def test_files_that_went_away(tmp_path: Path):
    pool, evals = jsonl(tmp_path / "pool.jsonl", rows()), jsonl(tmp_path / "eval.jsonl", [{"text": ITEM}])
    run = cleaned(pool, "--eval", evals, "--where", "bytes > 30", "--out", tmp_path / "run")
    jsonl(evals, [{"text": " ".join(f"otherword{k}" for k in range(40))}])
    assert "has changed" in clean(pool, "--eval", evals, "--where", "bytes > 30", "--out", run).sentence
    anew = cleaned(pool, "--eval", evals, "--store", run / "store", "--out", tmp_path / "anew")
    assert reasons(run)["leak-0"].startswith("contaminated") and set(reasons(anew).values()) == {""}
    pool.unlink()
    assert assay("report", run).code == 0
    answer = assay("why", run, "70")
    assert answer.code == 0 and "contaminated" in answer.out
    assert "pool.jsonl" in clean(run, "--where", "bytes > 40", "--out", tmp_path / "next").sentence


def test_a_run_of_ids_is_no_pool(tmp_path: Path):
    run = cleaned(
        jsonl(tmp_path / "pool.jsonl", rows()), "--dedup", "exact", "--write", "ids", "--out", tmp_path / "run"
    )
    assert "wrote ids" in select(run, "--method", "random", "--budget", "5", "--out", tmp_path / "next").sentence


def test_from_python_a_cleaned_run_is_a_pool(tmp_path: Path):
    frame = pl.DataFrame([{"id": row["id"], "text": row["text"]} for row in rows()])
    runs = [package.clean(frame, dedup="minhash", out=tmp_path / "run") for _ in range(2)]
    assert runs[0].facts["created"] == runs[1].facts["created"]
    assert runs[0].funnel[-1]["rows"] == runs[0].facts["counts"]["kept"] == len(rows()) - 4
    chosen = package.select(runs[0], method="random", budget="10", out=tmp_path / "chosen")
    assert chosen.facts["counts"]["input"] == runs[0].facts["counts"]["kept"]


# --- Mistakes ---------------------------------------------------------------------------------------------------------


def test_a_threshold_may_be_without_end(tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("village\nfox\n")
    asked = recipe(tmp_path, f'{{ filter = "word_list", words = "{words}", at_most = inf, at_most_share = 0.5 }}')
    run = cleaned(jsonl(tmp_path / "pool.jsonl", rows()), *asked, "--out", tmp_path / "run")
    assert package.runs.Run(run).recipe.steps[0].parameters["at_most"] == "inf" and len(kept(run)) == len(rows())
    assert kept(cleaned(run, "--where", "bytes > 30", "--out", tmp_path / "again"))[0] == "clean-0"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ('{ group = "exact", at_most = 0.5 }', ("measures no share",)),
        ('{ group = "lines", at_most = 2 }', ("at_most", "from 0 to 1")),
        ('{ group = "minhash", bands = 1e9 }', ("bands", "4096")),
        ('{ group = "minhash", rows = inf }', ("rows must be a number",)),
        ('{ group = "minhash", verify = 2 }', ("verify", "to 1")),
        ('{ filter = "gopher_quality", min_doc_words = "many" }', ("min_doc_words must be a number", "'many'")),
        ('{ filter = "gopher_quality", min_doc_words = nan }', ("min_doc_words must be a number",)),
        ('{ filter = "gopher_quality", min_doc_words = true }', ("min_doc_words must be a number",)),
        ('{ filter = "goper_quality" }', ("did you mean 'gopher_quality'",)),
        ('{ filter = "gopher_quality", target = "x.jsonl" }', ("learns from no examples",)),
        ('{ filter = "fineweb", line_punct_thr = "x" }', ("line_punct_thr must be a number",)),
        ('{ annotate = "fasttext", model = 3 }', ("model must be a string",)),
        ('{ annotate = "text_statistics", as = "bytes" }', ("a name of letters", "'bytes'")),
        ('{ annotate = "text_statistics" }, { annotate = "text_statistics" }', ("two steps make a signal",)),
        ('{ where = "bytes > 3", with = "langage" }', ("names nothing that the recipe leaves open",)),
        ('"x"', ("list of tables",)),
    ],
)  # fmt: skip
def test_a_mistake_in_a_recipe_is_one_sentence(tmp_path: Path, step: str, words: tuple[str, ...]):
    pool = jsonl(tmp_path / "pool.jsonl", rows()[:3])
    sentence = clean(pool, *recipe(tmp_path, step), "--out", tmp_path / "run").sentence
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("tree", "words"), [({"steps": 3}, "list of tables"), ({"steps": [], "lacks": "x"}, "lacks must be a list")]
)
def test_a_tree_that_is_none_is_refused(tree: dict[str, Any], words: str):
    with pytest.raises(RecipeError, match=words):
        gallery.close(tree, {})


def test_a_step_left_open_is_always_told_of():
    closed = gallery.close({"steps": [{"annotate": "fasttext", "model": "$language"}]}, {})
    assert closed["origin"]["lacks"] == ["fasttext: give --model language=FILE"]


def test_keep_without_copies_is_refused(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", rows()[:3])
    assert "--dedup" in clean(pool, "--where", "bytes > 3", "--keep", "first", "--out", tmp_path / "run").sentence
