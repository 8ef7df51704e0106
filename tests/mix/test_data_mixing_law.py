"""The exponential mixing law against published fits, planted numbers, closed forms and brute force."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest

from assay.errors import InputError, RecipeError
from assay.mix.data_mixing_law import MixtureLaw, lowest
from assay.types import Mixture, Trials

RNG = np.random.default_rng(0)
# Losses of five models of 70M parameters on mixtures of GitHub and Pile-CC, and what the authors' notebook prints of each fit:
# slope and intercept of log(L - c) in the share of the loss's own domain, and Huber's mean loss. The authors' data/2Mix/70M.txt and
# mix_2_domains.ipynb, https://github.com/yegcjs/mixinglaws at c58d349; numbers only, the repository has no licence.
GITHUB = np.array([0.25, 0.375, 0.5, 0.625, 0.75])
PUBLISHED = {
    "GitHub at 10k steps": (
        0, [1.620832806174089, 1.5498363170546559, 1.4789030870445343, 1.4469295609817814, 1.411091298709514],
        (-2.4381, -0.5978, 1.0180e-5),
    ),
    "GitHub at 20k steps": (
        0, [1.481441358805668, 1.4282898690536436, 1.3660488360323886, 1.328846549215587, 1.2927710652834008],
        (-1.5473, -0.6506, 6.9308e-6),
    ),
    "GitHub at 30k steps": (
        0, [1.4443359375, 1.3859675480769231, 1.3278245192307692, 1.2935973873987854, 1.2567707015435223],
        (-1.6405, -0.6819, 3.6705e-6),
    ),
    "Pile-CC at 10k steps": (
        1, [3.6703489711302213, 3.702006871928747, 3.7396681127149876, 3.801385902948403, 3.888470324017199],
        (-2.9041, -0.5333, 9.0037e-7),
    ),
}  # fmt: skip


def two(losses: list[float]) -> Trials:
    return Trials(("github", "pile_cc"), np.stack([GITHUB, 1 - GITHUB], axis=1), np.array(losses)[:, None])


def planted(trials: int = 40, outliers: int = 0, seed: int = 0) -> tuple[Trials, np.ndarray, np.ndarray]:
    """Trials of four domains and three losses that follow a law, c (3,), u (3, 4)."""
    rng = np.random.default_rng(seed)
    constants, directions = np.array([2.0, 1.0, 3.1]), rng.normal(0, 1.5, (3, 4))
    spent = rng.dirichlet(np.ones(4), trials)
    losses = constants + np.exp(spent @ directions.T)
    losses[:outliers] += 1.0
    return Trials(tuple("abcd"), spent, losses), constants, directions


# --- The fit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_fits_of_two_domains(name: str) -> None:
    own, losses, (slope, intercept, huber) = PUBLISHED[name]
    trials = two(losses)
    constants, directions = MixtureLaw(variant="reference")._fitted(trials)
    at_one, at_none = directions[0, own], directions[0, 1 - own]  # log k + t x, at x = 1 and x = 0
    assert abs((at_one - at_none) - slope) < 5e-4 and abs(at_none - intercept) < 5e-4
    missed = np.abs(constants[0] + np.exp(trials.spent @ directions[0]) - trials.losses[:, 0])
    mean = np.where(missed <= 0.02, missed**2 / 2, 0.02 * (missed - 0.01)).mean()
    assert abs(mean / huber - 1) < 2e-4


@pytest.mark.parametrize("name", PUBLISHED)
def test_fitting_all_numbers_together_is_never_worse(name: str) -> None:
    trials = two(PUBLISHED[name][1])

    def huber(variant: str) -> float:
        found = MixtureLaw(variant=variant).forecast(trials, trials.spent, RNG)  # type: ignore[arg-type]
        return float(((found - trials.losses) ** 2).sum())  # all miss by less than delta

    assert huber("paper") <= huber("reference") * (1 + 1e-9)


def test_planted_numbers_are_found() -> None:
    trials, constants, directions = planted()
    found = MixtureLaw()._fitted(trials)
    np.testing.assert_allclose(found[0], constants, atol=1e-4)
    np.testing.assert_allclose(found[1], directions, atol=1e-3)


def test_k_and_t_are_one_vector() -> None:
    # k exp(t . r) with k = 3 is exp(u . r) with u = t + log 3: shares sum to one, so nothing else can be learnt.
    t, spent = np.array([-1.0, 0.5, 0.0]), np.random.default_rng(1).dirichlet(np.ones(3), 20)
    trials = Trials(tuple("abc"), spent, (1 + 3 * np.exp(spent @ t))[:, None])
    np.testing.assert_allclose(MixtureLaw()._fitted(trials)[1][0], t + np.log(3), atol=1e-3)


def test_some_trials_that_went_wrong_do_not_bend_the_law() -> None:
    (trials, constants, directions), fresh = planted(60, outliers=5), np.random.default_rng(9).dirichlet(np.ones(4), 50)
    truth = constants + np.exp(fresh @ directions.T)

    def missed(delta: float) -> float:
        return float(np.abs(MixtureLaw(delta=delta).forecast(trials, fresh, RNG) - truth).max())

    assert missed(0.02) < 0.05 < missed(1e6)  # at a million Huber's loss is the square


def test_the_smallest_loss_is_never_the_constant() -> None:
    trials = two(PUBLISHED["GitHub at 10k steps"][1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the logarithm of zero
        constants, _ = MixtureLaw(variant="reference", grid=50)._fitted(trials)
    assert constants[0] < trials.losses.min()


@pytest.mark.parametrize("spent", [np.eye(3), np.tile([[0.2, 0.3, 0.5]], (9, 1))], ids=["few", "all alike"])
def test_trials_that_cannot_tell_are_refused(spent: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"at least 4 trials of different mixtures for 3 domains.*try more mixtures"):
        MixtureLaw().forecast(Trials(tuple("abc"), spent, np.ones((len(spent), 1))), spent, RNG)


def test_a_domain_in_no_trial_is_no_better_than_the_worst() -> None:
    trials, *_ = planted()
    wider = Trials((*trials.names, "e"), np.column_stack([trials.spent, np.zeros(len(trials))]), trials.losses)
    _, directions = MixtureLaw()._fitted(wider)
    np.testing.assert_allclose(directions[:, 4], directions[:, :4].max(1))
    assert MixtureLaw().weights(wider, np.full(5, 0.6), RNG).weights[4] < 1e-6


# --- The answer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_no_mixture_of_a_grid_is_lower(seed: int) -> None:
    rng = np.random.default_rng(seed)
    directions, caps = rng.normal(0, 3, (3, 3)), np.array([0.5, 0.8, 0.4])
    grid = np.array([[a, b, 100 - a - b] for a, b in product(range(51), range(81)) if 0 <= 100 - a - b <= 40]) / 100
    found = lowest(directions, caps)
    assert (found <= caps + 1e-12).all() and (found >= 0).all() and abs(found.sum() - 1) < 1e-12
    value = np.exp(directions @ found).mean()
    assert value <= np.exp(grid @ directions.T).mean(1).min() * (1 + 1e-9)


def test_one_loss_is_lowest_in_a_corner() -> None:
    directions, caps = np.array([[-2.0, 0.3, -5.0, 1.0]]), np.array([0.5, 1.0, 0.3, 1.0])
    np.testing.assert_allclose(lowest(directions, caps), [0.5, 0.2, 0.3, 0.0], atol=1e-12)


def test_two_losses_meet_where_their_slopes_cancel() -> None:
    # exp(-2 r) + exp(1.5 r - 1) in r, the share of the first domain: r = (1 + log(2 / 1.5)) / 3.5
    found = lowest(np.array([[-2.0, 0.0], [0.5, -1.0]]), np.ones(2))
    assert abs(found[0] - (1 + np.log(2 / 1.5)) / 3.5) < 1e-6


def test_the_answer_keeps_within_limits_and_is_the_law_s_lowest_point() -> None:
    trials, _, directions = planted()
    limits = np.array([0.3, 0.35, 0.3, 4.0])
    answer = MixtureLaw().weights(trials, limits, RNG)
    assert (answer.weights <= limits + 1e-12).all()
    np.testing.assert_allclose(answer.weights, lowest(directions, limits), atol=5e-3)


# --- Proposals ----------------------------------------------------------------------------------------------------------


def test_parts_are_halvings_but_for_one_that_takes_the_rest() -> None:
    domains, method = Mixture(tuple("abcd"), np.array([0.02, 0.08, 0.4, 0.5])), MixtureLaw(tried=200, caps=5)
    found = np.stack([m.weights for m in method.propose(domains, None, np.random.default_rng(0))])
    most = np.minimum(1, 5 * domains.weights)
    assert len(found) == 200 == len({row.tobytes() for row in found}) and (found <= most + 1e-9).all()
    halvings = np.log2(most / np.where(found > 0, found, most))
    on_ladder = (found == 0) | (np.abs(halvings - np.round(halvings)) < 1e-6)
    assert (on_ladder.sum(1) >= 3).all()
    assert found[found > 0].min() >= 1 / 128 / 2 - 1e-9 or (on_ladder.sum(1) == 3).any()
    assert 40 <= (found == 0).any(1).sum() <= 60  # a quarter lacks some domain


def test_a_domain_without_data_is_in_no_proposal() -> None:
    found = MixtureLaw().propose(Mixture(tuple("abc"), np.array([0.0, 0.5, 0.5])), None, np.random.default_rng(0))
    assert len(found) >= 8 and all(mixture.weights[0] == 0 for mixture in found)


def test_proposals_are_enough_to_fit_the_law() -> None:
    domains = Mixture(tuple("abcdef"), np.array([0.01, 0.04, 0.1, 0.15, 0.3, 0.4]))
    spent = np.stack([m.weights for m in MixtureLaw(tried=12).propose(domains, None, np.random.default_rng(0))])
    assert np.linalg.matrix_rank(spent) == 6


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RecipeError, match="variant must be paper or reference; got 'law'"):
        MixtureLaw(variant="law")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="delta above 0; got 32, 15, 128, 1000 and 0"):
        MixtureLaw(delta=0)
