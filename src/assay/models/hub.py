"""Files of models, in a folder or under a hub id of Hugging Face, read without running code that came with them.

A config may name compiled kernels, which the transformers library would fetch and load, and weights may be pickles, whose reading
could run anything: both are refused here, for whatever kind of model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transformers
from huggingface_hub.utils import logging as hub_logging

from assay.errors import InputError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model.pt", "model.pt")
_KERNELS = ("_attn_implementation", "_experts_implementation")
_PARTS = ("text_config", "vision_config")  # of a model that is made of several


@contextmanager
def quiet() -> Iterator[None]:
    """The libraries' progress bars and warnings are not for our users."""
    loud = transformers.logging.get_verbosity(), hub_logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(loud[0])
        hub_logging.set_verbosity(loud[1])


def beside(path: str, names: tuple[str, ...]) -> str | None:
    """The path of the first of these files that a folder or a hub id has."""
    find = transformers.utils.cached_file
    found = (find(path, name, _raise_exceptions_for_missing_entries=False) for name in names)
    return next((str(one) for one in found if one is not None), None)


def config_of(path: str) -> Any:
    """The transformers config; InputError where it names kernels, OSError or ValueError where there is none."""
    with quiet():
        found = transformers.AutoConfig.from_pretrained(path, trust_remote_code=False)
    parts = [found, *(getattr(found, name) for name in _PARTS if hasattr(found, name))]
    named = [str(value) for one in parts for key in _KERNELS if "/" in str(value := getattr(one, key, ""))]
    if named:
        raise InputError(
            f"the model {path!r} must compute with what the transformers library has; its config.json names the kernel "
            f"{named[0]!r} of a hub: take that out"
        )
    return found


def weighted(path: str) -> bool:
    """Whether there are trained weights, in the safetensors format; InputError where there are only pickled ones."""
    if beside(path, _WEIGHTS) is not None:
        return True
    if pickled := beside(path, _PICKLED):
        raise InputError(
            f"the model {path!r} must have its weights as model.safetensors; {os.path.basename(pickled)} is a pickle, which could "
            "run any code: convert it where you trust it, with save_pretrained(...)"
        )
    return False


def tokenizer_of(path: str) -> Any:
    """The tokenizer, to which text that looks like a special token is text; None where there is none."""
    try:
        if beside(path, ("tokenizer.json", "tokenizer.model", "vocab.json")) is None:
            return None  # the library would make up an empty one
        with quiet():
            found = transformers.AutoTokenizer.from_pretrained(path, use_fast=True, trust_remote_code=False)
        found.backend_tokenizer.encode_special_tokens = True
        return found
    except (OSError, ValueError, AttributeError):
        return None
