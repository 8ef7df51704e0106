"""Remote places through fsspec: each request bounded in time, tried again where that may help, ended by a sentence if not.

A remote file is read in parts of a few megabytes. A part that comes short or broken is asked for again, never taken for the
end of the file; a file that changes while it is read is refused by name. The last parts stay in memory for a while, because
whoever reads a piece of a pool reads it a second time for its digest.

Limits are those of the store's own package where the user has set them (fsspec's configuration, `FSSPEC_S3`), else ours.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, TypeVar, cast, final

from assay.errors import AssayError, InputError, masked
from assay.io.secrets import whole

PART = 4 << 20  # bytes asked for at once: a request's latency is then less than its transfer
_HELD = 6  # parts that a process keeps: a piece of 16 MB, and what is read beyond it
_TRIES, _PATIENCE, _FIRST_WAIT = 5, 60.0, 0.2  # of our own, around those of the package, which are for single requests
# A store that never answers costs 4 x 20 s and the waits between, and is then given up.
_LIMITS = {"connect_timeout": 10, "read_timeout": 20, "retries": {"mode": "standard", "max_attempts": 4}}
_MANY = 16  # files of one folder from which on a listing of it is cheaper than asking for each
_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.\-]*://|^[a-zA-Z][a-zA-Z0-9+.\-]*::")
_NAMES = (
    ("ETag", "etag", "md5Hash", "content_md5", "checksum", "sha256", "blob_id", "generation"),
    ("LastModified", "last_modified", "mtime", "updated", "created", "last_commit"),
)
_numbers = itertools.count()  # tell files apart of which nothing else does
_kept: OrderedDict[tuple[Any, ...], tuple[int, bytes]] = OrderedDict()
_T = TypeVar("_T")


def is_url(path: str) -> bool:
    """Whether a path names something that fsspec must open.

    >>> is_url("s3://bucket/a.jsonl"), is_url("crawl/a.jsonl")
    (True, False)
    """
    return _URL.match(path) is not None


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path inside it; InputError where there is none for the protocol."""
    import fsspec

    path = whole(path)
    ours = path.partition("://")[0] in ("s3", "s3a")
    try:
        system, inner = fsspec.core.url_to_fs(path, **(_limits() if ours else {}))
    except (ValueError, ImportError, OSError) as error:
        raise InputError(
            f"{path!r} cannot be opened: {error}; check the protocol, or install the fsspec package for it"
        ) from None
    if ours:
        system.retries = 1  # s3fs would try five times what botocore has tried already
    return system, inner


def _limits() -> dict[str, Any]:
    """What S3 is asked with: listings that are never old, and bounds on every request, but for what the user has set."""
    import fsspec

    given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {"use_listings_cache": False, "config_kwargs": {**_LIMITS, **given}}


def patiently(action: Callable[[], _T], url: str, trouble: str, remedy: str, kind: type[AssayError] = InputError) -> _T:
    """What the action gives, which may be repeated; after a bounded time an error that says the trouble and the remedy.

    What trying again cannot mend (nothing there, no permission) is raised as it is, for the caller to say.
    """
    begun = time.monotonic()
    for attempt in range(_TRIES):
        try:
            return action()
        except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, AssayError):
            raise
        except PermissionError as error:
            raise _given_up(kind, url, trouble, _plain(error), "check your access to it") from None
        except Exception as error:  # every object store has errors of its own
            if type(error).__name__ == "FileExpired":  # s3fs asks for the tag that the file had when it was opened
                raise _changed(url) from None
            if attempt + 1 == _TRIES or time.monotonic() - begun > _PATIENCE:
                tried = f"{attempt + 1} tries in {time.monotonic() - begun:.0f} s, at last: {_plain(error)}"
                raise _given_up(kind, url, trouble, tried, remedy) from None
            time.sleep(_FIRST_WAIT * 3**attempt)
    raise AssertionError("the last try either gave or raised")


