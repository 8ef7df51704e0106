"""Area under the margin: by how much the label of each picture led the best other class, over a whole training.

    paper   AUM(x, y) = 1/T Σ_t ( z_y(x) − max_{i ≠ y} z_i(x) )     z the logits after epoch t of T
    ccs     AUM(x, y) =     Σ_t ( p_y(x) − max_{i ≠ y} p_i(x) )     p their softmax

Large where the label was right from early on; below zero where another class led, which is the mark of a wrong label. `ccs` is
what coverage-centric selection (Zheng et al. 2023, https://arxiv.org/abs/2210.15809) accumulates and cuts by. Margins are taken
after each epoch in evaluation mode, of pictures as they are; the paper notes them while it trains.

Guarantee: the same sums for any order, layout and number of workers (float32 network; the same bits on one machine).
Source: Pleiss, Zhang, Elenberg and Weinberger, Identifying Mislabeled Data using the Area Under the Margin Ranking, 2020,
https://arxiv.org/abs/2001.10528. Its threshold (a class of planted wrong labels) is not made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Float64, Int64

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import RecipeError
from assay.models import vision
from assay.types import Batch, Column, Fitted, Signals


@final
@dataclass(frozen=True)
class Aum(Annotator, Learner):
    """Gives each labelled picture its accumulated margin, in the column `aum`: the lowest are likely labelled wrongly.

    epochs     of the training over which margins are accumulated (T)
    variant    "ccs": sum of margins of probabilities; "paper": mean of margins of logits
    side       pixels to which pictures are scaled, either way
    width      channels of the network's first layer
    rate       of its training by SGD, the largest of a cosine
    batch      pictures of a step
    augment    what is done to a picture before a step: "none", "crop" or "crop_flip" (shifted, mirrored too)

    >>> Aum(epochs=30).variant
    'ccs'
    """

    needs: ClassVar[tuple[str, ...]] = ("image", "label")
    paper: ClassVar[str] = "https://arxiv.org/abs/2001.10528"
    features: ClassVar[tuple[str, ...]] = ("pictures",)
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"

    epochs: int = 20
    variant: str = "ccs"
    side: int = 32
    width: int = 32
    rate: float = 0.05
    batch: int = 128
    augment: str = "crop_flip"

    def __post_init__(self) -> None:
        if self.variant not in ("paper", "ccs"):
            raise RecipeError(f"aum: variant must be paper or ccs; got {self.variant!r}")
        self._course()

    def _course(self) -> vision.Course:
        return vision.Course(self.epochs, self.side, self.width, self.rate, self.batch, "cosine", self.augment)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """Train one network on the pool, and keep each picture's sum under the key of picture and label."""
        data = vision.gathered(pool, "aum", self.side)
        total, seed = np.zeros(len(data.keys)), int(rng.integers(2**31))
        for epoch, margin in enumerate(vision.followed(data, self._course(), seed, self._margins, pool.checkpoints), 1):
            total += margin
            pool.tell("train aum", epoch, self.epochs, "epochs")
        total /= self.epochs if self.variant == "paper" else 1
        return Fitted({"keys": data.keys, "aum": total}, {"pictures": len(total), "classes": len(data.classes)})

    def _margins(self, logits: Float[np.ndarray, "n g"], labels: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        return vision.margins(logits if self.variant == "paper" else vision.probabilities(logits), labels)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`aum (b,)`, with "ccs" between -`epochs` and `epochs`; NaN for a picture that was not learnt from."""
        kept = models["fitted"].arrays
        return {"aum": vision.looked_up(kept["keys"], kept["aum"], vision.keys_of(batch))}
