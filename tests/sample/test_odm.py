"""Online Data Mixing: the bandit's weights worked out by hand, its guarantees, and its pitfalls.

Published formula: Albalak et al. 2023, algorithm 1; the variants are the authors' code, in numbers. Each by hand below.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from domains import NONE, begun, drawn, rows_of, told

from assay import catalog
from assay.errors import InputError, RecipeError
from assay.sample import _parts
from assay.sample.odm import Odm, rate
from assay.types import Signals


def softmax(*exponents: float) -> list[float]:
    total = sum(map(math.exp, exponents))
    return [math.exp(one) / total for one in exponents]


def test_the_rate_is_the_paper_s():
    assert rate(0, 2) == rate(1, 2) == 0.5  # √(ln 2 / 2) = 0.589 is above 1/K
    assert rate(2, 2) == pytest.approx(0.416277, abs=1e-6)  # √(0.693147 / 4)
    assert rate(50, 8) == pytest.approx(math.sqrt(math.log(8) / 400))


def test_weights_by_hand_as_in_the_paper():
    """R is a moving average of loss over probability; the weights of step t have ε_t as floor and ε_{t−1} in the exponent."""
    method = Odm(warmup=0)
    state = begun(method, [30, 10])  # π_1 is by size: 3/4, 1/4
    assert state["weights"].tolist() == [0.75, 0.25]
    state = told(state, method, 1, 2.0)  # R_1 = 0.1 · 2 / 0.25 = 0.8
    assert state["reward"].tolist() == pytest.approx([0, 0.8])
    e1, e2, e3 = 0.5, math.sqrt(math.log(2) / 4), math.sqrt(math.log(2) / 6)
    second = [(1 - 2 * e2) * one + e2 for one in softmax(0, e1 * 0.8)]
    assert second == pytest.approx([0.483, 0.517], abs=5e-4)
    assert state["weights"].tolist() == pytest.approx(second)
    state = told(state, method, 0, 3.0)
    first = 0.1 * 3 / second[0]  # R_0 = 0.9 · 0 + 0.1 · 3 / π_2(0); R_1 stays: it was not drawn
    assert state["reward"].tolist() == pytest.approx([first, 0.8])
    third = [(1 - 2 * e3) * one + e3 for one in softmax(e2 * first, e2 * 0.8)]
    assert state["weights"].tolist() == pytest.approx(third)


def test_weights_by_hand_as_in_the_code():
    """R is a sum of a tenth of the loss over probability; ε of the step just trained, and the one before it."""
    method = Odm(warmup=0, variant="reference")
    state = told(begun(method, [30, 10]), method, 1, 2.0)
    assert state["reward"].tolist() == pytest.approx([0, 0.8])  # 0.2 / 0.25
    assert state["weights"].tolist() == [0.5, 0.5]  # ε_1 = 1/2: nothing is left for the softmax
    state = told(state, method, 0, 3.0)
    assert state["reward"].tolist() == pytest.approx([0.6, 0.8])  # 0.3 / 0.5
    e1, e2, e3 = 0.5, math.sqrt(math.log(2) / 4), math.sqrt(math.log(2) / 6)
    second = [(1 - 2 * e2) * one + e2 for one in softmax(e1 * 0.6, e1 * 0.8)]
    assert state["weights"].tolist() == pytest.approx(second)
    state = told(state, method, 0, 1.0)
    first = 0.6 + 0.1 / second[0]
    third = [(1 - 2 * e3) * one + e3 for one in softmax(e2 * first, e2 * 0.8)]
    assert state["weights"].tolist() == pytest.approx(third)


def test_the_smoothed_variant_by_hand():
    """A moving average of the loss itself, without importance weights; the weights are Exp3's all the same."""
    method = Odm(warmup=0, variant="smoothed", smoothing=0.75)
    state = told(begun(method, [30, 10]), method, 1, 2.0)
    assert state["reward"].tolist() == pytest.approx([0, 0.5])
    state = told(state, method, 1, 4.0)
    assert state["reward"].tolist() == pytest.approx([0, 1.375])  # 0.75 · 0.5 + 0.25 · 4
    e1, e2 = 0.5, math.sqrt(math.log(2) / 4)
    assert state["weights"].tolist() == pytest.approx([(1 - 2 * e2) * p + e2 for p in softmax(0, e1 * 1.375)])


