"""Plain text files as rows: one file, one row; a file that is not UTF-8 text is quarantined."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from assay.errors import InputError
from assay.io.blocks import EMPTY, Bad, Block, block_of
from assay.io.lines import BLOCK, HEAD, digest
from assay.io.sources import COMPRESSIONS, Piece, Shard
from assay.io.streams import Unreadable, chunks
from assay.types import Column, Texts


def load(shard: Shard, name: str, longest: int) -> tuple[bytes, str]:
    """(content, reason that it is no text or "") of one file, decompressed; of one too long, the first 64 KB."""
    compression = COMPRESSIONS.get(os.path.splitext(name.lower())[1], "")
    content = bytearray()
    try:
        for chunk in chunks(os.path.join(shard.path, name), compression):
            content += chunk
            if len(content) > longest:
                return bytes(content[:HEAD]), f"the file is longer than {longest} bytes"
    except Unreadable as error:
        return bytes(content), str(error)
    except InputError:
        return b"", "the file cannot be opened"
    raw = bytes(content.removeprefix(b"\xef\xbb\xbf"))
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw, "the file is not valid UTF-8"
    return raw, ("the file is binary" if b"\0" in raw else "" if raw else EMPTY)


def top_folder(name: str) -> str:
    """The first folder of a relative path, which serves as a file's source."""
    return name.split(os.sep)[0] if os.sep in name else ""


def read_text(piece: Piece, columns: Sequence[str], longest: int = 64_000_000) -> Iterator[Block]:
    """The files of a piece as rows: id is the path inside the folder, source the first folder of that path."""
    names, first, size = [], piece.start, 0
    texts: list[tuple[bytes, str]] = []
    for position in range(piece.start, piece.stop):
        names.append(piece.shard.files[position])
        texts.append(load(piece.shard, names[-1], longest))
        size += len(texts[-1][0])
        if size >= BLOCK:
            yield _block(names, texts, first - piece.start, columns)
            names, texts, first, size = [], [], position + 1, 0
    if names:
        yield _block(names, texts, first - piece.start, columns)


def _block(names: list[str], texts: list[tuple[bytes, str]], row: int, columns: Sequence[str]) -> Block:
    bad = [
        Bad(row + at, row + at + 1, reason, raw[:HEAD], 0, len(raw), digest(raw))
        for at, (raw, reason) in enumerate(texts)
        if reason
    ]
    good = np.array([at for at, (_, reason) in enumerate(texts) if not reason], np.int64)
    made: dict[str, Column] = {"text": Texts.of_bytes([texts[at][0] for at in good])}
    for name in columns:
        if name == "id":
            made[name] = Texts.of([names[at] for at in good])
        elif name == "source":
            made[name] = Texts.of([top_folder(names[at]) for at in good])
        elif name != "text":
            made[name] = np.full(len(good), np.nan)
    return block_of(len(names), len(names), np.arange(row, row + len(names)) + 1, tuple(bad), good + row, made)
