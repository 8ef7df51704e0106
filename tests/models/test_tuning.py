"""Tuning: the same bits again, the schedule, snapshots, moments against a plain Adam, going on from a snapshot, adapters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from assay.errors import InputError
from assay.models import language, packing
from assay.models.causal_config import CausalConfig, Shape
from assay.models.causal_model import Causal, one_thread
from assay.models.tuning import Adapters, Snapshot, Tuning, factor, opened, steps_of, tune
from assay.types import Sequences

CONFIG = CausalConfig(Shape(16, 1, 2, 32, vocabulary=50), rate=1e-2, context=16, rows=2)
TINY = language.Language("tiny", CONFIG, "none")
SMALL = Adapters(r=2, alpha=4.0)
RNG = np.random.default_rng(3)
SIZES = RNG.integers(3, 20, 24)
DOCUMENTS = Sequences(RNG.integers(1, 50, SIZES.sum()).astype(np.int32), np.cumsum([0, *SIZES]))


def run(tuning: Tuning, seed: int = 0, documents: Sequences = DOCUMENTS, **more: object) -> list[Snapshot]:
    return list(tune(TINY, documents, tuning, seed, **more))


def same(one: Snapshot, other: Snapshot) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays
    )


@pytest.mark.parametrize("adapters", [None, SMALL])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(adapters: Adapters | None) -> None:
    tuning = Tuning(epochs=2, adapters=adapters)
    torch.manual_seed(1)
    first = run(tuning)
    torch.manual_seed(2)
    torch.rand(5)
    assert all(same(one, other) for one, other in zip(first, run(tuning), strict=True))
    assert not same(first[-1], run(tuning, seed=1)[-1])


def test_snapshots_stand_at_the_ends_of_epochs_or_evenly() -> None:
    each = steps_of(DOCUMENTS, Causal.of(CONFIG, 0))
    assert [one.step for one in run(Tuning(epochs=3))] == [each, 2 * each, 3 * each]
    assert [one.step for one in run(Tuning(epochs=3, points=2))] == [3 * each // 2, 3 * each]
    many = [one.step for one in run(Tuning(epochs=1, points=1000))]
    assert many == list(range(1, each + 1))


def test_a_snapshots_rate_is_the_mean_since_the_last() -> None:
    tuning = Tuning(epochs=2, points=2, warm=0.25)
    first, last = run(tuning)
    rates = [1e-2 * factor(step, last.step, tuning) for step in range(last.step)]
    assert first.rate == pytest.approx(np.mean(rates[: first.step]))
    assert last.rate == pytest.approx(np.mean(rates[first.step :])) and last.rate < first.rate


def test_the_rate_rises_and_falls_linearly_or_stays() -> None:
    assert [factor(step, 4, Tuning(warm=0.0)) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert [factor(step, 4, Tuning(warm=0.5, schedule="constant")) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_weights_and_moments_are_those_of_a_plain_adam() -> None:
    """Every step by hand: the library's own logits, PyTorch's own loss, Adam as written."""
    tuning = Tuning(epochs=2, betas=(0.9, 0.999), decay=0.0, clip=1e9, warm=0.0)
    found = run(tuning)
    model = Causal.of(CONFIG, 0)
    weights = dict(model.module.named_parameters())
    first = {name: torch.zeros_like(one) for name, one in weights.items()}
    second = {name: torch.zeros_like(one) for name, one in weights.items()}
    done = 0
    for epoch in range(2):
        order = np.random.default_rng([0, epoch]).permutation(len(DOCUMENTS))
        for batch in packing.packed(iter([DOCUMENTS.take(order)]), 16, 2, 0):
            slopes = gradient(model, batch)
            done += 1
            rate = 1e-2 * factor(done - 1, found[-1].step, tuning)
            for name, one in weights.items():
                first[name] = 0.9 * first[name] + 0.1 * slopes[name]
                second[name] = 0.999 * second[name] + 0.001 * slopes[name] ** 2
                floor = (second[name] / (1 - 0.999**done)).sqrt() + 1e-8
                one.data -= rate * first[name] / (1 - 0.9**done) / floor
    for name, one in weights.items():
        np.testing.assert_allclose(found[-1].arrays[name], one.detach(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(found[-1].arrays[f"{name}:exp_avg"], first[name], rtol=1e-2, atol=1e-5)
        np.testing.assert_allclose(found[-1].arrays[f"{name}:exp_avg_sq"], second[name], rtol=1e-2, atol=1e-8)


def gradient(model: Causal, batch: packing.Batch) -> dict[str, torch.Tensor]:
    """Of the mean loss, each document alone."""
    module, scored, total = model.module, int((batch.targets >= 0).sum()), torch.zeros(())
    module.zero_grad()
    for inputs, targets, segments in zip(*batch, strict=True):
        for one in np.unique(segments):
            at = segments == one
            logits = module(torch.from_numpy(inputs[at])[None], use_cache=False).logits[0]
            aims = torch.from_numpy(targets[at])
            if (aims >= 0).any():
                total = total + F.cross_entropy(logits, aims, ignore_index=-1, reduction="sum") / scored
    total.backward()
    return {name: one.grad.clone() for name, one in module.named_parameters()}


@pytest.mark.parametrize("adapters", [None, SMALL])
def test_opened_puts_the_weights_back(adapters: Adapters | None) -> None:
    last = run(Tuning(epochs=1, adapters=adapters), seed=5)[-1]
    model = opened(TINY, last.weights, adapters, seed=5)
    with one_thread():
        going_on = next(tune(TINY, DOCUMENTS, Tuning(epochs=1, rate=0.0, adapters=adapters), 5, start=last.weights))
    held = dict(model.module.named_parameters())
    assert last.weights.keys() == going_on.weights.keys()
    for name, array in last.weights.items():
        assert np.array_equal(held[name].detach().numpy(), array)
        assert np.array_equal(going_on.weights[name], array)


def test_adapters_alone_are_trained_stored_and_clipped() -> None:
    base = dict(Causal.of(CONFIG, 5).module.named_parameters())
    last = run(Tuning(epochs=1, adapters=SMALL), seed=5)[-1]
    assert len(last.weights) == 2 * 4 and all("lora_" in name for name in last.weights)
    assert any(np.abs(array).max() > 0 for name, array in last.weights.items() if "lora_B" in name)
    held = {
        name.replace(".base_layer", ""): one
        for name, one in opened(TINY, last.weights, SMALL, 5).module.named_parameters()
    }
    assert all(torch.equal(one, held[name]) for name, one in base.items())
    bounded = run(Tuning(epochs=1, points=1000, adapters=SMALL, clip=1e-3), seed=5)[0]
    norm = np.sqrt(sum(np.sum(np.square(a / 0.1)) for name, a in bounded.arrays.items() if name.endswith(":exp_avg")))
    assert norm == pytest.approx(1e-3, rel=1e-3)  # the first moment after one step is a tenth of the clipped gradient


def test_training_learns() -> None:
    always = Sequences(np.tile(np.array([7, 8, 9, 0], np.int32), 40), np.arange(0, 161, 4))
    losses = [one.loss for one in run(Tuning(epochs=6), documents=always)]
    assert losses[-1] < 0.5 * losses[0]


def test_errors_teach() -> None:
    with pytest.raises(InputError, match="something to learn"):
        run(Tuning(), documents=Sequences(np.array([~3, ~4], np.int32), np.array([0, 2])))
    last = run(Tuning(epochs=1))[-1]
    other = replace(TINY, config=replace(CONFIG, model=Shape(16, 2, 2, 32, vocabulary=50)))
    with pytest.raises(InputError, match="weights of the model that it is opened with"):
        opened(other, last.weights)
    with pytest.raises(InputError, match="it has none of query"):
        run(Tuning(epochs=1, adapters=Adapters(layers=("query",))))