def test_a_batch_of_several_domains_rewards_each_with_its_own_mean():
    method = Odm(warmup=0)
    state = begun(method, [20, 20])
    rows = np.concatenate([rows_of(state, 0, 1), rows_of(state, 1, 2)])
    drawn_with = {"weights": state["weights"]}
    state = method.update(state, rows, drawn_with, Signals({"loss": np.array([1.0, 2.0, 4.0])}))
    assert state["reward"].tolist() == pytest.approx([0.2, 0.6])


@pytest.mark.parametrize("variant", ["paper", "reference", "smoothed"])
def test_weights_sum_to_one_and_exceed_the_rate(variant: str):
    """Over a hundred steps of losses that differ between domains; the guarantee, and what Exp3 needs for its bound."""
    method = Odm(warmup=0, variant=variant)
    state, rng = begun(method, [50, 30, 20, 10]), np.random.default_rng(1)
    for step in range(1, 101):
        state = told(state, method, int(rng.integers(4)), float(rng.exponential(4)))
        weights, floor = state["weights"], rate(step + (variant == "paper"), 4)
        assert weights.sum() == pytest.approx(1, abs=1e-12) and (weights >= floor - 1e-15).all()
        assert (weights > floor).all() or floor == 0.25


def test_the_domain_that_loses_more_comes_more_often():
    """And all come sometimes: its worst regret is bounded because nothing is ever given up."""
    losses = np.array([0.5, 6.0, 0.5])
    batches, state = drawn(Odm(warmup=0), [400, 400, 400], 300, 4, lambda source: losses[source])
    counts = np.bincount(state["source"][np.concatenate(batches[100:])], minlength=3)
    assert counts[1] > 1.3 * counts[0] and counts[1] > 1.3 * counts[2] and counts.min() > 50


@pytest.mark.parametrize(("variant", "first"), [("paper", 10), ("reference", 11)])
def test_while_warming_up_domains_come_by_size(variant: str, first: int):
    method = Odm(warmup=10, variant=variant)
    state = begun(method, [30, 10])
    for step in range(1, 15):
        state = told(state, method, 1, 5.0)
        by_size = state["weights"].tolist() == [0.75, 0.25]
        assert by_size == (step < first), step
    counted = begun(method, [30, 10])
    for _ in range(10):
        counted = told(counted, method, 1, 5.0)
    assert (counted["reward"][1] > 0) == (variant == "paper")  # the code forgets what it lost while warming up


def test_the_code_s_first_update_moves_by_the_first_rate():
    """No ε was computed while warming up: the exponent of the first update has 1/K, as the code's."""
    method = Odm(warmup=10, variant="reference")
    state = begun(method, [30, 10])
    for _ in range(10):
        state = told(state, method, 0, 1.0)
    state = told(state, method, 1, 2.0)
    now = math.sqrt(math.log(2) / 22)
    assert state["weights"].tolist() == pytest.approx([(1 - 2 * now) * p + now for p in softmax(0, 0.5 * 0.8)])


def test_a_reward_of_any_size_overflows_nothing():
    """The code exponentiates as it stands, and stops with an overflow at an exponent of 710."""
    method = Odm(warmup=0, variant="reference")
    state = begun(method, [10, 10])
    for _ in range(3):
        with np.errstate(over="raise", invalid="raise"):
            state = told(state, method, 0, 1e6)
    weights = state["weights"]
    assert weights.sum() == pytest.approx(1) and weights[0] == pytest.approx(1 - rate(3, 2))


def test_a_state_is_never_changed_in_place():
    """The code writes into the list of weights that it was given."""
    method = Odm(warmup=0)
    state = begun(method, [30, 10])
    for array in state.values():
        array.flags.writeable = False
    before = {name: array.copy() for name, array in state.items()}
    told(state, method, 1, 2.0)
    assert all(np.array_equal(state[name], before[name]) for name in before)


