"""Gradients at checkpoints of a warm-up, projected: what training on a row would do to a model, in a few thousand numbers.

    warm-up   a language model learns a share of the pool for some epochs; after each epoch i its weights θ_i, Adam's moments
              m_i and v_i, and the mean learning rate η_i of the epoch are kept
    pool      Γ(z, θ_i) = (β1 m_i + (1 - β1) ∇l) / sqrt(β2 v_i + (1 - β2) ∇l² + ε),   l = l(z; θ_i)       (code)
              the same with m / (1 - β1^t) and v / (1 - β2^t), t the step that comes next                   (paper)
    target    ∇l(z'; θ_i), the plain gradient
    both      projected by one seeded random matrix

l is the mean loss over the symbols of responses, of one row at a time; of a row that is plain text, over all its symbols. The
released code corrects no bias, the paper does; both add ε under the root, so that no denominator is below 1e-4, unlike torch's
Adam. A direction is Adam's, so a gradient's scale matters beside that of the moments; cosines come later (`score = "less"`).

Guarantee: a row's numbers depend on the row and on the warm-up alone, which depends on the pool's content and the seed, not on
files, order or workers.
Source: Xia, Malladi, Gururangan, Arora and Chen, LESS: Selecting Influential Data for Targeted Instruction Tuning, 2024,
https://arxiv.org/abs/2402.04333. The released code projects by random signs (`dense` here, the slow reference).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float32

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError
from assay.models.language import language_of, torch_module
from assay.models.projection import Projection
from assay.types import Batch, Column, Fitted, Sequences, Signals

_WORDS = {
    "adapters": ("auto", "lora", "none"),
    "side": ("adam", "sgd"),
    "variant": ("code", "paper"),
    "precision": ("float16", "float32"),
}
_LORA_RATE = 2e-5  # the paper's, for adapters of a trained checkpoint


@final
@dataclass(frozen=True)
class Gradients(Annotator, Learner):
    """Columns `gradients_1` … (b, width), one for each checkpoint, and `gradients_rates (b, epochs)`, the same for all rows.

    model       a folder of the transformers library, a hub id, or a size of ours such as lm-nano, which begins untrained
    epochs      epochs of the warm-up; a checkpoint after each
    warmup      share of the pool that it learns, by content hash
    adapters    `lora`: low-rank adapters alone are trained and differentiated; `none`: all weights; `auto`: lora for a
                checkpoint, none for a size of ours, which begins untrained
    r           rank of the adapters
    alpha       their scale is alpha / r
    rate        peak learning rate; 0: 2e-5 with adapters, the model's own without
    beta1       decay rate of Adam's first moment, in the warm-up and in Γ
    beta2       decay rate of its second moment
    eps         what is added under the root
    variant     `code` or `paper`: see above
    width       numbers of a projected gradient
    projection  `hadamard`, `sparse` or `dense`
    seed        of the projection
    precision   `float32`; or `float16`: each row scaled to root mean square 1, because small numbers would be lost, and only
                directions matter
    longest     symbols of a row that are read
    side        `adam`: Γ; `sgd`: the plain gradient. A target is measured with `sgd` whatever this is

    >>> Gradients().side, Gradients().on_target().side
    ('adam', 'sgd')
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.04333"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"
    features: ClassVar[tuple[str, ...]] = ("neural",)
    heavy: ClassVar[bool] = True
    portion: ClassVar[int] = 256
    form: ClassVar[Literal["text", "turns"]] = "turns"

    model: str = "lm-nano"
    epochs: int = 4
    warmup: float = 0.05
    adapters: str = "auto"
    r: int = 128
    alpha: float = 512.0
    rate: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    variant: str = "code"
    width: int = 8192
    projection: str = "hadamard"
    seed: int = 0
    precision: str = "float16"
    longest: int = 2048
    side: str = "adam"

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise RecipeError(f"gradients: {name} must be one of {', '.join(words)}; got {getattr(self, name)!r}")
        for name, least, most in (("epochs", 1, 100), ("r", 1, 4096), ("longest", 2, 10**6)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"gradients: {name} must be from {least} to {most:,}; got {getattr(self, name)}")
        if not 0 < self.warmup <= 1:
            raise RecipeError(
                f"gradients: warmup must be a share above 0 and at most 1, such as 0.05; got {self.warmup}"
            )
        Projection(self.projection, self.width, self.seed)

    def __repr__(self) -> str:
        """With a digest of what the model holds, for the key of the store."""
        said = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
        return f"Gradients({said}, content={language_of(self.model).digest!r})"

    def on_target(self) -> Gradients:
        """The same checkpoints and projection with plain gradients."""
        return replace(self, side="sgd")

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """The warm-up: vectors `weights_i`, `first_i`, `second_i (p,)` and `step_i` of each checkpoint, `rates (epochs,)`.

        Raises InputError where the rows drawn have nothing to learn, MissingExtra where torch or peft is not installed.
        """
        language = language_of(self.model)
        tuning, gradients = torch_module("tuning"), torch_module("gradients")
        drawn = pool.sample(max(1, round(self.warmup * len(pool))))
        order = np.lexsort((drawn.rows, drawn.hashes))  # by content, so that files and order do not matter
        documents = language.encode_turns(drawn.text.take(order))
        if not gradients.says(documents.data, language.config):
            raise InputError(
                "gradients: rows must have text or responses to learn, as in instruction and output or in a chat with assistant "
                f"turns; none of the {len(drawn):,} that were drawn for the warm-up has: name the fields with --text"
            )
        seed, asked = int(rng.integers(2**31)), self._adapters()
        rate = self.rate or (None if asked is None else _LORA_RATE)
        plan = tuning.Tuning(self.epochs, rate=rate, betas=(self.beta1, self.beta2), decay=0.0, adapters=asked)
        checkpoints, rates, losses = [], [], []
        seen = {"report": pool.telling("warm up"), "checkpoints": pool.checkpoints}
        for snapshot in tuning.tune(language, documents, plan, seed, **seen):
            checkpoints.append(gradients.Checkpoint.of(snapshot))  # one by one: each is three times the weights
            rates.append(snapshot.rate)
            losses.append(round(snapshot.loss, 4))
        notes = {"warmup_rows": len(drawn), "warmup_loss_nats": losses, "weights": len(checkpoints[0].weights)}
        return Fitted({**gradients.stored(checkpoints), "rates": np.array(rates), "seed": np.array([seed])}, notes)

    def _adapters(self) -> Any:
        """What is trained: adapters, or None for all weights."""
        config, lora = language_of(self.model).config, self.adapters == "lora"
        if self.adapters == "auto" and isinstance(config.model, str):
            lora = torch_module("hub").weighted(config.model)
            if not lora:
                raise InputError(
                    f"gradients: the model {self.model!r} must have trained weights (model.safetensors) beside its config.json; "
                    "it has none: give a checkpoint, or adapters = 'none' to train all weights from initial ones"
                )
        return torch_module("tuning").Adapters(self.r, self.alpha) if lora else None

    def prepare(self, models: dict[str, Any]) -> Any:
        """The model, whose weights are exchanged for those of the checkpoints."""
        config, seed = language_of(self.model).config, int(models["fitted"].arrays["seed"][0])
        model = torch_module("tuning").untrained(config, self._adapters(), seed)
        return torch_module("gradients").Differentiator(model, self.longest)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Every checkpoint's columns; NaN where nothing of a row is learnt."""
        arrays, columns = models["fitted"].arrays, {}
        documents = language_of(self.model).encode_turns(batch.text)
        checkpoints = torch_module("gradients").found(arrays, self.epochs)
        for place, checkpoint in enumerate(checkpoints, 1):
            columns[f"gradients_{place}"] = self._projected(documents, checkpoint, models["prepared"])
        rates = np.asarray(arrays["rates"], np.float32)
        return {**columns, "gradients_rates": np.tile(rates, (len(batch), 1))}

    def _projected(self, documents: Sequences, checkpoint: Any, differentiator: Any) -> Float32[np.ndarray, "b d"]:
        rule = torch_module("gradients").Rule((self.beta1, self.beta2), self.eps, self.variant == "paper")
        project = Projection(self.projection, self.width, self.seed)
        rows = np.full((len(documents), self.width), np.nan, self.precision)
        for row, gradient in enumerate(differentiator.rows(documents, checkpoint)):
            if gradient is not None:
                if self.side == "adam":
                    rule(gradient, checkpoint)
                rows[row] = self._kept(project(gradient))
        return rows

    def _kept(self, row: Float32[np.ndarray, "d"]) -> Float32[np.ndarray, "d"]:
        size = float(np.sqrt(np.mean(np.square(row, dtype=np.float64))))
        return row if self.precision == "float32" or size == 0 else row / np.float32(size)
