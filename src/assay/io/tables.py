"""Parquet row groups and Arrow files as blocks; text columns become `Texts` without a Python object for each row."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.errors import InputError, suggest
from assay.io.blocks import EMPTY, Bad, Block, block_of, empty_columns
from assay.io.files import open_read
from assay.io.lines import HEAD, digest
from assay.io.row import DOCUMENT, ETX, Fields, get, render_chat, unmarked
from assay.io.sources import Piece, Shard
from assay.kernels.json_lines import rows_are_utf8
from assay.kernels.words import PAD
from assay.types import Column, Texts

DAMAGE = (pa.ArrowException, OSError)
_BYTES = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
_ROWS = 4096  # rows at a time: 4 to 8 MB of web text
_PICTURES = 64  # rows at a time where each has a picture
_IMAGES = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "img", "picture", "photo")


@final
class Within:
    """A file that is asked for no more bytes than it has: what a damaged file claims to hold is never allocated."""

    closed = False

    def __init__(self, file: BinaryIO):
        self._file, self._size = file, file.seek(0, os.SEEK_END)
        self.seek, self.tell = file.seek, file.tell
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count is None or count < 0 else min(count, left))

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Any part can be asked for."""
        return True

    def close(self) -> None:
        """Left to the owner of the file."""


@contextlib.contextmanager
def open_arrow(path: str) -> Iterator[Any]:
    """A reader of an Arrow IPC file or stream; `read_all`-free, batch by batch; InputError if it is neither."""
    with open_read(path) as raw, pa.PythonFile(Within(raw), mode="r") as file:
        magic = file.read(6)
        file.seek(0)
        try:
            reader = pa.ipc.open_file(file) if magic == b"ARROW1" else pa.ipc.open_stream(file)
        except DAMAGE as error:
            raise InputError(f"{path!r} must be an Arrow file; {error}") from None
        yield reader


def table_batches(
    shard: Shard, start: int, stop: int | None, columns: list[str] | None, size: int = _ROWS
) -> Iterator[pa.RecordBatch]:
    """Record batches of row groups `start` to `stop` (Parquet) or of the whole file (Arrow), of at most `size` rows."""
    if shard.format == "parquet":
        with open_read(shard.path) as file:
            reader = pq.ParquetFile(Within(file), pre_buffer=False, page_checksum_verification=True)
            groups = list(range(start, reader.num_row_groups if stop is None else stop))
            yield from reader.iter_batches(size, row_groups=groups, columns=columns, use_threads=False)
        return
    with open_arrow(shard.path) as reader:
        batches = (
            reader
            if hasattr(reader, "read_next_batch")
            else (reader.get_batch(k) for k in range(reader.num_record_batches))
        )
        for batch in map(checked, batches):
            for at in range(0, batch.num_rows, size):
                part = batch.slice(at, size)
                yield part.select(columns) if columns is not None else part


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch as it lay in an Arrow file, whose offsets stay within its buffers; ArrowInvalid where damage has made them
    point elsewhere, which would end the process. Strings that are no UTF-8 are left to whoever reads the rows.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        for column in batch.columns:
            kind = _BYTES.get(column.type)
            (column if kind is None else column.view(kind)).validate(full=True)
    return batch


