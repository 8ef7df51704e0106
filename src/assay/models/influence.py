"""Influence from stored gradients: cosines at each checkpoint, weighted by its share of the learning rates.

    A_ij = Σ_c η̄_c cos(x_ci, y_cj),     η̄_c = η_c / Σ η        (Xia et al. 2024, https://arxiv.org/abs/2402.04333)

What the scorer and the selectors of gradients share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Shaped

from assay.errors import RecipeError
from assay.models.cosine import cosines, unit
from assay.types import Batch

__all__ = ["columns", "gradients", "influences", "unit", "weights"]
_ROWS = 512  # that are worked at once: 32 MB at 8,192 numbers


def columns(of: str, checkpoints: int) -> tuple[str, ...]:
    """The columns that `annotate = "gradients"` makes under a name.

    >>> columns("gradients", 2)
    ('gradients_1', 'gradients_2', 'gradients_rates')
    """
    return (*(f"{of}_{place}" for place in range(1, checkpoints + 1)), f"{of}_rates")


def gradients(batch: Batch, of: str, checkpoints: int) -> list[Shaped[np.ndarray, "b d"]]:
    """The gradients of a batch, checkpoint by checkpoint."""
    return [np.asarray(batch.columns[name]) for name in columns(of, checkpoints)[:-1]]


def weights(rates: Float64[np.ndarray, "c"], checkpoints: int, method: str) -> Float64[np.ndarray, "c"]:
    """Learning rates as weights that sum to one; RecipeError where there are not as many as the method was told.

    >>> weights(np.array([3.0, 1.0]), 2, "less").tolist()
    [0.75, 0.25]
    """
    if len(rates) != checkpoints:
        raise RecipeError(
            f"{method}: checkpoints must be as many as the warm-up had, {len(rates)}; got {checkpoints}: give {method} "
            f"checkpoints = {len(rates)}"
        )
    total = rates.sum()
    return rates / total if total > 0 else np.full(len(rates), 1 / len(rates))


def influences(
    vectors: Sequence[Shaped[np.ndarray, "b d"]], aims: Float64[np.ndarray, "c g d"], shares: Float64[np.ndarray, "c"]
) -> Float64[np.ndarray, "b g"]:
    """A of every row with every aim; rows are brought to length one here, aims as they are meant to count."""
    found = np.zeros((len(vectors[0]), aims.shape[1]))
    for start in range(0, len(found), _ROWS):
        some = slice(start, start + _ROWS)
        for each, aim, share in zip(vectors, aims, shares, strict=True):
            found[some] += share * cosines(each[some], aim)
    return found