def _given_up(kind: type[AssayError], url: str, trouble: str, why: str, remedy: str) -> AssayError:
    return kind(f"{url!r} {trouble}: {why}; {remedy}")


def _changed(url: str) -> InputError:
    return InputError(f"{url!r} has changed while it was read; select again from the pool as it is now")


def _plain(error: Exception) -> str:
    """An error of a package in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 300 else f"{words[:300]}…"


_AGAIN = "check the address and the connection, then run the same command again: what was finished is kept"


def info(url: str) -> dict[str, Any]:
    """What a store says of one file or folder; FileNotFoundError where there is nothing."""
    system, inner = filesystem(url)
    try:
        return cast(dict[str, Any], patiently(lambda: system.info(inner), url, "cannot be looked at", _AGAIN))
    except FileNotFoundError as error:
        error.filename = url
        raise


def found(url: str) -> bool:
    """Whether there is a file or a folder."""
    try:
        info(url)
    except FileNotFoundError:
        return False
    return True


def named(url: str) -> dict[str, int]:
    """The files that a URL names, with their sizes: itself, all below it, or what a pattern matches. FileNotFoundError where
    there is nothing."""
    system, inner = filesystem(url)
    if re.search(r"[*\[]" if inner.startswith("http") else r"[*?\[]", inner):
        told = patiently(lambda: system.glob(inner, detail=True), url, "cannot be listed", _AGAIN)
    elif info(url).get("type") == "directory":
        told = patiently(lambda: system.find(inner, detail=True), url, "cannot be listed", _AGAIN)
    else:
        told = {inner: info(url)}
    files = {name: entry for name, entry in told.items() if entry.get("type") != "directory"}
    return {_address(url, inner, name, system): int(entry.get("size") or 0) for name, entry in files.items()}


def _address(url: str, inner: str, name: str, system: Any) -> str:
    """The URL of one file that a URL names: with the archive it lies in, and with what it takes to open it."""
    head, joined, rest = url.partition("::")
    if joined and head.endswith(inner):
        return f"{head.removesuffix(inner)}{name}::{rest}"
    if (joined or masked(url) != url) and url.endswith(inner):
        return url.removesuffix(inner) + name
    return str(system.unstrip_protocol(name))


def bare(path: str) -> str:
    """A path, or what of a URL names the file: without what opens it, and without the archive it lies in.

    >>> bare("https://host/a.jsonl?sig=0ab1"), bare("zip://b.jsonl::simplecache::https://host/a.zip")
    ('https://host/a.jsonl', 'zip://b.jsonl')
    """
    if not is_url(path):
        return path
    head, joined, rest = path.partition("::")
    if joined and "://" not in head:
        return bare(rest)
    return re.split(r"[?#]" if head.startswith("http") else r"\?(?=[\w.-]+=)", head)[0]


def below(url: str) -> list[str]:
    """The files below a folder, relative to it, in no order; none where there is no folder."""
    system, inner = filesystem(url)
    names = patiently(lambda: system.find(inner), url, "cannot be listed", _AGAIN)
    root = inner.rstrip("/") + "/"
    return [name.removeprefix(root) for name in names if name.startswith(root)]


def modified(url: str) -> float | None:
    """When a file was written, in seconds by the store's clock; None where the store does not say. FileNotFoundError."""
    told = info(url)
    when = next((told[name] for name in _NAMES[1] if told.get(name)), None)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return when.timestamp() if isinstance(when, datetime) else None if when is None else float(when)


def inside(url: str) -> list[str] | None:
    """The names in a folder, files and folders; none where there is no folder, None where there is a file instead."""
    system, inner = filesystem(url)
    try:
        listed = patiently(lambda: system.ls(inner, detail=False), url, "cannot be listed", _AGAIN)
    except FileNotFoundError:
        return []
    here = inner.rstrip("/")
    if [name.rstrip("/") for name in listed] == [here]:
        return None
    return [name.rstrip("/").rpartition("/")[2] for name in listed if name.rstrip("/") != here]


State = tuple[str, int, str]


