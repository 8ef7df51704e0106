"""Sorted records on disk: runs that are appended while a piece is read, and one array written part by part.

Records are structured arrays with a field `key` (uint64); a file of them is an ordinary `.npy`, sorted by key. Nothing
stays open and nothing stays mapped between calls, so any number of files may take part in a merge.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Shaped

from assay.io import files, mirror
from assay.io.room import room

KEYS = 1 << 64  # one more than the largest key


def scratch(folder: Path) -> Path:
    """Where this thread may append what it cannot hold; the name says to whom it belongs, so that no other clashes.

    It stays on this machine, whatever the folder stands for.
    """
    with room(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return Path(mirror.neighbour(str(folder / "spilled")))


def append(path: Path, records: Shaped[np.ndarray, "r"]) -> None:
    """Add a run at the end of a scratch file, without a header."""
    with room(path, records.nbytes), open(path, "ab") as file:
        file.write(np.ascontiguousarray(records).view(np.uint8).data)


def keep(path: Path, final: Path) -> None:
    """Give a scratch file the name that it is to be found under."""
    with room(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    mirror.put(str(path), str(final))
    os.replace(path, final)


def runs(path: Path, dtype: np.dtype, counts: Iterable[int]) -> list[Shaped[np.ndarray, "r"]]:
    """The runs of a scratch file, mapped: they may be looked at until the file is removed."""
    whole = np.memmap(path, dtype, "r")
    bounds = np.concatenate([[0], np.cumsum(list(counts))])
    return [whole[start:stop] for start, stop in pairwise(bounds)]


def save_parts(path: Path, dtype: np.dtype, count: int, parts: Iterable[Shaped[np.ndarray, "r"]]) -> None:
    """Write one array of `count` records under its final name, taking its parts one after another."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    with files.atomic_write(str(path), durable=False, needs=count * dtype.itemsize) as out:
        np.lib.format.write_array_header_1_0(out, header)
        for part in parts:
            out.write(np.ascontiguousarray(part).view(np.uint8).data)


def measure(path: Path) -> tuple[np.dtype, int]:
    """Type and number of the records of a file, read from its header."""
    with open(mirror.fetched(path), "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return dtype, shape[0]


def between(path: Path, low: int, high: int) -> Shaped[np.ndarray, "r"]:
    """A copy of the records with low <= key < high of a sorted file; `high` may be 2^64."""
    records = np.load(mirror.fetched(path), mmap_mode="r", allow_pickle=False)
    start, stop = span(records, low, high)
    return np.array(records[start:stop])


def span(records: Shaped[np.ndarray, "r"], low: int, high: int) -> tuple[int, int]:
    """Where the keys of [low, high) lie in sorted records: (start, stop)."""
    keys = records["key"]
    stop = len(keys) if high >= KEYS else bisect.bisect_left(keys, np.uint64(high))
    return (bisect.bisect_left(keys, np.uint64(low), 0, stop) if low else 0), stop


def spans(path: Path, low: int, high: int) -> int:
    """How many records of a sorted file have low <= key < high."""
    start, stop = span(np.load(mirror.fetched(path), mmap_mode="r", allow_pickle=False), low, high)
    return stop - start


def digest_array(array: Shaped[np.ndarray, "..."]) -> str:
    """128 bits over the type, shape and content of an array, without a copy of it where it lies in one piece."""
    whole = np.ascontiguousarray(array)
    state = xxhash.xxh3_128(f"{whole.dtype} {whole.shape}".encode())
    state.update(whole.reshape(-1).view(np.uint8).data if whole.size else b"")
    return state.hexdigest()


def remove(*paths: Path) -> None:
    """Remove files that are not needed any more, those that are there."""
    mirror.remove(paths)
