"""The summary in a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from assay.report import terminal, view


def printed(width: int, encoding: str, show: Any, *args: Any) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    show(*args, Console(file=file, width=width, force_terminal=False))
    file.seek(0)
    return file.read()


def summary(facts: Any, verdict: Any, width: int = 100, encoding: str = "utf-8") -> str:
    return printed(width, encoding, lambda console: terminal.show(facts, verdict, console, "run/"))


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_summary_says_what_was_chosen_and_how_good_it_is(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    text = squeezed(summary(facts, verdict))
    for words in (
        "2,769",
        "of 8.01 MB (10.0 %)",
        "190,480",
        "beyond the budget −27,680 89.0 %",
        "pool-00001.jsonl.zst, line 1,204",
        "67.1 %",
        "the cut is at",
        "×3.8",
        "Selector and judge share features",
        "run/selected/",
        "run/report.html",
    ):
        assert words in text, words


def test_a_cleaned_pool_shows_its_funnel(kept: dict[str, Any]) -> None:
    text = squeezed(summary(kept, None))
    for words in (
        "21,308 of 31,110 rows kept",
        "gopher_quality/stop_words −812 2.6 % 26,249 pool-00812",
        "where source <> 'ads' −15 <0.1 %",
        "gsm8k.jsonl (contaminated) −26",
        "minhash (copies) −4,900 15.8 % 21,308 pool-04900",
        "minhash: 4,900 copies dropped (900 kB) from 1,212 groups, the largest of 87; the longest stays",
        "c4_lines: 120 rows changed, 40.0 kB became 31.0 kB; 2 were left without text",
        "fineweb lacks - language identification: give --model language=lid.176.bin",
        "the kept rows, as they came",
    ):
        assert words in text, words
    assert "Score" not in text and "Budget" not in text
    assert max(map(len, summary(kept, None, 60).splitlines())) <= 60


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_it_is_plain_and_never_wider_than_asked(facts: dict[str, Any], verdict: dict[str, Any], width: int) -> None:
    facts["title"] = "a" * 300
    text = summary(facts, verdict, width)
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= width


def test_markup_in_the_facts_is_printed_not_obeyed(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    facts["title"] = verdict["sentence"] = "[bold]x[/bold] [/nothing] \x1b[31m"
    text = summary(facts, verdict)
    assert text.count("[bold]x[/bold] [/nothing] ␛[31m") == 2


def test_a_terminal_without_blocks_gets_letters(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    assert "######------" in summary(facts, verdict, encoding="ascii")


def test_missing_parts_are_said() -> None:
    text = " ".join(summary({"counts": {"input": 2, "chosen": 1, "not_chosen": 1}}, None, 300).split())
    for key in ("sources", "score", "verdict", "tokens"):
        assert view.MISSING[key] in text, key


def test_a_run_without_a_verdict_says_how_to_get_one() -> None:
    facts = {"counts": {"input": 2, "chosen": 1, "not_chosen": 1}}
    assert "at equal bytes: assay verify run/ --eval HELDOUT" in squeezed(summary(facts, None, 300))
    told = squeezed(summary({**facts, "pictures": True}, None, 300))
    assert "train on selected/" in told and "assay verify run/ --results RESULTS" in told and "--eval" not in told
    assert "assay verify 'a b/'" in squeezed(printed(300, "utf-8", lambda c: terminal.show(facts, None, c, "a b/")))


def test_a_plan_names_its_first_shards_and_counts_the_rest() -> None:
    plan = {
        "shards": [{"path": f"pool-{place}.jsonl", "format": "jsonl", "size": 10**9} for place in range(14)],
        "rows": 31_110,
        "bytes": 8_010_000,
        "steps": ["score dsir", "select top_k"],
        "seconds": 92.4,
        "workers": 2,
    }
    text = printed(100, "utf-8", terminal.show_plan, plan)
    for words in (
        "14 (14.0 GB on disk)",
        "31,110, 8.01 MB of text",
        "and 4 more",
        "2. select top_k",
        "about 1 min 32 s",
        "nothing is written",
    ):
        assert words in text, words
    assert "not estimated" in printed(100, "utf-8", terminal.show_plan, {})


def test_methods_are_listed_by_kind_and_one_is_told_whole() -> None:
    methods = [
        {"name": "dsir", "kind": "score", "summary": "Hashed n-grams.", "target": "required"},
        {"name": "top_k", "kind": "select", "summary": "Best first."},
    ]
    text = printed(100, "utf-8", terminal.show_methods, methods)
    assert (
        text.index("Score") < text.index("dsir") < text.index("Select") < text.index("top_k")
        and "needs a target" in text
    )
    info = {
        "name": "dsir",
        "kind": "score",
        "documentation": "w = p / q",
        "paper": "https://arxiv.org/abs/2302.03169",
        "needs": ["text"],
        "target": "required",
        "parameters": {"n": 2, "mode": "default"},
    }
    text = printed(100, "utf-8", terminal.show_method, info)
    for words in ("w = p / q", "https://arxiv.org/abs/2302.03169", "required", "n     = 2", "mode  = default"):
        assert words in text, words


def test_why_tells_status_reason_and_numbers() -> None:
    info = {
        "row": 1204,
        "status": "not_chosen",
        "reason": "budget",
        "rank_by": "dsir",
        "score": -0.2,
        "cut": 0.1,
        "rank": -1,
        "better": 3100,
        "of": 31_110,
        "features": [{"feature": "the a", "weight": -1.2}],
        "text": "Hello\nworld",
    }
    text = " ".join(printed(100, "utf-8", terminal.show_why, info).split())
    for words in (
        "Row 1,204 not chosen budget",
        "dsir −0.2000; the cut is at 0.1000",
        "3,100 of 31,110 rows score higher",
    ):
        assert words in text, words
    assert "the␣a −1.20" in text and "Hello world" in text and "in order of choice" not in text
