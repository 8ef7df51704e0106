"""Tokens: how many tokens of a given tokenizer a row's text has, t_i = |encode(x_i)|, without special tokens.

What a budget in tokens counts. The tokenizer is a `tokenizer.json` as the Hugging Face library writes it; byte-pair
encoding for language models is Sennrich, Haddow and Birch 2016, https://arxiv.org/abs/1508.07909.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from assay.contracts import Annotator
from assay.types import Batch, Column


@final
@dataclass(frozen=True)
class Tokens(Annotator):
    """Counts the tokens of each row; `tokenizer` is the path of a tokenizer.json.

    >>> Tokens("tokenizer.json").models
    {'tokenizer': 'tokenizer.json'}
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1508.07909"

    tokenizer: str = "tokenizer.json"

    @property
    def models(self) -> dict[str, str]:
        """The tokenizer, by its path."""
        return {"tokenizer": self.tokenizer}

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Column `tokens (b,)` of whole numbers."""
        encoded = models["tokenizer"].encode_batch_fast(list(batch.text), add_special_tokens=False)
        return {"tokens": np.fromiter(map(len, encoded), np.int64, len(batch))}
