"""The trainer: batches, the rate, the gradient in closed form, kill and resume, branches, documents that do not see each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from assay.models import causal
from assay.models.causal import Learner, train
from assay.models.causal_config import SIZES, CausalConfig, Shape
from assay.models.causal_model import COMPILED_FROM, Causal, _together, one_thread
from assay.models.packing import packed
from assay.models.schedule import branching, factor
from assay.models.stream import Batch, stream
from assay.types import Sequences

SMALL = CausalConfig(Shape(16, 2, 2, 32, vocabulary=50), rate=1e-2, context=16, rows=4, warm=3)
RNG = np.random.default_rng(5)
LINES = [RNG.integers(1, 50, size).tolist() for size in RNG.integers(3, 60, 80)]


def documents(lines: list[list[int]]) -> Sequences:
    """Documents of these symbols, each ended by 0."""
    sizes = [len(line) + 1 for line in lines]
    data = np.array([symbol for line in lines for symbol in (*line, 0)], np.int32)
    return Sequences(data, np.cumsum([0, *sizes]))


def batches() -> Iterator[Batch]:
    """The steps of one arm, always the same."""
    return stream(iter([documents(LINES)]), SMALL.context, SMALL.rows)


def weights(model: Causal) -> dict[str, np.ndarray]:
    return {name: one.detach().numpy().copy() for name, one in model.module.named_parameters()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def thread() -> Iterator[None]:
    with one_thread():
        yield


def trained(budgets: tuple[int, ...], folder: Path | None = None, seed: int = 0) -> list[dict[str, np.ndarray]]:
    return [weights(one) for one in train(SMALL, batches, budgets, seed, folder, lambda units, loss: None)]


# --- Batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 7, 80])
def test_every_symbol_is_a_target_once_however_documents_arrive(cut: int) -> None:
    whole = documents(LINES)
    blocks = (whole.take(np.arange(start, min(start + cut, 80))) for start in range(0, 80, cut))
    made = list(stream(blocks, 16, 4))
    targets = np.concatenate([one.targets.ravel() for one in made])
    inputs = np.concatenate([one.inputs.ravel() for one in made])
    assert targets[: len(whole.data)].tolist() == whole.data.tolist() and (targets[len(whole.data) :] == -1).all()
    assert inputs[0] == 0 and inputs[1 : len(whole.data)].tolist() == whole.data[:-1].tolist()
    assert not any(one.segments.any() for one in made)


def test_context_is_read_and_not_learnt() -> None:
    one = Sequences(np.array([~3, ~4, 5, 6], np.int32), np.array([0, 4]))
    (batch,) = stream(iter([one]), 2, 2)
    assert batch.inputs.tolist() == [[0, 3], [4, 5]] and batch.targets.tolist() == [[-1, -1], [5, 6]]


# --- The rate ---------------------------------------------------------------------------------------------------------


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    rates = [factor(step, 10, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert set(rates[9:81]) == {1.0} and rates[80:] == pytest.approx([1 - step / 20 for step in range(20)])
    assert [factor(step, 10, None) for step in range(branching(100))] == rates[: branching(100)]


# --- The gradient -----------------------------------------------------------------------------------------------------


def plain_loss(model: Causal, batch: Batch, scale: float) -> Tensor:
    """The library's own logits, PyTorch's own loss."""
    logits = model.module(torch.from_numpy(batch.inputs), use_cache=False).logits
    return scale * F.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten(), ignore_index=-1, reduction="sum"
    )


def test_the_gradient_is_that_of_the_plain_loss() -> None:
    batch = next(batches())
    batch.targets[1, 3:9] = -1
    model = Causal.of(SMALL, seed=1)
    total = model.backward(batch, 0.25)
    ours = {name: one.grad.clone() for name, one in model.module.named_parameters()}
    model.module.zero_grad()
    loss = plain_loss(model, batch, 0.25)
    loss.backward()
    assert total * 0.25 == pytest.approx(loss.item(), rel=1e-6)
    for name, one in model.module.named_parameters():
        torch.testing.assert_close(ours[name], one.grad, rtol=1e-4, atol=1e-6)


def test_the_loss_in_parts_does_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(70, 8, generator=generator), torch.randn(30, 8, generator=generator)
    targets = torch.randint(-1, 30, (70,), generator=generator)
    found = []
    for size in (7, 64, 1000):
        monkeypatch.setattr("assay.models.causal_model._CHUNK", size)
        found.append(_together(hidden, head, targets, 0.5))
    for total, above, beside in found[1:]:
        assert total == pytest.approx(found[0][0], rel=1e-6)
        torch.testing.assert_close(above, found[0][1])
        torch.testing.assert_close(beside, found[0][2], rtol=1e-4, atol=1e-5)


def test_one_step_is_adamw_as_published() -> None:
    """m = 0.1 g and v = 0.05 g² after one step, so a weight moves by rate · (g / |g| + decay · w), g clipped."""
    learner = Learner.of(replace(SMALL, clip=1e9), seed=2)
    before, batch = weights(learner.model), next(batches())
    plain_loss(learner.model, batch, 1 / (batch.targets >= 0).sum()).backward()
    slopes = {name: one.grad.numpy().copy() for name, one in learner.model.module.named_parameters()}
    learner.model.module.zero_grad()
    learner.step(batch, 0.5)
    for name, after in weights(learner.model).items():
        sure = np.abs(slopes[name]) > 1e-5  # Adam's epsilon blurs the sign of the rest
        decay = SMALL.decay if after.ndim > 1 else 0.0
        wanted = before[name] - 0.5 * SMALL.rate * (np.sign(slopes[name]) + decay * before[name])
        np.testing.assert_allclose(after[sure], wanted[sure], atol=2e-5)
        assert sure.any()


# --- Seeds, budgets, kills --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone() -> dict[int, dict[str, np.ndarray]]:
    with one_thread():
        return {budget: trained((budget,))[0] for budget in (6, 12, 20)}


def test_the_same_seed_gives_the_same_bits_and_another_others(alone: dict[int, dict[str, np.ndarray]]) -> None:
    torch.manual_seed(77)  # what others did with the global state changes nothing
    assert same(trained((6,))[0], alone[6]) and not same(trained((6,), seed=1)[0], alone[6])


def test_every_branch_is_what_a_run_of_its_own_gives(alone: dict[int, dict[str, np.ndarray]]) -> None:
    for budget, found in zip((6, 12, 20), trained((6, 12, 20)), strict=True):
        assert same(found, alone[budget])


class Killed(Exception):
    pass


@pytest.mark.parametrize("fatal", (1, 4, 5, 6, 9, 13, 17, 19, 22, 23))
def test_a_killed_training_ends_with_the_same_bits(
    fatal: int, tmp_path: Path, alone: dict[int, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its `fatal`-th step, and again at every later start, with a checkpoint after every second step."""
    step, seen, starts = Learner.step, [], 0
    ticks = iter(range(10**6))
    monkeypatch.setattr(causal, "EVERY", 1.5)
    monkeypatch.setattr(causal.time, "monotonic", lambda: float(next(ticks)))

    def counted(learner: Learner, batch: Batch, share: float) -> float:
        seen.append(share)
        if starts <= 3 and len(seen) == fatal:
            raise Killed
        return step(learner, batch, share)

    monkeypatch.setattr(Learner, "step", counted)
    while True:
        starts, seen[:] = starts + 1, []
        try:
            found = trained((6, 12, 20), tmp_path)
            break
        except Killed:
            continue
    assert all(same(one, alone[budget]) for one, budget in zip(found, (6, 12, 20), strict=True))
    assert starts > 1 and len(seen) < 20 + 4  # it did not begin anew


