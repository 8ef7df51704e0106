"""BIDS: the greedy choice against its definition, normalised influences, budgets."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import InputError, RecipeError
from assay.select.bids import Bids, balanced, normalised
from assay.types import Limit, Selection, Signals

RNG = np.random.default_rng(5)
POOL, TARGET = RNG.normal(size=(2, 40, 6)), RNG.normal(size=(2, 5, 6))
RATES = np.array([3.0, 1.0])


def slowly(influences: np.ndarray) -> list[int]:
    """argmax_i max_j (A_ij - mean of the chosen), as it is written."""
    chosen: list[int] = []
    while len(chosen) < len(influences):
        held = influences[chosen].sum(axis=0) / max(1, len(chosen))
        values = (influences - held).max(axis=1)
        values[chosen] = -np.inf
        chosen.append(int(np.argmax(values)))
    return chosen


@pytest.mark.parametrize("case", range(30))
def test_the_choice_is_the_greedy_one(case: int) -> None:
    chance = np.random.default_rng(case)
    influences = chance.normal(size=(chance.integers(1, 25), chance.integers(1, 7)))
    assert [row for row, _ in balanced(influences)] == slowly(influences)


def test_equal_values_take_the_first_row() -> None:
    influences = np.random.default_rng(1).integers(0, 2, (30, 3)).astype(float)
    assert [row for row, _ in balanced(influences)] == slowly(influences)


def test_what_a_row_adds_is_told() -> None:
    influences = np.array([[2.0, 0.0], [0.0, 1.0], [1.5, 0.5]])
    assert list(balanced(influences)) == [(0, 2.0), (1, 1.0), (2, 0.5)]


def test_an_example_with_large_influences_takes_no_more_than_its_share() -> None:
    """Two tasks, one of a hundred times the scale: by the plain sum the first ten are all of it, here they alternate."""
    influences = np.zeros((40, 2))
    influences[:20, 0] = 100 * np.linspace(1, 0.5, 20)
    influences[20:, 1] = np.linspace(1, 0.5, 20)
    first = [row for row, _ in balanced(normalised(influences))][:10]
    assert sum(row < 20 for row in first) == 5
    assert set(np.argsort(-influences.sum(axis=1))[:10].tolist()) <= set(range(20))


def test_every_example_has_its_own_scale() -> None:
    found = normalised(RNG.normal(3, [[0.1, 5.0]], (50, 2)))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1)
    assert (normalised(np.full((4, 2), 7.0)) == 0).all() and normalised(np.zeros((0, 2))).shape == (0, 2)


def signals(pool: np.ndarray = POOL, rates: np.ndarray = RATES) -> Signals:
    named = {f"gradients_{place}": one for place, one in enumerate(pool, 1)}
    aims = {f"target:gradients_{place}": one for place, one in enumerate(TARGET, 1)}
    return Signals({
        **named, **aims, "gradients_rates": np.tile(rates, (pool.shape[1], 1)), "target:gradients_rates": np.tile(rates, (5, 1))
    })  # fmt: skip


def choose(limit: Limit, given: Signals | None = None) -> Selection:
    return Bids(checkpoints=2).select(signals() if given is None else given, None, limit, np.random.default_rng(0))


def cosines() -> np.ndarray:
    unit = [each / np.linalg.norm(each, axis=2, keepdims=True) for each in (POOL, TARGET)]
    return np.einsum("c,cnd,ctd->nt", RATES / RATES.sum(), *unit)


def test_influences_are_weighted_cosines_normalised() -> None:
    expected = cosines()
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    assert choose(Limit(40, "examples", np.ones(40, np.int64))).rows.tolist() == slowly(expected)


def test_neither_scales_nor_the_order_of_examples_change_the_choice() -> None:
    every = Limit(40, "examples", np.ones(40, np.int64))
    plain, order = choose(every).rows.tolist(), RNG.permutation(5)
    scaled, turned = signals(POOL * RNG.uniform(0.01, 100, (2, 40, 1))), signals()
    for place in (1, 2):
        turned = turned.adding(f"target:gradients_{place}", TARGET[place - 1][order] * RNG.uniform(0.01, 100, (5, 1)))
    assert choose(every, scaled).rows.tolist() == choose(every, turned).rows.tolist() == plain


def test_budgets_nest_and_rows_without_a_gradient_stay_out() -> None:
    pool = POOL.copy()
    pool[1, 4] = np.nan
    whole = choose(Limit(40, "examples", np.ones(40, np.int64)), signals(pool))
    assert sorted(whole.rows.tolist()) == [row for row in range(40) if row != 4]
    assert [rows.tolist() for rows in whole.reasons.values()] == [[4]]
    sizes = RNG.integers(1, 50, 40)
    few = choose(Limit(200, "bytes", sizes), signals(pool))
    assert few.nested and few.rows.tolist() == whole.rows.tolist()[: len(few)] and sizes[few.rows].sum() <= 200


def test_errors_teach() -> None:
    with pytest.raises(RecipeError, match="give bids checkpoints = 3"):
        choose(Limit(1, "examples", np.ones(40, np.int64)), signals(rates=np.ones(3)))
    with pytest.raises(RecipeError, match="at least 1"):
        Bids(checkpoints=0)
    empty = signals().adding("target:gradients_rates", np.zeros((0, 2)))
    with pytest.raises(InputError, match="at least one example"):
        choose(Limit(1, "examples", np.ones(40, np.int64)), empty)
