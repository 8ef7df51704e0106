"""Repetition inside one text: equal lines, the most frequent n-gram, and how much of it repeated n-grams hold.

    top_n        characters of the most frequent n-gram times its count, n = 2..4; of equals the first to occur; words
                 joined by one space
    duplicate_n  from the left: an n-gram seen before adds its characters and is stepped over, another one is noted and
                 the next word begins the next; n = 5..10
    covered_n    characters of words that lie in an n-gram which occurs at least twice, each counted once

An n-gram occurs twice only where its first and its last n-1 words do, so each order looks at what is left of the order
before, by exact pairs of numbers; only pairs of words are hashed. In prose a tenth is left after two orders.
Source: Rae and others, Scaling Language Models: Gopher, 2021, table A1, https://arxiv.org/abs/2112.11446; `duplicate_n` as
datatrove 0.10 computes it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt64
from numba import njit

from assay.kernels.bits import multiply_mix

TOP, DUPLICATE, COVERED = range(2, 5), range(5, 11), range(5, 11)
FIRST_TOP, FIRST_DUPLICATE, FIRST_COVERED, FOUND = 0, 3, 9, 15

_U = np.uint64
_LEFT, _RIGHT = _U(0xA4093822299F31D1), _U(0x082EFA98EC4E6C89)
_Places, _Hashes = Int32[np.ndarray, "c"], UInt64[np.ndarray, "c"]
# Positions and representatives of what is repeated; new numbers, positions, representatives and counts of candidates;
# running sums of characters.
Room = tuple[_Places, _Places, _Places, _Places, _Places, _Places, _Places]


@njit(nogil=True, forceinline=True, _nrt=False)
def _clear(table: _Places, count: int) -> int:
    """Empty a table with at least twice `count` places; returns its size less one."""
    size = 16
    while size < 2 * count:
        size *= 2
    for slot in range(size):
        table[slot] = 0
    return size - 1


@njit(cache=True, nogil=True, _nrt=False)
def mark_repeated(hashes: _Hashes, count: int, table: _Places, repeated: UInt8[np.ndarray, "c"]) -> None:
    """Set `repeated[i]` where `hashes[i]` equals an earlier one; `table` has four places for each hash, 16 at least."""
    mask = _clear(table, count)
    for place in range(count):
        slot = np.int64(hashes[place] >> _U(32)) & mask
        repeated[place] = 0
        while table[slot]:
            if hashes[table[slot] - 1] == hashes[place]:
                repeated[place] = 1
                break
            slot = (slot + 1) & mask
        if not repeated[place]:
            table[slot] = place + 1


@njit(nogil=True, _nrt=False)
def _sift_pairs(hashes: _Hashes, count: int, sieve: UInt8[np.ndarray, "c"], position: _Places) -> int:
    """Pairs of neighbours that may occur twice, because their slot is met twice; returns how many.

    No branch depends on the text here. `hashes` turns into the hashes of those pairs.
    """
    size = 64
    while size < 4 * count:
        size *= 2
    for slot in range(size):
        sieve[slot] = 0
    mask, left = _U(size - 1), 0
    for place in range(count - 1):
        pair = multiply_mix(hashes[place] ^ _LEFT, hashes[place + 1] ^ _RIGHT)
        hashes[place] = pair
        met = sieve[(pair >> _U(20)) & mask]
        sieve[(pair >> _U(20)) & mask] = met + (met < 2)
    for place in range(count - 1):
        pair = hashes[place]
        hashes[left], position[left] = pair, place
        left += sieve[(pair >> _U(20)) & mask] > 1
    return left


@njit(nogil=True, _nrt=False)
def _pair_grams(keys: _Hashes, left: int, room: Room) -> int:
    """Candidates of the next order out of the `left` repeated n-grams: two that begin at neighbours; returns how many."""
    places, ranks, position = room[0], room[1], room[3]
    count = 0
    for k in range(left - 1):
        keys[count], position[count] = _U(ranks[k]) << _U(32) | _U(ranks[k + 1]), places[k]
        count += places[k + 1] == places[k] + 1
    return count


@njit(nogil=True, _nrt=False)
def _tally_keys(keys: _Hashes, count: int, table: _Places, room: Room) -> None:
    """The first candidate with the same key as each, and for that one how many there are."""
    same, tally = room[4], room[5]
    mask = _clear(table, count)
    for k in range(count):
        key = keys[k]
        slot = np.int64(multiply_mix(key ^ _RIGHT, _LEFT) >> _U(24)) & mask
        while True:
            held = table[slot]
            if held == 0:
                table[slot] = k + 1
                same[k], tally[k] = k, 1
                break
            if keys[held - 1] == key:
                same[k] = held - 1
                tally[held - 1] += 1
                break
            slot = (slot + 1) & mask


@njit(nogil=True, _nrt=False)
def _keep_repeated(count: int, room: Room) -> tuple[int, int, int]:
    """Keep what occurs twice or more; returns how many, the largest count, and where its n-gram begins first."""
    places, ranks, number, position, same, tally, _ = room
    left, most, where = 0, 1, 0
    for k in range(count):
        number[k] = left
        times = tally[same[k]]
        if times > most:
            most, where = times, position[k]
        places[left], ranks[left] = position[k], number[same[k]]
        left += times > 1
    return left, most, where


@njit(nogil=True, _nrt=False)
def _count_duplicates(n: int, left: int, seen: _Places, room: Room) -> tuple[int, int]:
    """duplicate_n and covered_n."""
    places, ranks, sums = room[0], room[1], room[6]
    duplicate, covered, free, end = 0, 0, 0, 0
    for k in range(left):
        seen[k] = 0
    for k in range(left):
        place = places[k]
        covered += sums[place + n] - sums[max(place, end)]
        end = place + n
        if place >= free:
            if seen[ranks[k]]:
                duplicate += sums[place + n] - sums[place]
                free = place + n
            seen[ranks[k]] = 1
    return duplicate, covered


@njit(cache=True, nogil=True, _nrt=False)
def count_repeats(
    hashes: _Hashes, count: int, sieve: UInt8[np.ndarray, "c"], table: _Places, room: Room,
    found: Int64[np.ndarray, "r"],
) -> None:  # fmt: skip
    """Fill `found (15,)` with top_2..4, duplicate_5..10 and covered_5..10 of a text of `count` words.

    `hashes` describe the words and are overwritten; the last array of `room` holds the running sums of their characters.
    `sieve` has room for eight entries a word (64 at least), `table` for four (16 at least), each array of `room` for one
    more than the words.
    """
    found[:] = 0
    sums = room[6]
    left = count
    for n in range(2, min(count, 10) + 1):
        most, where = 1, 0
        if left:
            left = _sift_pairs(hashes, count, sieve, room[3]) if n == 2 else _pair_grams(hashes, left, room)
            _tally_keys(hashes, left, table, room)
            left, most, where = _keep_repeated(left, room)
        if n <= 4:
            found[FIRST_TOP + n - 2] = (sums[where + n] - sums[where] + n - 1) * most
        else:
            found[FIRST_DUPLICATE + n - 5], found[FIRST_COVERED + n - 5] = _count_duplicates(n, left, table, room)


def repeats_reference(words: list[str]) -> list[int]:
    """The same fifteen numbers in plain Python.

    >>> repeats_reference("to be or not to be".split())[:3]
    [10, 8, 12]
    """
    tops = []
    for n in TOP:
        grams = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
        best = max(dict.fromkeys(grams), key=grams.count, default=None)
        tops.append(len(" ".join(best)) * grams.count(best) if best else 0)
    return [*tops, *(_duplicate(words, n) for n in DUPLICATE), *(_covered(words, n) for n in COVERED)]


def _duplicate(words: list[str], n: int) -> int:
    seen, place, characters = set(), 0, 0
    while place <= len(words) - n:
        gram = tuple(words[place : place + n])
        repeated = gram in seen
        seen.add(gram)
        characters += sum(map(len, gram)) if repeated else 0
        place += n if repeated else 1
    return characters


def _covered(words: list[str], n: int) -> int:
    grams = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    inside = {k + step for k, gram in enumerate(grams) if grams.count(gram) > 1 for step in range(n)}
    return sum(len(words[k]) for k in inside)
