"""Coverage-centric selection: strata and budgets against enumeration, the cut, and the defects of the released code."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from assay.errors import RecipeError
from assay.select.ccs import Ccs, strata_of
from assay.types import Groups, Limit, Selection, Signals


def choose(
    method: Ccs, score: np.ndarray, amount: int, seed: int = 0, groups: Groups | None = None, **others: np.ndarray
) -> Selection:
    """What is chosen of rows that cost one each; what it is given cannot be written into."""
    columns = {"score": score, "row_hash": np.arange(len(score), dtype=np.uint64) * np.uint64(977), **others}
    for column in columns.values():
        column.flags.writeable = False
    limit = Limit(amount, "examples", np.ones(len(score), np.int64))
    return method.select(Signals(columns), groups, limit, np.random.default_rng(seed))


def fairest(sizes: tuple[int, ...], amount: int) -> list[int]:
    """By enumeration: of all ways to spend the amount (or all there is), the one whose least share is largest, then the next."""
    ways = itertools.product(*(range(size + 1) for size in sizes))
    spent = min(amount, sum(sizes))
    return max(sorted(way) for way in ways if sum(way) == spent)


@pytest.mark.parametrize("sizes", [(3, 3, 3), (1, 5, 4), (4, 0, 2), (1, 1, 6), (2, 3, 0, 4), (5, 1, 2, 3)])
def test_budgets_are_water_filling_by_enumeration(sizes: tuple[int, ...]) -> None:
    score = np.repeat(np.arange(len(sizes), dtype=np.float64), sizes)
    assert np.bincount(strata_of(score, len(sizes), "paper"), minlength=len(sizes)).tolist() == list(sizes)
    for amount in range(1, sum(sizes) + 3):
        rows = choose(Ccs(beta=0.0, strata=len(sizes)), score, amount).rows
        shares = np.bincount(score[rows].astype(int), minlength=len(sizes))
        assert sorted(shares.tolist()) == fairest(sizes, amount), amount
        assert (shares <= sizes).all()


def test_strata_are_of_equal_width_not_of_equal_count() -> None:
    score = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 10.0])
    assert strata_of(score, 5, "paper").tolist() == [0] * 9 + [4]
    assert 9 in choose(Ccs(beta=0.0, strata=5), score, 2).rows, (
        "a stratum of one row gives it before others give a second"
    )


def test_the_cut_takes_the_lowest_margins_of_the_whole_whatever_the_score() -> None:
    rng = np.random.default_rng(1)
    score, margin = rng.random(40), rng.normal(size=40)
    choice = choose(Ccs(beta=0.3, strata=4, margin="aum"), score, 40, aum=margin)
    lowest = set(np.argsort(margin)[:12].tolist())
    assert len(choice) == 28 and not lowest & set(choice.rows.tolist())
    assert {reason: set(rows.tolist()) for reason, rows in choice.reasons.items()} == {
        "ccs: among the lowest accumulated margins": lowest
    }
    own = choose(Ccs(beta=0.3, strata=4), score, 40)
    assert set(own.rows.tolist()) == set(np.argsort(score)[12:].tolist()), "without one the score is the margin"


@pytest.mark.parametrize(("beta", "amount"), [(0.0, 7), (0.1, 50), (0.3, 69), (0.3, 70), (0.3, 100), (0.59, 90)])
def test_it_takes_the_budget_or_all_survivors(beta: float, amount: int) -> None:
    score = np.random.default_rng(2).normal(size=100)
    assert len(choose(Ccs(beta=beta), score, amount)) == min(amount, 100 - int(beta * 100 + 1e-9))


def test_the_reference_loses_the_top_of_scores_below_zero_and_the_paper_does_not() -> None:
    score = np.concatenate([np.linspace(-5000.0, -1001.0, 30), [-1000.05, -1000.0]])
    paper, reference = (choose(Ccs(beta=0.0, variant=name), score, 32) for name in ("paper", "reference"))
    assert len(paper) == 32 and not paper.reasons
    assert reference.reasons["ccs: above the last stratum of the reference"].tolist() == [30, 31]
    assert len(choose(Ccs(beta=0.0, variant="reference"), -score, 32)) == 32, "of scores above zero it loses none"
    equal = np.full(6, -2.0)
    assert len(choose(Ccs(beta=0.0), equal, 4)) == 4 and not len(choose(Ccs(beta=0.0, variant="reference"), equal, 4))


def test_classes_get_budgets_by_their_own_size() -> None:
    classes = np.array([0] * 60 + [1] * 30 + [2] * 10)
    score = np.random.default_rng(3).normal(size=100) + 3 * (classes == 2)
    groups = Groups(classes, ("a", "b", "c"))
    choice = choose(Ccs(beta=0.0, strata=5, balance="class"), score, 20, groups=groups)
    assert np.bincount(classes[choice.rows]).tolist() == [12, 6, 2]
    assert len(choose(Ccs(beta=0.2, balance="class"), score, 100, groups=groups)) == 80
    with pytest.raises(RecipeError, match="--source-field"):
        choose(Ccs(balance="class"), score, 20)


def test_rows_of_a_stratum_are_equally_likely_and_placed_nowhere() -> None:
    score = np.repeat([0.0, 1.0], 10)
    drawn = Counter(int(row) for seed in range(600) for row in choose(Ccs(beta=0.0, strata=2), score, 6, seed).rows)
    assert all(130 <= drawn[row] <= 230 for row in range(20)), "3 of 10, 600 times: 180, give or take 11"
    order = np.random.default_rng(4).permutation(20)
    method, limit = Ccs(beta=0.25, strata=2), Limit(5, "examples", np.ones(20, np.int64))
    score, hashes = np.arange(20.0), np.arange(20, dtype=np.uint64)
    one = method.select(Signals({"score": score, "row_hash": hashes}), None, limit, np.random.default_rng(5))
    two = method.select(
        Signals({"score": score[order], "row_hash": hashes[order]}), None, limit, np.random.default_rng(5)
    )
    assert sorted(one.rows.tolist()) == sorted(order[two.rows].tolist())


def test_bytes_stay_within_the_budget_and_use_most_of_it() -> None:
    rng = np.random.default_rng(6)
    cost = rng.integers(1, 50, 200)
    score = rng.normal(size=200)
    limit = Limit(1000, "bytes", cost)
    signals = Signals({"score": score, "row_hash": np.arange(200, dtype=np.uint64)})
    rows = Ccs(beta=0.1, strata=5).select(signals, None, limit, np.random.default_rng(0)).rows
    assert 1000 - 50 < cost[rows].sum() <= 1000


@pytest.mark.parametrize("wrong", [{"beta": 1.0}, {"strata": 0}, {"variant": "code"}, {"balance": "yes"}])
def test_mistakes_are_sentences(wrong: dict) -> None:
    with pytest.raises(RecipeError, match=r"ccs: .*got"):
        Ccs(**wrong)
