"""Which parts of documents (lines, paragraphs) several documents hold: what methods that measure or drop them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Shaped

from assay.errors import RecipeError
from assay.kernels.parts import shared_keys


@final
@dataclass(frozen=True)
class Shared:
    """The records of parts that at least `documents` rows hold."""

    documents: int

    def __call__(self, records: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "r"]:
        return records[shared_keys(records["key"], records["row"], self.documents)]


def check(name: str, min_characters: int, min_documents: int) -> None:
    """Raise RecipeError for numbers that make no sense."""
    for field, value, least in (("min_characters", min_characters, 1), ("min_documents", min_documents, 2)):
        if not least <= value <= 1 << 31:
            raise RecipeError(f"{name}: {field} must be from {least} to {1 << 31}; got {value}")
