"""Instruction-following difficulty: how much a prompt helps a language model with its response.

    L(A | Q) = -1/|A| Σ log P(a_i | Q, a_1 … a_i-1)      L(A): the same of the response alone
    loss_ratio          IFD = L(A | Q) / L(A)                       (Cherry LLM)
    perplexity_ratio    IFD = exp( L(A | Q) - L(A) )                (Superfiltering)

Near 1 the prompt says little about the response, and there is most to learn from the row; from 1 on it misleads, and
the rows are taken for mismatched: both papers drop them (`where = "ifd < 1"`) and keep the highest that are left. The
two ratios rank differently: the first asks for a share of the loss, the second for a difference.

The response alone is read in two ways. `direct = "cherry"`: after the line that opens a response, which is not
scored. `direct = "superfiltering"`: the bare response, whose first symbol then has nothing to be foretold from and is
not scored. A response has the same symbols in all of them, and no more than fit the context beside the prompt. Of
several responses in a dialogue each is read after all that is before it; the losses of a row are means over the
symbols of all.

The model first reads `experience` prompts and responses of the pool, which are scored like the others, as in Cherry
LLM; a checkpoint may do without (0), as in Superfiltering. A row without a prompt, or without a response, is
declined: NaN.

Guarantee: exact up to rounding, whatever rows are read together; training follows content, not place. Source: Li et
al., From Quantity to Quality, 2023, https://arxiv.org/abs/2308.12032; Li et al., Superfiltering, 2024,
https://arxiv.org/abs/2402.00530.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError, suggest
from assay.models import dialogue, losses
from assay.models.causal_config import SIZES
from assay.models.language import language_of, torch_module
from assay.types import Batch, Column, Fitted, Signals, Texts

_WORDS = {"variant": ("loss_ratio", "perplexity_ratio"), "direct": ("cherry", "superfiltering")}
_HEADER = "Assistant:\n"
_LOOKED = 1000  # rows at least among which there must be a prompt


@final
@dataclass(frozen=True)
class Ifd(Annotator, Learner):
    """The ratio of a response's loss after its prompt to its loss alone.

    model       `lm-nano`, `lm-micro`, `lm-mini`, a folder or a hub id of a causal language model
    variant     `loss_ratio` (Cherry LLM) or `perplexity_ratio` (Superfiltering)
    direct      how the response alone is read: `cherry` or `superfiltering`
    experience  rows of the pool that the model learns first; 0: it stays as it is (Cherry LLM: 1,000; Superfiltering: 0)
    epochs      passes over them

    >>> Ifd(variant="perplexity_ratio").needs
    ('text',)
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2308.12032"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"
    features: ClassVar[tuple[str, ...]] = ("neural",)
    heavy: ClassVar[bool] = True
    portion: ClassVar[int] = 256
    form: ClassVar[Literal["text", "turns"]] = "turns"

    model: str = "lm-nano"
    variant: str = "loss_ratio"
    direct: str = "cherry"
    experience: int = 10_000
    epochs: int = 1

    def __post_init__(self) -> None:
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                said = suggest(getattr(self, name), known)
                raise RecipeError(f"ifd: {name} must be {' or '.join(known)}; got {getattr(self, name)!r}: {said}")
        for name, least, most in (("experience", 0, 10**9), ("epochs", 1, 1000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"ifd: {name} must be from {least} to {most}; got {getattr(self, name)}")
        if self.model in SIZES and not self.experience:
            raise RecipeError(
                f"ifd: {self.model} knows nothing until it has learnt; give experience, or a checkpoint as model"
            )

    def __repr__(self) -> str:
        return losses.keyed(self)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """The weights after the experience, by name; InputError where no row that was looked at has a prompt and a response."""
        looked = losses.by_content(pool.sample(max(self.experience, _LOOKED)))
        prompted = np.unique(dialogue.held(looked)[2])
        if not len(prompted):
            raise InputError(
                f"ifd needs rows with a prompt and a response; none of the {len(looked):,} that were looked at has both: name the "
                "fields with --text '{instruction}{output}', or give a chat"
            )
        if not self.experience:
            return Fitted({}, {"experience_rows": 0})
        language = language_of(self.model)
        taught = language.encode_turns(looked.take(prompted[: self.experience]))
        report = pool.telling("ifd gains experience")
        weights = losses.taught(language, taught, self.epochs, int(rng.integers(2**31)), report, pool.checkpoints)
        return Fitted(dict(weights), {"experience_rows": min(self.experience, len(prompted))})

    def prepare(self, models: dict[str, Any]) -> Any:
        """The model as it is after its experience."""
        language, arrays = language_of(self.model), models["fitted"].arrays
        if not arrays:
            return torch_module("causal_model").Causal.of(language.config, 0)
        return torch_module("tuning").opened(language, arrays)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`ifd (b,)`, and the mean losses in nats that it is made of, `ifd_conditioned (b,)` and `ifd_direct (b,)`."""
        contexts, responses, rows = dialogue.held(batch.text)
        header = Texts.of([_HEADER]) if self.direct == "cherry" else None
        pairs = losses.pairs(language_of(self.model), contexts, responses, header)
        conditioned, direct = (
            losses.mean(
                np.bincount(rows, losses.nats(models["prepared"], side), len(batch)),
                np.bincount(rows, losses.scored(side), len(batch)).astype(np.int64),
            )
            for side in pairs
        )
        return {"ifd": ratio(self.variant, conditioned, direct), "ifd_conditioned": conditioned, "ifd_direct": direct}


def ratio(
    variant: str, conditioned: Float64[np.ndarray, "b"], direct: Float64[np.ndarray, "b"]
) -> Float64[np.ndarray, "b"]:
    """IFD out of two mean losses; NaN where one is missing, or a ratio has nothing below it.

    >>> ratio("loss_ratio", np.array([1.0]), np.array([2.0])), ratio("perplexity_ratio", np.array([1.0]), np.array([1.0]))
    (array([0.5]), array([1.]))
    """
    if variant == "perplexity_ratio":
        return np.exp(conditioned - direct)
    return np.divide(conditioned, direct, out=np.full(len(direct), np.nan), where=direct > 0)
