"""What a network says of pictures: the same for any order, in evaluation mode, of pictures as they are."""

from __future__ import annotations

import numpy as np
import photos
import pytest

from assay.errors import InputError, RecipeError
from assay.models import vision
from assay.models.language import torch_module
from assay.types import Batch, Texts

COURSE = vision.Course(epochs=2, side=8, width=4, batch=8, augment="crop_flip")


def batch(order: np.ndarray | None = None, count: int = 10, labels: tuple[str, ...] = ("blue", "red")) -> Batch:
    files = photos.photos(count, labels)
    rows = np.arange(len(files)) if order is None else order
    images = Texts.of_bytes([list(files.values())[row] for row in rows])
    names = Texts.of([list(files)[row].partition("/")[0] for row in rows])
    return Batch(rows, np.zeros(len(rows), np.uint64), {"image": images, "label": names})


def said(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return logits


def test_pictures_are_put_into_an_order_of_their_own() -> None:
    one, two = (vision.Labelled.of(batch(order), "it", 8) for order in (None, np.random.default_rng(0).permutation(20)))
    assert np.array_equal(one.keys, two.keys) and np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.labels, two.labels) and one.classes == ("blue", "red")
    blue = one.pixels[..., 2].mean(axis=(1, 2)) > 128
    assert np.array_equal(one.labels == 0, blue)


def test_equal_pictures_with_other_labels_are_other_examples() -> None:
    images = Texts.of_bytes([photos.encoded(photos.pixels("red", 0))] * 3)
    keys = vision.keys_of(
        Batch(np.arange(3), np.zeros(3, np.uint64), {"image": images, "label": Texts.of(["a", "b", "a"])})
    )
    assert keys[0] == keys[2] != keys[1]
    found = vision.looked_up(
        np.array([2, 5, 9], np.uint64), np.array([0.2, 0.5, 0.9]), np.array([9, 3, 2, 10], np.uint64)
    )
    np.testing.assert_array_equal(found, [0.9, np.nan, 0.2, np.nan])


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    data = vision.Labelled.of(batch(), "it", 8)
    one, two, other = ([*vision.followed(data, COURSE, seed, said)] for seed in (3, 3, 4))
    assert len(one) == 2 and one[0].shape == (20, 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], one[1]) and not np.array_equal(one[1], other[1])


def test_logits_are_taken_in_evaluation_mode_of_pictures_as_they_are() -> None:
    data, network = vision.Labelled.of(batch(), "it", 8), torch_module("vision_network")
    *_, (_, trained) = network.trained(data.pixels, data.labels, 2, COURSE, 0)
    together = network.logits(trained, data.pixels)
    alone = np.concatenate([network.logits(trained, data.pixels[row : row + 1]) for row in range(20)])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_every_picture_is_learnt_whatever_the_batch() -> None:
    data = vision.Labelled.of(batch(), "it", 8)
    course = vision.Course(epochs=40, side=8, width=4, batch=64, augment="none")  # 64 divides no 20
    assert vision.accuracy(data, vision.Labelled.of(batch(np.arange(5, 18)), "it", 8), course, 0) == 1.0


def test_no_picture_is_left_alone_in_a_batch() -> None:
    data = vision.Labelled.of(batch(np.arange(3, 12)), "it", 8)
    for size in (1, 4, 8):  # 9 pictures: one would be left over
        course = vision.Course(epochs=1, side=8, width=4, batch=size)
        assert all(np.isfinite(logits).all() for logits in vision.followed(data, course, 0, said)), size


def test_classes_are_matched_by_name_where_accuracy_is_taken() -> None:
    data = vision.Labelled.of(batch(), "it", 8)
    held = vision.Labelled.of(batch(labels=("green", "red")), "it", 8)
    course = vision.Course(epochs=40, side=8, width=4, batch=16, augment="none")
    assert vision.accuracy(data, held, course, 0) == 0.5, "red is known, green is not"


def test_crops_and_mirrors_change_pictures_and_keep_their_size() -> None:
    network, rng = torch_module("vision_network"), np.random.default_rng(0)
    pixels = np.arange(1, 6 * 16 * 16 * 3 + 1).reshape(6, 16, 16, 3).astype(np.uint8)
    pixels[pixels == 0] = 1
    for name in ("crop", "crop_flip"):
        found = network._augmented(pixels, name, rng)
        assert found.shape == pixels.shape and not np.array_equal(found, pixels)
        assert ((found == 0).all(axis=3).sum(axis=(1, 2)) <= 16 * 16 - 14 * 14).all(), "shifted by at most an eighth"
    assert network._augmented(pixels, "none", rng) is pixels


@pytest.mark.parametrize("wrong", [{"augment": "rotate"}, {"schedule": "step"}, {"epochs": 0}, {"side": 4}])
def test_mistakes_are_sentences(wrong: dict) -> None:
    with pytest.raises(RecipeError, match="got"):
        vision.Course(**{"epochs": 1, **wrong})


def test_pools_that_cannot_be_learnt_from_are_refused() -> None:
    with pytest.raises(InputError, match="needs a pool of pictures"):
        vision.Labelled.of(Batch(np.arange(1), np.zeros(1, np.uint64), {"text": Texts.of(["a"])}), "aum", 8)
    one = batch(np.arange(5))
    with pytest.raises(InputError, match="two or more classes"):
        vision.Labelled.of(one, "aum", 8)
    nameless = Batch(one.rows, one.hashes, {**one.columns, "label": Texts.of(["", "", "a", "b", "b"])})
    with pytest.raises(InputError, match="2 of 5 have none"):
        vision.Labelled.of(nameless, "aum", 8)
