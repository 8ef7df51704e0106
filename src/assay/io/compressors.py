"""How long texts are once compressed, by libraries that otherwise only readers and writers use."""

from __future__ import annotations

import zlib
from collections.abc import Callable

LEVELS = {"zlib": 9, "zstd": 22}  # the highest of each


def sizer(compressor: str, level: int) -> Callable[[bytes], int]:
    """A function that gives the bytes of a text after compression by zlib or zstd.

    >>> sizer("zlib", 6)(b"ab" * 1000) < 50
    True
    """
    if compressor == "zlib":
        return lambda text: len(zlib.compress(text, level))
    import zstandard

    machine = zstandard.ZstdCompressor(level=level)
    return lambda text: len(machine.compress(text))
