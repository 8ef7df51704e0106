"""What a verdict says beside its answer: arms, tasks, proxies, cost, breadth, in the terminal and on the page."""

from __future__ import annotations

from typing import Any

import pytest
from tests.report.conftest import HOSTILE, build_facts, build_trial, build_verdict
from tests.report.test_html import Elements, poisoned
from tests.report.test_terminal import printed, squeezed

from assay.report import plots, terminal, verdicts, view
from assay.report.html import render
from assay.report.progress import told
from assay.report.wording import amount
from assay.verify.external import verdict_of


def told_in_terminal(verdict: dict[str, Any], width: int = 110) -> str:
    return printed(width, "utf-8", terminal.show_verdict, verdict)


def test_every_arm_has_a_line_with_its_mean_and_what_the_choice_is_against_it(trial: dict[str, Any]) -> None:
    lines = {line["name"]: line for line in verdicts.arms(trial)}
    assert list(lines) == ["choice", "length", "random", "run other", "pool"]
    assert (lines["random"]["metric"], lines["random"]["range"], lines["random"]["models"]) == (
        "2.524",
        "2.520 to 2.528",
        "3",
    )
    assert (lines["length"]["answer"], lines["length"]["p"]) == ("better", "p 0.006 corrected")
    assert lines["random"]["p"] == "p <0.001", "the main question keeps its level"
    assert lines["choice"]["answer"] == lines["pool"]["answer"] == ""
    assert lines["pool"]["units"] == "8.00 M tokens" and verdicts.corrected(trial) == 2


def test_a_verdict_of_before_comparisons_still_has_its_arms(verdict: dict[str, Any]) -> None:
    lines = verdicts.arms(verdict)
    assert [line["name"] for line in lines] == ["choice", "random", "reference", "pool"]
    assert {line["answer"] for line in lines} == {""} and lines[0]["units"] == "800 kB"
    assert verdicts.tasks(verdict) == verdicts.proxies(verdict) == [] and verdicts.cost(verdict) == ""


def test_tasks_show_bits_and_accuracy_beside_chance(trial: dict[str, Any]) -> None:
    piqa, lambada = verdicts.tasks(trial)
    assert (piqa["choice"], piqa["reference"], piqa["accuracy"], piqa["reference_accuracy"], piqa["chance"]) == (
        "2.610", "2.520", "51.3 %", "51.8 %", "50.0 %",
    )  # fmt: skip
    assert piqa["saved"] == "−0.0900 (−0.110 to −0.0700)"
    assert (lambada["accuracy"], lambada["chance"], lambada["answer"]) == ("", "", "better")


def test_cost_says_what_is_a_bound_and_what_is_unknown(trial: dict[str, Any]) -> None:
    assert verdicts.cost(trial).endswith("×3.7 of it. Selecting pays from 18.0 k tokens of training on.")
    trial["time_to_quality"] |= {"bound": True, "pays_from": None}
    assert verdicts.cost(trial).endswith("needs at least 5 min 4 s for the same loss, at least ×3.7 of it.")
    trial["time_to_quality"]["random_seconds"] = None
    assert verdicts.cost(trial).endswith("cannot be told from these trials.")


def test_an_undecided_verdict_says_how_many_seeds(trial: dict[str, Any]) -> None:
    assert "seeds" not in view.measures(trial)[2]["detail"]
    trial |= {"answer": "undecided", "seeds_to_settle": 1_200}
    assert view.measures(trial)[2]["detail"].endswith("; about 1,200 seeds would settle it")
    trial["seeds_to_settle"] = None
    assert view.measures(trial)[2]["detail"].endswith("; more seeds alone would not settle it")


def test_results_of_another_trainer_are_shown_in_their_own_metric() -> None:
    values = {"choice": (0.44, 0.45, 0.43), "random": (0.41, 0.4, 0.42)}
    rows = [
        {"arm": arm, "seed": seed, "task": "arc", "metric": "accuracy", "value": value}
        for arm, found in values.items()
        for seed, value in enumerate(found)
    ]
    verdict = verdict_of(rows, source="results.jsonl")
    measure = view.measures(verdict)[1]
    assert (measure["name"], measure["value"]) == ("accuracy gained", "0.0300")
    assert (
        view.caveats(verdict)[0]
        == "Models were trained and measured elsewhere; their results are those of results.jsonl."
    )
    (task,) = verdicts.tasks(verdict)
    assert (task["choice"], task["reference"], task["metric"], task["size"]) == ("0.4400", "0.4100", "accuracy", "")
    page = Elements(render(build_facts(), verdict))
    assert "a choice right of the bar is better" in page.text and "bits per byte" not in page.text
    labels = [attrs.get("aria-label") or "" for _, attrs in page.found if attrs.get("aria-roledescription")]
    assert "choice, seed 0: 0.4400 accuracy" in labels
    assert any(label.startswith("random: mean 0.4100") for label in labels), "the mean lies where random's points do"
    assert "accuracy" in told_in_terminal(verdict)


