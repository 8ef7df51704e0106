"""Paragraphs that other documents hold too: the share of a document that is boilerplate, a quotation or a copy.

    paragraphs(x)    = Σ_{p in x, a preferred document holds p} bytes(p) / Σ_{p in x} bytes(p)
    paragraphs_of(x) = the preferred document that holds most of those bytes (ties: the most preferred); -1: none

A paragraph is what stands between blank lines, however it is wrapped: a line end is white space. Where every line is a
paragraph, as in text taken from web pages, `group/lines.py` is the method (CCNet's paragraphs are lines). Compared
normalised (`kernels/parts.py`); one counts if it has at least `min_characters` characters then, and is repeated if at
least `min_documents` documents hold it. Of those the preferred one, the smallest `order`, keeps it.

Guarantee: exact but for collisions of 64-bit hashes; given `order`, the same whatever the order of the pool, its layout
and the number of workers. On disk 24 bytes a paragraph while it runs, in memory what the engine allows.
Nothing is edited: `edit/drop_repeated_paragraphs.py` does that.
Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359; Soldaini et al., Dolma, 2024,
https://arxiv.org/abs/2402.00159, remove repeated paragraphs across documents (through a Bloom filter, in file order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from assay.contracts import Engine, Grouper, Rows
from assay.group._parts import Emitted, repeated
from assay.models.repeated_parts import check
from assay.types import Groups, Signals


@final
@dataclass(frozen=True)
class Paragraphs(Grouper):
    """Share of a document's paragraphs that preferred documents hold.

    `min_characters` is the length, normalised, below which a paragraph does not count (1: all do; the
    default leaves out headings and dates, which are nobody's copy); `min_documents` from 2.

    >>> Paragraphs(min_documents=3).min_characters
    20
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.00159"
    gives: ClassVar[Literal["groups", "share"]] = "share"

    min_characters: int = 20
    min_documents: int = 2

    def __post_init__(self) -> None:
        check("paragraphs", self.min_characters, self.min_documents)

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """Signals `paragraphs` (n,), from 0 to 1, and `paragraphs_of` (n,), a row or -1."""
        emit = Emitted("paragraphs", self.min_characters)
        return None, repeated("paragraphs", pool, signals, engine, emit, self.min_documents)
