"""The area under the margin against its closed form, of a network that is played by a table, and once of a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import photos
import pytest
from command import account_holds, assay, done, manifest, told

import assay as package
from assay.annotate.aum import Aum
from assay.contracts import Rows
from assay.errors import RecipeError
from assay.models import vision
from assay.types import Batch, Fitted, Signals, Texts

LABELS = ("blue", "green", "red")


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


POOL = Held(photos.photos(2, LABELS))
PLAYED = np.random.default_rng(0).normal(size=(8, 6, 3)).astype(np.float32)  # epoch, picture, class


def playing(played: np.ndarray) -> Any:
    """In place of a network's training: its logits epoch by epoch."""

    def followed(data: vision.Labelled, course: vision.Course, seed: int, term: vision.Term, *kept: Any) -> Iterator[Any]:
        yield from (term(logits, data.labels) for logits in played[: course.epochs])

    return followed


def learnt(method: Aum, monkeypatch: pytest.MonkeyPatch) -> tuple[Fitted, vision.Labelled]:
    """What it keeps when the network says what `PLAYED` has, and the pictures in the order of their keys."""

    monkeypatch.setattr(vision, "followed", playing(PLAYED))
    return method.learn(POOL, None, Signals({}), None, np.random.default_rng(1)), vision.gathered(POOL, "aum", 8)


def lead(values: list[float], label: int) -> float:
    """The definition, written out: the label's value less the best of the others."""
    return values[label] - max(value for place, value in enumerate(values) if place != label)


def softmax(logits: np.ndarray) -> list[float]:
    odds = [float(np.exp(np.float64(one))) for one in logits]
    return [one / sum(odds) for one in odds]


@pytest.mark.parametrize("variant", ["ccs", "paper"])
def test_both_sums_against_their_definitions(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, data = learnt(Aum(epochs=5, variant=variant, side=8), monkeypatch)
    for row in range(6):
        said = [PLAYED[epoch, row] for epoch in range(5)]
        if variant == "ccs":
            wanted = sum(lead(softmax(logits), data.labels[row]) for logits in said)
        else:
            wanted = sum(lead(list(map(float, logits)), data.labels[row]) for logits in said) / 5
        assert found.arrays["aum"][row] == pytest.approx(wanted, rel=1e-6)
    assert POOL.told[-5:] == [("train aum", done, 5, "epochs") for done in range(1, 6)]
    shift = 7.0
    np.testing.assert_allclose(vision.probabilities(PLAYED[0] + shift), vision.probabilities(PLAYED[0]), rtol=1e-5)


def test_a_label_that_is_sure_all_along_has_the_whole_area(monkeypatch: pytest.MonkeyPatch) -> None:
    data = vision.gathered(POOL, "aum", 8)
    sure = np.zeros((3, 6, 3), np.float32)
    sure[:, np.arange(6), data.labels] = 60
    sure[:, 0] = 60 * (np.arange(3) == (data.labels[0] + 1) % 3)
    monkeypatch.setattr(vision, "followed", playing(sure))
    area = Aum(epochs=3, side=8).learn(POOL, None, Signals({}), None, np.random.default_rng(0)).arrays["aum"]
    np.testing.assert_allclose(area, [-3, 3, 3, 3, 3, 3], atol=1e-9)


SMALL = ("epochs=12", "side=8", "width=4", "batch=8", "augment=none")


def test_wrong_labels_have_the_least_area_and_ccs_leaves_them_out(tmp_path) -> None:
    files = photos.photos(13)
    for k in range(3):
        files[f"blue/wrong{k}.png"] = photos.encoded(photos.pixels("red", 90 + k))
    pool = photos.archive(tmp_path / "p.zip", files)
    flags = [part for setting in SMALL for part in ("--set", f"aum.{setting}")]
    run = tmp_path / "run"
    done(
        pool,
        "--method",
        "ccs",
        *flags,
        "--set",
        "ccs.beta=0.104",
        "--set",
        "ccs.strata=4",
        "--budget",
        "8",
        "--out",
        run,
    )
    account_holds(run, 29)
    lines = manifest(run).sort("score")
    assert sorted(lines["id"].to_list()[:3]) == ["blue/wrong0.png", "blue/wrong1.png", "blue/wrong2.png"]
    assert set(lines["reason"].to_list()[:3]) == {"ccs: among the lowest accumulated margins"}
    assert told(run)["counts"]["chosen"] == 8 and len(photos.unzipped(run / "selected" / "p.zip")) == 8


def test_it_trains_from_python_too(tmp_path) -> None:
    pool = photos.archive(tmp_path / "p.zip", photos.photos(4))
    small = [f"aum.{setting}" for setting in ("epochs=1", "side=8", "width=4", "batch=8")]
    run = tmp_path / "run"
    package.select(package.read(str(pool)), method="aum", set=small, budget="3", out=run, workers=1)
    assert len(photos.unzipped(run / "selected" / "p.zip")) == 3


def test_a_pool_of_text_is_refused_in_a_sentence(tmp_path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    answer = assay("select", tmp_path / "t.jsonl", "--method", "aum", "--budget", "1", "--out", tmp_path / "r", "-q")
    assert "aum needs a pool of pictures" in answer.sentence


@pytest.mark.parametrize("wrong", [{"variant": "code"}, {"epochs": 0}, {"augment": "much"}])
def test_mistakes_are_sentences(wrong: dict) -> None:
    with pytest.raises(RecipeError, match="got"):
        Aum(**wrong)
