"""MinHash: near-duplicates, found because short runs of their words agree, whatever the size of the pool.

    J(A, B) = |A ∩ B| / |A ∪ B|     of the shingles (runs of `ngram` words) of two texts
    P(m_i(A) = m_i(B)) = J          for each of bands * rows minima m_i over random permutations
    P(candidates) = 1 - (1 - J^rows)^bands

Two texts that agree in all `rows` minima of any of the `bands` are candidates. With `verify` a pair counts only if its
true J, of the whole sets of shingles, is at least that; 0 trusts the bands, as datatrove and FineWeb do. Groups are the
connected components of the pairs that count: of A like B like C one text stays, even where A is not like C. (Greedy
schemes keep C as well or not, by the order of the pool.)

The default is 14 bands of 8 rows over runs of 5 words (FineWeb), verified at 0.75: the curve passes one half at
J = 0.72 (14^(-1/8)), yet proposes one pair in twenty at J = 0.5, and components chain such pairs. FineWeb states
its own aim as texts "at least 75 % similar".

Candidates are compared with all of their component that they are not connected with already; in a component of more
than 256 distinct texts only with those that share a band (and where more than 4,096 may share one, with a part of them,
another part for every band).

Guarantee: the groups depend on the texts and the seed alone, not on order, layout or workers. Memory: 25 bytes a row
in this process (17 of them the row table), 46 while candidates are compared, and what the engine grants; 336 bytes a row
on disk while bands are joined.
Sources: Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900; banding: Leskovec, Rajaraman, Ullman, Mining of
Massive Datasets, 2014, section 3.4, http://www.mmds.org; defaults: Penedo et al., The FineWeb Datasets, 2024,
https://arxiv.org/abs/2406.17557.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Bool, Int, Int64, Shaped, UInt64

from assay.contracts import Engine, Grouper, Rows
from assay.errors import RecipeError
from assay.group._components import labels_of, mixed, smallest, split
from assay.kernels.minhash import band_keys, link_similar, permutations, shingle_sets, unpack_sets
from assay.kernels.ordering import settled
from assay.kernels.union_find import flatten, link, singletons
from assay.types import Batch, Groups, Signals, Texts

_PACK = 13  # shingles of a record, which with key, row, words and count makes 136 bytes
_BAND = np.dtype([("key", np.uint64), ("row", np.int64), ("words", np.uint64)])
_EDGE = np.dtype([("row", np.int64), ("other", np.int64), ("same", np.bool_)])
_SET = np.dtype([
    ("key", np.uint64), ("row", np.int64), ("words", np.uint64), ("count", np.int64), ("shingles", np.uint64, (_PACK,)),
])  # fmt: skip


@final
@dataclass(frozen=True)
class MinHash(Grouper):
    """Groups of near-duplicates, by MinHash over runs of words.

    `ngram` words make a shingle (1 to 64), `bands` of `rows` minima a signature (at most 4096 of them), `verify` is the
    least Jaccard similarity of a pair (0 to 1; 0: the bands decide alone), `seed` draws the permutations.

    >>> MinHash(bands=20, rows=5).ngram
    5
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://doi.org/10.1109/SEQUEN.1997.666900"
    gives: ClassVar[Literal["groups", "share"]] = "groups"

    ngram: int = 5
    bands: int = 14
    rows: int = 8
    verify: float = 0.75
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, most in (("ngram", self.ngram, 64), ("bands times rows", self.bands * self.rows, 4096)):
            if not 1 <= value <= most:
                raise RecipeError(f"minhash: {name} must be from 1 to {most}; got {value}")
        if self.bands < 1 or not 0 <= self.seed < 1 << 63:
            raise RecipeError(
                f"minhash: bands must be at least 1 and seed not negative; got {self.bands} and {self.seed}"
            )
        if not 0 <= self.verify <= 1:
            raise RecipeError(f"minhash: verify must be from 0 (the bands decide) to 1; got {self.verify}")

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """Ids are the smallest row of each group; -1 for a row that is nobody's near-duplicate."""
        emit = _Bands(self.ngram, self.bands, self.rows, self.seed)
        roots = singletons(len(signals["order"]))
        candidates = roots.copy() if self.verify else roots
        for edges in engine.shuffle(pool, emit, _candidates):
            if self.verify:
                same = edges[edges["same"]]
                link(roots, np.ascontiguousarray(same["row"]), np.ascontiguousarray(same["other"]))
            link(candidates, np.ascontiguousarray(edges["row"]), np.ascontiguousarray(edges["other"]))
        flatten(roots)
        if self.verify:
            flatten(candidates)
            self._compare(pool, engine, roots, candidates, self.verify)
        return Groups(smallest(roots), ()), Signals({})

    def _compare(
        self, pool: Rows, engine: Engine, roots: Int[np.ndarray, "n"], candidates: Int[np.ndarray, "n"], least: float
    ) -> None:
        """Link, in `roots`, the candidates that are similar enough."""
        emit = _Sets(_Bands(self.ngram, self.bands, self.rows, self.seed))
        for edges in engine.shuffle(pool, emit, _Similar(least), labels=labels_of(roots, candidates)):
            link(roots, *np.ascontiguousarray(edges.T))
        flatten(roots)


