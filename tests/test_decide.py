"""From numbers to a choice: budgets, expressions over signals, quotas against brute force, reasons that stay right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay import expressions, quotas
from assay.decide import decide, limit_for
from assay.errors import RecipeError
from assay.recipe import Step, Target
from assay.select.random import Random
from assay.select.threshold import Threshold
from assay.select.top_k import TopK
from assay.types import Budget, Groups, Limit, Selection, Signals

# --- Budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, amount, unit",
    [
        ("5000", 5000, "examples"), ("10%", 100, "examples"), ("100%", 1000, "examples"), ("0.1%", 1, "examples"),
        ("1_000", 1000, "examples"), ("33.3%", 333, "examples"), ("29%", 290, "examples"), ("7 rows", 7, "examples"),
        ("500B", 500, "bytes"), ("5kB", 5000, "bytes"), ("1.5KB", 1500, "bytes"), ("10%bytes", 2000, "bytes"),
        ("10% bytes", 2000, "bytes"), ("1e3tokens", 1000, "tokens"), ("2k tokens", 2000, "tokens"),
    ],
)  # fmt: skip
def test_a_budget_in_whole_units(text: str, amount: int, unit: str):
    budget = Budget.parse(text)
    assert budget.unit == unit and budget.limit({"examples": 1000, "bytes": 20_000, "tokens": 5000}[unit]) == amount


@pytest.mark.parametrize(
    "text",
    ["", "ten", "-5", "0", "0%", "101%", "5 apples", "10%%", "1e", "nan", "inf", "5%rowss", "1..5", "1.2.3", "1e999"],
)
def test_what_is_no_budget_is_refused(text: str):
    with pytest.raises(RecipeError, match="a budget must"):
        Budget.parse(text)


@given(costs=st.lists(st.integers(0, 50), min_size=1, max_size=30), amount=st.integers(0, 400), seed=st.integers(0, 99))
def test_the_longest_prefix_that_fits(costs: list[int], amount: int, seed: int):
    order = np.random.default_rng(seed).permutation(len(costs))
    kept = Limit(amount, "bytes", np.array(costs)).prefix(order)
    spent = np.cumsum(np.array(costs)[order])
    assert kept.tolist() == order[: len(kept)].tolist()
    assert (len(kept) == 0 or spent[len(kept) - 1] <= amount) and (len(kept) == len(costs) or spent[len(kept)] > amount)


def test_a_budget_above_the_pool_or_below_a_row_is_refused():
    signals, readable = Signals({"bytes": np.array([10, 20, 999])}), np.array([True, True, False])
    assert limit_for(Budget.parse("30B"), signals, readable).amount == 30
    with pytest.raises(RecipeError, match=r"budget of 31 bytes is larger than the pool, which holds 30"):
        limit_for(Budget.parse("31B"), signals, readable)
    with pytest.raises(RecipeError, match="less than one"):
        limit_for(Budget.parse("10%"), signals, readable)


# --- Expressions ------------------------------------------------------------------------------------------------------

COLUMNS = {
    "a": np.array([1.0, 2.0, 3.0, np.nan]),
    "n": np.array([4, 3, 2, 1]),
    "meta.edu": np.array([0.0, 10.0, 20.0, 30.0]),
    "dsir:code": np.array([5.0, 5.0, 5.0, 6.0]),
    "source": np.array(["web", "code", "web", ""], object),
}


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("a + 1", [2, 3, 4, np.nan]),
        ("meta.edu / 10 - n", [-4, -2, 0, 2]),
        ("a + meta.edu * 0.5", [1, 7, 13, np.nan]),
        ("dsir:code", [5, 5, 5, 6]),
        ('"dsir:code" * 2', [10, 10, 10, 12]),
        ("CASE WHEN n > 2 THEN 1 ELSE 0 END", [1, 1, 0, 0]),
        ("zscore(n)", [1.3416407864998738, 0.4472135954999579, -0.4472135954999579, -1.3416407864998738]),
        ("zscore(a)", [-1.224744871391589, 0, 1.224744871391589, np.nan]),
        ("percent_rank(n)", [1, 2 / 3, 1 / 3, 0]),
        ("percent_rank(a)", [0, 0.5, 1, np.nan]),
        ("zscore(n) - ZScore( n + 1 ) + (2)", [2, 2, 2, 2]),
        ("zscore(zscore(n) + percent_rank(n)) - zscore(n)", [0, 0, 0, 0]),
        ("abs(-n)", [4, 3, 2, 1]),
        ("3", [3, 3, 3, 3]),
    ],
)
def test_an_expression_over_signals(expression: str, expected: list[float]):
    np.testing.assert_allclose(expressions.evaluate(expression, COLUMNS).astype(float), expected, atol=1e-12)


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("a > 1", [False, True, True, False]),
        ("a > 1 OR n = 1", [False, True, True, True]),
        ("source = 'web' and n >= 2", [True, False, True, False]),
        ("source IN ('web', 'code')", [True, True, True, False]),
        ("source LIKE 'c%'", [False, True, False, False]),
        ("a IS NULL", [False, False, False, True]),
        ("n BETWEEN 2 AND 3", [False, True, True, False]),
        ("meta.edu >= 20", [False, False, True, True]),
        ("not (n > 2)", [False, False, True, True]),
    ],
)
def test_a_condition_over_signals(expression: str, expected: list[bool]):
    assert expressions.evaluate(expression, COLUMNS).tolist() == expected


@pytest.mark.parametrize(
    "expression, told",
    [
        ("b + 1", "names no signal 'b'"),
        ("sourc = 'web'", "did you mean 'source'?"),
        ("a +", "cannot be read"),
        ("a; drop table x", "cannot be"),
        ("zscore(a", "cannot be read|parenthesis"),
        ("nonsense(a)", "cannot be"),
        ("zscore(source)", "needs a number"),
        ("a + source", "cannot be computed|must be a number"),
        ("__import__('os').system('true')", "cannot be"),
        ("(SELECT 1)", "cannot be"),
        ("''", "must be a number"),
    ],
)
def test_what_is_no_expression_is_refused_in_a_sentence(expression: str, told: str):
    step = Step("select", "top_k", "top_k", {}, rank=expression)
    with pytest.raises(RecipeError, match=told):
        decide(step, Signals(COLUMNS), None, np.ones(4, bool), Limit(2, "examples", np.ones(4, np.int64)), (), (), 0)


def test_a_z_score_compares_with_living_rows_only():
    living = np.array([True, True, False, False])
    assert expressions.evaluate("zscore(n)", COLUMNS, living)[:2].tolist() == [1.0, -1.0]
    assert expressions.evaluate("percent_rank(n)", COLUMNS, living)[:2].tolist() == [1.0, 0.0]


def test_a_mean_does_not_depend_on_how_rows_are_blocked():
    values = np.random.default_rng(0).normal(size=200_000)
    assert expressions.block_mean(values) == pytest.approx(values.mean(), rel=1e-9)
    assert expressions.evaluate("zscore(x)", {"x": np.full(5, 7.0)}).tolist() == [0.0] * 5


# --- Quotas -----------------------------------------------------------------------------------------------------------


def brute(score: np.ndarray, ids: np.ndarray, amount: int, low: list[int], high: list[int]) -> float:
    """The largest sum of scores of at most `amount` rows within every group's bounds; -inf where there is none."""
    best = -np.inf
    for size in range(amount + 1):
        for rows in itertools.combinations(range(len(score)), size):
            counts = np.bincount(ids[list(rows)], minlength=len(low))
            if (counts >= low).all() and (counts <= high).all():
                best = max(best, float(score[list(rows)].sum()))
    return best


