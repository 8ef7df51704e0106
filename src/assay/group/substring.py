"""Spans of 50 and more tokens that stand elsewhere too: the share of a document that is copied, wherever it was put.

    window       `tokens` tokens in a row (W); a token is a run of non-white bytes, or a Chinese, Japanese or Korean
                 character; tokens are compared byte for byte, white space is not compared
    original     of all places of equal windows, the first in the preferred document (the smallest `order`)
    substring(x) = tokens of x that stand in a window whose original is elsewhere / tokens of x
    substring_of = the document that holds the originals of most of its windows (ties: the most preferred); -1: none

Elsewhere is another document, or, with `seen = "anywhere"`, also an earlier place of the same one. A token is in a span
of at least W tokens that occurs twice if and only if it is in a window that does: so this is what a suffix array gives,
and longer spans count in full.

Two shuffles, both by content. First the anchors of the windows (`kernels/windows.py`), about one record of 20 bytes for 13
tokens; then 20 bytes for each window whose anchor occurs twice. In memory one bit for each token of documents that have
such a window, and a sieve of anchors of a sixteenth of what the engine allows: where it is full, more is written to
disk, and nothing is missed.

Guarantee: exact but for collisions of 64-bit hashes; given `order`, the same whatever the order of the pool, its layout
and the number of workers. Nothing is edited.
Source: Lee et al., Deduplicating training data makes language models better, 2022, https://arxiv.org/abs/2107.06499
(there tokens of a vocabulary, and all copies are cut out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Int, Int64, Shaped, UInt64

from assay.contracts import Engine, Grouper, Rows
from assay.errors import RecipeError
from assay.group._holders import Holders, share
from assay.kernels import windows as kernel
from assay.kernels.parts import shared_keys
from assay.types import Batch, Groups, Signals

_ANCHOR = np.dtype([("key", np.uint64), ("row", np.int64), ("tokens", np.int32)])
_WINDOW = np.dtype([("key", np.uint64), ("row", np.int64), ("place", np.int32)])


@final
@dataclass(frozen=True)
class Substring(Grouper):
    """Share of a document's tokens that are spans of preferred documents.

    `tokens` is the length from which a span counts (8 to 10,000; the paper has 50); `seen` is `others`, or `anywhere`:
    then a document that repeats itself is covered from the second time on, and may be named as its own holder.

    >>> Substring().tokens
    50
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/2107.06499"
    gives: ClassVar[Literal["groups", "share"]] = "share"

    tokens: int = 50
    seen: str = "others"

    def __post_init__(self) -> None:
        if not 8 <= self.tokens <= 10_000:
            raise RecipeError(f"substring: tokens must be from 8 to 10000; got {self.tokens}")
        if self.seen not in _COMBINE:
            raise RecipeError(f"substring: seen must be one of {', '.join(_COMBINE)}; got {self.seen!r}")

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """Signals `substring` (n,), from 0 to 1, and `substring_of` (n,), a row or -1."""
        order = signals["order"]
        totals, sieve = self._anchors(pool, len(order), engine)
        emit, windows = _Windows(self.tokens, sieve), np.zeros(len(order), np.int64)
        held, holder = np.zeros(len(order), np.int64), np.full(len(order), -1)
        low = 0
        while low < len(order):
            table = Holders.within(engine.memory, low, _fitting(totals, low, engine.memory // 4))
            first = np.concatenate([np.zeros(1, np.int64), np.cumsum(totals[low : table.high])])
            bits = np.zeros(int(first[-1]) // 64 + 1, np.uint64)
            for records in engine.shuffle(pool, emit, _COMBINE[self.seen]):
                _tally(records, order, self.seen, table, first, bits)
            table.into(order, windows, holder)
            kernel.covered(bits, first[: table.high - low + 1], self.tokens, held[low : table.high])
            low = table.high
        return None, Signals({"substring": share(held, totals), "substring_of": holder})

    def _anchors(self, pool: Rows, n: int, engine: Engine) -> tuple[Int64[np.ndarray, "n"], UInt64[np.ndarray, "z"]]:
        """Tokens of the rows that have a repeated anchor, 0 for the others; and a sieve that lets those anchors through."""
        totals, sieve, count = np.zeros(n, np.int64), kernel.empty_sieve(engine.memory // 16), 0
        for records in engine.shuffle(pool, _Anchors(self.tokens), _COMBINE[self.seen]):
            totals[records["row"]] = records["tokens"]
            keys = np.unique(records["key"])
            kernel.fill_sieve(sieve, keys)
            count += len(keys)
        return totals, kernel.folded_sieve(sieve, count)


def _fitting(totals: Int64[np.ndarray, "n"], low: int, memory: int) -> int:
    """The row until which one bit a token fits; at least one row does."""
    bits = np.cumsum(totals[low:])
    return low + max(int(np.searchsorted(bits, memory * 8, side="right")), 1)


def _tally(
    records: Shaped[np.ndarray, "r"],
    order: Int[np.ndarray, "n"],
    seen: str,
    table: Holders,
    first: Int64[np.ndarray, "n_plus_1"],
    bits: UInt64[np.ndarray, "z"],
) -> None:
    """Mark the windows whose original is elsewhere, and count them for who holds it."""
    row, place = records["row"], records["place"]
    original = kernel.originals(records["key"], order[row].astype(np.int64), place)
    holders = row[original]
    mine = original != np.arange(len(row)) if seen == "anywhere" else row != holders
    mine &= (row >= table.low) & (row < table.low + len(first) - 1)
    row, place, holders = row[mine], place[mine], holders[mine]
    kernel.set_bits(bits, (first[row - table.low] + place).astype(np.uint64))
    table.add(row, holders, (row != holders).astype(np.int64))


def _twice(records: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "r"]:
    """The records whose key another record has too."""
    same = records["key"][1:] == records["key"][:-1]
    return records[np.concatenate([[False], same]) | np.concatenate([same, [False]])]


def _in_two_rows(records: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "r"]:
    """The records whose key another row has too."""
    keys, rows = np.ascontiguousarray(records["key"]), np.ascontiguousarray(records["row"])
    return records[shared_keys(keys, rows, 2)]


_COMBINE = {"others": _in_two_rows, "anywhere": _twice}


@final
@dataclass(frozen=True)
class _Anchors:
    """The records of a batch's anchors; a gram is half a window, so that few anchors repeat by chance."""

    tokens: int

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        keys, texts, totals = kernel.anchors(batch.text.data, batch.text.offsets, self.tokens, self.tokens // 2)
        records = np.empty(len(keys), _ANCHOR)
        records["key"], records["row"], records["tokens"] = keys, batch.rows[texts], totals[texts]
        return records


@final
@dataclass(frozen=True)
class _Windows:
    """The records of those windows of a batch whose anchor the sieve lets through."""

    tokens: int
    sieve: UInt64[np.ndarray, "z"]

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        text = batch.text
        keys, texts, places = kernel.windows(text.data, text.offsets, self.tokens, self.tokens // 2, self.sieve)
        records = np.empty(len(keys), _WINDOW)
        records["key"], records["row"], records["place"] = keys, batch.rows[texts], places
        return records
