"""Removes lines that other documents hold too, so that navigation and notices are trained on once.

    keeper(l) = the preferred (smallest `order`) of the documents that hold l, if there are at least `min_documents`
    text(x)   = the lines l of x with text(keeper(l)) = text(x), or no keeper, joined as they were

Lines are compared normalised, as by `group/lines.py`, which measures what this removes; shorter ones than
`min_characters` stay. Copies inside one document stay, and so do those of documents with exactly the keeper's text:
`exact` removes such documents. What is left stands byte for byte as it stood; a text of which only white space is left
becomes empty, which drops its row.

Guarantee: exact but for collisions of 64-bit hashes; given `order`, the same whatever the order of the pool, its layout
and the number of workers. In memory 16 bytes for each different line that is repeated.
Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.contracts import Engine, Learner, Rows, TextEditor
from assay.edit._parts import Emitted, learn_parts, rewrite_parts
from assay.models.repeated_parts import check
from assay.types import Batch, Fitted, Signals, Texts


@final
@dataclass(frozen=True)
class DropRepeatedLines(TextEditor, Learner):
    """Takes each repeated line out of every document but the one that keeps it.

    `min_characters` is the length, normalised, below which a line stays (1: CCNet); `min_documents` from 2.

    >>> DropRepeatedLines(min_documents=3).min_characters
    20
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/1911.00359"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"

    min_characters: int = 20
    min_documents: int = 2

    def __post_init__(self) -> None:
        check("drop_repeated_lines", self.min_characters, self.min_documents)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """`parts` (u,) keys of the repeated lines, and `keepers` (u,) hashes of the texts that keep them."""
        return learn_parts(pool, signals, engine, Emitted("lines", self.min_characters), self.min_documents)

    def rewrite(self, batch: Batch, models: dict[str, Any]) -> Texts:
        """The texts without them."""
        return rewrite_parts(batch, models["fitted"], Emitted("lines", self.min_characters))
