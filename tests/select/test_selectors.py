"""What is peculiar to each selector: a closed form, a brute force, or a test of its distribution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from assay.errors import RecipeError
from assay.kernels.draws import uniform
from assay.select.gumbel_top_k import GumbelTopK
from assay.select.length import Length
from assay.select.percentile import Percentile
from assay.select.random import Random
from assay.select.threshold import Threshold
from assay.select.top_k import TopK
from assay.select.uniform_per_domain import UniformPerDomain
from assay.types import Groups, Limit, Signals


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def examples(k: int, n: int) -> Limit:
    return Limit(k, "examples", np.ones(n, np.int64))


def hashes(n: int, seed: int = 0) -> np.ndarray:
    return rng(seed).integers(0, 2**64, n, np.uint64)


# --- top_k, length ----------------------------------------------------------------------------------------------------


def test_top_k_is_the_best_of_all_subsets():
    score = rng(1).normal(size=9)
    rows = TopK().select(Signals({"score": score}), None, examples(4, 9), rng()).rows
    best = max(itertools.combinations(range(9), 4), key=lambda chosen: score[list(chosen)].sum())
    assert set(rows.tolist()) == set(best)


def test_equal_scores_keep_row_order():
    signals = Signals({"score": np.array([1.0, 2, 1, 2, 1]), "bytes": np.array([5, 6, 5, 6, 5])})
    assert TopK().select(signals, None, examples(5, 5), rng()).rows.tolist() == [1, 3, 0, 2, 4]
    assert Length().select(signals, None, examples(5, 5), rng()).rows.tolist() == [1, 3, 0, 2, 4]
    assert Length(first="shortest").select(signals, None, examples(5, 5), rng()).rows.tolist() == [0, 2, 4, 1, 3]
    with pytest.raises(RecipeError, match="'longest' or 'shortest'; got 'middle'"):
        Length(first="middle")  # type: ignore[arg-type]


# --- gumbel_top_k -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_gumbel_draw_frequencies_equal_softmax(temperature: float):
    score, draws = np.array([0.0, 0.5, 1.0, 2.0, -1.0]), 6_000
    first = np.zeros(5)
    signals = Signals({"score": score, "row_hash": hashes(5)})
    for seed in range(draws):
        first[GumbelTopK(temperature).select(signals, None, examples(1, 5), rng(seed)).rows[0]] += 1
    odds = np.exp(score / temperature)
    assert stats.chisquare(first, draws * odds / odds.sum()).pvalue > 1e-3


def test_gumbel_pairs_are_drawn_without_replacement():
    score, draws = np.array([0.0, 1.0, 2.0]), 6_000
    odds = np.exp(score) / np.exp(score).sum()
    expected = {(i, j): odds[i] * odds[j] / (1 - odds[i]) for i, j in itertools.permutations(range(3), 2)}
    found = dict.fromkeys(expected, 0)
    signals = Signals({"score": score, "row_hash": hashes(3, 7)})
    for seed in range(draws):
        found[tuple(GumbelTopK().select(signals, None, examples(2, 3), rng(seed)).rows.tolist())] += 1
    assert stats.chisquare(list(found.values()), [draws * share for share in expected.values()]).pvalue > 1e-3


def test_gumbel_over_many_rows_in_one_draw_follows_softmax():
    # 40,000 rows of two scores: the share of the high ones among the first few is their share of the softmax mass.
    score, n = np.repeat([0.0, 1.0], 20_000), 40_000
    rows = GumbelTopK().select(Signals({"score": score, "row_hash": hashes(n)}), None, examples(1000, n), rng(3)).rows
    high = int((score[rows] == 1).sum())
    share = np.e / (1 + np.e)
    assert (
        abs(high - 1000 * share) < 4 * np.sqrt(1000 * share * (1 - share)) + 15
    )  # 15: the mass that the first rows took away


def test_a_low_temperature_is_top_k_and_a_high_one_is_random():
    score, n = rng(2).normal(size=200), 200
    signals = Signals({"score": score, "row_hash": hashes(n)})
    top = TopK().select(signals, None, examples(20, n), rng()).rows
    assert GumbelTopK(1e-6).select(signals, None, examples(20, n), rng()).rows.tolist() == top.tolist()
    hot = GumbelTopK(1e6).select(signals, None, examples(20, n), rng()).rows
    assert len(set(hot.tolist()) & set(top.tolist())) < 10
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(RecipeError, match="temperature must be above 0"):
            GumbelTopK(temperature)


# --- random -----------------------------------------------------------------------------------------------------------


def test_random_takes_every_row_equally_often():
    taken = np.zeros(20)
    signals = Signals({"row_hash": hashes(20)})
    for seed in range(4000):
        taken[Random().select(signals, None, examples(5, 20), rng(seed)).rows] += 1
    assert stats.chisquare(taken).pvalue > 1e-3


def test_a_draw_follows_the_row_and_not_its_place():
    order, row_hash = rng(5).permutation(50), hashes(50)
    straight = Random().select(Signals({"row_hash": row_hash}), None, examples(10, 50), rng()).rows
    shuffled = Random().select(Signals({"row_hash": row_hash[order]}), None, examples(10, 50), rng()).rows
    assert order[shuffled].tolist() == straight.tolist()


def test_a_byte_budget_takes_the_longest_prefix_of_the_same_order():
    sizes, row_hash = rng(6).integers(1, 100, 50), hashes(50)
    whole = Random().select(Signals({"row_hash": row_hash}), None, examples(50, 50), rng()).rows
    part = Random().select(Signals({"row_hash": row_hash}), None, Limit(500, "bytes", sizes), rng()).rows
    assert part.tolist() == whole[: len(part)].tolist()
    assert sizes[part].sum() <= 500 < sizes[whole[: len(part) + 1]].sum()


# --- threshold, percentile --------------------------------------------------------------------------------------------


def test_a_threshold_takes_what_reaches_it_and_names_itself_for_the_rest():
    score = np.array([3.0, 1.0, 2.0, 2.0, 0.5])
    made = Threshold(at_least=2).select(Signals({"score": score}), None, examples(5, 5), rng())
    assert made.rows.tolist() == [0, 2, 3]
    assert {reason: rows.tolist() for reason, rows in made.reasons.items()} == {"threshold: score below 2": [1, 4]}
    short = Threshold(at_least=2).select(Signals({"score": score}), None, examples(2, 5), rng())
    assert short.rows.tolist() == [0, 2] and short.upto(examples(1, 5)).rows.tolist() == [0]


@pytest.mark.parametrize("at_least", [0, 10, 33.3, 50, 90, 99, 100])
def test_a_percentile_passes_its_share(at_least: float):
    score = rng(3).permutation(1000).astype(float)
    made = Percentile(at_least).select(Signals({"score": score}), None, examples(1000, 1000), rng())
    cut = sorted(score.tolist())[max(int(np.ceil(at_least * 10)) - 1, 0)]
    assert sorted(made.rows.tolist()) == np.flatnonzero(score >= cut).tolist()
    assert len(made) >= 1000 * (1 - at_least / 100)


def test_ties_at_a_percentile_pass_together_and_nothing_is_no_crash():
    tied = Signals({"score": np.array([1.0, 2, 2, 2])})
    assert sorted(Percentile(75).select(tied, None, examples(4, 4), rng()).rows.tolist()) == [1, 2, 3]
    for selector in (Percentile(75), Threshold(), TopK(), GumbelTopK()):
        nothing = Signals({"score": np.zeros(0), "row_hash": np.zeros(0, np.uint64)})
        assert len(selector.select(nothing, None, examples(3, 0), rng())) == 0
    with pytest.raises(RecipeError, match="between 0 and 100"):
        Percentile(101)


# --- uniform_per_domain -----------------------------------------------------------------------------------------------


def test_every_domain_gets_the_same_and_a_small_one_gives_the_rest_to_others():
    groups = Groups(np.repeat([0, 1, 2], [100, 100, 5]), ("a", "b", "c"))
    signals = Signals({"row_hash": hashes(205)})
    for k, expected in ((9, [3, 3, 3]), (15, [5, 5, 5]), (45, [20, 20, 5]), (205, [100, 100, 5])):
        rows = UniformPerDomain().select(signals, groups, examples(k, 205), rng()).rows
        assert np.bincount(groups.ids[rows], minlength=3).tolist() == expected
    with pytest.raises(RecipeError, match="--source-field"):
        UniformPerDomain().select(signals, None, examples(5, 205), rng())


def test_domains_grow_side_by_side_in_bytes():
    groups = Groups(np.tile([0, 1], 200), ("long", "short"))
    sizes = np.tile([100, 10], 200)
    rows = (
        UniformPerDomain().select(Signals({"row_hash": hashes(400)}), groups, Limit(3000, "bytes", sizes), rng()).rows
    )
    spent = [int(sizes[rows[groups.ids[rows] == group]].sum()) for group in (0, 1)]
    assert sum(spent) <= 3000 and abs(spent[0] - spent[1]) <= 110
    inside = [row for row in rows.tolist() if groups.ids[row] == 1]
    assert inside != sorted(inside)


# --- Choosing a little of much: no row is sorted that cannot be reached ---------------------------------------------------


@pytest.mark.parametrize("share", [0.001, 0.03, 0.3, 0.9])
@pytest.mark.parametrize("unit", ["examples", "bytes"])
def test_the_best_under_a_limit_are_a_prefix_of_all_in_order(unit: str, share: float):
    for seed in range(20):
        keys = np.round(rng(seed).normal(size=500), 1)  # many ties
        cost = np.broadcast_to(np.int64(1), 500) if unit == "examples" else rng(seed).integers(1, 1000, 500) ** 2
        limit = Limit(max(1, int(share * cost.sum())), unit, cost)
        assert limit.best(keys).tolist() == limit.prefix(np.argsort(-keys, kind="stable")).tolist()


@pytest.mark.parametrize("share", [0.001, 0.03, 0.3, 0.9])
@pytest.mark.parametrize("unit", ["examples", "bytes"])
def test_domains_fill_up_side_by_side_as_if_all_rows_were_ordered(unit: str, share: float):
    for seed in range(20):
        ids = rng(seed).choice(9, 800, p=rng(seed).dirichlet(np.full(9, 0.5))).astype(np.int32)
        cost = np.broadcast_to(np.int64(1), 800) if unit == "examples" else rng(seed).integers(1, 1000, 800)
        limit, groups = Limit(max(1, int(share * cost.sum())), unit, cost), Groups(ids, tuple("abcdefghi"))
        signals = Signals({"row_hash": hashes(800, seed)})
        rows = UniformPerDomain().select(signals, groups, limit, rng(seed)).rows
        keys = uniform(int(rng(seed).integers(2**63)), signals["row_hash"])
        inside = np.lexsort((keys, ids))
        within = np.concatenate([np.cumsum(cost[inside[ids[inside] == domain]]) for domain in range(9)])
        assert rows.tolist() == limit.prefix(inside[np.argsort(within, kind="stable")]).tolist()
