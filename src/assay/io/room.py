"""What is said where a disk takes no more: which folder is full, what is free there, and what was needed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from assay.errors import RunError
from assay.io import mirror

_FULL = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "your quota there is used up",
    errno.EFBIG: "no file may grow larger there (see ulimit -f)",
}


@contextmanager
def room(path: str | os.PathLike[str], needs: int = 0) -> Iterator[None]:
    """Turn what a full disk says while `path` is written into a RunError that names its folder, what is free and what is
    needed: `needs` bytes where that is known before, otherwise more than could be written."""
    try:
        yield
    except OSError as error:
        # numpy counts what it could not write, and leaves out why.
        short = error.errno is None and re.search(r"\d+ requested and \d+ written", str(error))
        if error.errno not in _FULL and not short:
            raise
        raise RunError(_no_room(path, needs, _FULL[error.errno or errno.ENOSPC])) from None


def _no_room(path: str | os.PathLike[str], needs: int, why: str) -> str:
    folder, name = os.path.split(os.path.abspath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    free, written = shutil.disk_usage(folder).free, 0
    for unfinished in (mirror.neighbour(path), path):
        with contextlib.suppress(OSError):
            written = max(written, os.path.getsize(unfinished))
    wanted = f"{needs:,}" if needs > written else f"more than {written:,}"
    return (
        f"{folder} is full: {why} ({free:,} bytes free), and {name} alone needs {wanted} bytes; make room and run the same "
        "command again: what is finished is kept"
    )
