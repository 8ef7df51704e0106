"""The statistics of the verdict, by simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.errors import InputError, RecipeError
from assay.verify import intervals


def _false(trials: int, documents: int, draw: float, inner: float, extra: float, size: float, m: int = 5) -> float:
    """Share of false verdicts: arms differ by draw and document, the choice by `extra` more by document, mean zero."""
    rng = np.random.default_rng([trials, documents, round(size * 10)])
    false = 0
    for _ in range(trials):
        sizes = np.maximum(20, rng.lognormal(6, size, documents)).astype(np.int64)
        arms = sizes * (2.5 + rng.normal(0, draw, (m + 1, 1)) + rng.normal(0, inner, (m + 1, documents)))
        choice = arms[0] + sizes * rng.normal(0, extra, documents)
        false += intervals.against_random(choice, arms[1:], sizes).answer != "undecided"
    return false / trials


@pytest.mark.parametrize(
    ("documents", "draw", "inner", "extra", "size"),
    [
        (50, 0.01, 0.0, 0.0, 0.3),  # only draws differ
        (50, 0.001, 0.05, 0.0, 0.3),  # documents drown the draws
        (50, 0.003, 0.02, 0.2, 0.3),  # the choice is another mixture: better on some documents, worse on others
        (50, 0.003, 0.02, 0.2, 1.5),  # the same with documents of very different sizes
        (8, 0.003, 0.02, 0.2, 0.3),  # few documents
    ],
)
def test_false_verdicts_stay_at_the_level(documents: int, draw: float, inner: float, extra: float, size: float) -> None:
    # 1,000 trials at 5 %: more than 7.7 % has probability 1e-4
    assert _false(1_000, documents, draw, inner, extra, size) <= 0.077


def test_an_undecided_judge_would_fail_power() -> None:
    rng = np.random.default_rng(7)
    sizes = rng.integers(200, 2_000, 60)
    right = 0
    for _ in range(200):
        arms = sizes * (2.5 + rng.normal(0, 0.01, (6, 1)) + rng.normal(0, 0.02, (6, 60)))
        right += intervals.against_random(arms[0] - 0.06 * sizes, arms[1:], sizes).answer == "better"
    assert right >= 180


def test_without_document_noise_it_is_the_textbook_prediction_interval() -> None:
    sizes = np.array([10, 10, 10])
    level = np.array([2.0, 2.1, 2.3, 2.2, 1.9])
    found = intervals.against_random(1.5 * sizes.astype(float), level[:, None] * sizes, sizes)
    half = stats.t.ppf(0.975, 4) * level.std(ddof=1) * (1 + 1 / 5) ** 0.5
    assert found.estimate == pytest.approx(level.mean() - 1.5)
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half))
    assert found.degrees == pytest.approx(4)


def test_two_fixed_choices_are_each_charged_the_spread() -> None:
    sizes = np.array([10, 10, 10])
    level = np.array([2.0, 2.1, 2.3, 2.2, 1.9])
    draws = level[:, None] * sizes
    found = intervals.against_fixed(1.5 * sizes.astype(float), 1.8 * sizes.astype(float), draws, sizes)
    half = stats.t.ppf(0.975, 4) * level.std(ddof=1) * 2**0.5
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half))


def test_answer_and_sign_follow_the_difference() -> None:
    sizes = np.array([10, 12, 9])
    draws = np.array([[20.0, 24, 18], [20.1, 24.1, 18.2], [19.9, 24.2, 18.1]])
    good = intervals.against_random(draws[0] - 5, draws, sizes)
    bad = intervals.against_random(draws[0] + 5, draws, sizes)
    assert (good.answer, bad.answer) == ("better", "worse")
    assert good.estimate > 0 > bad.estimate and good.p_better > 0.97 and bad.p_better < 0.03


def test_one_arm_everywhere_is_undecided() -> None:
    sizes = np.array([5, 7])
    draws = np.tile([10.0, 14.0], (5, 1))
    found = intervals.against_random(np.array([10.0, 14.0]), draws, sizes)
    assert (found.answer, found.p_better, found.estimate) == ("undecided", 0.5, 0.0)


def test_one_huge_document_is_little_evidence() -> None:
    gaps, sizes = np.array([900.0, 1, -1, 2, -2, 1]), np.array([1_000, 10, 10, 10, 10, 10])
    _, degrees = intervals.documents_variance(gaps + 0.0, sizes)
    _, even = intervals.documents_variance(np.array([5.0, 1, -1, 2, -2, 1]), np.full(6, 10))
    assert degrees < even <= 5


def test_too_little_to_judge_by_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match=r"at least 3 seeds.*got 2"):
        intervals.against_random(np.ones(4), np.ones((2, 4)), np.ones(4, np.int64))
    with pytest.raises(InputError, match=r"at least 2 documents.*got 1"):
        intervals.against_random(np.ones(1), np.ones((5, 1)), np.ones(1, np.int64))
