"""Facility location against all subsets, apricot's published ranks and gains, and itself: three optimizers, lists and all pairs."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from command import assay, examples, jsonl, ranked

from assay.errors import RecipeError
from assay.select import _facility, _objective, facility_location
from assay.select.facility_location import FacilityLocation
from assay.types import Limit, Selection, Signals

GOLDENS = json.loads((Path(__file__).parent.parent / "goldens" / "facility_location.json").read_text("utf-8"))
SIMILARITIES = ("cosine", "squared_cosine", "squared_correlation", "euclidean")


def hashes(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, n, np.uint64)


def examples_of(k: int, n: int) -> Limit:
    return Limit(k, "examples", np.ones(n, np.int64))


def choose(
    vectors: np.ndarray, limit: Limit, method: FacilityLocation, seed: int = 0, row_hash: object = None
) -> Selection:
    signals = Signals({"embed": vectors, "row_hash": hashes(len(vectors)) if row_hash is None else row_hash})
    return method.select(signals, None, limit, np.random.default_rng(seed))


def similar(x: np.ndarray, name: str) -> np.ndarray:
    """The definitions, in 64 bits."""
    if name == "euclidean":
        far = ((x[:, None] - x) ** 2).sum(axis=2)
        return far.max() - far
    x = x - x.mean(axis=1, keepdims=True) if name == "squared_correlation" else x
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return np.maximum(x @ x.T, 0) if name == "cosine" else (x @ x.T) ** 2


def value(pairs: np.ndarray, rows: object) -> float:
    return float(pairs[list(rows)].max(axis=0).sum()) if len(rows) else 0.0  # type: ignore[arg-type, call-overload]


def heaps(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 5))[rng.integers(0, 6, n)] + 0.4 * rng.normal(size=(n, 5))


# --- Against all subsets, and against apricot ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIMILARITIES)
def test_gains_are_those_of_the_definition_and_greedy_is_near_the_best_of_all_subsets(name: str) -> None:
    for seed in range(4):
        x = heaps(11, seed)
        pairs, found = similar(x, name), choose(x, examples_of(4, 11), FacilityLocation(similarity=name))
        values = [value(pairs, found.rows[:k]) for k in range(5)]
        np.testing.assert_allclose(found.gains, np.diff(values), rtol=1e-5, atol=1e-5)
        for k in range(1, 5):
            others = [value(pairs, [*found.rows[: k - 1], row]) for row in range(11)]
            assert values[k] >= max(others) - 1e-5  # what is added next adds most
            best = max(value(pairs, rows) for rows in itertools.combinations(range(11), k))
            assert values[k] >= (1 - 1 / math.e) * best


@pytest.mark.parametrize("optimizer", ["lazy", "plain"])
@pytest.mark.parametrize("name", ["squared_cosine", "squared_correlation", "euclidean"])
def test_ranks_and_gains_are_apricots(name: str, optimizer: str) -> None:
    """On scikit-learn's 1,797 digits; bench/peers/apricot_goldens.py makes the file. Two rows of one gain may change places."""
    digits = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn").load_digits().data
    count = 100 if optimizer == "lazy" else 12
    wanted = {key: GOLDENS[name][key][:count] for key in ("rows", "gains")}
    found = choose(digits, examples_of(count, len(digits)), FacilityLocation(similarity=name, optimizer=optimizer))
    np.testing.assert_allclose(found.gains, wanted["gains"], rtol=3e-7, atol=1e-4)
    other = np.flatnonzero(found.rows != wanted["rows"])
    assert (name, len(other)) in {
        ("squared_cosine", 0),
        ("squared_correlation", 0),
        ("euclidean", 2 if count == 100 else 0),
    }
    assert len({wanted["gains"][place] for place in other.tolist()}) <= 1
    assert set(found.rows.tolist()) == set(wanted["rows"])


# --- The ways of climbing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbours", [0, 6])
@pytest.mark.parametrize("name", SIMILARITIES)
def test_lazy_is_plain_to_the_last_bit(name: str, neighbours: int) -> None:
    x = np.round(heaps(80), 1)
    x[40:60] = x[:20]  # ties
    for cost in ("ignored", "scaled"):
        limit = Limit(900, "bytes", np.random.default_rng(1).integers(1, 40, 80))
        found = [
            choose(x, limit, FacilityLocation(similarity=name, neighbours=neighbours, optimizer=optimizer, cost=cost))
            for optimizer in ("lazy", "plain")
        ]
        assert len(found[0]) > 20 and found[0].rows.tolist() == found[1].rows.tolist()
        assert found[0].gains.tolist() == found[1].gains.tolist()


