"""The door to the disk and to object stores: every file that Assay opens, it opens here or beside here, in `io/`.

A write goes to a temporary name, is synced, and gets its own name by a rename, so a reader never sees half a file.
URLs (`s3://`, `hf://`, `memory://`, …) go through fsspec (`io/remote.py`); nothing else touches the network. A folder may
stand for one of an object store (`io/mirror.py`): then what is written here is there too, and what is missing here is fetched.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from assay.errors import InputError, RunError
from assay.io import mirror, remote
from assay.io.lease import LOCK, lease, remove_probes
from assay.io.mirror import address, fetched
from assay.io.remote import is_url
from assay.io.room import room
from assay.io.secrets import masked_tree


def absolute(path: str) -> str:
    """A path that holds from any folder; a URL as it is."""
    return path if is_url(path) else os.path.abspath(path)


def open_read(path: str) -> BinaryIO:
    """Open a local path or URL for reading bytes; a missing or unreadable file is an InputError."""
    try:
        if is_url(path):
            return remote.open_remote(path)
        return open(fetched(path), "rb", buffering=0)
    except OSError as error:
        raise InputError(
            f"{path!r} cannot be read: {error.strerror or error}; check that the file is there and may be read"
        ) from None


def size_of(path: str) -> int:
    """Bytes of a file, local or remote."""
    return int(remote.info(path)["size"]) if is_url(path) else os.stat(fetched(path)).st_size


def entries(place: Path) -> list[str]:
    """The names in a folder, but for locks and for what killed writers left half-written; none where there is no folder.

    Raises RunError where a file has its name.
    """
    names = mirror.names(place)
    if names is None:
        raise RunError(f"--out must be a folder; {address(place)} is a file: give another name")
    return [name for name in names if not name.startswith(LOCK) and not half_written(name)]


def half_written(name: str) -> bool:
    """Whether a file of this name is one that a writer has not ended.

    >>> half_written(".run.json.tmp-1f-7"), half_written("run.json")
    (True, False)
    """
    return name.startswith(".") and mirror.TEMPORARY in name


def here(place: Path | None, what: str) -> None:
    """Refuse a URL where a folder of this machine is needed, because something is added to its files bit by bit."""
    if place is not None and mirror.mirrored(place):
        raise RunError(f"{what} must be a folder of this machine; got {address(place)}: give a path, and copy it later")


def make_parents(path: str) -> None:
    """Make the folder that a local file will lie in."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)


@contextmanager
def atomic_write(path: str, durable: bool = True, needs: int = 0) -> Iterator[BinaryIO]:
    """Write bytes to a temporary neighbour; on a clean exit sync it and rename it to `path`, on an error remove it.

    A full disk is a RunError, which says that `needs` bytes are needed where that is known.

    What can be made again (signals, parts) need not be `durable`: it is not synced, which the death of a process does not
    mind, only that of the machine. Where the path stands for a URL, the file is at the URL first, and here only then.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/a") as file:
    ...         _ = file.write(b"whole")
    ...     os.listdir(folder)
    ['a']
    """
    temporary = mirror.neighbour(path)
    try:
        with room(path, needs):
            make_parents(path)
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
        mirror.put(temporary, path)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file at once, atomically."""
    with atomic_write(path, needs=len(content)) as file:
        file.write(content)


def read_bytes(path: str) -> bytes:
    """Read a whole small file."""
    with open_read(path) as file:
        return file.read()


@contextmanager
def in_turn(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for one process; another that wants it meanwhile waits."""
    import fcntl

    if (url := mirror.mirrored(folder)) is not None:
        with lease(url, wait=True):
            yield
        return
    with _lock(folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for one process; another that wants it meanwhile is refused with a sentence."""
    import fcntl

    if (url := mirror.mirrored(folder)) is not None:
        with lease(url):
            yield
        return
    with _lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{os.fspath(folder)} is being written by another run; wait for it, or give another --out"
            ) from None
        yield


def _lock(folder: str | os.PathLike[str]) -> BinaryIO:
    path = os.path.join(folder, ".lock")
    with room(path):
        make_parents(path)
        return open(path, "wb")


def remove_leftovers(folder: str | os.PathLike[str], beside: tuple[str, ...] = ()) -> None:
    """Remove what killed writers left half-written below a folder that this process holds, but for folders named `beside`.

    At a URL nothing is ever half-written: there only lie what locks were asked with.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in beside]
        for name in names:
            if half_written(name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(parent, name))
    if (url := mirror.mirrored(folder)) is not None:
        remove_probes(url)


def remove_folder(folder: str | os.PathLike[str]) -> None:
    """Remove a folder of temporary files, if it is there."""
    mirror.remove_folder(folder)


def temporary_folder(prefix: str) -> str:
    """Make a folder that lasts as long as the system keeps temporary files."""
    return tempfile.mkdtemp(prefix=prefix)


def refuse_paths(names: Iterable[str], place: str | os.PathLike[str]) -> None:
    """RunError where one of the names that a run keeps for files of its own leads out of its folders.

    >>> refuse_paths(["train/data-00000.arrow"], "run")
    """
    for name in names:
        if os.path.isabs(name) or ".." in name.split("/") or "\0" in name:
            raise RunError(f"{os.fspath(place)} names {name!r}, which leads out of it: somebody has changed its run.json")


def write_json(path: str, content: Any) -> None:
    """Write JSON, indented, keys in the order given, NaN refused, secrets in URLs masked; atomically."""
    text = json.dumps(masked_tree(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "replace"))


def read_json(path: str) -> Any:
    """Read a JSON file; a broken one is an InputError."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path!r} must hold JSON; {error}") from None
