"""The linear models: at the optimum that other means find, honest about held-out documents, blind to order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.kernels.linear import logistic_pass, objective, products, squared_pass
from assay.models.linear import Examples, LinearConfig, Task, linear
from assay.models.ratings import rank_correlation, train_ratings
from assay.models.two_class import auc, measure, platt, train_two_class
from assay.types import Batch, Texts

WORDS = [f"word{number}" for number in range(60)]


def config(**more: float) -> LinearConfig:
    settings = {
        "word_ngrams": 1,
        "buckets": 1 << 12,
        "epochs": 50,
        "examples": 10_000,
        "held_out": 0.1,
        "cost": 0.0,
        **more,
    }
    return LinearConfig("test", **settings)


def batch(texts: list[str]) -> Batch:
    block = Texts.of(texts)
    return Batch(np.arange(len(block)), hash_rows(block.data, block.offsets), {"text": block})


def sparse(rng: np.random.Generator, rows: int = 40, width: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random rows as lists of buckets, and dense with the constant last; the first row is empty and stays out."""
    chosen = [np.flatnonzero(rng.random(width) < 0.4) if row else np.zeros(0, int) for row in range(rows)]
    ends = np.concatenate([[0], np.cumsum([len(picks) for picks in chosen])])
    dense = np.zeros((rows, width + 1))
    for row, picks in enumerate(chosen):
        if len(picks):
            dense[row, picks], dense[row, -1] = len(picks) ** -0.5, 1.0
    return np.concatenate(chosen).astype(np.uint32), ends.astype(np.int64), dense


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("cost", [0.1, 3.0, 100.0])
def test_the_passes_end_at_the_minimum_that_scipy_finds(loss: str, cost: float):
    rng = np.random.default_rng(4)
    picks, ends, dense = sparse(rng)
    aims = rng.choice([-1.0, 1.0], 40) if loss == "logistic" else rng.normal(size=40)
    costs = cost * rng.uniform(0.5, 2.0, 40)
    costs[~dense.any(axis=1)] = 1e-12  # an empty row teaches nothing
    weights, duals = np.zeros(13), np.zeros(40)
    step = logistic_pass if loss == "logistic" else squared_pass
    moved = 1.0
    for _ in range(60_000):
        moved = step(picks, ends, aims, costs, rng.permutation(40), duals, weights) if moved > 1e-10 else moved
    assert moved < 1e-7
    wanted = minimize(lambda w: objective(dense, aims, costs, w, loss), np.zeros(13), tol=1e-14).x
    np.testing.assert_allclose(weights, wanted, atol=3e-5)
    assert objective(dense, aims, costs, weights, loss) <= objective(dense, aims, costs, wanted, loss) + 1e-9
    signed = duals * aims if loss == "logistic" else duals
    np.testing.assert_allclose(weights, signed @ dense, atol=1e-9)  # w is made of the rows
    found = products(picks, ends, weights)
    np.testing.assert_allclose(found[1:], (dense @ weights)[1:], atol=1e-12)
    assert found[0] == weights[-1]


def test_extreme_duals_stay_inside_their_box():
    picks, ends = np.zeros(4, np.uint32), np.arange(5)
    for cost in (1e-9, 1e6):
        weights, duals = np.zeros(3), np.zeros(4)
        for _ in range(50):
            logistic_pass(picks, ends, np.array([1.0, 1, 1, -1]), np.full(4, cost), np.arange(4), duals, weights)
        assert np.isfinite(weights).all() and (duals >= 0).all() and (duals <= cost).all()


def made(rng: np.random.Generator, rows: int, lean: np.ndarray) -> list[str]:
    """Texts of twelve words that fall by chance in proportion to exp(lean)."""
    chances = np.exp(lean) / np.exp(lean).sum()
    return [" ".join(rng.choice(WORDS, 12, p=chances)) for _ in range(rows)]


def two_kinds(rng: np.random.Generator, rows: int, others: int) -> tuple[Batch, Batch]:
    lean = np.linspace(-0.7, 0.7, 60)
    return batch(made(rng, rows, lean)), batch(made(rng, others, -lean))


def test_held_out_figures_are_those_of_fresh_documents():
    rng = np.random.default_rng(5)
    wanted, others = two_kinds(rng, 600, 300)
    fitted = train_two_class(wanted, others, config(), np.random.default_rng(0))
    notes = fitted.notes
    assert (notes["wanted"], notes["others"], notes["held_out"]) == (600, 300, 900)
    fresh = two_kinds(rng, 1000, 1000)
    chances = [expit(linear(kind.text, 1, fitted.arrays["weights"], fitted.arrays["intercept"][0])) for kind in fresh]
    told = measure(np.concatenate(chances), np.repeat([True, False], 1000))
    assert 0.9 < told["auc"] < 0.999 and notes["auc"] == pytest.approx(told["auc"], abs=3 * notes["auc_standard_error"])
    assert notes["accuracy"] == pytest.approx(told["accuracy"], abs=0.03)
    assert told["calibration_error"] < 0.03 and notes["calibration_error"] < 0.06
    shares = np.array(notes["reliability"])
    assert shares[:, 2].sum() == pytest.approx(1, abs=1e-4) and (np.diff(shares[:, 3]) > 0).all()


