"""The contracts carry what is not built yet: cores of published families in a few lines (docs/architecture.md, 7).

Each sketch is the arithmetic of its method on small arrays, run through the same checks as the real methods where there
are any. They show that the shapes fit; they are not the methods.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_contract import (
    CHECKS,
    POOL,
    TARGET,
    MemoryRows,
    N,
    batch,
    editor_names_parents_and_is_row_wise,
    given,
    mixer_stays_on_the_simplex_and_within_limits,
    wardrobe,
)

from assay import catalog
from assay.contracts import Acquirer, Annotator, Editor, Grouper, Mixer, Rows, Sampler, Scorer, State
from assay.types import Batch, Column, Fitted, Groups, Mixture, Signals, Trials


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sums_by_subtask(batch: Batch) -> np.ndarray:
    gradients, subtasks = unit(batch.columns["embedding"]), batch.columns["source"]
    return np.stack([gradients[subtasks == task].sum(axis=0) for task in range(3)])


@dataclass(frozen=True)
class GradientCosine(Scorer):
    """LESS: learning rate times the cosine with the target's mean gradient, the largest over its subtasks."""

    needs = ("embedding", "source")
    paper = "https://arxiv.org/abs/2402.04333"
    uses_target = "required"
    rates: tuple[float, ...] = (0.6, 0.4)  # One a checkpoint; this sketch has two halves of one column as checkpoints.

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        return Fitted({"target": target.reduce(sums_by_subtask, np.add)})

    def score(self, fitted: Fitted, batch: Batch) -> np.ndarray:
        halves = [slice(0, 4), slice(4, 8)]
        gradients, wanted = batch.columns["embedding"], fitted.arrays["target"]
        terms = [
            rate * (unit(gradients[:, half])[:, None, :] * unit(wanted[:, half] + 1e-12)[None]).sum(axis=2)
            for rate, half in zip(self.rates, halves, strict=True)
        ]
        return np.sum(terms, axis=0).max(axis=1)


@pytest.mark.parametrize("check", CHECKS["score"], ids=lambda check: check.__name__)
def test_gradients_at_several_checkpoints(check):
    check(GradientCosine())


