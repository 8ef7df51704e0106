"""Skill-It: the mixture of each round by hand, its graph the right way round, and its pitfalls.

Published formula: Chen et al. 2023, section 4.2 (a matrix and an exponential); the variants are the authors' code, by hand too.
"""

from __future__ import annotations

import numpy as np
import pytest
from domains import begun, drawn, rows_of

from assay import catalog
from assay.contracts import State
from assay.errors import InputError, RecipeError
from assay.sample.skill_it import SkillIt
from assay.types import Signals

GRAPH = ((1.0, 1.0, 0.0), (0.0, 1.0, 0.25), (0.0, 0.0, 1.0))  # 0 helps 1, and 1 helps 2 a little


def proportional(*exponents: float) -> list[float]:
    found = np.exp(np.array(exponents))
    return pytest.approx((found / found.sum()).tolist())


def validated(state: State, method: SkillIt, *losses: float) -> State:
    """After a batch, at whose end these losses were validated."""
    rows = rows_of(state, 0, 2)
    return method.update(state, rows, {}, Signals({"domain_loss": np.tile(losses, (len(rows), 1))}))


def test_it_begins_as_if_every_loss_were_one():
    state = begun(SkillIt(graph=GRAPH, eta=0.5), [4, 4, 4])
    assert state["weights"].tolist() == proportional(0.5 * 2, 0.5 * 1.25, 0.5 * 1)


def test_a_round_by_hand():
    """Row i of the graph, times the losses: what a skill helps gives it weight, not what helps it."""
    method = SkillIt(graph=GRAPH, eta=0.5, every=1)
    state = validated(begun(method, [4, 4, 4]), method, 1.0, 2.0, 4.0)
    assert state["weights"].tolist() == proportional(0.5 * (1 + 2), 0.5 * (2 + 1), 0.5 * 4)


def test_losses_of_the_last_rounds_are_summed_and_each_round_begins_at_the_prior():
    """After rounds 1, 2, 3, 4 with a window of three the weights know 2, 3 and 4 and nothing of the weights before."""
    method = SkillIt(eta=0.3, every=1, prior="size")
    state = begun(method, [6, 2])
    for losses in ((9.0, 1.0), (1.0, 2.0), (2.0, 2.0), (0.5, 3.0)):
        state = validated(state, method, *losses)
    assert state["history"].shape == (3, 2)
    assert state["weights"].tolist() == proportional(np.log(0.75) + 0.3 * 3.5, np.log(0.25) + 0.3 * 7)


def test_weights_change_at_the_end_of_a_round_only():
    method = SkillIt(every=3)
    state = begun(method, [4, 4])
    for step in range(1, 7):
        before = state["weights"]
        state = validated(state, method, 1.0, float(step))
        assert (state["weights"] is not before) == (step in (3, 6))
    assert state["weights"].tolist() == proportional(0.5 * 2, 0.5 * (3 + 6))  # the last losses told within each round


def test_as_in_the_code_off_diagonal_ones_are_a_half():
    state = begun(SkillIt(graph=GRAPH, eta=1.0, variant="reference"), [4, 4, 4])
    assert state["weights"].tolist() == proportional(1.5, 1.25, 1.0)
    assert begun(SkillIt(graph=GRAPH, eta=1.0), [4, 4, 4])["weights"].tolist() == proportional(2.0, 1.25, 1.0)


def test_as_in_the_code_the_first_losses_are_the_prior():
    """Its losses at first are its numbers of the prior, not ones."""
    given = {"eta": 1.0, "prior": "size"}
    as_code, as_paper = (begun(SkillIt(**given, variant=variant), [6, 2]) for variant in ("reference", "paper"))
    assert as_code["weights"].tolist() == proportional(np.log(3) + 1.5, np.log(1) + 0.5)
    assert as_paper["weights"].tolist() == proportional(np.log(3) + 1, np.log(1) + 1)


