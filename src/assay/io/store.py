"""The signal store: what was computed once for a shard, keyed by its content and by the method, for any later run.

```
store/seen/<stat>.json           which content a file of this path, size and times had when it was read whole
store/partial/<stat>/            results of a shard that is still being read
store/shards/<content>/<piece>.<key>.npy | .npz | .arrow
store/shards/<content>-1/        the same of a second shard of that content in one pool: other rows of it may be alive
```

A file appears by rename, so what is there is whole. A changed file has other times, a copied file the same content.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import xxhash
from jaxtyping import Shaped, UInt8

from assay import __version__
from assay.errors import InputError, RunError
from assay.io import files, mirror, remote
from assay.io.fields import delimiter
from assay.io.secrets import identity
from assay.io.sources import Piece, Shard
from assay.types import Fitted, Texts

_CHUNK = 1 << 20
Table = pa.Table
Tree = np.ndarray | tuple[np.ndarray, ...]


def digest(*parts: Any) -> str:
    """128 bits over anything whose `repr` is stable."""
    return xxhash.xxh3_128_hexdigest(repr(parts).encode("utf-8", "surrogatepass"))


@final
@dataclass(frozen=True)
class Store:
    """A folder of signals; see the module for its layout."""

    root: Path

    def folder(self, stat: str, copy: int = 0) -> Path:
        """Where results of a shard with this stat key lie: by content once it is known, else in `partial`.

        `copy` shards before it in its pool hold the same content; each has a folder of its own.
        """
        content = self.content(stat)
        return self._whole(content, copy) if content else self.root / "partial" / stat

    def _whole(self, content: str, copy: int) -> Path:
        return self.root / "shards" / (f"{content}-{copy}" if copy else content)

    def content(self, stat: str) -> str | None:
        """The content digest of a shard that was read whole before, or None."""
        path = self.root / "seen" / f"{stat}.json"
        if not mirror.known(path):
            return None
        content = files.read_json(str(path))["content"]
        return content if mirror.known(self.root / "shards" / content) else None

    def finish(self, stat: str, content: str, copy: int = 0) -> None:
        """Move a shard's partial results under its content digest; where the same content is there already, merge."""
        self._whole(content, 0).mkdir(parents=True, exist_ok=True)
        mirror.move(self.root / "partial" / stat, self._whole(content, copy))
        files.write_json(str(self.root / "seen" / f"{stat}.json"), {"content": content})

    def replaced(self, key: str, learnt: str) -> bool:
        """Remember what was learnt under a key; whether something else had been learnt under it before."""
        path = self.root / "fits" / f"{key}.json"
        before = files.read_json(str(path))["learnt"] if mirror.present(path) else None
        if before != learnt:
            files.write_json(str(path), {"learnt": learnt})
        return before not in (None, learnt)


def fitted_digest(fitted: Fitted) -> str:
    """A digest of what a scorer learnt; two fits that agree to the bit share their scores."""
    state = xxhash.xxh3_128()
    for name in sorted(fitted.arrays):
        array = np.ascontiguousarray(fitted.arrays[name])
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def stat_key(shard: Shard, read: Any, states: Mapping[str, remote.State] | None = None) -> str:
    """What a shard is taken for unread: path, size and times (or what a remote store says of it), and how it is read.

    `states` are those of remote shards, where they were asked for together.
    """
    return digest(_stat(shard, states), read, __version__)


def remote_states(shards: Iterable[Shard]) -> dict[str, remote.State]:
    """The states of all shards that are remote; FileNotFoundError where one is missing."""
    return remote.states(shard.path for shard in shards if files.is_url(shard.path))


def piece_key(piece: Piece, read: Any) -> str:
    """The same of what a piece is read from: some files of a text folder, or its whole shard."""
    shard = piece.shard
    if shard.format != "text":
        return stat_key(shard, read)
    return stat_key(replace(shard, files=shard.files[piece.start : piece.stop]), read)


