"""A network of two towers, which gives an image and a text vectors that can be compared: CLIP, by name.

    clip-nano, clip-mini   shapes of ours, with initial weights only: to be trained on pairs
    a folder or a hub id   any CLIP of the transformers library, with its tokenizer and what it says of its images

Nothing of torch is imported before a network is needed (`models/image_text_network.py`): it is an extra, and takes seconds.
Source: Radford et al., Learning transferable visual models from natural language supervision, 2021,
https://arxiv.org/abs/2103.00020.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Int64

from assay.errors import InputError, MissingExtra, RecipeError
from assay.io import store
from assay.io.encoded_images import encoded_at, picture
from assay.models.language import language_of, refuse_unknown, torch_module
from assay.types import Batch, Texts

NONE = "none"  # what a recipe says where a network must be given
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
_CONTENT = (".json", ".safetensors", ".txt")
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training images


@final
@dataclass(frozen=True)
class Shape:
    """What a network of ours looks like: side of image and of patch in pixels, width, layers and heads of both towers, tokens."""

    image: int
    patch: int
    width: int
    layers: int
    heads: int
    context: int


SIZES = {"clip-nano": Shape(32, 8, 64, 2, 2, 32), "clip-mini": Shape(64, 8, 192, 4, 3, 48)}


@final
@dataclass(frozen=True)
class Look:
    """How an image becomes numbers: resized to `short` (its shorter side; or height and width), cropped in the middle to `crop`
    (height, width), bytes times `scale`, minus `mean`, over `std`, for each colour.

    >>> from PIL import Image
    >>> Look(short=4, crop=(4, 4)).pixels(Image.new("RGB", (8, 6), "white")).shape
    (3, 4, 4)
    """

    short: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int = 3
    scale: float = 1 / 255
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD

    def pixels(self, image: Any) -> Float32[np.ndarray, "3 h w"]:
        """A Pillow image in RGB as the network takes it."""
        if self.short is not None:
            image = image.resize(self._resized(image.width, image.height), self.resample)
        found = np.asarray(image, np.uint8).transpose(2, 0, 1)
        if self.crop is not None:
            found = _cropped(found, *self.crop)
        mean, std = (np.array(each, np.float32)[:, None, None] for each in (self.mean, self.std))
        return (found.astype(np.float32) * np.float32(self.scale) - mean) / std

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if isinstance(self.short, tuple):
            return self.short[1], self.short[0]
        assert self.short is not None
        if width <= height:
            return self.short, int(self.short * height / width)
        return int(self.short * width / height), self.short


def _cropped(found: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle; black beside an image that is smaller."""
    for axis, size in ((1, height), (2, width)):
        lacking = max(0, size - found.shape[axis])
        beside = [(0, 0), (0, 0), (0, 0)]
        beside[axis] = (-(-lacking // 2), lacking // 2)
        found = np.pad(found, beside) if lacking else found
        start = (found.shape[axis] - size) // 2
        found = found.take(range(start, start + size), axis)
    return found


@final
@dataclass(frozen=True)
class ImageText:
    """A CLIP by name: a shape of ours, or a folder or hub id; how it sees images, and how many tokens it reads."""

    name: str
    shape: Shape | None
    look: Look
    context: int

    @property
    def digest(self) -> str:
        """Of everything that decides what it says: shape, weights if it has any, tokenizer, what is done to images."""
        own = content(self.name) if self.shape is None else language_of("lm-nano").tokenizer.rpartition("/")[2]
        return store.digest(self.shape, self.look, self.context, own)

    def pixels(self, images: Texts) -> tuple[Float32[np.ndarray, "k 3 h w"], Int64[np.ndarray, "k"]]:
        """The images that can be decoded, and their places."""
        found = [picture(encoded_at(images, place)) for place in range(len(images))]
        places = np.array([place for place, one in enumerate(found) if one is not None], np.int64)
        pixels = [self.look.pixels(found[place]) for place in places]
        return np.stack(pixels) if pixels else np.zeros((0, 3, 1, 1), np.float32), places

    def tokens(self, texts: list[str]) -> Int64[np.ndarray, "b c"]:
        """Token ids, each text with its end, cut to what the network reads; what is padded comes after the end."""
        if self.shape is None:
            return torch_module("image_text_network").tokens(self.name, texts, self.context)
        sequences = language_of("lm-nano").encode(Texts.of([text.lower() for text in texts]), ends=False)
        pieces = np.split(sequences.data, sequences.offsets[1:-1])
        longest = min(self.context, 1 + int(sequences.sizes.max(initial=0)))
        made = np.zeros((len(texts), longest), np.int64)  # 0 ends a text
        for row, piece in zip(made, pieces, strict=True):
            kept = piece[: longest - 1]
            row[: len(kept)] = kept
        return made


def image_text_of(name: str) -> ImageText:
    """The network of that name.

    Raises RecipeError for a name that is none, InputError for a folder without a CLIP, MissingExtra without the libraries.

    >>> image_text_of("clip-nano").context
    32
    """
    if any(importlib.util.find_spec(library) is None for library in _LIBRARIES):
        raise MissingExtra.of(f"the network {name!r}", "models")
    if name in SIZES:
        shape = SIZES[name]
        return ImageText(name, shape, Look(shape.image, (shape.image, shape.image)), shape.context)
    if name == NONE:
        raise RecipeError(
            "a network of image and text is needed, and none was given: name one with --model, a folder or a hub id such as "
            "openai/clip-vit-base-patch32"
        )
    refuse_unknown("network", name, SIZES)
    return _foreign(name)


@lru_cache(maxsize=4)
def _foreign(name: str) -> ImageText:
    network = torch_module("image_text_network")
    config = network.config_of(name)
    look = _look(network.told_of_images(name), name)
    side = config.vision_config.image_size
    wanted = (side, side) if isinstance(side, int) else tuple(side)
    given = look.crop or (look.short if isinstance(look.short, tuple) else None)
    if given != wanted:
        raise InputError(
            f"{name!r} must be given images of the size that it was made for, {wanted[0]} by {wanted[1]}; its "
            f"preprocessor_config.json makes them {given}: mend crop_size there"
        )
    return ImageText(name, None, look, config.text_config.max_position_embeddings)


def _look(told: dict[str, Any], name: str) -> Look:
    """What a preprocessor_config.json says, with CLIP's own numbers where it says nothing."""
    size, crop = told.get("size", 224), told.get("crop_size", 224)
    try:
        short = size.get("shortest_edge") or (size["height"], size["width"]) if isinstance(size, dict) else int(size)
        middle = (crop["height"], crop["width"]) if isinstance(crop, dict) else (int(crop), int(crop))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{name!r} must say in preprocessor_config.json how its images are resized and cropped; got size {size!r} and "
            f"crop_size {crop!r}"
        ) from None
    plain = not told.get("do_normalize", True)
    return Look(
        short if told.get("do_resize", True) else None,
        middle if told.get("do_center_crop", True) else None,
        int(told.get("resample", 3)),
        float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0,
        (0.0, 0.0, 0.0) if plain else tuple(told.get("image_mean", _MEAN)),
        (1.0, 1.0, 1.0) if plain else tuple(told.get("image_std", _STD)),
    )


@lru_cache(maxsize=4)
def content(path: str) -> str:
    """A digest of a network's folder; of a hub id the name and its commit."""
    if not Path(path).is_dir():
        return f"{path} {getattr(torch_module('image_text_network').config_of(path), '_commit_hash', None)}"
    named = sorted(one for one in Path(path).iterdir() if one.suffix in _CONTENT)
    return store.digest([(one.name, store.file_digest(str(one))) for one in named])


def pairs_of(batch: Batch, who: str) -> tuple[Texts, Texts]:
    """The encoded images and the captions of a batch; InputError where its rows have no images, or images alone."""
    images = batch.columns.get("image")
    alone = isinstance(images, Texts) and len(images) and bytes(images.data) == bytes(batch.text.data)
    if not isinstance(images, Texts) or alone:
        raise InputError(
            f"{who} needs rows with an image and a caption: a tar of samples (0001.jpg, 0001.txt), or Parquet with a column "
            f"'image' of encoded images; got rows without {'captions' if alone else 'images'}"
        )
    return images, batch.text


def keyed(method: Any) -> str:
    """A method in words, with a digest of what its `model` holds: what the store names its results by."""
    told = ", ".join(f"{one.name}={getattr(method, one.name)!r}" for one in fields(method))
    return f"{type(method).__name__}({told}, {image_text_of(method.model).digest})"


def by_content(images: Texts, texts: Texts) -> Int64[np.ndarray, "b"]:
    """Places of pairs in an order that their content fixes, wherever they lie in a file.

    >>> images, texts = Texts.of(["b", "b", "a"]), Texts.of(["x", "y", "z"])
    >>> turned = by_content(images.take(np.arange(2, -1, -1)), texts.take(np.arange(2, -1, -1)))
    >>> by_content(images, texts).tolist() == (2 - turned).tolist()
    True
    """
    names = [store.digest(encoded_at(images, place), encoded_at(texts, place)) for place in range(len(images))]
    return np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
