"""GOT-D: linear programming on twenty points, finite differences of one point's mass, and what likeness alone would choose."""

from __future__ import annotations

import pickle
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import assay, jsonl, manifest, told
from scipy.optimize import linprog
from scipy.special import logsumexp

from assay.contracts import Rows
from assay.errors import InputError, MissingExtra, RecipeError
from assay.models.cosine import cosines, unit
from assay.score.got_d import GotD
from assay.types import Batch

pytest.importorskip("ot", reason="needs POT")


class Vectors(Rows):
    """Rows in memory."""

    def __init__(self, vectors: np.ndarray):
        self.batch = block(vectors)

    def reduce(self, part: Any, merge: Any) -> Any:
        return reduce(merge, [pickle.loads(pickle.dumps(part))(self.batch)])

    def sample(self, k: int) -> Batch:
        rows = np.sort(np.argsort(self.batch.hashes, kind="stable")[:k])
        return block(self.batch.columns["embed"][rows])

    def __len__(self) -> int:
        return len(self.batch)


def block(vectors: np.ndarray) -> Batch:
    return Batch(np.arange(len(vectors)), np.arange(len(vectors), dtype=np.uint64) * 7 % 5, {"embed": vectors})


def points(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, 3))


def scores(method: GotD, base: np.ndarray, aims: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    fitted = method.fit(Vectors(base), Vectors(aims), np.random.default_rng(0))
    return method.score(fitted, block(base if rows is None else rows))


def distances(base: np.ndarray, aims: np.ndarray, cost: str = "euclidean") -> np.ndarray:
    if cost == "cosine":
        return 1 - unit(base) @ unit(aims).T
    found = ((base[:, None] - aims) ** 2).sum(axis=2)
    return np.sqrt(found) if cost == "euclidean" else found


def program(costs: np.ndarray, mass: np.ndarray, other: np.ndarray) -> tuple[float, np.ndarray]:
    """Exact transport as a linear program: its cost, and the dual of the rows."""
    rows, columns = costs.shape
    sums = np.concatenate([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])
    found = linprog(costs.ravel(), A_eq=sums, b_eq=np.concatenate([mass, other]), method="highs")
    assert found.status == 0
    return found.fun, found.eqlin.marginals[:rows]


def entropic(costs: np.ndarray, mass: np.ndarray, other: np.ndarray, epsilon: float) -> tuple[float, np.ndarray]:
    """Entropic transport in logarithms: the least of <π, C> + ε Σ π (log π − 1), and the dual of the rows."""
    f, g, before = np.zeros(len(mass)), np.zeros(len(other)), np.full(len(mass), np.inf)
    while np.abs(f - before).max() > 1e-13:
        before = f
        f = epsilon * (np.log(mass) - logsumexp((g - costs) / epsilon, axis=1))
        g = epsilon * (np.log(other) - logsumexp((f[:, None] - costs) / epsilon, axis=0))
    plan = np.exp((f[:, None] + g - costs) / epsilon)
    return (plan * costs).sum() + epsilon * (plan * (np.log(plan) - 1)).sum(), f


def calibrated(potential: np.ndarray) -> np.ndarray:
    """Of each the potential less the mean of all others."""
    return np.array([one - np.delete(potential, place).mean() for place, one in enumerate(potential)])


def moved(count: int, place: int, step: float) -> np.ndarray:
    """Uniform masses, of which one has `step` more, taken from all others alike."""
    mass = np.full(count, 1 / count)
    mass += step * (np.arange(count) == place) - step / (count - 1) * (np.arange(count) != place)
    return mass


BASE, AIMS = points(20, 1), points(13, 2, 0.7)
OTHER = np.full(13, 1 / 13)


@pytest.mark.parametrize("cost", ["euclidean", "squared", "cosine"])
def test_exact_duals_are_those_of_a_linear_program(cost: str):
    _, dual = program(distances(BASE, AIMS, cost), np.full(20, 1 / 20), OTHER)
    np.testing.assert_allclose(scores(GotD(cost=cost, entropy=0.0), BASE, AIMS), -calibrated(dual), atol=1e-5)


def test_the_score_is_minus_the_slope_of_the_cost_in_one_point_s_mass():
    found, costs = scores(GotD(entropy=0.0), BASE, AIMS), distances(BASE, AIMS)
    for place in range(0, 20, 3):
        up, down = (program(costs, moved(20, place, step), OTHER)[0] for step in (1e-4, -1e-4))
        assert found[place] == pytest.approx(-(up - down) / 2e-4, abs=1e-4)


@pytest.mark.parametrize("entropy", [0.05, 0.5])
def test_so_it_is_with_entropy(entropy: float):
    costs = distances(BASE, AIMS)
    epsilon = entropy * costs.mean()
    found = scores(GotD(entropy=entropy), BASE, AIMS)
    _, dual = entropic(costs, np.full(20, 1 / 20), OTHER, epsilon)
    np.testing.assert_allclose(found, -calibrated(dual), atol=1e-5)
    for place in (0, 7):
        up, down = (entropic(costs, moved(20, place, step), OTHER, epsilon)[0] for step in (1e-4, -1e-4))
        assert found[place] == pytest.approx(-(up - down) / 2e-4, abs=1e-4)


def test_little_entropy_is_nearly_none_and_does_not_overflow():
    exact = scores(GotD(entropy=0.0), BASE, AIMS)
    np.testing.assert_allclose(scores(GotD(entropy=2e-3), BASE, AIMS), exact, atol=0.05)


@pytest.mark.parametrize("entropy", [0.0, 0.2])
def test_a_row_beyond_the_sample_has_what_its_mass_would_add(entropy: float):
    rows, step = points(3, 9, 0.4), 1e-4 if entropy else 1e-3
    found = scores(GotD(entropy=entropy), BASE, AIMS, rows) * 19 / 20  # less the factor of rows of the sample
    epsilon = entropy * distances(BASE, AIMS).mean()
    for row, score in zip(rows, found, strict=True):
        costs = distances(np.concatenate([BASE, row[None]]), AIMS)

        def cost(mass: float, costs: np.ndarray = costs) -> float:
            masses = np.append(np.full(20, (1 - mass) / 20), mass)
            if entropy == 0:
                return program(costs, masses, OTHER)[0]
            value, _ = entropic(costs, masses, OTHER, epsilon)
            # Of mass m itself: the entropy of a new point has the slope ε log m, which is the same for every candidate.
            return value - epsilon * mass * (np.log(mass) - 1) - epsilon * ((1 - mass) * (np.log((1 - mass) / 20) - 1))

        slope = (cost(2 * step) - cost(step)) / step
        assert score == pytest.approx(-slope, abs=2e-3)


# --- What it chooses --------------------------------------------------------------------------------------------------


def test_what_the_base_lacks_comes_before_what_it_has_plenty_of():
    # Of two kinds the target wants half and half; the base has nine of the first to one of the second. Both are as near.
    rng = np.random.default_rng(4)
    kinds = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    base = kinds[(np.arange(200) % 10 == 0).astype(int)] + rng.normal(0, 0.1, (200, 3))
    aims = kinds[np.arange(30) % 2] + rng.normal(0, 0.1, (30, 3))
    rare = np.arange(200) % 10 == 0
    near = cosines(base, unit(aims)).max(axis=1)
    assert np.isin(np.argsort(-near)[:20], np.flatnonzero(rare)).sum() < 10, "likeness cannot tell them"
    for entropy in (0.0, 0.05):
        assert np.isin(np.argsort(-scores(GotD(entropy=entropy), base, aims))[:20], np.flatnonzero(rare)).all()


def test_what_is_far_from_the_target_comes_last():
    base = np.concatenate([points(60, 5), points(20, 6, 9.0)])
    found = scores(GotD(), base, points(40, 7))
    assert found[60:].max() < found[:60].min()
    assert abs(found.mean()) < 1e-9, "a gradient along masses that sum to one"


def test_only_relevant_rows_have_a_score():
    base, aims = points(100, 8), points(20, 9, 0.5)
    found, whole = scores(GotD(relevant=0.3), base, aims), scores(GotD(), base, aims)
    nearest = distances(base, aims).min(axis=1)
    assert np.isfinite(found).sum() == 30 and nearest[np.isfinite(found)].max() < nearest[np.isnan(found)].min()
    np.testing.assert_array_equal(found[np.isfinite(found)], whole[np.isfinite(found)])


def test_rows_without_an_embedding_do_not_count():
    holes = np.insert(BASE, 4, np.nan, axis=0)
    fitted = GotD(entropy=0.0).fit(Vectors(holes), Vectors(AIMS), np.random.default_rng(0))
    assert fitted.notes["base_rows"] == 20 and fitted.notes["marginal_error"] < 1e-9
    np.testing.assert_allclose(GotD(entropy=0.0).score(fitted, block(BASE)), scores(GotD(entropy=0.0), BASE, AIMS))


def test_a_sample_stands_for_many():
    base, aims = points(900, 10), points(100, 11, 0.5)
    few, all_ = scores(GotD(sample=300), base, aims, BASE), scores(GotD(sample=2000), base, aims, BASE)
    assert np.corrcoef(few, all_)[0, 1] > 0.97
    fitted = GotD(sample=300).fit(Vectors(base), Vectors(aims), np.random.default_rng(0))
    assert fitted.notes["base_rows"] == 300 and fitted.notes["target_examples"] == 100


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    for given, words in (
        ({"cost": "manhattan"}, "cost must be one of euclidean, squared, cosine; got 'manhattan'"),
        ({"entropy": -1.0}, "entropy must be from 0 to 100; got -1.0"),
        ({"sample": 1}, "sample must be from 2 to 20,000; got 1"),
        ({"relevant": 0.0}, "relevant must be from 1e-06 to 1; got 0.0"),
    ):
        with pytest.raises(RecipeError, match=words):
            GotD(**given)
    with pytest.raises(InputError, match="name it with --target"):
        GotD().fit(Vectors(BASE), None, rng)
    with pytest.raises(InputError, match="no row of it has 'embed'"):
        GotD().fit(Vectors(BASE * np.nan), Vectors(AIMS), rng)
    with pytest.raises(InputError, match="at least two rows with 'embed'; got 1"):
        GotD().fit(Vectors(BASE[:1]), Vectors(AIMS), rng)
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(MissingExtra, match=r"assay-data\[geometry\]"):
        GotD().fit(Vectors(BASE), Vectors(AIMS), rng)


def test_the_recipe_that_ships_runs(tmp_path: Path):
    rng = np.random.default_rng(3)
    words = "river stone market prayer engine lantern copper answer question winter".split()
    rows = [{"id": str(row), "text": " ".join(rng.choice(words, 9))} for row in range(90)]
    pool, target = jsonl(tmp_path / "pool.jsonl", rows), jsonl(tmp_path / "target.jsonl", rows[:12])
    answer = assay(
        "select", pool, "--target", target, "--method", "got_d", "--model", "lm-nano", "--budget", "10%", "--out", tmp_path / "run",
        "--workers", "1", "-q", "--set", "got_d.relevant=0.5",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    notes = told(tmp_path / "run")["fits"]["got_d"]
    assert notes["base_rows"] == 90 and notes["target_examples"] == 12 and notes["marginal_error"] < 1e-6
    table = manifest(tmp_path / "run")
    assert (table["status"] == "chosen").sum() == 9 and table["score"].is_null().sum() + table[
        "score"
    ].is_nan().sum() == 45
