"""The filter network: learnt from clean pairs alone, it puts true pairs before planted mismatches and noise."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import account_holds, chosen, done, manifest, ranked, select, told
from image_pairs import archive, members, pairs, png, tiny_clip

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("PIL", reason="needs Pillow")
pytest.importorskip("transformers", reason="needs transformers")

from assay.annotate.dfn import Dfn
from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.io.encoded_images import encoded_at
from assay.kernels.hashing import hash_rows
from assay.models import image_text_network as network
from assay.types import Batch, Fitted, Signals, Texts

CLEAN = list(pairs()[:48])
QUICK = {"epochs": 60, "rate": 2e-3}
BRIEF = Dfn(epochs=2)
TOLD: list[tuple[str, int, int, str]] = []


class InMemory(Rows):
    """Pairs in memory, handed out in row order, those of the smallest hashes first."""

    def __init__(self, rows: list[tuple[bytes, str]]):
        self.rows = rows

    def reduce(self, part: Any, merge: Any) -> Any:
        return part(batch(self.rows))

    def sample(self, k: int) -> Batch:
        hashes = batch(self.rows).hashes
        return batch([self.rows[row] for row in np.sort(np.argsort(hashes, kind="stable")[:k])])

    def __len__(self) -> int:
        return len(self.rows)

    def tell(self, stage: str, done: int, total: int, unit: str, loss: float = 0.0) -> None:
        TOLD.append((stage, done, total, unit))
        assert 0 < loss < 10


def batch(rows: list[tuple[bytes, str]]) -> Batch:
    texts = Texts.of([text for _, text in rows])
    images = Texts.of_bytes([image for image, _ in rows])
    return Batch(np.arange(len(rows)), hash_rows(texts.data, texts.offsets), {"text": texts, "image": images})


def learnt(method: Dfn, clean: list[tuple[bytes, str]], pool: list[tuple[bytes, str]] = CLEAN, seed: int = 0) -> Fitted:
    engine: Any = None
    return method.learn(InMemory(pool), InMemory(clean), Signals({}), engine, np.random.default_rng(seed))


def scores(method: Dfn, fitted: Fitted, rows: list[tuple[bytes, str]]) -> np.ndarray:
    found = method.annotate(batch(rows), {"fitted": fitted, "prepared": method.prepare({"fitted": fitted})})["dfn"]
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    return found


@pytest.fixture(scope="module")
def taught() -> Fitted:
    return learnt(Dfn(**QUICK), CLEAN)


def spoiled() -> tuple[list[tuple[bytes, str]], np.ndarray]:
    """48 pairs of which a third have the next one's caption and a sixth a picture of noise; and which are as they were."""
    rows, good = list(CLEAN), np.ones(48, bool)
    for row in range(0, 48, 3):
        rows[row], good[row] = (CLEAN[row][0], CLEAN[(row + 5) % 48][1]), False
    for row in range(1, 48, 6):
        rows[row], good[row] = (png(row, (64, 64)), CLEAN[row][1]), False
    return rows, good


def test_mismatches_and_noise_come_last(taught: Fitted) -> None:
    rows, good = spoiled()
    found = scores(Dfn(**QUICK), taught, rows)
    top = np.argsort(-found, kind="stable")[: int(0.2 * 48)]
    assert good.mean() == 0.5 and good[top].mean() >= 0.9
    assert taught.notes["pairs"] == 48 and taught.notes["loss_last"] < 1.5 < 3 < taught.notes["loss_first"]


def test_it_learns_from_the_target_and_not_from_the_pool() -> None:
    rows, _ = spoiled()
    TOLD.clear()
    one, other = learnt(BRIEF, CLEAN), learnt(BRIEF, CLEAN, pool=rows)
    assert TOLD == [("train dfn", 1, 2, "steps"), ("train dfn", 2, 2, "steps")] * 2
    assert all(np.array_equal(other.arrays[name], one.arrays[name]) for name in one.arrays)
    assert not all(np.array_equal(learnt(BRIEF, rows).arrays[name], one.arrays[name]) for name in one.arrays)


def test_neither_order_nor_layout_of_the_target_matter() -> None:
    one, turned = learnt(BRIEF, CLEAN), learnt(BRIEF, CLEAN[::-1])
    assert all(np.array_equal(turned.arrays[name], one.arrays[name]) for name in one.arrays)
    assert not all(np.array_equal(learnt(BRIEF, CLEAN, seed=1).arrays[name], one.arrays[name]) for name in one.arrays)


