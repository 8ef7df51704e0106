"""Counts for a Kneser-Ney model over any small alphabet: sorted windows, folded once into a trie of contexts.

A window is a symbol to predict and the symbols before it, back to the boundary that begins the document. It is packed
into 64-bit words, nearest symbol first, the predicted one last. Once windows are sorted, every context of every length
is one run, so a single pass with one scratch row for each length is enough: when a context h ends, each follower w it
has seen adds one to w in the context one symbol shorter. That number of distinct left neighbours is the continuation
count

    N1+(. h w) = |{x : c(x h w) > 0}|

of Kneser & Ney (1995, https://doi.org/10.1109/ICASSP.1995.479394). Only the longest contexts, and those that begin a
document (nothing stands left of them), keep raw counts. Nothing is hashed, so nothing collides; counts are sums, so the
order of documents is irrelevant; time is linear in text times order, besides the sort.

Trie: nodes of one length stand together, in the order of their contexts, so the children of a node are one run; node 0
is the empty context. Over nodes (q,): `symbol` (of its context, the farthest from the prediction), `child` (q + 1,
where its run of children starts), `follower` and `width` (start and length of its run of followers). Over followers
(f,): `symbols`, ascending within a node, and `counts`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64, Integer, UInt8, UInt16, UInt64
from numba import njit


class Packing(NamedTuple):
    """How windows of `order` symbols lie in words: `bits` for each symbol, `each` symbols a word."""

    order: int
    bits: int
    each: int


class Trie(NamedTuple):
    """Contexts and the counts of what followed them; see the head of this file."""

    first: Int64[np.ndarray, "order_plus_1"]  # first node of each context length, then the number of nodes
    symbol: UInt16[np.ndarray, "q"]
    child: Int32[np.ndarray, "q_plus_1"]
    follower: Int32[np.ndarray, "q"]
    width: UInt16[np.ndarray, "q"]
    symbols: UInt16[np.ndarray, "f"]
    counts: Int32[np.ndarray, "f"]


@njit(cache=True, nogil=True)
def windows(
    data: Integer[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], codes: UInt64[np.ndarray, "v"],
    boundaries: int, packing: Packing,
) -> UInt64[np.ndarray, "w c"]:  # fmt: skip
    """All windows, document by document, each document's end included.

    `codes[symbol]` is 1 or more and ascends; `codes[-1]` is the boundary's; 0 stands where nothing is, further back
    than the `boundaries` (at least 1) that begin a document.
    """
    order, bits, each = packing
    rows = offsets[-1] - offsets[0] + len(offsets) - 1
    keys, row = np.zeros((rows, (order + each - 1) // each), np.uint64), 0
    if order <= each:
        _slide(data, offsets, codes, boundaries, packing, keys[:, 0])
        return keys
    for document in range(len(offsets) - 1):
        start, stop = offsets[document], offsets[document + 1]
        for at in range(start, stop + 1):
            for place in range(order):
                source = at if place == order - 1 else at - 1 - place
                if source < start - boundaries:
                    continue
                code = codes[data[source]] if start <= source < stop else codes[-1]
                keys[row, place // each] |= code << np.uint64(bits * (each - 1 - place % each))
            row += 1
    return keys


@njit(cache=True, nogil=True)
def _slide(
    data: Integer[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], codes: UInt64[np.ndarray, "v"],
    boundaries: int, packing: Packing, keys: UInt64[np.ndarray, "w"],
) -> None:  # fmt: skip
    """Windows of one word, each made of the one before: the context moves one place back, the symbol read comes in front."""
    order, width, row = packing.order, np.uint64(packing.bits), 0
    front, kept = np.uint64(packing.bits * (order - 1)), ~np.uint64((1 << packing.bits) - 1)
    for document in range(len(offsets) - 1):
        start, stop, context = offsets[document], offsets[document + 1], np.uint64(0)
        for _ in range(min(boundaries, order - 1)):
            context = ((context >> width) & kept) | (codes[-1] << front)
        for at in range(start, stop + 1):
            code = codes[data[at]] if at < stop else codes[-1]
            keys[row] = context | code
            row += 1
            if order > 1:
                context = ((context >> width) & kept) | (code << front)


def pack(places: UInt64[np.ndarray, "w order"], packing: Packing) -> UInt64[np.ndarray, "w c"]:
    """Windows from a table of codes, nearest symbol first, the predicted one last; what `windows` does, in NumPy."""
    order, bits, each = packing
    keys = np.zeros((len(places), (order + each - 1) // each), np.uint64)
    for place in range(order):
        keys[:, place // each] |= places[:, place] << np.uint64(bits * (each - 1 - place % each))
    return keys


@njit(cache=True, nogil=True)
def _unpack(
    keys: UInt64[np.ndarray, "w c"], row: int, packing: Packing, codes: Int64[np.ndarray, "2 order"], side: int
) -> int:
    """Codes of a window into one side of a scratch table; returns its number of context symbols.

    The table holds this window and the one before, in turn: swapping two arrays would cost reference counts.
    """
    order, bits, each = packing
    mask, top, place, reach = np.uint64((1 << bits) - 1), np.uint64(bits * (each - 1)), 0, order - 1
    for column in range(keys.shape[1]):
        word, shift = keys[row, column], top
        for _ in range(min(each, order - place)):
            codes[side, place] = np.int64((word >> shift) & mask)
            if codes[side, place] == 0 and place < reach:
                reach = place
            shift -= np.uint64(bits)
            place += 1
    return reach


@njit(cache=True, nogil=True)
def _shared(codes: Int64[np.ndarray, "2 order"], reach: int) -> int:
    """Number of context symbols, from the nearest and up to `reach`, that two neighbouring windows have in common."""
    length = 0
    while length < reach and codes[0, length] == codes[1, length]:
        length += 1
    return length


@njit(cache=True, nogil=True)
def _neighbours(
    keys: UInt64[np.ndarray, "w c"], packing: Packing
) -> tuple[UInt8[np.ndarray, "w"], UInt8[np.ndarray, "w"]]:
    """Of each sorted window: context symbols that it shares with the one before, and how many it has.

    Zeros stand only behind a window's context, so the first place where two windows differ is where their words do.
    """
    order, bits, each = packing
    mask, top = np.uint64((1 << bits) - 1), bits * (each - 1)
    known, reach = np.zeros(len(keys), np.uint8), np.zeros(len(keys), np.uint8)
    for row in range(len(keys)):
        place = order - 1
        while (
            place > 0 and (keys[row, (place - 1) // each] >> np.uint64(top - bits * ((place - 1) % each))) & mask == 0
        ):
            place -= 1
        shared = 0
        for column in range(keys.shape[1] if row > 0 else 0):
            differ, shift = keys[row, column] ^ keys[row - 1, column], top
            if differ == 0:
                shared += each
                continue
            while differ >> np.uint64(shift) == 0:
                shared += 1
                shift -= bits
            break
        known[row], reach[row] = min(shared, place), place
    return known, reach


@njit(cache=True, nogil=True)
def _first_nodes(
    known: UInt8[np.ndarray, "w"], reach: UInt8[np.ndarray, "w"], order: int
) -> Int64[np.ndarray, "order_plus_1"]:
    """The first node of each context length, then the number of nodes: a window begins those from `known` + 1 to `reach`."""
    begun = np.zeros(order + 1, np.int64)
    for row in range(len(known)):
        begun[known[row]] += 1
        begun[reach[row]] -= 1
    first, fresh = np.zeros(order + 1, np.int64), 0
    first[1] = 1
    for length in range(1, order):
        fresh += begun[length - 1]
        first[length + 1] = first[length] + fresh
    return first


@njit(cache=True, nogil=True)
def _order(seen: UInt16[np.ndarray, "order v"], length: int, number: int) -> None:
    """Sort a scratch row in place, by insertion: rows are nearly sorted, and most hold one or two codes."""
    for end in range(1, number):
        code, at = seen[length, end], end
        while at > 0 and seen[length, at - 1] > code:
            seen[length, at] = seen[length, at - 1]
            at -= 1
        seen[length, at] = code


@njit(cache=True, nogil=True)
def _fill(
    keys: UInt64[np.ndarray, "w c"], packing: Packing, shared: UInt8[np.ndarray, "w"], reaches: UInt8[np.ndarray, "w"],
    fresh: Int64[np.ndarray, "order_plus_1"],
    symbol: UInt16[np.ndarray, "q"], child: Int32[np.ndarray, "q_plus_1"], follower: Int32[np.ndarray, "q"],
    width: UInt16[np.ndarray, "q"], symbols: UInt16[np.ndarray, "f"], counts: Int32[np.ndarray, "f"], alphabet: int,
) -> int:  # fmt: skip
    """One pass over sorted windows and their `_neighbours` writes the trie, still in codes; `fresh` is where the next node of
    each length goes.

    The scratch rows: `tally[length, code]` counts, and `seen[length]` lists the `distinct[length]` codes counted.
    Written out rather than in small functions, whose array arguments Numba would reference-count: that took two thirds
    of the time.
    """
    order, bits, each = packing
    used, deepest, rows, mask = 0, 0, len(keys), np.uint64((1 << bits) - 1)
    tally, seen = np.zeros((order, alphabet), np.int32), np.zeros((order, alphabet), np.uint16)
    distinct = np.zeros(order, np.int64)
    word, shift = np.empty(order, np.int64), np.empty(order, np.uint64)
    for place in range(order):
        word[place], shift[place] = place // each, bits * (each - 1 - place % each)
    for row in range(rows + 1):
        reach, known = (np.int64(reaches[row]), np.int64(shared[row])) if row < rows else (0, -1)
        for length in range(deepest, known, -1):
            follower[fresh[length] - 1], width[fresh[length] - 1] = used, distinct[length]
            if distinct[length] > 1:
                _order(seen, length, distinct[length])
            for at in range(distinct[length]):
                code = seen[length, at]
                symbols[used], counts[used] = code, tally[length, code]
                tally[length, code] = 0
                used += 1
                if length > 0:
                    if tally[length - 1, code] == 0:
                        seen[length - 1, distinct[length - 1]] = code
                        distinct[length - 1] += 1
                    tally[length - 1, code] += 1
            distinct[length] = 0
        if row == rows:
            break
        for length in range(known + 1, reach + 1):
            symbol[fresh[length]] = (keys[row, word[length - 1]] >> shift[length - 1]) & mask
            child[fresh[length]] = fresh[length + 1]
            fresh[length] += 1
        code = np.int64((keys[row, word[order - 1]] >> shift[order - 1]) & mask)
        if tally[reach, code] == 0:
            seen[reach, distinct[reach]] = code
            distinct[reach] += 1
        tally[reach, code] += 1
        deepest = reach
    return used


@njit(cache=True, nogil=True)
def build(keys: UInt64[np.ndarray, "w c"], packing: Packing, decode: UInt16[np.ndarray, "d"]) -> Trie:
    """The trie of all contexts of sorted windows; `decode[code]` is the symbol."""
    order, alphabet = packing.order, len(decode)
    shared, reaches = _neighbours(keys, packing)
    first = _first_nodes(shared, reaches, order)
    symbol, width = np.zeros(first[order], np.uint16), np.zeros(first[order], np.uint16)
    child, follower = np.full(first[order] + 1, first[order], np.int32), np.zeros(first[order], np.int32)
    room = 0  # no length has more n-grams than windows, nor than contexts times symbols; unused pages cost nothing
    for length in range(order):
        room += min(len(keys), (first[length + 1] - first[length]) * alphabet)
    symbols, counts = np.empty(room, np.uint16), np.empty(room, np.int32)
    fresh = first.copy()
    child[0], fresh[0] = first[1], 1
    used = _fill(keys, packing, shared, reaches, fresh, symbol, child, follower, width, symbols, counts, alphabet)
    for node in range(len(symbol)):
        symbol[node] = decode[symbol[node]]
    for at in range(used):
        symbols[at] = decode[symbols[at]]
    return Trie(first, symbol, child, follower, width, symbols[:used].copy(), counts[:used].copy())


@njit(cache=True, nogil=True)
def count_counts(trie: Trie) -> Int64[np.ndarray, "order 5"]:
    """How many n-grams of each length have count 1, 2, 3, 4 (columns 1 to 4) or more (column 0)."""
    table = np.zeros((len(trie.first) - 1, 5), np.int64)
    for length in range(len(table)):
        for node in range(trie.first[length], trie.first[length + 1]):
            for at in range(trie.follower[node], trie.follower[node] + trie.width[node]):
                table[length, trie.counts[at] if trie.counts[at] <= 4 else 0] += 1
    return table


@njit(cache=True, nogil=True)
def weigh(
    trie: Trie, discounts: Float64[np.ndarray, "order 4"]
) -> tuple[Int32[np.ndarray, "q"], Float64[np.ndarray, "q"]]:
    """Of each node: the sum of its counts, and the share of it that discounts hand down to the shorter context."""
    total, handed = np.zeros(len(trie.width), np.int32), np.ones(len(trie.width), np.float64)
    for length in range(len(discounts)):
        for node in range(trie.first[length], trie.first[length + 1]):
            taken = 0.0
            for at in range(trie.follower[node], trie.follower[node] + trie.width[node]):
                total[node] += trie.counts[at]
                taken += discounts[length, min(trie.counts[at], 3)]
            if total[node] > 0:
                handed[node] = taken / total[node]
    return total, handed


@njit(cache=True, nogil=True)
def _find(symbols: UInt16[np.ndarray, "f"], start: int, stop: int, wanted: int) -> int:
    """Index of a symbol in an ascending run, or -1."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if symbols[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < stop and symbols[low] == wanted else -1


