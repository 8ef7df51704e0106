"""The selection as a list: JSON lines of {"row", "id"}, for programs that hold the rows already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from assay.io.files import atomic_write, open_read
from assay.types import Texts


def write(path: str, rows: Int64[np.ndarray, "k"], names: Texts) -> None:
    """Write the rows' numbers (k,) and ids, one pair a line."""
    with atomic_write(path, durable=False) as file:
        for row, name in zip(rows.tolist(), names, strict=True):
            file.write(json.dumps({"row": row, "id": name}, ensure_ascii=False).encode("utf-8") + b"\n")


def join(parts: Sequence[str], final: str) -> None:
    """Put the lists of a shard's pieces one after another under the final name."""
    with atomic_write(final) as file:
        for part in parts:
            with open_read(part) as source:
                shutil.copyfileobj(source, file)