def test_a_loss_is_weighed_by_what_its_batch_was_drawn_with():
    """Drawn two batches ahead: the third loss belongs to a batch that was drawn before any loss was known."""
    method = Odm(warmup=0)
    state = begun(method, [30, 10])
    rows, drawn_with = method.draw(state, rows_of(state, 1, 4), Signals({}), 4, np.random.default_rng(0))
    for _ in range(2):
        state = told(state, method, 0, 3.0)
    assert drawn_with["weights"].tolist() == [0.75, 0.25] != state["weights"].tolist()
    before = state["reward"].copy()
    state = method.update(state, rows, drawn_with, Signals({"loss": np.full(4, 2.0)}))
    assert state["reward"][1] == pytest.approx(0.9 * before[1] + 0.1 * 2.0 / 0.25)


def test_a_batch_holds_one_domain_and_a_domain_repeats_nothing_until_it_is_exhausted():
    batches, state = drawn(Odm(warmup=0), [40, 25, 12], 40, 4, lambda source: np.ones(len(source)))
    assert all(len(set(state["source"][batch].tolist())) == 1 for batch in batches)
    rows = np.concatenate(batches)
    for domain, size in enumerate([40, 25, 12]):
        mine = rows[state["source"][rows] == domain]
        assert len(mine) == state["taken"][domain]
        for start in range(0, len(mine) - size + 1, size):
            assert len(set(mine[start : start + size].tolist())) == size
    again = rows[state["source"][rows] == 2]
    assert len(again) >= 24 and again[:12].tolist() != again[12:24].tolist()  # each pass has an order of its own


def test_rows_in_flight_are_not_drawn_again():
    method, rng = Odm(warmup=0), np.random.default_rng(0)
    state = begun(method, [10, 10])
    first = _parts.next_rows(state, np.zeros(4, np.int64), NONE)
    second = _parts.next_rows(state, np.zeros(4, np.int64), first)
    assert not set(first.tolist()) & set(second.tolist())
    assert _parts.next_rows(state, np.zeros(4, np.int64), NONE).tolist() == first.tolist()
    for _ in range(10):
        proposed = method.propose(state, 4, first, rng)
        assert proposed.dtype == np.int64 and not set(proposed.tolist()) & set(first.tolist())


@pytest.mark.parametrize("n", [1, 2, 7, 16, 100, 4096, 4097, 10_000])
def test_an_order_is_a_permutation_and_another_key_another_one(n: int):
    one, other = (_parts.permuted(np.arange(n), n, key) for key in (1, 2))
    assert sorted(one.tolist()) == sorted(other.tolist()) == list(range(n))
    assert n < 7 or one.tolist() != other.tolist()


@pytest.mark.parametrize("n", [8, 5000])
def test_every_row_is_as_likely_to_come_first(n: int):
    """χ² over 4,000 orders, at the first and the last place, in eighths; 24.3 is the 0.1 % point of 7 degrees of freedom. (A
    Feistel network fails this on 8 rows: 29.8.)"""
    for place in (0, n - 1):
        found = [int(_parts.permuted(np.array([place]), n, key * 977)[0]) * 8 // n for key in range(4000)]
        counts = np.bincount(found, minlength=8)
        assert ((counts - 500) ** 2 / 500).sum() < 24.3


@pytest.mark.parametrize(
    ("loss", "said"),
    [(np.nan, "finite loss"), (np.inf, "finite loss"), (None, "reported none")],
)
def test_a_loss_that_is_none_is_refused(loss: float | None, said: str):
    method = Odm()
    state = begun(method, [5, 5])
    measured = Signals({} if loss is None else {"loss": np.array([loss])})
    with pytest.raises(InputError, match=said):
        method.update(state, np.array([0]), {"weights": state["weights"]}, measured)


def test_rows_without_a_domain_and_a_single_domain_are_refused():
    with pytest.raises(InputError, match="1 of 3 have none"):
        Odm().init(3, Signals({"source": np.array([0, 1, -1])}), np.random.default_rng(0))
    with pytest.raises(InputError, match="two or more; got one"):
        begun(Odm(), [5])
    with pytest.raises(InputError, match="domain 1 is empty"):
        Odm().init(2, Signals({"source": np.array([0, 2])}), np.random.default_rng(0))


@pytest.mark.parametrize("parameters", [{"variant": "exp3"}, {"smoothing": 1.0}, {"warmup": -1}, {"warm_up": 3}])
def test_wrong_parameters_are_refused_by_name(parameters: dict):
    with pytest.raises(RecipeError, match=next(iter(parameters))):
        catalog.build("sample", "odm", parameters)
