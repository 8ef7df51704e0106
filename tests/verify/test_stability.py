"""Verdicts of several proxies as one: the last decides, and a changed order or answer is said."""

from __future__ import annotations

from typing import Any

import pytest

from assay.verify.stability import means, ranking, together


def _facts(name: str, answer: str, **metrics: float) -> dict[str, Any]:
    arms = [{"name": arm, "metric": value + wobble} for arm, value in metrics.items() for wobble in (-0.01, 0.01)]
    return {
        "judge": {"name": name}, "answer": answer, "arms": [*arms, {"name": "pool", "metric": 0.1}],
        "sentence": f"{answer}: said.", "difference": {"estimate": 0.1, "low": 0.0, "high": 0.2}, "multiplier": {},
    }  # fmt: skip


def test_one_proxy_is_left_alone() -> None:
    facts = _facts("ngram", "better", choice=2.0, random=2.5)
    assert together([facts]) == facts


def test_the_last_decides_and_everyone_is_told() -> None:
    small = _facts("ngram", "undecided", choice=2.4, random=2.5, length=2.45)
    large = _facts("lm-nano", "better", choice=1.4, random=1.9, length=1.8)
    found = together([small, large])
    assert found["answer"] == "better" and [one["name"] for one in found["proxies"]] == ["ngram", "lm-nano"]
    assert found["proxies"][0]["arms"] == pytest.approx({"choice": 2.4, "random": 2.5, "length": 2.45})
    assert found["ranking"]["correlation"] == pytest.approx(1) and found["ranking"]["stable"] is False
    assert found["sentence"] == (
        "better: said. The ranking is not stable over ngram and lm-nano (rank correlation 1.0; undecided with ngram, "
        "better with lm-nano)."
    )


def test_the_lowest_correlation_over_three_proxies_counts() -> None:
    arms = {"choice": 1.0, "random": 4.0, "length": 3.0, "rs2": 2.0}
    swapped = {**arms, "length": 2.0, "rs2": 3.0}
    same = [_facts(name, "better", **arms) for name in ("a", "b")]
    assert ranking(same)["sentence"] == "The ranking is stable over a and b (rank correlation 1.0)."
    found = ranking([*same, _facts("c", "better", **swapped)])
    assert found["correlation"] == pytest.approx(0.8) and found["stable"]  # one swap of neighbours among four
    assert ranking([same[0], _facts("c", "better", **{**arms, "choice": 5.0})])["stable"] is False


def test_only_arms_that_all_have_are_ranked_and_the_pool_is_none() -> None:
    found = ranking(
        [_facts("a", "worse", choice=3.0, random=2.0), _facts("b", "worse", choice=3.0, random=2.0, rs2=1.0)]
    )
    assert found["arms"] == ["choice", "random"] and found["correlation"] == pytest.approx(1)
    assert "pool" not in means(_facts("a", "worse", choice=3.0))
    alone = ranking([_facts("a", "worse", choice=3.0), _facts("b", "worse", choice=3.0)])
    assert alone["correlation"] is None and alone["sentence"] == "The ranking is stable over a and b."


def test_equal_arms_have_no_order() -> None:
    found = ranking(
        [_facts("a", "undecided", choice=2.0, random=2.0), _facts("b", "undecided", choice=1.0, random=2.0)]
    )
    assert found["correlation"] == 0 and found["stable"] is False
