"""A small convolutional network of pictures and its training by SGD; torch is needed here and nowhere else for pictures.

    3 -> w -> 2w -> 4w -> 4w channels: each layer a 3 x 3 convolution, in the first three the largest of every 2 x 2 places, batch
    normalisation, ReLU; then the mean over all places, and a linear layer

Initial weights, the order of pictures and what is done to them depend on the seed alone. On a processor it runs with one thread,
so that the same seed gives the same bits on one machine with one version of torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn

from assay.contracts import NOWHERE, Checkpoints
from assay.models.resume import Resume
from assay.models.vision import Course

_MOMENTUM, _DECAY = 0.9, 5e-4
_AT_ONCE = 500  # pictures that are looked at together


def trained(
    pixels: UInt8[np.ndarray, "n d d 3"],
    labels: Int64[np.ndarray, "n"],
    classes: int,
    course: Course,
    seed: int,
    checkpoints: Checkpoints = NOWHERE,
) -> Iterator[tuple[int, Any]]:
    """Each epoch's number and the network after it; it is one object, so use it before asking for the next.

    One that is stopped begins with the epoch after the last that its `checkpoints` hold.
    """
    with torch.random.fork_rng(), _repeatable():
        torch.manual_seed(seed)
        network = _made(course.width, classes).to(_place())
    optimiser = torch.optim.SGD(network.parameters(), course.rate, _MOMENTUM, weight_decay=_DECAY, nesterov=True)
    targets = torch.from_numpy(labels).to(_place())
    # Batches of about one size, none of a single picture: alone it has no spread to be normalised by.
    steps = max(1, min(-(-len(pixels) // course.batch), len(pixels) // 2))
    resume = Resume(network, optimiser, checkpoints)
    for epoch in range(int(resume.begin().get("epochs", 0)), course.epochs):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(pixels))
        with _repeatable():
            network.train()
            for step, rows in enumerate(np.array_split(order, steps)):
                for group in optimiser.param_groups:
                    group["lr"] = course.rate * _share(epoch * steps + step, steps, course)
                loss = F.cross_entropy(network(_placed(_augmented(pixels[rows], course.augment, rng))), targets[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
        yield epoch, network
        if resume.due or epoch + 1 == course.epochs:
            resume.save({"epochs": epoch + 1})


def logits(network: Any, pixels: UInt8[np.ndarray, "b d d 3"]) -> Float32[np.ndarray, "b g"]:
    """What the network says of pictures as they are, in evaluation mode."""
    with torch.inference_mode(), _repeatable():
        network.eval()
        found = [network(_placed(pixels[at : at + _AT_ONCE])).cpu().numpy() for at in range(0, len(pixels), _AT_ONCE)]
    return np.concatenate(found)


def _made(width: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after, halved in (
        (3, width, 2),
        (width, 2 * width, 2),
        (2 * width, 4 * width, 2),
        (4 * width, 4 * width, 0),
    ):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), *([nn.MaxPool2d(2)] if halved else [])]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes))


def _share(step: int, steps: int, course: Course) -> float:
    """The share of the rate at a step: rising through the first epoch, then steady or along half a cosine to zero."""
    rising = min(1.0, (step + 1) / steps)
    return rising * (
        0.5 + 0.5 * math.cos(math.pi * step / (steps * course.epochs)) if course.schedule == "cosine" else 1.0
    )


def _augmented(
    pixels: UInt8[np.ndarray, "b d d 3"], augment: str, rng: np.random.Generator
) -> UInt8[np.ndarray, "b d d 3"]:
    """Pictures cut out of themselves with a black edge of an eighth around, and half of them mirrored."""
    if augment == "none":
        return pixels
    count, side = pixels.shape[:2]
    edge = side // 8
    wide = np.pad(pixels, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (side, side), axis=(1, 2))
    top, left = rng.integers(2 * edge + 1, size=(2, count))
    cut = np.moveaxis(windows[np.arange(count), top, left], 1, -1)
    if augment == "crop":
        return cut
    mirrored = rng.random(count) < 0.5
    return np.where(mirrored[:, None, None, None], cut[:, :, ::-1], cut)


def _placed(pixels: UInt8[np.ndarray, "b d d 3"]) -> Tensor:
    """Pixels as the network reads them: channels first, about -2 to 2."""
    whole = torch.from_numpy(np.ascontiguousarray(pixels)).to(_place())
    return (whole.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def _place() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _repeatable() -> Iterator[None]:
    """Sums whose order does not change: one thread on a processor, and of a GPU's ways those that give the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)
