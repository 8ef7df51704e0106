"""CoLoR-Filter: how much less a language model spends on a row once it has also seen the target.

    s(x) = [ log P(x | θ_prior+down) - log P(x | θ_prior) ] / |x|       nats a symbol, |x| with the end of the row

θ_prior is trained on a sample of the pool, D_prior; θ_prior+down is θ_prior trained on with the target, D_down. A row
that the target makes likelier has s > 0: bigger is better. The paper keeps the k = int(N / τ) largest of N, τ = 7 to
64: a budget of 100 / τ per cent. Its sequences all have one length, so that its mean is a sum, up to a constant; rows
do not, hence |x|.

For the n-gram model "trained on" means its counts: θ_prior+down counts D_prior and D_down together. So it knows all
that the prior knows, and s is near 0 where the target says nothing, where a model of a small target alone
(`conditional = "target"`: Moore & Lewis) ranks by what that target happens to lack.

Rows of D_prior are scored by a model that has seen them: it knows them well, before and after, so that they score
lower than new rows like them. The paper takes D_prior apart from the data to choose from; `seen = "declined"` does
the same.

Guarantee: the sample and the order of training follow content, so neither layout nor workers change a score; rows
that are read together change a loss by rounding only. Source: Brandfonbrener et al., CoLoR-Filter, 2024,
https://arxiv.org/abs/2406.10670; Moore and Lewis, Intelligent Selection of Language Model Training Data, 2010,
https://aclanthology.org/P10-2041.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError, suggest
from assay.models import losses
from assay.models.language import language_of
from assay.types import Batch, Column, Fitted, Signals, Texts, join_texts

_WORDS = {"conditional": ("continued", "target"), "seen": ("scored", "declined")}


@final
@dataclass(frozen=True)
class ColorFilter(Annotator, Learner):
    """The fall of the loss from a model of the pool to that model trained on with the target.

    model        `ngram`, or a causal language model: `lm-nano`, `lm-micro`, `lm-mini`, a folder or a hub id
    prior        rows of the pool in D_prior: those of the smallest content hashes
    conditional  `continued`: the prior, trained on with the target; `target`: a model of the target alone
    seen         rows of D_prior are `scored`, or `declined`: they have no score, and are not chosen by it
    order        of the n-gram model: bytes of its longest n-gram, 1 to 8; from 6 on it knows rows of D_prior by heart
    epochs       of a causal model: passes over the target; D_prior is read once

    >>> ColorFilter(order=5)
    ColorFilter(model='ngram', prior=10000, conditional='continued', seen='scored', order=5, epochs=1)
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.10670"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams", "neural")  # one of them, as `model` says
    heavy: ClassVar[bool] = True

    model: str = losses.NGRAM
    prior: int = 10_000
    conditional: str = "continued"
    seen: str = "scored"
    order: int = 4
    epochs: int = 1

    def __post_init__(self) -> None:
        for name, least, most in (("prior", 1, 10**9), ("order", 1, 8), ("epochs", 1, 1000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"color_filter: {name} must be from {least} to {most}; got {getattr(self, name)}")
        for name, known in _WORDS.items():
            if getattr(self, name) not in known:
                said = suggest(getattr(self, name), known)
                raise RecipeError(
                    f"color_filter: {name} must be {' or '.join(known)}; got {getattr(self, name)!r}: {said}"
                )

    def __repr__(self) -> str:
        return losses.keyed(self)

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """Both models as plain arrays, `prior/…` and `conditional/…`, and the content hashes `seen (k,)` of D_prior.

        Raises InputError where there is no target, or it or the pool has no text.
        """
        if target is None:
            raise InputError(
                "color_filter needs a target, text like what is wanted; name it with target = FILE in its step"
            )
        known, wanted = pool.sample(self.prior), target.sample(len(target))
        texts = [losses.by_content(batch) for batch in (known, wanted)]
        for text, what in zip(texts, ("pool", "target"), strict=True):
            if not text.sizes.any():
                raise InputError(f"color_filter needs a {what} with text; got none in its text field")
        prior, conditional = self._models(*texts, int(rng.integers(2**31)), pool)
        arrays = {**losses.named("prior", prior), **losses.named("conditional", conditional)}
        notes = {"prior_documents": len(texts[0]), "target_documents": len(texts[1])}
        return Fitted({**arrays, "seen": np.sort(known.hashes)}, notes)

    def _models(self, prior: Texts, target: Texts, seed: int, pool: Rows) -> tuple[losses.Arrays, losses.Arrays]:
        continued = self.conditional == "continued"
        if self.model == losses.NGRAM:
            after = join_texts([prior, target]) if continued else target
            return losses.ngrams(prior, self.order), losses.ngrams(after, self.order)
        language = language_of(self.model)
        (first, at), (second, then) = (
            (pool.telling(f"color_filter learns the {what}"), pool.checkpoints.under(what)) for what in ("pool", "target")
        )
        before = losses.taught(language, language.encode(prior), 1, seed, first, at)
        start = before if continued else None
        return before, losses.taught(language, language.encode(target), self.epochs, seed, second, then, start)

    def prepare(self, models: dict[str, Any]) -> tuple[losses.Reader, losses.Reader]:
        """The prior and the conditional model, ready to read texts."""
        arrays = models["fitted"].arrays
        prior, conditional = (losses.under(name, arrays) for name in ("prior", "conditional"))
        return losses.reader(self.model, prior), losses.reader(self.model, conditional)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`color_filter (b,)`: s of every row, NaN where it is declined."""
        prior, conditional = models["prepared"]
        score = prior(batch.text) - conditional(batch.text)
        if self.seen == "declined":
            score[np.isin(batch.hashes, models["fitted"].arrays["seen"])] = np.nan
        return {"color_filter": score}