@pytest.mark.parametrize("optimizer", ["lazy", "plain", "stochastic"])
@pytest.mark.parametrize("neighbours", [0, 2])
def test_no_row_twice_and_gains_that_do_not_grow_where_most_pairs_are_alike(optimizer: str, neighbours: int) -> None:
    """What apricot 0.6.0 got wrong (issue 19): matrices of zeros, or with many ones."""
    x = np.concatenate([np.eye(12), np.ones((9, 12)), np.eye(12)])
    found = choose(x, examples_of(99, 33), FacilityLocation(neighbours=neighbours, optimizer=optimizer))
    assert sorted(found.rows.tolist()) == list(range(33))
    assert optimizer == "stochastic" or (np.diff(found.gains) <= 0).all()
    if neighbours == 0:
        assert math.isclose(found.gains.sum(), 33, rel_tol=1e-5)


@pytest.mark.parametrize("optimizer", ["plain", "lazy"])
def test_ties_go_to_the_first_row(optimizer: str) -> None:
    method = FacilityLocation(optimizer=optimizer)
    assert choose(np.ones((5, 2)), examples_of(5, 5), method).rows.tolist() == [0, 1, 2, 3, 4]


def test_stochastic_greedy_is_near_the_greedy_value_and_follows_the_rows_not_their_places() -> None:
    x, limit = heaps(300), examples_of(15, 300)
    pairs = similar(x, "cosine")
    best = value(pairs, choose(x, limit, FacilityLocation()).rows)
    values = []
    for seed in range(5):
        method = FacilityLocation(optimizer="stochastic")
        found = choose(x, limit, method, seed)
        values.append(value(pairs, found.rows))
        assert not found.nested
        moved = np.random.default_rng(9).permutation(300)
        again = choose(x[moved], limit, method, seed, hashes(300)[moved])
        assert moved[again.rows].tolist() == found.rows.tolist()
    assert len({*values}) > 1 and np.mean(values) > 0.9 * best


def test_stochastic_greedy_draws_n_over_k_times_the_logarithm_of_one_over_epsilon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    own = _facility.Dense.gains
    monkeypatch.setattr(
        _facility.Dense, "gains", lambda self, state, rows: (asked.append(len(rows)), own(self, state, rows))[1]
    )
    choose(heaps(200), examples_of(20, 200), FacilityLocation(optimizer="stochastic", epsilon=0.01))
    assert asked == [math.ceil(10 * math.log(100))] * 20
    asked.clear()
    choose(heaps(200), Limit(1000, "bytes", np.full(200, 50)), FacilityLocation(optimizer="stochastic", epsilon=0.01))
    assert set(asked) == {math.ceil(10 * math.log(100))}


def test_lazy_greedy_asks_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    own = _facility.Dense.gains
    monkeypatch.setattr(
        _facility.Dense, "gains", lambda self, state, rows: (asked.append(len(rows)), own(self, state, rows))[1]
    )
    choose(heaps(400), examples_of(40, 400), FacilityLocation())
    assert sum(asked) < 400 * 40 / 5


# --- Budgets ------------------------------------------------------------------------------------------------------------


def test_a_budget_of_bytes_is_a_prefix_of_the_order_and_never_overspent() -> None:
    x, cost = heaps(60), np.random.default_rng(2).integers(1, 100, 60)
    whole = choose(x, Limit(int(cost.sum()), "bytes", cost), FacilityLocation())
    assert whole.nested and len(whole) == 60
    for amount in (1, 150, 700):
        limit = Limit(amount, "tokens", cost)
        part = choose(x, limit, FacilityLocation())
        assert part.rows.tolist() == limit.prefix(whole.rows).tolist() and cost[part.rows].sum() <= amount


def test_with_costs_the_most_gain_for_the_byte_is_next_and_is_worth_more() -> None:
    x = heaps(60)
    cost = np.random.default_rng(3).integers(1, 200, 60)
    pairs, limit = similar(x, "cosine"), Limit(300, "bytes", cost)
    scaled, plain = (choose(x, limit, FacilityLocation(cost=cost_word)) for cost_word in ("scaled", "ignored"))
    for k in range(len(scaled)):
        gains = [value(pairs, [*scaled.rows[:k], row]) - value(pairs, scaled.rows[:k]) for row in range(60)]
        assert gains[scaled.rows[k]] / cost[scaled.rows[k]] >= max(np.array(gains) / cost) - 1e-5
        assert math.isclose(gains[scaled.rows[k]], scaled.gains[k], abs_tol=1e-4)
    assert value(pairs, scaled.rows) > value(pairs, plain.rows)


# --- Lists of neighbours --------------------------------------------------------------------------------------------------


def test_all_neighbours_are_all_pairs() -> None:
    x = heaps(50)
    for name in SIMILARITIES:
        lists = choose(x, examples_of(10, 50), FacilityLocation(similarity=name, neighbours=50))
        pairs = choose(x, examples_of(10, 50), FacilityLocation(similarity=name))
        assert lists.rows.tolist() == pairs.rows.tolist(), name
        np.testing.assert_allclose(lists.gains, pairs.gains, rtol=1e-5, atol=1e-4)


