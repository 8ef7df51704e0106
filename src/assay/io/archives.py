"""Zip archives: opened with one sentence where they are none, and written so that the same content makes the same bytes."""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator

from assay.errors import InputError
from assay.io.files import open_read, size_of
from assay.io.streams import BOMB_BYTES, BOMB_RATIO

# What a damaged or hostile archive ends in: zipfile and zlib have several kinds of error for it.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@contextlib.contextmanager
def opened(path: str) -> Iterator[zipfile.ZipFile]:
    """An archive to be read; InputError where the file is none."""
    with open_read(path) as raw:
        try:
            archive = zipfile.ZipFile(io.BufferedReader(raw))  # type: ignore[arg-type, type-var]
        except DAMAGE as error:
            raise InputError(f"{path!r} must be a zip archive; {in_words(error)}: make it anew") from None
        with archive:
            _refuse_bombs(path, archive)
            yield archive


def in_words(error: Exception) -> str:
    """The first line of what an error says; its kind where it says nothing.

    >>> in_words(ValueError("no magic")), in_words(EOFError())
    ('no magic', 'EOFError')
    """
    return str(error).partition("\n")[0] or type(error).__name__


def _refuse_bombs(path: str, archive: zipfile.ZipFile) -> None:
    """An archive gives no more than its members say, and what they say is in proportion to its size."""
    says, size = sum(one.file_size for one in archive.infolist()), size_of(path)
    if says > BOMB_BYTES + BOMB_RATIO * size:
        raise InputError(
            f"{path!r} must unpack to at most {BOMB_BYTES >> 20} MB and {BOMB_RATIO} times its {size:,} bytes; it says {says:,}, "
            "as a zip bomb does: if it is meant, unpack it first"
        )


def entry(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """A member that is the same whenever and wherever it is written."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.create_system, made.external_attr, made.compress_type = 3, 0o644 << 16, compression
    return made
