"""Seeded random projections: what keeps inner products of gradients in a few thousand numbers.

The same matrix for whoever has the same kind, width and seed: rows of a pool and of a target can only be compared if both went
through one. What the kinds are stands in `kernels/gradients.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32

from assay.errors import RecipeError
from assay.kernels import gradients as kernel

_Kind = Callable[[Float32[np.ndarray, "m"], int, int], Float32[np.ndarray, "d"]]
KINDS: dict[str, _Kind] = {"hadamard": kernel.hadamard, "sparse": kernel.sparse, "dense": kernel.dense}
_MOST = 1 << 16  # numbers of a row: 65,536 take 128 kB in float16


@final
@dataclass(frozen=True)
class Projection:
    """A linear map from any number of dimensions to `width`; `kind` is hadamard, sparse or dense (slow: the reference).

    >>> long = np.array([1, 2, 3], np.float32)
    >>> projection = Projection("hadamard", 4)
    >>> bool(np.allclose(projection(2 * long), 2 * projection(long))), projection(long).shape
    (True, (4,))
    """

    kind: str = "hadamard"
    width: int = 8192
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError(f"projection must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if not 1 <= self.width <= _MOST:
            raise RecipeError(f"the width of a projection must be from 1 to {_MOST:,}; got {self.width}")
        if self.kind == "hadamard" and self.width & (self.width - 1):
            near = 1 << (self.width.bit_length() - 1)
            raise RecipeError(
                f"the width of a hadamard projection must be a power of two; got {self.width}: take {near} or {2 * near}, or "
                "another projection"
            )

    def __call__(self, values: Float32[np.ndarray, "m"]) -> Float32[np.ndarray, "d"]:
        """The projection of one vector."""
        key = np.random.SeedSequence([self.seed, self.width]).generate_state(1, np.uint64)[0]
        return KINDS[self.kind](values, self.width, int(key))
