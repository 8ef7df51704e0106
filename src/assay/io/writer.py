"""Rows out as they came: a chosen JSON line byte for byte, a Parquet or Arrow row with every column and type.

First each piece writes its chosen rows to a part (`copy_rows`), then the parts of a shard become one file (`join`), and
a saved `datasets` folder gets its description (`finish`). The same rows always make the same bytes: fixed compression
levels, one thread, no times or names in gzip headers. Plain text files come out as JSON lines {"id", "source", "text"},
pictures as an archive of their files.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol, final

import numpy as np
import xxhash
from jaxtyping import Bool

from assay.errors import RecipeError, suggest
from assay.io.convert import as_format
from assay.io.files import atomic_write, open_read, read_json, write_json
from assay.io.lines import Lines
from assay.io.records import shard_lines
from assay.io.sources import Piece, Shard
from assay.kernels import json_lines as kernel
from assay.kernels.words import PAD

_COPY = 1 << 20
_GZIP_LEVEL, _ZSTD_LEVEL = 6, 3  # the defaults of the two programs
_SUFFIXES = {"": "", "none": "", "gzip": ".gz", "zstd": ".zst"}


def output_format(shard: Shard, format: str | None = None, compression: str | None = None) -> tuple[str, str]:
    """(format, compression) that a shard is written in: its own, unless others are asked for."""
    if format not in (None, "jsonl", "parquet"):
        raise RecipeError(
            f"the output format must be jsonl or parquet; got {format!r}; {suggest(format, ['jsonl', 'parquet'])}"
        )
    if compression not in (None, *_SUFFIXES):
        raise RecipeError(
            f"the compression must be none, gzip or zstd; got {compression!r}; "
            f"{suggest(compression, ['none', 'gzip', 'zstd'])}"
        )
    if shard.holds == "pictures" and (format or compression):
        raise RecipeError(
            f"pictures are written as they came; got {format or compression!r}: leave --format and --compression out"
        )
    chosen = format or ("jsonl" if shard.format == "text" else shard.format)
    packed = shard.compression if compression is None else compression.replace("none", "")
    return chosen, "" if chosen == "arrow" or (chosen == "parquet" and compression is None) else packed


def output_name(shard: Shard, format: str | None = None, compression: str | None = None) -> str:
    """The file in `selected/` for a shard's chosen rows: its own name, with the suffixes of what is written."""
    chosen, packed = output_format(shard, format, compression)
    own = output_format(shard)
    if shard.holds == "pictures":
        return shard.name
    if shard.format != "text" and (chosen, packed) == own:
        return shard.name
    stem = shard.name
    if shard.format != "text":
        stem = stem.removesuffix(".zstd").removesuffix(".zst").removesuffix(".gzip").removesuffix(".gz")
        stem = os.path.splitext(stem)[0] if chosen != shard.format else stem
    same = shard.format != "text" and chosen == shard.format
    return stem + ("" if same else f".{chosen}") + ("" if chosen == "parquet" else _SUFFIXES[packed])


def copy_rows(piece: Piece, keep: Bool[np.ndarray, "b"], out: str, max_line: int = 64_000_000) -> int:
    """Write the rows of a piece where `keep` is true (or above zero) to a part, in order; return how many."""
    keep = np.asarray(keep) > 0
    if piece.shard.holds == "pictures":
        from assay.io.pictures import copy_pictures

        return copy_pictures(piece, keep, out, max_line)
    if piece.shard.format in ("parquet", "arrow"):
        from assay.io.table_writer import copy_batches

        return copy_batches(piece, keep, out)
    rows = {"csv": _csv_rows, "text": _text_rows, "webdataset": _samples}.get(piece.shard.format, _json_rows)
    with atomic_write(out, durable=False) as file:
        for lines in rows(piece, keep, max_line):
            file.write(lines)
    return int(keep.sum())


def _json_rows(piece: Piece, keep: np.ndarray, max_line: int) -> Iterator[bytes]:
    row = 0
    for item in shard_lines(piece.shard, piece.start, piece.stop, max_line):
        if not isinstance(item, Lines):
            row += 1
            continue
        spans = np.empty((2, kernel.count_lines(item.data, item.stop)), np.int64)
        count, _ = kernel.split(item.data, item.stop, spans[0], spans[1])
        starts, stops = spans[:, :count][:, keep[row : row + count]]
        out = np.empty(int((stops + 1 - starts).sum()) + PAD, np.uint8)
        offsets = np.empty(len(starts) + 1, np.int64)
        kernel.gather(item.data, starts.copy(), stops + 1, np.zeros(len(starts), np.int64), out, offsets)
        row += count
        yield out[: offsets[-1]].tobytes()


def _csv_rows(piece: Piece, keep: np.ndarray, max_line: int) -> Iterator[bytes]:
    from assay.io.tabular import records

    row = -1  # the header is the first record
    for item in records(piece.shard, max_line):
        if not isinstance(item, list):
            row += 1
            continue
        for record in item:
            if record.raw.strip():
                if row >= 0 and keep[row]:
                    yield record.raw
                row += 1


