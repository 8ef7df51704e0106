"""The threshold's edge, the reason, and what is measured."""

from __future__ import annotations

import numpy as np
import pytest

from assay import catalog
from assay.errors import RecipeError
from assay.filter.decontaminate import Decontaminate


def test_an_overlap_at_the_threshold_goes_and_one_below_stays() -> None:
    [rule] = Decontaminate().rules
    assert rule.broken({"eval_overlap": np.array([0.0, 0.7499, 0.75, 1.0])}).tolist() == [False, False, True, True]
    assert Decontaminate(threshold=0.9).rules[0].broken({"eval_overlap": np.array([0.89, 0.9])}).tolist() == [
        False,
        True,
    ]


def test_the_reason_is_the_span() -> None:
    [rule] = Decontaminate().rules
    assert rule.told == "eval_span" and Decontaminate.prefix == "contaminated"
    assert set(rule.columns) == set(Decontaminate.needs)


def test_a_threshold_changes_nothing_that_is_measured() -> None:
    assert Decontaminate(threshold=0.6).measured == Decontaminate().measured
    [(name, parameters)] = Decontaminate(least_words=12).measured
    assert catalog.load("annotate", name)(**parameters).least_words == 12


@pytest.mark.parametrize("threshold", [0.49, 1.01])
def test_an_impossible_threshold_is_refused(threshold: float) -> None:
    with pytest.raises(RecipeError, match=f"threshold must be from 0.5 to 1; got {threshold}"):
        Decontaminate(threshold=threshold)
