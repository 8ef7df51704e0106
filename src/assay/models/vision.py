"""What a small network says of labelled pictures while it trains on them: their logits after every epoch, and its accuracy.

The network and its training lie in `vision_network.py`, which needs torch. Rows are put into the order of their keys before
anything is drawn, so that what is learnt does not depend on the pool's order, layout or workers. Logits are taken in evaluation
mode, of pictures as they are, whatever a training step does to them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import final

import numpy as np
from jaxtyping import Float, Float64, Int64, UInt8, UInt64

from assay.contracts import NOWHERE, Checkpoints, Rows
from assay.errors import InputError, MissingExtra, RecipeError, suggest
from assay.io.pictures import pixels
from assay.kernels.hashing import hash_rows
from assay.models.language import torch_module
from assay.types import Batch, Texts

Term = Callable[[np.ndarray, np.ndarray], np.ndarray]  # logits (n, g) and labels (n,) to a number of each picture (n,)
AUGMENTS = ("none", "crop", "crop_flip")
SCHEDULES = ("steady", "cosine")


@final
@dataclass(frozen=True)
class Course:
    """How a network is trained: `epochs` over the pictures, each scaled to `side`; channels of its first layer `width`; SGD of
    that `rate` and `batch`, with momentum 0.9 and weight decay 5e-4; `schedule`: the rate stays after a first epoch of warm-up,
    or falls to zero along a cosine; `augment`: a picture is shifted by up to an eighth, and perhaps mirrored, before a step.

    >>> Course(epochs=2).width
    32
    """

    epochs: int
    side: int = 32
    width: int = 32
    rate: float = 0.05
    batch: int = 128
    schedule: str = "steady"
    augment: str = "crop_flip"

    def __post_init__(self) -> None:
        for name, value, known in (("augment", self.augment, AUGMENTS), ("schedule", self.schedule, SCHEDULES)):
            if value not in known:
                raise RecipeError(f"{name} must be one of {', '.join(known)}; got {value!r}: {suggest(value, known)}")
        if min(self.epochs, self.width, self.batch) < 1 or self.side < 8:
            raise RecipeError(
                f"a network of pictures needs epochs, width and batch of at least 1, and a side of 8; got {self.epochs}, "
                f"{self.width}, {self.batch} and {self.side}"
            )


@final
@dataclass(frozen=True)
class Labelled:
    """Pictures with their labels, in the order of their keys; labels are places in `classes`, which are sorted."""

    keys: UInt64[np.ndarray, "n"]
    pixels: UInt8[np.ndarray, "n d d 3"]
    labels: Int64[np.ndarray, "n"]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, batch: Batch, method: str, side: int) -> Labelled:
        """Decode a batch; InputError where its rows are no pictures, lack labels, or are all of one class."""
        images, names = batch.columns.get("image"), batch.columns.get("label")
        if not isinstance(images, Texts) or not isinstance(names, Texts):
            raise InputError(
                f"{method} needs a pool of pictures with labels; this one has the columns {', '.join(batch.columns)}"
            )
        labels = np.array(list(names), object)
        classes = tuple(sorted(set(labels.tolist())))
        if "" in classes or len(classes) < 2:
            lacking = int((labels == "").sum())
            raise InputError(
                f"{method} needs a label for every picture, of two or more classes; {lacking:,} of {len(labels):,} have none, and "
                f"there are {len([one for one in classes if one])}: put pictures into class folders, or name the labels' "
                "field with --source-field"
            )
        keys = keys_of(batch)
        order = np.argsort(keys, kind="stable")
        codes = np.searchsorted(np.array(classes, object), labels[order])
        return cls(keys[order], pixels(images.take(order), side), codes.astype(np.int64), classes)


def gathered(pool: Rows, method: str, side: int) -> Labelled:
    """All living pictures of a pool."""
    return Labelled.of(pool.sample(len(pool)), method, side)


def keys_of(batch: Batch) -> UInt64[np.ndarray, "b"]:
    """A 64-bit hash of each picture with its label: equal pictures with other labels are other examples."""
    both = np.empty((len(batch), 2), np.uint64)
    for place, name in enumerate(("image", "label")):
        column = batch.columns[name]
        assert isinstance(column, Texts)
        both[:, place] = hash_rows(column.data, column.offsets)
    return hash_rows(both.view(np.uint8).reshape(-1), np.arange(len(both) + 1, dtype=np.int64) * 16)


def looked_up(
    keys: UInt64[np.ndarray, "n"], values: Float64[np.ndarray, "n"], wanted: UInt64[np.ndarray, "b"]
) -> Float64[np.ndarray, "b"]:
    """The value kept under each wanted key; `keys` are sorted; NaN where there is none."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], np.nan)


def followed(
    data: Labelled, course: Course, seed: int, term: Term, checkpoints: Checkpoints = NOWHERE
) -> Iterator[Float64[np.ndarray, "n"]]:
    """`term` of the logits of every picture after each epoch, of one network that starts from `seed`.

    One that is stopped goes on from its `checkpoints`, with the same bits. Raises MissingExtra without torch.
    """
    network, done = _network(), 0
    for epoch, trained in network.trained(data.pixels, data.labels, len(data.classes), course, seed, checkpoints):
        yield from (checkpoints.expect(f"epoch-{before}")["term"] for before in range(done, epoch))
        found, done = term(network.logits(trained, data.pixels), data.labels), epoch + 1
        checkpoints.save(f"epoch-{epoch}", {"term": found})
        yield found
    yield from (checkpoints.expect(f"epoch-{before}")["term"] for before in range(done, course.epochs))


def accuracy(data: Labelled, held: Labelled, course: Course, seed: int) -> float:
    """The share of held-out pictures whose class a network trained on `data` gives; classes are matched by name."""
    network = _network()
    *_, (_, trained) = network.trained(data.pixels, data.labels, len(data.classes), course, seed)
    said = np.array(data.classes, object)[network.logits(trained, held.pixels).argmax(axis=1)]
    return float((said == np.array(held.classes, object)[held.labels]).mean())


def probabilities(logits: Float[np.ndarray, "n g"]) -> Float64[np.ndarray, "n g"]:
    """Softmax of each row, in double precision.

    >>> probabilities(np.array([[0.0, np.log(3.0)]])).round(2).tolist()
    [[0.25, 0.75]]
    """
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def margins(values: Float[np.ndarray, "n g"], labels: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """How far the label's own value lies above the largest of the others; below zero where another is larger.

    >>> margins(np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]), np.array([0, 1])).round(2).tolist()
    [0.5, -0.5]
    """
    rows = np.arange(len(values))
    others = values.astype(np.float64)
    own = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    return own - others.max(axis=1)


def _network() -> ModuleType:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra.of("a network of pictures", "models")
    return torch_module("vision_network")
