"""CLIPScore: how well an image and its caption go together, by a CLIP's cosine.

    cos(c, v) = <c, v> / (|c| |v|)                 c the caption's vector, v the image's          variant "cosine"
    CLIP-S(c, v) = w · max(cos(c, v), 0), w = 2.5  the caption read after "A photo depicts "     variant "clipscore"

The plain cosine is what LAION and DataComp filter by: with ViT-B/32, LAION-400M keeps 0.3 and above, LAION-5B 0.28 where
the caption is English (`where = "clip_score >= 0.28"`); DataComp keeps the top 30 per cent by ViT-L/14 (`--budget 30%`). A
threshold belongs to one network: another has other cosines. DataComp's code keeps what is at least the value at rank
int(n f), counted from 0: one row more than int(n f), and its ties; here a budget is never exceeded, and ties go by row.

Guarantee: what is padded, and which rows are read together, changes a score by rounding only (1e-6). An image that cannot
be decoded has no score (NaN). Nothing in a model's folder is run, and its content belongs to the key of the store.
Source: Hessel et al., CLIPScore, 2021, https://arxiv.org/abs/2104.08718; Schuhmann et al., LAION-400M, 2021,
https://arxiv.org/abs/2111.02114; Gadre et al., DataComp, 2023, https://arxiv.org/abs/2304.14108.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from assay.contracts import Annotator
from assay.errors import RecipeError
from assay.models import image_text, language
from assay.types import Batch, Column

_VARIANTS = ("cosine", "clipscore")
_PROMPT = "A photo depicts "
_W = np.float32(2.5)


@final
@dataclass(frozen=True)
class ClipScore(Annotator):
    """The score of each pair under the CLIP `model`.

    model    a folder or a hub id of the transformers library; `clip-nano` and `clip-mini` have initial weights, which know
             nothing: for trials
    variant  `cosine`, or `clipscore`: 2.5 times it, at least 0, with the paper's prompt

    >>> ClipScore("clip-nano", "clipscore").variant
    'clipscore'
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "image")
    paper: ClassVar[str] = "https://arxiv.org/abs/2104.08718"
    features: ClassVar[tuple[str, ...]] = ("embeddings",)
    heavy: ClassVar[bool] = True

    model: str = "clip-nano"
    variant: str = "cosine"

    def __post_init__(self) -> None:
        if self.variant not in _VARIANTS:
            raise RecipeError(f"clip_score: variant must be {' or '.join(_VARIANTS)}; got {self.variant!r}")

    def __repr__(self) -> str:
        return image_text.keyed(self)

    def prepare(self, models: dict[str, Any]) -> Any:
        """The network, opened."""
        return language.torch_module("image_text_network").Network.of(image_text.image_text_of(self.model))

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`clip_score (b,)`, float32; NaN where the image cannot be decoded. InputError where rows have no images."""
        images, texts = image_text.pairs_of(batch, "clip_score")
        if self.variant == "cosine":
            return {"clip_score": models["prepared"].cosines(images, texts)}
        return {"clip_score": _W * np.maximum(models["prepared"].cosines(images, texts, _PROMPT), 0)}
