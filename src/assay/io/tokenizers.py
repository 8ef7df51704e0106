"""Opens the small models that annotators name: today tokenizers, kept once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from assay.errors import InputError, MissingExtra
from assay.io import files


@lru_cache(maxsize=8)
def load_model(name: str, path: str) -> Any:
    """The model at `path`; raises InputError where the file is not of its kind, MissingExtra where its library is not there."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra.of("counting tokens", "tokenizers") from None
    content = files.read_bytes(path)
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # the library raises a bare Exception
        raise InputError(
            f"the {name} {path!r} must be a tokenizer.json as the tokenizers library writes it; {error}"
        ) from None
