"""Holm's correction in closed form, every kind of arm compared by the textbook, and answers after correction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.verify import intervals
from assay.verify.comparisons import Measured, adjusted_answer, comparisons, corrected, holm

SIZES = np.array([10, 10, 10])
RANDOM = np.array([2.0, 2.1, 2.3, 2.2, 1.9])


def _column(levels: list[float] | np.ndarray) -> np.ndarray:
    return np.atleast_1d(np.asarray(levels, float))[:, None] * SIZES


def _measured(choice: list[float], **others: list[float]) -> Measured:
    arms = {"choice": _column(choice), **{name.replace("_", " "): _column(found) for name, found in others.items()}}
    return Measured(arms, _column(RANDOM)[None], SIZES, np.array([1000]), 0)


@pytest.mark.parametrize(
    ("p", "wanted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm 1979: by 3, 1 (raised to the one before), 2 and 4
        ([0.5, 0.5, 0.9], [1.0, 1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_closed_form(p: list[float], wanted: list[float]) -> None:
    assert holm(p) == pytest.approx(wanted)


def test_holm_keeps_false_answers_rare_where_none_is_true() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(size=(4_000, 6))
    alone = (p < 0.05).any(1).mean()
    together = np.mean([min(holm(row)) < 0.05 for row in p.tolist()])
    assert alone > 0.2 and together <= 0.06


def test_an_answer_after_correction_needs_both_a_side_and_a_small_p() -> None:
    assert adjusted_answer(0.1, 0.05, 0.05) == "undecided"
    assert adjusted_answer(-0.1, 0.049, 0.05) == "worse"
    assert adjusted_answer(0.0, 0.0, 0.05) == "undecided"


def test_random_is_compared_as_the_verdict_does() -> None:
    found = _measured([1.5]).compare("random", 0.05)
    assert found == intervals.against_random(1.5 * SIZES.astype(float), _column(RANDOM), SIZES)


def test_another_run_is_one_draw_too_and_paired_by_seed() -> None:
    measured = _measured([1.5], run_a=[1.8])
    assert measured.compare("run a", 0.05) == intervals.against_fixed(
        1.5 * SIZES.astype(float), 1.8 * SIZES.astype(float), _column(RANDOM), SIZES
    )
    seeds = np.array([0.3, -0.2, 0.1, 0.0, -0.2])
    moved = Measured(
        {"choice": _column(1.5 + seeds), "run a": _column(1.8 + seeds)},
        _column(RANDOM + seeds)[None], SIZES, np.array([1000]), 0,
    )  # fmt: skip
    still, there = measured.compare("run a", 0.05), moved.compare("run a", 0.05)
    assert (there.estimate, there.low, there.high) == pytest.approx((still.estimate, still.low, still.high))


def test_a_rival_has_draws_of_its_own_and_the_choice_is_charged_the_larger_spread() -> None:
    rival = np.array([2.00, 2.02, 2.01, 2.03, 1.99])
    s, theirs = RANDOM.var(ddof=1), rival.var(ddof=1)
    found = _measured([1.5], rs2=rival.tolist()).compare("rs2", 0.05)
    half = stats.t.ppf(0.975, 4) * (s + theirs / 5) ** 0.5
    assert (found.low, found.high) == pytest.approx((rival.mean() - 1.5 - half, rival.mean() - 1.5 + half))
    wide = 2 + 5 * (RANDOM - 2)
    half = stats.t.ppf(0.975, 4) * (wide.var(ddof=1) * (1 + 1 / 5)) ** 0.5
    found = _measured([1.5], length=wide.tolist()).compare("length", 0.05)
    assert (found.low, found.high) == pytest.approx((wide.mean() - 1.5 - half, wide.mean() - 1.5 + half))


def test_a_rival_is_paired_by_seed() -> None:
    seeds = np.array([0.3, -0.2, 0.1, 0.0, -0.2])
    choice, rival = 1.5 + seeds, RANDOM[::-1] + seeds
    measured = Measured(
        {"choice": _column(choice), "length": _column(rival)}, _column(RANDOM + seeds)[None], SIZES, np.array([1]), 0
    )
    half = stats.t.ppf(0.975, 4) * (RANDOM.var(ddof=1) * 1.2) ** 0.5
    found = measured.compare("length", 0.05)
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half))


def test_the_main_question_has_the_level_to_itself_and_the_others_share_it() -> None:
    measured = _measured([1.62], run_a=[2.12], run_b=[2.14], pool=[1.0])
    found = comparisons(measured, "random", 0.05)
    assert [one["against"] for one in found] == ["random", "run a", "run b"]
    assert [one["main"] for one in found] == [True, False, False]
    assert found[0]["p"] == found[0]["p_adjusted"] and found[0]["answer"] == "undecided"
    assert [one["p_adjusted"] for one in found[1:]] == holm([one["p"] for one in found[1:]])
    other = comparisons(measured, "run a", 0.05)
    assert other[0]["against"] == "run a" and {one["against"] for one in other[1:]} == {"random", "run b"}


def test_correction_can_take_an_answer_away() -> None:
    s = RANDOM.std(ddof=1)
    edge = 1.0 * stats.t.ppf(0.975, 4) * s * 2**0.5 * 1.02  # just decided alone
    measured = _measured([1.5], run_a=[1.5 + edge], run_b=[1.5])
    found = {one["against"]: one for one in comparisons(measured, "random", 0.05)}
    assert found["run a"]["answer_alone"] == "better" and found["run a"]["answer"] == "undecided"
    assert found["run a"]["p_adjusted"] == pytest.approx(2 * found["run a"]["p"])
    alone = corrected({"run a": measured.compare("run a", 0.05)}, 0.05)
    assert alone["run a"][1] == "better"
