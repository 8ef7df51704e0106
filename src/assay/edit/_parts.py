"""What `drop_repeated_lines` and `drop_repeated_paragraphs` share: learn who keeps each repeated part, and drop the rest.

A record has 24 bytes: the key of a part, its row, and the hash of its row's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Shaped

from assay.contracts import Engine, Rows
from assay.kernels.parts import Unit, cut_parts, without_parts
from assay.models.repeated_parts import Shared
from assay.types import Batch, Fitted, Signals, Texts

_RECORD = np.dtype([("key", np.uint64), ("row", np.int64), ("hash", np.uint64)])


@final
@dataclass(frozen=True)
class Emitted:
    """The records of a batch: one for every part of at least `min_characters` characters, normalised."""

    unit: Unit
    min_characters: int

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        parts = cut_parts(batch.text.data, batch.text.offsets, self.unit)
        counted = parts.characters >= self.min_characters
        texts = parts.texts[counted]
        records = np.empty(len(texts), _RECORD)
        records["key"], records["row"] = parts.keys[counted], batch.rows[texts]
        records["hash"] = batch.hashes[texts]
        return records


def learn_parts(pool: Rows, signals: Signals, engine: Engine, emit: Emitted, documents: int) -> Fitted:
    """Keys of the repeated `parts` (u,), ascending, and of each the text hash of the row that keeps it, `keepers` (u,)."""
    order, keys, keepers, copies = signals["order"], [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], 0
    for records in filter(len, engine.shuffle(pool, emit, Shared(documents))):
        ranks = order[records["row"]]
        by_rank = np.lexsort((ranks, records["key"]))
        ordered = records[by_rank]
        first = np.concatenate([[True], ordered["key"][1:] != ordered["key"][:-1]])
        keys.append(ordered["key"][first])
        keepers.append(ordered["hash"][first])
        copies += len(records) - int(first.sum())
    parts, holders = np.concatenate(keys), np.concatenate(keepers)
    ascending = np.argsort(parts)
    notes = {"repeated_parts": len(parts), "copies": copies}
    return Fitted({"parts": parts[ascending], "keepers": holders[ascending]}, notes)


def rewrite_parts(batch: Batch, fitted: Fitted, emit: Emitted) -> Texts:
    """The texts without the counted parts that a row of another text keeps."""
    text, known, keepers = batch.text, fitted.arrays["parts"], fitted.arrays["keepers"]
    parts = cut_parts(text.data, text.offsets, emit.unit)
    dropped = np.zeros(len(parts.keys), bool)
    if len(known):
        place = np.minimum(np.searchsorted(known, parts.keys), len(known) - 1)
        dropped = (known[place] == parts.keys) & (keepers[place] != batch.hashes[parts.texts])
        dropped &= parts.characters >= emit.min_characters
    return Texts(*without_parts(text.data, text.offsets, parts, dropped))
