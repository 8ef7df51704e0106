"""Rows in memory, as proofs hand them to scorers: read from JSON lines (.gz, .zst or plain), with columns of numbers."""

from __future__ import annotations

import functools
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from assay.contracts import Rows
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Texts

STEP = 2_000


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    with path.open("rb") as raw:
        stream = {".gz": gzip.open, ".zst": zstandard.ZstdDecompressor().stream_reader}.get(
            path.suffix, lambda raw: raw
        )(raw)
        return [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8") if line.strip()]


@dataclass(frozen=True)
class Held(Rows):
    """Rows in memory, reduced in batches of STEP."""

    batch: Batch

    @classmethod
    def of(cls, texts: Sequence[str], **numbers: Sequence[float]) -> Held:
        block = Texts.of(list(texts))
        columns = {name: np.asarray(values, np.float64) for name, values in numbers.items()}
        return cls(Batch(np.arange(len(block)), hash_rows(block.data, block.offsets), {"text": block, **columns}))

    def take(self, rows: np.ndarray) -> Batch:
        columns = {
            name: column.take(rows) if isinstance(column, Texts) else column[rows]
            for name, column in self.batch.columns.items()
        }
        return Batch(self.batch.rows[rows], self.batch.hashes[rows], columns)

    def reduce(self, part: Callable, merge: Callable) -> Any:
        starts = range(0, len(self), STEP)
        return functools.reduce(
            merge, (part(self.take(np.arange(start, min(start + STEP, len(self))))) for start in starts)
        )

    def sample(self, k: int) -> Batch:
        return self.take(np.sort(np.lexsort((self.batch.rows, self.batch.hashes))[:k]))

    def __len__(self) -> int:
        return len(self.batch)
