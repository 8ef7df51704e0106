"""The lists that account for every row: the manifest (Parquet, a part for each shard), the quarantine (JSON lines)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import masked
from assay.io.blocks import Bad
from assay.io.files import atomic_write, open_read
from assay.types import Texts

MANIFEST = pa.schema(
    [
        ("row", pa.int64()), ("id", pa.string()), ("shard", pa.string()), ("source", pa.string()),
        ("bytes", pa.int64()),
        ("status", pa.string()), ("reason", pa.string()), ("score", pa.float64()), ("rank", pa.int64()),
        ("weight", pa.float64()),
    ]
)  # fmt: skip
_GROUP_ROWS = 1 << 17


def write_manifest_part(path: str, columns: Mapping[str, Any]) -> None:
    """Write one part of the manifest; a NaN score and a negative rank become null.

    A string column may be `Texts`, a list, an object array, one string for all rows, or (codes, names); null (None) is
    allowed in lists.
    """
    write_manifest_pieces(path, [columns])


def write_manifest_pieces(path: str, pieces: Iterable[Mapping[str, Any]]) -> None:
    """The same from consecutive pieces of a part, of which a row group's worth is in memory at a time."""
    waiting: list[pa.Table] = []
    with atomic_write(path) as file, pq.ParquetWriter(file, MANIFEST, compression="zstd") as writer:
        for columns in pieces:
            arrays = [_array(columns[field.name], field.type, len(columns["row"])) for field in MANIFEST]
            waiting.append(pa.Table.from_arrays(arrays, schema=MANIFEST))
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting), row_group_size=_GROUP_ROWS)
                waiting.clear()
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=_GROUP_ROWS)


def _array(values: Any, kind: pa.DataType, size: int) -> pa.Array:
    if isinstance(values, Texts):
        return _strings(values)
    if isinstance(values, tuple):
        codes, names = values
        return pa.DictionaryArray.from_arrays(_filled(codes, pa.int32()), _strings(Texts.of(list(names)))).cast(kind)
    if isinstance(values, str):
        return pa.repeat(pa.scalar(values, pa.string()), size)
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fi":
        missing = np.isnan(values) if values.dtype.kind == "f" else (values < 0) & (kind == pa.int64())
        whole = (
            np.where(missing, 0, values).astype(np.int64) if pa.types.is_integer(kind) else values.astype(np.float64)
        )
        return _filled(whole, kind, missing)
    return pa.array(list(values), kind)


def _strings(values: Texts) -> pa.Array:
    offsets, data = (pa.py_buffer(np.ascontiguousarray(part)) for part in (values.offsets, values.data))
    return pa.Array.from_buffers(pa.large_string(), len(values), [None, offsets, data]).cast(pa.string())


def _filled(values: np.ndarray, kind: pa.DataType, missing: np.ndarray | None = None) -> pa.Array:
    """Not pa.array(values): where pandas is installed it would be imported first, which takes half a second."""
    there = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    whole = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(whole), [there, pa.py_buffer(whole)])


def scan_manifest(folder: str) -> pl.LazyFrame:
    """The manifest as a lazy frame: collect only the columns that are needed."""
    return pl.scan_parquet(os.path.join(folder, "*.parquet"))


def read_manifest(paths: Iterable[str], columns: list[str] | None = None) -> pa.Table:
    """The parts of a manifest, in the order given, as one table."""
    tables = []
    for path in paths:
        with open_read(path) as file:
            tables.append(pq.read_table(file, columns=columns))
    return pa.concat_tables(tables) if tables else MANIFEST.empty_table()


def quarantine_entry(file: str, bad: Bad, first_row: int, first_line: int) -> dict[str, Any]:
    """A quarantined row as the file lists it; `first_row` and `first_line` are how many came before the row's piece."""
    return {
        "file": file,
        "line": bad.line + first_line,
        "row": bad.row + first_row,
        "reason": bad.reason,
        "offset": bad.offset,
        "length": bad.length,
        "hash": bad.hash,
        "raw": base64.b64encode(bad.raw).decode("ascii"),
    }


def write_quarantine(path: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write quarantine entries, one JSON object a line, in the order given."""
    with atomic_write(path) as file:
        for entry in entries:
            told = {**entry, "file": masked(entry["file"])}
            file.write(json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def read_quarantine(path: str) -> Iterator[dict[str, Any]]:
    """The entries of a quarantine file."""
    with open_read(path) as file:
        rest = b""
        while chunk := file.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (json.loads(line) for line in lines)