def file_key(path: str) -> str:
    """What a file is taken for unread."""
    return digest((identity(path), remote.state(path)) if files.is_url(path) else _local_stat(path))


def content_digest(piece: Piece) -> str:
    """A digest of the raw bytes of a piece, and of what they are taken for; for formats that split by rows the first piece
    speaks for the whole file."""
    shard = piece.shard
    if shard.format == "text":
        names = shard.files[piece.start : piece.stop]
        return digest([(name, _text_digest(os.path.join(shard.path, name))) for name in names])
    by_bytes = shard.format == "jsonl" and not shard.compression
    if not by_bytes and piece.number != 0:
        return ""
    span = (piece.start, piece.stop) if by_bytes else (0, shard.size)
    kind = (shard.format, shard.compression, delimiter(shard.path) if shard.format == "csv" else "")
    return digest(kind, file_digest(shard.path, *span))


def _text_digest(path: str) -> str:
    """A text file that may not be read is one quarantined row, not the end of the run."""
    try:
        return file_digest(path)
    except InputError:
        return "unreadable"


def file_digest(path: str, start: int = 0, stop: int = 1 << 62) -> str:
    """A digest of a file's bytes, or of some of them."""
    state = xxhash.xxh3_128()
    with files.open_read(path) as file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(_CHUNK, stop - start))):
            state.update(chunk)
            start += len(chunk)
    return state.hexdigest()


def _stat(shard: Shard, states: Mapping[str, remote.State] | None) -> tuple[Any, ...]:
    """Size, times and inode of a file, or of every file of a text folder; tag, size and time of a remote one."""
    if shard.format == "text":
        return (os.path.abspath(shard.path), *(_local_stat(os.path.join(shard.path, name)) for name in shard.files))
    path = shard.path
    if files.is_url(path):
        return (identity(path), states[path] if states and path in states else remote.state(path))
    return _local_stat(path)


def _local_stat(path: str) -> tuple[Any, ...]:
    status = os.stat(path)
    return (os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def save_named(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays: what a scorer learnt."""
    with files.atomic_write(str(path), durable=False) as out:
        np.savez(out, **arrays)


@contextlib.contextmanager
def plain_arrays(path: Path) -> Iterator[None]:
    """RunError where a file of the store holds something else than arrays of numbers: objects are never made from a file."""
    try:
        yield
    except (ValueError, EOFError, BadZipFile) as error:
        raise RunError(
            f"{os.fspath(path)} must hold arrays as Assay wrote them; {str(error).splitlines()[0]}: remove it, and it is made again"
        ) from None


def load_named(path: Path) -> dict[str, np.ndarray]:
    """Read back what `save_named` wrote."""
    with files.open_read(str(path)) as file, plain_arrays(path), np.load(file, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def lay_down(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as files that `map_arrays` maps; a folder that is there already holds the same."""
    if not mirror.present(folder / "names.json"):
        for number, array in enumerate(arrays.values()):
            save(folder / f"{number}.npy", np.ascontiguousarray(array))
        files.write_json(str(folder / "names.json"), list(arrays))


def map_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Named arrays of a folder, mapped copy-on-write: kernels that take writable arrays take these too."""
    names = files.read_json(str(folder / "names.json"))
    return {name: _mapped(folder / f"{number}.npy") for number, name in enumerate(names)}


def _mapped(path: Path) -> np.ndarray:
    mirror.fetched(path)
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)
    except ValueError:  # an array without elements, or without dimensions, cannot be mapped
        with plain_arrays(path):
            return np.load(path, allow_pickle=False)


def save(path: Path, tree: Tree) -> None:
    """Write one array, or a tuple of arrays, under its final name in one step."""
    with files.atomic_write(str(path), durable=False, needs=_size(tree)) as out:
        if isinstance(tree, tuple):
            np.savez(out, *tree)
        else:
            np.save(out, tree, allow_pickle=False)


def _size(tree: Tree) -> int:
    return sum(part.nbytes for part in (tree if isinstance(tree, tuple) else (tree,)))


def load(path: Path) -> Tree:
    """Read back what `save` wrote."""
    with open(mirror.fetched(path), "rb") as file, plain_arrays(path):
        loaded = np.load(file, allow_pickle=False)
        return tuple(loaded[name] for name in loaded.files) if isinstance(loaded, np.lib.npyio.NpzFile) else loaded


def read_lines(path: Path) -> Iterator[Any]:
    """JSON lines of a file; none where there is no file."""
    if os.path.exists(mirror.fetched(path)):
        with open(path, "rb") as file:
            yield from (json.loads(line) for line in file)


def mapped(path: Path) -> Shaped[np.ndarray, "k"]:
    """A saved array, mapped instead of read."""
    with plain_arrays(path):
        return np.load(mirror.fetched(path), mmap_mode="r", allow_pickle=False)


def mapped_bytes(path: Path) -> UInt8[np.ndarray, "m"]:
    """A file's bytes, mapped; an empty file as an empty array."""
    mirror.fetched(path)
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)


def save_table(path: Path, columns: dict[str, np.ndarray | Texts], facts: dict[str, Any]) -> None:
    """Write columns as an Arrow file with facts as JSON in its schema."""
    table = pa.table({name: _to_arrow(column) for name, column in columns.items()})
    table = table.replace_schema_metadata({"facts": json.dumps(facts)})
    whole = files.atomic_write(str(path), durable=False, needs=table.nbytes)
    with whole as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)


