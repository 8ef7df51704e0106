"""RegMix against the authors' own runs and closed forms, and what one might get wrong.

goldens/regmix_runs.csv.gz are the 512 training and 256 test runs at one million parameters that the authors publish under the MIT
licence (https://github.com/sail-sg/regmix, data/*_1m.csv), joined on their `index`; `bench/prove_mixtures.py --golden` makes it.
"""

from __future__ import annotations

import gzip
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.errors import InputError, MissingExtra, RecipeError
from assay.mix.regmix import RegMix, _drawn, whole_parts
from assay.types import Mixture, Trials

GOLDEN = Path(__file__).parent.parent / "goldens" / "regmix_runs.csv.gz"
# Printed by the authors' notebook (regression_fitting/regression.ipynb), in the order of the columns.
SPEARMAN = [99.6, 99.71, 99.08, 99.45, 97.2, 99.77, 99.73, 99.18, 98.92, 96.87, 98.51, 99.19, 99.12]
PRIOR = np.array([
    0.11328527, 0.07960865, 0.00391349, 0.1853759, 0.05108136, 0.01596293, 0.10175077, 0.00370752, 0.06652935, 0.00175077,
    0.02708548, 0.23686921, 0.01184346, 0.00792997, 0.00803296, 0.03882595, 0.04644696,
])  # fmt: skip
PILE_CC, OPTIMUM = 8, {"pile_cc": 0.890924344, "ubuntu_irc": 0.0614285142, "pubmed_abstracts": 0.0123006293}


@cache
def published() -> tuple[Trials, np.ndarray]:
    """All 768 runs, those for testing last, and which they are."""
    table = pl.read_csv(gzip.decompress(GOLDEN.read_bytes()))
    names = tuple(name.removeprefix("weight:") for name in table.columns if name.startswith("weight:"))
    spent = table.select(pl.col("^weight:.*$").cast(pl.Float64)).to_numpy()
    losses = table.select(pl.col("^loss:.*$").cast(pl.Float64)).to_numpy()
    return Trials(names, spent, losses), (table["set"] == "test").to_numpy()


def ranks(values: np.ndarray) -> np.ndarray:
    """Average ranks; 256 numbers compared each with each."""
    return (values[:, None] > values).sum(1) + ((values[:, None] == values).sum(1) + 1) / 2


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def quadratic(domains: Mixture, best: list[float], tried: int = 200, seed: int = 0) -> Trials:
    mixtures = RegMix(tried=tried).propose(domains, None, np.random.default_rng(seed))
    spent = np.stack([mixture.weights for mixture in mixtures])
    return Trials(domains.domains, spent, ((spent - best) ** 2).sum(1, keepdims=True))


# --- Published numbers --------------------------------------------------------------------------------------------------


def test_the_thirteen_published_rank_correlations() -> None:
    trials, test = published()
    method = RegMix(variant="reference", held=test.mean())
    found = method.forecast(trials, trials.spent[test], np.random.default_rng(0))
    got = [round(100 * spearman(found[:, at], trials.losses[test, at]), 2) for at in range(13)]
    assert got == SPEARMAN


def test_the_published_optimum() -> None:
    trials, test = published()
    pile_cc = Trials(trials.names, trials.spent, trials.losses[:, [PILE_CC]])
    method, legacy = RegMix(variant="reference", held=test.mean()), np.random.RandomState(42)
    # The notebook draws from NumPy's old generator; limits in proportion to the prior, far above what is asked, say the prior.
    answer = method.weights(pile_cc, PRIOR * 1e4, legacy)  # type: ignore[arg-type]
    got = {name: answer.weights[trials.names.index(name)] for name in OPTIMUM}
    assert all(abs(got[name] / weight - 1) < 1e-8 for name, weight in OPTIMUM.items()), got


# --- Proposals ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proposed() -> np.ndarray:
    domains = Mixture(tuple(f"d{k}" for k in range(17)), PRIOR / PRIOR.sum())
    return np.stack([mixture.weights for mixture in RegMix().propose(domains, None, np.random.default_rng(3))])


def test_proposals_are_distinct_and_whole_parts_that_sum_to_one(proposed: np.ndarray) -> None:
    assert len(proposed) == 512 == len({row.tobytes() for row in proposed})
    parts = proposed * 5000
    np.testing.assert_allclose(parts, np.round(parts), atol=1e-9)
    np.testing.assert_allclose(proposed.sum(1), 1, atol=1e-12)


def test_rounding_part_by_part_would_not_sum_to_one() -> None:
    thirds = np.array([[1 / 3, 1 / 3, 1 / 3]])
    assert np.round(thirds * 5000).sum() == 5001 and whole_parts(thirds).sum() == 5000
    trials, _ = published()
    assert np.abs(trials.spent.sum(1) - 1).max() > 0.002  # so it is in the authors' own runs


def test_proposals_keep_below_fifteen_times_the_prior(proposed: np.ndarray) -> None:
    assert (proposed <= 15 * PRIOR + 1e-3).all()
    free = RegMix(caps=1e9).propose(
        Mixture(tuple("abc"), np.array([0.001, 0.3, 0.699])), None, np.random.default_rng(0)
    )
    assert max(mixture.weights[0] for mixture in free) > 0.1


def test_tempered_draws_have_the_moments_of_their_formula() -> None:
    prior = np.array([0.04, 0.32, 0.64])
    drawn, q = _drawn(prior, 200_000, np.random.default_rng(0)), np.sqrt(prior) / np.sqrt(prior).sum()
    strengths = 10 ** np.linspace(-1, np.log10(5), 15)
    np.testing.assert_allclose(drawn.mean(0), q, atol=0.005)
    np.testing.assert_allclose(drawn.var(0), q * (1 - q) * (1 / (1 + strengths)).mean(), rtol=0.02)


