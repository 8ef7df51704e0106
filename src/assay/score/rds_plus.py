"""RDS+: the cosine of a row's embedding with those of the target's examples, the greatest or the mean.

    s(x) = max_j cos(v(x), v(y_j))   (max),   s(x) = (1/t) Σ_j cos(v(x), v(y_j))   (mean)

v is a signal of an earlier step; in the paper the position-weighted mean of a language model's last hidden states over prompt and
answer: { annotate = "embed", pooling = "position_weighted", form = "turns" }.

To rank by these and take the best is one way of choosing. The paper's best is another: target examples take turns, each
takes its nearest row that is left (`select = "round_robin"`; the recipe `rds_plus` has it). Under the maximum a target example
in a crowded place can fill the budget, and one with no near row gets none.

Guarantee: a score depends on the row and the target alone. A row without an embedding has none.
Source: Ivison, Zhang, Brahman, Koh and Dasigi, Large-Scale Data Selection for Instruction Tuning, 2025,
https://arxiv.org/abs/2503.01807; its code has the variants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float32, Float64

from assay.contracts import Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.models.cosine import cosines, unit
from assay.types import Batch, Fitted

_VARIANTS = ("max", "mean")
_CELLS = 1 << 22  # cosines that are held at once


@final
@dataclass(frozen=True)
class RdsPlus(Scorer):
    """Likeness to the target's examples by embeddings.

    of        the signal that holds the embeddings
    variant   `max`: with the nearest example; `mean`: with all of them

    >>> RdsPlus(of="states").reads
    ('states',)
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2503.01807"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("embeddings",)

    of: str = "embed"
    variant: str = "max"

    def __post_init__(self) -> None:
        if self.variant not in _VARIANTS:
            raise RecipeError(
                f"rds_plus: variant must be one of {', '.join(_VARIANTS)}; got {self.variant!r}: to take turns, select with "
                "round_robin"
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """The embeddings."""
        return (self.of,)

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`examples (t, d)`, each of length one; InputError where there is no target."""
        if target is None:
            raise InputError("rds_plus needs a target, some examples like those that you want; name it with --target")
        examples = target.reduce(_Examples(self.of), _beside)
        return Fitted({"examples": unit(examples)}, {"target_examples": len(examples)})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row."""
        vectors, examples = batch.columns[self.of], np.asarray(fitted.arrays["examples"])
        assert isinstance(vectors, np.ndarray)
        size = max(1, _CELLS // len(examples))
        parts = [np.zeros(0)]
        for start in range(0, len(vectors), size):
            near = cosines(vectors[start : start + size], examples).astype(np.float64)
            parts.append(near.max(axis=1) if self.variant == "max" else near.mean(axis=1))
        return np.concatenate(parts)


@final
@dataclass(frozen=True)
class _Examples:
    """A part of the fit: the vectors of some rows."""

    of: str

    def __call__(self, batch: Batch) -> Float32[np.ndarray, "k d"]:
        return np.asarray(batch.columns[self.of], np.float32)


def _beside(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, second])
