"""A folder of an object store held by one run: an object `.lock` that its holder writes again while it lives.

Stores have no locks that a dead holder lets go of. So the holder rewrites its lock every few seconds; one that was not
written for `STALE` seconds, or whose process is known to be dead because it was of this machine, belongs to nobody, and
who wants the folder takes it over. Age is told by the store's own clock (the time of the lock beside that of an object
written now), so clocks of machines may differ or go back. Where a store can create an object only if there is none (S3
since 2024), two that come at once are told apart by that; elsewhere, and when two take over a dead lock at once, the one
that wrote last has it, and the other finds that out before it goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from assay.errors import RunError
from assay.io.remote import filesystem, inside, modified, patiently

LOCK = ".lock"
BEAT, STALE = 15.0, 90.0  # seconds between two signs of life, and after which silence means death
_SETTLE, _LOOK = 1.0, 2.0
_held: dict[str, threading.Event] = {}  # folders that this process holds; an event is set where another took one over


@contextmanager
def lease(url: str, wait: bool = False) -> Iterator[None]:
    """Hold a remote folder; while another holds it, `wait` for it, or raise RunError. What lies below a held one is held."""
    if _holder_of(url) is not None:
        yield
        return
    token = uuid.uuid4().hex
    while (other := _taken(url, token)) is not None:
        if not wait:
            raise RunError(
                f"{url} is being written by another run ({other}); wait for it, or give another --out; a run that was killed "
                f"lets go {STALE:.0f} s after its last sign of life"
            )
        time.sleep(_LOOK)
    over = threading.Event()
    _held[url] = threading.Event()
    beating = threading.Thread(target=_beat, args=(url, token, over), daemon=True)
    beating.start()
    try:
        yield
        refuse_lost(url)
    finally:
        over.set()
        beating.join()
        lost = _held.pop(url)
        if not lost.is_set():
            with contextlib.suppress(Exception):  # a lock that stays is taken over; the work itself is done
                _remove(f"{url}/{LOCK}")


def _holder_of(url: str) -> str | None:
    return next((held for held in _held if url == held or url.startswith(f"{held}/")), None)


def refuse_lost(url: str) -> None:
    """RunError where another run took over the folder that this process held, as it may when this one was asleep."""
    held = _holder_of(url)
    if held is not None and _held[held].is_set():
        raise RunError(
            f"{held} was taken over by another run while this one gave no sign of life; wait for that one, then run the same "
            "command again"
        )


def _taken(url: str, token: str) -> str | None:
    """Take the folder; None once it is ours, else who has it."""
    lock = f"{url}/{LOCK}"
    there = _read(lock)
    if there is None:
        if not _create(lock, token):
            return _told(_read(lock), None)
    else:
        age = _age(url, lock, token)
        if not _dead(there) and (age is None or age < STALE):
            return _told(there, age)
        _write(lock, token)
        time.sleep(_SETTLE)
    now = _read(lock)
    return None if now is not None and now.get("token") == token else _told(now, None)


def _told(there: dict[str, Any] | None, age: float | None) -> str:
    """Who holds a folder, in words."""
    if there is None:
        return "which has just begun or ended"
    sign = "" if age is None else f", last sign of life {age:.0f} s ago"
    return f"process {there.get('process')} on {there.get('machine')}{sign}"


def _content(token: str) -> bytes:
    told = {"token": token, "machine": os.uname().nodename, "space": _space(), "process": os.getpid()}
    return json.dumps(told).encode()


def _space() -> str:
    """Where a process number means what it means here: this boot of this machine, and this container's numbers."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _dead(there: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine and is no more."""
    if not there.get("space") or there["space"] != _space():
        return False
    try:
        os.kill(int(there["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False


def _age(url: str, lock: str, token: str) -> float | None:
    """Seconds since the lock was written, by the store's clock; None where the store tells no times."""
    probe = f"{url}/{LOCK}.tmp-{token}"
    try:
        _write(probe, token)
        now, then = modified(probe), modified(lock)
        return None if now is None or then is None else now - then
    except FileNotFoundError:  # let go of just now
        return None
    finally:
        with contextlib.suppress(Exception):
            _remove(probe)


_AGAIN = "check the connection and your access, then run the same command again"


def _read(url: str) -> dict[str, Any] | None:
    system, inner = filesystem(url)
    try:
        return dict(json.loads(patiently(lambda: system.cat_file(inner), url, "cannot be read", _AGAIN, RunError)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {}  # none of ours, or half of one: it grows old


def _write(url: str, token: str) -> None:
    system, inner = filesystem(url)
    patiently(lambda: system.pipe_file(inner, _content(token)), url, "cannot be written", _AGAIN, RunError)


def _create(url: str, token: str) -> bool:
    """Write a lock where there is none; False where another was quicker."""
    system, inner = filesystem(url)
    content = _content(token)

    def create() -> None:
        try:
            system.pipe_file(inner, content, mode="create")
        except (RuntimeError, TypeError, ValueError):  # a store that cannot; who wrote last has it
            system.pipe_file(inner, content)

    try:
        patiently(create, url, "cannot be written", _AGAIN, RunError)
    except FileExistsError:  # perhaps by ourselves, where the answer to the first try was lost
        return (_read(url) or {}).get("token") == token
    return True


def _remove(url: str) -> None:
    system, inner = filesystem(url)
    patiently(lambda: system.rm_file(inner), url, "cannot be removed", _AGAIN, RunError)


def _beat(url: str, token: str, over: threading.Event) -> None:
    """Write the lock again and again until it is over; where another has it, say so and stop."""
    lock = f"{url}/{LOCK}"
    while not over.wait(BEAT):
        with contextlib.suppress(Exception):  # a store that does not answer for a while; the next beat may come through
            there = _read(lock)
            if there is not None and there.get("token") != token:
                _held[url].set()
                return
            _write(lock, token)


def remove_probes(url: str) -> None:
    """Remove what killed runs left of asking for the time in a folder that this process holds."""
    for name in inside(url) or ():
        if name.startswith(f"{LOCK}.tmp-"):
            _remove(f"{url}/{name}")
