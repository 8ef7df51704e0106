"""Time to quality in closed form: what selection costs, what random would, and from when it pays."""

from __future__ import annotations

import numpy as np
import pytest

from assay.verify.arms import Arm, Pass, Plan
from assay.verify.cost import pays_from, time_to_quality
from assay.verify.judge import Result
from assay.verify.multiplier import Multiplier

ROWS = np.arange(3)


def _trials(epochs: int = 1) -> tuple[list[Result], Plan]:
    arms = [Arm(name, seed, 1_000, (Pass(ROWS),) * epochs) for name in ("choice", "random") for seed in range(2)]
    results = [Result(arm.name, arm.seed, 1_000, 3, (), 2.0 * epochs) for arm in arms]
    return [*results, Result("random", 0, 8_000, 3, (), 99.0)], Plan(tuple(arms), np.array([1_000]), 0, ())


def test_random_needs_as_many_seconds_as_its_data() -> None:
    found = time_to_quality(4.0, *_trials(), Multiplier(5.0, 3.0, 7.0, False))
    assert found is not None
    assert (found["training_seconds"], found["seconds"], found["random_seconds"]) == pytest.approx((2.0, 6.0, 10.0))
    assert found["ratio"] == pytest.approx(10 / 6) and found["bound"] is False
    assert found["pays_from"] == 500  # 4 s = (5 - 1) times 0.002 s a unit


def test_passes_count() -> None:
    found = time_to_quality(4.0, *_trials(epochs=4), Multiplier(5.0, None, None, False))
    assert found is not None and found["random_seconds"] == pytest.approx(40.0) and found["pays_from"] == 125


def test_a_bound_is_a_bound_and_what_never_pays_is_null() -> None:
    bound = time_to_quality(4.0, *_trials(), Multiplier(None, 16.0, None, True))
    assert bound is not None and bound["bound"] is True and bound["random_seconds"] == pytest.approx(32.0)
    worse = time_to_quality(4.0, *_trials(), Multiplier(0.5, None, None, False))
    assert worse is not None and worse["pays_from"] is None and worse["ratio"] == pytest.approx(1 / 6)
    unknown = time_to_quality(4.0, *_trials(), Multiplier(None, None, 0.125, True))
    assert unknown is not None and unknown["ratio"] is None and unknown["pays_from"] is None


def test_untimed_trials_say_nothing() -> None:
    results, plan = _trials()
    still = [Result(one.name, one.seed, one.budget, one.rows, one.bits) for one in results]
    assert time_to_quality(4.0, still, plan, Multiplier(5.0, 3.0, 7.0, False)) is None
    assert pays_from(1.0, 0.0, 2.0) is None
