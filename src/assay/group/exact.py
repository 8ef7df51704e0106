"""Exact duplicates: rows whose normalised texts are the same, by 128 bits of hash.

    h(x) = (h_1(N(x)), h_2(N(x)))       two 64-bit hashes of the normalised text
    rows with equal h are one group     P(any two of n different texts meet) <= n^2 / 2^129: 10^-21 for a billion

`normalise` chooses N: `none` takes the bytes as they are; `whitespace` turns every run of white space (Unicode's) into one
space and drops it at both ends; `words` keeps only the words: a text beyond ASCII is brought to NFKC and case-folded by
Python's Unicode tables, ASCII is lower-cased, and whatever is neither letter, digit nor underscore becomes a space before
white space is folded. An empty text has no group, nor has one of which nothing is left.

Guarantee: the groups depend on the texts alone, not on order, layout or workers. Memory: 8 bytes a row beside the row
table's (order and groups), and what the engine grants; 24 bytes a row on disk while the hashes are sorted.
Source: hashing of normalised text as in Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359, there of paragraphs
and by 64 bits of SHA-1.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

import numpy as np
from jaxtyping import Int64, Shaped

from assay.contracts import Engine, Grouper, Rows
from assay.errors import RecipeError
from assay.kernels.normal import KINDS, beyond_ascii, hash_normal
from assay.types import Batch, Groups, Signals, Texts

_Normalise = Literal["none", "whitespace", "words"]
_RECORD = np.dtype([("key", np.uint64), ("row", np.int64), ("second", np.uint64)])


@final
@dataclass(frozen=True)
class Exact(Grouper):
    """Groups of rows with the same text; `normalise` says what is the same.

    >>> Exact(normalise="words").normalise
    'words'
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/1911.00359"
    gives: ClassVar[Literal["groups", "share"]] = "groups"

    normalise: _Normalise = "whitespace"

    def __post_init__(self) -> None:
        if self.normalise not in get_args(_Normalise):
            names = ", ".join(get_args(_Normalise))
            raise RecipeError(f"exact: normalise must be one of {names}; got {self.normalise!r}")

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """Ids are the smallest row of each group; -1 for a row whose text is its own."""
        ids = np.full_like(signals["order"], -1)
        for pairs in engine.shuffle(pool, _Hashes(self.normalise), _copies):
            ids[pairs[:, 0]] = pairs[:, 1]
            ids[pairs[:, 1]] = pairs[:, 1]
        return Groups(ids, ()), Signals({})


@final
@dataclass(frozen=True)
class _Hashes:
    """One record for every text of which the normalisation leaves something."""

    normalise: str

    def __call__(self, batch: Batch) -> Shaped[np.ndarray, "r"]:
        text = batch.text if self.normalise != "words" else _folded(batch.text)
        first, second, sizes = hash_normal(text.data, text.offsets, KINDS.index(self.normalise))
        left = sizes > 0
        records = np.empty(int(left.sum()), _RECORD)
        records["key"], records["row"], records["second"] = first[left], batch.rows[left], second[left]
        return records


def _folded(texts: Texts) -> Texts:
    """Texts beyond ASCII in NFKC and case-folded; the others as they are."""
    beyond = beyond_ascii(texts.data, texts.offsets)
    if not beyond.any():
        return texts
    data, bounds = texts.data.tobytes(), texts.offsets.tolist()
    spans = zip(bounds[:-1], bounds[1:], beyond.tolist(), strict=True)
    return Texts.of_bytes([_fold(data[at:end]) if strange else data[at:end] for at, end, strange in spans])


def _fold(text: bytes) -> bytes:
    return unicodedata.normalize("NFKC", text.decode("utf-8", "replace").casefold()).encode()


def _copies(records: Shaped[np.ndarray, "r"]) -> Int64[np.ndarray, "e 2"]:
    """(row, smallest row with the same two hashes) for every row after the first."""
    key, row, second = records["key"], records["row"], records["second"]
    if ((key[1:] == key[:-1]) & (second[1:] != second[:-1])).any():
        order = np.lexsort((row, second, key))
        key, row, second = key[order], row[order], second[order]
    opens = np.concatenate([np.ones(min(len(row), 1), bool), (key[1:] != key[:-1]) | (second[1:] != second[:-1])])
    first = row[np.maximum.accumulate(np.arange(len(row)) * opens)]
    return np.stack([row[~opens], first[~opens]], axis=1)
