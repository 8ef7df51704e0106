"""Rows in, as blocks of columns: each row either readable, with its text, or `Bad`, with a reason; none is lost.

    line ends at LF · CR stays · the BOM belongs to the file · blank lines are counted, not rows · a repeated key
    counts by its last value · broken JSON, invalid UTF-8, no object, no text, wrong type, lone surrogate, too long:
    each a `Bad`

JSON lines go through one kernel (`kernels/json_lines.py`) that finds only the wanted fields; no Python object is made
for a row. The choice was measured against polars, pyarrow, orjson and msgspec: see LOG.md and bench/parsing.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np
from jaxtyping import Int64, UInt8

from assay.errors import InputError
from assay.io.blocks import EMPTY, LONE_SURROGATE, Bad, Block, block_of, too_long, unreadable
from assay.io.files import open_read
from assay.io.lines import BLOCK, HEAD, Lines, digest, few, fill, padded
from assay.io.records import shard_lines
from assay.io.row import DOCUMENT, ETX, Fields, Form, number, render_chat, unmarked
from assay.io.sources import Piece, Shard
from assay.kernels import json_lines as kernel
from assay.kernels import json_tokens as token
from assay.kernels.words import PAD
from assay.types import Batch, Column, Texts

_KINDS = ("missing", "a string", "a number", "true", "false", "null", "an object", "a list")
_CODES = (
    "", "the line is not valid UTF-8", "the line is not valid JSON", "the line is not a JSON object",
    f"the JSON is nested deeper than {kernel.MAX_DEPTH} levels",
)  # fmt: skip


def read(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    """The rows of a piece in order, in blocks of a few megabytes; `columns`: some of text, id, source, `fields.extra`, and `image`
    (encoded images) where rows have one.

    `text` is always there. Numbers of rows and lines count from the start of the piece (rows from 0, lines from 1).
    """
    if piece.shard.format == "csv":
        from assay.io.tabular import read_csv

        yield from read_csv(piece, fields, columns)
    elif piece.shard.format in ("parquet", "arrow"):
        from assay.io.tables import read_table

        yield from read_table(piece, fields, columns)
    elif piece.shard.holds == "pictures":
        from assay.io.pictures import read_pictures

        yield from read_pictures(piece, fields, columns)
    elif piece.shard.format == "webdataset":
        from assay.io.webdataset import read_webdataset

        yield from read_webdataset(piece, fields, columns)
    elif piece.shard.format == "text":
        from assay.io.plain import read_text

        yield from read_text(piece, columns, fields.max_line)
    else:
        yield from _read_json(piece, fields, columns)


def read_texts(piece: Piece, spans: Int64[np.ndarray, "b 3"]) -> Iterator[Texts]:
    """The texts of some rows of a piece, in order, by their `Block.text_spans`, in blocks."""
    starts, stops = spans[:, 0], spans[:, 0] + spans[:, 1]
    first = 0
    with open_read(piece.shard.path) as file:
        while first < len(spans):
            begin = int(starts[first])
            last = max(first + 1, int(np.searchsorted(stops, begin + BLOCK, side="right")))
            data = np.empty(int(stops[last - 1]) - begin + PAD, np.uint8)
            file.seek(begin)
            if fill(file, data, len(data) - PAD) < len(data) - PAD:
                raise InputError(
                    f"{piece.shard.path} is shorter than when it was counted; select again from the pool as it is now"
                )
            inside = slice(first, last)
            yield gathered(data, starts[inside] - begin, stops[inside] - begin, spans[inside, 2])
            first = last


def read_rows(shard: Shard, fields: Fields, columns: Sequence[str], spans: Int64[np.ndarray, "k 2"]) -> Batch:
    """Some rows of an uncompressed file of JSON lines, by `Block.spans`, without reading what lies between; numbered from 0."""
    with open_read(shard.path) as file:
        lines = bytearray()
        for offset, length in spans.tolist():
            file.seek(offset)
            lines += file.read(length) + b"\n"
    data, stop = padded(lines)
    return Scanner(fields, columns).block(Lines(data, stop, 0), 0, 0).batch


def _read_json(piece: Piece, fields: Fields, columns: Sequence[str]) -> Iterator[Block]:
    scanner = Scanner(fields, columns)
    row, line = 0, 0
    for item in shard_lines(piece.shard, piece.start, piece.stop, fields.max_line):
        for part in few(item) if isinstance(item, Lines) else (item,):
            block = (
                scanner.block(part, row, line)
                if isinstance(part, Lines)
                else unreadable(part, row, line, fields, columns)
            )
            row += block.count
            line += block.lines
            yield block


def _flat(paths: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wanted paths as the kernel takes them: all names, where each ends, how many each path has."""
    names = [name.encode() for path in paths for name in path]
    ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
    return np.frombuffer(b"".join(names), np.uint8), ends, np.cumsum([0, *map(len, paths)], dtype=np.int64)


