"""Parquet and Arrow out: parts are Arrow streams, the joined file keeps schema, metadata and compression codec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool

from assay.errors import InputError
from assay.io.convert import part_rows
from assay.io.files import atomic_write, open_read
from assay.io.sources import Piece, Shard
from assay.io.tables import part_batches, schema_of, table_batches, taken

_GROUP_BYTES = 64 << 20  # a row group is closed at the first batch boundary after this much
_GROUP_ROWS = 1 << 16
_SAMPLE = 1000
_CODECS = {"": "none", "gzip": "gzip", "zstd": "zstd"}


def copy_batches(piece: Piece, keep: Bool[np.ndarray, "b"], out: str) -> int:
    """Write the rows of a Parquet or Arrow piece where `keep` is true to an Arrow stream."""
    schema, row = schema_of(piece.shard), 0
    stop = piece.stop if piece.shard.format == "parquet" else None
    with atomic_write(out, durable=False) as file, pa.ipc.new_stream(file, schema) as writer:
        if keep.any():
            for batch in table_batches(piece.shard, piece.start, stop, None):
                part = keep[row : row + batch.num_rows]
                row += batch.num_rows
                if part.any():
                    places = pa.array(np.flatnonzero(part))
                    writer.write_batch(pa.record_batch([taken(column, places) for column in batch], schema=batch.schema))
                if not keep[row:].any():
                    break
    return int(keep.sum())


def join_tables(parts: Sequence[str], shard: Shard, final: str, format: str, compression: str) -> None:
    """One Parquet or Arrow file of a shard's parts."""
    if shard.format in ("parquet", "arrow"):
        schema, batches = schema_of(shard), part_batches(parts)
    else:
        schema, batches = _inferred(parts, shard)
    if format == "arrow":
        with atomic_write(final) as file, pa.ipc.new_stream(file, schema) as writer:
            for table in _grouped(batches, schema, 1000):  # the batch size that `datasets` writes
                for batch in table.to_batches(max_chunksize=1000):
                    writer.write_batch(batch)
        return
    codec: Any = (
        _codecs(shard)
        if shard.format == "parquet" and not compression
        else _CODECS[compression]
        if compression
        else "snappy"
    )
    with atomic_write(final) as file, pq.ParquetWriter(file, schema, compression=codec) as writer:
        for table in _grouped(batches, schema, _GROUP_ROWS):
            writer.write_table(table, row_group_size=_GROUP_ROWS)


def _codecs(shard: Shard) -> str | dict[str, str]:
    """The codec of a Parquet file's first column, for all of them."""
    with open_read(shard.path) as file:
        meta = pq.ParquetFile(file).metadata
        if not meta.num_row_groups or not meta.num_columns:
            return "snappy"
        codec = meta.row_group(0).column(0).compression.lower()
        return "none" if codec == "uncompressed" else codec


def _grouped(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Tables of exactly `rows` rows, or of 64 MB, so that the file does not depend on how it was cut into batches."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        while batch.num_rows:
            head = batch.slice(0, rows - count)
            held.append(head)
            count, size = count + head.num_rows, size + head.get_total_buffer_size()
            batch = batch.slice(head.num_rows)
            if count == rows or size >= _GROUP_BYTES:
                yield pa.Table.from_batches(held, schema).combine_chunks()
                held, count, size = [], 0, 0
    if held:
        yield pa.Table.from_batches(held, schema).combine_chunks()


def _inferred(parts: Sequence[str], shard: Shard) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A schema that fits all rows of text parts, found in a first pass, and the rows in it."""
    schema = pa.schema([])
    try:
        for rows in _chunked(part_rows(parts, shard)):
            schema = pa.unify_schemas([schema, pa.Table.from_pylist(rows).schema], promote_options="permissive")
    except pa.ArrowException as error:
        raise _no_table(shard, error) from None
    return schema, _batches(parts, shard, schema)


def _batches(parts: Sequence[str], shard: Shard, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in _chunked(part_rows(parts, shard)):
        try:
            yield from pa.Table.from_pylist(rows, schema).to_batches()
        except (pa.ArrowException, TypeError) as error:
            raise _no_table(shard, error) from None


def _no_table(shard: Shard, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"{shard.path!r} cannot become Parquet, where a column has one type: {reason}; write it with --format jsonl"
    )


def _chunked(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    held = []
    for row in rows:
        held.append(row)
        if len(held) == _SAMPLE:
            yield held
            held = []
    if held:
        yield held