def test_progress_ends_at_the_largest_budget() -> None:
    told: list[tuple[int, float]] = []
    list(train(SMALL, batches, (6, 12, 20), 0, None, lambda units, loss: told.append((units, loss))))
    units = [one for one, _ in told]
    assert units == sorted(units) and units[-1] == 20 * SMALL.step and len(set(units)) == len(units)
    assert told[0][1] == pytest.approx(np.log(50), abs=0.1)  # untrained, it knows nothing


# --- A compiler -------------------------------------------------------------------------------------------------------


def test_a_long_training_is_compiled_but_for_odd_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def compiler(module: Any, dynamic: bool, options: dict[str, int]) -> Any:
        assert dynamic is False and options["cpp.threads"] == 1
        return lambda input_ids, use_cache: seen.append(input_ids.shape) or module(input_ids, use_cache=use_cache)

    monkeypatch.setattr(torch, "compile", compiler)
    assert not seen and Causal.of(SMALL, 0, COMPILED_FROM - 1).backward(next(batches()), 1.0) and not seen
    model, plain = Causal.of(SMALL, 0, COMPILED_FROM), Causal.of(SMALL, 0)
    seen.clear()
    odd = next(packed(iter([documents([line[:7] for line in LINES])]), 16, 4))
    assert model.backward(odd, 1.0) == plain.backward(odd, 1.0) and not seen
    assert model.backward(next(batches()), 1.0) == plain.backward(next(batches()), 1.0) and seen == [(4, 16)]


def test_without_a_compiler_it_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*unused: object) -> None:
        raise FileNotFoundError("g++")

    monkeypatch.setattr(torch, "compile", lambda module, dynamic, options: missing)
    learner, plain = Learner.of(SMALL, 0, COMPILED_FROM), Learner.of(SMALL, 0)
    assert learner.step(next(batches()), 1.0) == plain.step(next(batches()), 1.0)
    assert same(weights(learner.model), weights(plain.model))


# --- Several documents in a row ---------------------------------------------------------------------------------------


def test_documents_of_a_packed_row_do_not_see_each_other() -> None:
    model, short = Causal.of(SMALL, seed=3), [line[:12] for line in LINES[:30]]
    (whole,) = packed(iter([documents(short)]), 16, 64)
    assert whole.segments.max() >= 1
    together = model.backward(whole, 0.01)
    slopes = [one.grad.clone() for one in model.module.parameters()]
    model.module.zero_grad()
    apart = sum(model.backward(next(stream(iter([documents([line])]), 16, 1)), 0.01) for line in short)
    assert together == pytest.approx(apart, rel=1e-5)
    for one, slope in zip(model.module.parameters(), slopes, strict=True):
        torch.testing.assert_close(one.grad, slope, rtol=1e-3, atol=1e-5)


# --- Sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "millions"), [("lm-nano", 0.33), ("lm-micro", 1.5), ("lm-mini", 10.6)])
def test_sizes_are_as_said(name: str, millions: float) -> None:
    config = SIZES[name]
    assert isinstance(config.model, Shape)
    assert config.model.parameters == pytest.approx(millions * 1e6, rel=0.03)
    if name != "lm-mini":
        made = sum(one.numel() for one in Causal.of(config, 0).module.parameters())
        assert made == config.model.parameters