@njit(cache=True, nogil=True)
def descend(trie: Trie, paths: Integer[np.ndarray, "k l"]) -> Int64[np.ndarray, "k"]:
    """The node of each context (nearest symbol first), or -1 where training never saw it."""
    nodes = np.zeros(len(paths), np.int64)
    for row in range(len(paths)):
        for wanted in paths[row]:
            if nodes[row] >= 0:
                nodes[row] = _find(trie.symbol, trie.child[nodes[row]], trie.child[nodes[row] + 1], wanted)
    return nodes


@njit(cache=True, nogil=True)
def score(
    keys: UInt64[np.ndarray, "w c"], ranked: Int64[np.ndarray, "w"], packing: Packing, decode: UInt16[np.ndarray, "d"],
    trie: Trie, discounts: Float64[np.ndarray, "order 4"], total: Int32[np.ndarray, "q"],
    handed: Float64[np.ndarray, "q"], uniform: float,
) -> Float64[np.ndarray, "w"]:  # fmt: skip
    """P of each window's symbol, from the empty context to the longest one seen.

    `ranked` lists the windows in sorted order: neighbours share contexts, so the walk starts where the last one stood.
    """
    _, symbol, child, follower, width, symbols, counts = trie
    chances, nodes, known = np.empty(len(keys)), np.zeros(packing.order, np.int64), 0
    codes, order = np.zeros((2, packing.order), np.int64), packing.order
    for rank in range(len(ranked)):
        row, side = ranked[rank], rank % 2
        reach = _unpack(keys, row, packing, codes, side)
        known, wanted = min(known, _shared(codes, reach)), decode[codes[side, order - 1]]
        while known < reach:
            node = _find(symbol, child[nodes[known]], child[nodes[known] + 1], decode[codes[side, known]])
            if node < 0:
                break
            known += 1
            nodes[known] = node
        chance = uniform
        for length in range(known + 1):
            node = nodes[length]
            chance *= handed[node]
            found = _find(symbols, follower[node], follower[node] + width[node], wanted)
            if found >= 0:
                chance += (counts[found] - discounts[length, min(counts[found], 3)]) / total[node]
        chances[row] = chance
    return chances
