"""What is shown, as lines of text."""

from __future__ import annotations

from typing import Any

from assay.report import view


def test_the_counts_are_added_up_in_a_sentence(facts: dict[str, Any]) -> None:
    assert view.accounting(facts) == (
        "31,110 rows read = 2,769 chosen + 28,292 not chosen (612 of them filtered out) + 49 quarantined",
        True,
    )
    facts["counts"]["chosen"] += 1
    sentence, adds_up = view.accounting(facts)
    assert not adds_up and sentence.startswith("The counts do not add up")


def test_what_no_step_dropped_is_kept_where_nothing_is_selected(kept: dict[str, Any]) -> None:
    assert view.accounting(kept) == ("31,110 rows read = 21,308 kept + 9,753 dropped + 49 quarantined", True)
    assert [(entry["name"], entry["rows"]) for entry in view.outcomes(kept)] == [
        ("kept", 21_308),
        ("dropped", 9_753),
        ("quarantined", 49),
    ]
    figures = [(figure["unit"], figure["value"]) for figure in view.key_figures(kept)]
    assert figures == [("rows", "21,308"), ("bytes", "6.60 MB"), ("tokens", "about 1,649,472")]
    assert view.budget(kept) == ""


def test_many_sources_become_twenty_and_the_rest(facts: dict[str, Any]) -> None:
    facts["sources"] = [
        {"source": f"s{place:03}", "rows": 1, "bytes": 1000 - place, "chosen_rows": 1, "chosen_bytes": 10}
        for place in range(300)
    ]
    shown = view.sources(facts)
    assert len(shown) == 21 and shown[0]["name"] == "s000" and shown[-1]["name"] == "280 other sources"
    assert (
        abs(sum(entry["before"] for entry in shown) - 1) < 1e-12
        and abs(sum(entry["after"] for entry in shown) - 1) < 1e-12
    )


def test_a_source_without_chosen_bytes_says_so(facts: dict[str, Any]) -> None:
    assert next(entry for entry in view.sources(facts) if entry["name"] == "tweets")["change"] == "none chosen"


def test_a_censored_multiplier_is_a_bound(verdict: dict[str, Any]) -> None:
    verdict["multiplier"] = {"estimate": None, "low": 8.1, "high": None, "censored": True}
    measure = view.measures(verdict)[0]
    assert measure["value"] == "above ×8.1" and "a bound, not an estimate" in measure["detail"]


def test_a_multiplier_below_random_s_smallest_budget_is_a_bound_too(verdict: dict[str, Any]) -> None:
    verdict["multiplier"] = {"estimate": None, "low": None, "high": 0.12, "censored": True}
    assert view.measures(verdict)[0]["value"] == "below ×0.12"


def test_the_arm_that_was_compared_with_is_named(verdict: dict[str, Any]) -> None:
    assert view.stamp(verdict) == "Better than random"
    verdict.update(against="reference", answer="undecided")
    assert view.stamp(verdict) == "Undecided: not told apart from reference"
    assert view.measures(verdict)[2]["detail"].startswith("than reference")


def test_shared_features_are_said(verdict: dict[str, Any]) -> None:
    assert any(note.startswith("Selector and judge share features (n-grams)") for note in view.caveats(verdict))
    verdict["shares_features"] = False
    assert "Selector and judge share no features." in view.caveats(verdict)


def test_unknown_tokens_say_what_to_do(facts: dict[str, Any]) -> None:
    facts["tokens"] = None
    assert view.key_figures(facts)[2] == {"unit": "tokens", "value": "unknown", "of": view.MISSING["tokens"]}
    assert [figure["unit"] for figure in view.key_figures({**facts, "pictures": True})] == ["rows", "bytes"]
