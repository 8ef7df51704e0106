"""Supervised fastText models, as the library writes them: `.bin`, and `.ftz`, which is quantised and perhaps pruned.

    magic, version, arguments, dictionary (entries, then the numbers of the hashed rows that pruning kept),
    quantised?, input matrix (words, then hashed rows), output quantised?, output matrix (labels, or nodes of the tree)

Versions 11 and 12 are read (every release since 2016 but the first). A quantised matrix is, for every row, one byte for
each part of the row: which of 256 centroids stands there, and perhaps one for its length (Joulin, Grave, Bojanowski,
Douze, Jégou and Mikolov, FastText.zip, 2016, https://arxiv.org/abs/1612.03651).

What is kept is what the kernels read. A probability needs only <x, w_l> of the mean x of rows, and the mean of products
is the product of means: so where there are fewer labels than dimensions, every row is multiplied with w here, once, and
a row is as wide as there are labels (two labels under softmax: one number, the difference).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped, UInt8

from assay.errors import InputError
from assay.io import files, store
from assay.kernels import fasttext, fasttext_loss
from assay.kernels.fasttext import Tables

_MAGIC, _VERSIONS = 793712314, (11, 12)
_LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
_SUPERVISED = 3
_PREFIX = "__label__"
_LANES, _PART = 8, 1 << 16
_MOST_BUCKETS = 100_000_000  # the library's default is two million
_LONGEST = 1024  # characters of a subword; the library's default is 6
_MOST_WORDS = 64  # of an n-gram; the library's default is 1, and every row costs as many steps a word
_CENTROIDS = 256


@final
@dataclass(frozen=True)
class FastText:
    """A model ready to use: `labels` without their prefix, `loss` (softmax, hs, ns, ova), and the kernels' tables.

    `output (g, d)` is flat and empty where the rows are multiplied already; `tree` is empty but for hs.
    """

    labels: tuple[str, ...]
    loss: str
    tables: Tables
    output: Float32[np.ndarray, "d"]
    tree: tuple[Int32[np.ndarray, "q"], ...]


def load(path: str) -> FastText:
    """The model at `path`; InputError where the file is not a whole supervised fastText model."""
    raw = np.frombuffer(files.read_bytes(path), np.uint8) if files.is_url(path) else _mapped(path)
    source = _Source(path, raw)
    settings = _settings(source)
    words = _words(source)
    lookup = _lookup(source, words.kept, settings["bucket"])
    quantised = bool(source.number("u1"))
    rows = _quantised(source) if quantised else _dense(source)
    output = _quantised(source) if source.number("u1") and quantised else _dense(source)
    return _assemble(source, settings, words, lookup, rows, output)


def _mapped(path: str) -> UInt8[np.ndarray, "m"]:
    with files.open_read(path):  # says so in a sentence where it cannot
        return store.mapped_bytes(Path(path))


@final
@dataclass
class _Source:
    """Bytes, and how far they are read."""

    path: str
    data: UInt8[np.ndarray, "m"]
    at: int = 0

    def wrong(self, why: str) -> str:
        return (
            f"{self.path!r} must be a supervised fastText model (.bin or .ftz), written whole by the fasttext library; "
            f"{why}; copy it anew, or name another file"
        )

    def take(self, kind: str, count: int) -> Shaped[np.ndarray, "k"]:
        size = np.dtype(kind).itemsize * count
        if count < 0 or self.at + size > len(self.data):
            raise InputError(self.wrong(f"it ends at byte {len(self.data):,}, where {self.at + max(size, 0):,} are needed"))
        self.at += size
        return np.frombuffer(self.data, kind, count, self.at - size)

    def number(self, kind: str) -> int:
        return int(self.take(kind, 1)[0])


def _settings(source: _Source) -> dict[str, int]:
    """The arguments that scoring depends on."""
    if len(source.data) < 8 or source.number("<i4") != _MAGIC:
        raise InputError(source.wrong("it does not begin as one"))
    version = source.number("<i4")
    if version not in _VERSIONS:
        raise InputError(source.wrong(f"it is of version {version}, and versions 11 and 12 can be read"))
    names = ("dim", "ws", "epoch", "minCount", "neg", "wordNgrams", "loss", "model", "bucket", "minn", "maxn", "rate")
    settings = dict(zip(names, map(int, source.take("<i4", len(names))), strict=True))
    source.take("<f8", 1)  # the threshold of sampling
    if settings["model"] != _SUPERVISED:
        raise InputError(source.wrong("it holds word vectors (skipgram or cbow), which have no labels"))
    limits = {"dim": (1, 1 << 20), "loss": (1, 4), "bucket": (0, _MOST_BUCKETS), "maxn": (-1, _LONGEST)}
    limits["wordNgrams"] = (-(1 << 31), _MOST_WORDS)
    for name, (least, most) in limits.items():
        if not least <= settings[name] <= most:
            raise InputError(source.wrong(f"its {name} is {settings[name]}, and must be from {least} to {most}"))
    if version == 11:
        settings["maxn"] = 0  # as the library does: supervised models had no subwords then
    return settings


@final
@dataclass(frozen=True)
class _Words:
    slots: np.ndarray
    labels: tuple[str, ...]
    often: Int64[np.ndarray, "g"]
    words: int
    eos: int
    kept: int


def _words(source: _Source) -> _Words:
    """The dictionary: words, then labels."""
    size, words, labels = (int(value) for value in source.take("<i4", 3))
    _, kept = (int(value) for value in source.take("<i8", 2))
    if size != words + labels or min(words, labels) < 0 or not 10 * size <= len(source.data):
        raise InputError(source.wrong(f"it claims {size} entries, {words} words and {labels} labels"))
    if labels == 0:
        raise InputError(source.wrong("it has no label"))
    starts, stops, often, kinds, end = fasttext.scan_entries(source.data, source.at, size)
    if end < 0:
        raise InputError(source.wrong("it ends within its dictionary"))
    if kinds[:words].any() or not (kinds[words:] == 1).all():
        raise InputError(source.wrong("its dictionary does not list words first, then labels"))
    begin, source.at = source.at, end
    entries = np.concatenate([source.data[begin:end], np.zeros(fasttext.PAD, np.uint8)])
    slots = np.zeros(2 << max(int(size * 1.5), 1).bit_length(), np.uint64)
    fasttext.fill_slots(entries, starts - begin, stops - begin, slots)
    texts = [bytes(entries[start - begin : stop - begin]) for start, stop in zip(starts[words:], stops[words:], strict=True)]
    names = tuple(text.decode("utf-8", "replace").removeprefix(_PREFIX) for text in texts)
    ends = np.flatnonzero(stops[:words] - starts[:words] == 4)
    eos = [int(word) for word in ends if bytes(source.data[starts[word] : stops[word]]) == b"</s>"]
    return _Words(slots, names, often[words:], words, eos[0] if eos else -1, kept)


def _lookup(source: _Source, kept: int, bucket: int) -> Int32[np.ndarray, "d"] | None:
    """Which rows the hashed features have: None all of them, else their number or -1."""
    if kept < 0:
        return None
    pairs = source.take("<i4", 2 * kept).reshape(-1, 2)
    if kept and (pairs.min() < 0 or pairs[:, 0].max() >= bucket or pairs[:, 1].max() >= kept):
        raise InputError(source.wrong("its list of kept rows names one that is not there"))
    lookup = np.full(bucket, -1, np.int32)
    lookup[pairs[:, 0]] = pairs[:, 1]
    return lookup


@final
@dataclass(frozen=True)
class _Matrix:
    rows: int
    columns: int
    part: Callable[[int, int], Shaped[np.ndarray, "k d"]]


def _dense(source: _Source) -> _Matrix:
    rows, columns = (int(value) for value in source.take("<i8", 2))
    if min(rows, columns) < 0:
        raise InputError(source.wrong(f"it has a matrix of {rows} rows and {columns} columns"))
    values = source.take("<f4", rows * columns).reshape(rows, columns)
    return _Matrix(rows, columns, lambda start, stop: values[start:stop])


def _quantised(source: _Source) -> _Matrix:
    normed = source.number("u1")
    rows, columns = (int(value) for value in source.take("<i8", 2))
    codes = source.take("u1", source.number("<i4"))
    centroids, parts = _centroids(source)
    if min(rows, columns) < 1 or sum(parts) != columns or len(codes) != rows * len(parts):
        raise InputError(source.wrong(f"its {rows} rows of {columns} columns and {len(codes)} codes do not fit one another"))
    codes = codes.reshape(rows, len(parts))
    lengths = source.take("u1", rows) if normed else None
    scale = _centroids(source)[0][0] if normed else None

    def part(start: int, stop: int) -> Float32[np.ndarray, "k d"]:
        found = [table[codes[start:stop, place]] for place, table in enumerate(centroids)]
        block = np.concatenate(found, axis=1)
        return block if lengths is None else block * scale[lengths[start:stop]]

    return _Matrix(rows, columns, part)


def _centroids(source: _Source) -> tuple[list[Float32[np.ndarray, "256 d"]], list[int]]:
    """For each part of a row its 256 centroids, and how long the parts are."""
    width, count, size, last = (int(value) for value in source.take("<i4", 4))
    if min(width, count, size, last) < 1 or (count - 1) * size + last != width:
        raise InputError(source.wrong(f"it has a quantiser of {count} parts of {size} (the last {last}) for {width} columns"))
    values = source.take("<f4", width * _CENTROIDS).astype(np.float32)
    parts, at = [size] * (count - 1) + [last], 0
    tables = []
    for part in parts:
        tables.append(values[at : at + part * _CENTROIDS].reshape(_CENTROIDS, part))
        at += part * _CENTROIDS
    return tables, parts


def _assemble(
    source: _Source, settings: dict[str, int], words: _Words, lookup: Any, rows: _Matrix, output: _Matrix
) -> FastText:
    loss, labels = _LOSSES[settings["loss"]], len(words.labels)
    empty = lookup is not None and words.kept == 0  # all hashed rows were pruned
    order, maxn = (1, 0) if empty else (max(settings["wordNgrams"], 1), max(settings["maxn"], 0))
    hashed = words.kept if lookup is not None else settings["bucket"] if order > 1 or maxn > 0 else 0
    if rows.columns != settings["dim"] or output.columns != settings["dim"] or output.rows != labels:
        raise InputError(source.wrong("its matrices do not fit its dictionary"))
    if rows.rows < words.words + hashed or (hashed == 0 and (order > 1 or maxn > 0)):
        raise InputError(source.wrong(f"it has {rows.rows} rows for {words.words} words and {hashed} hashed features"))
    weights, width = _weights(output.part(0, labels), loss)
    table = _table(rows, weights, width)
    bucket = max(settings["bucket"], 1)
    remap = np.zeros(0, np.int32) if lookup is None else lookup
    tables = Tables(
        words.slots, table, remap, width, words.words, words.eos, bucket, order, max(settings["minn"], 0), maxn
    )
    flat = np.zeros(0, np.float32) if weights is not None else _wide(output.part(0, labels)).reshape(-1)
    tree = fasttext_loss.grow_tree(words.often) if loss == "hs" else ()
    return FastText(words.labels, loss, tables, flat, tree)


def _weights(output: Shaped[np.ndarray, "g d"], loss: str) -> tuple[Float32[np.ndarray, "g d"] | None, int]:
    """What rows are to be multiplied with (None: left as they are), and how wide they will be."""
    output = output.astype(np.float32)
    if len(output) == 2 and loss == "softmax":
        return _wide(output[:1] - output[1:]), 1
    if len(output) == 2 and loss == "hs":
        return _wide(output[:1]), 1
    if _rounded(len(output)) < _rounded(output.shape[1]):
        return _wide(output), _rounded(len(output))
    return None, _rounded(output.shape[1])


def _table(rows: _Matrix, weights: Float32[np.ndarray, "g d"] | None, width: int) -> Float32[np.ndarray, "d"]:
    """All rows, flat and `width` wide, each beginning on a cache line if it is as long as one."""
    memory = np.zeros(rows.rows * width + 32, np.float32)
    table = memory[-(memory.ctypes.data // 4) % 16 :][: rows.rows * width + 8]
    for start in range(0, rows.rows, _PART):
        stop = min(start + _PART, rows.rows)
        if weights is None:
            table[: rows.rows * width].reshape(-1, width)[start:stop, : rows.columns] = rows.part(start, stop)
        else:
            fasttext_loss.multiply(_wide(rows.part(start, stop)), weights, table, start, width)
    return table


def _rounded(size: int) -> int:
    return -(-size // _LANES) * _LANES


def _wide(block: Shaped[np.ndarray, "k d"]) -> Float32[np.ndarray, "k d"]:
    """A copy whose last axis is a multiple of 8."""
    wide = np.zeros((len(block), _rounded(block.shape[1])), np.float32)
    wide[:, : block.shape[1]] = block
    return wide
