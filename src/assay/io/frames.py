"""Pools in memory (lists of dicts, frames, datasets, tables), spooled to a folder, so that all the rest reads files.

A list becomes JSON lines; a pandas or polars frame, a `datasets.Dataset` or an Arrow table becomes Parquet. Types are
recognised by their module's name, so none of these libraries is imported unless one of its objects is given.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import xxhash

from assay.errors import InputError, MissingExtra, RunError
from assay.io.files import atomic_write, read_bytes, write_bytes
from assay.io.mirror import present


def is_paths(pool: Any) -> bool:
    """Whether a pool is a path or several, not rows in memory."""
    return isinstance(pool, str | os.PathLike) or (
        isinstance(pool, list | tuple) and all(isinstance(x, str | os.PathLike) for x in pool)
    )


def spool(pool: Any, folder: str, name: str = "pool") -> list[str]:
    """Write rows in memory to `folder/name.*` (the same rows, the same bytes) and return the paths; paths stay."""
    if isinstance(pool, str | os.PathLike):
        return [os.fspath(pool)]
    if is_paths(pool):
        return [os.fspath(path) for path in pool]
    if isinstance(pool, list | tuple):
        return [_lines(pool, os.path.join(folder, f"{name}.jsonl"))]
    return [_parquet(_table(pool), os.path.join(folder, f"{name}.parquet"))]


def settle(paths: Sequence[str], folder: str) -> list[str]:
    """Copy spooled files into `folder` under their content's digest, so that the same rows are the same path next time."""
    settled = []
    for path in paths:
        content = read_bytes(path)
        settled.append(os.path.join(folder, xxhash.xxh3_64_hexdigest(content), os.path.basename(path)))
        if not present(settled[-1]):
            write_bytes(settled[-1], content)
    return settled


def _lines(rows: list[Any] | tuple[Any, ...], path: str) -> str:
    with atomic_write(path) as file:
        for row in rows:
            row = {"text": row} if isinstance(row, str) else row
            if not isinstance(row, dict):
                raise InputError(
                    "a pool in memory must be a list of dicts or strings, a frame or a dataset; "
                    f"got a list of {type(row).__name__}"
                )
            try:
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
            except UnicodeEncodeError:
                file.write(json.dumps(row).encode() + b"\n")
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"a row in memory must hold what JSON can say: {error}; convert it, or give a frame"
                ) from None
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
        "a pool must be paths, a list of dicts, a pandas or polars frame, a datasets.Dataset or an Arrow table; "
        f"got {type(pool).__name__}"
    )


def _parquet(table: Any, path: str) -> str:
    import pyarrow.parquet as pq

    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 14)
    return path


def load_dataset(folder: str) -> Any:
    """Rows written to a folder as a `datasets.Dataset`; MissingExtra without that library, RunError where there are none."""
    try:
        import datasets
    except ImportError:
        raise MissingExtra.of("to_dataset", "datasets") from None
    names = sorted(os.path.join(parent, name) for parent, _, found in os.walk(folder) for name in found)
    if saved := [os.path.dirname(name) for name in names if os.path.basename(name) == "dataset_info.json"]:
        return datasets.concatenate_datasets([datasets.load_from_disk(path) for path in saved])
    if not names or names[0].endswith(".ids.jsonl"):
        raise RunError(f"{folder} must hold selected rows and holds none; select again with --write rows")
    kind = "parquet" if names[0].endswith(".parquet") else "csv" if ".csv" in names[0] else "json"
    return datasets.load_dataset(kind, data_files=names, split="train")
