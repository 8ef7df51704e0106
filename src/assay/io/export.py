"""Rows out in any order, for somebody else's trainer: lines as they came, or tables with every column and type.

Rows lie in a spool in row order first (one file of JSON lines, or one of Arrow batches, mapped, not held in memory); an arm
is written by picking them in the order of training. A file appears by rename, so what is there is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from assay.errors import InputError
from assay.io import files, store, writer
from assay.io.sources import Shard

ARMS = pa.schema(
    [
        ("arm", pa.dictionary(pa.int32(), pa.string())), ("seed", pa.int32()), ("budget", pa.int64()), ("epoch", pa.int32()),
        ("position", pa.int64()), ("row", pa.int64()), ("id", pa.string()), ("shard", pa.dictionary(pa.int32(), pa.string())),
        ("units", pa.int64()), ("keep", pa.int64()),
    ]
)  # fmt: skip
_AT_ONCE = 1 << 13
_CHUNK = 1 << 24


def write_arms(path: str, parts: Iterable[Mapping[str, Any]]) -> None:
    """The manifest of arms: one line for each time that a row is read, in the order of reading; see `ARMS`."""
    with files.atomic_write(path) as file, pq.ParquetWriter(file, ARMS, compression="zstd") as out:
        for part in parts:
            columns = [_column(part[field.name], field.type, len(part["row"])) for field in ARMS]
            out.write_table(pa.table(columns, schema=ARMS))


def _column(values: Any, kind: pa.DataType, size: int) -> pa.Array:
    """An array, or one value for all rows."""
    if isinstance(values, str | int):
        values = pa.repeat(values, size)
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    if pa.types.is_dictionary(kind):
        array = array.cast(pa.string()).dictionary_encode()
    return array.cast(kind)


def spool_lines(shards: Sequence[tuple[Shard, Sequence[str]]], folder: Path) -> None:
    """The rows of all parts, shard by shard, as one file of JSON lines: those that are lines already byte for byte."""
    joined = folder / "shard.jsonl"
    with files.atomic_write(str(folder / "rows.jsonl"), durable=False) as out:
        for shard, parts in shards:
            writer.join(parts, shard, str(joined), "jsonl", "none")
            with files.open_read(str(joined)) as source:
                shutil.copyfileobj(source, out, _CHUNK)
            joined.unlink()
    store.save(folder / "ends.npy", _ends(store.mapped_bytes(folder / "rows.jsonl")))


def _ends(data: np.ndarray) -> Int64[np.ndarray, "k"]:
    """Where each line ends."""
    found = [np.flatnonzero(data[at : at + _CHUNK] == 10) + at + 1 for at in range(0, len(data), _CHUNK)]
    return np.concatenate([np.zeros(1, np.int64), *found])


def write_lines(path: str, folder: Path, order: Int64[np.ndarray, "k"]) -> None:
    """The spooled lines at some places, in that order."""
    data, ends = store.mapped_bytes(folder / "rows.jsonl"), np.asarray(store.mapped(folder / "ends.npy"))
    with files.atomic_write(path) as out:
        for part in _blocks(order):
            spans = zip(ends[part].tolist(), ends[part + 1].tolist(), strict=True)
            out.write(b"".join([data[start:stop].tobytes() for start, stop in spans]))


def spool_tables(shards: Sequence[tuple[Shard, Sequence[str]]], folder: Path) -> None:
    """The same as one file of Arrow batches, in a schema that fits all shards; InputError where there is none."""
    paths = []
    for shard, parts in shards:
        paths.append(folder / f"shard-{shard.index:06d}.parquet")
        writer.join(parts, shard, str(paths[-1]), "parquet")
    try:
        schema = pa.unify_schemas([pq.read_schema(path) for path in paths], promote_options="permissive")
        schema = schema.remove_metadata()
        with files.atomic_write(str(folder / "rows.arrow"), durable=False) as out, pa.ipc.new_file(out, schema) as sink:
            for batch in (batch for path in paths for batch in pq.ParquetFile(path).iter_batches(_AT_ONCE)):
                sink.write_table(_fitted(batch, schema))
    except pa.ArrowException as error:
        raise InputError(
            f"the pool's shards cannot be one table: {str(error).splitlines()[0]}; write the arms with --format jsonl"
        ) from None


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """A batch in a wider schema: columns that it lacks are null."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def write_table(path: str, folder: Path, order: Int64[np.ndarray, "k"]) -> None:
    """The spooled rows at some places, in that order, as Parquet."""
    with pa.memory_map(str(folder / "rows.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        with files.atomic_write(path) as out, pq.ParquetWriter(out, table.schema, compression="zstd") as sink:
            for part in _blocks(order):
                sink.write_table(table.take(pa.array(part)))


def _blocks(order: Int64[np.ndarray, "k"]) -> Iterator[Int64[np.ndarray, "j"]]:
    return (order[at : at + _AT_ONCE] for at in range(0, len(order), _AT_ONCE))
