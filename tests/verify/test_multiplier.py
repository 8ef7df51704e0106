"""The multiplier against curves whose answer is known, its bounds beyond them, and its agreement with the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import RecipeError
from assay.verify import intervals
from assay.verify.multiplier import Multiplier, crossing, multiplier

BUDGET, START = 1e6, 3
BUDGETS = (BUDGET * 2.0 ** np.arange(-3, 5)).astype(np.int64)
SIZES = np.array([100, 250, 80, 400, 120])


def loss(size: float) -> float:
    """A power law with offset."""
    return 1.5 + 8 * size**-0.25


def _curve(noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wobble = rng.normal(0, noise, (len(BUDGETS), 5)) if noise else np.zeros((len(BUDGETS), 5))
    levels = np.array([loss(size) for size in BUDGETS])[:, None] + wobble
    return levels[:, :, None] * SIZES


@pytest.mark.parametrize("times", [0.2, 0.7, 1.5, 3.0, 11.0])
def test_closed_form(times: float) -> None:
    found = multiplier(loss(times * BUDGET) * SIZES, _curve(), BUDGETS, SIZES, START)
    assert found.estimate == pytest.approx(times, rel=2e-3)
    assert not found.censored


def test_interval_holds_the_truth() -> None:
    held, trials, rng = 0, 300, np.random.default_rng(5)
    for trial in range(trials):
        choice = (loss(3 * BUDGET) + rng.normal(0, 0.003)) * SIZES
        found = multiplier(choice, _curve(0.003, trial), BUDGETS, SIZES, START)
        held += (found.low or 0) <= 3 <= (found.high or np.inf)
    assert held / trials >= 0.93


def test_beyond_the_largest_budget_it_is_a_bound() -> None:
    found = multiplier(loss(100 * BUDGET) * SIZES, _curve(), BUDGETS, SIZES, START)
    assert found == Multiplier(None, 16.0, None, True)


def test_below_the_smallest_budget_high_stands() -> None:
    found = multiplier(loss(BUDGET / 50) * SIZES, _curve(), BUDGETS, SIZES, START)
    assert found == Multiplier(None, None, 0.125, True)


def test_noise_may_leave_only_a_lower_bound_inside_the_curve() -> None:
    found = multiplier(loss(20 * BUDGET) * SIZES, _curve(0.01), BUDGETS, SIZES, START)
    assert found.estimate is None and found.censored
    assert found.low is not None and 1 < found.low < 16 and found.high is None


@pytest.mark.parametrize("seed", range(20))
def test_holds_one_exactly_when_undecided(seed: int) -> None:
    rng = np.random.default_rng(seed)
    choice, curve = loss(BUDGET * 2 ** rng.normal(0, 1)) * SIZES, _curve(0.01, seed)
    found = multiplier(choice, curve, BUDGETS, SIZES, START)
    answer = intervals.against_random(choice, curve[START], SIZES).answer
    holds = (found.low or 0) <= 1 <= (found.high or np.inf)
    assert holds == (answer == "undecided")
    assert (found.low or 0) <= (found.estimate or np.inf)


def test_crossing_ignores_a_wobble_elsewhere() -> None:
    grid = np.array([1.0, 2, 4, 8, 16, 32])
    assert crossing(grid, np.array([-0.1, 3, 2, 1, -1, -2]), 2) == pytest.approx(11.3, rel=0.05)


def test_too_few_budgets_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match="at least 5 rising budgets"):
        multiplier(np.ones(5), _curve()[:4], BUDGETS[:4], SIZES, 1)


def test_one_result_is_read_as_before() -> None:
    rng = np.random.default_rng(41)
    sizes, budgets = rng.integers(50, 900, 30), 1000 * 2 ** np.arange(7)
    levels = 1.5 + 8 * budgets**-0.25
    curve = sizes * (levels[:, None, None] + rng.normal(0, 0.01, (7, 4, 1)) + rng.normal(0, 0.05, (7, 4, 30)))
    choice = sizes * (1.5 + 8 * 20_000**-0.25 + rng.normal(0, 0.08, 30))
    found = multiplier(choice, curve, budgets, sizes, 3)
    wanted = (2.684295135530918, 1.9418193351027617, 3.710552424979926)  # before pairs of seeds were known
    assert (found.estimate, found.low, found.high) == pytest.approx(wanted, rel=1e-12)
    assert multiplier(choice[None], curve, budgets, sizes, 3) == found


def test_initial_weights_that_seeds_share_do_not_widen_it() -> None:
    weights = np.random.default_rng(3).normal(0, 0.05, 5)[:, None] * SIZES
    choice, curve = np.tile(loss(3 * BUDGET) * SIZES, (5, 1)), _curve(0.002)
    still = multiplier(choice, curve, BUDGETS, SIZES, START)
    moved = multiplier(choice + weights, curve + weights, BUDGETS, SIZES, START)
    assert (moved.estimate, moved.low, moved.high) == pytest.approx((still.estimate, still.low, still.high), rel=1e-6)
    assert moved.low is not None and moved.low > 2


def test_the_whole_pool_is_one_arm_of_one_seed() -> None:
    rng, curve = np.random.default_rng(4), _curve(0.002)
    weights = rng.normal(0, 0.03, 5)[:, None] * SIZES
    curve = curve + weights
    curve[-1] = curve[-1, 0]  # random's largest budget is the pool
    choice = np.tile(loss(14 * BUDGET) * SIZES, (5, 1)) + weights
    found = multiplier(choice, curve, BUDGETS, SIZES, START)
    assert found.high is None  # the pool's one seed is charged, so random may still be worse there
    assert found.low is not None and found.low > 4
