"""A supervised fastText model over every row: its best label and that label's probability, or the probability of one label.

    x    = mean of the rows of the text's words, subwords and word n-grams,   z_l = <x, w_l>
    p_l  = exp z_l / Σ exp z   (softmax), or as the loss of the model has it   (kernels/fasttext_loss.py)

The text is stripped and its lines are joined by spaces, since a fastText model reads one line (this is how DCLM scores
documents). The probability is the label's own, also where another label is the top one, and is cut at 1: the library
adds 1e-5 and reports values slightly above. Language identification is the same: `lid.176.ftz` without a label.

Guarantee: the probabilities of the fasttext package (0.9.2) to 1e-4, for softmax, hs, ns and ova, whole or quantised. With ns
and ova the package rounds z down to steps of 1/32; a z within float error of a step may fall on its other side.
Source: Joulin, Grave, Bojanowski and Mikolov, Bag of Tricks for Efficient Text Classification, 2016,
https://arxiv.org/abs/1607.01759; Li et al., DataComp-LM, 2024, https://arxiv.org/abs/2406.11794.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Float64, Int32

from assay.contracts import Annotator
from assay.errors import RecipeError, suggest
from assay.kernels import fasttext as kernel
from assay.kernels import fasttext_loss
from assay.types import Batch, Column, Texts

_PREFIX = "__label__"


@final
@dataclass(frozen=True)
class Fasttext(Annotator):
    """What the fastText model at the path `model` (.bin or .ftz) says of each row.

    With `label` (with or without `__label__`) one column, `fasttext`: that label's probability. Without it two: `fasttext`,
    the best label without `__label__` (empty for a text of which the model knows nothing), and `fasttext_probability`.

    >>> Fasttext("lid.176.ftz").models
    {'fasttext': 'lid.176.ftz'}
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1607.01759"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)

    model: str = "model.bin"
    label: str = ""

    @property
    def models(self) -> dict[str, str]:
        """The model, by its path."""
        return {"fasttext": self.model}

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`fasttext (b,)` and, without a label, `fasttext_probability (b,)`; RecipeError where the model lacks the label."""
        model = models["fasttext"]
        wanted = self._number(model.labels)
        text = batch.text
        first, last = int(text.offsets[0]), int(text.offsets[-1])
        # A copy with room behind it: kernels read 64 bytes at a time.
        data = np.zeros(last - first + kernel.PAD, np.uint8)
        data[: last - first] = text.data[first:last]
        starts, stops = kernel.strip(data, text.offsets - first)
        picks, chances = _probabilities(model, *kernel.sum_rows(data, starts, stops, model.tables), wanted)
        chances = np.minimum(chances, 1.0)
        if self.label:
            return {"fasttext": chances}
        names = [name.encode("utf-8") for name in (*model.labels, "")]
        return {"fasttext": Texts.of_bytes([names[pick] for pick in picks]), "fasttext_probability": chances}

    def _number(self, labels: tuple[str, ...]) -> int:
        """Which label is wanted; -1: the best."""
        if not self.label:
            return -1
        name = self.label.removeprefix(_PREFIX)
        if name not in labels:
            raise RecipeError(f"fasttext: {self.model!r} has no label {self.label!r}; {suggest(name, labels)}")
        return labels.index(name)


def _probabilities(
    model: Any, sums: np.ndarray, counts: np.ndarray, wanted: int
) -> tuple[Int32[np.ndarray, "b"], Float64[np.ndarray, "b"]]:
    """Labels and probabilities by the loss of the model."""
    if model.loss == "hs":
        return fasttext_loss.tree(sums, counts, model.output, *model.tree, wanted)
    loss = fasttext_loss.softmax if model.loss == "softmax" else fasttext_loss.sigmoids
    return loss(sums, counts, model.output, len(model.labels), wanted)
