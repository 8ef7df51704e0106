"""CLIP as the transformers library has it: what it says of pairs, and how it learns from them.

    x = f(image) / |f(image)|,  y = g(text) / |g(text)|,   cos = <x, y>
    loss = (CE(s X Y', diagonal) + CE(s Y X', diagonal)) / 2      s = exp t, learnt, at most 100

The loss is CLIP's (Radford et al. 2021, https://arxiv.org/abs/2103.00020): each image is to find its text among those of the
batch, and each text its image. AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101) with CLIP's betas 0.9 and
0.98, the rate rising linearly and falling as a cosine to zero. No augmentation, no dropout: on a processor, with one thread, the
same pairs in the same order give the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from assay.contracts import NOWHERE, Checkpoints, Report
from assay.errors import InputError
from assay.io import files
from assay.models import hub
from assay.models.causal_model import device, one_thread
from assay.models.image_text import ImageText, Shape
from assay.models.resume import Resume
from assay.types import Texts

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
_AT_ONCE = {"cpu": 16, "cuda": 256}  # pairs that go through a network together
_CLIP = 100.0  # the largest s
_VOCABULARY, _END = 2048, 0  # of our tokenizer


@final
@dataclass(frozen=True)
class Contrast:
    """How to train: passes over the pairs, pairs of a step, peak rate, share of steps while which it rises, weight decay."""

    epochs: int
    rows: int
    rate: float
    warm: float = 0.1
    decay: float = 0.1


@final
@dataclass(frozen=True)
class Network:
    """A CLIP on its device."""

    model: ImageText
    module: Any
    place: str

    @classmethod
    def of(cls, model: ImageText, arrays: Arrays | None = None, seed: int = 0) -> Network:
        """With the weights of a checkpoint, or those of `arrays`, or initial ones that depend on the seed alone."""
        with torch.random.fork_rng(), hub.quiet():
            torch.manual_seed(seed)
            module = transformers.CLIPModel(_config(model.shape)) if model.shape else _loaded(model.name)
        if arrays is not None:
            _put(module, arrays, model.name)
        place = device()
        return cls(model, module.to(place, torch.float32).eval(), place)

    def images(self, pixels: Float32[np.ndarray, "b 3 h w"]) -> Tensor:
        """Vectors (b, d) of length one."""
        found = self.module.get_image_features(pixel_values=torch.from_numpy(pixels).to(self.place))
        return _unit(found)

    def texts(self, tokens: Int64[np.ndarray, "b c"]) -> Tensor:
        """Vectors (b, d) of length one, read at the end of each text: what is padded after it is never seen."""
        found = self.module.get_text_features(input_ids=torch.from_numpy(tokens).to(self.place))
        return _unit(found)

    def cosines(self, images: Texts, texts: Texts, prompt: str = "") -> Float32[np.ndarray, "b"]:
        """The cosine of each image and its text, `prompt` before it; NaN for an image that cannot be decoded.

        What is read together changes a cosine by rounding only (1e-6).
        """
        found, each = np.full(len(images), np.nan, np.float32), _AT_ONCE[self.place]
        with one_thread(), torch.inference_mode():
            for start in range(0, len(images), each):
                here = np.arange(start, min(start + each, len(images)))
                pixels, places = self.model.pixels(images.take(here))
                if len(places):
                    tokens = self.model.tokens([prompt + texts[row] for row in here[places]])
                    both = (self.images(pixels) * self.texts(tokens)).sum(-1)
                    found[here[places]] = both.float().cpu().numpy()
        return found

    def state(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The weights, copied."""
        return {name: one.detach().cpu().numpy().copy() for name, one in self.module.named_parameters()}


def _unit(found: Any) -> Tensor:
    """Vectors of length one; before version 5 of the library they came alone."""
    return F.normalize(found if isinstance(found, Tensor) else found.pooler_output, dim=-1)


def quiet(done: int, total: int, loss: float) -> None:
    """A report that tells nobody."""


def train_pairs(
    model: ImageText,
    images: Texts,
    texts: Texts,
    how: Contrast,
    seed: int,
    report: Report = quiet,
    checkpoints: Checkpoints = NOWHERE,
) -> tuple[Network, list[float]]:
    """A network trained on pairs, in an order drawn from the seed, and the mean loss (nats) of each epoch.

    It starts from a checkpoint's weights, or initial ones of the seed; one that is stopped goes on from its `checkpoints`, with the
    same bits. Raises InputError where fewer than two images can be
    decoded: a pair is learnt by telling it from others.
    """
    network = Network.of(model, None, seed)
    good = np.concatenate([start + model.pixels(part)[1] for start, part in _parts(images)] or [np.zeros(0, np.int64)])
    if len(good) < 2:
        raise InputError(
            f"a network learns from two pairs or more whose images can be decoded; got {len(good)} of {len(images)}"
        )
    steps = -(-len(good) // how.rows)
    optimiser, total = _optimiser(network, how), steps * how.epochs
    resume = Resume(network.module, optimiser, checkpoints)
    spent = [*resume.begin().get("spent", ())]
    with one_thread():
        for step, rows in islice(enumerate(_drawn(good, steps, how.epochs, seed)), len(spent), None):
            for group in optimiser.param_groups:
                group["lr"] = how.rate * factor(step, total, how.warm)
            spent.append(_step(network, optimiser, images.take(rows), [texts[row] for row in rows]))
            report(step + 1, total, spent[-1])
            if resume.due:
                resume.save({"spent": spent})
    return network, np.array(spent).reshape(how.epochs, steps).mean(axis=1).tolist()


def _drawn(rows: Int64[np.ndarray, "k"], steps: int, epochs: int, seed: int) -> Iterator[Int64[np.ndarray, "b"]]:
    """The rows of every step: each epoch's in an order of its own."""
    for epoch in range(epochs):
        yield from np.array_split(rows[np.random.default_rng([seed, epoch]).permutation(len(rows))], steps)


def factor(step: int, total: int, warm: float) -> float:
    """The share of the peak rate at a step of so many: a line up, half a cosine down.

    >>> [round(factor(step, 6, 0.3), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rising = math.ceil(warm * total)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def contrastive(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss of vectors (b, d) of length one, where image i belongs to text i.

    >>> one = torch.eye(2)
    >>> round(float(contrastive(one, one, torch.tensor(0.0))), 4)  # ln(1 + 1/e)
    0.3133
    """
    logits, aim = scale.exp() * images @ texts.T, torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, aim) + F.cross_entropy(logits.T, aim)) / 2


