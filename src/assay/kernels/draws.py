"""Random numbers that belong to a row: a function of (key, hash of the row's content), whatever its place or batch.

    u(key, hash) = (floor(splitmix(splitmix(key) + hash) / 2^12) + 1/2) / 2^52,   strictly between 0 and 1
    gumbel(key, hash) = -log(-log u)                                              a standard Gumbel draw

splitmix is the output function of SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
2014, https://doi.org/10.1145/2660193.2660195, with the constants of David Stafford's mix 13): a bijection of 64-bit
words whose every output bit depends on every input bit. Rows of equal content draw equal numbers; a caller who wants
them apart mixes the row number into the hash.

>>> bool(uniform(7, np.array([3], np.uint64))[0] == uniform_of(7, 3))
True
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, UInt64

_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ALL = (1 << 64) - 1
_BLOCK = 1 << 14


def _splitmix(words: UInt64[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX_2)
    return words ^ (words >> np.uint64(31))


def _splitmix_of(word: int) -> int:
    word = (word + _GOLDEN) & _ALL
    word = ((word ^ word >> 30) * _MIX_1) & _ALL
    word = ((word ^ word >> 27) * _MIX_2) & _ALL
    return word ^ word >> 31


def uniform(key: int, hashes: UInt64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """A number strictly between 0 and 1 for each row hash; another `key` (any integer) gives independent numbers."""
    found, word = np.empty(len(hashes)), np.uint64(_splitmix_of(key & _ALL))
    # In blocks: what lies between stays in the cache, and takes no memory for every row.
    for first in range(0, len(hashes), _BLOCK):
        words = _splitmix(hashes[first : first + _BLOCK] + word)
        found[first : first + _BLOCK] = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return found


def word_of(key: int) -> int:
    """What `uniform` adds to every hash: a key as one of 2^64 words."""
    return _splitmix_of(key & _ALL)


def uniform_of(key: int, row_hash: int) -> float:
    """The scalar twin of `uniform`."""
    word = _splitmix_of((row_hash + _splitmix_of(key & _ALL)) & _ALL)
    return ((word >> 12) + 0.5) * 2.0**-52


def gumbel(key: int, hashes: UInt64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """A standard Gumbel draw for each row hash: adding it to log weights and taking the k largest samples without
    replacement in proportion to the weights (Gumbel, 1954; Yellott, 1977)."""
    found = uniform(key, hashes)
    for _ in range(2):
        np.log(found, out=found)
        np.negative(found, out=found)
    return found
