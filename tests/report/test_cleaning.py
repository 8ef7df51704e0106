"""What cleaning did, as lines of text."""

from __future__ import annotations

from typing import Any

from assay.report import cleaning


def test_the_funnel_says_how_many_left_and_why(facts: dict[str, Any]) -> None:
    assert [(stage["stage"], stage["left"], stage["reason"]) for stage in cleaning.funnel(facts)] == [
        ("input", "", ""),
        ("read", "49", "could not be read"),
        ("filter: bytes >= 20", "612", "shorter than 20 bytes"),
        ("select: top_k", "27,680", "beyond the budget"),
    ]


def test_a_rule_stands_under_its_set_with_its_overlap(kept: dict[str, Any]) -> None:
    stage = next(stage for stage in cleaning.funnel(kept) if stage["stage"] == "gopher_quality/stop_words")
    assert (stage["left"], stage["broken"], stage["left_share"], stage["rows"]) == ("812", "2,204", "2.6 %", "26,249")
    assert abs(stage["part"] - 26_249 / 31_110) < 1e-12 and abs(stage["lost"] - 812 / 31_110) < 1e-12
    assert cleaning.idle(kept) == ["gopher_quality/bullet_lines"]


def test_a_span_is_marked_where_the_text_holds_it_and_quoted_where_not(kept: dict[str, Any]) -> None:
    thrown = next(entry for entry in cleaning.thrown(kept) if entry["name"] == "gsm8k.jsonl")
    found, _, lost = thrown["examples"]
    assert found["before"] == "Read more. " and found["span"].startswith("Natalia") and found["quoted"] == ""
    assert lost["span"] == lost["after"] == "" and lost["quoted"].startswith("natalia")


def test_a_copy_stands_beside_the_row_that_stays(kept: dict[str, Any]) -> None:
    thrown = next(entry for entry in cleaning.thrown(kept) if entry["name"] == "minhash")
    assert thrown["rows"] == "4,900 rows" and thrown["examples"][0]["stays"]["text"] == "Read much more."


def test_only_addresses_of_the_web_are_followed() -> None:
    assert cleaning.link("https://arxiv.org/abs/1910.10683") == "https://arxiv.org/abs/1910.10683"
    assert [cleaning.link(address) for address in ("javascript:alert(1)", "http://a", "", None)] == [""] * 4


def test_tables_and_odd_numbers_of_a_fit_are_left_out() -> None:
    notes = {
        "auc": 0.5,
        "curve": [[0, 1]],
        "nothing": float("nan"),
        "all": float("inf"),
        "ok": True,
        "rows": {"a": [1]},
    }
    assert cleaning.learnt({"fits": {"quality": notes, "empty": {}}}) == [("quality", "auc 0.5000, all ∞")]
