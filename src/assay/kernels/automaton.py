"""An n-gram model as an automaton: the state is the longest context seen in training, and a symbol leads to the next.

    P(w | h)   stored for every follower w of every context h, so that the first one found ends the search
    back-off   a state without the follower gives way to the context one symbol shorter, and costs g(h)
    next       h, then w: the context w h, cut to the model's longest; it exists, for what follows w was trained on

That the state is the longest context holds because a context w h' was seen only where w followed h', so it is reached
from h', which is the state or one of its shorter contexts. Every symbol so costs one binary search among the followers
of a context for each back-off, and one more. Probabilities are those of
`kneser_ney.score`, kept in 32 bits.
Idea: Allauzen, Mohri and Roark 2003, https://doi.org/10.3115/1075096.1075102 (failure transitions of n-gram models).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8, UInt16
from numba import njit

from assay.kernels.kneser_ney import Trie


class Automaton(NamedTuple):
    """What a step reads lies side by side: each costs a fetch from memory, and little else.

    `contexts`: start and number of a context's followers, the context one symbol shorter, and g(h) as the bits of a
    float32. `symbols`: of the followers, ascending within a context. `steps`: the next state, and P(w | h) likewise.
    """

    contexts: Int32[np.ndarray, "q 4"]
    symbols: UInt16[np.ndarray, "f"]
    steps: Int32[np.ndarray, "f 2"]


@njit(nogil=True, _nrt=False)
def _find(symbols: UInt16[np.ndarray, "f"], start: int, stop: int, wanted: int) -> int:
    """Index of a symbol in an ascending run, or -1."""
    while start < stop:
        middle = (start + stop) >> 1
        if symbols[middle] < wanted:
            start = middle + 1
        elif symbols[middle] > wanted:
            stop = middle
        else:
            return middle
    return -1


@njit(cache=True, nogil=True)
def _link(
    trie: Trie, discounts: Float64[np.ndarray, "order 4"], total: Int32[np.ndarray, "q"],
    handed: Float64[np.ndarray, "q"], end: int,
) -> tuple[Int32[np.ndarray, "q"], Float64[np.ndarray, "f"], Int32[np.ndarray, "f"]]:  # fmt: skip
    """The context one shorter (q,), P(w | h) (f,) and next states (f,) of a trained trie, shortest contexts first."""
    first, symbol, child, follower, width, symbols, counts = trie
    shorter, following = np.zeros(len(symbol), np.int32), np.zeros(len(symbols), np.int32)
    chances, longest = np.zeros(len(symbols)), len(first) - 2
    for node in range(len(symbol)):
        for below in range(child[node], child[node + 1]):
            shorter[below] = node
    for length in range(longest + 1):
        for node in range(first[length], first[length + 1]):
            above = shorter[node]
            for at in range(follower[node], follower[node] + width[node]):
                known, state = 1 / (end + 1), np.int64(0)
                if length > 0:
                    place = _find(symbols, follower[above], follower[above] + width[above], symbols[at])
                    known, state = chances[place], np.int64(following[place])
                chances[at] = handed[node] * known
                chances[at] += (counts[at] - discounts[length, min(counts[at], 3)]) / total[node]
                if symbols[at] != end and length < longest:
                    wanted = symbols[at] if length == 0 else symbol[node]
                    following[at] = _find(symbol, child[state], child[state + 1], wanted)
                else:
                    following[at] = state
    return shorter, chances, following


def link(
    trie: Trie, discounts: Float64[np.ndarray, "order 4"], total: Int32[np.ndarray, "q"],
    handed: Float64[np.ndarray, "q"], end: int,
) -> Automaton:  # fmt: skip
    """The automaton of a trained trie; `end` is the last symbol of its alphabet."""
    shorter, chances, following = _link(trie, discounts, total, handed, end)
    contexts = np.stack([trie.follower, trie.width.astype(np.int32), shorter, handed.astype(np.float32).view(np.int32)], 1)
    return Automaton(contexts, trie.symbols, np.stack([following, chances.astype(np.float32).view(np.int32)], 1))


@njit(cache=True, nogil=True)
def bits(
    data: UInt8[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], automaton: Automaton, begin: int, end: int
) -> Float64[np.ndarray, "b"]:
    """-log2 P of every document with its end; `begin` is the state before its first byte."""
    contexts, symbols, steps = automaton
    handed, chances = contexts.view(np.float32), steps.view(np.float32)
    found = np.zeros(len(offsets) - 1)
    for row in range(len(found)):
        state, product = np.int64(begin), 1.0
        for place in range(offsets[row], offsets[row + 1] + 1):
            wanted = np.int64(data[place]) if place < offsets[row + 1] else end
            at = _find(symbols, contexts[state, 0], contexts[state, 0] + contexts[state, 1], wanted)
            while at < 0 and state > 0:
                product *= handed[state, 3]
                state = np.int64(contexts[state, 2])
                at = _find(symbols, contexts[state, 0], contexts[state, 0] + contexts[state, 1], wanted)
            if at < 0:
                product *= handed[0, 3] / (end + 1)
            else:
                product *= chances[at, 1]
                state = np.int64(steps[at, 0])
            if product < 1e-200:  # one logarithm for many symbols
                found[row] -= math.log2(product)
                product = 1.0
        found[row] -= math.log2(product)
    return found