shares = st.sampled_from([0, 10, 20, 25, 40, 50, 60, 80, 100])


@given(
    seed=st.integers(0, 10_000),
    amount=st.integers(1, 7),
    lows=st.lists(shares, min_size=3, max_size=3),
    highs=st.lists(shares, min_size=3, max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_quotas_equal_brute_force_on_ten_points(seed: int, amount: int, lows: list[int], highs: list[int]):
    rng, names = np.random.default_rng(seed), ("x", "y", "z")
    score, ids = rng.permutation(10) + 1.0, rng.integers(0, 3, 10)
    highs = [max(pair) for pair in zip(lows, highs, strict=True)]
    bounds = [quotas.Bound(name, low / 100, high / 100) for name, low, high in zip(names, lows, highs, strict=True)]
    exact = [low == high for low, high in zip(lows, highs, strict=True)]
    floors = [
        int(low * amount / 100) if same else -(-low * amount // 100) for low, same in zip(lows, exact, strict=True)
    ]
    best = brute(score, ids, amount, floors, [high * amount // 100 for high in highs])

    def run(rows: np.ndarray, limit: Limit) -> Selection:
        chosen = TopK().select(Signals({"score": score[rows]}), None, limit.take(rows), rng)
        return Selection(rows[chosen.rows], chosen.gains, chosen.weights)

    limit = Limit(amount, "examples", np.ones(10, np.int64))
    try:
        made = quotas.select(bounds, Groups(ids, names), np.arange(10), limit, run)
    except RecipeError:
        possible = np.isfinite(best) and sum(lows) <= 100 and sum(highs[k] for k in set(ids.tolist())) >= 100
        assert not possible
        return
    assert len(set(made.rows.tolist())) == len(made) <= amount
    assert score[made.rows].sum() == best
    assert (np.diff(made.gains) <= 0).all()


GROUPS = Groups(np.array([0] * 6 + [1] * 3 + [2]), ("web", "code", "law"))
SCORE = np.array([10.0, 9, 8, 7, 6, 5, 4, 3, 2, 1])


def quota(text: str, budget: str = "5", selector: str = "top_k", cost: np.ndarray | None = None):
    step = Step("select", selector, selector, {}, rank="s" if selector != "random" else None, quota=text)
    signals = Signals(
        {"s": SCORE, "row_hash": np.arange(10, dtype=np.uint64), "bytes": np.full(10, 10) if cost is None else cost}
    )
    alive = np.ones(10, bool)
    return decide(step, signals, GROUPS, alive, limit_for(Budget.parse(budget), signals, alive), (), (), 0)


def test_a_floor_and_a_ceiling_pull_together():
    assert sorted(quota("source:web<=60%,law>=20%").selection.rows.tolist()) == [0, 1, 2, 6, 9]


def test_a_group_fixed_too_early_would_not_be_the_best():
    # web alone would take 5 and break its ceiling of 4, but the floor of code (3 rows) leaves it only 2.
    assert sorted(quota("source:web<=80%,code>=60%").selection.rows.tolist()) == [0, 1, 6, 7, 8]


def test_what_a_quota_moved_out_says_so():
    made = quota("source:web<=60%").selection
    assert made.reasons["quota"].tolist() == [3, 4] and not made.nested


def test_a_quota_works_for_a_random_draw_and_for_bytes():
    assert np.bincount(GROUPS.ids[quota("source:web==40%", selector="random").selection.rows]).tolist()[0] == 2
    rows = quota("source:code>=40%", "50B").selection.rows
    assert sorted(rows.tolist()) == [0, 1, 2, 6, 7]


@pytest.mark.parametrize(
    "text, told",
    [
        ("source:law>=40%", "law>=40% needs 2 examples but the pool has only 1"),
        ("source:web>=60%,code>=50%", r"web>=60% \+ code>=50% ask for more than 100%"),
        ("source:web<=50%,code<=20%,law<=10%", "leave 20% of the budget to no group"),
        ("source:coed>=10%", "did you mean 'code'"),
        ("source:web>=34%,code>=33%,law>=33%", "ask for more whole examples"),
        ("source:code>=10%,code<=15%", "no whole number of examples"),
        ("source:web>=70%,web<=60%", "between 0% and 100%"),
        ("source:web>=170%", "between 0% and 100%"),
        ("source web", "a quota must look like"),
        ("domain:web>=10%", "needs that field as the source"),
        ("source:", "a quota must look like"),
    ],
)
def test_an_impossible_quota_is_refused_by_name(text: str, told: str):
    with pytest.raises(RecipeError, match=told):
        quota(text)


def test_reasons_of_all_parts_are_kept():
    step = Step("select", "threshold", "threshold", {"at_least": 4.5}, rank="s", quota="source:web<=20%")
    signals, ones = Signals({"s": SCORE}), np.ones(10, np.int64)
    made = decide(step, signals, GROUPS, np.ones(10, bool), Limit(10, "examples", ones), (), (), 0).selection
    assert made.reasons["threshold: score below 4.5"].tolist() == [6, 7, 8, 9] and sorted(made.rows.tolist()) == [0, 1]
    assert Threshold(at_least=4.5).select(
        Signals({"score": SCORE}), None, Limit(9, "examples", ones), np.random.default_rng()
    ).rows.tolist() == list(range(6))


# --- Several targets --------------------------------------------------------------------------------------------------


def test_targets_share_the_budget_and_no_row_is_taken_twice():
    signals = Signals({"dsir:one": SCORE, "dsir:two": SCORE[::-1].copy(), "bytes": np.full(10, 10)})
    step, limit = Step("select", "top_k", "top_k", {}), Limit(8, "examples", np.ones(10, np.int64))
    targets = (Target(("one.jsonl",), 0.75), Target(("x/two.jsonl.gz",), 0.25))
    made = decide(step, signals, None, np.ones(10, bool), limit, targets, ("dsir",), 0)
    assert sorted(made.selection.rows.tolist()) == [0, 1, 2, 3, 4, 5, 8, 9]
    assert made.score.tolist() == [10, 9, 8, 7, 6, 6, 7, 8, 9, 10]


def test_a_row_that_every_target_wants_is_taken_once():
    signals = Signals({"dsir:one": SCORE, "dsir:two": SCORE, "bytes": np.full(10, 10)})
    step, limit = Step("select", "top_k", "top_k", {}), Limit(8, "examples", np.ones(10, np.int64))
    targets = (Target(("one.jsonl",), 0.75), Target(("two.jsonl",), 0.25))
    made = decide(step, signals, None, np.ones(10, bool), limit, targets, ("dsir",), 0).selection
    assert sorted(made.rows.tolist()) == list(range(8)) and sorted(made.rows[:2].tolist()) == [0, 6]


def test_dead_rows_and_rows_without_a_score_are_never_chosen():
    signals, alive = Signals({"s": np.where(np.arange(10) == 1, np.nan, SCORE)}), np.arange(10) != 0
    step, limit = Step("select", "top_k", "top_k", {}, rank="s"), Limit(10, "examples", np.ones(10, np.int64))
    made = decide(step, signals, None, alive, limit, (), (), 0)
    assert made.selection.rows.tolist() == list(range(2, 10)) and "comes to 8" in made.notes[0]


def test_the_same_seed_draws_the_same_and_a_smaller_budget_is_a_prefix():
    signals = Signals({"row_hash": np.arange(100, dtype=np.uint64)})
    made = [
        Random()
        .select(signals, None, Limit(k, "examples", np.ones(100, np.int64)), np.random.default_rng(4))
        .rows.tolist()
        for k in (10, 30)
    ]
    assert made[1][:10] == made[0]