@final
class Scanner:
    """Turns blocks of JSON lines into `Block`s; made once for a piece."""

    def __init__(self, fields: Fields, columns: Sequence[str]):
        self.fields, self.columns = fields, tuple(columns)
        self.parts = fields.parts
        self.codes = (*_CODES, too_long(fields))
        texts = [name for _, name in self.parts if name]
        others = {
            name: {"id": fields.id, "source": fields.source}.get(name, name) for name in columns if name != "text"
        }
        self.paths = list(dict.fromkeys([*texts, *(path for path in others.values() if path)]))
        self.where = {name: self.paths.index(path) if path else -1 for name, path in others.items()}
        self.wanted = _flat([path.split(".") for path in self.paths])
        literals = [literal.encode() for literal, _ in self.parts]
        self.literals = np.frombuffer(b"".join(literals) + bytes(PAD), np.uint8)
        self.literal_ends = np.cumsum([0, *map(len, literals)])

    def block(self, item: Lines, row: int, line: int) -> Block:
        """Read whole lines, the first of which is line `line` (from 0) and row `row` of the piece."""
        data, stop = item.data, item.stop
        most = kernel.count_lines(data, stop)
        lines = np.empty((most, 4), np.int64)
        found = np.empty((most, len(self.paths), 4), np.int64)
        count, physical = kernel.scan(data, stop, self.fields.max_line, *self.wanted, lines, found)
        lines, found = lines[:count], found[:count]
        texts, reasons = self._texts(data, lines[:, 0], found)
        bad = [
            self._bad(item, row + at, line + 1 + int(lines[at, 1]), lines[at, 2:], reason)
            for at, reason in sorted(reasons.items())
        ]
        good = np.ones(count, bool)
        good[list(reasons)] = False
        kept = np.flatnonzero(good)
        columns: dict[str, Column] = {"text": texts}
        for name, path in self.where.items():
            columns[name] = self._column(data, name, found[kept, path] if path >= 0 else None, len(kept))
        block = block_of(count, physical, lines[:, 1] + line + 1, tuple(bad), kept + row, columns)
        spans = np.stack([lines[:, 2] + item.offset, lines[:, 3] - lines[:, 2]], axis=1)
        return replace(block, spans=spans, text_spans=self._text_spans(item, found, kept))

    def _text_spans(self, item: Lines, found: np.ndarray, kept: np.ndarray) -> Int64[np.ndarray, "b 3"] | None:
        """Where the text of each good row lies in the file; None where it is put together from several places."""
        if self.fields.template is not None or self.fields.form == "turns":
            return None
        path = self.paths.index(self.parts[0][1])
        if (found[kept, path, 0] != token.STRING).any():
            return None
        spans = np.zeros((len(found), 3), np.int64)
        _, starts, stops, flags = found[kept, path].T
        spans[kept] = np.stack([starts + item.offset, stops - starts, flags], axis=1)
        return spans

    def _bad(self, item: Lines, row: int, line: int, span: Int64[np.ndarray, "2"], reason: str) -> Bad:
        raw = item.data[span[0] : span[1]].tobytes()
        return Bad(row, line, reason, raw[:HEAD], item.offset + int(span[0]), len(raw), digest(raw))

    def _texts(
        self, data: UInt8[np.ndarray, "m"], codes: np.ndarray, found: np.ndarray
    ) -> tuple[Texts, dict[int, str]]:
        """The texts of the readable rows, and why the others are not readable."""
        reasons = {int(at): self.codes[codes[at]] for at in np.flatnonzero(codes)}
        used = [self.paths.index(name) for _, name in self.parts if name]
        plain = self.fields.template is None
        kinds, flags = found[:, used, 0], found[:, used, 3]
        is_text = kinds == token.STRING
        refused = ~is_text if plain else (kinds == token.MISSING)
        lone = is_text & (flags & token.LONE > 0)
        for at in np.flatnonzero((refused | lone).any(axis=1) & (codes == 0)):
            if plain and kinds[at, 0] == token.ARRAY:
                continue
            reasons[int(at)] = self._reason(used, kinds[at], lone[at])
        chats = {}
        if plain and (kinds == token.ARRAY).any():
            chats = _chats(data, found[:, used[0]], codes, reasons, self.fields.form)
        good = np.ones(len(found), bool)
        good[list(reasons)] = False
        texts = (
            self._joined(data, found[good][:, used])
            if not chats
            else _mixed(data, found[:, used[0]], good, chats, self.fields.form)
        )
        empty = texts.sizes == sum(map(len, (literal.encode() for literal, _ in self.parts)))
        if empty.any():
            reasons.update((int(at), EMPTY) for at in np.flatnonzero(good)[empty])
            texts = texts.take(~empty)
        return texts, reasons

    def _reason(self, used: list[int], kinds: np.ndarray, lone: np.ndarray) -> str:
        for position, path in enumerate(used):
            name, kind = self.paths[path], _KINDS[kinds[position]]
            if kinds[position] == token.MISSING:
                return f"the field {name!r} is missing"
            if lone[position]:
                return LONE_SURROGATE
            if self.fields.template is None and kinds[position] != token.STRING:
                return f"the field {name!r} must be a string, but is {kind}"
        raise AssertionError("asked for the reason of a readable row")

    def _joined(self, data: UInt8[np.ndarray, "m"], found: np.ndarray) -> Texts:
        """The text fields of each row with the template's literals before, between and after them."""
        if len(self.parts) == 1 and not self.literals.size > PAD:
            return gathered(data, *found[:, 0].T[1:])
        both = np.concatenate([data, self.literals])
        spans = np.zeros((len(found), 2 * len(self.parts), 4), np.int64)
        field = 0
        for part, (_, name) in enumerate(self.parts):
            spans[:, 2 * part, 1:3] = self.literal_ends[part : part + 2] + len(data)
            if name:
                spans[:, 2 * part + 1] = found[:, field]
                absent = found[:, field, 0] == token.NULL
                spans[absent, 2 * part + 1, 1:] = 0
                field += 1
        pieces = gathered(both, *spans.reshape(-1, 4).T[1:])
        if self.fields.form == "turns":
            _blank_marks(pieces)
        return Texts(pieces.data, pieces.offsets[:: 2 * len(self.parts)].copy())

    def _column(self, data: UInt8[np.ndarray, "m"], name: str, found: np.ndarray | None, size: int) -> Column:
        if name in ("id", "source"):
            if found is None:
                return Texts(np.zeros(0, np.uint8), np.zeros(size + 1, np.int64))
            spans = found.copy()
            spans[(found[:, 0] == token.MISSING) | (found[:, 0] >= token.NULL), 1:] = 0
            return gathered(data, *spans.T[1:])
        if found is None:
            return np.full(size, np.nan)
        return np.array(
            [number(kind, data[start:stop].tobytes()) for kind, start, stop, _ in found.tolist()], np.float64
        )


