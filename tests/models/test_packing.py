"""Packing: every symbol stands once after its own predecessor, no row holds too much, and few places stay empty."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import ROOT, unpacked

from assay.models.packing import best_fit, packed, pieces
from assay.models.stream import Batch
from assay.types import Sequences

DATA = Path(__file__).parents[3] / "shared" / "data" / "instruct"
CONTEXT, ROWS, BEGIN = 16, 4, 0


def documents(seed: int, count: int, longest: int) -> Sequences:
    """Documents of random sizes, the first half of each context, all symbols distinct and above 0."""
    sizes = np.random.default_rng(seed).integers(0, longest, count)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    data = np.arange(1, offsets[-1] + 1, dtype=np.int32)
    for start, stop in pairwise(offsets.tolist()):
        data[start : (start + stop) // 2] = ~data[start : (start + stop) // 2]
    return Sequences(data, offsets)


def blocks_of(whole: Sequences, size: int) -> list[Sequences]:
    return [whole.take(np.arange(at, min(len(whole), at + size))) for at in range(0, len(whole), size)]


def cut_to(whole: Sequences, units: int) -> Sequences:
    """The beginning of some documents, as an arm of so many units is."""
    last = int(np.searchsorted(whole.offsets, units, side="left"))
    kept = whole.take(np.arange(last))
    return kept.shortened(last - 1, units - int(whole.offsets[last - 1]))


@pytest.mark.parametrize("seed", range(8))
def test_every_symbol_stands_once_after_the_one_before_it(seed: int) -> None:
    whole = documents(seed, 300, 50)
    steps = list(packed(iter(blocks_of(whole, 37)), CONTEXT, ROWS, BEGIN, window=60))
    before = {}  # of every symbol the one before it in its document
    for start, stop in pairwise(whole.offsets.tolist()):
        symbols = np.abs(whole.data[start:stop] + (whole.data[start:stop] < 0)).tolist()
        before |= dict(zip(symbols, [BEGIN, *symbols], strict=False))
    inputs, targets = (
        np.concatenate([getattr(step, name).ravel() for step in steps]) for name in ("inputs", "targets")
    )
    learnt = targets >= 0
    assert sorted(targets[learnt].tolist()) == whole.data[whole.data >= 0].tolist()
    assert all(before[target] == given for given, target in zip(inputs[learnt], targets[learnt], strict=True))
    assert all(step.inputs.shape[1] == CONTEXT and step.inputs.shape == step.segments.shape for step in steps)


@pytest.mark.parametrize("seed", range(4))
def test_a_segment_is_one_piece_with_nothing_of_another(seed: int) -> None:
    whole = documents(seed, 200, 40)
    owner = np.repeat(np.arange(len(whole)), whole.sizes)
    starts, sizes = pieces(whole, CONTEXT)
    expected = sorted(tuple(np.maximum(whole.data[at : at + size], -1)) for at, size in zip(starts, sizes, strict=True))
    found = []
    for step in packed(iter([whole]), CONTEXT, ROWS, BEGIN):
        for targets, inputs, segments in zip(step.targets, step.inputs, step.segments, strict=True):
            assert (np.diff(segments) >= 0).all()  # pieces lie one after another, empty places last
            for number in range(segments.max() + 1):
                piece, given = targets[segments == number], inputs[segments == number]
                owners = set(owner[piece[piece >= 0] - 1]) | set(owner[given[given > 0] - 1])
                assert len(owners) <= 1
                if (piece >= 0).any() or (given != BEGIN).any():
                    found.append(tuple(piece.tolist()))
    kept = [piece for piece in expected if len(piece) > 1 or piece[0] >= 0]
    assert sorted(piece for piece in found if len(piece) > 1 or piece[0] >= 0) == kept


@pytest.mark.parametrize("longest", [6, 16, 60])
@pytest.mark.parametrize("window", [1, 30, 10_000])
def test_steps_follow_from_units_alone(longest: int, window: int) -> None:
    for steps in (1, 3, 17):
        whole = cut_to(documents(longest, 1_000, longest), steps * ROWS * CONTEXT)
        made = list(packed(iter(blocks_of(whole, 11)), CONTEXT, ROWS, BEGIN, window))
        assert len(made) == steps
        heights = [len(step.inputs) for step in made]
        assert heights == sorted(heights) and heights[0] >= ROWS


@pytest.mark.parametrize("block", [7, 60, 61, 200])
def test_a_window_that_ends_with_the_documents_has_the_last_step(block: int) -> None:
    """Sixty documents make a window; where they are also the last, what is left over by whole steps is in it."""
    whole = documents(5, 60, 20)
    made = list(packed(iter(blocks_of(whole, block)), CONTEXT, ROWS, BEGIN, window=60))
    assert len(made) == -(-int(whole.sizes.sum()) // (CONTEXT * ROWS))
    targets = np.concatenate([step.targets.ravel() for step in made])
    assert sorted(targets[targets >= 0].tolist()) == whole.data[whole.data >= 0].tolist()


def test_bins_are_dealt_out_evenly() -> None:
    whole = cut_to(documents(5, 4_000, 14), 40 * ROWS * CONTEXT)
    filled = [(step.targets >= 0).any(1).sum() for step in packed(iter([whole]), CONTEXT, ROWS, BEGIN)]
    assert max(filled) - min(filled) <= 1 and len(filled) == 40


def first_fit(sizes: list[int], context: int) -> int:
    rooms: list[int] = []
    for size in sizes:
        at = next((at for at, room in enumerate(rooms) if room >= size), None)
        if at is None:
            rooms.append(context - size)
        else:
            rooms[at] -= size
    return len(rooms)


def fewest(sizes: list[int], context: int) -> int:
    """By trying everything: each piece in every bin that has room, or in a new one."""
    best = len(sizes)

    def place(at: int, rooms: tuple[int, ...]) -> None:
        nonlocal best
        if len(rooms) >= best:
            return
        if at == len(sizes):
            best = len(rooms)
            return
        for one in range(len(rooms)):
            if rooms[one] >= sizes[at]:
                place(at + 1, (*rooms[:one], rooms[one] - sizes[at], *rooms[one + 1 :]))
        place(at + 1, (*rooms, context - sizes[at]))

    place(0, ())
    return best


def slow_best_fit(sizes: list[int], context: int) -> int:
    """The rule itself: by falling size, each where it leaves the least room."""
    rooms: list[int] = []
    for size in sorted(sizes, reverse=True):
        fits = [room for room in rooms if room >= size]
        if fits:
            rooms[rooms.index(min(fits))] -= size
        else:
            rooms.append(context - size)
    return len(rooms)


@pytest.mark.parametrize("seed", range(30))
def test_best_fit_is_its_rule_and_near_the_fewest_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, CONTEXT + 1, int(rng.integers(1, 12)))
    packing = best_fit(sizes, CONTEXT)
    assert packing.count == slow_best_fit(sizes.tolist(), CONTEXT)
    assert packing.count <= 11 / 9 * fewest(sizes.tolist(), CONTEXT) + 1  # Johnson 1974, the bound of this rule
    load = np.bincount(packing.bins, sizes, minlength=packing.count)
    assert load.max() <= CONTEXT and load.min() > 0


@pytest.mark.parametrize("seed", range(5))
def test_best_fit_needs_no_more_bins_than_first_fit(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 200, 3_000)
    assert best_fit(sizes, 256).count <= first_fit(sizes.tolist(), 256)


def test_no_documents_no_steps() -> None:
    assert list(packed(iter([]), CONTEXT, ROWS)) == []
    assert list(packed(iter([documents(0, 3, 1)]), CONTEXT, ROWS)) == []


@pytest.mark.parametrize(("name", "wasted", "alone"), [("alpaca_rated", 0.05, 0.4), ("lima_train", 0.02, 0.1)])
def test_little_is_wasted_on_real_instructions(name: str, wasted: float, alone: float) -> None:
    """In bytes, about four to a token."""
    if not DATA.exists():
        pytest.skip("needs ../shared/data")
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    little_is_wasted([f"{row['instruction']}{row['input']}{row['output']}" for row in rows], wasted, alone)


@pytest.mark.parametrize(("source", "wasted", "alone"), [("arithmetic", 0.05, 0.3), ("medicine", 0.05, 0.1)])
def test_little_is_wasted_on_the_example_pool(source: str, wasted: float, alone: float) -> None:
    """Short problems with their answers, and longer texts."""
    rows = [json.loads(line) for line in unpacked(ROOT / "examples" / "data" / "pool.jsonl.zst").splitlines()]
    little_is_wasted([row["text"] for row in rows if row["source"] == source], wasted, alone)


def little_is_wasted(texts: list[str], wasted: float, alone: float) -> None:
    """Packed rows leave less than `wasted` empty; one document, or piece, a row leaves `alone` and more."""
    sizes = np.array([len(text.encode()) for text in texts])
    whole = Sequences(np.ones(int(sizes.sum()), np.int8), np.concatenate([[0], np.cumsum(sizes)]))
    steps = packed(iter(blocks_of(whole, 1_000)), 1024, 32)
    places = sum(int((step.targets > 0).any(1).sum()) for step in steps) * 1024
    assert 1 - sizes.sum() / places < wasted
    assert 1 - sizes.sum() / (len(pieces(whole, 1024)[0]) * 1024) > alone


# --- With a model -----------------------------------------------------------------------------------------------------


def surprise(model: Any, batch: Batch) -> np.ndarray:
    """Nats of every target, by the judge's own forward; meaningless where there is no target."""
    chances = model.logits(batch).log_softmax(2).numpy()
    return -np.take_along_axis(chances, np.maximum(batch.targets, 0)[:, :, None], 2)[:, :, 0]


