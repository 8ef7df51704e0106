"""CLIP by name: cosines against the library's own forward pass, images against its own preprocessing, the loss against numpy."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_pairs import pairs, png, tiny_clip

torch = pytest.importorskip("torch", reason="needs torch")
transformers = pytest.importorskip("transformers", reason="needs transformers")
pytest.importorskip("PIL", reason="needs Pillow")

from assay.errors import InputError, RecipeError  # noqa: E402
from assay.io.encoded_images import picture  # noqa: E402
from assay.models import image_text_network as network  # noqa: E402
from assay.models.image_text import SIZES, ImageText, Look, Shape, image_text_of  # noqa: E402
from assay.types import Texts  # noqa: E402

IMAGES = Texts.of_bytes([image for image, _ in pairs()[:21]])
TEXTS = Texts.of([text for _, text in pairs()[:21]])
SMALL = ImageText("small", Shape(16, 8, 16, 1, 2, 16), Look(16, (16, 16)), 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def library_pixels(images: list[Any], folder: Path) -> np.ndarray:
    """What the library's own preprocessing makes of Pillow images."""
    kind = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    return np.asarray(kind.from_pretrained(folder)(images, return_tensors="np")["pixel_values"])


def test_cosines_are_those_of_the_library(folder: Path) -> None:
    found = network.Network.of(image_text_of(str(folder))).cosines(IMAGES, TEXTS)
    module = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = []
    for image, text in pairs()[:21]:
        pixels = torch.from_numpy(library_pixels([picture(image)], folder))
        with torch.no_grad():
            out = module(pixel_values=pixels, **tokenizer([text], return_tensors="pt"))
        c, v = out.text_embeds[0].double().numpy(), out.image_embeds[0].double().numpy()
        expected.append((c @ v) / np.sqrt((c @ c) * (v @ v)))
    assert found.dtype == np.float32 and np.ptp(expected) > 0.2
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_neither_padding_nor_neighbours_change_a_cosine(folder: Path) -> None:
    for model in (image_text_of(str(folder)), SMALL):
        one = network.Network.of(model)
        whole = one.cosines(IMAGES, TEXTS)
        alone = np.concatenate([one.cosines(IMAGES.take(np.array([k])), TEXTS.take(np.array([k]))) for k in range(21)])
        np.testing.assert_allclose(whole, alone, atol=1e-6)
        long = Texts.of([*TEXTS, "photo " * 40])
        images = Texts.of_bytes([*(image for image, _ in pairs()[:21]), pairs()[0][0]])
        np.testing.assert_allclose(one.cosines(images, long)[:21], whole, atol=1e-6)
        assert len(one.cosines(IMAGES.head(0), TEXTS.head(0))) == 0


def test_an_image_that_cannot_be_decoded_has_no_cosine_and_moves_no_other(folder: Path) -> None:
    one = network.Network.of(image_text_of(str(folder)))
    broken = [image for image, _ in pairs()[:21]]
    broken[0], broken[7] = b"\x89PNG\r\n\x1a\n", b""
    found, whole = one.cosines(Texts.of_bytes(broken), TEXTS), one.cosines(IMAGES, TEXTS)
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 7]
    np.testing.assert_allclose(np.delete(found, [0, 7]), np.delete(whole, [0, 7]), atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (40, 23), (9, 31), (7, 5)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_images_look_as_the_library_makes_them_look(folder: Path, size: tuple[int, int], mode: str) -> None:
    held = io.BytesIO()
    picture(png(3, size)).convert(mode).save(held, "PNG")  # type: ignore[union-attr]
    mine = image_text_of(str(folder)).look.pixels(picture(held.getvalue()))
    from PIL import Image

    np.testing.assert_allclose(mine, library_pixels([Image.open(io.BytesIO(held.getvalue()))], folder)[0], atol=1e-5)


def test_other_words_of_a_preprocessor(folder: Path, tmp_path: Path) -> None:
    told = {"size": {"height": 16, "width": 16}, "do_center_crop": False, "do_normalize": False, "resample": 2}
    other = tiny_clip(tmp_path / "other")
    (other / "preprocessor_config.json").write_text(json.dumps(told))
    image = picture(png(4, (30, 20)))
    np.testing.assert_allclose(
        image_text_of(str(other)).look.pixels(image), library_pixels([image], other)[0], atol=1e-5
    )
    told["size"] = {"height": 32, "width": 32}
    wrong = tiny_clip(tmp_path / "wrong")
    (wrong / "preprocessor_config.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="the size that it was made for, 16 by 16"):
        image_text_of(str(wrong))
    newer = tiny_clip(tmp_path / "newer")
    (newer / "preprocessor_config.json").rename(newer / "processor_config.json")
    (newer / "processor_config.json").write_text(
        json.dumps({"image_processor": json.loads((folder / "preprocessor_config.json").read_text())})
    )
    assert image_text_of(str(newer)).look == image_text_of(str(folder)).look


def test_a_long_caption_is_cut_before_its_end(folder: Path) -> None:
    model = image_text_of(str(folder))
    made = model.tokens(["a photo", "photo " * 40])
    end = json.loads((folder / "config.json").read_text())["text_config"]["eos_token_id"]
    assert made.shape == (2, 12) and made[1, -1] == end and (made == end).sum(1).tolist() == [1, 1]
    own = SMALL.tokens(["a photo", "photo " * 40])
    assert own.shape == (2, 16) and own[1, -1] == 0 and (own[1, :-1] > 0).all() and (own[0, -2:] == 0).all()


def test_text_that_looks_like_a_mark_is_text(folder: Path) -> None:
    made = image_text_of(str(folder)).tokens(["sunrise </s> anchor", "sunrise [UNK] anchor"])
    assert made[0].tolist() == made[1].tolist()


def test_the_contrastive_loss_is_the_mean_of_both_directions() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(5, 3)) for _ in range(2))
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y))
    logits = np.exp(0.7) * x @ y.T
    down = np.log(np.exp(logits).sum(0)) - np.diag(logits)
    across = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    found = network.contrastive(torch.from_numpy(x), torch.from_numpy(y), torch.tensor(0.7, dtype=torch.float64))
    np.testing.assert_allclose(float(found), (down.mean() + across.mean()) / 2, rtol=1e-12)
    assert abs(down.mean() - across.mean()) > 1e-6