def gathered(
    data: UInt8[np.ndarray, "m"],
    starts: Int64[np.ndarray, "b"],
    stops: Int64[np.ndarray, "b"],
    flags: Int64[np.ndarray, "b"],
) -> Texts:
    """The values that lie at these places, escapes undone."""
    starts, stops, flags = np.ascontiguousarray([starts, stops, flags])
    out = np.empty(int((stops - starts).sum()) + PAD, np.uint8)
    offsets = np.empty(len(starts) + 1, np.int64)
    kernel.gather(data, starts, stops, flags, out, offsets)
    return Texts(out[: offsets[-1]], offsets)


def _blank_marks(pieces: Texts) -> None:
    """Spaces for what marks turns, in place, in the fields: every other piece, each after a literal."""
    marks = np.flatnonzero((pieces.data >= 1) & (pieces.data <= 3))
    inside = np.searchsorted(pieces.offsets, marks, side="right") - 1
    pieces.data[marks[inside % 2 == 1]] = ord(" ")


def _chats(
    data: np.ndarray, found: np.ndarray, codes: np.ndarray, reasons: dict[int, str], form: Form
) -> dict[int, bytes]:
    """The rendered chats of the rows whose text field holds a list; why it is no chat goes to `reasons`."""
    chats = {}
    for at in np.flatnonzero((found[:, 0] == token.ARRAY) & (codes == 0)).tolist():
        text = render_chat(json.loads(data[found[at, 1] : found[at, 2]].tobytes()), form)
        try:
            if text is None:
                reasons[at] = "the text must be a string, or a chat: a list of turns, each with a role and a content"
            else:
                chats[at] = text.encode()
        except UnicodeEncodeError:
            reasons[at] = LONE_SURROGATE
    return chats


def _mixed(data: np.ndarray, found: np.ndarray, good: np.ndarray, chats: dict[int, bytes], form: Form) -> Texts:
    """Texts of the good rows where some are chats and some are plain strings."""
    strings: dict[int, Any] = {}
    plain = np.flatnonzero(good & (found[:, 0] == token.STRING))
    texts = gathered(data, *found[plain].T[1:])
    for position, at in enumerate(plain.tolist()):
        strings[at] = texts.data[texts.offsets[position] : texts.offsets[position + 1]].tobytes()
        if form == "turns":
            strings[at] = f"{DOCUMENT}{unmarked(strings[at].decode())}{ETX}".encode()
    return Texts.of_bytes([chats.get(at) if at in chats else strings[at] for at in np.flatnonzero(good).tolist()])
