"""The board: every cell once, judged as `verify` judges, answers corrected, losses shown, nothing lost to a failure or a kill."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import ROOT, assay, jsonl, packed, unpacked
from tests.report.browser import CHROMIUM, chromium

from assay import api, catalog, trial
from assay.board import cells, findings, run, tree
from assay.errors import RecipeError
from assay.io import files
from assay.recipe import Verify, read_tree
from assay.report import board as page
from assay.run.workers import Crew
from assay.runs import Run

DATA = ROOT / "examples" / "data"
BOARD = """
title = "A small board"
budgets = ["3%bytes", "6%bytes"]
seeds = 3

[[pool]]
name = "some"
path = "pool.jsonl"

[[task]]
name = "medicine"
pool = "some"
target = "target.jsonl"
eval = "eval.jsonl"
general = "general.jsonl"
about = "About <medicine> | and more."

[[method]]
name = "control"
method = "random"
seed = 3
control = true

[[method]]
name = "dsir"
method = "dsir"

[[method]]
name = "dsir, anti"
steps = [{ score = "dsir" }, { select = "top_k", rank = "-dsir" }]

[[method]]
name = "rules"
steps = [{ filter = "gopher_repetition" }]

[[method]]
name = "ratings"
steps = [{ score = "distill_ratings" }, { select = "top_k" }]

[[proxy]]
name = "ngram"
units = 60_000
"""


def parsed(text: str = BOARD) -> tree.Board:
    return tree.parse(read_tree(text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small task of real text: a pool without ratings, examples, held-out text."""
    made = tmp_path_factory.mktemp("board")
    lines = [json.loads(row) for row in unpacked(DATA / "pool.jsonl.zst").splitlines()]
    # Short rows, so that every choice fills its budget to the last two percent, below which all arms are cut.
    jsonl(made / "pool.jsonl", [row for row in lines if len(row["text"].encode()) < 500][:3000])
    shutil.copy(DATA / "target.jsonl", made / "target.jsonl")
    held = [json.loads(row) for row in (DATA / "heldout.jsonl").read_text("utf-8").splitlines()]
    jsonl(made / "eval.jsonl", held[:100])
    jsonl(made / "general.jsonl", held[100:160])
    packed(made / "board.toml", BOARD.encode())
    return made


