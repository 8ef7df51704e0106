"""The n-gram judge: normalised, equal to its definition, and blind to how the text was cut or ordered."""

from __future__ import annotations

import argparse
import bisect
import colorsys
import decimal
import email
import fractions
import heapq
import inspect
import itertools
import logging
import math
import textwrap
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import InputError, RecipeError
from assay.models import ngram
from assay.models.ngram import NGram, NGramConfig, train
from assay.types import Texts

PROSE = [
    "the cat sat on the mat", "the dog sat on the log", "a cat and a dog", "", "the cat sat on the mat",
    "naïve café – ☃", "aaaaaaaaab", "on the mat the cat and the dog sat",
]  # fmt: skip


class Definition:
    """Kneser-Ney from its definition, over dictionaries of tuples: the kernels' twin."""

    def __init__(self, documents: list[list[int]], config: NGramConfig):
        self.config, end = config, config.symbols
        occurrences: Counter[tuple[int, ...]] = Counter()
        left: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        for document in documents:
            padded = [end] * config.boundaries + document + [end]
            for at in range(config.boundaries, len(padded)):
                longest = padded[max(0, at - config.order + 1) : at + 1]
                occurrences[tuple(longest)] += 1
                for start in range(1, len(longest)):
                    left[tuple(longest[start:])].add(longest[start - 1])
        self.counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for gram, number in occurrences.items():
            self.counts[gram[:-1]][gram[-1]] = number
        for gram, neighbours in left.items():
            self.counts[gram[:-1]][gram[-1]] = len(neighbours)
        self.discounts = config.discounts or [self.closed_form(length) for length in range(config.order)]

    def closed_form(self, length: int) -> tuple[float, float, float]:
        every = Counter(c for context, tally in self.counts.items() if len(context) == length for c in tally.values())
        if min(every[k] for k in (1, 2, 3, 4)) == 0:
            return ngram.FALLBACK
        y = every[1] / (every[1] + 2 * every[2])
        found = tuple(k - (k + 1) * y * every[k + 1] / every[k] for k in (1, 2, 3))
        return found if all(0 < value <= k for k, value in enumerate(found, 1)) else ngram.FALLBACK

    def chance(self, symbol: int, context: tuple[int, ...], down: int | None = None) -> float:
        begun = (self.config.symbols,) * self.config.boundaries + context if down is None else context
        history = begun[max(0, len(begun) - self.config.order + 1) :]
        tally = self.counts.get(history)
        shorter = 1 / (self.config.symbols + 1) if not history else self.chance(symbol, history[1:], 0)
        if tally is None:
            return shorter
        total, triple = sum(tally.values()), self.discounts[len(history)]
        taken = {seen: triple[min(number, 3) - 1] for seen, number in tally.items()}
        kept = tally[symbol] - taken[symbol] if symbol in tally else 0.0
        return kept / total + sum(taken.values()) / total * shorter


def fitted(strings: list[str], order: int) -> NGram:
    return train([Texts.of(strings)], NGramConfig(order=order))


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8, 11])
@pytest.mark.parametrize("context", [b"", b"t", b"the cat", b"the ", b"zebra", b"\xff\x00", b"sat on the mat"])
def test_probabilities_over_all_next_symbols_sum_to_one(order: int, context: bytes) -> None:
    chances = fitted(PROSE, order).probabilities(context)
    assert chances.shape == (257,)
    assert (chances > 0).all()
    assert chances.sum() == pytest.approx(1, abs=1e-12)


def test_all_strings_together_have_probability_one() -> None:
    """Strings over a tiny alphabet that end within four symbols, and those that go on: nothing is left over."""
    data, offsets = np.array([0, 1, 2, 0, 1, 0, 0, 1, 2, 2], np.uint8), np.array([0, 3, 5, 10])
    model = ngram.train_symbols([(data, offsets)], NGramConfig(order=3, symbols=3))
    strings = [string for length in range(5) for string in itertools.product(range(3), repeat=length)]
    joined = np.array([symbol for string in strings for symbol in string], np.uint8)
    ends = np.cumsum([0] + [len(string) for string in strings])
    ended = np.exp2(-ngram.bits_of(model.surprise(joined, ends), ends))
    longest = [index for index, string in enumerate(strings) if len(string) == 4]
    stops = [model.following(np.array(strings[index], np.uint8))[-1] for index in longest]
    going_on = sum(ended[index] * (1 - stop) / stop for index, stop in zip(longest, stops, strict=True))
    assert ended.sum() + going_on == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", [1, 3, 8, 12])
