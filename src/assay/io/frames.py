"""Pools in memory, spooled to a folder once, so that everything after reads files: lists of dicts, frames, datasets, tables.

A list becomes JSON lines; a pandas or polars frame, a `datasets.Dataset` or an Arrow table becomes Parquet. Types are
recognised by their module's name, so none of these libraries is imported unless one of its objects is given.
"""

from __future__ import annotations

import json
import os
from typing import Any

from assay.errors import InputError
from assay.io.files import atomic_write


def is_paths(pool: Any) -> bool:
    """Whether a pool is a path or several, not rows in memory."""
    return isinstance(pool, str | os.PathLike) or (isinstance(pool, list | tuple) and all(isinstance(x, str | os.PathLike) for x in pool))


def spool(pool: Any, folder: str, name: str = "pool") -> list[str]:
    """Write rows in memory to `folder/name.*` (the same rows, the same bytes) and return the paths; paths are returned as they are."""
    if isinstance(pool, str | os.PathLike):
        return [os.fspath(pool)]
    if is_paths(pool):
        return [os.fspath(path) for path in pool]
    if isinstance(pool, list | tuple):
        return [_lines(pool, os.path.join(folder, f"{name}.jsonl"))]
    return [_parquet(_table(pool), os.path.join(folder, f"{name}.parquet"))]


def _lines(rows: list[Any] | tuple[Any, ...], path: str) -> str:
    with atomic_write(path) as file:
        for row in rows:
            row = {"text": row} if isinstance(row, str) else row
            if not isinstance(row, dict):
                raise InputError(f"a pool in memory must be a list of dicts or strings, a frame or a dataset; got a list of {type(row).__name__}")
            try:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
            except UnicodeEncodeError:
                file.write(json.dumps(row).encode() + b"\n")
            except (TypeError, ValueError) as error:
                raise InputError(f"a row in memory must hold what JSON can say: {error}; convert it, or give a frame") from None
    return path


def _table(pool: Any) -> Any:
    """Any of the known kinds of table as a `pyarrow.Table`."""
    import pyarrow as pa

    library = type(pool).__module__.split(".")[0]
    if isinstance(pool, pa.Table):
        return pool
    if isinstance(pool, pa.RecordBatch):
        return pa.Table.from_batches([pool])
    if library == "pandas":
        return pa.Table.from_pandas(pool, preserve_index=False)
    if library == "polars":
        return (pool.collect() if hasattr(pool, "collect") else pool).to_arrow()
    if library == "datasets" and hasattr(pool, "with_format"):
        return pool.with_format("arrow")[:] if len(pool) else pool.data.table.slice(0, 0)
    raise InputError(
        f"a pool must be paths, a list of dicts, a pandas or polars frame, a datasets.Dataset or an Arrow table; got {type(pool).__name__}"
    )


def _parquet(table: Any, path: str) -> str:
    import pyarrow.parquet as pq

    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 14)
    return path
