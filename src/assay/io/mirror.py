"""A folder of an object store to work in: a folder of this machine stands for it, file by file.

    s3://bucket/run/store/a.npy   <->   SCRATCH/assay-mirror-0f3…/s3/bucket/run/store/a.npy

The path says the URL, so nothing else need travel to a worker: whoever is handed such a path, on whatever machine, knows
where the file is kept. What is finished under it is at its URL before anyone is told so; what is missing here is fetched.
The URL is the truth: a command begins with an empty folder (in ASSAY_SCRATCH, else where temporary files go) and removes
it when it ends. What killed commands left is removed by the next one that works on the same machine, which is told by a
lock of the system's that dies with its holder.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path

import xxhash

from assay.errors import RecipeError, RunError
from assay.io.remote import below, filesystem, found, inside, is_url, open_remote, patiently

TEMPORARY = ".tmp-"
_NAME = "assay-mirror-"
_MIRRORED = re.compile(rf"(?P<home>.*?/{_NAME}[0-9a-f]{{32}})/(?P<protocol>[a-z0-9]+)/(?P<rest>.*)", re.DOTALL)
_IN_WORDS = re.compile(rf"[^\s'\"]*/{_NAME}[0-9a-f]{{32}}/([a-z0-9]+)/")
_FEW = 8  # folders that are listed one by one; of more, what they lie in is
_OLD = 600.0  # seconds after which a folder that nobody holds is taken for left behind
_COPY = 1 << 22
_UPLOAD = {"s3": {"chunksize": 16 << 20, "max_concurrency": 2}}  # bounds what an upload holds in memory
_AGAIN = (
    "check the connection, your access and the room there, then run the same command again: what was finished is kept"
)


def folder(place: str | os.PathLike[str]) -> Path:
    """The folder to work in for what a user names: a path as it is, for a URL an empty folder of this machine.

    >>> folder("run/")
    PosixPath('run')
    >>> address(folder("memory://run/"))
    'memory://run'
    """
    named = os.fspath(place)
    if not is_url(named):
        return Path(named)
    protocol, _, rest = named.partition("://")
    parts = [part for part in rest.split("/") if part not in ("", ".")]
    if protocol == "file":
        return Path("/", *parts)
    if not plain(named):
        raise RecipeError(
            f"a folder to write must be a path or a plain URL such as s3://bucket/run; got one of {protocol}, or one with "
            "signs or credentials in it: keep those in the environment"
        )
    if not parts or ".." in parts:
        raise RecipeError(f"a folder to write must name a place in the store, such as s3://bucket/run; got {named!r}")
    filesystem(f"{protocol}://{'/'.join(parts)}")  # a protocol that nothing opens is found out here
    scratch = os.path.abspath(os.environ.get("ASSAY_SCRATCH") or tempfile.gettempdir())
    home = os.path.join(scratch, f"{_NAME}{uuid.uuid4().hex}")
    _hold(home)
    atexit.register(_leave, home, os.getpid())
    return Path(home, protocol, *parts)


def plain(url: str) -> bool:
    """Whether a URL can be written to and says no more than a place.

    >>> plain("s3://bucket/run"), plain("https://host/run"), plain("s3://bucket/*.jsonl")
    (True, False, False)
    """
    protocol, _, rest = url.partition("://")
    return bool(re.fullmatch("(?!http)[a-z0-9]+", protocol)) and not re.search(r"[@?#*\[\]]|::", rest)


@cache
def _hold(home: str) -> int:
    """Say that this process uses the folder, for as long as it lives; on the way remove what dead ones left beside it."""
    import fcntl

    os.makedirs(home, mode=0o700, exist_ok=True)
    held = os.open(
        os.path.join(home, ".held"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    )  # closed by the end of the process
    fcntl.flock(held, fcntl.LOCK_SH)
    with os.scandir(os.path.dirname(home)) as entries:
        others = [entry.path for entry in entries if entry.name.startswith(_NAME) and entry.path != home]
    for other in others:
        with contextlib.suppress(OSError):
            if time.time() - os.stat(other).st_mtime > _OLD:
                with open(os.path.join(other, ".held"), "ab") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(other, ignore_errors=True)
    return held


def _leave(home: str, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(home, ignore_errors=True)


def mirrored(path: str | os.PathLike[str]) -> str | None:
    """The URL that a path stands for, or None."""
    if _NAME not in (named := os.fspath(path)) or (match := _MIRRORED.match(named)) is None:
        return None
    return f"{match['protocol']}://{match['rest'].rstrip('/')}"


def address(path: str | os.PathLike[str]) -> str:
    """Where something lasts: the URL that a path stands for, or the path itself."""
    return mirrored(path) or os.fspath(path)


def told(sentence: str) -> str:
    """A sentence with URLs in place of the paths that stand for them.

    >>> told(f"/tmp/assay-mirror-{'0' * 32}/s3/bucket/run is being written")
    's3://bucket/run is being written'
    """
    return _IN_WORDS.sub(r"\1://", sentence)


def _home(path: str) -> str:
    match = _MIRRORED.match(path)
    assert match is not None
    return match["home"]


def neighbour(path: str) -> str:
    """A temporary name beside a path, which says whose it is: a folder may be shared by machines that count alike."""
    parent, name = os.path.split(os.path.abspath(path))
    return os.path.join(parent, f".{name}{TEMPORARY}{owner()}")


def owner() -> str:
    """This thread, among all of all machines."""
    machine = xxhash.xxh32_hexdigest(os.uname().nodename.encode())  # short, for the name of a file leaves little room
    return f"{machine}-{os.getpid()}-{threading.get_ident()}"


def put(finished: str, path: str) -> None:
    """Bring a finished file to the URL that `path` stands for, if it does; it is there when this returns, or RunError."""
    url = mirrored(path)
    if url is None:
        return
    _hold(_home(path))
    system, inner = filesystem(url)
    how = _UPLOAD.get(url.partition("://")[0], {})
    patiently(lambda: system.put_file(finished, inner, **how), url, "cannot be written", _AGAIN, RunError)


def fetched(path: str | os.PathLike[str]) -> str:
    """The path, its file brought here first where it stands for a URL and is missing; what is nowhere stays missing."""
    named = os.fspath(path)
    url = mirrored(named)
    if url is not None and not os.path.exists(named):
        with contextlib.suppress(FileNotFoundError):
            _fetch(url, named)
    return named


def _fetch(url: str, path: str) -> None:
    with open_remote(url) as source:
        _hold(_home(path))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = neighbour(path)
        try:
            with open(temporary, "wb") as file:
                shutil.copyfileobj(source, file, _COPY)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def fetched_folder(path: str | os.PathLike[str]) -> str:
    """The path, with every file below it brought here."""
    named = os.fspath(path)
    for name in below(url) if (url := mirrored(named)) else ():
        fetched(os.path.join(named, name))
    return named


def present(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder, here or at the URL that it stands for."""
    if os.path.exists(path):
        return True
    url = mirrored(path)
    return url is not None and found(url)