def test_bits_are_the_sum_of_minus_log_probabilities(order: int) -> None:
    model = fitted(PROSE, order)
    held_out = ["the cat and the log", "", "☃ unseen", "the"]
    for string, bits in zip(held_out, model.bits(Texts.of(held_out)), strict=True):
        raw = string.encode()
        chances = [model.probabilities(raw[:at])[symbol] for at, symbol in enumerate([*raw, 256])]
        assert bits == pytest.approx(-sum(map(math.log2, chances)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=8),
    st.integers(1, 6),
    st.integers(1, 5),
    st.lists(st.integers(0, 3), max_size=6),
)
def test_kernels_equal_the_definition(
    documents: list[list[int]], order: int, boundaries: int, context: list[int]
) -> None:
    config = NGramConfig(order=order, symbols=4, boundaries=boundaries)
    offsets = np.cumsum([0] + [len(document) for document in documents])
    data = np.array([symbol for document in documents for symbol in document], np.uint16)
    model, twin = ngram.train_symbols([(data, offsets)], config), Definition(documents, config)
    expected = [twin.chance(symbol, tuple(context)) for symbol in range(5)]
    np.testing.assert_allclose(model.following(np.array(context, np.uint16)), expected, rtol=1e-10)
    np.testing.assert_allclose(
        model.surprise(np.array(context, np.uint16), np.array([0, len(context)])),
        [-math.log2(twin.chance(symbol, tuple(context[:at]))) for at, symbol in enumerate([*context, 4])],
        rtol=1e-10,
    )


def test_any_bytes_at_any_order_equal_the_definition() -> None:
    """All 256 byte values occur, so windows of order 9 take two words."""
    raw = [bytes(range(256)), bytes(range(0, 256, 3)) * 2, b"\x00\xff\x00\xff"]
    config = NGramConfig(order=9)
    model, twin = train([Texts.of_bytes(raw)], config), Definition([list(row) for row in raw], config)
    bits = model.bits(Texts.of_bytes([raw[1], b"\xff\x00\xff"]))
    for document, found in zip((raw[1], b"\xff\x00\xff"), bits, strict=True):
        steps = [twin.chance(s, tuple(document[:at])) for at, s in enumerate([*document, 256])]
        assert found == pytest.approx(-sum(map(math.log2, steps)), rel=1e-10)


def symbols(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(itertools.chain(*documents)), np.uint8), np.cumsum([0, *map(len, documents)])


@pytest.mark.parametrize("boundaries", [1, 3])
@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("context", [[], [2], [0, 1, 2], [0, 1, 2, 0, 0, 1]])
def test_after_any_context_the_continuations_of_two_symbols_sum_to_one(
    order: int, boundaries: int, context: list[int]
) -> None:
    """The alphabet is 0, 1, 2: all nine continuations of two symbols, and those that end sooner."""
    model = ngram.train_symbols(
        [symbols([[0, 1, 2, 0, 1], [2, 2, 0], [1], []])], NGramConfig(order, symbols=3, boundaries=boundaries)
    )
    two = [list(pair) for pair in itertools.product(range(3), repeat=2)]
    shorter = [[], *([symbol] for symbol in range(3))]
    going = model.bits_after(symbols([context] * len(two)), symbols(two), False)
    ended = model.bits_after(symbols([context] * len(shorter)), symbols(shorter), True)
    assert np.exp2(-going).sum() + np.exp2(-ended).sum() == pytest.approx(1, rel=1e-12)
    assert np.exp2(-going).sum() < 1  # the end takes its share, or nothing was asked


def test_bits_after_a_context_are_the_whole_less_the_context() -> None:
    """P(text | context) = P(context text) / P(context), from the model's own symbols one by one; contexts are longer and
    shorter than the model looks back, empty, and texts do not start at zero."""
    model = fitted(PROSE, 5)
    contexts = ["the cat sat on", "", "a c", "naïve café", "the dog sat on the lo"]
    texts = [" the mat", "the cat", "at", " – ☃", ""]
    skipped = Texts(Texts.of(["zz", *texts]).data, Texts.of(["zz", *texts]).offsets[1:])
    for ends in (False, True):
        found = model.bits_after(
            (Texts.of(["y", *contexts]).data, Texts.of(["y", *contexts]).offsets[1:]),
            (skipped.data, skipped.offsets),
            ends,
        )
        for context, text, bits in zip(contexts, texts, found, strict=True):
            whole = Texts.of([context + text])
            each = model.surprise(whole.data, whole.offsets)
            start, stop = len(context.encode()), int(whole.sizes[0])
            assert bits == pytest.approx(each[start : stop + ends].sum(), rel=1e-12, abs=1e-12)
    assert model.bits_after(symbols([]), symbols([]), False).shape == (0,)


