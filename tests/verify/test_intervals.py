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


# Of one result for each arm: what the formulas gave before pairs of seeds were known, on NumPy's own numbers.
GOLDEN = {
    "random": (0.18920173218779554, 0.14008373497983728, 0.2383197293957538, 0.9998908141673689, 4.766248144496535),
    "fixed": (0.06416326731831859, -0.0002803480424189847, 0.12860688267905618, 0.9747058292141373, 3.564310996217056),
}


def _arms() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(41)
    sizes = rng.integers(50, 900, 30)
    levels = 1.5 + 8 * (1000 * 2 ** np.arange(7)) ** -0.25
    curve = sizes * (levels[:, None, None] + rng.normal(0, 0.01, (7, 4, 1)) + rng.normal(0, 0.05, (7, 4, 30)))
    choice, other = (sizes * (1.5 + 8 * at**-0.25 + rng.normal(0, 0.08, 30)) for at in (20_000, 14_000))
    return choice, other, curve, sizes


def test_a_choice_trained_once_is_judged_as_before() -> None:
    choice, other, curve, sizes = _arms()
    found = intervals.against_random(choice, curve[3], sizes)
    fixed = intervals.against_fixed(choice, other, curve[3], sizes)
    for one, wanted in ((found, GOLDEN["random"]), (fixed, GOLDEN["fixed"])):
        assert (one.estimate, one.low, one.high, one.p_better, one.degrees) == pytest.approx(wanted, rel=1e-12)
    alone, draws = intervals.pair(choice[None], curve[3])
    assert intervals.against_random(alone, draws, sizes) == found  # to the bit


def test_paired_seeds_are_the_textbook_interval_of_the_differences() -> None:
    sizes = np.array([10, 10, 10])
    draws, choice = np.array([2.0, 2.1, 2.3, 2.2, 1.9]), np.array([1.5, 1.7, 1.7, 1.6, 1.5])
    found = intervals.against_random(*intervals.pair(choice[:, None] * sizes, draws[:, None] * sizes), sizes)
    gaps = draws - choice
    half = stats.t.ppf(0.975, 4) * gaps.std(ddof=1) * (1 + 1 / 5) ** 0.5
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (gaps.mean(), gaps.mean() - half, gaps.mean() + half)
    )
    assert found.p == pytest.approx(2 * stats.t.sf(gaps.mean() / (half / stats.t.ppf(0.975, 4)), 4))


def _seeded(
    trials: int, draw: float, initial: float, own: float, shared: bool, m: int = 3, better: float = 0.0
) -> list[str]:
    """Answers where arms differ by draw, initial weights and the luck of a draw with its weights; one choice, m seeds."""
    rng = np.random.default_rng([trials, round(1e6 * (draw + initial + own)), shared, m])
    sizes, answers = rng.integers(200, 900, 40), []
    for _ in range(trials):
        weights = rng.normal(0, initial, (2, m)) if not shared else np.tile(rng.normal(0, initial, m), (2, 1))
        random = rng.normal(0, draw, (m, 1)) + rng.normal(0, draw, (m, 40)) + rng.normal(0, own, (m, 40))
        choice = rng.normal(0, draw) + rng.normal(0, draw, 40) + rng.normal(0, own, (m, 40)) - better
        luck = rng.normal(0, own, (2, m))
        r, c = (2.5 + arm + (w + at)[:, None] for arm, w, at in zip((random, choice), weights, luck, strict=True))
        answers.append(intervals.against_random(*intervals.pair(sizes * c, sizes * r), sizes).answer)
    return answers


@pytest.mark.parametrize(
    ("draw", "initial", "own", "shared", "m"),
    [
        (0.01, 0.05, 0.0, True, 3),  # weights drown the draws, and leave: exact
        (0.01, 0.05, 0.01, True, 3),  # each draw has its own luck with its weights: conservative
        (0.01, 0.0, 0.03, True, 5),
        (0.01, 0.03, 0.0, False, 3),  # weights that are not shared do not leave, and are charged
    ],
)
def test_false_verdicts_of_paired_seeds_stay_at_the_level(
    draw: float, initial: float, own: float, shared: bool, m: int
) -> None:
    answers = _seeded(1_000, draw, initial, own, shared, m)
    assert 1 - answers.count("undecided") / len(answers) <= 0.077


def test_pairing_finds_what_initial_weights_would_hide() -> None:
    paired, apart = (_seeded(100, 0.005, 0.05, 0.0, shared, better=0.06).count("better") for shared in (True, False))
    assert paired >= 90 and apart <= 40


def test_seeds_to_settle_is_the_first_number_that_does() -> None:
    sizes, draws = np.array([10, 10]), np.array([2.0, 2.1, 2.3, 2.2, 1.9])
    s = draws.std(ddof=1)

    def half(m: int) -> float:
        return float(stats.t.ppf(0.975, m - 1) * s * (1 + 1 / m) ** 0.5)

    def needed(gap: float) -> int | None:
        found = intervals.against_random((draws.mean() - gap) * sizes, draws[:, None] * sizes, sizes)
        return intervals.seeds_to_settle(found)

    assert needed((half(8) + half(7)) / 2) == 8
    assert needed(half(5) * 1.01) is None  # settled already
    assert needed(half(1_000) * 0.99) is None  # a choice is one draw: no number of seeds
    assert needed(0.0) is None


def test_a_fixed_reference_stays_one_draw_whatever_the_seeds() -> None:
    sizes, level = np.array([10, 10]), np.array([2.0, 2.1, 2.3, 2.2, 1.9])
    s = level.std(ddof=1)
    at = [(stats.t.ppf(0.975, m - 1) * s * 2**0.5) for m in (9, 10)]
    found = intervals.against_fixed(np.zeros(2), sizes * (at[0] + at[1]) / 2, level[:, None] * sizes, sizes)
    assert intervals.seeds_to_settle(found) == 10


def test_one_document_leaves_the_interval_over_draws() -> None:
    level = np.array([[2.0], [2.1], [2.3]])
    noise = intervals.spread(level, np.ones(1, np.int64))
    found = intervals.difference(np.array([1.5]), level, np.ones(1, np.int64), noise, noise)
    half = stats.t.ppf(0.975, 2) * level.std(ddof=1) * (4 / 3) ** 0.5
    assert (found.low, found.high) == pytest.approx((level.mean() - 1.5 - half, level.mean() - 1.5 + half))
