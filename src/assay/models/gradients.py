"""What one row would do to a language model: the gradient of its own loss, or the step that Adam would take on it.

    l(x)    = mean over the learnt symbols of x of -ln p            one row at a time, in pieces of the model's context
    sgd     g = ∇ l(x)
    adam    (b1 m + (1 - b1) g) / sqrt(b2 v + (1 - b2) g² + eps)    m, v: the moments of a training, before this step

All weights that are trained (all, or adapters alone) make one long vector, in the order of the module. A row is worked alone, so
that its numbers do not depend on the rows beside it, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float32, Int, Shaped

from assay.kernels.gradients import adam
from assay.models.causal_config import CausalConfig
from assay.models.causal_model import Causal, one_thread
from assay.models.stream import Batch
from assay.models.tuning import MOMENTS, Snapshot, trained
from assay.types import Sequences


@final
class Checkpoint(NamedTuple):
    """A model on its way, as long vectors (p,) of weights and moments, and after how many steps."""

    weights: Float32[np.ndarray, "m"]
    first: Float32[np.ndarray, "m"]
    second: Float32[np.ndarray, "m"]
    step: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Checkpoint:
        """A snapshot's arrays one after another."""
        names = list(snapshot.weights)
        moments = (flat([snapshot.arrays[f"{name}:{moment}"] for name in names]) for moment in MOMENTS)
        return cls(flat([snapshot.arrays[name] for name in names]), *moments, snapshot.step)


def flat(arrays: Sequence[Shaped[np.ndarray, "..."]]) -> Float32[np.ndarray, "m"]:
    """Arrays as one long vector.

    >>> flat([np.ones((2, 2)), np.zeros(1)]).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0]
    """
    return np.concatenate([np.zeros(0, np.float32), *(np.asarray(one, np.float32).ravel() for one in arrays)])


@final
@dataclass(frozen=True)
class Rule:
    """How a gradient becomes a direction: Adam's decay rates, what is added under the root, and whether the moments are
    corrected for having begun at zero."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    corrected: bool = False

    def __call__(self, gradient: Float32[np.ndarray, "m"], at: Checkpoint) -> None:
        """Turn a gradient into Adam's direction, where it lies."""
        adam(gradient, at.first, at.second, self.betas, self.eps, at.step if self.corrected else None, gradient)


@final
@dataclass(frozen=True)
class Differentiator:
    """A model whose weights are exchanged for those of checkpoints, and the gradients of rows there."""

    model: Causal
    longest: int

    def rows(self, documents: Sequences, at: Checkpoint) -> Iterator[Float32[np.ndarray, "m"] | None]:
        """The gradient (p,) of every document at a checkpoint, in an array that the next one overwrites; None where nothing
        is learnt of it. At most `longest` symbols are read."""
        put(self.model, at.weights)
        room = np.zeros(len(at.weights), np.float32)
        for start, stop in zip(documents.offsets[:-1].tolist(), documents.offsets[1:].tolist(), strict=True):
            with one_thread():
                learnt = self._into(documents.data[start : min(stop, start + self.longest)], room)
            yield room if learnt else None

    def _into(self, symbols: Int[np.ndarray, "m"], room: Float32[np.ndarray, "m"]) -> bool:
        learnt = int((symbols >= 0).sum())
        if not says(symbols, self.model.config):
            return False
        self.model.module.zero_grad(set_to_none=True)
        for piece in pieces(symbols, self.model.config):
            self.model.backward(piece, 1 / learnt)
        at = 0
        for _, one in trained(self.model):
            part = room[at : at + one.numel()]
            part[:] = 0 if one.grad is None else one.grad.detach().cpu().numpy().ravel()
            at += one.numel()
        return True


def says(symbols: Int[np.ndarray, "m"], config: CausalConfig) -> bool:
    """Whether anything is learnt but ends: an empty response has its end alone, and teaches only to stop.

    >>> config = CausalConfig("tiny", rate=1e-3)
    >>> says(np.array([~5, 6, 0]), config), says(np.array([~5, 0]), config)
    (True, False)
    """
    return bool(((symbols >= 0) & (symbols != config.end)).any())


def pieces(symbols: Int[np.ndarray, "m"], config: CausalConfig) -> Iterator[Batch]:
    """One document as it is read in training (`models/packing.py`): after an end, a context at a time; pieces of which nothing
    is learnt are left out.

    >>> config = CausalConfig("tiny", rate=1e-3, context=2)
    >>> [(piece.inputs.tolist(), piece.targets.tolist()) for piece in pieces(np.array([~5, 6, 7]), config)]
    [([[0, 5]], [[-1, 6]]), ([[6]], [[7]])]
    """
    targets = np.maximum(symbols, -1).astype(np.int64)
    read = np.where(symbols < 0, ~symbols, symbols).astype(np.int64)
    inputs = np.concatenate([np.full(1, config.end), read])[:-1]
    for start in range(0, len(symbols), config.context):
        some = slice(start, start + config.context)
        if (targets[some] >= 0).any():
            yield Batch(inputs[None, some], targets[None, some], np.zeros((1, len(inputs[some])), np.int64))


@torch.no_grad()
def put(model: Causal, weights: Float32[np.ndarray, "m"]) -> None:
    """A long vector in the places of the weights that are trained."""
    at = 0
    for _, one in trained(model):
        one.copy_(torch.from_numpy(np.array(weights[at : at + one.numel()])).view_as(one))
        at += one.numel()


def stored(checkpoints: Sequence[Checkpoint]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Checkpoints as plain arrays by name."""
    named = (
        (f"{name}_{place}", value) for place, one in enumerate(checkpoints) for name, value in one._asdict().items()
    )
    return {name: np.atleast_1d(value) for name, value in named}


def found(arrays: Mapping[str, Any], count: int) -> list[Checkpoint]:
    """What `stored` made of so many checkpoints; arrays on disk stay there until they are read."""
    return [
        Checkpoint(*(arrays[f"{name}_{place}"] for name in Checkpoint._fields[:3]), int(arrays[f"step_{place}"][0]))
        for place in range(count)
    ]
