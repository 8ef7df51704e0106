"""KenLM models: `.arpa` text and `.bin`, through the kenlm package."""

from __future__ import annotations

import os
import re
from typing import Any

from assay.errors import InputError, MissingExtra
from assay.io import files

_LEAST = 4  # bytes of an n-gram's line: a number, a tab, a word, LF
_HEAD = 1 << 16


def _refuse_bombs(path: str) -> None:
    """InputError where an ARPA file claims more n-grams than its bytes can hold: KenLM would allocate for them all."""
    with files.open_read(path) as file:  # says so in a sentence where it cannot
        head = file.read(_HEAD)
    counts = [int(count) for count in re.findall(rb"(?m)^ngram\s+\d+\s*=\s*(\d{1,30})\s*$", head)]
    if head.lstrip().startswith(b"\\data\\") and sum(counts) * _LEAST > (size := os.path.getsize(path)):
        raise InputError(
            f"{path!r} must be a KenLM model, written whole; it claims {sum(counts):,} n-grams in {size:,} bytes: copy it anew"
        )


def load(path: str) -> Any:
    """The model at `path`, a `kenlm.Model`; InputError where the file is not one, MissingExtra without the package."""
    try:
        import kenlm
    except ImportError:
        raise MissingExtra.of("a KenLM model", "kenlm") from None
    if files.is_url(path):
        raise InputError(f"the KenLM model {path!r} must be a local file, because KenLM maps it; copy it here first")
    _refuse_bombs(path)
    # KenLM draws a progress bar for .arpa files; a run has its own.
    settings = kenlm.Config()
    settings.show_progress = False
    try:
        return kenlm.Model(os.path.abspath(path), settings)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"{path!r} must be a KenLM model, .arpa or .bin, that the kenlm package can read; {reason}; "
            "build it with lmplz or build_binary"
        ) from None
