"""What the command tells of a cleaned pool: its summary, its facts, its report, and the story of single rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import assay, examples, jsonl, manifest, told

STEPS = """
pool = "{pool}"
steps = [
  {{ where = "bytes >= 90" }},
  {{ filter = "decontaminate", target = "{evals}" }},
  {{ filter = "gopher_quality", min_doc_words = 20, max_non_alpha_words_ratio = 0.5, min_stop_words = 0 }},
  {{ group = "exact", keep = "longest" }},
  {{ edit = "c4_lines" }},
  {{ filter = "c4", min_num_sentences = 1 }},
]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred rows, some of them twice, some of them no text, through every kind of step."""
    folder = tmp_path_factory.mktemp("cleaned")
    rows = [{"id": row["id"], "text": row["text"], "source": row["source"]} for row in examples()]
    rows += [{**row, "id": f"copy-{row['id']}", "source": "copies"} for row in rows[::7]]
    pool = jsonl(folder / "pool.jsonl", [*rows, b"{broken", {"id": "short", "text": "Too short.", "source": "law"}])
    item = next(row["text"] for row in rows if row["source"] == "docs" and len(row["text"].split()) > 30)
    evals = jsonl(folder / "evals.jsonl", [{"text": " ".join(item.split()[:30]).upper()}])
    recipe = folder / "recipe.toml"
    recipe.write_text(STEPS.format(pool=pool, evals=evals), "utf-8")
    answer = assay("clean", recipe, "--out", folder / "run", "-q", "--workers", "1")
    assert answer.code == 0, answer.err
    (folder / "summary.txt").write_text(answer.out, "utf-8")
    return folder / "run"


@pytest.fixture(scope="module")
def facts(run: Path) -> dict[str, Any]:
    answer = assay("report", run)
    assert answer.code == 0, answer.err
    return json.loads((run / "facts.json").read_text("utf-8"))


def test_the_funnel_adds_up_with_the_manifest(run: Path, facts: dict[str, Any]) -> None:
    lines, stages = manifest(run), facts["funnel"]
    assert stages[0]["rows"] == len(lines) == stages[-1]["rows"] + sum(stage["out"] for stage in stages)
    assert stages[-1]["rows"] == told(run)["counts"]["kept"] == (lines["status"] == "kept").sum()
    assert stages[-1]["bytes"] == lines.filter(lines["status"] == "kept")["bytes"].sum()
    assert [stage["key"].partition(":")[0] for stage in stages if stage["key"].partition(":")[0] != "rule"] == [
        "", "quarantined", "where", "contaminated", "duplicate", "edited",
    ]  # fmt: skip
    steps = [stage["step"] for stage in stages if "step" in stage]
    assert steps == sorted(steps) and {0, 1, 2, 3, 4} <= set(steps)


def test_a_rule_s_rows_are_those_of_the_account(run: Path, facts: dict[str, Any]) -> None:
    stages = {stage["key"]: stage for stage in facts["funnel"]}
    rules = [rule for rule in told(run)["filters"] if rule["rows"] and rule["reason"].startswith("rule: ")]
    assert rules and all(stages[rule["reason"]]["out"] == rule["rows"] <= rule["broken"] for rule in rules)
    assert all(stages[rule["reason"]]["said"] == rule["said"] for rule in rules)


def test_every_reason_shows_rows_that_it_threw_away(run: Path, facts: dict[str, Any]) -> None:
    reasons = {line["row"]: line["reason"] for line in manifest(run).iter_rows(named=True)}
    shown = {entry["reason"]: entry["examples"] for entry in facts["dropped"]}
    assert list(shown) == [stage["key"] for stage in facts["funnel"][1:] if stage["key"] != "quarantined"]
    for reason, rows in shown.items():
        assert 1 <= len(rows) <= 4 and all(reasons[row["row"]].startswith(reason) for row in rows)
        assert all(row["text"].strip() for row in rows), (
            "the text as the step saw it, also of rows that an edit emptied"
        )


def test_values_are_those_that_broke_the_rule(facts: dict[str, Any]) -> None:
    dropped = [entry for entry in facts["dropped"] if entry["reason"].startswith("rule: gopher_quality/min_doc_words ")]
    (words,) = dropped
    assert all(example["measured"] == "wordy_words" and example["value"] < 20 for example in words["examples"])
    after_edit = [entry for entry in facts["dropped"] if entry["reason"].startswith("rule: c4/")]
    assert all("value" in example for entry in after_edit for example in entry["examples"])


def test_a_copy_is_shown_with_the_row_that_stays(run: Path, facts: dict[str, Any]) -> None:
    (copies,) = [entry for entry in facts["dropped"] if entry["reason"] == "duplicate: exact"]
    for example in copies["examples"]:
        assert example["stays"]["text"] == example["text"] and example["stays"]["row"] != example["row"]
        answer = assay("why", run, example["row"])
        row = f"{example['stays']['row']:,}"
        assert f"Dropped as a duplicate: row {row} has the same text and" in " ".join(answer.out.split())


def test_the_matched_words_of_an_eval_item_are_found_in_the_text(facts: dict[str, Any]) -> None:
    (found,) = [entry for entry in facts["dropped"] if entry["reason"] == "contaminated: evals.jsonl"]
    for example in found["examples"]:
        assert example["span"] and example["span"] in example["text"]
        assert example["quoted"].split()[:3] == example["span"].split()[:3]


def test_why_tells_each_kind_of_story(run: Path) -> None:
    lines = manifest(run)

    def story(reason: str, status: str = "not_chosen") -> str:
        found = lines.filter((lines["status"] == status) & lines["reason"].str.starts_with(reason))
        return " ".join(assay("why", run, found["row"][0]).out.split())

    assert "dropped Dropped, because this does not hold of it: bytes >= 90." in story("where")
    assert "Dropped by the rule gopher_quality/min_doc_words: wordy_words must be at least 20." in story(
        "rule: gopher_q"
    )
    assert "Dropped as contaminated: it holds evals.jsonl item 1: “" in story("contaminated")
    assert "Dropped, because c4_lines left no text." in story("edited")
    assert "kept Kept. Its text was changed by c4_lines." in story("edited: c4_lines", "kept")
    assert "quarantined It could not be read:" in story("", "quarantined")


def test_the_summary_and_the_page_show_the_same_funnel(run: Path, facts: dict[str, Any]) -> None:
    summary = " ".join((run.parent / "summary.txt").read_text("utf-8").split())
    page = (run / "report.html").read_text("utf-8")
    kept = told(run)["counts"]["kept"]
    assert f"{kept:,} of {facts['counts']['input']:,} rows kept" in summary and f"{kept:,} of" in page
    for stage in facts["funnel"][1:]:
        name = stage["key"].partition(": ")[2].partition(" (")[0].removesuffix(" left no text")
        assert (name or "could not be read").replace(">=", "&gt;=") in page, name
    assert "c4_lines:" in summary and "exact:" in summary and "What each reason threw away" in page
    assert "At the border" not in page and "chosen" not in summary


def test_without_its_pool_a_run_still_tells_its_numbers(run: Path, tmp_path: Path) -> None:
    pool = run.parent / "pool.jsonl"
    kept = pool.read_bytes()
    pool.write_bytes(kept + b"{}\n")
    try:
        assert assay("report", run).code == 0
        facts = json.loads((run / "facts.json").read_text("utf-8"))
    finally:
        pool.write_bytes(kept)
    assert any("cannot be read any more" in note for note in facts["notes"])
    assert facts["dropped"] and not any(row["text"] for entry in facts["dropped"] for row in entry["examples"])
