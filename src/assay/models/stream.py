"""Documents to batches: one after another, cut into rows of one length, every symbol learnt once.

    t_1 t_2 t_3 …     symbols of all documents in order, each document ended by its end symbol
    inputs            e t_1 t_2 …      the symbol before, e the end symbol: so a document begins after an end
    targets           t_1 t_2 t_3 …    -1 where a symbol is only context

What plain pretraining code does (Karpathy 2022, nanoGPT, https://github.com/karpathy/nanoGPT): rows do not respect
where documents begin. Rows that do are made by `models/packing.py`, in the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Int64, Integer

from assay.types import Sequences


@final
class Batch(NamedTuple):
    """One step's rows: what is read, what is to be predicted there (-1: nothing), and the number of the document within the
    row that each place belongs to (0 throughout where rows do not respect documents)."""

    inputs: Int64[np.ndarray, "r c"]
    targets: Int64[np.ndarray, "r c"]
    segments: Int64[np.ndarray, "r c"]


def stream(blocks: Iterator[Sequences], context: int, rows: int, begin: int = 0) -> Iterator[Batch]:
    """Batches of `rows` rows of `context` places; `begin` is what stands before the first document. The last batch has -1 for
    targets where documents have run out.

    >>> two = Sequences(np.array([5, 6, 0, ~7, 8], np.int32), np.array([0, 3, 5]))
    >>> batch, = stream(iter([two]), context=3, rows=2)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 5, 6], [0, 7, 8]], [[5, 6, 0], [-1, 8, -1]])
    """
    size, held, last = context * rows, np.zeros(0, np.int64), begin
    for block in blocks:
        held = np.concatenate([held, block.data[block.offsets[0] : block.offsets[-1]]])
        for start in range(0, len(held) - size + 1, size):
            symbols = held[start : start + size]
            yield _batch(symbols, last, context)
            last = _read(symbols[-1:]).item()
        held = held[len(held) // size * size :]
    if len(held):
        batch = _batch(np.concatenate([held, np.zeros(size - len(held), np.int64)]), last, context)
        batch.targets.flat[len(held) :] = -1
        yield batch


def _batch(symbols: Int64[np.ndarray, "m"], last: int, context: int) -> Batch:
    inputs = np.concatenate([[last], _read(symbols)[:-1]]).reshape(-1, context)
    targets = np.maximum(symbols, -1).reshape(-1, context)
    return Batch(inputs, targets, np.zeros_like(inputs))


def _read(symbols: Integer[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
    """Symbols as they are read: ~s, which is only context, as s."""
    return np.where(symbols < 0, ~symbols, symbols).astype(np.int64)
