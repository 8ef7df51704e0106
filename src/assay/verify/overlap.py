"""Overlap: which rows of a pool repeat an eval document, so that no arm may learn it by heart.

A row overlaps where it repeats RUN_WORDS words of an eval document in order (as that many less WIDTH - 1 shingles of
WIDTH words in a row), or the whole of an eval document that is shorter. Words are compared without case, spacing or
punctuation. A document of fewer than WIDTH words overlaps only with a row that is that document and nothing else.

Why not the matcher of `decontaminate` (annotate/eval_overlap.py): that one looks for benchmark items, short and of which
most must be there, and forgives edits. A held-out document is long and of the pool's own kind, so pool and eval share
headings, licences and phrases by right; what must not be shared is a passage, word for word. Nor may a verdict depend on
a sample of the pool.

Why not one shared run of 13 words, as is often done (Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix C):
templates share more than that without being the same document; docs/verify.md has the measured rates. Reworded copies
are not found (Yang et al. 2023, https://arxiv.org/abs/2311.04850).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from assay.errors import InputError
from assay.kernels.shingles import matches, shingles, sieve_of
from assay.types import Batch, Texts

WIDTH = 13
RUN_WORDS = 32
COMMON_DOCUMENTS = 2


@final
@dataclass(frozen=True)
class OverlapPart:
    """A part for `reduce` over the pool: `part(batch)` gives the rows that repeat an eval document; pickles."""

    table: UInt64[np.ndarray, "s"]
    needs: Int64[np.ndarray, "s"]
    sieve: UInt8[np.ndarray, "z"]
    shift: np.uint64

    @classmethod
    def of(cls, documents: Texts, run_words: int = RUN_WORDS) -> OverlapPart:
        """Index the eval documents.

        >>> part = OverlapPart.of(Texts.of(["The end is near, they said."]))
        >>> rows = Texts.of(["the end is near -- they SAID", "the end is near"])
        >>> part(Batch(np.array([4, 9]), np.zeros(2, np.uint64), {"text": rows})).tolist()
        [4]
        """
        hashes, starts = shingles(documents.data, documents.offsets, WIDTH)
        owner = np.repeat(np.arange(len(documents)), np.diff(starts))
        whole = (starts[1:] - 1)[np.diff(starts) > 0]
        same = np.zeros(len(documents), np.int64)
        same[owner[whole]] = np.unique(hashes[whole], return_inverse=True)[1]  # copies of a document count as one
        kept = ~_boilerplate(hashes, same[owner])
        kept[whole] = False
        needs = np.minimum(_longest_runs(kept, owner, len(documents)), run_words - WIDTH + 1)[owner]
        kept[whole], needs[whole] = True, 1
        order = np.lexsort((needs[kept], hashes[kept]))  # a shingle of several documents has the least need of theirs
        table, first = np.unique(hashes[kept][order], return_index=True)
        return cls(table, needs[kept][order][first], *sieve_of(table))

    def __call__(self, batch: Batch) -> Int64[np.ndarray, "r"]:
        """Row numbers of the batch that overlap."""
        text = batch.text
        found = matches(text.data, text.offsets, WIDTH, self.table, self.needs, self.sieve, self.shift)
        return batch.rows[found]


def _boilerplate(hashes: UInt64[np.ndarray, "q"], owner: Int64[np.ndarray, "q"]) -> Bool[np.ndarray, "q"]:
    """Which shingles stand in more eval documents than COMMON_DOCUMENTS: templates, not anyone's text."""
    order = np.lexsort((owner, hashes))
    value, document = hashes[order], owner[order]
    fresh = np.concatenate([[True], value[1:] != value[:-1]]) if len(value) else np.zeros(0, bool)
    new_owner = fresh | np.concatenate([[True], document[1:] != document[:-1]]) if len(value) else fresh
    group = np.cumsum(fresh) - 1
    common = np.bincount(group, weights=new_owner) > COMMON_DOCUMENTS if len(value) else fresh
    found = np.empty(len(value), bool)
    found[order] = common[group] if len(value) else False
    return found


def _longest_runs(kept: Bool[np.ndarray, "q"], owner: Int64[np.ndarray, "q"], documents: int) -> Int64[np.ndarray, "e"]:
    """The longest run of kept shingles within each document."""
    longest = np.zeros(documents, np.int64)
    breaks = np.flatnonzero(~kept | (np.diff(owner, prepend=-1) != 0))
    bounds = np.concatenate([breaks, [len(kept)]]) if len(breaks) else np.array([len(kept)])
    for start, stop in pairwise(bounds.tolist()):
        run = stop - start - (0 if kept[start] else 1)
        longest[owner[start]] = max(longest[owner[start]], run)
    return longest


def merge(a: Int64[np.ndarray, "r"], b: Int64[np.ndarray, "s"]) -> Int64[np.ndarray, "r_plus_s"]:
    """Join what two parts found; associative."""
    return np.concatenate([a, b])


def refuse(rows: Int64[np.ndarray, "r"], total: int, eval_path: str, decontaminate: bool) -> None:
    """Raise InputError where rows of the pool repeat the eval set and nobody asked to remove them."""
    if len(rows) and not decontaminate:
        shown = ", ".join(str(row) for row in rows[:5].tolist()) + (", ..." if len(rows) > 5 else "")
        raise InputError(
            f"the eval set {eval_path} must hold text that the pool does not; {len(rows):,} of the pool's {total:,} "
            f"rows repeat documents of it (rows {shown}): give held-out documents, or add --decontaminate to leave "
            "those rows out of every arm"
        )
