"""The door to the disk and to object stores: every file that Assay opens, it opens here or beside here, in `io/`.

A write goes to a temporary name, is synced, and gets its own name by a rename, so a reader never sees half a file.
URLs (`s3://`, `hf://`, `memory://`, …) go through fsspec; nothing else touches the network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from assay.errors import InputError, RunError

_TEMPORARY = ".tmp-"
_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]*://|^[a-zA-Z][a-zA-Z0-9+.\-]*::")


def is_url(path: str) -> bool:
    """Whether a path names something that fsspec must open.

    >>> is_url("s3://bucket/a.jsonl"), is_url("crawl/a.jsonl")
    (True, False)
    """
    return _URL.match(path) is not None


def absolute(path: str) -> str:
    """A path that holds from any folder; a URL as it is."""
    return path if is_url(path) else os.path.abspath(path)


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path inside it; InputError where there is none for the protocol."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(path)
    except (ValueError, ImportError, OSError) as error:
        raise InputError(
            f"{path!r} cannot be opened: {error}; check the protocol, or install the fsspec package for it"
        ) from None


def open_read(path: str) -> BinaryIO:
    """Open a local path or URL for reading bytes; a missing or unreadable file is an InputError."""
    try:
        if is_url(path):
            return _open_remote(path)
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise InputError(
            f"{path!r} cannot be read: {error.strerror or error}; check that the file is there and may be read"
        ) from None


def _open_remote(url: str) -> BinaryIO:
    system, inner = filesystem(url)
    try:
        return cast(BinaryIO, system.open(inner, "rb"))
    except OSError:
        raise
    except Exception as error:  # every object store has errors of its own
        raise InputError(f"{url!r} cannot be read: {error}; check the address and your access to it") from None


def size_of(path: str) -> int:
    """Bytes of a file, local or remote."""
    if is_url(path):
        system, inner = filesystem(path)
        return int(system.size(inner))
    return os.stat(path).st_size


def make_parents(path: str) -> None:
    """Make the folder that a local file will lie in."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)


@contextmanager
def atomic_write(path: str, durable: bool = True) -> Iterator[BinaryIO]:
    """Write bytes to a temporary neighbour; on a clean exit sync it and rename it to `path`, on an error remove it.

    What can be made again (signals, parts) need not be `durable`: it is not synced, which the death of a process does not
    mind, only that of the machine.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/a") as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['a']
    """
    make_parents(path)
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".{name}{_TEMPORARY}{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_write(path) as file:
        file.write(content)


def read_bytes(path: str) -> bytes:
    """Read a whole small file."""
    with open_read(path) as file:
        return file.read()


@contextmanager
def in_turn(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for one process; another that wants it meanwhile waits."""
    import fcntl

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for one process; another that wants it meanwhile is refused with a sentence."""
    import fcntl

    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".lock"), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{os.fspath(folder)} is being written by another run; wait for it, or give another --out"
            ) from None
        yield


def remove_leftovers(folder: str | os.PathLike[str], beside: tuple[str, ...] = ()) -> None:
    """Remove what killed writers left half-written below a folder that this process holds, but for folders named `beside`."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in beside]
        for name in names:
            if name.startswith(".") and _TEMPORARY in name:
                os.unlink(os.path.join(parent, name))


def remove_folder(folder: str | os.PathLike[str]) -> None:
    """Remove a folder of temporary files, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def temporary_folder(prefix: str) -> str:
    """Make a folder that lasts as long as the system keeps temporary files."""
    return tempfile.mkdtemp(prefix=prefix)


def write_json(path: str, content: Any) -> None:
    """Write JSON, indented, keys in the order given, NaN refused; atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "replace"))


def read_json(path: str) -> Any:
    """Read a JSON file; a broken one is an InputError."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path!r} must hold JSON; {error}") from None
