"""How fast can the text field be had from JSON lines? `python bench/parsing.py FILE [MEGABYTES]`

Each candidate turns the file's bytes into `Texts` (one UTF-8 block and offsets), in blocks of 4 MB, with one core; ours
also splits lines, checks UTF-8 and JSON strictly, finds id and source, and hashes each row. Seconds are CPU seconds,
the best of five rounds in which the candidates take turns; polars' parse of the whole file is the yardstick.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import msgspec
import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.json as arrow_json
import zstandard

from assay.io.fields import Fields
from assay.io.reader import read
from assay.io.sources import find, plan

BLOCK = 4 << 20
ROUNDS = 5


class Row(msgspec.Struct, gc=False):
    """What msgspec makes of a line; other fields are skipped."""

    text: str


DECODER = msgspec.json.Decoder(Row)


def blocks(data: bytes) -> Iterator[bytes]:
    """Blocks of whole lines."""
    start = 0
    while start < len(data):
        stop = len(data) if start + BLOCK >= len(data) else data.rfind(b"\n", start, start + BLOCK) + 1
        yield data[start:stop]
        start = stop


def joined(strings: list[str]) -> tuple[bytes, np.ndarray]:
    """Python strings as one block and their sizes."""
    whole = "".join(strings)
    if whole.isascii():
        return whole.encode(), np.fromiter(map(len, strings), np.int64, len(strings))
    encoded = [string.encode() for string in strings]
    return b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(encoded))


def by_msgspec(path: str) -> None:
    """msgspec, one small object a row."""
    for block in blocks(Path(path).read_bytes()):
        joined([row.text for row in DECODER.decode_lines(block)])


def by_orjson(path: str) -> None:
    """orjson, one dict a row."""
    for block in blocks(Path(path).read_bytes()):
        joined([orjson.loads(line)["text"] for line in block.split(b"\n") if line])


def by_polars(path: str) -> None:
    """polars to Arrow buffers."""
    for block in blocks(Path(path).read_bytes()):
        pl.read_ndjson(block, schema={"text": pl.String})["text"].to_arrow().buffers()


def by_pyarrow(path: str) -> None:
    """pyarrow's own JSON reader."""
    parse = arrow_json.ParseOptions(
        explicit_schema=pa.schema([("text", pa.string())]), unexpected_field_behavior="ignore"
    )
    for block in blocks(Path(path).read_bytes()):
        options = arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1)
        arrow_json.read_json(pa.BufferReader(block), options, parse)


def by_polars_whole(path: str) -> None:
    """polars on the whole file, as its users call it; parses the text field only and stops there."""
    pl.read_ndjson(path, schema={"text": pl.String})


def by_assay(path: str) -> None:
    """Our kernel, from file to blocks with text and row hashes."""
    for piece in plan(find([path])):
        for _ in read(piece, Fields(text="text"), ()):
            pass


def by_assay_with_id_and_source(path: str) -> None:
    """The same with ids and sources."""
    for piece in plan(find([path])):
        for _ in read(piece, Fields(text="text", id="id", source="source"), ("id", "source")):
            pass


CANDIDATES: tuple[Callable[[str], None], ...] = (
    by_polars_whole, by_polars, by_pyarrow, by_orjson, by_msgspec, by_assay, by_assay_with_id_and_source,
)  # fmt: skip


def measure(path: str) -> dict[str, float]:
    """The least CPU seconds of each candidate; the first round warms up and is not counted."""
    best = {candidate.__name__: float("inf") for candidate in CANDIDATES}
    for turn in range(ROUNDS + 1):
        for candidate in CANDIDATES:
            start = time.process_time()
            candidate(path)
            if turn:
                best[candidate.__name__] = min(best[candidate.__name__], time.process_time() - start)
    return best


def main() -> None:
    """Print megabytes a second and the ratio to polars for each candidate."""
    raw = Path(sys.argv[1]).read_bytes()
    data = (
        zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
        if sys.argv[1].endswith(".zst")
        else raw
    )
    wanted = int(float(sys.argv[2] if len(sys.argv) > 2 else 100) * 1e6)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/pool.jsonl"
        Path(path).write_bytes(data * max(1, wanted // len(data)))
        size = os.path.getsize(path)
        best = measure(path)
    yardstick = best["by_polars_whole"]
    print(f"{size / 1e6:.0f} MB of JSON lines, one core")
    for name, seconds in best.items():
        print(f"{name[3:]:28s} {size / seconds / 1e6:6.0f} MB/s   {seconds / yardstick:5.2f} times polars' seconds")


if __name__ == "__main__":
    main()