@pytest.fixture(scope="module")
def worked(folder: Path) -> Iterator[tuple[Path, Any]]:
    """The whole board, worked once by the command."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        yield folder, assay("board", "board.toml", "--out", "out", "--workers", 1)


def rows(folder: Path, out: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / out / "results.jsonl").read_text("utf-8").splitlines()]


def row(folder: Path, method: str, budget: str = "3%bytes") -> dict[str, Any]:
    return next(one for one in rows(folder) if one["method"] == method and one["budget"] == budget)


# --- A board worked ---------------------------------------------------------------------------------------------------


def test_every_cell_is_a_row_and_a_failed_one_says_why(worked: tuple[Path, Any]):
    folder, answer = worked
    assert answer.code == 1, answer.err
    found = rows(folder)
    assert [(one["method"], one["budget"]) for one in found] == [
        (method, budget)
        for budget in ("3%bytes", "6%bytes")
        for method in ("control", "dsir", "dsir, anti", "rules", "ratings")
    ]
    failed = [one for one in found if one["state"] == "failed"]
    assert [one["method"] for one in failed] == ["ratings", "ratings"]
    assert "rating" in failed[0]["error"] and "\n" not in failed[0]["error"]
    assert "8 cells done, 2 failed" in " ".join(answer.out.split())
    assert failed[0]["error"] in json.loads((folder / "out/board.json").read_text())["groups"][0]["rows"][-1]["error"]


def test_choosing_the_target_wins_and_choosing_the_opposite_is_printed_as_a_loss(worked: tuple[Path, Any]):
    folder, _ = worked
    facts = json.loads((folder / "out/board.json").read_text())
    group = facts["groups"][1]
    answers = {one["method"]: one["answers"]["random"]["answer"] for one in group["rows"] if one["state"] == "done"}
    assert answers["dsir"] == "better" and answers["dsir, anti"] == "worse" and answers["control"] == "undecided"
    written = (folder / "out/board.md").read_text("utf-8")
    line = next(one for one in written.splitlines() if one.startswith("| dsir, anti | worse"))
    assert "−" in line
    assert "| ratings | failed: " in written and "&lt;" not in written and "<medicine> \\| and" not in written


def test_a_cell_says_what_verify_says_of_its_run(worked: tuple[Path, Any]):
    folder, _ = worked
    one = row(folder, "dsir")
    kept = json.loads((folder / "out" / one["run"] / "verdicts" / f"{one['verdict']}.json").read_text())
    assert one["beside"]["random"]["difference"] == kept["difference"] and one["sentence"] == kept["sentence"]
    asked = Verify(
        ("eval.jsonl",), ("general.jsonl",), seeds=3, units=one["units"], cache=str(folder / "elsewhere")
    )
    again = trial.verify(_run(folder, one), asked, Crew(1))
    assert again["difference"] == kept["difference"], "trained anew, without the store's trials"


def _run(folder: Path, one: dict[str, Any]) -> Run:
    return Run(folder / "out" / one["run"])


def test_all_arms_of_a_table_cost_the_same_and_random_is_trained_once(worked: tuple[Path, Any]):
    folder, _ = worked
    for budget in ("3%bytes", "6%bytes"):
        done = [one for one in rows(folder) if one["state"] == "done" and one["budget"] == budget]
        assert len({one["units"] for one in done}) == 1
        assert len({one["random"] for one in done}) == 1
    # random's arms at each budget with their curves, once; for each method a choice and three draws of its lengths.
    kept = list((folder / "out/store/trials").glob("*.npz"))
    per_budget = [len({json.dumps(arm) for arm in _curve(folder, budget)}) for budget in ("3%bytes", "6%bytes")]
    pools, choices = 2, 8 * (1 + 3)
    assert len(kept) <= sum(per_budget) + pools + choices


def _curve(folder: Path, budget: str) -> list[dict[str, Any]]:
    one = row(folder, "dsir", budget)
    return json.loads((folder / "out" / one["run"] / "verdicts" / f"{one['verdict']}.json").read_text())["curve"]


def test_another_budget_decides_again_and_chooses_what_a_fresh_run_chooses(worked: tuple[Path, Any]):
    folder, _ = worked
    first, second = row(folder, "dsir"), row(folder, "dsir", "6%bytes")
    stages = {
        one["budget"]: [
            stage["stage"] for stage in json.loads((folder / "out" / one["run"] / "run.json").read_text())["stages"]
        ]
        for one in (first, second)
    }
    assert any(stage.startswith("score") for stage in stages["3%bytes"])
    assert not any(stage.startswith("score") for stage in stages["6%bytes"])
    fresh = api.select("pool.jsonl", target="target.jsonl", method="dsir", budget="6%bytes", out=folder / "fresh")
    assert fresh.selected["row"].to_list() == _run(folder, second).selected["row"].to_list()
    assert second["cost"]["seconds"] > json.loads((folder / "out" / second["run"] / "run.json").read_text())["seconds"]


def test_what_two_runs_found_in_the_store_is_counted_once():
    def spent(seconds: float, earlier: float, *stages: str) -> Any:
        told = [{"stage": stage, "seconds": 0.0, "bytes": 7} for stage in stages]
        return SimpleNamespace(
            facts={"seconds": seconds, "stages": told}, cost={"seconds": seconds + earlier, "bytes_read": 7 * len(told)}
        )

    first, second = spent(5.0, 600.0, "measure gradients", "score less"), spent(1.0, 600.0, "measure gradients")
    told = cells.cost(second, first, {})
    assert (told["seconds"], told["bytes_read"]) == (606.0, 21)
    assert cells.cost(second, None, {})["seconds"] == 601.0
    assert cells.cost(first, second, {})["seconds"] == 605.0, "it made its scores itself"


def test_a_filter_is_one_run_for_all_budgets_and_is_thinned_to_each(worked: tuple[Path, Any]):
    folder, _ = worked
    small, large = row(folder, "rules"), row(folder, "rules", "6%bytes")
    assert small["run"] == large["run"] and small["kind"] == "cleaned"
    assert small["bytes"] > large["units"] and small["units"] == row(folder, "dsir")["units"] < large["units"]


def test_a_rerun_does_only_the_rest(worked: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch):
    folder, _ = worked
    before = rows(folder)
    answer = assay("board", "board.toml", "--out", "out", "--workers", 1)
    lines = [line for line in answer.out.splitlines() if line.startswith("[")]
    assert answer.code == 1 and len(lines) == 2 and all("ratings: failed" in line for line in lines)
    assert [one for one in rows(folder) if one["state"] == "done"] == [one for one in before if one["state"] == "done"]


def test_a_stopped_board_goes_on_where_it_was(worked: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch):
    folder, _ = worked
    begun, whole = [], cells.trial.verify

    def stopped(*arguments: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(cells.trial, "verify", stopped)
    words = [
        "board",
        "board.toml",
        "--out",
        "halted",
        "--store",
        "out/store",
        "--workers",
        1,
        "--only",
        "method=dsir,control",
    ]
    assert assay(*words).code == 130
    assert [one["method"] for one in rows(folder, "halted")] == ["control"]
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    answer = assay(*words)
    assert answer.code == 0 and sum(line.startswith("[") for line in answer.out.splitlines()) == 3
    same = ("method", "budget", "choice", "random", "beside", "multiplier", "verdict")
    mine = [{key: one[key] for key in same} for one in rows(folder, "halted")]
    theirs = [{key: one[key] for key in same} for one in rows(folder) if one["method"] in ("dsir", "control")]
    assert mine == theirs


def test_a_fault_of_ours_is_a_row_too(worked: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch):
    folder, _ = worked

    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr(cells.trial, "verify", broken)
    answer = assay("board", "board.toml", "--out", "broken", "--workers", 1, "--limit", 1)
    assert answer.code == 1
    assert rows(folder, "broken")[0]["error"] == "ZeroDivisionError: by nothing"


def test_a_dry_run_writes_nothing_and_a_limit_is_kept(worked: tuple[Path, Any]):
    folder, _ = worked
    answer = assay("board", "board.toml", "--out", "none", "--dry-run")
    assert answer.code == 0 and not (folder / "none").exists()
    assert "10 cells to do, 0 done" in " ".join(answer.out.split())
    answer = assay(
        "board", "board.toml", "--out", "one", "--store", "out/store", "--limit", 1, "--workers", 1, "--quiet"
    )
    assert answer.code == 0 and [one["method"] for one in rows(folder, "one")] == ["control"]
    left = assay("board", "board.toml", "--out", "one", "--dry-run")
    assert "9 cells to do, 1 done" in " ".join(left.out.split()) and "in proportion" in " ".join(left.out.split())


def test_a_changed_eval_set_is_judged_anew(worked: tuple[Path, Any]):
    folder, _ = worked
    board, how = parsed(), run.How(folder / "out", crew=Crew(1))
    assert run.kept(cells.cells(board, board.proxies[0], board.methods)[0], how) is not None
    text = (folder / "eval.jsonl").read_bytes()
    (folder / "eval.jsonl").write_bytes(text + b'{"text": "one more document of held-out text"}\n')
    try:
        assert run.kept(cells.cells(board, board.proxies[0], board.methods)[0], how) is None
    finally:
        (folder / "eval.jsonl").write_bytes(text)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_page_opens_offline_and_fits_a_phone(worked: tuple[Path, Any], tmp_path: Path):
    folder, _ = worked
    address = (folder / "out" / "board.html").as_uri()
    with chromium() as tab:
        tab.look(1280, "light")
        tab.open(address)
        light = tab.picture(tmp_path / "light.png")
        tab.look(1280, "dark")
        dark = tab.picture(tmp_path / "dark.png")
        tab.look(390, "light")
        overflow = tab.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        shown = tab.ask("[...document.querySelectorAll('.matrix tbody tr')].map(r => r.innerText)")
    assert tab.complaints() == []
    assert [each for each in tab.requests() if not each.startswith("data:")] == [address]
    assert light != dark and overflow == 0
    assert any("dsir, anti" in line and "worse" in line for line in shown)
    assert any("ratings" in line and line.count("failed") == 2 for line in shown)


# --- What the cells say together --------------------------------------------------------------------------------------


def made(method: str, estimate: float, p: float, task: str = "t", kind: str = "choice", proxy: str = "ngram") -> dict:
    between = {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}
    return {
        "state": "done", "error": None, "method": method, "kind": kind, "task": task, "pool": "some", "budget": "5%bytes",
        "proxy": proxy, "seeds": 3, "level": 0.05, "unit": "bytes", "units": 1000, "metric": "bits_per_byte", "rows": 1,
        "bytes": 1200, "held": {"documents": 10, "bytes": 100}, "multiplier": {"estimate": 1 + estimate, "low": None, "high": None},
        "beside": {"random": {"difference": between, "p": p}, "length": {"difference": between, "p": p}},
        "general": None, "tasks": [], "notes": [], "shares_features": False, "seconds": 1.0,
        "cost": {"seconds": 1.0, "bytes_read": 5, "training_seconds": 1.0, "random_seconds": 2.0, "bound": True},
    }  # fmt: skip


def test_answers_are_corrected_for_how_many_methods_are_asked():
    three = [made("a", 0.3, 0.01), made("b", 0.2, 0.03), made("c", -0.2, 0.04)]
    found = findings.corrected(three, "random")
    assert {name: one["answer"] for name, one in found.items()} == {"a": "better", "b": "undecided", "c": "undecided"}
    assert findings.corrected(three[1:2], "random")["b"]["answer"] == "better", "alone it would be"
    assert found["a"]["p"] == pytest.approx(0.03) and found["b"]["p"] == found["c"]["p"] == pytest.approx(0.06)
    assert findings.corrected(three, "rs2") == {}


def test_the_best_are_those_of_best_mean_rank_without_controls():
    cells_ = [
        made("lucky", 9.0, 0.5, kind="control"), made("lucky", 9.0, 0.5, "u", kind="control"),
        made("first", 0.5, 0.01), made("first", 0.4, 0.01, "u"), made("second", 0.6, 0.01), made("second", 0.1, 0.01, "u"),
        made("third", 0.1, 0.01), made("third", 0.2, 0.01, "u"), made("once", 0.9, 0.01), made("other", 9.0, 0.01, proxy="lm-nano"),
        {"state": "failed", "method": "fourth", "kind": "choice", "task": "t", "budget": "5%bytes", "proxy": "ngram"},
    ]  # fmt: skip
    assert findings.best(cells_, "ngram", 2) == ["first", "second"]
    assert findings.best(cells_, "ngram", 9) == ["first", "second", "third", "once"], "one task of two says little"


def test_items_have_a_column_where_they_were_asked():
    board = parsed()
    plain = {**made("dsir", 0.3, 0.001), "task": "medicine", "budget": board.budgets[0]}
    asked = {**plain, "tasks": [{"name": "copa", "metric": "bits_per_byte", "answer": "worse", "p_adjusted": 0.01}]}
    for row_, there in ((plain, False), (asked, True)):
        facts = findings.findings(board, [row_])
        for drawn in (page.markdown(facts), page.html(facts)):
            assert ("copa: worse" in drawn) is there and ("items" in drawn.partition("level 0.05")[2]) is there


def test_a_summary_counts_losses_as_it_counts_wins():
    board = parsed()
    rows_ = [{**made("dsir", 0.3, 0.001), "task": "medicine", "budget": text} for text in board.budgets]
    rows_ += [{**made("rules", -0.3, 0.001), "task": "medicine", "budget": text} for text in board.budgets]
    facts = findings.findings(board, rows_)
    told = page.summary(facts["summaries"][0])
    assert [line[:5] for line in told["rows"]] == [
        ["dsir", "chooses", "2 of 2", "0", "0"],
        ["rules", "chooses", "0 of 2", "0", "2"],
    ]
    assert "better than RS2 / worse" not in told["columns"], "in one epoch RS2 is random"


# --- What a board may say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('title = "A small board"', 'titel = "x"', "did you mean 'title'?"),
        ('pool = "some"', 'pool = "sone"', "did you mean 'some'?"),
        ('budgets = ["3%bytes", "6%bytes"]', 'budgets = ["3%"]', "must be in bytes"),
        ('name = "dsir"', 'name = "rules"', "'rules' stands twice"),
        ("units = 60_000", "best = 2", "'ngram' is the first"),
        ("units = 60_000", 'units = "many"', "proxy 'ngram'"),
        ('method = "dsir"', 'metod = "dsir"', "did you mean 'method'?"),
        ('method = "dsir"', 'about = "nothing"', "must say what it does"),
        ("seeds = 3\n\n[[pool]]", 'seeds = "three"\n\n[[pool]]', "the board's seeds"),
        ('eval = "eval.jsonl"', "", "eval"),
    ],
)
def test_an_impossible_board_is_refused_in_a_sentence(before: str, after: str, said: str):
    assert BOARD.count(before) >= 1
    with pytest.raises(RecipeError, match=said.replace("?", r"\?")):
        parsed(BOARD.replace(before, after, 1))


def test_what_a_method_cannot_do_is_refused_before_anything_runs(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    packed(
        folder / "wrong.toml", BOARD.replace('filter = "gopher_repetition"', 'filter = "gopher_repetitions"').encode()
    )
    sentence = assay("board", "wrong.toml", "--out", "wrong").sentence
    assert "method 'rules' on task 'medicine'" in sentence and not (folder / "wrong" / "cells").exists()
    assert "no task 'medicin'" in assay("board", "board.toml", "--out", "w", "--only", "task=medicin").sentence
    assert "must look like method=dsir" in assay("board", "board.toml", "--out", "w", "--only", "dsir").sentence
    assert "give --out" in assay("board", "board.toml").sentence
    assert "something else" in assay("board", "board.toml", "--out", ".").sentence


def test_a_proxy_with_best_waits_until_the_one_before_is_through(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(folder)
    board = parsed(BOARD + '\n[[proxy]]\nname = "lm-nano"\nbest = 1\nbudgets = ["6%bytes"]\n')
    how = run.How(tmp_path, crew=Crew(1))
    first = [cell for cell, _ in run.rows_of(board, how)]
    assert {cell.proxy.name for cell in first} == {"ngram"}
    for place, cell in enumerate(first):
        (tmp_path / "cells").mkdir(exist_ok=True)
        kind = "control" if cell.method.control else "choice"
        told = made(cell.method.name, 1.0 / (1 + place), 0.01, "medicine", kind) | {"budget": cell.budget}
        files.write_json(str(tmp_path / "cells" / f"{cell.key}.json"), told)
    later = [cell for cell, _ in run.rows_of(board, how)][len(first) :]
    assert [(cell.method.name, cell.budget, cell.proxy.name) for cell in later] == [("dsir", "6%bytes", "lm-nano")]


# --- The boards that ship ---------------------------------------------------------------------------------------------

NAMES = ("board", "board_models")
SHIPPED = [tree.parse(read_tree((ROOT / "recipes" / f"{name}.toml").read_text("utf-8"))) for name in NAMES]
# An eval set, a list of words, pictures: without them there is nothing to judge, or nothing that a judge of text can.
NOT_THERE = {"decontaminate", "word_list", "ccs"}


def test_the_boards_that_ship_have_every_selector_scorer_and_filter():
    steps = [
        step
        for board in SHIPPED
        for task in board.tasks
        for method in board.methods
        if method.fits(task)
        for step in cells.recipe_of(method, task, board.pool(task), board.budgets[0]).steps
    ]
    for kind in ("select", "score", "filter"):
        there = {step.name for step in steps if step.kind == kind}
        assert set(catalog.methods(kind)) - there - NOT_THERE == set(), f"{kind}: put it on a board of recipes/"
    assert len(SHIPPED[0].tasks) >= 4 and all(len(board.budgets) == 2 for board in SHIPPED)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_in_docs_is_the_recorded_board(name: str):
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        spec = importlib.util.spec_from_file_location("prove_board", ROOT / "bench" / "prove_board.py")
        proof = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(proof)
    finally:
        sys.path.remove(str(ROOT / "bench"))
    page, recorded = ROOT / "docs" / f"{name.replace('_', '-')}.md", (proof.RESULTS / f"{name}.json").exists()
    assert page.read_text("utf-8") == proof.page(name) if recorded else not page.exists()