def _step(network: Network, optimiser: torch.optim.AdamW, images: Texts, texts: list[str]) -> float:
    """Learn one batch; its loss before that."""
    pixels, _ = network.model.pixels(images)
    scale = network.module.logit_scale
    loss = contrastive(network.images(pixels), network.texts(network.model.tokens(texts)), scale)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.module.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    with torch.no_grad():
        scale.clamp_(0, math.log(_CLIP))
    return float(loss.detach())


def _optimiser(network: Network, how: Contrast) -> torch.optim.AdamW:
    weights = list(network.module.parameters())
    groups = [
        {"params": [one for one in weights if one.dim() >= 2], "weight_decay": how.decay},
        {"params": [one for one in weights if one.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=how.rate, betas=(0.9, 0.98), eps=1e-6)


def _parts(images: Texts) -> Iterator[tuple[int, Texts]]:
    yield from (
        (start, images.take(np.arange(start, min(start + 64, len(images))))) for start in range(0, len(images), 64)
    )


def _config(shape: Shape) -> transformers.CLIPConfig:
    tower = {
        "hidden_size": shape.width, "intermediate_size": 4 * shape.width, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "projection_dim": shape.width,
    }  # fmt: skip
    text = {
        "vocab_size": _VOCABULARY,
        "max_position_embeddings": shape.context,
        "eos_token_id": _END,
        "bos_token_id": _END,
    }
    vision = {"image_size": shape.image, "patch_size": shape.patch}
    return transformers.CLIPConfig(
        text_config={**tower, **text, "pad_token_id": _END},
        vision_config={**tower, **vision},
        projection_dim=shape.width,
    )


@lru_cache(maxsize=4)
def config_of(path: str) -> Any:
    """The config of a CLIP in a folder or on the hub, without running code of its own; InputError where there is none."""
    try:
        found = hub.config_of(path)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from None
    if not isinstance(found, transformers.CLIPConfig):
        raise _unusable(path, f"its config.json says model_type {found.model_type!r}")
    return found


def told_of_images(path: str) -> dict[str, Any]:
    """What is said of images in preprocessor_config.json, or in the newer processor_config.json; InputError where nothing is."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (found := hub.beside(path, (name,))) is not None:
            told = files.read_json(found)
            return told.get("image_processor", told)
    raise _unusable(path, "there is no preprocessor_config.json beside it")


def _loaded(path: str) -> Any:
    """A checkpoint; initial weights where a folder holds a config alone."""
    config = config_of(path)
    if not hub.weighted(path):
        return transformers.CLIPModel(config)
    try:
        return transformers.CLIPModel.from_pretrained(
            path, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unusable(path, error) from None


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Any:
    """The tokenizer of a CLIP; InputError where there is none."""
    try:
        with hub.quiet():
            return transformers.AutoTokenizer.from_pretrained(path, use_fast=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unusable(path, f"it has no tokenizer beside it ({error})") from None


def tokens(path: str, texts: list[str], context: int) -> Int64[np.ndarray, "b c"]:
    """Token ids as its own tokenizer makes them: cut so that the end stays, padded after it; what looks like a mark is text."""
    found = _tokenizer(path)(
        texts, padding="longest", truncation=True, max_length=context, padding_side="right", split_special_tokens=True
    )
    return np.array(found["input_ids"], np.int64)


@torch.no_grad()
def _put(module: Any, arrays: Arrays, name: str) -> None:
    """Weights in the places of a module's."""
    for weight, one in module.named_parameters():
        found = np.atleast_1d(arrays.get(weight, np.zeros(0)))  # the store keeps a number as an array of one
        if found.shape != (tuple(one.shape) or (1,)):
            raise InputError(
                f"what was learnt must fit the network {name!r}; it has no {weight!r} of shape {tuple(one.shape)}"
            )
        one.copy_(torch.from_numpy(np.array(found)).reshape(one.shape))


def _unusable(path: str, error: Exception | str) -> InputError:
    first = str(error).strip().split("\n")[0]
    return InputError(
        f"{path!r} must be a folder (or hub id) with a CLIP of the transformers library: config.json, model.safetensors, "
        f"tokenizer.json and preprocessor_config.json; {first}"
    )
