"""KenLM models: `.arpa` text and `.bin`, through the kenlm package."""

from __future__ import annotations

import os
from typing import Any

from assay.errors import InputError, MissingExtra
from assay.io import files


def load(path: str) -> Any:
    """The model at `path`, a `kenlm.Model`; InputError where the file is not one, MissingExtra without the package."""
    try:
        import kenlm
    except ImportError:
        raise MissingExtra.of("a KenLM model", "kenlm") from None
    if files.is_url(path):
        raise InputError(f"the KenLM model {path!r} must be a local file, because KenLM maps it; copy it here first")
    with files.open_read(path):  # says so in a sentence where it cannot
        pass
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