def test_breadth_is_measured_from_random_s_mean(trial: dict[str, Any]) -> None:
    points = verdicts.breadth(trial)
    random = [point for point in points if point["arm"] == "random"]
    assert sum(point["target"] for point in random) == pytest.approx(0, abs=1e-12)
    assert sum(point["general"] for point in random) == pytest.approx(0, abs=1e-12)
    choice = next(point for point in points if point["arm"] == "choice" and point["seed"] == 0)
    assert (choice["target"], choice["general"]) == pytest.approx((2.524 - 2.31, 2.417 - 2.97))
    assert [point["share"] for point in points if point["share"] is not None] == [0.0, 0.1, 0.2, 0.5]
    assert not [point for point in points if point["arm"] == "pool"]
    for arm in trial["arms"]:
        arm["general"] = None
    assert verdicts.breadth(trial) == []


def test_the_plots_of_a_trial_are_valid_and_say_tokens(trial: dict[str, Any]) -> None:
    for chart in (plots.breadth(trial), plots.curve(trial), plots.arms(trial)):
        chart.to_dict(validate=True)
    drawn = plots.both(plots.breadth, trial, "breadth")["wide"]
    assert "choice with 20 % general: " in drawn and ">20 %<" in drawn and ">run other<" in drawn
    curve = plots.both(plots.curve, trial, "curve")["wide"]
    assert "tokens of training text" in curve and ">4 M<" in curve and "from 2.00 M tokens" in curve


def test_the_page_shows_all_of_it_and_no_hostile_text_runs(trial: dict[str, Any]) -> None:
    page = Elements(render(build_facts(), trial))
    for words in (
        "length random, with the choice's lengths better p 0.006 corrected 0.130 (0.100 to 0.160) 2.444 2.440 to 2.448 2.497",
        "the other 2 answers are corrected together (Holm)",
        "piqa bits per byte, 1,838 items worse −0.0900 (−0.110 to −0.0700) 2.610 2.520 51.3 % 51.8 % 50.0 %",
        "lm-nano decides 2.00 M tokens better",
        "The ranking is stable over ngram and lm-nano",
        "costs 0.550 on general text",
        "puts the data multiplier at ×3.9 (interval 3.2 to 4.9)",
        "random needs 5 min 4 s for the same loss",
        "Judge: lm-nano (330 k parameters), trained anew on every arm, with equal tokens for every arm but the whole pool.",
        "is not above chance on piqa",
        "Least is lost with 50 %.",
    ):
        assert words in page.text, words
    hostile = Elements(render(build_facts(), poisoned(trial) | {"metric": HOSTILE, "against": HOSTILE}))
    assert not [name for _, attrs in hostile.found for name in attrs if name.startswith("on")]
    assert [tag for tag, _ in hostile.found].count("script") == 1


def test_the_terminal_shows_all_of_it_at_any_width(trial: dict[str, Any]) -> None:
    text = squeezed(told_in_terminal(trial))
    for words in (
        "length 2.00 M tokens 2.444 2.497 better 0.130 (0.100 to 0.160)",
        "piqa 1,838 worse bits per byte 2.610 2.520 51.3 % 51.8 % 50.0 %",
        "ngram 4.00 MB better 0.210 0.180 to 0.240 ×3.8",
        "The ranking is stable",
    ):
        assert words in text, words
    for width in (40, 72):
        assert max(map(len, told_in_terminal(trial, width).splitlines())) <= width


def test_the_answer_comes_first_and_the_explanation_after(trial: dict[str, Any]) -> None:
    lead, rest = verdicts.split(view.sentence(trial))
    assert (
        lead.startswith("Better: the choice")
        and lead.endswith("2.0 M tokens.")
        and rest.startswith("It is better than length.")
    )
    assert verdicts.split("Undecided.") == ("Undecided.", "")


@pytest.mark.parametrize("part", sorted(set(build_trial()) - set(build_verdict())))
def test_any_new_part_may_be_missing_or_null(part: str, trial: dict[str, Any]) -> None:
    undrawn = {**trial, "arms": trial["arms"] and [{**arm, "general": None} for arm in trial["arms"]], "curve": []}
    without = {key: value for key, value in undrawn.items() if key != part}
    assert told_in_terminal(without) == told_in_terminal({**without, part: None})


def test_a_bar_says_units_rate_and_loss() -> None:
    assert told(0, 2_000_000, "tokens", None, float("nan")) == "0 of 2.00 M tokens"
    assert told(500_000, 2_000_000, "tokens", 11_000, 4.1) == "500 k of 2.00 M tokens, 11.0 k/s, loss 4.100"
    assert told(999, 8_000_000, "bytes", 2e6, float("nan")) == "999 B of 8.00 MB, 2.00 MB/s"
    assert amount(None, "tokens") == "unknown"