def open_table(path: Path) -> pa.Table:
    """The table alone, mapped: only the columns that are looked at are read."""
    return pa.ipc.open_file(pa.memory_map(mirror.fetched(path))).read_all()


def load_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read back what `save_table` wrote: the table, and the facts."""
    with open(mirror.fetched(path), "rb") as file:
        table = pa.ipc.open_file(pa.BufferReader(file.read())).read_all()
    return table, json.loads(table.schema.metadata[b"facts"])


def numbers(column: pa.ChunkedArray) -> Shaped[np.ndarray, "k"]:
    """A column of numbers, truths or vectors of a stored table, without `to_numpy`, which would import pandas if it is there."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        width, flat = array.type.list_size, array.values
        whole = np.frombuffer(flat.buffers()[1], flat.type.to_pandas_dtype()).reshape(-1, width)
        return whole[array.offset : array.offset + len(array)]
    data = array.buffers()[1]
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)].astype(bool)
    return np.frombuffer(data, array.type.to_pandas_dtype())[array.offset : array.offset + len(array)]


def texts(column: pa.ChunkedArray) -> Texts:
    """A string column of a stored table, as Texts without a copy where it is one chunk."""
    array = column.combine_chunks()
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return Texts(np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), bounds)


def column(column: pa.ChunkedArray) -> Texts | Shaped[np.ndarray, "k ..."]:
    """A column of a stored table as it was saved."""
    return texts(column) if pa.types.is_large_string(column.type) else numbers(column)


def values(column: pa.ChunkedArray) -> Shaped[np.ndarray, "k"]:
    """A column of a stored table as an array: numbers without a copy, strings as objects."""
    if pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), object)
    return numbers(column)


def _to_arrow(column: np.ndarray | Texts) -> pa.Array:
    if isinstance(column, Texts):
        offsets, data = pa.py_buffer(column.offsets), pa.py_buffer(column.data)
        return pa.Array.from_buffers(pa.large_string(), len(column), [None, offsets, data])
    if column.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(_to_arrow(column.reshape(-1)), column.shape[1])
    # Not pa.array(column): where pandas is installed it would be imported first, which takes half a second.
    kind = pa.bool_() if column.dtype == bool else pa.from_numpy_dtype(column.dtype)
    packed = np.packbits(column, bitorder="little") if column.dtype == bool else np.ascontiguousarray(column)
    return pa.Array.from_buffers(kind, len(column), [None, pa.py_buffer(packed)])