def absent(paths: Iterable[Path]) -> set[Path]:
    """Those of many files that are neither here nor at their URLs, which are listed anew, a request for a thousand."""
    lacking = {path for path in paths if not os.path.exists(path)}
    remote = {path for path in lacking if mirrored(path) is not None}
    folders = {path.parent for path in remote}
    if len(folders) > _FEW:
        folders = {Path(os.path.commonpath(folders))}
    for place in folders:
        lacking -= {place / name for name in below(address(place))}
    return lacking


@lru_cache(maxsize=256)
def _names(place: str) -> frozenset[str]:
    return frozenset(inside(address(place)) or ())


def known(path: Path) -> bool:
    """As `present`, by a listing of the folder that a process makes once: for what another adds meanwhile it may say no."""
    return path.exists() or (mirrored(path) is not None and path.name in _names(str(path.parent)))


def names(place: Path) -> list[str] | None:
    """The names in a folder or in the URL that it stands for, none where there is none; None where there is a file."""
    url = mirrored(place)
    if url is not None:
        return inside(url)
    if os.path.lexists(place) and not os.path.isdir(place):
        return None
    return os.listdir(place) if os.path.lexists(place) else []


def remove(paths: Sequence[Path]) -> None:
    """Remove files, here and at their URLs, where no temporary ones are; those that are not there are no matter."""
    for path in paths:
        path.unlink(missing_ok=True)
    urls = [url for path in paths if TEMPORARY not in path.name and (url := mirrored(path))]
    if urls:
        _remove(urls)


def remove_folder(place: str | os.PathLike[str]) -> None:
    """Remove a folder with all that is in it, here and at its URL."""
    shutil.rmtree(place, ignore_errors=True)
    url = mirrored(place)
    if url is not None and (gone := [f"{url}/{name}" for name in below(url)]):
        _remove(gone)


def _remove(urls: Sequence[str]) -> None:
    system, _ = filesystem(urls[0])
    inner = [filesystem(url)[1] for url in urls]
    with contextlib.suppress(FileNotFoundError):
        patiently(lambda: system.rm(inner), urls[0], "cannot be removed", _AGAIN, RunError)


def move(source: Path, target: Path) -> None:
    """Bring all files of a folder under the same names to another, here and at their URLs; what is there already is the same.

    At the URLs they are copied first and removed last, so that a kill in between loses none.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()) if source.exists() else []:
        os.replace(path, target / path.name)
    with contextlib.suppress(OSError):
        source.rmdir()
    url, onto = mirrored(source), mirrored(target)
    if url is None or onto is None or not (held := sorted(below(url))):
        return
    system, inner = filesystem(url)
    there = filesystem(onto)[1]
    pairs = [f"{inner}/{name}" for name in held], [f"{there}/{name}" for name in held]
    patiently(lambda: system.copy(*pairs), url, "cannot be copied", _AGAIN, RunError)
    _remove([f"{url}/{name}" for name in held])
