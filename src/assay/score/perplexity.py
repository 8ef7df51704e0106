"""Perplexity: how well a model of a reference text foretells a document, in bits.

    s(x) = log2 P(x) / (|x| + 1) = -log2 perplexity(x)      |x| bytes, and the end of the document

P is the interpolated modified Kneser-Ney model over bytes that `verify` judges with (models/ngram.py), trained on the
target: the reference text. Bigger is better: the document is more like the reference; 2^-s is its perplexity a byte.

CCNet cuts a pool by perplexity into a head below its 30th percentile, a middle below its 60th and a tail. As s falls
where perplexity grows, and `percent_rank(perplexity)` is the share of the pool with a smaller s, this is

    head    where = "percent_rank(perplexity) > 0.7"
    middle  where = "percent_rank(perplexity) > 0.4 and percent_rank(perplexity) <= 0.7"
    tail    where = "percent_rank(perplexity) <= 0.4"
    lowest  { select = "top_k", rank = "perplexity", budget = "20%" }                (POINTS)
    centre  where = "percent_rank(perplexity) > 0.25 and percent_rank(perplexity) <= 0.75"     (perplexity pruning)

Guarantee: counts are integers and the sample follows content, so neither workers nor layout change a score; every text
has one, for no byte is impossible. Very predictable text (repeats, boilerplate) also ranks high: cut duplicates first.
Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359; Liu et al., POINTS, 2024,
https://arxiv.org/abs/2409.04828; Marion et al., When Less is More, 2023, https://arxiv.org/abs/2309.04564.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64

from assay.contracts import Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.kernels import automaton, kneser_ney
from assay.kernels.automaton import Automaton
from assay.models import ngram
from assay.models.ngram import NGramConfig
from assay.types import Batch, Fitted, Texts

_END = 256
_MOST = 1 << 25  # bytes of reference text: training takes some 30 bytes of memory for each, at order 6


@final
@dataclass(frozen=True)
class Perplexity(Scorer):
    """Minus bits per byte under an n-gram model of the target.

    `order` is the longest n-gram in bytes (1 to 8) and `sample` how many target documents are trained on (those with
    the smallest content hashes, up to 32 MB).

    >>> Perplexity(order=5).features
    ('n-grams',)
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1911.00359"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)  # the judge `ngram` looks at the same

    order: int = 6
    sample: int = 100_000

    def __post_init__(self) -> None:
        for name, least, most in (("order", 1, 8), ("sample", 1, 10**9)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"perplexity: {name} must be from {least} to {most}; got {getattr(self, name)}")

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """The model as an automaton: its arrays by name, and `begin (1,)`, the state before a document.

        Raises InputError where there is no target, or it has no text.
        """
        if target is None:
            raise InputError("perplexity needs a target, the reference text to learn from; name it with --target")
        read = target.sample(self.sample)
        text = _within(read, _MOST)
        if not text.sizes.any():
            raise InputError("perplexity needs a target with text; got none in its text field")
        model = ngram.train([text], NGramConfig(self.order))
        trie = model.trie
        linked = automaton.link(trie, model.discounts, model.total, model.handed, _END)
        begin = kneser_ney.descend(trie, np.array([[_END]])) if self.order > 1 else np.zeros(1, np.int64)
        notes = {"target_documents": len(text), "target_bytes": int(text.sizes.sum()), "contexts": len(trie.symbol)}
        return Fitted({**linked._asdict(), "begin": begin}, notes)

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row."""
        linked = Automaton(*(np.asarray(fitted.arrays[name]) for name in Automaton._fields))
        text = batch.text
        spent = automaton.bits(text.data, text.offsets, linked, int(fitted.arrays["begin"][0]), _END)
        return -spent / (text.sizes + 1)


def _within(batch: Batch, size: int) -> Texts:
    """The texts of a batch, or of those with the smallest content hashes that together are no longer than `size`."""
    if batch.text.sizes.sum() <= size:
        return batch.text
    order = np.lexsort((batch.rows, batch.hashes))
    return batch.text.take(np.sort(order[np.cumsum(batch.text.sizes[order]) <= size]))
