"""One format into another, for `--format`: rows as dicts on the way, so this is slower than keeping the format.

Tables become JSON lines with times in ISO 8601, binary in base64 and NaN as null. CSV values stay strings.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from assay.io.files import open_read
from assay.io.row import delimiter
from assay.io.sources import Shard


def csv_header(shard: Shard) -> bytes:
    """The first record of a CSV file that is not blank, with its LF."""
    from assay.io.tabular import records

    for item in records(shard, 1 << 30):
        for record in item if isinstance(item, list) else ():
            if record.raw.strip():
                return record.raw
    return b""


def as_format(parts: Sequence[str], shard: Shard) -> Iterator[bytes]:
    """The rows of parts in CSV, Parquet, Arrow or tar as JSON lines."""
    for row in part_rows(parts, shard):
        yield json.dumps(_plain(row), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def part_rows(parts: Sequence[str], shard: Shard) -> Iterator[dict[str, Any]]:
    """The rows of parts as dicts."""
    if shard.format in ("parquet", "arrow"):
        from assay.io.tables import part_batches

        for batch in part_batches(parts):
            yield from batch.to_pylist()
    elif shard.format == "webdataset":
        from assay.io.webdataset import rows

        for part in parts:
            yield from rows(part)
    elif shard.format == "csv":
        names = next(
            csv.reader(io.StringIO(csv_header(shard).decode("utf-8"), newline=""), delimiter=delimiter(shard.path))
        )
        for part in parts:
            with open_read(part) as raw, io.TextIOWrapper(io.BufferedReader(raw), "utf-8", newline="") as text:  # type: ignore[type-var]
                for values in csv.reader(text, delimiter=delimiter(shard.path)):
                    yield dict(zip(names, values, strict=True))
    else:
        for part in parts:
            with open_read(part) as raw, io.BufferedReader(raw) as lines:  # type: ignore[type-var]
                for line in lines:
                    yield json.loads(line)


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
