"""A causal language model as methods and judges name it: a size of ours, or what the transformers library can load.

Nothing of torch is imported before a model is needed: it is an extra, and takes seconds.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, final

import numpy as np

from assay.errors import InputError, MissingExtra, RecipeError, suggest
from assay.io import models, store
from assay.models import dialogue
from assay.models.causal_config import SIZES, CausalConfig
from assay.types import Sequences, Texts

_TOKENIZER = "tokenizer-2048.json"
_CONTEXT = 512  # tokens at most of somebody else's model
_FRESH, _CONTINUED = 1e-3, 2e-4  # peak rates of somebody else's model, untrained or trained
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")


@final
@dataclass(frozen=True)
class Language:
    """A model's name, shape and training, and its `tokenizer`: the file of one for the tokenizers library, or where the
    transformers library finds one."""

    name: str
    config: CausalConfig
    tokenizer: str

    @property
    def own(self) -> bool:
        """Whether it is somebody else's: a folder or a hub id."""
        return isinstance(self.config.model, str)

    def encode(self, texts: Texts, ends: bool = True) -> Sequences:
        """Tokens of each text, and the end of each document."""
        return self._encoded(texts, np.array([self.config.end] if ends else [], np.int32))

    def encode_turns(self, texts: Texts) -> Sequences:
        """The same of marked dialogues (`models/dialogue.py`), of which only responses are learnt; in a checkpoint's own chat
        template, if it has one. Text without marks is learnt whole."""
        own = _own_tokenizer(self.tokenizer)
        if own is not None and own.chat_template:
            return dialogue.templated(texts, own)
        return dialogue.encoded(texts, partial(self._encoded, ending=np.zeros(0, np.int32)), self.config.end)

    def _encoded(self, texts: Texts, ending: np.ndarray) -> Sequences:
        found = _tokenizer(self.tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)
        pieces = [np.concatenate([np.array(one.ids, np.int32), ending]) for one in found]
        sizes = np.array([0, *map(len, pieces)], np.int64)
        return Sequences(np.concatenate([np.zeros(0, np.int32), *pieces]), np.cumsum(sizes))

    @property
    def digest(self) -> str:
        """Of everything that decides what it says: shape, weights if it has any, tokenizer."""
        own = content(self.config.model) if isinstance(self.config.model, str) else None
        return store.digest(self.config, own, Path(self.tokenizer).name)


def language_of(name: str) -> Language:
    """The model of that name: a size, a folder with a config of the transformers library (and weights), or a hub id.

    Raises RecipeError for a name that is none of these, MissingExtra where the libraries are not installed.

    >>> language_of("lm-nano").config.step
    2048
    """
    if name in SIZES:
        _libraries(f"the model {name!r}")
        return Language(name, SIZES[name], _ours())
    refuse_unknown("model", name, ("ngram", *SIZES))
    _libraries(f"the model {name!r}")
    return _foreign(name)


def refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    """Raise RecipeError unless a name is that of a folder or has the form of a hub id.

    >>> refuse_unknown("model", "HuggingFaceTB/SmolLM2-135M", ())
    """
    if Path(name).exists() or _HUB_ID.fullmatch(name):
        return
    if "/" in name:
        raise RecipeError(f"the {what} {name!r} must be a folder, or a hub id of the form owner/name; there is no such folder")
    raise RecipeError(f"there is no {what} {name!r}; {suggest(name, known)} A folder or a hub id may be one too")


def _ours() -> str:
    with resources.as_file(resources.files("assay.models") / _TOKENIZER) as path:
        return str(path)


def _foreign(name: str) -> Language:
    """Somebody else's config or checkpoint, with its own tokenizer, else ours if nothing was trained on another."""
    config = torch_module("causal_model").config_of(name)
    trained = torch_module("hub").weighted(name)
    own = _own_tokenizer(name)
    if own is None and trained:
        raise InputError(
            f"the checkpoint {name!r} must come with its tokenizer (tokenizer.json); there is none beside it"
        )
    size = _tokenizer(_ours() if own is None else name).get_vocab_size()
    if size > config.vocab_size:
        raise InputError(
            f"the model {name!r} must know all {size:,} tokens of its tokenizer; it has {config.vocab_size:,}"
        )
    end = 0 if own is None or own.eos_token_id is None else int(own.eos_token_id)
    context = min(_CONTEXT, getattr(config, "max_position_embeddings", _CONTEXT))
    asked = CausalConfig(name, _CONTINUED if trained else _FRESH, context, end=end)
    return Language(Path(name).name, asked, _ours() if own is None else name)


def _libraries(what: str) -> None:
    """Raise MissingExtra unless all that a neural model needs is installed."""
    if any(importlib.util.find_spec(library) is None for library in _LIBRARIES):
        raise MissingExtra.of(what, "models")


def torch_module(name: str) -> ModuleType:
    """A module of this folder that needs torch, which is an extra and takes seconds to import."""
    return importlib.import_module(f"assay.models.{name}")


@lru_cache(maxsize=4)
def _own_tokenizer(path: str) -> Any:
    """The tokenizer of the transformers library for a folder or hub id; None for the file of ours, and where there is none."""
    return None if Path(path).name == _TOKENIZER else torch_module("hub").tokenizer_of(path)


def _tokenizer(path: str) -> Any:
    """What makes token ids of texts: text that looks like a special token stays text."""
    own = _own_tokenizer(path)
    return models.load_model("tokenizer", path) if own is None else own.backend_tokenizer


@lru_cache(maxsize=4)
def content(path: str) -> str:
    """A digest of a model's folder; of a hub id the name and its commit."""
    if not Path(path).is_dir():
        return str(getattr(torch_module("causal_model").config_of(path), "_commit_hash", None))
    files = sorted(one for one in Path(path).iterdir() if one.suffix in (".json", ".safetensors", ".jinja"))
    return store.digest([(one.name, store.file_digest(str(one))) for one in files])
