"""A quality classifier: a linear model over hashed words and word n-grams, trained in seconds from good and bad documents.

    f(d) = b + Σ_j w_j z_j(d) / √L(d)      z_j = 1 where an n-gram of orders 1..word_ngrams falls into bucket j, L = Σ_j z_j
    p(d) = σ(A f(d) + B)                   the probability that d is one of the good, were good and bad equally common

Good are the documents of the target (--good, or a step's `target`); bad are those of `against` (--bad), or, where there
are none, the pool itself, as DCLM and Ultra-FineWeb do it. What is in both counts as good only. w and b are the optimum
of the L2-regularised logistic loss; C, A and B are chosen on held-out documents, and AUC, accuracy, calibration error
and a table of reliability, measured on held-out documents that decided nothing, go with the scores (`models.two_class`).
Cut by percentile, as the papers do (DCLM kept the top tenth, at a probability of 0.018 of its own model: 0.5 means
nothing where few documents are good): `where = "percent_rank(quality_classifier) >= 0.9"`.

Guarantee: training follows the content of the documents, so neither workers, layout nor order of the pool change it. A
document without a word has no score (NaN).
Source: Li et al., DataComp-LM, 2024, https://arxiv.org/abs/2406.11794, 4.4; Wang et al., Ultra-FineWeb, 2025,
https://arxiv.org/abs/2505.05427; model: Joulin et al., 2016, https://arxiv.org/abs/1607.01759. Theirs is fastText's, with
an embedding between words and classes; this one has none, and no learning rate: the optimum is found, not approached.
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
class QualityClassifier(Scorer, Explainer):
    """The probability that a document is one of the good ones, in [0, 1].

    `word_ngrams` is the longest n-gram in words (1 to 8; DCLM and Ultra-FineWeb: 2), `buckets` the size of the table (2
    to 2^26), `epochs` the most passes over the examples (training stops once nothing moves), `examples` how many documents
    of each class are looked at (chosen by content; the papers have 200,000), `held_out` the share that is held out at a
    time (0.01 to 0.5), `cost` the weight C of the loss against |w|²/2 (0: chosen among 3, 10, 30 and 100).

    >>> QualityClassifier(word_ngrams=1).cost
    0.0
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.11794"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)

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
            "quality_classifier", self.word_ngrams, self.buckets, self.epochs, self.examples, self.held_out, self.cost
        )

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`weights (d,)` and `intercept (1,)`; notes on the held-out documents as `models.two_class.judged` names them.

        Raises InputError without a target, or where a class has fewer than two documents with a word.
        """
        if target is None:
            raise InputError("quality_classifier needs examples of good documents; name them with --good")
        good, bad = target.sample(self.examples), pool.sample(self.examples)
        fitted = train_two_class(good, bad, self.config, rng)
        words = {"wanted": "good", "others": "bad"}
        return Fitted(fitted.arrays, {words.get(name, name): value for name, value in fitted.notes.items()})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """p of every row; NaN for one without a word."""
        arrays = fitted.arrays
        return expit(linear(batch.text, self.word_ngrams, arrays["weights"], float(arrays["intercept"][0])))

    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The n-grams that pull the probability of the texts most; above zero: up."""
        return pulls(texts, self.word_ngrams, fitted.arrays["weights"], top)
