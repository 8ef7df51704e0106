"""CCNet perplexity: a KenLM model scores every line of a document, and the sums give one number.

    p(x) = 10 ^ (-Σ_lines log10 P(line) / Σ_lines (|line| + 1))        |line| words, and the end of the line

Lines are cut at "\\n" and normalised as cc_net does: accents stripped, lower case, digits to 0, typographic
punctuation to ASCII, control characters removed. Logarithms are pooled before the quotient, not perplexities averaged;
|line| is the number of words between white space, and empty lines count too. CCNet's own models were trained on
SentencePiece pieces, which this does not make: give it a model of words, or text that is cut already. A small p is text
like the model's, so cut with

    head    where = "percent_rank(-kenlm) > 0.7"
    middle  where = "percent_rank(-kenlm) > 0.4 and percent_rank(-kenlm) <= 0.7"
    tail    where = "percent_rank(-kenlm) <= 0.4"

Source: Wenzek et al., CCNet, 2019, https://arxiv.org/abs/1911.00359; Heafield, KenLM, 2011,
https://aclanthology.org/W11-2123.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from assay.contracts import Annotator
from assay.types import Batch, Column

_ONE_FOR_ONE = str.maketrans("，。、；：∶？！（）％～„“”«»「」《´’–━►〈〉【】", ",.,;::?!()%~\"\"\"\"\"\"\"\"''---<>[]")
_PUNCTUATION = _ONE_FOR_ONE | str.maketrans({"—": " - ", "．": ". ", "…": "..."})
_CONTROLS = re.compile("[" + "".join(map(chr, [*range(0, 32), *range(127, 160)])) + "]")
_DIGIT = re.compile(r"\d")


@final
@dataclass(frozen=True)
class Kenlm(Annotator):
    """Perplexity of each row under the KenLM model at the path `model` (.arpa or .bin); needs the extra `kenlm`.

    >>> Kenlm("en.arpa").models
    {'kenlm': 'en.arpa'}
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1911.00359"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)
    rank_by: ClassVar[str] = "-kenlm"

    model: str = "model.arpa"

    @property
    def models(self) -> dict[str, str]:
        """The model, by its path."""
        return {"kenlm": self.model}

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Column `kenlm (b,)`: p of every row, not rounded (cc_net keeps one decimal); an empty text has none (NaN)."""
        model = models["kenlm"]
        return {"kenlm": np.array([_perplexity(model, text) for text in batch.text], np.float64)}


def _perplexity(model: Any, text: str) -> float:
    lines = [_normalise(line) for line in text.split("\n")] if text else []
    score = sum(model.score(line) for line in lines)
    length = sum(len(line.split()) + 1 for line in lines)
    return 10.0 ** (-score / length) if length else float("nan")


def _normalise(line: str) -> str:
    """As cc_net's normaliser with its defaults; digits first, so that its odd full-width 1 (a quote) never shows."""
    plain = unicodedata.normalize("NFD", line.strip().lower())
    if not plain.isascii():
        plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Mn")
    return _CONTROLS.sub("", _DIGIT.sub("0", plain).translate(_PUNCTUATION))