def test_a_row_counts_its_nearest_and_itself_only() -> None:
    x = heaps(70)
    pairs = similar(x, "cosine")
    near = np.argsort(-pairs, axis=1, kind="stable")[:, :5]
    only = np.zeros_like(pairs)
    for row in range(70):
        only[near[row], row] = pairs[row, near[row]]
    found = choose(x, examples_of(12, 70), FacilityLocation(neighbours=5))
    np.testing.assert_allclose(found.gains, np.diff([value(only, found.rows[:k]) for k in range(13)]), atol=1e-5)
    everyone = choose(x, examples_of(70, 70), FacilityLocation(neighbours=5))
    assert math.isclose(everyone.gains.sum(), 70, rel_tol=1e-5)  # all are chosen: each row stands for itself


def test_too_many_rows_for_all_pairs_are_refused_and_neighbours_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """apricot would ask for 196 TiB for seven million rows (issue 28)."""
    monkeypatch.setattr(facility_location, "DENSE", 40)
    with pytest.raises(
        RecipeError, match=r"must be above 0 for more than 40 rows.*there are 41 rows: set neighbours = 64"
    ):
        choose(heaps(41), examples_of(3, 41), FacilityLocation())
    assert len(choose(heaps(41), examples_of(3, 41), FacilityLocation(neighbours=8))) == 3


# --- Weights, missing vectors, words --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIMILARITIES)
def test_weights_are_sizes_of_clusters_and_count_each_row_once(name: str) -> None:
    """A benchmark that many copy from counts a chosen row twice, and finds chosen rows again by their similarities."""
    x = heaps(90)
    x[45:] = x[:45]  # copies
    found = choose(x, examples_of(60, 90), FacilityLocation(similarity=name, weights="cluster_sizes"))
    assert found.weights.sum() == 90 and found.weights.min() >= 1 and len(set(found.rows.tolist())) == 60
    few = choose(heaps(90), examples_of(4, 90), FacilityLocation(similarity=name, weights="cluster_sizes"))
    directions = heaps(90) / np.linalg.norm(heaps(90), axis=1, keepdims=True)
    opposite = directions @ directions.T  # where all are opposite, the least so counts
    like = opposite if name == "cosine" else similar(heaps(90), name)
    nearest = like[few.rows].argmax(axis=0)
    assert few.weights.tolist() == np.bincount(nearest, minlength=4).tolist()
    assert choose(x, examples_of(60, 90), FacilityLocation(similarity=name)).weights.tolist() == [1.0] * 60


def test_rows_without_a_vector_stay_out_and_stand_for_nobody() -> None:
    x = heaps(40)
    lacking = x.copy()
    lacking[::4] = np.nan
    found = choose(lacking, examples_of(10, 40), FacilityLocation())
    assert {reason: rows.tolist() for reason, rows in found.reasons.items()} == {
        "facility_location: no vector in embed": list(range(0, 40, 4))
    }
    left = np.flatnonzero(np.arange(40) % 4)
    alone = choose(x[left], examples_of(10, 30), FacilityLocation())
    assert found.rows.tolist() == left[alone.rows].tolist() and found.gains.tolist() == alone.gains.tolist()
    assert len(choose(np.full((3, 2), np.nan), examples_of(2, 3), FacilityLocation())) == 0


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    for field, word in (("similarity", "dot"), ("optimizer", "greedy"), ("cost", "bytes"), ("weights", "sizes")):
        with pytest.raises(RecipeError, match=f"facility_location: {field} must be one of .*; got '{word}'"):
            FacilityLocation(**{field: word})
    for field, number in (("neighbours", -1), ("epsilon", 0.0), ("epsilon", 1.0)):
        with pytest.raises(RecipeError, match=f"facility_location: {field} must be"):
            FacilityLocation(**{field: number})
    assert _objective.OPTIMIZERS == ("plain", "lazy", "stochastic")


def test_the_command_chooses_rows_that_stand_for_the_others(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    texts = list(dict.fromkeys(row["text"][:100] for row in examples()[:60]))[:16]
    pool = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in [*texts, *texts[:1] * 5]])
    steps = '[{ annotate = "embed", tokens = 64 }, { select = "facility_location", similarity = "squared_cosine" }]'
    (tmp_path / "recipe.toml").write_text(f'pool = "{pool}"\nsteps = {steps}\n')
    for budget in (4, 6):
        words = ("--budget", budget, "--out", tmp_path / str(budget), "-q", "--workers", "1")
        answer = assay("select", tmp_path / "recipe.toml", *words)
        assert answer.code == 0, answer.err
    assert ranked(tmp_path / "6")[:4] == ranked(tmp_path / "4")