def state(url: str) -> State:
    """What tells one content of a remote file from another, unread: its tag, size and time, as far as its store has them."""
    return _state(info(url))


def _state(told: Mapping[str, Any]) -> State:
    tag, when = (next((str(told[name]) for name in names if told.get(name)), "") for names in _NAMES)
    when = when.partition(".")[0].partition("+")[0].rstrip("Z").replace("T", " ")  # a listing may say it more finely
    if not tag and not when:
        tag = str(sorted(told.items(), key=str))
    return tag, int(told.get("size") or 0), when


def states(urls: Iterable[str]) -> dict[str, State]:
    """The states of many files; where many lie in one folder, by one listing of it. FileNotFoundError names what is missing."""
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault(url.rpartition("/")[0], []).append(url)
    told = {}
    for folder, members in folders.items():
        listed = _listed(folder) if len(members) >= _MANY else {}
        for url in members:
            told[url] = listed[url] if url in listed else state(url)
    return told


def _listed(folder: str) -> dict[str, State]:
    system, inner = filesystem(folder)
    try:
        entries = patiently(lambda: system.ls(inner, detail=True), folder, "cannot be listed", _AGAIN)
    except FileNotFoundError:
        return {}
    return {f"{folder}/{entry['name'].rpartition('/')[2]}": _state(entry) for entry in entries}


def open_remote(url: str) -> BinaryIO:
    """A remote file for reading; FileNotFoundError where there is none."""
    system, inner = filesystem(url)
    file = patiently(
        lambda: system.open(inner, "rb", block_size=PART, cache_type="none"), url, "cannot be read", _AGAIN
    )
    size = getattr(file, "size", None)
    if size is None:  # a stream that its server cannot read in parts
        return cast(BinaryIO, file)
    details = getattr(file, "details", None)
    known = _state(details) if isinstance(details, Mapping) else (next(_numbers),)
    return cast(BinaryIO, Remote(url, file, int(size), (url, *known), system))


@final
class Remote:
    """A remote file, read in parts; no part is taken that is shorter than it must be."""

    mode = "rb"

    def __init__(self, url: str, file: Any, size: int, key: tuple[Any, ...], system: Any):
        self.size, self.closed = size, False
        self._url, self._file, self._key, self._at = url, file, key, 0
        self._system = system  # an archive is closed once nobody holds it

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._file.close()
        self.closed = True

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def writable(self) -> bool:
        """It is there to be read."""
        return False

    def seekable(self) -> bool:
        """Any part can be asked for."""
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the file."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence])
        return self._at

    def read(self, count: int = -1) -> bytes:
        """The next bytes, fewer than `count` only at the end of the file."""
        stop = self.size if count is None or count < 0 else min(self.size, self._at + count)
        found = []
        while self._at < stop:
            first, part = self._part()
            chunk = part[self._at - first : stop - first]
            found.append(chunk)
            self._at += len(chunk)
        return found[0] if len(found) == 1 else b"".join(found)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; how many there were."""
        with memoryview(buffer).cast("B") as view:
            content = self.read(len(view))
            view[: len(content)] = content
        return len(content)

    def _part(self) -> tuple[int, bytes]:
        """The part that holds the next byte, and where it begins: one of those at hand, or asked for from this byte on."""
        for key, (first, part) in tuple(_kept.items()):
            if key[:-1] == self._key and first <= self._at < first + len(part):
                return first, part
        first, length = self._at, min(PART, self.size - self._at)
        part = patiently(lambda: self._take(first, length), self._url, "cannot be read", _AGAIN)
        _kept[(*self._key, first)] = first, part
        while len(_kept) > _HELD:
            _kept.popitem(last=False)
        return first, part

    def _take(self, first: int, length: int) -> bytes:
        """So many bytes; what a store leaves out is asked for again, and is not taken for the end of the file."""
        part = b""
        for _ in range(_TRIES):
            self._file.seek(first + len(part))
            part += self._file.read(length - len(part))
            if len(part) == length:
                return part
        raise _changed(self._url)
