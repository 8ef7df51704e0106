"""Removes paragraphs that other documents hold too, so that boilerplate and quotations are trained on once.

    keeper(p) = the preferred (smallest `order`) of the documents that hold p, if there are at least `min_documents`
    text(x)   = the paragraphs p of x with text(keeper(p)) = text(x), or no keeper, with the blank lines that follow them

Paragraphs stand between blank lines and are compared normalised, as by `group/paragraphs.py`, which measures what this
removes; shorter ones than `min_characters` stay. Copies inside one document stay, and so do those of documents with
exactly the keeper's text: `exact` removes such documents. What is left stands byte for byte as it stood; a text of which
only white space is left becomes empty, which drops its row.

Guarantee: exact but for collisions of 64-bit hashes; given `order`, the same whatever the order of the pool, its layout
and the number of workers. In memory 16 bytes for each different paragraph that is repeated.
Source: Soldaini et al., Dolma, 2024, https://arxiv.org/abs/2402.00159; Wenzek et al., CCNet, 2019,
https://arxiv.org/abs/1911.00359.
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
class DropRepeatedParagraphs(TextEditor, Learner):
    """Takes each repeated paragraph out of every document but the one that keeps it.

    `min_characters` is the length, normalised, below which a paragraph stays; `min_documents` from 2.

    >>> DropRepeatedParagraphs(min_documents=3).min_characters
    20
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "order")
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.00159"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"

    min_characters: int = 20
    min_documents: int = 2

    def __post_init__(self) -> None:
        check("drop_repeated_paragraphs", self.min_characters, self.min_documents)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """`parts` (u,) keys of the repeated paragraphs, and `keepers` (u,) hashes of the texts that keep them."""
        return learn_parts(pool, signals, engine, Emitted("paragraphs", self.min_characters), self.min_documents)

    def rewrite(self, batch: Batch, models: dict[str, Any]) -> Texts:
        """The texts without them."""
        return rewrite_parts(batch, models["fitted"], Emitted("paragraphs", self.min_characters))
