"""What a file of JSON lines beside an archive says of each picture: its label, and numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from assay.errors import InputError, suggest
from assay.io.row import get, object_of
from assay.io.streams import Unreadable, chunks

_NAMES = ("image", "file_name", "file", "filename", "path", "name")


@final
@dataclass(frozen=True)
class Labels:
    """Lines by the name of the picture that they speak of, and the field that holds the label."""

    lines: Mapping[str, bytes]
    field: str
    named: bool

    @classmethod
    def of(cls, album: str, path: str | None, wanted: str | None) -> Labels:
        """Those of a file (.jsonl, .gz, .zst), or none; `wanted` is the label's field, else `label`; "" where none is wanted.

        Raises InputError where the file cannot be read, or its lines name no picture or have no such field.
        """
        if path is None:
            return cls({}, "", False)
        field = "label" if wanted in (None, "source") else str(wanted)
        rows = [(line, _parsed(line, path)) for line in _lines(path) if line.strip()]
        fields = sorted({name for _, row in rows[:100] for name in row})
        name = next((name for name in _NAMES if name in fields), None)
        if name is None:
            raise InputError(
                f"{path!r} must say of which picture of {album!r} each line speaks, in a field image; it has {fields}"
            )
        if field and field not in fields:
            raise InputError(
                f"{path!r} has no field {field!r}; {suggest(field, fields)}; name the label's field with --source-field"
            )
        return cls({str(row.get(name)): line for line, row in rows}, field, True)

    def line(self, name: str) -> bytes:
        """The line of a picture as it stands there; empty where there is none."""
        return self.lines.get(name, b"")

    def label(self, line: bytes) -> str:
        """What a line says is the label; empty where it says nothing."""
        found = get(json.loads(line), self.field) if line else None
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _lines(path: str) -> list[bytes]:
    packed = {"gz": "gzip", "zst": "zstd"}.get(path.rpartition(".")[2], "")
    try:
        return b"".join(chunks(path, packed)).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except Unreadable as error:
        raise InputError(f"{path!r} must be JSON lines; {error}") from None


def _parsed(line: bytes, path: str) -> dict[str, Any]:
    row = object_of(line)
    if row is None:
        raise InputError(
            f"{path!r} must hold a JSON object in every line; got {line[:60].decode('utf-8', 'replace')!r}"
        )
    return row


def numbers_of(lines: list[bytes], field: str) -> Float64[np.ndarray, "b"]:
    """A number of each line, NaN where it has none."""
    found = [get(json.loads(line), field) if line else None for line in lines]
    return np.array([float(one) if isinstance(one, int | float) else np.nan for one in found], np.float64)
