"""The automaton gives the bits of the model that it was made of, for every order and over any bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels import automaton, kneser_ney
from assay.models.ngram import NGram, NGramConfig, train
from assay.types import Texts

SAID = ["banana", "bandana", "", "a", "naïve ☃ bananas", "ban the bandana, ban the banana", "\x00\xff", "aaaaaaaaaaaaaaaaaaaaaaa"]


def bits(model: NGram, texts: Texts) -> np.ndarray:
    linked = automaton.link(model.trie, model.discounts, model.total, model.handed, 256)
    begin = kneser_ney.descend(model.trie, np.array([[256]]))[0] if model.config.order > 1 else 0
    return automaton.bits(texts.data, texts.offsets, linked, int(begin), 256)


@pytest.mark.parametrize("order", range(1, 9))
def test_bits_are_the_models(order: int) -> None:
    model = train([Texts.of(SAID)], NGramConfig(order))
    heard = Texts.of([*SAID, "bandanas and bananas", "zzz", "☃" * 50, "ban\x00ban", "the " * 500])
    np.testing.assert_allclose(bits(model, heard), model.bits(heard), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab c", max_size=40), min_size=1), st.lists(st.text("ab cd", max_size=40), min_size=1), st.integers(1, 8)
)
def test_bits_are_the_models_on_any_text(said: list[str], heard: list[str], order: int) -> None:
    model = train([Texts.of(said)], NGramConfig(order))
    np.testing.assert_allclose(bits(model, Texts.of(heard)), model.bits(Texts.of(heard)), rtol=1e-6)


def test_a_slice_of_texts_is_read_in_place() -> None:
    model, texts = train([Texts.of(SAID)], NGramConfig(4)), Texts.of(SAID)
    np.testing.assert_array_equal(bits(model, Texts(texts.data, texts.offsets[2:])), bits(model, texts)[2:])