def test_after_no_context_the_bits_are_those_of_the_document() -> None:
    model, texts = fitted(PROSE, 4), Texts.of(["the cat", "a mat", ""])
    nothing = Texts.of([""] * 3)
    np.testing.assert_allclose(
        model.bits_after((nothing.data, nothing.offsets), (texts.data, texts.offsets), True), model.bits(texts)
    )


def test_order_and_blocks_of_documents_change_nothing() -> None:
    whole, shuffled = fitted(PROSE, 6), fitted(PROSE[::-1], 6)
    blocks = train([Texts.of(PROSE[:3]), Texts.of([]), Texts.of(PROSE[3:])], NGramConfig(order=6))
    texts = Texts.of(["the cat", "a café", ""])
    np.testing.assert_array_equal(whole.bits(texts), shuffled.bits(texts))
    np.testing.assert_array_equal(whole.bits(texts), blocks.bits(texts))


def test_texts_that_do_not_start_at_zero() -> None:
    texts = Texts.of(["skipped", "the cat", "on a mat"])
    tail = Texts(texts.data, texts.offsets[1:])
    model = fitted(PROSE, 5)
    np.testing.assert_array_equal(model.bits(tail), model.bits(Texts.of(["the cat", "on a mat"])))
    alone = train([Texts.of(list(tail))], model.config)
    np.testing.assert_array_equal(train([tail], model.config).handed, alone.handed)


@pytest.mark.parametrize("blocks", [[], [Texts.of([])]])
def test_training_on_nothing_gives_the_uniform_distribution(blocks: list[Texts]) -> None:
    model = train(blocks, NGramConfig())
    np.testing.assert_allclose(model.bits(Texts.of(["", "four"])), np.array([1, 5]) * math.log2(257))
    assert model.bits(Texts.of([])).shape == (0,)


def test_an_empty_document_costs_its_end() -> None:
    model = fitted(PROSE, 4)
    assert fitted([""] * 50, 4).bits(Texts.of([""]))[0] < 0.1
    assert model.bits(Texts.of([""]))[0] == pytest.approx(-math.log2(model.probabilities(b"")[256]))


def test_more_text_of_the_domain_lowers_the_bits_and_foreign_text_does_not_help_as_much() -> None:
    """Real text that every Python carries: its library's pages of prose, against its library's code."""
    prose = [line for module in (argparse, logging, textwrap, email, decimal) for line in documentation(module)]
    code = [inspect.getsource(module)[:20_000] for module in (colorsys, heapq, bisect, fractions)]
    held_out, texts = Texts.of(prose[::4]), [line for index, line in enumerate(prose) if index % 4]
    spent = [fitted(texts[: len(texts) // cut], 8).bits(held_out).sum() for cut in (8, 4, 2, 1)]
    assert spent == sorted(spent, reverse=True)
    assert spent[-1] < fitted(code, 8).bits(held_out).sum()
    assert 1 < spent[-1] / held_out.sizes.sum() < 5


def documentation(module: ModuleType) -> list[str]:
    """All docstrings of a module and of what it holds."""
    found = {inspect.getdoc(value) or "" for value in (module, *vars(module).values())}
    return sorted(text for text in found if len(text) > 40)


@pytest.mark.parametrize("discounts", [None, ((0.5, 1.0, 1.5),) * 4])
def test_a_saved_model_comes_back(tmp_path: Path, discounts: tuple[tuple[float, float, float], ...] | None) -> None:
    model = train([Texts.of(PROSE)], NGramConfig(order=4, discounts=discounts))
    ngram.save(model, str(tmp_path / "model.npz"))
    back = ngram.load(str(tmp_path / "model.npz"))
    assert back.config == model.config
    np.testing.assert_array_equal(back.bits(Texts.of(["the cat", ""])), model.bits(Texts.of(["the cat", ""])))
    (tmp_path / "other").write_bytes(b"not a model")
    with pytest.raises(InputError, match="that Assay saved"):
        ngram.load(str(tmp_path / "other"))


def test_impossible_settings_are_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="order of an n-gram model must be 1 to 16; got 0"):
        NGramConfig(order=0)
    with pytest.raises(RecipeError, match="discounts must be 2 triples"):
        NGramConfig(order=2, discounts=((0.5, 1.0, 1.5),))
    with pytest.raises(RecipeError, match="D\\(k\\) from 0 to k"):
        NGramConfig(order=1, discounts=((1.5, 1.0, 1.5),))
    with pytest.raises(RecipeError, match="alphabet"):
        NGramConfig(symbols=70_000)
    with pytest.raises(RecipeError, match="boundary"):
        NGramConfig(boundaries=0)
    endless = Texts(np.zeros(0, np.uint8), np.array([0, 2**31], np.int64))
    with pytest.raises(InputError, match="train it on a random part"):
        train([endless], NGramConfig())
