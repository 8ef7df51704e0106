"""What `lines` and `paragraphs` share: records of parts, those that several documents hold, and each document's share.

A record has 24 bytes: the key of a part, its row, its bytes, and the bytes of all counted parts of its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Int, Int64, Shaped

from assay.contracts import Engine, Rows
from assay.group._holders import Holders, share
from assay.kernels.parts import Unit, cut_parts
from assay.models.repeated_parts import Shared
from assay.types import Batch, Signals

_RECORD = np.dtype([("key", np.uint64), ("row", np.int64), ("bytes", np.uint32), ("total", np.uint32)])


@final
@dataclass(frozen=True)
class Emitted:
    """The records of a batch: one for every part of at least `min_characters` characters, normalised."""

    unit: Unit
    min_characters: int

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        parts = cut_parts(batch.text.data, batch.text.offsets, self.unit)
        counted = parts.characters >= self.min_characters
        texts, sizes = parts.texts[counted], parts.sizes[counted]
        totals = np.bincount(texts, sizes, len(batch)).astype(np.uint32)
        records = np.empty(len(texts), _RECORD)
        records["key"], records["row"] = parts.keys[counted], batch.rows[texts]
        records["bytes"], records["total"] = sizes, totals[texts]
        return records


def repeated(name: str, pool: Rows, signals: Signals, engine: Engine, emit: Emitted, documents: int) -> Signals:
    """`name`, the share of each row's counted bytes that a preferred row holds too, and `name_of`: who holds most of it."""
    order = signals["order"]
    held, size, holder = np.zeros(len(order), np.int64), np.zeros(len(order), np.int64), np.full(len(order), -1)
    low = 0
    while low < len(order):
        table = Holders.within(engine.memory, low, len(order))
        for records in engine.shuffle(pool, emit, Shared(documents)):
            keepers = _keepers(records, order)
            copies = records["row"] != keepers
            rows = records["row"][copies]
            size[rows] = records["total"][copies]
            table.add(rows, keepers[copies], records["bytes"][copies])
        table.into(order, held, holder)
        low = table.high
    return Signals({name: share(held, size), f"{name}_of": holder})


def _keepers(records: Shaped[np.ndarray, "r"], order: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "r"]:
    """The preferred row of each record's key."""
    if not len(records):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], records["key"][1:] != records["key"][:-1]]))
    ranks, sizes = order[records["row"]], np.diff(np.append(starts, len(records)))
    preferred = ranks == np.repeat(np.minimum.reduceat(ranks, starts), sizes)
    return np.repeat(np.maximum.reduceat(np.where(preferred, records["row"], -1), starts), sizes)
