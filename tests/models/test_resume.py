"""A training that is stopped, at whatever step, goes on where it was and ends with the bits of one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import jsonl, products
from test_image_text import IMAGES, SMALL, TEXTS
from test_tuning import DOCUMENTS, TINY
from test_tuning import SMALL as ADAPTERS
from test_vision import batch, said

from assay import engine, recipe
from assay.contracts import NOWHERE, Checkpoints
from assay.errors import RunError
from assay.io.checkpoints import InFolder
from assay.models import image_text_network, resume, vision
from assay.models.tuning import Adapters, Tuning, tune
from assay.run.passes import quiet
from assay.run.workers import Crew


class Stopped(Exception):
    """What a kill is here."""


@pytest.fixture(autouse=True)
def _after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "EVERY", -1.0)
    monkeypatch.setattr(resume, "_TIMES", 0)


class Steps:
    """A report that stops a training at a step, and says which steps it was told of."""

    def __init__(self, stop: int = 0):
        self.stop, self.told = stop, list[int]()

    def __call__(self, done: int, total: int, loss: float) -> None:
        if done == self.stop:
            raise Stopped
        self.told.append(done)


@pytest.mark.parametrize("adapters", [None, ADAPTERS])
def test_a_language_model(tmp_path: Path, adapters: Adapters | None) -> None:
    tuning = Tuning(epochs=2, points=3, adapters=adapters)

    def snapshots(steps: Steps, checkpoints: Checkpoints) -> list[Any]:
        return list(tune(TINY, DOCUMENTS, tuning, 0, report=steps, checkpoints=checkpoints))

    whole = Steps()
    wanted = snapshots(whole, NOWHERE)
    total = whole.told[-1]
    third = total // 3  # where the first snapshot stands
    for stop in (1, third, third + 1, third + 2, total):
        kept, rest = InFolder(tmp_path / str(stop)), Steps()
        with pytest.raises(Stopped):
            snapshots(Steps(stop), kept)
        found = snapshots(rest, kept)
        assert rest.told == list(range(stop, total + 1)), "no step that was kept is worked again"
        for one, other in zip(wanted, found, strict=True):
            assert (one.step, one.rate, one.loss) == (other.step, other.rate, other.loss)
            assert one.arrays.keys() == other.arrays.keys()
            assert all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays)


@pytest.mark.parametrize("stop", range(4))
def test_a_network_of_pictures(tmp_path: Path, stop: int) -> None:
    data, course = vision.Labelled.of(batch(), "it", 8), vision.Course(epochs=4, side=8, width=4, batch=8)
    asked: list[int] = []

    def followed(at: int, checkpoints: Checkpoints = NOWHERE) -> list[np.ndarray]:
        def term(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
            if len(asked) == at:
                raise Stopped
            asked.append(len(asked))
            return said(logits, labels)

        asked.clear()
        return list(vision.followed(data, course, 0, term, checkpoints))

    wanted = followed(-1)
    with pytest.raises(Stopped):
        followed(stop, InFolder(tmp_path))
    for left in (4 - stop, 0):
        found = followed(-1, InFolder(tmp_path))
        assert len(asked) == left, "only epochs that were not kept"
        assert all(np.array_equal(one, other) for one, other in zip(wanted, found, strict=True))


def test_a_network_of_pairs(tmp_path: Path) -> None:
    how = image_text_network.Contrast(2, 7, 1e-3)

    def learnt(steps: Steps, checkpoints: Checkpoints) -> tuple[dict[str, np.ndarray], list[float]]:
        network, losses = image_text_network.train_pairs(SMALL, IMAGES, TEXTS, how, 0, steps, checkpoints)
        return network.state(), losses

    wanted, losses = learnt(Steps(), NOWHERE)
    for stop in (1, 3, 4, 6):
        kept, rest = InFolder(tmp_path / str(stop)), Steps()
        with pytest.raises(Stopped):
            learnt(Steps(stop), kept)
        found, others = learnt(rest, kept)
        assert rest.told == list(range(stop, 7)) and others == losses
        assert all(np.array_equal(wanted[name], found[name]) for name in wanted)


def test_what_another_run_has_ended_is_a_sentence(tmp_path: Path) -> None:
    kept = InFolder(tmp_path)
    list(tune(TINY, DOCUMENTS, Tuning(epochs=2), 0, checkpoints=kept))
    next(tmp_path.glob("point-*")).unlink()
    with pytest.raises(RunError, match="run the same command again"):
        list(tune(TINY, DOCUMENTS, Tuning(epochs=2), 0, checkpoints=kept))


RECIPE = """
pool = "pool.jsonl"
target = "target.jsonl"
steps = [
  { annotate = "color_filter", model = "lm-nano", prior = 60 },
  { select = "top_k", rank = "color_filter", budget = "20%" },
]
"""


def test_a_run_goes_on_inside_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [f"{word} of {number} and {number * 7 % 13} " * 40 for number in range(30) for word in ("sums", "songs")]
    jsonl(tmp_path / "pool.jsonl", ({"text": text} for text in texts))
    jsonl(tmp_path / "target.jsonl", ({"text": text} for text in texts[1::4]))

    def run(name: str, store: str, watch: Any = quiet) -> Path:
        wanted = recipe.parse(recipe.read_tree(RECIPE))
        return engine.run(wanted, engine.Place(Path(name), Path(store), Crew(1), watch)).path

    seen: list[tuple[str, int]] = []

    def stopping(stage: str, done: int, total: int, unit: str = "bytes", loss: float = 0.0) -> None:
        seen.append((stage, done))
        if stage == "color_filter learns the target" and done == 2:
            raise Stopped

    wanted = products(run("whole", "one"))
    with pytest.raises(Stopped):
        run("broken", "two", stopping)
    before = dict(seen)["color_filter learns the pool"]
    assert before > 2 and any((tmp_path / "two/learning").iterdir())
    seen.clear()
    found = run("broken", "two", lambda stage, done, *more, **other: seen.append((stage, done)))
    assert next(done for stage, done in seen if stage == "color_filter learns the target") == 2
    assert "color_filter learns the pool" not in dict(seen) and products(found) == wanted
    assert not any((tmp_path / "two/learning").iterdir())
