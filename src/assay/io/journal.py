"""A journal: JSON lines that are on the disk before the next thing is done, so that a kill loses at most the last one.

What a killed writer left of a line is cut off when the journal is opened again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, final

from assay.errors import RunError
from assay.io import files
from assay.io.room import room


@final
@dataclass(frozen=True)
class Journal:
    """An open journal, for any number of threads; `open_journal` makes it."""

    file: BinaryIO
    turn: threading.Lock

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line and wait until the disk has it."""
        with self.turn, room(self.file.name):
            self.file.write(_line(entry))
            self.file.flush()
            os.fsync(self.file.fileno())


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def read_journal(path: str) -> list[dict[str, Any]]:
    """Every whole line of a journal, none where there is no file; a broken line before the last is a RunError.

    >>> read_journal("no such file")
    []
    """
    if not os.path.exists(path):
        return []
    lines = files.read_bytes(path).split(b"\n")[:-1]
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise RunError(f"{path} line {number} must hold JSON; {error}; move the file away and begin anew") from None
    return found


@contextmanager
def open_journal(path: str) -> Iterator[Journal]:
    """A journal to append to; half a line at its end is cut off first."""
    files.make_parents(path)
    with open(path, "ab") as file:
        if file.tell():
            whole = files.read_bytes(path).rfind(b"\n") + 1
            file.truncate(whole)
        yield Journal(file, threading.Lock())


def rewrite(path: str, entries: Iterable[dict[str, Any]]) -> None:
    """Put these lines in place of the journal, in one step."""
    with files.atomic_write(path) as file:
        file.writelines(_line(entry) for entry in entries)
