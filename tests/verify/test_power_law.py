"""The power law against laws that are known, its interval against the truth, and both readings on real curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from assay.errors import RecipeError
from assay.verify.multiplier import Multiplier, multiplier
from assay.verify.power_law import Fitted, PowerLaw, fit, left_out, multiplier_power_law

BUDGET, START = 1e6, 3
BUDGETS = (BUDGET * 2.0 ** np.arange(-3, 5)).astype(np.int64)
TIMES = BUDGETS / BUDGET
SIZES = np.array([100, 250, 80, 400, 120])
LAW = PowerLaw(1.5, 0.25, 0.3)
CURVES = json.loads((Path(__file__).parent.parent / "goldens" / "random_curves.json").read_text("utf-8"))


def _curve(noise: float, seed: int, draws: int = 5) -> np.ndarray:
    """Nested draws: what luck a draw has at one budget it keeps in part at the next."""
    rng = np.random.default_rng(seed)
    luck = 0.7 * rng.normal(0, noise, (1, draws)) + 0.7 * rng.normal(0, noise, (len(BUDGETS), draws))
    return (LAW.at(TIMES)[:, None] + luck)[:, :, None] * SIZES


@pytest.mark.parametrize("law", [LAW, PowerLaw(0.0, 3.0, 0.12), PowerLaw(2.2, 0.8, 0.6)])
def test_it_finds_the_law_behind_the_losses(law: PowerLaw) -> None:
    found = fit(TIMES, law.at(TIMES))
    assert found is not None
    assert (found.floor, found.scale, found.exponent) == pytest.approx((law.floor, law.scale, law.exponent), abs=1e-4)


def test_losses_that_rise_have_no_law() -> None:
    assert fit(TIMES, 2 + 0.1 * np.log(TIMES)) is None
    rising = np.tile((2 + 0.1 * np.log(TIMES))[:, None, None], (1, 5, 5)) * SIZES
    assert multiplier_power_law(2.0 * SIZES, rising, BUDGETS, SIZES, START) == (
        Multiplier(None, None, None, True),
        None,
    )


@pytest.mark.parametrize("times", [0.2, 0.7, 1.5, 3.0, 11.0])
def test_closed_form(times: float) -> None:
    choice = float(LAW.at(np.array([times]))[0]) * SIZES
    found, law = multiplier_power_law(choice, _curve(0.0, 0), BUDGETS, SIZES, START)
    assert found.estimate == pytest.approx(times, rel=1e-4) and not found.censored
    assert law is not None and law.exponent == pytest.approx(0.3, abs=1e-4)


def test_nothing_is_read_beyond_the_budgets_seen() -> None:
    for times, wanted in ((100.0, Multiplier(None, 16.0, None, True)), (0.02, Multiplier(None, None, 0.125, True))):
        choice = float(LAW.at(np.array([times]))[0]) * SIZES
        assert multiplier_power_law(choice, _curve(0.0, 0), BUDGETS, SIZES, START)[0] == wanted


def test_fitted_draws_move_as_the_fit_does() -> None:
    curve = _curve(0.004, 1)
    losses = (curve.sum(-1) / SIZES.sum()).mean(1)
    law = fit(TIMES, losses)
    assert law is not None
    at, step = 3.0, 1e-4
    draws = Fitted(law, TIMES, curve, SIZES).draws(at).sum(-1) / SIZES.sum()
    assert draws.mean() == pytest.approx(float(law.at(np.array([at]))[0]))
    for draw in range(2):  # the same by moving the losses a little towards that draw and fitting anew
        moved = fit(TIMES, losses + step * (curve[:, draw].sum(-1) / SIZES.sum() - losses))
        assert moved is not None
        slope = float(moved.at(np.array([at]))[0] - law.at(np.array([at]))[0]) / step
        assert draws[draw] - draws.mean() == pytest.approx(slope, abs=2e-5)


def test_interval_holds_the_truth_and_is_narrower_than_the_cubic() -> None:
    held, wide, narrow, rng = 0, [], [], np.random.default_rng(5)
    for trial in range(40):
        choice = (float(LAW.at(np.array([3.0]))[0]) + rng.normal(0, 0.003)) * SIZES
        curve = _curve(0.003, trial)
        found, _ = multiplier_power_law(choice, curve, BUDGETS, SIZES, START)
        cubic = multiplier(choice, curve, BUDGETS, SIZES, START)
        held += (found.low or 0) <= 3 <= (found.high or np.inf)
        narrow.append(np.log((found.high or 16) / (found.low or 0.125)))
        wide.append(np.log((cubic.high or 16) / (cubic.low or 0.125)))
    assert held >= 33  # at 95 %, fewer have probability 0.001
    assert np.mean(narrow) < np.mean(wide)


def test_paired_seeds_leave_what_initial_weights_do() -> None:
    weights = np.random.default_rng(3).normal(0, 0.05, 5)[:, None] * SIZES
    choice = np.tile(float(LAW.at(np.array([3.0]))[0]) * SIZES, (5, 1))
    still, _ = multiplier_power_law(choice, _curve(0.001, 2), BUDGETS, SIZES, START)
    moved, _ = multiplier_power_law(choice + weights, _curve(0.001, 2) + weights, BUDGETS, SIZES, START)
    assert (moved.estimate, moved.low) == pytest.approx((still.estimate, still.low), rel=0.1)


def test_too_few_budgets_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match="at least 4 budgets; got 3"):
        fit(TIMES[:3], LAW.at(TIMES[:3]))
    with pytest.raises(RecipeError, match="at least 5 rising budgets"):
        left_out(BUDGETS[:4], LAW.at(TIMES[:4]))


def test_left_out_misses_what_neither_form_can_know() -> None:
    losses = LAW.at(TIMES)
    bent = losses.copy()
    bent[4] += 0.01
    misses = left_out(BUDGETS, bent)
    assert misses["power_law"][3] == pytest.approx(-0.01, abs=1e-6) and misses["cubic"][3] < -0.009
    assert max(map(abs, left_out(BUDGETS, losses)["cubic"])) < 0.006


@pytest.mark.parametrize("curve", CURVES["curves"], ids=lambda curve: curve["name"])
def test_both_readings_tell_real_curves(curve: dict) -> None:
    # N-gram curves of the examples (bench/prove_curve.py): no form is imposed by nature, and neither is far off.
    losses = np.array(curve["losses"]).mean(1)
    misses = left_out(np.array(curve["budgets"]), losses)
    fall = losses[0] - losses[-1]
    assert max(map(abs, misses["cubic"])) < 0.05 * fall and max(map(abs, misses["power_law"])) < 0.1 * fall
