"""Pictures that lie in arrays, .npy or .npz: read one after another as a stream, so that no size in a header is believed.

Pictures are the one array of uint8 (n, height, width) or (n, height, width, 3); labels are numbers or strings (n,), of the same
.npz or of a file beside it. Nothing is unpickled. Source: the format of NumPy,
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast, final

import numpy as np
from jaxtyping import Bool

from assay.errors import InputError, suggest
from assay.io.archives import DAMAGE, entry, in_words, opened
from assay.io.files import atomic_write, open_read

_CHUNK = 1 << 20
_LABELS = ("labels", "label", "y", "targets", "classes")


@final
@dataclass(frozen=True)
class Head:
    """What an array says that it is: its name in the file, shape and type."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def is_pictures(self) -> bool:
        """Whether its rows are pictures."""
        plain = len(self.shape) == 3 or (len(self.shape) == 4 and self.shape[3] in (1, 3))
        return plain and self.dtype == np.uint8 and self.size > 0


@final
@dataclass(frozen=True)
class Album:
    """The pictures of a file, and a label for each, or none at all."""

    path: str
    head: Head
    labels: list[str]

    @classmethod
    def of(cls, path: str, beside: str | None, wanted: str | None) -> Album:
        """Find pictures and labels; `wanted` names the array of labels where a .npz has several. InputError without pictures."""
        heads = heads_of(path)
        pictures = [head for head in heads if head.is_pictures]
        if len(pictures) != 1:
            told = ", ".join(f"{head.name or 'array'} {head.dtype} {head.shape}" for head in heads)
            raise InputError(
                f"{path!r} must hold one array of pictures, uint8 (n, height, width) or (n, height, width, 3); it holds {told}: "
                "save them so, channels last"
            )
        return cls(path, pictures[0], _labels(path, heads, beside, wanted, pictures[0].shape[0]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and perhaps channels."""
        return self.head.shape[1:]

    @property
    def size(self) -> int:
        """Bytes of one picture."""
        return self.head.size

    def rows(self) -> Iterator[bytes]:
        """Each picture's bytes; a short one is the last."""
        yield from rows_of(self.path, self.head)


def heads_of(path: str) -> list[Head]:
    """The arrays of a .npy or .npz file, by their headers; InputError where it is none, or holds objects."""
    try:
        if path.lower().endswith(".npy"):
            with open_read(path) as file:
                return [_head(path, "", cast(BinaryIO, file))]
        with opened(path) as archive:
            found = []
            for name in (one for one in archive.namelist() if one.endswith(".npy")):
                with archive.open(name) as file:
                    found.append(_head(path, name.removesuffix(".npy"), cast(BinaryIO, file)))
            return found
    except DAMAGE as error:
        raise InputError(f"{path!r} must hold arrays as NumPy saves them; {in_words(error)}") from None


def _head(path: str, name: str, file: BinaryIO) -> Head:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject or not shape or (fortran and len(shape) > 1):
        which = f"its array {name!r}" if name else "its array"
        raise InputError(f"{path!r} must hold plain numbers in C order; {which} is {dtype} {shape}: save it anew")
    return Head(name, shape, dtype)


def rows_of(path: str, head: Head) -> Iterator[bytes]:
    """The rows of an array, as bytes; where the file ends early or is damaged, what there is of the row, and no more."""
    with contextlib.ExitStack() as stack:
        if path.lower().endswith(".npy"):
            file: BinaryIO = io.BufferedReader(stack.enter_context(open_read(path)))  # type: ignore[arg-type]
        else:
            file = cast(BinaryIO, stack.enter_context(stack.enter_context(opened(path)).open(f"{head.name}.npy")))
        _head(path, head.name, file)
        for _ in range(head.shape[0]):
            raw = _whole(file, head.size)
            yield raw
            if len(raw) < head.size:
                return


def _whole(file: BinaryIO, size: int) -> bytes:
    """So many bytes, or as many as there are; a chunk at a time, since a header may ask for any amount."""
    content = bytearray()
    try:
        while len(content) < size and (chunk := file.read(min(_CHUNK, size - len(content)))):
            content += chunk
    except DAMAGE:
        pass  # what came before is handed on, and is short
    return bytes(content)


def _labels(path: str, heads: list[Head], beside: str | None, wanted: str | None, rows: int) -> list[str]:
    """A label for each picture: of the array that is named, of the only one there is, or of the file beside."""
    place, found = (path, heads) if beside is None else (beside, heads_of(beside))
    fitting = {head.name: head for head in found if len(head.shape) == 1 and head.size and head.dtype.kind in "iuSUb"}
    named = None if wanted in (None, "source") else wanted
    if named is not None and named not in fitting:
        raise InputError(
            f"{place!r} has no labels {named!r}; {suggest(str(named), fitting)}: name them with --source-field"
        )
    if not fitting:
        return []
    usual = next((name for name in _LABELS if name in fitting), None)
    if named is None and usual is None and len(fitting) > 1:
        raise InputError(
            f"{place!r} has several arrays that may be labels, {', '.join(fitting)}; name one with --source-field"
        )
    head = fitting[named or usual or next(iter(fitting))]
    if head.shape[0] != rows:
        raise InputError(f"{place!r} must have a label for each of the {rows:,} pictures; it has {head.shape[0]:,}")
    values = [np.frombuffer(raw, head.dtype)[0] for raw in rows_of(place, head) if len(raw) == head.size]
    if len(values) != rows:
        raise InputError(f"{place!r} must be whole; it says {rows:,} labels and holds {len(values):,}: save it anew")
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one.item()) for one in values]


def copy(path: str, beside: str | None, keep: Bool[np.ndarray, "b"], out: str, longest: int) -> None:
    """Write the kept rows of every array that has a row for each picture to a .npz, those of the file beside too; a row of more
    than `longest` bytes belongs to no picture."""
    places = [(place, head) for place in (path, beside) if place for head in heads_of(place)]
    rows = next(head.shape[0] for _, head in places if head.is_pictures)
    places = [(place, head) for place, head in places if head.shape[0] == rows and head.size <= longest]
    with atomic_write(out, durable=False) as file, zipfile.ZipFile(file, "w") as archive:
        for (place, head), name in zip(places, _names([head for _, head in places]), strict=True):
            with archive.open(entry(f"{name}.npy", zipfile.ZIP_DEFLATED), "w", force_zip64=True) as sink:
                shape = (int(keep.sum()), *head.shape[1:])
                told = {"descr": np.lib.format.dtype_to_descr(head.dtype), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_2_0(sink, told)  # type: ignore[arg-type]
                for wanted, raw in zip(keep, rows_of(place, head), strict=False):
                    if wanted:
                        sink.write(raw)


def _names(heads: list[Head]) -> list[str]:
    """What each array is called where it is written: its own name, or what it is, with a number where that is taken."""
    own, made = [head.name for head in heads], list[str]()
    for head in heads:
        name = head.name if head.name and own.count(head.name) == 1 else "images" if head.is_pictures else "labels"
        made.append(name if name not in made else f"{name}_{len(made)}")
    return made
