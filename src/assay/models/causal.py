"""Trains a causal language model the same way whatever it reads: the neural proxies' only trainer.

    AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) with betas 0.9 and 0.95, weight decay 0.1 on matrices,
    gradients clipped at norm 1, the rate of `models/schedule.py`, no dropout. A step is one batch, its loss the mean over
    the places that have one. Float32 on a processor, with one thread; bfloat16 products on a GPU.

The initial weights depend on the seed only, a step only on weights, moments and batch: the same arm gives the same model
to the bit (on one machine, with one version of torch). Weights, moments and place are written every half minute, so a
training that was killed goes on, and ends with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from assay.io import tensors
from assay.models.causal_config import CausalConfig
from assay.models.causal_model import Causal
from assay.models.schedule import branching, factor
from assay.models.stream import Batch

EVERY = 30.0  # seconds between checkpoints
Report = Callable[[int, float], None]
Batches = Callable[[], Iterator[Batch]]


@final
@dataclass(frozen=True)
class Learner:
    """A model and its optimiser."""

    model: Causal
    optimiser: torch.optim.AdamW

    @classmethod
    def of(cls, config: CausalConfig, seed: int, tokens: int = 0) -> Learner:
        """At its initial weights, all moments zero, to be trained on so many tokens."""
        model = Causal.of(config, seed, tokens)
        weights = list(model.module.parameters())
        groups = [
            {"params": [one for one in weights if one.dim() >= 2], "weight_decay": config.decay},
            {"params": [one for one in weights if one.dim() < 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW([group for group in groups if group["params"]], betas=config.betas, fused=True)
        for one in weights:
            optimiser.state[one] = {
                "step": torch.zeros((), device=one.device),
                "exp_avg": torch.zeros_like(one),
                "exp_avg_sq": torch.zeros_like(one),
            }
        return cls(model, optimiser)

    def step(self, batch: Batch, share: float) -> float:
        """Learn one batch at a share of the peak rate; its mean loss in nats before that."""
        rows, scored = len(batch.inputs), max(1, int((batch.targets >= 0).sum()))
        each = self.model.shape[0]
        loss = 0.0
        for start in range(0, rows, each):
            piece = Batch(*(part[start : start + each] for part in batch))
            if (piece.targets >= 0).any():
                loss += self.model.backward(piece, 1 / scored)
        torch.nn.utils.clip_grad_norm_(self.model.module.parameters(), self.model.config.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.model.config.rate * share
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss / scored

    def state(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Weights and moments, copied."""
        return {name: one.detach().cpu().numpy().copy() for name, one in self._tensors()}

    def restore(self, state: dict[str, Shaped[np.ndarray, "..."]]) -> None:
        """Make it what it was at `state`."""
        with torch.no_grad():
            for name, one in self._tensors():
                one.copy_(torch.tensor(state[name]))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, one in self.model.module.named_parameters():
            yield name, one
            yield from ((f"{name}:{moment}", held) for moment, held in self.optimiser.state[one].items())


def train(
    config: CausalConfig, batches: Batches, budgets: tuple[int, ...], seed: int, folder: Path | None, report: Report
) -> Iterator[Causal]:
    """The model at each of the rising `budgets` (steps), each as if trained for just that budget; it is one object, so use it
    before asking for the next.

    `batches()` gives all steps from the first, the same each time; `folder` is where checkpoints are kept, if anywhere;
    `report(tokens, loss)` is told of every step, in tokens of the largest budget.
    """
    learner, tell = Learner.of(config, seed, budgets[-1] * config.step), Told(report, budgets, config.step)
    trunk = Leg(learner, batches, None, tell, folder and folder / "trunk.safetensors")
    at = trunk.start()
    for budget in budgets:
        end = folder and folder / f"{budget}.safetensors"
        finished = end is not None and end.exists()
        if not finished:
            trunk.run(at, branching(budget))
        at = max(at, branching(budget))
        kept = learner.state()
        if end is not None and finished:
            learner.restore(tensors.load(end))
        else:
            branch = Leg(learner, batches, budget, tell, folder and folder / f"to-{budget}.safetensors")
            branch.run(max(at, branch.start()), budget)
            branch.keep(budget, end)
        yield learner.model
        learner.restore(kept)


@final
@dataclass(frozen=True)
class Told:
    """What is told of the work: steps of trunk and branches together, as a share of the largest budget."""

    report: Report
    budgets: tuple[int, ...]
    tokens: int

    def __call__(self, step: int, budget: int | None, loss: float) -> None:
        """After a step of the trunk (None) or of a budget's branch."""
        trunk = step if budget is None else branching(budget)
        ended = [each for each in self.budgets if branching(each) < trunk or each < (budget or 0)]
        done = step + sum(each - branching(each) for each in ended)
        whole = branching(self.budgets[-1]) + sum(each - branching(each) for each in self.budgets)
        self.report(int(done / whole * self.budgets[-1] * self.tokens), loss)


@final
@dataclass(frozen=True)
class Leg:
    """The trunk (no budget), or the branch of a budget, with its checkpoint."""

    learner: Learner
    batches: Batches
    budget: int | None
    tell: Told
    path: Path | None

    def start(self) -> int:
        """Take up the checkpoint, if there is one; the step to go on with."""
        if self.path is None or not self.path.exists():
            return 0
        state = tensors.load(self.path)
        self.learner.restore(state)
        return int(state["next"])

    def run(self, start: int, stop: int) -> None:
        """Learn the steps from `start` up to `stop`, with a checkpoint now and then and after the last."""
        kept = time.monotonic()
        for step, batch in enumerate(islice(self.batches(), start, stop), start):
            loss = self.learner.step(batch, factor(step, self.learner.model.config.warm, self.budget))
            self.tell(step + 1, self.budget, loss)
            if time.monotonic() - kept > EVERY:
                self.keep(step + 1, self.path)
                kept = time.monotonic()
        if stop > start:
            self.keep(stop, self.path)

    def keep(self, step: int, path: Path | None) -> None:
        """Write a checkpoint: everything that the next step depends on."""
        if path is not None:
            tensors.save(path, {**self.learner.state(), "next": np.array(step)})