def test_what_cannot_be_learnt_is_reported_as_chance():
    rng = np.random.default_rng(6)
    texts = made(rng, 800, np.zeros(60))
    notes = train_two_class(batch(texts[:400]), batch(texts[400:]), config(), np.random.default_rng(0)).notes
    assert abs(notes["auc"] - 0.5) < 0.07 and notes["calibration_error"] < 0.06
    ratings = train_ratings(batch(texts), rng.normal(size=800), config(), np.random.default_rng(0)).notes
    assert abs(ratings["rank_correlation"]) < 0.12
    assert ratings["mean_absolute_error"] == pytest.approx(ratings["mean_absolute_error_of_median"], rel=0.05)


def test_copies_lie_in_one_fold():
    texts = made(np.random.default_rng(7), 50, np.zeros(60)) * 6  # by heart one would know every held-out document
    rng = np.random.default_rng(1)
    notes = train_ratings(batch(texts), np.tile(rng.normal(size=50), 6), config(), rng).notes
    assert notes["held_out"] == 300 and abs(notes["rank_correlation"]) < 0.5
    examples = Examples.of(batch(texts).text, batch(texts).hashes, config())
    folds = Task(examples, np.zeros(300), np.ones(300), "squared", config()).folds(3, 300)
    assert all(len(set(folds[copy::50])) == 1 for copy in range(50)) and len(set(folds)) == 10


def test_large_samples_hold_out_only_as_much_as_is_needed():
    few = Task(Examples(np.zeros(0, np.uint32), np.zeros(1, np.int64), np.arange(20_000, dtype=np.uint64)),
               np.zeros(0), np.zeros(0), "squared", config())  # fmt: skip
    tested = [(few.folds(3, rarer) >= 0).mean() for rarer in (100, 2_000, 5_000, 20_000)]
    np.testing.assert_allclose(tested, [1.0, 0.5, 0.2, 0.1], atol=0.02)


def test_order_of_the_rows_changes_no_bit():
    wanted, others = two_kinds(np.random.default_rng(8), 120, 80)
    order = np.random.default_rng(2).permutation(120)
    turned = Batch(wanted.rows, wanted.hashes[order], {"text": wanted.text.take(order)})
    one, two = (train_two_class(kind, others, config(), np.random.default_rng(3)) for kind in (wanted, turned))
    assert one.notes == two.notes
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)


def test_few_examples_are_learnt_from_without_a_verdict_and_none_are_refused():
    wanted, others = two_kinds(np.random.default_rng(9), 4, 4)
    notes = train_two_class(wanted, others, config(), np.random.default_rng(0)).notes
    assert notes["held_out"] == 0 and notes["auc"] is None
    with pytest.raises(InputError, match="at least 2 examples with a word"):
        train_two_class(batch(["", " "]), others, config(), np.random.default_rng(0))
    with pytest.raises(InputError, match="other kind"):  # what is in both is of the wanted kind only
        train_two_class(wanted, wanted, config(), np.random.default_rng(0))
    with pytest.raises(InputError, match="rated documents"):
        train_ratings(batch(["x", ""]), np.array([1.0, 2.0]), config(), np.random.default_rng(0))
    for name, value in (("word_ngrams", 9), ("buckets", 1), ("held_out", 0.6), ("cost", -1.0), ("examples", 5)):
        with pytest.raises(RecipeError, match=f"test: {name} must be from"):
            config(**{name: value})


def test_a_rating_that_is_a_sum_over_words_is_learnt():
    rng = np.random.default_rng(10)
    worth = rng.normal(size=60)
    picks = [rng.choice(60, 15, replace=False) for _ in range(1500)]
    ratings = np.array([worth[chosen].sum() for chosen in picks])
    texts = batch([" ".join(WORDS[word] for word in chosen) for chosen in picks])
    fitted = train_ratings(texts, ratings, config(), np.random.default_rng(0))
    assert fitted.notes["rank_correlation"] > 0.999
    assert fitted.notes["mean_absolute_error"] < 0.03 * fitted.notes["mean_absolute_error_of_median"]
    assert sum(row[2] for row in fitted.notes["histogram"]) == 1500


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(11)
    values, wanted = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in values[wanted] for b in values[~wanted]]
    assert auc(values, wanted) == pytest.approx(np.mean(pairs))


def test_platt_finds_the_scale_that_made_the_labels():
    rng = np.random.default_rng(12)
    values = rng.normal(size=200_000)
    signs = np.where(rng.random(200_000) < expit(3 * values), 1.0, -1.0)
    slope, shift = platt(values, signs)
    assert slope == pytest.approx(3, rel=0.03) and shift == pytest.approx(0, abs=0.03)


def test_rank_correlation_shares_the_ranks_of_ties():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(13)
    left, right = rng.integers(0, 5, 80).astype(float), rng.integers(0, 5, 80).astype(float)
    assert rank_correlation(left, right) == pytest.approx(spearmanr(left, right).statistic)
    assert rank_correlation(left, np.ones(80)) is None
