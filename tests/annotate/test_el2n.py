"""EL2N against its closed form, of networks that are played by tables, and once of real ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import photos
import pytest
from command import done, manifest

from assay.annotate.el2n import El2n, errors
from assay.contracts import Rows
from assay.errors import RecipeError
from assay.models import vision
from assay.types import Batch, Fitted, Signals, Texts


class Held(Rows):
    """Pictures in memory, as a method sees a pool."""

    def __init__(self, files: dict[str, bytes]) -> None:
        rows = np.arange(len(files))
        names = Texts.of([name.partition("/")[0] for name in files])
        columns = {"image": Texts.of_bytes(list(files.values())), "label": names}
        self.batch = Batch(rows, rows.astype(np.uint64), columns)
        self.told: list[tuple[str, int, int, str]] = []

    def __len__(self) -> int:
        return len(self.batch)

    def reduce(self, part: Any, merge: Any) -> Any:
        return part(self.batch)

    def sample(self, k: int) -> Batch:
        return self.batch

    def tell(self, stage: str, done: int, total: int, unit: str, loss: float = 0.0) -> None:
        self.told.append((stage, done, total, unit))


POOL = Held(photos.photos(3))
PLAYED = np.random.default_rng(0).normal(size=(20, 8, 6, 2)).astype(np.float32)  # run, epoch, picture, class


def learnt(
    method: El2n, monkeypatch: pytest.MonkeyPatch, seeds: list[int] | None = None
) -> tuple[Fitted, vision.Labelled]:
    """What it keeps when the networks say what `PLAYED` has, and the pictures in the order of their keys."""
    asked = [] if seeds is None else seeds

    def followed(data: vision.Labelled, course: vision.Course, seed: int, term: vision.Term, *kept: Any) -> Iterator[Any]:
        asked.append(seed)
        yield from (term(logits, data.labels) for logits in PLAYED[len(asked) - 1, : course.epochs])

    monkeypatch.setattr(vision, "followed", followed)
    return method.learn(POOL, None, Signals({}), None, np.random.default_rng(1)), vision.gathered(POOL, "el2n", 8)


def norm(logits: np.ndarray, label: int) -> float:
    """The definition, of one picture of two classes, written out."""
    odds = [np.exp(float(logits[k])) for k in (0, 1)]
    own, other = odds[label] / sum(odds), odds[1 - label] / sum(odds)
    return ((own - 1) ** 2 + other**2) ** 0.5


def test_the_error_norm_of_two_classes_is_root_two_times_the_other_share() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]))
    np.testing.assert_allclose(errors(logits, np.array([0, 1, 0])), np.sqrt(2) * np.array([0.1, 0.9, 0.5]))
    uniform = errors(np.zeros((1, 10)), np.array([3]))
    np.testing.assert_allclose(uniform, np.sqrt(0.9**2 + 9 * 0.01))
    np.testing.assert_allclose(errors(np.array([[1000.0, 999.0]]), np.array([0])), np.sqrt(2) / (1 + np.e))


def test_the_paper_averages_networks_of_their_own_seeds_at_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    found, data = learnt(El2n(epochs=4, runs=10, side=8), monkeypatch, seeds)
    assert len(set(seeds)) == 10, "a network's own noise is what the mean is for"
    wanted = [np.mean([norm(PLAYED[run, 3, row], data.labels[row]) for run in range(10)]) for row in range(6)]
    np.testing.assert_allclose(found.arrays["el2n"], wanted, rtol=1e-6)
    assert El2n().runs >= 10


def test_ccs_sums_the_epochs_of_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    found, data = learnt(El2n(epochs=5, runs=10, variant="ccs", side=8), monkeypatch)
    wanted = [sum(norm(PLAYED[0, epoch, row], data.labels[row]) for epoch in range(5)) for row in range(6)]
    np.testing.assert_allclose(found.arrays["el2n"], wanted, rtol=1e-6)


def test_it_tells_how_far_its_trainings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    POOL.told.clear()
    learnt(El2n(epochs=3, runs=2, side=8), monkeypatch)
    assert POOL.told == [("train el2n", done, 6, "epochs") for done in range(1, 7)]


def test_each_row_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    method = El2n(epochs=2, runs=2, side=8)
    found, data = learnt(method, monkeypatch)
    got = method.annotate(POOL.batch, {"fitted": found})["el2n"]
    by_key = dict(zip(data.keys.tolist(), found.arrays["el2n"].tolist(), strict=True))
    assert got.tolist() == [by_key[key] for key in vision.keys_of(POOL.batch).tolist()] and len(set(got.tolist())) == 6


def test_a_wrong_label_scores_highest_from_the_command_on(tmp_path) -> None:
    files = photos.photos(12)
    files["blue/wrong.png"] = photos.encoded(photos.pixels("red", 99))
    pool = photos.folder(tmp_path / "p", files)
    small = [f"el2n.{setting}" for setting in ("epochs=8", "runs=2", "side=8", "width=4", "batch=8", "augment=none")]
    flags = [part for setting in small for part in ("--set", setting)]
    done(pool, "--method", "el2n", *flags, "--budget", "3", "--out", tmp_path / "run")
    lines = manifest(tmp_path / "run").sort("score", descending=True)
    assert lines["id"][0] == "blue/wrong.png" and lines["status"].to_list() == ["chosen"] * 3 + ["not_chosen"] * 22


@pytest.mark.parametrize("wrong", [{"variant": "code"}, {"runs": 0}, {"augment": "much"}])
def test_mistakes_are_sentences(wrong: dict) -> None:
    with pytest.raises(RecipeError, match="got"):
        El2n(**wrong)
