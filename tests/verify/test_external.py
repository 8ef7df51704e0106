"""Results of somebody else's trainer: the textbook interval, several tasks, budgets, and bad rows by their line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from assay.errors import InputError
from assay.verify.external import overall, rows_of, verdict_of

RANDOM = (2.0, 2.1, 2.3)


def _row(arm: str, seed: int, value: float, task: str = "held", metric: str = "loss", **more: Any) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "task": task, "metric": metric, "value": value, **more}


def _rows(choice: tuple[float, ...], random: tuple[float, ...] = RANDOM, **more: Any) -> list[dict[str, Any]]:
    return [
        _row(arm, seed, value, **more)
        for arm, values in (("choice", choice), ("random", random))
        for seed, value in enumerate(values)
    ]


def _half(values: np.ndarray) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * (1 + 1 / len(values)) ** 0.5)


def test_one_result_of_the_choice_has_the_prediction_interval() -> None:
    found = verdict_of(_rows((1.0,)))
    random = np.array(RANDOM)
    wanted = (random.mean() - 1, random.mean() - 1 - _half(random), random.mean() - 1 + _half(random))
    assert tuple(found["difference"].values()) == pytest.approx(wanted)
    assert found["answer"] == "better" and found["p"] < 0.05


def test_results_for_every_seed_are_paired_whatever_the_order_of_rows() -> None:
    rows = _rows((1.6, 1.75, 1.9))
    gaps = np.array(RANDOM) - np.array([1.6, 1.75, 1.9])
    for given in (rows, rows[::-1]):
        found = verdict_of(given)
        assert found["difference"]["low"] == pytest.approx(gaps.mean() - _half(gaps))
    assert found["answer"] == "better"
    assert verdict_of(_rows((1.75,)))["answer"] == "undecided"  # the same mean alone is not told from random


@pytest.mark.parametrize(
    ("metric", "more", "answer"),
    [
        ("loss", {}, "worse"),
        ("perplexity", {}, "worse"),
        ("bits_per_byte", {}, "worse"),
        ("accuracy", {}, "better"),
        ("exact_match", {}, "better"),
        ("f1", {}, "better"),
        ("wins", {"bigger": True}, "better"),
        ("wins", {"bigger": False}, "worse"),
    ],
)
def test_the_metric_says_which_way_is_better(metric: str, more: dict[str, Any], answer: str) -> None:
    found = verdict_of(_rows((5.0,), metric=metric, **more))
    assert found["answer"] == answer and (found["difference"]["estimate"] > 0) == (answer == "better")
    assert next(arm["metric"] for arm in found["arms"] if arm["name"] == "choice") == 5.0
    assert f"the choice reaches 5.000 {'bits per byte' if metric == 'bits_per_byte' else metric} " in found["sentence"]


def _tasks(*choices: float) -> list[dict[str, Any]]:
    return [row for at, choice in enumerate(choices) for row in _rows((choice,), task=f"t{at}", metric="accuracy")]


def test_several_tasks_are_corrected_together() -> None:
    edge = float(np.mean(RANDOM)) + 1.05 * _half(np.array(RANDOM))
    assert verdict_of(_tasks(edge))["answer"] == "better"
    found = verdict_of(_tasks(edge, 2.1, 2.2))
    assert found["answer"] == "undecided"
    first = found["tasks"][0]
    assert first["metrics"]["accuracy"]["answer"] == "better" and first["answer"] == "undecided"
    assert first["p_adjusted"] == pytest.approx(3 * first["metrics"]["accuracy"]["p"])
    assert "No number of seeds" not in found["sentence"]
    assert found["sentence"].startswith("undecided: on t0 the choice reaches ")


def test_the_head_is_a_task_that_says_what_the_whole_says() -> None:
    found = verdict_of(_tasks(2.1, 9.0))
    assert found["answer"] == "better" and found["sentence"].startswith(
        "better: on t1 the choice reaches 9.000 accuracy"
    )
    assert (
        "Against random it is better on t1 (accuracy) and undecided on t0 (accuracy) (corrected for 2 tasks)."
        in (found["sentence"])
    )
    assert overall([one["answer"] for one in verdict_of(_tasks(-9.0, 9.0))["tasks"]]) == "undecided"


BUDGETS = (1_000, 2_000, 4_000, 8_000, 16_000)


def _curve(choice: float, budgets: tuple[int, ...] = BUDGETS) -> list[dict[str, Any]]:
    wobble = (-0.001, 0.0, 0.001)
    curve = [
        _row("random", seed, 1.5 + 8 * size**-0.25 + wobble[seed], budget=size, unit="tokens")
        for size in budgets
        for seed in range(3)
    ]
    return [*curve, _row("choice", 0, choice, budget=2_000, unit="tokens")]


def test_random_at_several_budgets_gives_the_multiplier() -> None:
    found = verdict_of(_curve(1.5 + 8 * 6_000**-0.25))
    assert found["multiplier"]["estimate"] == pytest.approx(3, rel=0.02)
    assert found["multiplier"]["low"] < 3 < found["multiplier"]["high"]
    assert found["multiplier_power_law"]["estimate"] == pytest.approx(3, rel=0.02)
    assert found["budget"]["tokens"] == 2_000 and len(found["curve"]) == 15
    assert " at the same 2.0 k tokens" in found["sentence"] and "times as much random text" in found["sentence"]


def test_too_few_budgets_are_no_curve() -> None:
    found = verdict_of(_curve(1.9, BUDGETS[:4]))
    assert found["multiplier"] == {"estimate": None, "low": None, "high": None, "censored": True}
    assert found["notes"] == [
        "held (loss): no multiplier, because random has every seed at 4 budgets; at least 5 are needed"
    ]
    gap = [row for row in _curve(1.9) if not (row["budget"] == 16_000 and row["seed"] == 2)]
    assert verdict_of(gap)["multiplier"]["estimate"] is None


def test_other_arms_are_compared_and_the_facts_are_those_of_any_verdict() -> None:
    more = [_row(arm, seed, value) for arm, value in (("length", 2.2), ("clean", 1.6)) for seed in range(3)]
    found = json.loads(json.dumps(verdict_of([*_rows((1.0, 1.1, 1.3)), *more, _row("pool", 0, 1.0)]), allow_nan=False))
    assert [one["against"] for one in found["comparisons"]] == ["random", "length", "clean"]
    wanted = "answer sentence p_better level difference multiplier metric budget arms curve judge eval"
    assert {*wanted.split(), "general", "notes", "selector", "scope", "tasks", "seeds_to_settle"} <= set(found)
    assert [arm["name"] for arm in found["arms"]][:3] == ["choice"] * 3 and found["arms"][-1]["name"] == "pool"
    assert "shares_features" not in found  # nobody here knows what that trainer looks at
    assert found["sentence"].endswith("Scope: own trainer, 3 seeds, held in results.jsonl.")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"seed": 0, "task": "t", "metric": "loss", "value": 1.0}, "line 1: arm must be a word; got None"),
        (_row("choice", 0, 1.0, task=""), "line 1: task must be a word; got ''"),
        ({**_row("choice", 0, 1.0), "seed": "0"}, "line 1: seed must be a whole number; got '0'"),
        ({**_row("choice", 0, 1.0), "seed": True}, "line 1: seed must be a whole number; got True"),
        (_row("choice", 0, float("nan")), "line 1: value must be a finite number; got nan"),
        ({**_row("choice", 0, 1.0), "value": "high"}, "line 1: value must be a finite number; got 'high'"),
        (_row("choice", 0, 1.0, budget=0), "line 1: budget must be a number above zero, or left out; got 0"),
        (_row("choice", 0, 1.0, metric="elo"), "line 1: whether more of 'elo' is better must be known; add \"bigger\""),
        (_row("choice", 0, 1.0, bigger="yes"), "line 1: whether more of 'loss' is better must be known"),
        (["choice"], "line 1: a result must be an object"),
    ],
)
def test_a_bad_row_is_one_sentence_with_its_line(row: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        rows_of([row])
    assert str(caught.value).startswith("results.jsonl, ") and words in str(caught.value)
    with pytest.raises(InputError, match=r"results.jsonl, line 3: "):
        rows_of([_row("random", 0, 1.0), _row("random", 1, 1.0), row])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "must hold results, one in each line; it holds none"),
        ([_row("random", seed, 1.0) for seed in range(3)], "must have results of the arm 'choice'; it has none"),
        (
            _rows((1.0,), (2.0, 2.1)),
            "for at least 3 seeds at the choice's budget, to know how much random varies; got 2",
        ),
        (
            _rows((1.0, 1.1)),
            "arm 'choice' on held (loss) must have one result, or one for each of random's seeds 0, 1, 2",
        ),
        (
            [*_rows((1.0,)), _row("random", 1, 2.0)],
            "line 5: an arm must have one value for each seed, task, metric and",
        ),
        (
            [*_rows((1.0,), metric="x", bigger=True), _row("a", 0, 1.0, metric="x", bigger=False)],
            "the same of `bigger`",
        ),
        ([*_curve(1.9), _row("choice", 1, 1.0, budget=4_000)], "must be at one budget; they are at several"),
    ],
)
def test_results_that_cannot_be_compared_are_a_sentence(rows: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(InputError) as caught:
        verdict_of(rows)
    assert words in str(caught.value)


def test_false_verdicts_over_several_tasks_stay_at_the_level() -> None:
    rng, false = np.random.default_rng(6), 0
    for _ in range(200):
        rows = [
            row
            for task in range(4)
            for row in _rows(tuple(rng.normal(0, 1, 1)), tuple(rng.normal(0, 1, 4)), task=f"t{task}", metric="f1")
        ]
        false += verdict_of(rows)["answer"] != "undecided"
    assert false <= 22  # of 200 at 5 %, more have probability 1e-4
