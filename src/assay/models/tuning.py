"""Trains or fine-tunes a causal language model on rows in memory, and keeps it at several points of its training.

    order     each epoch's documents in an order drawn from (seed, epoch), packed into rows (models/packing.py)
    rate(s)   peak · min(1, (s + 1) / warm) while it rises, then peak · (total − s) / (total − warm)     "linear"
              peak · min(1, (s + 1) / warm)                                                               "constant"

A step is one batch by AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101), its loss the mean over the
places that have one, its gradient clipped. All weights are trained, or only low-rank adapters: W + (alpha / r) B A, with A
drawn and B zero (Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685). There is no dropout.

On a processor the same documents, in the same order, give the same bits, whatever else runs: one thread.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Shaped

from assay.contracts import NOWHERE, Checkpoints, Report
from assay.errors import InputError, MissingExtra
from assay.models.causal_config import CausalConfig
from assay.models.causal_model import Causal, one_thread
from assay.models.language import Language
from assay.models.packing import packed
from assay.models.resume import Resume
from assay.models.stream import Batch
from assay.types import Sequences

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
MOMENTS = ("exp_avg", "exp_avg_sq")


@final
@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters, which are trained in place of the weights.

    r        rank
    alpha    what their product is scaled by is alpha / r
    layers   projections that have one, by the names that the transformers library gives them
    """

    r: int = 128
    alpha: float = 512.0
    layers: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")


@final
@dataclass(frozen=True)
class Tuning:
    """How to train; what is None is as the model's own config has it.

    epochs     times that every document is read
    points     snapshots, evenly over the steps; 0: one after each epoch
    rate       peak learning rate
    rows       rows of a step
    warm       share of the steps while which the rate rises
    schedule   what becomes of it then: "linear" (to zero) or "constant"
    betas      decay rates of Adam's moments
    decay      weight decay of matrices
    clip       the gradient's norm at most
    adapters   train only these; None: all weights
    """

    epochs: int = 4
    points: int = 0
    rate: float | None = None
    rows: int | None = None
    warm: float = 0.03
    schedule: Literal["linear", "constant"] = "linear"
    betas: tuple[float, float] | None = None
    decay: float | None = None
    clip: float | None = None
    adapters: Adapters | None = None


