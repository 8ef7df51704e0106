"""A sampler in the Trainer of the transformers library: it draws the batches, hears of every loss, is saved with checkpoints.

    attach(sampler, trainer)
      sampler      the trainer's loader asks for rows here
      loss         a hook on the model reads it off every training forward pass; no second pass is made
      checkpoint   checkpoint-N/sampler.safetensors, written and read with the rest

The mean loss of a batch is what the model returns; with gradient accumulation the trainer has it divided by the tokens of all
batches of the step, which is undone. Where a batch mixes domains, each row's mean is taken from logits and labels, shifted by
one as causal language models have them. A resumed trainer must not skip data: the sampler itself goes on where it was.

Needs transformers (https://huggingface.co/docs/transformers/main_classes/callback, 2025), which only who attaches one imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import TrainerCallback

from assay.errors import RecipeError, RunError
from assay.models.torch_sampler import TorchSingles

FILE = "sampler.safetensors"
_PREFETCH = 2  # batches that a worker of a torch loader fetches ahead, unless told otherwise


class Told(Protocol):
    """What gives batches, is told of losses, and is kept: `assay.sampling.Sampling`."""

    rows_of_pass: int
    batch_size: int
    size: int
    ahead: int
    adaptive: bool
    mixed: bool
    step: int

    def batches(self, whole: bool = False) -> Iterator[list[int]]:
        """Rows of each batch until the end of the pass; of a whole pass from here on if `whole`."""

    def __len__(self) -> int:
        """Batches of a pass."""

    def report(self, loss: Any = None) -> None:
        """A batch was trained on."""

    def save(self, path: str | Path) -> None:
        """Write the state."""

    def load(self, path: str | Path) -> None:
        """Go on from a state."""


def attach(sampler: Told, trainer: Any) -> None:
    """Let the trainer train on what the sampler draws. RecipeError where their sizes differ, or it fetches too far ahead."""
    arguments = trainer.args
    _refuse_misfits(sampler, trainer)
    rows = TorchSingles(sampler)
    trainer._get_train_sampler = lambda dataset=None: rows
    arguments.ignore_data_skip = True
    trainer.add_callback(SamplerCallback(sampler))


def _refuse_misfits(sampler: Told, trainer: Any) -> None:
    arguments, data = trainer.args, trainer.train_dataset
    if not hasattr(trainer, "_get_train_sampler"):
        raise RecipeError(
            "attach needs a Trainer of the transformers library; give a torch loader sampler.to_torch() instead"
        )
    if not hasattr(data, "__getitem__") or len(data) != sampler.size:
        held = f"{len(data):,} rows" if hasattr(data, "__len__") else "rows that have no numbers"
        raise RecipeError(
            f"the trainer's dataset must be the {sampler.size:,} rows that the sampler was made from, in their order; it has {held}"
        )
    if arguments.train_batch_size != sampler.batch_size:
        raise RecipeError(
            f"the trainer's batches must have the sampler's size of {sampler.batch_size} rows; they have "
            f"{arguments.train_batch_size}: make the sampler with batch_size={arguments.train_batch_size}"
        )
    if sampler.adaptive and arguments.world_size > 1:
        raise RecipeError(
            f"a sampler that learns from losses needs one training process; there are {arguments.world_size}: use rs2 or "
            "domain_upsampling, or report losses yourself"
        )
    workers = arguments.dataloader_num_workers
    needed = arguments.gradient_accumulation_steps + workers * (arguments.dataloader_prefetch_factor or _PREFETCH)
    if sampler.adaptive and sampler.ahead < needed:
        raise RecipeError(
            f"this trainer fetches {needed} batches ahead of the loss and the sampler draws {sampler.ahead}: make it with "
            f"ahead={needed}"
        )
    if arguments.dataloader_drop_last and sampler.rows_of_pass % sampler.batch_size:
        raise RecipeError("dataloader_drop_last must be off: the sampler's epoch ends with a batch that is not full")


@final
class SamplerCallback(TrainerCallback):
    """Hears of losses, and writes and reads the state; `attach` adds it."""

    def __init__(self, sampler: Told):
        self.sampler, self._losses, self._hook = sampler, list[Any](), None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Take up a checkpoint's state, and listen to the model."""
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
        if state.global_step and not self.sampler.step:
            if not path.exists():
                raise RunError(
                    f"{path} must be the sampler's state at step {state.global_step}; it is not there: sampler.load(...) it before "
                    "train, or resume from an earlier checkpoint"
                )
            self.sampler.load(path)
        self._losses.clear()
        self._hook = model.register_forward_hook(self._listen, with_kwargs=True)

    def on_substep_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """A batch of several in a step was trained on."""
        self._report()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """The last batch of a step was trained on."""
        self._report()

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write the state beside the model."""
        if state.is_world_process_zero:
            self.sampler.save(Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Listen no more."""
        if self._hook is not None:
            self._hook.remove()

    def _listen(self, model: Any, given: tuple[Any, ...], named: Mapping[str, Any], told: Any) -> None:
        if model.training and self.sampler.adaptive:
            self._losses.append(by_row(told, named) if self.sampler.mixed else mean(told, named))

    def _report(self) -> None:
        losses, self._losses = self._losses, []
        self.sampler.report(losses[-1] if losses else None)


def mean(told: Any, named: Mapping[str, Any]) -> Tensor | None:
    """A batch's mean loss, whatever it was divided by; None where the model returned none."""
    loss = told.get("loss") if isinstance(told, Mapping) else None
    count, labels = named.get("num_items_in_batch"), named.get("labels")
    if loss is None or count is None or labels is None:
        return loss if loss is None else loss.detach()
    own = (labels[..., 1:] if labels.dim() > 1 else labels) >= 0
    return loss.detach() * count / own.sum().clamp(min=1)


def by_row(told: Any, named: Mapping[str, Any]) -> Float[Tensor, "b"] | None:
    """Each row's mean loss over its labels, of a causal language model; None without logits and labels. A row without a label
    has the mean of the others."""
    logits = told.get("logits") if isinstance(told, Mapping) else None
    labels = named.get("labels")
    if logits is None or labels is None or logits.dim() != 3:
        return None
    aims = labels[:, 1:]
    spent = torch.nn.functional.cross_entropy(
        logits[:, :-1].detach().float().transpose(1, 2), aims, reduction="none", ignore_index=-100
    )
    counted = (aims >= 0).sum(1)
    means = spent.sum(1) / counted.clamp(min=1)
    return torch.where(counted > 0, means, means[counted > 0].mean())