@dataclass(frozen=True)
class NearestCentre(Grouper):
    """Cells around rows that chance picks, and each row's distance to its centre; dead rows belong to no cell."""

    needs = ("embedding",)
    paper = "https://arxiv.org/abs/2308.12284"
    groups: int = 6

    def group(
        self, pool: Rows, signals: Signals, engine: Any, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        points = signals["embedding"]
        living = np.flatnonzero(signals.present("embedding"))
        centres = points[rng.choice(living, self.groups, replace=False)]
        distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
        cells = np.where(np.isnan(distances).any(axis=1), -1, distances.argmin(axis=1))
        return Groups(cells, tuple(map(str, range(self.groups)))), Signals({"distance": distances.min(axis=1)})


def test_clusters_then_duplicates_then_clusters_again():
    signals = Signals({"embedding": np.array(wardrobe(POOL)["embedding"])})
    pool = MemoryRows.of(POOL, ("embedding",), 10)
    cells, about = NearestCentre().group(pool, signals, None, np.random.default_rng(0))
    _, first = np.unique(np.round(signals["embedding"], 6), axis=0, return_index=True)
    dead = np.setdiff1d(np.arange(N), first)
    assert len(dead) and (cells.ids >= 0).all() and len(about["distance"]) == N
    left = signals["embedding"].copy()
    left[dead] = np.nan
    again, _ = NearestCentre().group(pool, Signals({"embedding": left}), None, np.random.default_rng(0))
    assert (again.ids[dead] == -1).all() and (again.ids[first] >= 0).all()


@dataclass(frozen=True)
class LeastSquares(Mixer):
    """RegMix with a quadratic as its regression: fit losses over mixtures, answer with the best possible one."""

    needs = ()
    paper = "https://arxiv.org/abs/2407.01492"
    tried: int = 64

    def propose(self, domains: Mixture, trials: Trials | None, rng: np.random.Generator) -> list[Mixture]:
        centre = domains.weights if trials is None else trials.spent[trials.losses.mean(axis=1).argmin()]
        drawn = rng.dirichlet(1 + centre * (1 if trials is None else 50), self.tried)
        return [Mixture(domains.domains, weights / weights.sum()) for weights in drawn]

    def weights(self, trials: Trials, limits: np.ndarray, rng: np.random.Generator) -> Mixture:
        features = lambda spent: np.hstack([spent, spent**2])  # noqa: E731
        learnt = np.linalg.lstsq(features(trials.spent), trials.losses.mean(axis=1), rcond=None)[0]
        drawn = rng.dirichlet(np.ones(len(limits)), 20_000)
        drawn = drawn[(drawn <= limits).all(axis=1)]
        best = drawn[(features(drawn) @ learnt).argmin()]
        return Mixture(trials.names, best / best.sum())


def test_mixtures_fitted_on_proxy_trainings():
    mixer_stays_on_the_simplex_and_within_limits(LeastSquares())
    domains, best = Mixture(("code", "law", "web"), np.full(3, 1 / 3)), np.array([0.2, 0.5, 0.3])
    trials, rng = None, np.random.default_rng(0)
    for _ in range(2):  # CLIMB: the second round proposes near the best of the first.
        spent = np.stack([mixture.weights for mixture in LeastSquares().propose(domains, trials, rng)])
        trials = Trials(domains.domains, spent, ((spent - best) ** 2).sum(axis=1, keepdims=True))
    answer = LeastSquares().weights(trials, np.ones(3), rng)
    np.testing.assert_allclose(answer.weights, best, atol=0.02)


@dataclass(frozen=True)
class JointLearnability(Sampler):
    """JEST: draw the batch in chunks, in proportion to exp(learnability given the chunks that are chosen already)."""

    needs = ("loss",)
    previews = ("embedding",)
    paper = "https://arxiv.org/abs/2406.17711"
    chunks: int = 4
    filter_ratio: float = 0.75

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        return {"reference": signals["loss"]}

    def propose(self, state: State, size: int, pending: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        free = np.setdiff1d(np.arange(len(state["reference"])), pending)
        return rng.choice(free, min(len(free), int(size / (1 - self.filter_ratio))), replace=False)

    def draw(
        self, state: State, rows: np.ndarray, previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        likeness = previewed["embedding"] @ previewed["embedding"].T
        chosen = np.zeros(0, np.int64)
        for _ in range(self.chunks):
            keys = likeness[:, chosen].sum(axis=1) - state["reference"][rows] + rng.gumbel(size=len(rows))
            keys[chosen] = -np.inf
            chosen = np.concatenate([chosen, np.argsort(-keys, kind="stable")[: size // self.chunks]])
        return rows[chosen], {}

    def update(self, state: State, rows: np.ndarray, drawn_with: State, measured: Signals) -> State:
        return state


@dataclass(frozen=True)
class DomainBandit(Sampler):
    """Online Data Mixing: Exp3 over domains, rewarded by the loss of what was drawn."""

    needs = ("source",)
    measures = ("loss", "source")
    paper = "https://arxiv.org/abs/2312.02406"
    domains: int = 3

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        return {"source": signals["source"], "reward": np.zeros(self.domains), "step": np.ones(1)}

    def share(self, state: State) -> np.ndarray:
        least = min(1 / self.domains, np.sqrt(np.log(self.domains) / (self.domains * state["step"][0])))
        favour = np.exp(least * (state["reward"] - state["reward"].max()))
        return (1 - self.domains * least) * favour / favour.sum() + least

    def propose(self, state: State, size: int, pending: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.bincount(state["source"], minlength=self.domains)
        return rng.choice(len(state["source"]), size, p=(self.share(state) / counts)[state["source"]])

    def draw(
        self, state: State, rows: np.ndarray, previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        return rows[:size], {"share": self.share(state)}

    def update(self, state: State, rows: np.ndarray, drawn_with: State, measured: Signals) -> State:
        reward = state["reward"].copy()
        np.add.at(reward, measured["source"], measured["loss"] / 10 / drawn_with["share"][measured["source"]])
        return {**state, "reward": reward, "step": state["step"] + 1}


@pytest.mark.parametrize("sampler", [JointLearnability(), DomainBandit()], ids=lambda sampler: type(sampler).__name__)
def test_choosing_while_training(sampler: Sampler):
    for check in CHECKS["sample"]:
        check(sampler)


def test_the_bandit_goes_where_the_loss_is():
    sampler, rng = DomainBandit(), np.random.default_rng(0)
    state, none = sampler.init(N, given(("source",))[0], rng), np.zeros(0, np.int64)
    for _ in range(200):
        rows, drawn_with = sampler.draw(state, sampler.propose(state, 16, none, rng), Signals({}), 16, rng)
        domains = state["source"][rows]
        measured = Signals({"source": domains, "loss": np.where(domains == 1, 5.0, 1.0)})
        state = sampler.update(state, rows, drawn_with, measured)
    assert sampler.share(state).argmax() == 1


@dataclass(frozen=True)
class PairSimilarity(Annotator):
    """DFN: what a filter that was trained first thinks of a row; the model is handed in."""

    needs = ("embedding",)
    paper = "https://arxiv.org/abs/2309.17425"

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        return {"similarity": unit(batch.columns["embedding"]) @ models["filter"]}


def test_a_filter_that_is_trained_first():
    trusted = wardrobe(TARGET)["embedding"]
    models = {"filter": unit(trusted).mean(axis=0)}
    whole = PairSimilarity().annotate(batch(POOL, np.arange(N), ("embedding",)), models)["similarity"]
    inside = np.isin(np.arange(N), [POOL.index(text) for text in TARGET[::2]])
    assert whole.shape == (N,) and np.isfinite(whole).all() and inside.sum() == len(TARGET[::2])


@dataclass(frozen=True)
class Rewrite(Editor):
    """Rewriting: a row gives several rows, one, or none, by chance that belongs to the row; each names its parent."""

    needs = ("text",)
    paper = "https://arxiv.org/abs/2401.16380"

    def edit(self, batch: Batch, models: dict[str, Any], key: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for row, fingerprint, text in zip(batch.rows.tolist(), batch.hashes.tolist(), batch.text, strict=True):
            for copy in range((fingerprint ^ key) % 3):
                yield row, {"text": f"{copy}: {text.upper()}"}


def test_rewriting_names_parents():
    editor_names_parents_and_is_row_wise(Rewrite())


@dataclass(frozen=True)
class BreakingTies(Acquirer):
    """Active learning: the unlabelled rows whose two best classes are nearest."""

    needs = ("probabilities",)
    paper = "https://jmlr.org/papers/v6/luo05a.html"

    def next(self, signals: Signals, labels: Signals, k: int, rng: np.random.Generator) -> np.ndarray:
        best = np.sort(signals["probabilities"], axis=1)
        open_rows = np.flatnonzero(~labels.present("label"))
        return open_rows[np.argsort((best[:, -1] - best[:, -2])[open_rows], kind="stable")[:k]]


def test_a_loop_with_a_labeller():
    # Margins 0.8, 0.1, 0 and 0.4, the values of small-text's own test of this strategy: it picks 2, then 1.
    probabilities = np.array([[0.1, 0.9], [0.45, 0.55], [0.5, 0.5], [0.3, 0.7]])
    labels = np.full(4, np.nan)
    asked = []
    for _ in range(2):
        (row,) = BreakingTies().next(
            Signals({"probabilities": probabilities}), Signals({"label": labels}), 1, np.random.default_rng(0)
        )
        labels[row] = 1.0
        asked.append(int(row))
    assert asked == [2, 1]


def test_the_recipes_of_the_architecture_page_are_toml():
    page = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text("utf-8")
    recipes = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    kinds = {"where", "train", "acquire", *catalog.KINDS}
    steps = [step for recipe in recipes for step in recipe.get("steps", recipe.get("repeat", {}).get("steps", []))]
    assert len(recipes) == 9 and len(steps) >= 25
    assert all(len(kinds & step.keys()) >= 1 for step in steps)
    families = page.split("### The 18 families")[1].split("\n## ")[0]
    assert families.count("\n| ") == 18 + 2  # The heading, the rule below it, and one line a family.
