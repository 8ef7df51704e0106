"""Named arrays in the safetensors format: no code in the file, whole or not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from assay.errors import InputError
from assay.io import files


def save(path: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
    """Write arrays under one name, atomically; not synced, for what can be made again."""
    from safetensors import numpy as safetensors

    with files.atomic_write(str(path), durable=False) as out:
        out.write(safetensors.save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def load(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Read what `save` wrote; InputError where it is something else."""
    from safetensors import SafetensorError
    from safetensors import numpy as safetensors

    try:
        return safetensors.load(files.read_bytes(str(path)))
    except SafetensorError as error:
        raise InputError(
            f"{str(path)!r} must be a safetensors file; {error}: remove it, and it is made again"
        ) from None
