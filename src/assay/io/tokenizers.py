"""Tokenizers, as the tokenizers library writes them."""

from __future__ import annotations

from typing import Any

from assay.errors import InputError, MissingExtra
from assay.io import files


def load(path: str) -> Any:
    """The tokenizer at `path`."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra.of("counting tokens", "tokenizers") from None
    content = files.read_bytes(path)
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # the library raises a bare Exception
        raise InputError(
            f"the tokenizer {path!r} must be a tokenizer.json as the tokenizers library writes it; {error}"
        ) from None
