"""Toxicity: the probability that a document is like the bad examples that the user gives (insults, hate, whatever they hold).

    f(d) = b + Σ_j w_j z_j(d) / √L(d)      z_j = 1 where an n-gram of orders 1..word_ngrams falls into bucket j, L = Σ_j z_j
    p(d) = σ(A f(d) + B)                   the probability that d is toxic, were toxic and other text equally common

The step's `target` holds the toxic documents, `against` harmless ones of the same kind of text (where there are none, the
pool stands in; but then "not like the pool", in subject or in spelling, is learnt as well). **High is bad**: filter with
`where = "toxicity < 0.5"`, rank by `-toxicity` (`--method toxicity` does). Nothing toxic ships with Assay: what counts as
toxic differs with the use, and a classifier carries the judgement, and the dialect, of those who labelled its examples
(Sap et al. 2019).

The model and its notes on held-out documents (AUC, accuracy, calibration) are those of `quality_classifier`.
Guarantee: training follows the content of the documents, so neither workers, layout nor order of the pool change it. A
document without a word has no score (NaN).
Source: a linear classifier over hashed n-grams trained on labelled comments, as Dolma tags toxic text (fastText on Jigsaw;
Soldaini et al., Dolma, 2024, https://arxiv.org/abs/2402.00159); bias of such labels: Sap et al., The risk of racial bias
in hate speech detection, 2019, https://doi.org/10.18653/v1/P19-1163.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64
from scipy.special import expit

from assay.contracts import Explainer, Rows, Scorer
from assay.errors import InputError
from assay.models.linear import LinearConfig, linear, pulls
from assay.models.two_class import train_two_class
from assay.types import Batch, Fitted, Texts


@final
@dataclass(frozen=True)
class Toxicity(Scorer, Explainer):
    """The probability that a document is toxic, in [0, 1]; high is bad, unlike other scores.

    `word_ngrams` is the longest n-gram in words (1 to 8), `buckets` the size of the table (2 to 2^26), `epochs` the most
    passes over the examples, `examples` how many documents of each class are looked at (chosen by content), `held_out`
    the share that is held out at a time (0.01 to 0.5), `cost` the weight C of the loss against |w|²/2 (0: chosen among 3,
    10, 30 and 100).

    >>> Toxicity().uses_target
    'required'
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.00159"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)
    rank_by: ClassVar[str] = "-toxicity"

    word_ngrams: int = 2
    buckets: int = 1 << 18
    epochs: int = 20
    examples: int = 25_000
    held_out: float = 0.1
    cost: float = 0.0

    def __post_init__(self) -> None:
        _ = self.config

    @property
    def config(self) -> LinearConfig:
        """The parameters as the model takes them."""
        return LinearConfig(
            "toxicity", self.word_ngrams, self.buckets, self.epochs, self.examples, self.held_out, self.cost
        )

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`weights (d,)` and `intercept (1,)`; notes on the held-out documents as `models.two_class.judged` names them.

        Raises InputError without a target, or where a class has fewer than two documents with a word.
        """
        if target is None:
            raise InputError(
                "toxicity needs a target, examples of toxic documents; name them in the step: target = FILE"
            )
        toxic, harmless = target.sample(self.examples), pool.sample(self.examples)
        fitted = train_two_class(toxic, harmless, self.config, rng)
        words = {"wanted": "toxic", "others": "harmless"}
        return Fitted(fitted.arrays, {words.get(name, name): value for name, value in fitted.notes.items()})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """p of every row; NaN for one without a word."""
        arrays = fitted.arrays
        return expit(linear(batch.text, self.word_ngrams, arrays["weights"], float(arrays["intercept"][0])))

    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The n-grams that pull the probability of the texts most; above zero: towards toxic."""
        return pulls(texts, self.word_ngrams, fitted.arrays["weights"], top)
