"""The sweep over the general share: what it tries, what it says, what it refuses, and that the run stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ROOT, Answer, assay, done, examples, jsonl, ranked, told, unpacked

import assay as house
from assay import sweep
from assay.errors import RecipeError
from assay.report import sweep as shown
from assay.report.html import render
from assay.run.local import Local
from assay.runs import Run


def verify(run: Path, *arguments: object) -> Answer:
    return assay("verify", run, *arguments, "--units", "200kB", "-q", "--workers", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Abstracts among medical answers, a choice of abstracts alone, and held-out text of both."""
    folder, data = tmp_path_factory.mktemp("sweep"), ROOT / "examples" / "data"
    rows = [json.loads(one) for one in unpacked(data / "pool.jsonl.zst").splitlines()]
    abstracts, medicine = ([row for row in rows if row["source"] == name] for name in ("abstracts", "medicine"))
    ids = {row["id"] for row in (*abstracts[:600], *medicine[:1200])}
    mixed = [{**row, "wanted": row["source"] == "abstracts"} for row in rows if row["id"] in ids]
    jsonl(folder / "pool.jsonl", [{**row, "wanted": row["wanted"] + place / 1e6} for place, row in enumerate(mixed)])
    jsonl(folder / "target.jsonl", abstracts[600:640])
    jsonl(folder / "general.jsonl", medicine[1200:1240])
    how = ("--score-field", "wanted", "--method", "top_k", "--budget", "10%bytes")
    done(folder / "pool.jsonl", *how, "-o", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def verdict(run: Path) -> dict[str, Any]:
    before = {path: path.read_bytes() for path in (run / "run.json", *(run / "manifest.parquet").iterdir())}
    held = ("--eval", run.parent / "target.jsonl", "--general", run.parent / "general.jsonl", "--decontaminate")
    answer = verify(run, *held, "--sweep", "general", "--shares", "0,30,90%")
    assert answer.code == 0, answer.err
    assert {path: path.read_bytes() for path in before} == before
    found, printed = json.loads((run / "verdict.json").read_bytes()), " ".join(answer.out.split())
    assert shown.NAME in printed and "30.0 %" in printed and found["sweep_sentence"] in printed
    return found


def test_the_curve_has_an_entry_for_each_share(verdict: dict[str, Any]):
    entries = verdict["sweep"]
    assert [entry["share"] for entry in entries] == [0.0, 0.3, 0.9]
    gains, changes = ([entry[gap]["estimate"] for entry in entries] for gap in ("gain", "change"))
    assert gains[0] > gains[-1] and changes == sorted(changes)
    assert entries[0]["answer"] == "better" and entries[0]["general_answer"] == "worse"
    for entry in entries:
        for metric, gap in (("metric", "gain"), ("general", "change")):
            random = np.mean([arm[metric] for arm in verdict["arms"] if arm["name"] == "random"])
            assert entry[gap]["estimate"] == pytest.approx(random - entry[metric])
            assert entry[gap]["low"] < entry[gap]["estimate"] < entry[gap]["high"]
        assert entry["gain"]["p"] <= entry["gain"]["p_adjusted"]


def test_the_verdict_compares_the_choice_with_no_arm_of_the_sweep(verdict: dict[str, Any]):
    assert {arm["name"] for arm in verdict["arms"]} == {"choice", "random", "length", "pool"}
    assert {one["against"] for one in verdict["comparisons"]} == {"random", "length"}
    assert "general 30 %" not in json.dumps(verdict["notes"])


def test_a_share_of_nothing_is_the_choice_itself(verdict: dict[str, Any]):
    choice = next(arm for arm in verdict["arms"] if arm["name"] == "choice")
    assert (verdict["sweep"][0]["metric"], verdict["sweep"][0]["general"]) == (choice["metric"], choice["general"])


def test_the_page_draws_it(run: Path, verdict: dict[str, Any]):
    page = render(Run(run).summary(), verdict)
    assert "Sweep over the general share" in page and verdict["sweep_sentence"] in page
    assert "general share" in page and page.count('<th scope="row">30.0 %</th>') == 1


def test_choices_are_what_select_would_choose(run: Path, tmp_path: Path):
    done(run, "--general", "30%", "-o", tmp_path / "again")
    with Local(1) as local:
        found = sweep.choices(Run(run), ("30", "0"), local)
    assert list(found) == ["general 0 %", "general 30 %"]
    assert found["general 30 %"].tolist() == sorted(ranked(tmp_path / "again"))
    assert found["general 0 %"].tolist() == sorted(ranked(run))


def test_a_run_with_a_share_of_its_own_and_cleaning_is_swept_too(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples())
    done(
        pool, "--method", "length", "--budget", "20%", "--general", "source:docs=10%", "--source-field", "source",
        "--where", "bytes < 1500", "--dedup", "exact", "-o", tmp_path / "run",
    )  # fmt: skip
    with Local(1) as local:
        found = sweep.choices(Run(tmp_path / "run"), ("10", "25"), local)
    own = Run(tmp_path / "run").selected
    assert found["general 10 % from docs"].tolist() == sorted(own["row"])
    sources = dict(zip(own["row"], own["source"], strict=True))
    added = set(found["general 25 % from docs"].tolist()) - set(sources)
    lines = Run(tmp_path / "run").manifest.collect()
    assert added and set(lines["source"].gather(sorted(added))) == {"docs"}
    assert lines["bytes"].gather(found["general 25 % from docs"].tolist()).max() < 1500
    assert told(tmp_path / "run")["general"]["asked"] == "source:docs=10%"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--sweep", "breadth"), "--sweep must be general; got 'breadth'"),
        (("--sweep", "general"), "--sweep general needs --general FILE"),
        (
            ("--sweep", "general", "--general", "g", "--shares", "20"),
            "at least two shares such as 0,10,20,40,60,80; got '20'",
        ),
        (("--sweep", "general", "--general", "g", "--shares", "0,much"), "from 0% to under 100%"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_work(run: Path, arguments: tuple[str, ...], said: str):
    assert said in verify(run, "--eval", run.parent / "target.jsonl", *arguments).sentence


def test_a_cleaned_run_has_no_choice_to_sweep(tmp_path: Path):
    pool = jsonl(tmp_path / "pool.jsonl", examples()[:50])
    assert assay("clean", pool, "--where", "bytes > 100", "-o", tmp_path / "run", "-q", "--workers", "1").code == 0
    with pytest.raises(RecipeError, match="needs a run that selects"):
        house.verify(tmp_path / "run", eval=str(pool), general=str(pool), sweep="general", shares=[0, 20])


def test_the_sentence_names_what_helps_without_harm():
    def entry(share: float, answer: str, general: str, change: float) -> dict[str, Any]:
        return {"share": share, "answer": answer, "general_answer": general, "change": {"estimate": change}}

    worse, kept, won = (
        entry(0, "better", "worse", -1),
        entry(0.2, "better", "undecided", 0),
        entry(0.4, "better", "better", 1),
    )
    lost = entry(0.8, "undecided", "better", 2)
    assert sweep.advice([worse, kept, won, lost]) == (
        "With a general share of 20 % and 40 % the target is better than random and general text is not found worse "
        "(and found better with 40 %)."
    )
    assert sweep.advice([worse, {**worse, "share": 0.1, "change": {"estimate": -0.5}}]).endswith(
        "least is lost with 10 %."
    )
    assert sweep.advice([lost]) == "With no share tried is the target better than random."
