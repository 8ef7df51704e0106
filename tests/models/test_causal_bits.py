"""Bits: a plain loop over log-softmax, a uniform model, windows of long documents, contexts, batching."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.models import causal_bits
from assay.models.causal_bits import bits, windows
from assay.models.causal_config import CausalConfig, Shape
from assay.models.causal_model import Causal, one_thread
from assay.types import Sequences

SMALL = CausalConfig(Shape(16, 2, 2, 32, vocabulary=50), rate=1e-2, context=16, rows=4)
RNG = np.random.default_rng(8)


def sequences(lines: list[list[int]]) -> Sequences:
    sizes = [len(line) for line in lines]
    return Sequences(np.array([one for line in lines for one in line], np.int32), np.cumsum([0, *sizes]))


@pytest.fixture(scope="module")
def model() -> Iterator[Causal]:
    """Random weights, made large so that chances differ much."""
    with one_thread():
        made = Causal.of(SMALL, seed=4)
        with torch.no_grad():
            for one in made.module.parameters():
                one.mul_(8)
        yield made


def slowly(model: Causal, symbols: list[int], context: int) -> float:
    """The same by one forward pass for every symbol, over just what it may see."""
    half, read, total = context // 2, [one if one >= 0 else ~one for one in symbols], 0.0
    for place, symbol in enumerate(symbols):
        start = 0 if place < context else ((place - context) // half + 1) * half
        seen = ([0, *read])[start : place + 1]
        assert place < context or len(seen) > half
        with torch.inference_mode():
            logits = model.module(torch.tensor([seen]), use_cache=False).logits[0, -1].double()
        if symbol >= 0:
            total -= float(torch.log_softmax(logits, 0)[symbol]) / np.log(2)
    return total


def test_bits_are_those_of_a_plain_loop(model: Causal) -> None:
    lines = [RNG.integers(0, 50, size).tolist() for size in (1, 5, 16, 17, 24, 25, 40, 71)]
    lines.append([~one if place < 30 else one for place, one in enumerate(lines[-1])])
    lines.append([~3, ~4])
    found = bits(model, sequences(lines))
    assert found == pytest.approx([slowly(model, line, 16) for line in lines], rel=1e-5)
    assert found[-1] == 0 and found[-2] < found[-3]


def test_a_uniform_model_pays_the_logarithm_of_its_vocabulary(model: Causal) -> None:
    kept = model.module.state_dict()["model.norm.weight"].clone()
    with torch.no_grad():
        model.module.model.norm.weight.zero_()
    found = bits(model, sequences([[7] * 100, [1, ~2, 3], []]))
    with torch.no_grad():
        model.module.model.norm.weight.copy_(kept)
    assert found == pytest.approx([100 * np.log2(50), 2 * np.log2(50), 0], rel=1e-6)


@pytest.mark.parametrize("places", [1, 40, 10_000])
def test_batching_changes_nothing(model: Causal, places: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = sequences([RNG.integers(0, 50, size).tolist() for size in RNG.integers(1, 60, 40)])
    usual = bits(model, lines)
    monkeypatch.setattr(causal_bits, "_PLACES", places)
    assert bits(model, lines) == pytest.approx(usual, rel=1e-6)


@given(st.lists(st.integers(0, 90), max_size=12), st.integers(2, 20))
def test_every_symbol_is_scored_once_with_half_a_context_before_it(sizes: list[int], context: int) -> None:
    documents = Sequences(np.zeros(sum(sizes), np.int32), np.cumsum([0, *sizes]))
    scored = np.zeros(sum(sizes), int)
    for start, stop, first, document in zip(*windows(documents, context), strict=True):
        scored[first:stop] += 1
        assert (
            stop - start <= context and documents.offsets[document] <= start < stop <= documents.offsets[document + 1]
        )
        assert start == documents.offsets[document] or first - start >= context // 2
    assert (scored == 1).all()
