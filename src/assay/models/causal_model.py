"""A causal language model of the transformers library: made from a shape, a config or a checkpoint, and its gradient.

On a processor the last layer and the loss are worked out together, a few hundred places at a time, gradient included, so
that the logits (places × vocabulary, by far the largest array) never leave the cache: a third more tokens a second than
the loss over all logits at once (the idea of Hsu et al. 2024, Liger Kernel, https://arxiv.org/abs/2410.10989). On a GPU,
and for models whose last layer is more than a product, the library computes the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Int64
from torch import Tensor

from assay.errors import InputError
from assay.models import hub
from assay.models.causal_config import CausalConfig, Shape
from assay.models.stream import Batch

COMPILED_FROM = 500_000  # tokens from which on compiling pays: 8 s once in a process, up to a minute once on a machine
_PIECE = 8  # rows that go through the model at once on a processor: what they make stays in the cache
_OPTIONS = MappingProxyType({"cpp.threads": 1, "compile_threads": 1})
_CHUNK = 256  # places whose logits are held at once: 2 MB at 2,048 tokens
_PLAIN = ("llama", "mistral", "qwen2", "qwen3")  # their logits are the hidden states times a matrix, no more


def device() -> str:
    """`cuda` where there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums depend on how many threads share them: on a processor a model has one, however many workers there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@final