def part_batches(parts: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The record batches of Arrow streams, one after another."""
    for part in parts:
        with open_arrow(part) as reader:
            yield from reader


def schema_of(shard: Shard) -> pa.Schema:
    """The Arrow schema of a Parquet or Arrow shard, with its metadata."""
    if shard.format == "parquet":
        try:
            with open_read(shard.path) as file:
                return pq.ParquetFile(Within(file)).schema_arrow
        except (*DAMAGE, UnicodeDecodeError) as error:
            raise InputError(f"{shard.path!r} must be a Parquet file; {error}") from None
    with open_arrow(shard.path) as reader:
        return reader.schema


def read_table(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    """The blocks of a Parquet or Arrow piece; `Block.lines` are rows here, `Bad.line` the row from 1."""
    names = _names(piece.shard)
    texts = [name for _, name in fields.parts if name]
    paths = {name: {"id": fields.id, "source": fields.source}.get(name, name) for name in columns if name != "text"}
    paths |= {"image": _image_column(piece.shard)} if "image" in columns else {}
    for path in texts:
        if _top(path, names) not in names:
            raise InputError(
                f"{piece.shard.path!r} has no column {path!r}; {suggest(path, names)}; name one with --text-field"
            )
    tops = {_top(path, names) for path in [*texts, *(path for path in paths.values() if path)]}
    row = 0
    try:
        size, wanted = _PICTURES if "image" in columns else _ROWS, [name for name in names if name in tops]
        for batch in table_batches(piece.shard, piece.start, piece.stop, wanted, size):
            yield _block(batch, fields, paths, row)
            row += batch.num_rows
    except DAMAGE as error:
        yield _damaged(piece, row, str(error), columns)
        return
    if (missing := _promised(piece) - row) > 0:
        yield _damaged(piece, row, f"its last {missing:,} rows are not there", columns)


def _image_column(shard: Shard) -> str:
    """The column of encoded images: bytes, or what the `datasets` library makes of an image."""
    schema = schema_of(shard)
    found = [name for name in _IMAGES if name in schema.names and _holds_bytes(schema.field(name).type)]
    if not found:
        raise InputError(
            f"{shard.path!r} must have a column of encoded images, such as 'image', of type binary or a struct with bytes; its "
            f"columns are {', '.join(schema.names)}: name it so"
        )
    return found[0]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _images(array: pa.Array | None, size: int) -> Texts:
    """The bytes of each image; none where it is null."""
    assert array is not None
    if pa.types.is_struct(array.type):
        array = pc.struct_field(array, "bytes")
    return strings(array)


def _names(shard: Shard) -> list[str]:
    try:
        return schema_of(shard).names
    except UnicodeDecodeError as error:
        raise InputError(f"{shard.path!r} must name its columns in UTF-8; {error}: write it anew") from None


def _damaged(piece: Piece, row: int, reason: str, columns: Sequence[str]) -> Block:
    """The rows left when a file turns out to be damaged: all that Parquet promises, one of an Arrow file."""
    left = _promised(piece) - row if piece.shard.format == "parquet" else 1
    sentence = f"the file is damaged ({reason.splitlines()[0]})"
    bad = tuple(Bad(at, at + 1, sentence, b"", 0, 0, digest(b"")) for at in range(row, row + left))
    return block_of(left, left, np.arange(row, row + left) + 1, bad, np.zeros(0, np.int64), empty_columns(columns))


def _promised(piece: Piece) -> int:
    """Rows that a Parquet file says these row groups have; 0 of an Arrow file, which says nothing."""
    if piece.shard.format != "parquet":
        return 0
    with open_read(piece.shard.path) as file:
        meta = pq.ParquetFile(file).metadata
        return sum(meta.row_group(group).num_rows for group in range(piece.start, piece.stop))


def _top(path: str, names: Sequence[str]) -> str:
    """The column that holds a dotted path; a column of exactly that name comes first."""
    return path if path in names else path.split(".")[0]


def _column(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """The array at a dotted path; None where a part of it does not exist."""
    top = _top(path, batch.schema.names)
    if top not in batch.schema.names:
        return None
    array = batch.column(top)
    for name in path[len(top) + 1 :].split(".") if path != top else ():
        if not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0:
            return None
        array = pc.struct_field(array, name)
    return array


def _block(batch: pa.RecordBatch, fields: Fields, paths: dict[str, str | None], row: int) -> Block:
    size = batch.num_rows
    texts, reasons = _texts(batch, fields)
    good = np.ones(size, bool)
    good[list(reasons)] = False
    bad = []
    for at, (reason, raw) in sorted(reasons.items()):
        bad.append(Bad(row + at, row + at + 1, reason, raw[:HEAD], 0, len(raw), digest(raw)))
    columns: dict[str, Column] = {"text": texts if not reasons else texts.take(good)}
    for name, path in paths.items():
        array = _column(batch, path) if path else None
        made = {"image": _images, "id": _strings_or_none, "source": _strings_or_none}.get(name, _numbers)
        columns[name] = made(array, size)
        column = columns[name]
        columns[name] = column.take(good) if isinstance(column, Texts) else column[good]
    return block_of(size, size, np.arange(row, row + size) + 1, tuple(bad), np.flatnonzero(good) + row, columns)


def _texts(batch: pa.RecordBatch, fields: Fields) -> tuple[Texts, dict[int, tuple[str, bytes]]]:
    """A text for every row of a batch, and (reason, raw bytes) of those that are no text."""
    if fields.template is not None:
        return _checked(_template(batch, fields), np.zeros(batch.num_rows, bool), fields)
    path = fields.text or "text"
    array = _column(batch, path)
    if array is not None and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        chats = [render_chat(value, fields.form) for value in as_python(array)]
        return _checked(
            Texts.of([chat or "" for chat in chats]), np.array([chat is None for chat in chats], bool), fields
        )
    if array is None or not _is_string(array.type):
        got = "missing" if array is None else f"of type {array.type}"
        raise InputError(
            f"the text column {path!r} must hold strings or chats, but is {got}; name another with --text-field"
        )
    texts = strings(array)
    if fields.form == "turns":
        texts = Texts.of([f"{DOCUMENT}{unmarked(text)}{ETX}" for text in texts])
    return _checked(texts, np.asarray(array.is_null()), fields)


def _checked(texts: Texts, absent: np.ndarray, fields: Fields) -> tuple[Texts, dict[int, tuple[str, bytes]]]:
    name = fields.text or "text"
    floor = sum(len(literal.encode()) for literal, _ in fields.parts)
    reasons = {int(at): (f"the field {name!r} is null", b"") for at in np.flatnonzero(absent)}
    for at in np.flatnonzero((texts.sizes == floor) & ~absent):
        reasons[int(at)] = (EMPTY, b"")
    valid = np.empty(len(texts), bool)
    rows_are_utf8(np.concatenate([texts.data, np.zeros(PAD, np.uint8)]), texts.offsets, valid)
    for at in np.flatnonzero(~valid):
        raw = texts.data[texts.offsets[at] : texts.offsets[at + 1]].tobytes()
        reasons[int(at)] = ("the text is not valid UTF-8", raw)
    return texts, reasons


def _template(batch: pa.RecordBatch, fields: Fields) -> Texts:
    made = []
    for row in as_python(batch.to_struct_array()):
        row = row or {}
        flat = {name: row.get(name, get(row, name)) for _, name in fields.parts if name}
        values = [_spelled(flat.get(name)) for _, name in fields.parts]
        values = values if fields.form == "text" else list(map(unmarked, values))
        made.append("".join(literal + value for (literal, _), value in zip(fields.parts, values, strict=True)))
    return Texts.of(made)


def as_python(array: pa.Array) -> list[Any]:
    """The values as Python objects, None for one that holds invalid UTF-8."""
    try:
        return array.to_pylist()
    except UnicodeDecodeError:
        return [value for one in range(len(array)) for value in _alone(array.slice(one, 1))]


def _alone(array: pa.Array) -> list[Any]:
    try:
        return array.to_pylist()
    except UnicodeDecodeError:
        return [None]


def _spelled(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def strings(array: pa.Array) -> Texts:
    """A string array as `Texts`; null becomes empty."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        array = pc.fill_null(array, pa.scalar("").cast(array.type))
    array = array.cast(pa.large_binary())
    _, offsets, data = array.buffers()
    if not len(array):
        return Texts(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if data is not None else np.zeros(0, np.uint8)
    return Texts(content, ends - ends[0])


def _strings_or_none(array: pa.Array | None, size: int) -> Texts:
    if array is None or pa.types.is_nested(array.type):
        return Texts(np.zeros(0, np.uint8), np.zeros(size + 1, np.int64))
    return strings(array if _is_string(array.type) else array.cast(pa.string()))


def _numbers(array: pa.Array | None, size: int) -> np.ndarray:
    if array is None or pa.types.is_nested(array.type):
        return np.full(size, np.nan)
    try:
        return array.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    except pa.ArrowInvalid:
        return np.full(size, np.nan)


def taken(array: pa.Array, places: pa.Array) -> pa.Array:
    """The values at some places; Arrow takes none out of string views, so these make a detour."""
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string()).take(places).cast(array.type)
    return array.take(places)