def _samples(piece: Piece, keep: np.ndarray, max_line: int) -> Iterator[bytes]:
    from assay.io.webdataset import copy_samples

    return copy_samples(piece, keep, max_line)


def _text_rows(piece: Piece, keep: np.ndarray, max_line: int) -> Iterator[bytes]:
    from assay.io.plain import load, top_folder

    for row in np.flatnonzero(keep).tolist():
        name = piece.shard.files[piece.start + row]
        content = load(piece.shard, name, max_line)[0].decode("utf-8")
        made = {"id": name, "source": top_folder(name), "text": content}
        yield json.dumps(made, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def join(
    parts: Sequence[str], shard: Shard, final: str, format: str | None = None, compression: str | None = None
) -> None:
    """Make one file of a shard's parts, in piece order; the final name appears by rename. The parts stay."""
    chosen, packed = output_format(shard, format, compression)
    if shard.holds == "pictures":
        from assay.io.pictures import join_pictures

        join_pictures(parts, final)
        return
    if chosen in ("parquet", "arrow"):
        from assay.io.table_writer import join_tables

        join_tables(parts, shard, final, chosen, packed)
        return
    with atomic_write(final) as file:
        sink = _sink(file, packed)
        if chosen == shard.format == "csv":
            sink.write(_header(shard))
        if chosen == "json":
            _write_array(parts, sink)
        elif chosen == "jsonl" and shard.format not in ("jsonl", "json", "text"):
            for lines in as_format(parts, shard):
                sink.write(lines)
        else:
            for part in parts:
                with open_read(part) as source:
                    shutil.copyfileobj(source, sink, _COPY)
            sink.write(_end(chosen))
        sink.close()


def _end(format: str) -> bytes:
    """What ends a file of a format: an archive has an end mark."""
    if format != "webdataset":
        return b""
    from assay.io.webdataset import END

    return END


def _header(shard: Shard) -> bytes:
    from assay.io.convert import csv_header

    return csv_header(shard)


def _write_array(parts: Sequence[str], sink: Sink) -> None:
    """A JSON array, one element a line."""
    between = b"[\n"
    for part in parts:
        with open_read(part) as source:
            rest = b""
            while chunk := source.read(_COPY):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    sink.write(between + line.strip())
                    between = b",\n"
    sink.write(b"[]\n" if between == b"[\n" else b"\n]\n")


class Sink(Protocol):
    """What `join` writes to: bytes in, compressed bytes on disk."""

    def write(self, content: bytes) -> object:
        """Take the next bytes."""

    def close(self) -> None:
        """Write what is left."""


@final
class _Packed:
    """A sink that compresses with one thread at a fixed level."""

    def __init__(self, file: BinaryIO, packer: object):
        self.file, self.packer = file, packer

    def write(self, content: bytes) -> object:
        return self.file.write(self.packer.compress(content))  # type: ignore[attr-defined]

    def close(self) -> None:
        self.file.write(self.packer.flush())  # type: ignore[attr-defined]


@final
class _Plain:
    """A sink that writes as it is; closing is left to the owner of the file."""

    def __init__(self, file: BinaryIO):
        self.write = file.write

    def close(self) -> None:
        """Nothing is held back."""


def _sink(file: BinaryIO, compression: str) -> Sink:
    if compression == "gzip":
        return _Packed(file, zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31))  # no name, time 0
    if compression == "zstd":
        import zstandard

        return _Packed(file, zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj())
    return _Plain(file)


def finish(shards: Sequence[Shard], folder: str, format: str | None = None) -> None:
    """Describe the saved `datasets` folders among the shards, so that `load_from_disk` opens what was selected."""
    saved: dict[str, list[Shard]] = {}
    for shard in shards:
        if format is None and shard.format == "arrow" and "/" in shard.name:
            saved.setdefault(os.path.dirname(shard.path), []).append(shard)
    for source, members in saved.items():
        target = os.path.join(folder, os.path.dirname(members[0].name))
        names = [os.path.basename(shard.name) for shard in members]
        state = read_json(os.path.join(source, "state.json"))
        state["_data_files"] = [{"filename": name} for name in names]
        state["_fingerprint"] = xxhash.xxh3_64_hexdigest(
            "".join(_digest(os.path.join(target, name)) for name in names).encode()
        )
        info = read_json(os.path.join(source, "dataset_info.json"))
        write_json(os.path.join(target, "state.json"), state)
        write_json(
            os.path.join(target, "dataset_info.json"),
            {key: info[key] for key in info if "size" not in key and key != "splits"},
        )
        above = os.path.join(os.path.dirname(source), "dataset_dict.json")
        if os.path.exists(above) and members[0].name.count("/") == 2:
            write_json(os.path.join(os.path.dirname(target), "dataset_dict.json"), read_json(above))


def _digest(path: str) -> str:
    hasher = xxhash.xxh3_64()
    with open_read(path) as file:
        while chunk := file.read(_COPY):
            hasher.update(chunk)
    return hasher.hexdigest()
