"""EL2N: how far a network is from the label of each picture early in training, the mean over several networks.

    EL2N(x, y) = E ‖ p(w_t, x) − y ‖₂        p the softmax, y the label as a one-hot vector, w_t the weights after t epochs

0 where the network is sure and right, at most √2 where it is sure of another class: large scores are hard pictures, and among
the largest are wrong labels. The expectation is a mean over `runs` networks of other seeds, since one network's score is noisy.
Probabilities are taken in evaluation mode, of pictures as they are. `variant` "ccs" is the score that coverage-centric selection
(Zheng et al. 2023) calls EL2N: the SUM over the first `epochs` epochs of ONE network.

Guarantee: the same scores for any order, layout and number of workers (float32 networks; the same bits on one machine). The number
of pictures need not divide by the batch.
Source: Paul, Ganguli and Dziugaite, Deep Learning on a Data Diet, 2021, https://arxiv.org/abs/2107.07075 (epochs 10 to 20 of 200,
ten networks).
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
class El2n(Annotator, Learner):
    """Gives each labelled picture its error norm, in the column `el2n`.

    epochs     after which the error is taken (t); early, before all is learnt
    runs       networks whose errors are averaged; one with `variant` "ccs"
    variant    "paper": mean over networks at one epoch; "ccs": sum over the epochs of one
    side       pixels to which pictures are scaled, either way
    width      channels of the network's first layer
    rate       of its training by SGD, after a first epoch of warm-up
    batch      pictures of a step
    augment    what is done to a picture before a step: "none", "crop" or "crop_flip" (shifted, mirrored too)

    >>> errors(np.array([[0.0, 0.0], [0.0, 50.0]]), np.array([0, 0])).round(3).tolist()
    [0.707, 1.414]
    """

    needs: ClassVar[tuple[str, ...]] = ("image", "label")
    paper: ClassVar[str] = "https://arxiv.org/abs/2107.07075"
    features: ClassVar[tuple[str, ...]] = ("pictures",)
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"

    epochs: int = 10
    runs: int = 10
    variant: str = "paper"
    side: int = 32
    width: int = 32
    rate: float = 0.05
    batch: int = 128
    augment: str = "crop_flip"

    def __post_init__(self) -> None:
        if self.variant not in ("paper", "ccs"):
            raise RecipeError(f"el2n: variant must be paper or ccs; got {self.variant!r}")
        if self.runs < 1:
            raise RecipeError(f"el2n: runs must be at least 1; got {self.runs}: ten are usual")
        self._course()

    def _course(self) -> vision.Course:
        return vision.Course(self.epochs, self.side, self.width, self.rate, self.batch, "steady", self.augment)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """Train the networks on the pool, and keep each picture's score under the key of picture and label."""
        data = vision.gathered(pool, "el2n", self.side)
        total = np.zeros(len(data.keys))
        runs = 1 if self.variant == "ccs" else self.runs
        for run, seed in enumerate(rng.integers(2**31, size=runs).tolist()):
            kept = pool.checkpoints.under(str(run))
            for epoch, error in enumerate(vision.followed(data, self._course(), seed, errors, kept), 1):
                if self.variant == "ccs" or epoch == self.epochs:
                    total += error
                pool.tell("train el2n", run * self.epochs + epoch, runs * self.epochs, "epochs")
        notes = {"pictures": len(data.keys), "classes": len(data.classes), "networks": runs, "epochs": self.epochs}
        return Fitted({"keys": data.keys, "el2n": total / runs}, notes)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`el2n (b,)`, between 0 and √2 (times `epochs` with "ccs"); NaN for a picture that was not learnt from."""
        kept = models["fitted"].arrays
        return {"el2n": vision.looked_up(kept["keys"], kept["el2n"], vision.keys_of(batch))}


def errors(logits: Float[np.ndarray, "n g"], labels: Int64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
    """‖ softmax − one-hot ‖₂ of each row."""
    error = vision.probabilities(logits)
    error[np.arange(len(error)), labels] -= 1
    return np.sqrt((error**2).sum(axis=1))
