"""Loss trajectories: what a small model spends on each row at several points of its training on the pool.

    x(i) = ( L(i; θ_1), …, L(i; θ_T) )      L the mean loss in nats of row i's symbols, θ_t the weights after t/T of the steps

Rows that a model learns alike have like trajectories, and a small model's are near enough to a large one's for `s2l`
to choose by. Of a dialogue the responses are learnt and scored, of a plain text everything. The paper trains
Pythia-70M for three epochs and keeps up to 12 checkpoints; a row without a symbol to score has no trajectory (NaN),
where the released code writes zeros.

Guarantee: training follows content, not place; what is read together changes a loss by rounding only. Source: Yang et
al., SmallToLarge (S2L), 2024, https://arxiv.org/abs/2403.07384.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError
from assay.models import losses
from assay.models.language import language_of, torch_module
from assay.types import Batch, Column, Fitted, Signals


@final
@dataclass(frozen=True)
class LossTrajectory(Annotator, Learner):
    """The losses of every row under a small model, as it learns the pool.

    model        `lm-nano`, `lm-micro`, `lm-mini`, a folder or a hub id of a causal language model
    rows         of the pool that it learns, those of the smallest content hashes; all rows are scored
    epochs       passes over them
    checkpoints  points of the training, evenly over its steps: fewer where there are fewer steps

    >>> LossTrajectory(checkpoints=4).form
    'turns'
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2403.07384"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"
    features: ClassVar[tuple[str, ...]] = ("neural",)
    heavy: ClassVar[bool] = True
    portion: ClassVar[int] = 256
    form: ClassVar[Literal["text", "turns"]] = "turns"

    model: str = "lm-nano"
    rows: int = 100_000
    epochs: int = 3
    checkpoints: int = 12

    def __post_init__(self) -> None:
        for name, least, most in (("rows", 1, 10**9), ("epochs", 1, 1000), ("checkpoints", 1, 1000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"loss_trajectory: {name} must be from {least} to {most}; got {getattr(self, name)}")

    def __repr__(self) -> str:
        return losses.keyed(self)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """The weights at each checkpoint, `0/NAME`, `1/NAME` and so on, in the order of the training."""
        language, tuning = language_of(self.model), torch_module("tuning")
        texts = losses.by_content(pool.sample(self.rows))
        if not texts.sizes.any():
            raise InputError(f"loss_trajectory needs rows with text to learn; none of {len(texts):,} has any")
        asked = tuning.Tuning(epochs=self.epochs, points=self.checkpoints)
        report, seed = pool.telling("loss_trajectory learns the pool"), int(rng.integers(2**31))
        documents, kept = language.encode_turns(texts), pool.checkpoints
        found = list(tuning.tune(language, documents, asked, seed, report=report, checkpoints=kept))
        arrays: dict[str, np.ndarray] = {}
        for place, snapshot in enumerate(found):
            arrays |= losses.named(str(place), snapshot.weights)
        return Fitted(arrays, {"losses": [round(snapshot.loss, 4) for snapshot in found], "rows": len(texts)})

    def prepare(self, models: dict[str, Any]) -> Any:
        """One model, which goes from checkpoint to checkpoint."""
        return torch_module("tuning").opened(language_of(self.model), losses.under("0", models["fitted"].arrays))

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`loss_trajectory (b, T)`: mean losses in nats, the first checkpoint first."""
        arrays, documents = models["fitted"].arrays, language_of(self.model).encode_turns(batch.text)
        points = sorted({int(name.partition("/")[0]) for name in arrays})
        found = np.full((len(batch), len(points)), np.nan, np.float32)
        for place in points:
            model = losses.moved(models["prepared"], losses.under(str(place), arrays))
            found[:, place] = losses.mean_losses(model, documents)
        return {"loss_trajectory": found}