@dataclass(frozen=True)
class Causal:
    """A model on its device; `forward` is the module's way to logits or hidden states, or what a compiler made of it."""

    module: Any
    config: CausalConfig
    place: str
    forward: Callable[..., Any] = field(repr=False)

    @classmethod
    def of(cls, config: CausalConfig, seed: int, tokens: int = 0) -> Causal:
        """A model with initial weights of `seed` only, or a checkpoint's, to be trained on so many tokens.

        Raises InputError where there is none to be found.
        """
        with torch.random.fork_rng(), hub.quiet():
            torch.manual_seed(seed)
            module = _made(config.model)
        place = device()
        module = module.to(place, torch.float32).eval()  # no dropout, which would be chance that no seed rules
        if isinstance(config.model, str):
            _refuse_foresight(module, config.model)
        plain = cls(module, config, place, module.model if cls._split(module, place) else module)
        return plain if tokens < COMPILED_FROM else plain._compiled()

    def _compiled(self) -> Causal:
        """The same through a compiler, if there is one: the sums differ in the last bits, and take a fifth less time."""
        options = None if self.place == "cuda" else dict(_OPTIONS)
        made = replace(self, forward=torch.compile(self.forward, dynamic=False, options=options))
        try:
            made.backward(Batch(*np.zeros((3, *self.shape), np.int64)), 0.0)
        except Exception:  # torch has many kinds for what a compiler or linker lacks; the model's own errors come again
            return self
        finally:
            self.module.zero_grad(set_to_none=True)
        return made

    @staticmethod
    def _split(module: Any, place: str) -> bool:
        head = module.get_output_embeddings()
        return place == "cpu" and module.config.model_type in _PLAIN and getattr(head, "bias", None) is None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and places that go through the model at once."""
        rows = self.config.rows
        return min(rows, _PIECE) if self.place == "cpu" else rows, self.config.context

    def logits(self, batch: Batch) -> Tensor:
        """Logits (r, c, v) of every place, without gradients."""
        module = self.module
        with torch.inference_mode(), self._precision():
            return module(**_placed(batch, self.place), use_cache=False).logits.float()

    def backward(self, batch: Batch, scale: float) -> float:
        """Add the gradient of `scale` times the summed loss of a batch, and return that sum in nats."""
        inputs, targets = _placed(batch, self.place), torch.from_numpy(batch.targets).to(self.place).flatten()
        if self._split(self.module, self.place):
            forward = self.forward if self._usual(batch) else self.module.model
            hidden = forward(**inputs, use_cache=False).last_hidden_state
            head = self.module.get_output_embeddings().weight
            total, above, beside = _together(hidden.detach().flatten(0, 1), head.detach(), targets, scale)
            hidden.backward(above.view_as(hidden))
            head.grad = beside if head.grad is None else head.grad.add_(beside)
            return total
        with self._precision():
            forward = self.forward if self._usual(batch) else self.module
            logits = forward(**inputs, use_cache=False).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=-1, reduction="sum")
        (loss * scale).backward()
        return float(loss.detach())

    def _usual(self, batch: Batch) -> bool:
        """Whether a batch is of the one form that was compiled."""
        return batch.inputs.shape == self.shape and not batch.segments.any()

    def _precision(self) -> torch.autocast:
        """bfloat16 on a GPU; on a processor without instructions for it, it takes more than twice as long as float32."""
        return torch.autocast(self.place, torch.bfloat16, enabled=self.place == "cuda")


def _made(model: Shape | str) -> Any:
    if isinstance(model, Shape):
        return transformers.AutoModelForCausalLM.from_config(_llama(model), attn_implementation="sdpa")
    try:
        if hub.weighted(model):
            return transformers.AutoModelForCausalLM.from_pretrained(
                model, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            )
        return transformers.AutoModelForCausalLM.from_config(config_of(model), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unusable(model, error) from None


def _llama(shape: Shape) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )


def config_of(path: str) -> Any:
    """The config in a folder or on the hub; InputError where there is none."""
    try:
        return hub.config_of(path)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from None


@torch.no_grad()
def _refuse_foresight(module: Any, path: str) -> None:
    """A model that sees what it is to predict would win every trial: what it says of a place must not depend on later ones."""
    tokens = torch.zeros((2, 8), dtype=torch.int64, device=module.device)
    tokens[1, -1] = 1
    said = module(input_ids=tokens, use_cache=False).logits[:, :-1]
    if not torch.allclose(said[0], said[1], rtol=1e-3, atol=1e-4):
        raise InputError(
            f"the model {path!r} must predict each token from those before it; it looks at later ones as well: give a causal "
            "language model (for BERT and its like, a config with is_decoder)"
        )


def _unusable(path: str, error: Exception) -> InputError:
    first = str(error).strip().split("\n")[0]
    return InputError(
        f"the model {path!r} must be a folder (or hub id) with a config.json of a causal language model of the transformers "
        f"library, and weights in model.safetensors if it is to be trained on; {first}"
    )


def _placed(batch: Batch, place: str) -> dict[str, Tensor]:
    """What the module is given: tokens; and where rows hold several documents their positions and who sees whom."""
    tokens = torch.from_numpy(batch.inputs).to(place)
    if not batch.segments.any():
        return {"input_ids": tokens}
    segments = torch.from_numpy(batch.segments).to(place)
    width = tokens.shape[1]
    seen = (segments[:, :, None] == segments[:, None, :]) & torch.ones(
        width, width, dtype=torch.bool, device=place
    ).tril()
    positions = torch.from_numpy(positions_of(batch.segments)).to(place)
    return {"input_ids": tokens, "position_ids": positions, "attention_mask": seen[:, None]}


def positions_of(segments: Int64[np.ndarray, "r c"]) -> Int64[np.ndarray, "r c"]:
    """Places counted from the beginning of their document.

    >>> positions_of(np.array([[0, 0, 1, 1, 1]])).tolist()
    [[0, 1, 0, 1, 2]]
    """
    places = np.broadcast_to(np.arange(segments.shape[1]), segments.shape)
    starts = np.diff(segments, axis=1, prepend=segments[:, :1] - 1) != 0
    return places - np.maximum.accumulate(np.where(starts, places, 0), axis=1)


@torch.no_grad()
def _together(hidden: Tensor, head: Tensor, targets: Tensor, scale: float) -> tuple[float, Tensor, Tensor]:
    """The summed loss, and `scale` times its gradient in hidden states and in the last layer.

    With z = head h and p = softmax z: loss −ln p_t, dz = p − 1[t], dh = head' dz, dhead = dz h'. Each number is
    exponentiated once, and where it lies.
    """
    above, beside, total = torch.empty_like(hidden), torch.zeros_like(head), 0.0
    for start in range(0, len(hidden), _CHUNK):
        part, aim = hidden[start : start + _CHUNK], targets[start : start + _CHUNK]
        counts, aim = (aim >= 0).float()[:, None], aim.clamp(min=0)[:, None]
        slope = part @ head.T
        slope -= slope.amax(1, keepdim=True)
        said = slope.gather(1, aim)
        mass = slope.exp_().sum(1, keepdim=True)
        total += float(((mass.log() - said) * counts).sum(dtype=torch.float64))
        slope *= counts * scale / mass
        slope.scatter_add_(1, aim, -scale * counts)
        torch.mm(slope, head, out=above[start : start + _CHUNK])
        beside.addmm_(slope.T, part)
    return total, above, beside