@final
class Snapshot(NamedTuple):
    """A model on its way: after so many of all steps, the mean learning rate and the mean loss (nats) since the last snapshot, and
    copies of what is trained: weights by `name`, Adam's moments by `name:exp_avg` and `name:exp_avg_sq`."""

    step: int
    rate: float
    loss: float
    arrays: dict[str, Shaped[np.ndarray, "..."]]

    @property
    def weights(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The weights alone: what `opened` needs."""
        return {name: array for name, array in self.arrays.items() if ":" not in name}

    def save(self, checkpoints: Checkpoints) -> None:
        """Keep it for a training that goes on after it."""
        told = {":rate": np.array(self.rate), ":loss": np.array(self.loss)}
        checkpoints.save(f"point-{self.step}", {**self.arrays, **told})

    @classmethod
    def load(cls, step: int, checkpoints: Checkpoints) -> Snapshot:
        """The one that was kept after so many steps."""
        arrays = dict(checkpoints.expect(f"point-{step}"))
        return cls(step, float(arrays.pop(":rate")), float(arrays.pop(":loss")), arrays)


def quiet(done: int, total: int, loss: float) -> None:
    """A report that tells nobody."""


def tune(
    language: Language,
    documents: Sequences,
    tuning: Tuning,
    seed: int,
    start: Arrays | None = None,
    report: Report = quiet,
    checkpoints: Checkpoints = NOWHERE,
) -> Iterator[Snapshot]:
    """Train on documents (in an order that is the caller's to fix) and yield the model at the points of `tuning`.

    It starts from the weights of a checkpoint, or initial ones of `seed`; with `start`, from those of an earlier snapshot.
    `report(done, total, loss)` is told of every step. One that is stopped goes on from its `checkpoints`, with the same bits.
    Raises InputError where the documents have nothing to learn, MissingExtra where adapters are asked for and peft is lacking.
    """
    if not (documents.data[documents.offsets[0] : documents.offsets[-1]] >= 0).any():
        raise InputError("there must be something to learn in the rows that a model is trained on; they are empty")
    tuner = Tuner.of(language, tuning, seed, start)
    total = tuning.epochs * steps_of(documents, tuner.model)
    points, resume = _points(total, tuning), Resume(tuner.model.module, tuner.optimiser, checkpoints)
    told = resume.begin()
    done, rates, losses = int(told.get("done", 0)), [*told.get("rates", ())], [*told.get("losses", ())]
    yield from (Snapshot.load(point, checkpoints) for point in points if point <= done)
    for step, batch in islice(enumerate(_batches(documents, tuner.model, tuning, seed)), done, None):
        rates.append(tuner.model.config.rate * factor(step, total, tuning))
        with one_thread():
            losses.append(tuner.step(batch, rates[-1]))
        report(step + 1, total, losses[-1])
        if step + 1 in points:
            snapshot = Snapshot(step + 1, float(np.mean(rates)), float(np.mean(losses)), tuner.state())
            snapshot.save(checkpoints)
            rates, losses = [], []
            resume.save({"done": step + 1})
            yield snapshot
        elif resume.due:
            resume.save({"done": step + 1, "rates": rates, "losses": losses})


def opened(language: Language, arrays: Arrays, adapters: Adapters | None = None, seed: int = 0) -> Causal:
    """The model with the weights of a snapshot put back; where only adapters were trained, give these and the seed again.

    Raises InputError where they are weights of another model.
    """
    model = untrained(language.config, adapters, seed)
    _put(dict(trained(model)), arrays)
    return model


def untrained(config: CausalConfig, adapters: Adapters | None = None, seed: int = 0) -> Causal:
    """The model before training: initial weights of `seed` or a checkpoint's, with its adapters, beside which all is frozen."""
    model = Causal.of(config, seed)
    if adapters is not None:
        _inject(model.module, adapters, seed)
    return model


def trained(model: Causal) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The weights that are trained, by name; those that layers share count once."""
    yield from ((name, one) for name, one in model.module.named_parameters() if one.requires_grad)


def factor(step: int, total: int, tuning: Tuning) -> float:
    """The share of the peak rate at a step of so many.

    >>> [factor(step, 6, Tuning(warm=0.3)) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    warm = int(np.ceil(tuning.warm * total))
    if step < warm or tuning.schedule == "constant":
        return min(1.0, (step + 1) / max(1, warm))
    return (total - step) / (total - warm)


def steps_of(documents: Sequences, model: Causal) -> int:
    """Steps of one epoch: as many as the symbols make."""
    return -(-int(documents.sizes.sum()) // model.config.step)


def _points(total: int, tuning: Tuning) -> list[int]:
    points = tuning.points or tuning.epochs
    return sorted({max(1, total * point // points) for point in range(1, points + 1)})


def _batches(documents: Sequences, model: Causal, tuning: Tuning, seed: int) -> Iterator[Batch]:
    """The steps of all epochs, each epoch's documents in its own order."""
    config = model.config
    for epoch in range(tuning.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(documents))
        yield from packed(iter([documents.take(order)]), config.context, config.rows, config.end)


def _configured(language: Language, tuning: Tuning) -> CausalConfig:
    """The model's config with the numbers that a tuning gives."""
    given = {name: getattr(tuning, name) for name in ("rate", "rows", "betas", "decay", "clip")}
    return replace(language.config, **{name: value for name, value in given.items() if value is not None})


@final
@dataclass(frozen=True)
class Tuner:
    """A model, what of it is trained, and its optimiser."""

    model: Causal
    weights: dict[str, torch.nn.Parameter]
    optimiser: torch.optim.AdamW

    @classmethod
    def of(cls, language: Language, tuning: Tuning, seed: int, start: Arrays | None) -> Tuner:
        """At a checkpoint's weights or initial ones, or those of `start`; all moments zero."""
        model = untrained(_configured(language, tuning), tuning.adapters, seed)
        weights = dict(trained(model))
        if start is not None:
            _put(weights, start)
        groups = [
            {"params": [one for one in weights.values() if one.dim() >= 2], "weight_decay": model.config.decay},
            {"params": [one for one in weights.values() if one.dim() < 2], "weight_decay": 0.0},
        ]
        kept = [group for group in groups if group["params"]]
        return cls(model, weights, torch.optim.AdamW(kept, betas=model.config.betas, fused=True))

    def step(self, batch: Batch, rate: float) -> float:
        """Learn one batch; its mean loss in nats before that."""
        rows, scored, loss = len(batch.inputs), max(1, int((batch.targets >= 0).sum())), 0.0
        each = self.model.shape[0]
        for start in range(0, rows, each):
            piece = Batch(*(part[start : start + each] for part in batch))
            if (piece.targets >= 0).any():
                loss += self.model.backward(piece, 1 / scored)
        torch.nn.utils.clip_grad_norm_(self.weights.values(), self.model.config.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.model.module.zero_grad(set_to_none=True)
        return loss / scored

    def state(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Weights and moments, copied; moments of what had no gradient yet are zero."""
        found = {}
        for name, one in self.weights.items():
            held = self.optimiser.state.get(one, {})
            found[name] = one.detach().cpu().numpy().copy()
            for moment in MOMENTS:
                known = held.get(moment)
                array = np.zeros_like(found[name]) if known is None else known.cpu().numpy().copy()
                found[f"{name}:{moment}"] = array
        return found


@torch.no_grad()
def _put(weights: Mapping[str, torch.nn.Parameter], arrays: Arrays) -> None:
    """Weights of a snapshot in the places of a model's."""
    for name, one in weights.items():
        if name not in arrays or arrays[name].shape != tuple(one.shape):
            raise InputError(
                f"a snapshot must hold the weights of the model that it is opened with; it has none for {name!r} of shape "
                f"{tuple(one.shape)}: train it again with this model"
            )
        one.copy_(torch.from_numpy(np.array(arrays[name])))


def _inject(module: Any, adapters: Adapters, seed: int) -> None:
    """Give a module its adapters, in place; all other weights are frozen."""
    if importlib.util.find_spec("peft") is None:
        raise MissingExtra.of("training low-rank adapters", "models")
    import peft

    asked = peft.LoraConfig(
        r=adapters.r, lora_alpha=adapters.alpha, lora_dropout=0.0, target_modules=list(adapters.layers), bias="none"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(asked, module)
        except ValueError as error:
            raise InputError(
                f"adapters must name layers that the model has; it has none of {', '.join(adapters.layers)} ({error})"
            ) from None
    module.eval()