def test_training_is_the_same_twice_and_finds_the_pairs() -> None:
    how = network.Contrast(epochs=60, rows=21, rate=4e-3)
    one, losses = network.train_pairs(SMALL, IMAGES, TEXTS, how, 3)
    two, again = network.train_pairs(SMALL, IMAGES, TEXTS, how, 3)
    assert losses == again and all(np.array_equal(one.state()[name], two.state()[name]) for name in one.state())
    assert losses[0] > 2.9 and losses[-1] < 1.5  # ln 21 = 3.04 where nothing is known
    true = one.cosines(IMAGES, TEXTS)
    wrong = one.cosines(IMAGES, TEXTS.take(np.roll(np.arange(21), 1)))
    assert np.mean(true > wrong) > 0.85
    opened = network.Network.of(SMALL, one.state())
    assert np.array_equal(opened.cosines(IMAGES, TEXTS), true)


def test_the_scale_stays_at_most_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_CLIP", 3.0)  # an initial scale of 14.3
    one, _ = network.train_pairs(SMALL, IMAGES, TEXTS, network.Contrast(epochs=1, rows=21, rate=1e-3), 0)
    assert float(one.module.logit_scale.detach().exp()) <= 3.0 + 1e-6


def test_training_goes_on_from_a_checkpoint(folder: Path) -> None:
    model = image_text_of(str(folder))
    before = network.Network.of(model).state()
    after, _ = network.train_pairs(model, IMAGES, TEXTS, network.Contrast(epochs=1, rows=21, rate=1e-6), 0)
    moved = max(float(np.abs(after.state()[name] - before[name]).max()) for name in before)
    assert 0 < moved < 1e-4


def test_images_that_cannot_be_decoded_are_not_learnt() -> None:
    broken = Texts.of_bytes([b"", *(image for image, _ in pairs()[1:21])])
    how = network.Contrast(epochs=1, rows=8, rate=1e-3)
    one, _ = network.train_pairs(SMALL, broken, TEXTS, how, 0)
    assert np.isnan(one.cosines(broken, TEXTS)[0])
    with pytest.raises(InputError, match="two pairs or more whose images can be decoded; got 1 of 2"):
        network.train_pairs(SMALL, Texts.of_bytes([b"", pairs()[0][0]]), TEXTS.head(2), how, 0)


def test_what_a_folder_holds_is_its_digest(folder: Path, tmp_path: Path) -> None:
    same, other = tiny_clip(tmp_path / "same"), tiny_clip(tmp_path / "other", seed=1)
    first = image_text_of(str(folder)).digest
    assert image_text_of(str(same)).digest == first != image_text_of(str(other)).digest
    digests = {image_text_of(name).digest for name in SIZES}
    assert len(digests) == len(SIZES)


def test_only_a_clip_without_code_is_opened(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'clip-nano'"):
        image_text_of("clip-nanno")
    with pytest.raises(InputError, match="must be a folder"):
        image_text_of(str(tmp_path))
    bert = tmp_path / "bert"
    transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(bert)
    with pytest.raises(InputError, match="model_type 'bert'"):
        image_text_of(str(bert))
    pickled = tiny_clip(tmp_path / "pickled", trained=False)
    (pickled / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match="is a pickle"):
        network.Network.of(image_text_of(str(pickled)))
    (tiny_clip(tmp_path / "none") / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="no preprocessor_config"):
        image_text_of(str(tmp_path / "none"))
