"""Cosines of vectors that earlier steps measured: the same number for a row whatever rows are worked beside it.

    cos(x, y) = <x, y> / (|x| |y|),   0 where a vector is zero

Products are summed in 64 bits and rounded to 32, because a library sums a block in an order that depends on the block's shape.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Shaped


def unit(vectors: Shaped[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    """Vectors of length one; a zero vector stays what it is.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    whole = vectors.astype(np.float64)
    lengths = np.sqrt((whole**2).sum(axis=1, keepdims=True))
    return whole / np.where(lengths > 0, lengths, 1.0)


def cosines(vectors: Shaped[np.ndarray, "b d"], aims: Float64[np.ndarray, "t d"]) -> Float32[np.ndarray, "b t"]:
    """The cosine of every vector with every aim; aims are `unit` already.

    >>> cosines(np.array([[2.0, 0.0], [1.0, 1.0]], np.float16), np.eye(2)).round(3).tolist()
    [[1.0, 0.0], [0.7070000171661377, 0.7070000171661377]]
    """
    return (unit(vectors) @ aims.T).astype(np.float32)