def test_a_document_in_a_packed_row_has_the_loss_that_it_has_alone() -> None:
    import torch

    from assay.models.causal_config import CausalConfig, Shape
    from assay.models.causal_model import Causal

    config = CausalConfig(Shape(16, 1, 2, 32, 2_000), rate=1e-2)
    module = Causal.of(config, 0).module.cpu()
    with torch.no_grad():
        module.get_output_embeddings().weight.normal_(0, 1, generator=torch.Generator().manual_seed(0))
    model = Causal(module, config, "cpu", module)
    whole = documents(3, 60, CONTEXT)
    losses = {}
    for step in packed(iter([whole]), CONTEXT, ROWS, BEGIN):
        learnt = step.targets >= 0
        losses |= dict(zip(step.targets[learnt].tolist(), surprise(model, step)[learnt].tolist(), strict=True))
    for one in range(len(whole)):
        for alone in packed(iter([whole.take(np.array([one]))]), CONTEXT, 1, BEGIN):
            learnt = alone.targets >= 0
            beside = np.array([losses[symbol] for symbol in alone.targets[learnt].tolist()])
            assert np.abs(beside - surprise(model, alone)[learnt]).max() < 1e-5
    leaky = step._replace(segments=np.zeros_like(step.segments))
    assert np.abs(surprise(model, leaky) - surprise(model, step)).max() > 1e-2  # so a leak would show
