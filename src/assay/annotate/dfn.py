"""Data filtering network: a CLIP trained on clean pairs, which then says of each pair of the pool whether it goes together.

    dfn(v, c) = cos(f_θ(v), g_θ(c)),   θ minimises CLIP's contrastive loss on the clean pairs of the step's target

The paper's finding is that a network filters well because it was trained on clean data, of which little is enough, and
not because it is accurate elsewhere. Its filter is a ViT-B/32 trained on 357M pairs of high quality, then fine-tuned on MS
COCO, Flickr30k and ImageNet; here a checkpoint (`model`) is fine-tuned, or initial weights are trained. The top 15 to 20 per
cent of the pool are kept (`--budget 15%`). DataComp's code keeps what is at least the value at rank int(n f), counted from
0: one row more than int(n f), and its ties; here a budget is never exceeded, and ties go by row.

Guarantee: training follows the content of the target, so neither its order and layout nor workers change a score; which
rows are read together changes it by rounding only (1e-6). An image that cannot be decoded is not learnt, and has no score.
Source: Fang et al., Data filtering networks, 2023, https://arxiv.org/abs/2309.17425.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError
from assay.models import image_text, language
from assay.types import Batch, Column, Fitted, Signals

_RATE, _CONTINUED = 1e-3, 1e-5  # peak rates of initial weights, and of a checkpoint


@final
@dataclass(frozen=True)
class Dfn(Annotator, Learner):
    """The cosine of each pair under a filter network that was trained on the target.

    model     what is trained: a folder or a hub id of the transformers library, or `clip-nano`, `clip-mini`: initial weights
    epochs    passes over the clean pairs
    rows      pairs of a step: each is told from the others
    rate      peak learning rate; 0: 0.001 for initial weights, 0.00001 for a checkpoint
    examples  at most so many clean pairs are learnt, those of the smallest content hashes

    >>> Dfn(epochs=5).model
    'clip-nano'
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "image")
    paper: ClassVar[str] = "https://arxiv.org/abs/2309.17425"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("embeddings",)
    heavy: ClassVar[bool] = True

    model: str = "clip-nano"
    epochs: int = 30
    rows: int = 64
    rate: float = 0.0
    examples: int = 20_000

    def __post_init__(self) -> None:
        for name, least, most in (("epochs", 1, 10_000), ("rows", 2, 65_536), ("rate", 0, 1), ("examples", 2, 10**8)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"dfn: {name} must be from {least} to {most}; got {getattr(self, name)}")

    def __repr__(self) -> str:
        return image_text.keyed(self)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """The weights of the filter network as plain arrays; notes: pairs learnt, and the loss of the first and the last epoch.

        Raises InputError where there is no target, or fewer than two pairs in it.
        """
        if target is None:
            raise InputError(
                "dfn needs a target, pairs of images and captions that go together; name it with --target FILE"
            )
        clean = target.sample(self.examples)
        images, texts = image_text.pairs_of(clean, "dfn")
        order = image_text.by_content(images, texts)
        network = language.torch_module("image_text_network")
        model = image_text.image_text_of(self.model)
        trained = model.shape is None and language.torch_module("hub").weighted(self.model)
        rate = self.rate or (_CONTINUED if trained else _RATE)
        how = network.Contrast(self.epochs, self.rows, rate)
        given, seed = (images.take(order), texts.take(order)), int(rng.integers(2**31))
        taught, losses = network.train_pairs(model, *given, how, seed, pool.telling("train dfn"), pool.checkpoints)
        return Fitted(taught.state(), {"pairs": len(order), "loss_first": losses[0], "loss_last": losses[-1]})

    def prepare(self, models: dict[str, Any]) -> Any:
        """The filter network with the weights that it learnt."""
        network = language.torch_module("image_text_network").Network
        return network.of(image_text.image_text_of(self.model), models["fitted"].arrays)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`dfn (b,)`, float32; NaN where the image cannot be decoded. InputError where rows have no images."""
        return {"dfn": models["prepared"].cosines(*image_text.pairs_of(batch, "dfn"))}
