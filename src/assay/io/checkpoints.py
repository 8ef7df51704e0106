"""How far a training is, kept in a folder until it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Shaped

from assay.contracts import Checkpoints
from assay.io import mirror, tensors


@final
@dataclass(frozen=True)
class InFolder(Checkpoints):
    """One file for each name."""

    folder: Path

    def load(self, name: str) -> dict[str, Shaped[np.ndarray, "..."]] | None:
        """See `Checkpoints.load`."""
        path = self._path(name)
        return tensors.load(path) if mirror.present(path) else None

    def save(self, name: str, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
        """See `Checkpoints.save`; whole or not at all."""
        tensors.save(self._path(name), arrays)

    def under(self, name: str) -> InFolder:
        """See `Checkpoints.under`."""
        return InFolder(self.folder / name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