def _candidates(records: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "e"]:
    """Edges between rows of one key: to the first with the same words, and from there to the least words of the key."""
    equal = records["key"][1:] == records["key"][:-1]
    shared = records[np.concatenate([[False], equal]) | np.concatenate([equal, [False]])]
    shared = shared[settled(shared["key"], shared["words"])]  # rows ascend already
    opens = _changes(shared["key"])
    distinct = opens | _changes(shared["words"])
    place = np.arange(len(shared))
    other = np.where(distinct, np.maximum.accumulate(place * opens), np.maximum.accumulate(place * distinct))
    edges = np.empty(int((~opens).sum()), _EDGE)
    edges["row"], edges["other"] = shared["row"][~opens], shared["row"][other[~opens]]
    edges["same"] = ~distinct[~opens]
    return edges


def _changes(values: Shaped[np.ndarray, "r"]) -> Shaped[np.ndarray, "r"]:
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


@final
@dataclass(frozen=True)
class _Bands:
    """A record for every band of every text that has a word."""

    ngram: int
    bands: int
    rows: int
    seed: int

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        keys, words, worded = self.keys(batch.text)
        records = np.empty(int(worded.sum()) * self.bands, _BAND)
        records["key"] = keys[worded].reshape(-1)
        records["row"], records["words"] = (np.repeat(each[worded], self.bands) for each in (batch.rows, words))
        return records

    def keys(self, text: Texts) -> tuple[UInt64[np.ndarray, "b g"], UInt64[np.ndarray, "b"], Bool[np.ndarray, "b"]]:
        """The key of every band, the hash of all words, and whether there are any."""
        multiply, add = permutations(self.bands * self.rows, self.seed)
        keys, words, counts = band_keys(text.data, text.offsets, self.ngram, multiply, add, self.bands)
        return keys, words, counts > 0


@final
@dataclass(frozen=True)
class _Sets:
    """The shingles of texts, a few to a record, under their component or, where that is large, under every band."""

    bands: _Bands

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        shingles, starts, words = shingle_sets(batch.text.data, batch.text.offsets, self.bands.ngram)
        text, key = self._places(batch, words)
        packs = -(-np.diff(starts)[text] // _PACK)
        at = (np.arange(packs.sum()) - np.repeat(np.cumsum(packs) - packs, packs)) * _PACK
        text, key = np.repeat(text, packs), np.repeat(key, packs)
        records = np.empty(len(text), _SET)
        records["key"], records["row"], records["words"] = key, batch.rows[text], words[text]
        records["count"] = np.minimum(np.diff(starts)[text] - at, _PACK)
        places = (starts[text] + at)[:, None] + np.arange(_PACK)
        records["shingles"] = shingles[np.minimum(places, starts[text + 1][:, None] - 1)]
        return records

    def _places(
        self, batch: Batch, words: UInt64[np.ndarray, "b"]
    ) -> tuple[Int64[np.ndarray, "r"], UInt64[np.ndarray, "r"]]:
        """Texts, by position, and the keys under which they are compared."""
        component, parts = split(np.asarray(batch.columns["label"]))
        small, large = np.flatnonzero(parts < 0), np.flatnonzero(parts >= 0)
        keys = self.bands.keys(batch.text.take(large))[0]
        salted = mixed(words[large][:, None] + np.arange(keys.shape[1], dtype=np.uint64))
        part = (salted >> np.uint64(1)) >> (np.uint64(63) - parts[large][:, None].astype(np.uint64))
        under = np.concatenate([mixed(component[small].astype(np.uint64)), mixed(keys + part).reshape(-1)])
        return np.concatenate([small, np.repeat(large, keys.shape[1])]), under


@final
@dataclass(frozen=True)
class _Similar:
    """Edges between the texts of a key whose similarity is enough."""

    least: float

    def __call__(self, records: Shaped[np.ndarray, "r"]) -> Int64[np.ndarray, "e 2"]:
        firsts = np.flatnonzero(_changes(records["key"]) | _changes(records["row"]))
        lasts = np.append(firsts[1:], len(records))
        order = settled(records["key"][firsts], records["words"][firsts])  # rows ascend already
        key, row = records["key"][firsts][order], records["row"][firsts][order]
        shingles, starts = unpack_sets(
            records["shingles"], np.ascontiguousarray(records["count"]), firsts[order], lasts[order]
        )
        groups = np.append(np.flatnonzero(_changes(key)), len(firsts))
        first = link_similar(shingles, starts, groups, self.least)
        linked = np.flatnonzero(first != np.arange(len(firsts)))
        return np.stack([row[linked], row[first[linked]]], axis=1)
