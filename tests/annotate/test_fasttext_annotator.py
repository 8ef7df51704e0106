"""The probabilities of the fasttext package, on models of every loss and every way of storing that it trained for us.

tests/goldens/fasttext was made by `python bench/peers/fasttext_goldens.py` with fasttext-wheel 0.9.2.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.annotate.fasttext import Fasttext
from assay.errors import RecipeError
from assay.io.fasttext import FastText, load
from assay.types import Batch, Texts

GOLDENS = Path(__file__).parent.parent / "goldens" / "fasttext"
SAID = json.loads((GOLDENS / "said.json").read_text("utf-8"))
NAMES = sorted(SAID["models"])


@functools.cache
def model(name: str) -> FastText:
    return load(str(GOLDENS / name))


def annotated(name: str, texts: list[str], label: str = "") -> dict[str, Any]:
    block = Texts.of(texts)
    batch = Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": block})
    return Fasttext(name, label).annotate(batch, {"fasttext": model(name)})


@pytest.mark.parametrize("name", NAMES)
def test_best_label_and_probability_are_the_packages(name: str) -> None:
    found = annotated(name, SAID["texts"])
    assert list(found) == ["fasttext", "fasttext_probability"]
    for text, said, label, chance in zip(SAID["texts"], SAID["models"][name], *found.values(), strict=True):
        if not said:
            assert label == "" and np.isnan(chance)
            continue
        best = max(said.values())
        assert abs(min(best, 1) - chance) < 1e-4, text
        assert label in [other for other, value in said.items() if value > best - 1e-4], text


@pytest.mark.parametrize("name", NAMES)
def test_probability_of_every_label_is_the_packages(name: str) -> None:
    for label in model(name).labels[:12]:
        (chances,) = annotated(name, SAID["texts"], f"__label__{label}").values()
        for said, chance in zip(SAID["models"][name], chances, strict=True):
            if label in said:  # the package lists neither labels below 1e-5 nor, here, those beyond the twelfth
                assert abs(min(said[label], 1) - chance) < 1e-4
        assert np.nanmax(chances) <= 1


def test_every_loss_and_every_way_of_storing_is_there() -> None:
    """Otherwise the tests above would prove less than they say."""
    models = [model(name) for name in NAMES]
    assert {one.loss for one in models} == {"softmax", "hs", "ns", "ova"}
    assert {one.tables.order for one in models} >= {1, 2, 3} and {one.tables.maxn > 0 for one in models} == {True, False}
    assert {len(one.tables.remap) > 0 for one in models} == {True, False}
    assert {len(one.output) > 0 for one in models} == {True, False}, "rows multiplied with the output, and not"
    assert {one.tables.width for one in models} == {1, 8}


@pytest.mark.parametrize("name", ["lid.ftz", "softmax.bin", "ns.bin"])
def test_a_row_does_not_depend_on_its_neighbours(name: str) -> None:
    whole = annotated(name, SAID["texts"])
    for row, text in enumerate(SAID["texts"]):
        alone = annotated(name, [text])
        assert alone["fasttext"][0] == whole["fasttext"][row]
        np.testing.assert_array_equal(alone["fasttext_probability"][0], whole["fasttext_probability"][row])


def test_lines_are_joined_and_ends_stripped() -> None:
    texts = ["the cat\nsat", "\n the cat sat\n\n", "the cat\r\nsat", "the cat sat"]
    assert len(set(annotated("lid.ftz", texts)["fasttext_probability"].tolist())) == 1


def test_a_label_the_model_lacks_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"has no label 'hqq'; did you mean 'hq'\?"):
        annotated("softmax.bin", ["the"], "hqq")


def test_a_label_may_be_given_with_or_without_its_prefix() -> None:
    one, two = (annotated("softmax.bin", SAID["texts"], label)["fasttext"] for label in ("hq", "__label__hq"))
    np.testing.assert_array_equal(one, two)
