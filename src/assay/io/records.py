"""Any format that is text, as lines: JSON lines as they are, a JSON array one element a line, CSV one record a line.

An element of a JSON array becomes a line by turning the line breaks between its tokens into spaces. A CSV record may
span lines inside quotes, so there a line break inside quotes is kept and the record is handed on whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from assay.io.lines import Lines, Long, Tail, assemble, read_lines
from assay.io.sources import Shard
from assay.io.streams import Unreadable, chunks
from assay.kernels.json_array import ARRAY_STATE, elements


def shard_lines(shard: Shard, start: int, stop: int | None, longest: int) -> Iterator[Lines | Long | Tail]:
    """The lines of a JSONL, JSON or CSV shard that start in `[start, stop)`, in blocks."""
    if shard.format == "json":
        yield from assemble(_array_lines(shard), 0, None, longest)
    else:
        whole = shard.compression or shard.format == "csv"
        yield from read_lines(shard.path, shard.compression, 0 if whole else start, None if whole else stop, longest)


def _array_lines(shard: Shard) -> Iterator[bytes]:
    """The elements of a JSON array as lines."""
    state = np.zeros(ARRAY_STATE, np.int64)
    for chunk in chunks(shard.path, shard.compression):
        data = np.frombuffer(chunk, np.uint8)
        out = np.empty(2 * len(data) + 2, np.uint8)
        yield out[: elements(data, out, state)].tobytes()
    if state[0] != 3:
        raise Unreadable("the JSON array does not end with ']'")
