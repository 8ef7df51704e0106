"""Opens the models that methods name, by the kind that the name says, once per process.

A kind is a module of this folder with a function `load(path)`: `tokenizer`, `fasttext`, `kenlm`, `words`.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

KINDS = {"tokenizer": "tokenizers", "fasttext": "fasttext", "kenlm": "kenlm", "words": "word_lists"}


@lru_cache(maxsize=8)
def load_model(kind: str, path: str) -> Any:
    """The model at `path`; raises InputError where the file is not of its kind, MissingExtra where its library is not there."""
    return importlib.import_module(f"assay.io.{KINDS[kind]}").load(path)
