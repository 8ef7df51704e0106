"""What a causal language model is, as numbers: shapes of the three proxies, or a folder of the transformers library.

One dial, the size. All are Llama-shaped (Touvron et al. 2023, https://arxiv.org/abs/2302.13971) with tied embeddings over
one byte-level tokenizer of 2,048 tokens and a context of 256. Peak rates were found by `bench/tune_rates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final


@final
@dataclass(frozen=True)
class Shape:
    """A Llama of `width`, with `layers`, `heads` and feed-forward layers of `hidden`, over a vocabulary."""

    width: int
    layers: int
    heads: int
    hidden: int
    vocabulary: int = 2048

    @property
    def parameters(self) -> int:
        """Numbers that are trained; embeddings, which are also the last layer's, count once.

        >>> Shape(64, 4, 2, 176).parameters
        332352
        """
        layer = 4 * self.width**2 + 3 * self.width * self.hidden + 2 * self.width
        return self.layers * layer + (self.vocabulary + 1) * self.width


@final
@dataclass(frozen=True)
class CausalConfig:
    """A model and how it is trained.

    model    a shape, or where the transformers library finds a config or a checkpoint: a folder or a hub id
    rate     peak learning rate
    context  tokens that a row holds
    rows     rows of one step
    warm     steps of rising rate
    decay    weight decay of matrices
    clip     the gradient's norm at most
    end      the token that ends a document
    """

    model: Shape | str
    rate: float
    context: int = 256
    rows: int = 8
    warm: int = 40
    betas: tuple[float, float] = (0.9, 0.95)
    decay: float = 0.1
    clip: float = 1.0
    end: int = 0

    @property
    def step(self) -> int:
        """Tokens of one step."""
        return self.rows * self.context


SIZES: Mapping[str, CausalConfig] = MappingProxyType(
    {
        "lm-nano": CausalConfig(Shape(64, 4, 2, 176), rate=3e-3),
        "lm-micro": CausalConfig(Shape(128, 6, 4, 352), rate=2e-3),
        "lm-mini": CausalConfig(Shape(320, 8, 5, 864), rate=1e-3),
    }
)