@pytest.mark.parametrize(("variant", "losses"), [("paper", 6.0), ("reference", 3.0)])
def test_with_targets_only_their_losses_count_and_the_code_averages(variant: str, losses: float):
    graph = ((1.0, 0.3), (0.2, 1.0))
    method = SkillIt(graph=graph, eta=0.5, every=1, targets=(1,), variant=variant)
    state = begun(method, [4, 4])
    for both in ((7.0, 4.0), (8.0, 2.0)):
        state = validated(state, method, *both)
    assert state["weights"].tolist() == proportional(0.5 * 0.3 * losses, 0.5 * losses)


def test_training_losses_stand_in_where_nothing_is_validated():
    """The mean over the round's rows of each skill; a skill without rows has the mean of the others, later its last."""
    method = SkillIt(eta=1.0, every=2)
    state = begun(method, [6, 6, 6])
    for rows, loss in ((rows_of(state, 0, 2), [1.0, 2.0]), (rows_of(state, 1, 1), [6.0])):
        state = method.update(state, rows, {}, Signals({"loss": np.array(loss)}))
    assert state["history"].tolist() == [[1.5, 6.0, 3.75]]
    for _ in range(2):
        state = method.update(state, rows_of(state, 2, 1), {}, Signals({"loss": np.array([2.0])}))
    assert state["history"].tolist()[1] == [1.5, 6.0, 2.0]


def test_what_was_validated_is_preferred_to_training_losses():
    method = SkillIt(every=1)
    state = begun(method, [4, 4])
    rows = rows_of(state, 0, 2)
    measured = {"loss": np.ones(2), "domain_loss": np.tile([np.nan, 5.0], (2, 1))}
    assert method.update(state, rows, {}, Signals(measured))["history"].tolist() == [[1.0, 5.0]]


def test_weights_sum_to_one_whatever_the_losses():
    method = SkillIt(every=1, eta=10.0)
    state = validated(begun(method, [4, 4]), method, 1e5, 1.0)
    assert state["weights"].tolist() == [1.0, 0.0]


def test_batches_follow_the_weights_and_repeat_nothing_until_a_skill_is_exhausted():
    """Shares within four standard errors of the weights, which are e/(e + 1) at first."""
    method = SkillIt(graph=((1, 1), (0, 1)), eta=1.0)
    batches, state = drawn(method, [3000, 3000], 50, 16, lambda source: np.ones(len(source)))
    rows = np.concatenate(batches)
    share = np.mean(state["source"][rows] == 0)
    assert abs(share - np.e / (np.e + 1)) < 4 * (0.2 / 800) ** 0.5 and len(set(rows.tolist())) == len(rows)


def test_a_round_without_a_loss_is_refused():
    method = SkillIt(every=2)
    state = method.update(begun(method, [4, 4]), np.array([0]), {}, Signals({}))
    with pytest.raises(InputError, match="within every round of 2 batches"):
        method.update(state, np.array([1]), {}, Signals({}))
    for bad, said in ((np.inf, "finite losses"), (-np.inf, "finite losses")):
        with pytest.raises(InputError, match=said):
            validated(state, method, 1.0, bad)
    with pytest.raises(InputError, match="finite loss"):
        method.update(state, np.array([1]), {}, Signals({"loss": np.array([np.nan])}))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"variant": "code"}, "variant"),
        ({"prior": "half"}, "prior"),
        ({"window": 0}, "window"),
        ({"every": 0}, "every"),
        ({"eta": 0.0}, "eta"),
        ({"graph": ((1.0,),)}, r"2 rows of 2 numbers.*\(1, 1\)"),
        ({"graph": ((1.0, -1.0), (0.0, 1.0))}, "none negative"),
        ({"targets": (2,)}, "from 0 to 1"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters: dict, said: str):
    with pytest.raises(RecipeError, match=said):
        begun(catalog.build("sample", "skill_it", parameters), [4, 4])
