"""Which code computed a stored result: what an older version of it gave is never taken for its own."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent.parent


def source_digest(thing: Any) -> str:
    """A digest of the module that a class, a function or an object's class comes from, and of all kernels and models: 16
    hexadecimal digits."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    source = inspect.getsource(inspect.getmodule(named) or named)
    return hashlib.sha256(source.encode() + _kernels_digest()).hexdigest()[:16]


@functools.cache
def _kernels_digest() -> bytes:
    """Over every module that methods compute with; a few dozen small files."""
    state = hashlib.sha256()
    for folder in ("kernels", "models"):
        for module in sorted(pkgutil.iter_modules([str(_HERE / folder)]), key=lambda module: module.name):
            spec = module.module_finder.find_spec(module.name)  # type: ignore[call-arg]
            state.update((spec.loader.get_data(spec.origin)) if spec is not None and spec.origin else b"")
    return state.digest()