def test_a_score_is_the_cosine_of_what_was_learnt(taught: Fitted) -> None:
    import torch

    method = Dfn(**QUICK)
    opened = method.prepare({"fitted": taught})
    pixels, _ = opened.model.pixels(Texts.of_bytes([CLEAN[3][0]]))
    with torch.no_grad():
        v = opened.module.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output[0].double().numpy()
        tokens = torch.from_numpy(opened.model.tokens([CLEAN[3][1]]))
        c = opened.module.get_text_features(input_ids=tokens).pooler_output[0].double().numpy()
    expected = v @ c / (np.linalg.norm(v) * np.linalg.norm(c))
    np.testing.assert_allclose(scores(method, taught, CLEAN)[3], expected, atol=2e-6)
    assert np.isnan(scores(method, taught, [(b"", "no image"), CLEAN[0]])).tolist() == [True, False]


def test_a_checkpoint_is_tuned_gently_and_initial_weights_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[network.Contrast] = []

    def noted(model: Any, images: Texts, texts: Texts, how: network.Contrast, seed: int, *told: Any) -> Any:
        asked.append(how)
        assert len(images) == len(texts) == 5 and encoded_at(images, 0) in {image for image, _ in CLEAN}
        return network.Network.of(model), [0.0]

    module = importlib.import_module("assay.models.image_text_network")
    monkeypatch.setattr(module, "train_pairs", noted)
    trained, untrained = tiny_clip(tmp_path / "trained"), tiny_clip(tmp_path / "config", trained=False)
    for model in (str(trained), str(untrained), "clip-nano"):
        learnt(Dfn(model, examples=5), CLEAN)
    learnt(Dfn(str(trained), examples=5, rate=0.5), CLEAN)
    assert [how.rate for how in asked] == [1e-5, 1e-3, 1e-3, 0.5]


def test_wrong_words_and_lacking_targets_are_refused() -> None:
    for wrong in ({"epochs": 0}, {"rows": 1}, {"rate": -1.0}, {"examples": 1}):
        with pytest.raises(RecipeError, match=f"dfn: {next(iter(wrong))} must be from"):
            Dfn(**wrong)  # type: ignore[arg-type]
    engine: Any = None
    with pytest.raises(InputError, match="dfn needs a target"):
        Dfn().learn(InMemory(CLEAN), None, Signals({}), engine, np.random.default_rng(0))
    with pytest.raises(InputError, match="two pairs or more"):
        learnt(Dfn(epochs=1), CLEAN[:1])


def test_the_command_learns_from_the_target_and_keeps_samples_whole(tmp_path: Path) -> None:
    rows, good = spoiled()
    pool, clean, run = archive(tmp_path / "pairs.tar", rows), archive(tmp_path / "clean.tar", CLEAN), tmp_path / "run"
    quick = [word for name, value in QUICK.items() for word in ("--set", f"dfn.{name}={value}")]
    done(pool, "--target", clean, "--method", "dfn", "--budget", "20%", *quick, "--out", run)
    account_holds(run, 48)
    assert len(chosen(run)) == 9 and good[chosen(run)].mean() >= 0.85
    found = manifest(run)["score"].to_numpy()
    assert ranked(run) == np.argsort(-found, kind="stable")[:9].tolist()
    source = dict(members(pool))
    out = members(run / "selected" / "pairs.tar")
    assert len(out) == 18 and all(source[name] == content for name, content in out)
    assert told(run)["fits"]["dfn"]["pairs"] == 48
    refused = select(pool, "--method", "dfn", "--budget", "20%", "--out", tmp_path / "none").sentence
    assert "dfn needs a target" in refused


def test_workers_and_files_change_no_score(tmp_path: Path) -> None:
    rows, _ = spoiled()
    whole, clean = archive(tmp_path / "whole.tar", rows[:20]), archive(tmp_path / "clean.tar", CLEAN[:20])
    (tmp_path / "cut").mkdir()
    for part in range(4):
        archive(tmp_path / "cut" / f"{part}.tar", rows[part * 5 : part * 5 + 5], part * 5)
    words = ["--target", clean, "--method", "dfn", "--budget", "20%", "--set", "dfn.epochs=1"]
    done(whole, *words, "--out", tmp_path / "one")
    done(tmp_path / "cut", *words, "--workers", "2", "--out", tmp_path / "two")
    one, two = (manifest(tmp_path / name)["score"].to_numpy() for name in ("one", "two"))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert ranked(tmp_path / "one") == ranked(tmp_path / "two")