def test_a_domain_without_data_or_with_next_to_none_does_no_harm() -> None:
    domains = Mixture(tuple("abcd"), np.array([0.0, 1e-12, 0.4, 0.6 - 1e-12]))
    found = np.stack([m.weights for m in RegMix(tried=50).propose(domains, None, np.random.default_rng(0))])
    assert np.isfinite(found).all() and not found[:, :2].any() and len(found) == 50


def test_one_domain_allows_one_mixture() -> None:
    found = RegMix().propose(Mixture(("web",), np.ones(1)), None, np.random.default_rng(0))
    assert [mixture.weights.tolist() for mixture in found] == [[1.0]]


def test_reference_rounds_part_by_part_and_still_gives_mixtures() -> None:
    domains = Mixture(tuple("abc"), np.array([0.2, 0.3, 0.5]))
    found = RegMix(tried=100, variant="reference").propose(domains, None, np.random.default_rng(0))
    parts = np.stack([mixture.weights for mixture in found]) * 5000
    assert (np.abs(parts - np.round(parts)).max(1) > 1e-6).any()  # scaled afterwards


# --- Answers ------------------------------------------------------------------------------------------------------------

DOMAINS = Mixture(("code", "law", "web"), np.array([0.2, 0.3, 0.5]))


def test_the_answer_is_near_the_best_mixture() -> None:
    trials = quadratic(DOMAINS, [0.6, 0.3, 0.1])
    answer = RegMix(samples=5_000, best=32).weights(trials, np.array([2.0, 3.0, 5.0]), np.random.default_rng(0))
    assert np.abs(answer.weights - [0.6, 0.3, 0.1]).max() < 0.1


def test_limits_bind_and_the_rest_goes_where_it_is_best() -> None:
    trials = quadratic(DOMAINS, [0.6, 0.3, 0.1])
    limits = np.array([0.2, 0.7, 5.0])
    answer = RegMix(samples=5_000, best=32).weights(trials, limits, np.random.default_rng(0))
    # Nearest to (0.6, 0.3, 0.1) with at most 0.2 of code: what code lacks goes to both others alike.
    assert (answer.weights <= limits).all() and np.abs(answer.weights - [0.2, 0.5, 0.3]).max() < 0.1


def test_limits_that_leave_no_choice_are_the_answer() -> None:
    limits = np.array([0.25, 0.25, 0.5])
    answer = RegMix(samples=500, best=8).weights(quadratic(DOMAINS, [1, 0, 0]), limits, np.random.default_rng(0))
    np.testing.assert_allclose(answer.weights, limits, atol=1e-12)


@pytest.mark.parametrize("limits", [np.array([2.0, 3.0, 5.0]), np.full(3, np.inf)])
def test_samples_come_from_the_domains_shares_or_from_the_mean_trial(limits: np.ndarray) -> None:
    trials = quadratic(DOMAINS, [1.0, 0.0, 0.0])
    everything = RegMix(samples=20_000, best=20_000, rounds=1)  # the mean of all samples is the Dirichlet's own
    answer = everything.weights(trials, limits, np.random.default_rng(0))
    expected = DOMAINS.weights if np.isfinite(limits).all() else trials.spent.mean(0)
    np.testing.assert_allclose(answer.weights, expected, atol=0.01)


def test_the_mean_of_several_losses_counts() -> None:
    trials = quadratic(DOMAINS, [1.0, 0.0, 0.0])
    both = Trials(trials.names, trials.spent, np.stack([trials.spent[:, 0], -3 * trials.spent[:, 0]], axis=1))
    answer = RegMix(samples=3_000, best=32).weights(both, np.full(3, np.inf), np.random.default_rng(0))
    assert answer.weights[0] > 0.8  # the second loss falls faster than the first rises


def test_paper_learns_from_all_trials_and_reference_not_from_the_last() -> None:
    trials = quadratic(DOMAINS, [0.6, 0.3, 0.1])
    losses = trials.losses.copy()
    losses[-40:] += 100  # the held-out fifth of the reference
    shifted, rng = Trials(trials.names, trials.spent, losses), np.random.default_rng(0)
    assert RegMix(variant="reference").forecast(shifted, trials.spent, rng).max() < 2
    assert RegMix().forecast(shifted, trials.spent, rng).max() > 2


def test_too_few_trials_are_refused_with_what_to_do() -> None:
    trials = quadratic(DOMAINS, [0.6, 0.3, 0.1], tried=49)
    with pytest.raises(InputError, match=r"at least 50 trials.*got 49.*data_mixing_law"):
        RegMix().weights(trials, np.ones(3), np.random.default_rng(0))


def test_the_least_number_of_trials_is_enough_to_tell_them_apart() -> None:
    trials = quadratic(DOMAINS, [0.6, 0.3, 0.1], tried=50)
    assert np.ptp(RegMix().forecast(trials, trials.spent, np.random.default_rng(0))) > 0


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"variant": "code"}, "variant must be paper or reference; got 'code'"),
        ({"best": 10, "samples": 5}, "best from 1 to samples"),
        ({"held": 1.0}, "held must be a share of the trials between 0 and 1; got 1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        RegMix(**parameters)


def test_without_lightgbm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtra, match="the extra 'mix'"):
        RegMix().forecast(quadratic(DOMAINS, [1, 0, 0]), np.eye(3), np.random.default_rng(0))
