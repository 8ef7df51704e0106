"""Lines that other documents hold too: the share of a document that is navigation, notices or a copy, not its own.

    lines(x)    = Σ_{l in x, a preferred document holds l} bytes(l) / Σ_{l in x} bytes(l)
    lines_of(x) = the preferred document that holds most of those bytes (ties: the most preferred); -1 if there is none

Lines are compared normalised (`kernels/parts.py`: case, digits, white space and punctuation do not count). One counts if
it has at least `min_characters` characters then, and is repeated if at least `min_documents` documents hold it. Of those
the preferred one, the smallest `order`, keeps it: there it is not counted as repeated.

Guarantee: exact but for collisions of 64-bit hashes; given `order`, the same whatever the order of the pool, its layout
and the number of workers. On disk 24 bytes a line while it runs, in memory what the engine allows.
Nothing is edited: `edit/drop_repeated_lines.py` does that.
Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359, which calls a line a paragraph and keeps the first
copy of each; Penedo et al., RefinedWeb, 2023, https://arxiv.org/abs/2306.01116, drop a document whose lines mostly go.
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
class Lines(Grouper):
    """Share of a document's lines that preferred documents hold.

    `min_characters` is the length, normalised, below which a line does not count (1: all do, as in CCNet; the default
    leaves out headings, brackets and dates, which are nobody's copy); `min_documents` from 2.

    >>> Lines(min_documents=3).min_characters
    20
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/1911.00359"
    gives: ClassVar[Literal["groups", "share"]] = "share"

    min_characters: int = 20
    min_documents: int = 2

    def __post_init__(self) -> None:
        check("lines", self.min_characters, self.min_documents)

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """Signals `lines` (n,), from 0 to 1, and `lines_of` (n,), a row or -1."""
        emit = Emitted("lines", self.min_characters)
        return None, repeated("lines", pool, signals, engine, emit, self.min_documents)
