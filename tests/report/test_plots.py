"""The drawings' specifications against Vega-Lite's own schema, which rendering leaves out to save seconds."""

from __future__ import annotations

from typing import Any

import pytest

from assay.report import plots


def test_every_specification_is_valid(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    for chart in (
        plots.scores(facts["score"]),
        plots.lengths(facts["lengths"]),
        plots.arms(verdict),
        plots.curve(verdict),
    ):
        chart.to_dict(validate=True)


def test_drawings_take_their_colours_from_the_page(facts: dict[str, Any]) -> None:
    drawn = plots.both(plots.scores, facts["score"], "score")
    assert set(drawn) == {"wide", "narrow"} and "var(--chosen)" in drawn["wide"] and "var(--pool)" in drawn["narrow"]
    assert "font-family" not in drawn["wide"] and " width=" not in drawn["wide"].split(">")[0]


def test_the_cut_is_drawn_where_there_is_one(facts: dict[str, Any]) -> None:
    assert "cut at −0.03327" in plots.both(plots.scores, facts["score"], "score")["wide"]
    facts["score"]["cut"] = None
    assert "cut at" not in plots.both(plots.scores, facts["score"], "score")["wide"]


@pytest.mark.parametrize(
    ("estimate", "low", "words"), [(3.79, 3.31, "×3.8"), (None, 8.1, "above ×8.1"), (0.4, 0.2, "×0.40")]
)
def test_the_multiplier_is_drawn(verdict: dict[str, Any], estimate: float | None, low: float, words: str) -> None:
    verdict["multiplier"] = {"estimate": estimate, "low": low, "high": None, "censored": estimate is None}
    assert f">{words}<" in plots.both(plots.curve, verdict, "curve")["wide"]


def test_one_row_and_one_length_can_be_drawn() -> None:
    one = {"edges": [0, 1], "all": [1], "chosen": [1], "name": "only", "cut": 0.0}
    assert "<svg" in plots.both(plots.scores, one, "score")["wide"]
    assert "<svg" in plots.both(plots.lengths, {**one, "edges": [1, 8]}, "lengths")["wide"]
