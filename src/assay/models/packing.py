"""Best-fit packing: whole documents side by side in rows of one length, none cut that need not be, none seeing another.

    pieces    documents; one longer than `context` is cut into pieces of `context` first
    bins      pieces by falling size, each where it leaves the least room (best-fit decreasing, O(n log context)):
              Ding et al. 2024, Fewer Truncations Improve Language Modeling, https://arxiv.org/abs/2404.10830
    steps     as many as the symbols make, one for every rows x context of them: equal for arms of equal units, however
              well each packs. The bins of a window are dealt out evenly, in an order that knows nothing of them; rows
              that are left over in a step are empty and bear no loss

Every symbol is the target of exactly one place, read only (-1, no loss) where it is context. The input of a place is the
symbol before it in its document, of a document's first the symbol `begin`: so a document has the loss in a packed row
that it has alone. Pieces are numbered in each row (`segments`); attention and positions must not reach over them.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple, final

import numpy as np
from jaxtyping import Int64

from assay.kernels.draws import uniform
from assay.models.stream import Batch
from assay.types import Sequences

WINDOW = 4096  # documents that are packed together: more pack hardly better, and must be held in memory
_KEY = 0x9AC4 << 32  # of the order in which bins are dealt out


@final
class Packing(NamedTuple):
    """Where each piece lies: its bin, its first column there, and how many pieces are before it in that bin."""

    bins: Int64[np.ndarray, "r"]
    columns: Int64[np.ndarray, "r"]
    places: Int64[np.ndarray, "r"]
    count: int


def best_fit(sizes: Int64[np.ndarray, "r"], context: int) -> Packing:
    """Pieces of at most `context` symbols in as few bins of `context` as best-fit decreasing needs.

    >>> best_fit(np.array([3, 5, 4, 2]), 7).bins.tolist()
    [1, 0, 1, 0]
    """
    spaces: list[int] = []  # the room left in bins that are not full: sorted, each amount once
    having: dict[int, list[int]] = {}  # the bins that have it
    held: list[int] = []
    found = np.zeros((3, len(sizes)), np.int64)
    for piece in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[piece])
        at = bisect_left(spaces, size)
        room = spaces[at] if at < len(spaces) else context
        if at < len(spaces):
            one = having[room].pop()
        else:
            one = len(held)
            held.append(0)
        found[:, piece] = one, context - room, held[one]
        held[one] += 1
        if at < len(spaces) and not having[room]:
            del spaces[at], having[room]
        if room > size:
            if room - size not in having:
                insort(spaces, room - size)
            having.setdefault(room - size, []).append(one)
    return Packing(*found, len(held))


def packed(
    blocks: Iterator[Sequences], context: int, rows: int, begin: int = 0, window: int = WINDOW
) -> Iterator[Batch]:
    """The documents of `blocks` as steps of at least `rows` rows of `context`; a later step may have more, never fewer."""
    height = rows
    for documents, steps in _windows(blocks, rows * context, window):
        whole, count = _laid(documents, context, begin)
        height = max(height, -(-count // steps))
        for step in range(steps):
            first, stop = count * step // steps, count * (step + 1) // steps
            yield _padded(Batch(*(each[first:stop] for each in whole)), height, begin)


def _windows(blocks: Iterator[Sequences], step: int, least: int) -> Iterator[tuple[Sequences, int]]:
    """At least `least` documents at a time, and how many steps are theirs: together as many as all symbols make."""
    held, documents, seen, done = [], 0, 0, 0
    for block in blocks:
        # Only when more comes: the last window has the step that is left over, and needs documents for it.
        if documents >= least and seen // step > done:
            yield _together(held), seen // step - done
            held, documents, done = [], 0, seen // step
        held.append(block)
        documents, seen = documents + len(block), seen + int(block.offsets[-1] - block.offsets[0])
    if -(-seen // step) > done:
        yield _together(held), -(-seen // step) - done


def _together(blocks: list[Sequences]) -> Sequences:
    data = np.concatenate([block.data[block.offsets[0] : block.offsets[-1]] for block in blocks])
    sizes = np.concatenate([block.sizes for block in blocks])
    return Sequences(data, np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)]))


def _laid(documents: Sequences, context: int, begin: int) -> tuple[Batch, int]:
    """All bins of a window, in the order in which they are dealt out, and how many there are."""
    starts, sizes = pieces(documents, context)
    packing = best_fit(sizes, context)
    rank = np.empty(packing.count, np.int64)
    rank[np.argsort(uniform(_KEY, np.arange(packing.count, dtype=np.uint64)), kind="stable")] = np.arange(packing.count)
    to = _spans(rank[packing.bins] * context + packing.columns, sizes)
    taken = _spans(starts, sizes)
    shape = (packing.count, context)
    symbols = np.asarray(documents.data, np.int64)
    before = np.concatenate([np.full(1, begin), np.where(symbols < 0, ~symbols, symbols)])[:-1]
    before[documents.offsets[:-1][documents.sizes > 0]] = begin
    inputs, targets = np.full(shape, begin, np.int64), np.full(shape, -1, np.int64)
    segments = np.repeat(np.bincount(packing.bins, minlength=packing.count)[np.argsort(rank)], context).reshape(shape)
    inputs.flat[to] = before[taken]
    targets.flat[to] = np.maximum(symbols, -1)[taken]
    segments.flat[to] = np.repeat(packing.places, sizes)
    return Batch(inputs, targets, segments), packing.count


def pieces(documents: Sequences, context: int) -> tuple[Int64[np.ndarray, "r"], Int64[np.ndarray, "r"]]:
    """Where the pieces of documents start, and their sizes: whole documents, or `context` symbols at a time.

    >>> pieces(Sequences(np.arange(9), np.array([0, 7, 9])), 3)[1].tolist()
    [3, 3, 1, 2]
    """
    counts = -(-documents.sizes // context)
    first = np.cumsum(counts) - counts
    starts = np.repeat(documents.offsets[:-1] - first * context, counts) + context * np.arange(int(counts.sum()))
    return starts, np.minimum(context, np.repeat(documents.offsets[1:], counts) - starts)


def _spans(starts: Int64[np.ndarray, "r"], sizes: Int64[np.ndarray, "r"]) -> Int64[np.ndarray, "m"]:
    """The positions of spans, one span after another."""
    return np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))


def _padded(batch: Batch, height: int, begin: int) -> Batch:
    """A step with empty rows to the same height as the others."""
    lacking = ((0, height - len(batch.inputs)), (0, 0))
    filled = ((batch.inputs, begin), (batch.targets, -1), (batch.segments, 0))
    return Batch(*(np.pad(each, lacking, constant_values=value) for each, value in filled))
