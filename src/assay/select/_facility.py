"""What `facility_location` climbs: similarities of all pairs, or of neighbours, and who represents whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from scipy.linalg.blas import ssyrk

from assay.contracts import Objective, State
from assay.kernels import facility
from assay.models import clusters

HOW = {"cosine": "cosine", "squared_cosine": "cosine", "squared_correlation": "correlation", "euclidean": "euclidean"}
_BLOCK = 2_048


@final
@dataclass(frozen=True)
class Dense(Objective):
    """Facility location over all pairs: `similarity (n, n)`, symmetric, not below 0.

    >>> pairs = Dense(np.array([[1, 0.5], [0.5, 1]], np.float32))
    >>> state = pairs.start()
    >>> pairs.add(state, 0)
    >>> pairs.gains(state, np.array([0, 1])).tolist()
    [0.0, 0.5]
    """

    similarity: Float32[np.ndarray, "n n"]

    @classmethod
    def of(cls, vectors: clusters.Vectors, name: str) -> Dense:
        """Each pair is worked out once, so that both its places hold the same number."""
        whole = vectors.block(slice(None))
        found = np.empty((len(whole), len(whole)), np.float32)
        if len(whole):  # half of what a product of matrices takes
            found = ssyrk(1, whole.T, trans=1, c=found.T, overwrite_c=1).T
        facility.mirrored(found)
        if name == "euclidean":
            lengths = np.diagonal(found).copy()
            for part in vectors.parts(_BLOCK):
                found[part] = _distances(found[part], lengths[part], lengths)
        top = found.max(initial=0)
        for part in vectors.parts(_BLOCK):
            _turn_similar(found[part], name, top)
        return cls(found)

    def start(self) -> State:
        """Nobody serves anybody."""
        return {"served": np.zeros(len(self.similarity), np.float32)}

    def gains(self, state: State, rows: Int64[np.ndarray, "k"]) -> Float64[np.ndarray, "k"]:
        """See `Objective.gains`."""
        gains = np.empty(len(rows))
        facility.dense_gains(self.similarity, state["served"], rows, gains)
        return gains

    def add(self, state: State, row: int) -> None:
        """See `Objective.add`."""
        np.maximum(state["served"], self.similarity[row], out=state["served"])


@final
@dataclass(frozen=True)
class Sparse(Objective):
    """Facility location over lists: row j serves `rows[starts[j] : starts[j + 1]]`, so well as `values` say, and no others."""

    starts: Int64[np.ndarray, "n_plus_1"]
    rows: Int32[np.ndarray, "e"]
    values: Float32[np.ndarray, "e"]

    @classmethod
    def of(cls, vectors: clusters.Vectors, count: int, name: str) -> Sparse:
        """The `count` nearest of each row may serve it."""
        near, found = clusters.neighbours(vectors, count)
        top = found.max(initial=0, where=near >= 0)
        for part in vectors.parts():
            _turn_similar(found[part], name, top)
        listed = int((near >= 0).sum())
        lists = np.zeros(len(near) + 1, np.int64), np.empty(listed, np.int32), np.empty(listed, np.float32)
        facility.turned(near, found, *lists)
        return cls(*lists)

    def start(self) -> State:
        """Nobody serves anybody."""
        return {"served": np.zeros(len(self.starts) - 1, np.float32)}

    def gains(self, state: State, rows: Int64[np.ndarray, "k"]) -> Float64[np.ndarray, "k"]:
        """See `Objective.gains`."""
        gains = np.empty(len(rows))
        facility.sparse_gains(self.starts, self.rows, self.values, state["served"], rows, gains)
        return gains

    def add(self, state: State, row: int) -> None:
        """See `Objective.add`."""
        facility.sparse_add(self.starts, self.rows, self.values, state["served"], row)


def _turn_similar(found: Float32[np.ndarray, "n k"], name: str, top: float) -> None:
    """Out of inner products, or of squared distances of which `top` is the largest, in place; never below 0."""
    if name == "euclidean":
        np.maximum(np.subtract(np.float32(top), found, out=found), 0, out=found)
    elif name.startswith("squared"):
        np.square(found, out=found)
    else:
        np.maximum(found, 0, out=found)


def _products(
    left: Float32[np.ndarray, "b d"], right: Float32[np.ndarray, "j d"], name: str
) -> Float32[np.ndarray, "b j"]:
    """Inner products, or squared distances."""
    products = left @ right.T
    if name != "euclidean":
        return products
    return _distances(products, *(np.einsum("bd,bd->b", side, side) for side in (left, right)))


def _distances(
    products: Float32[np.ndarray, "b j"], left: Float32[np.ndarray, "b"], right: Float32[np.ndarray, "j"]
) -> Float32[np.ndarray, "b j"]:
    """Squared distances out of inner products and squared lengths."""
    return np.maximum(left[:, None] + right - 2 * products, 0)


def sizes(vectors: clusters.Vectors, chosen: Int64[np.ndarray, "k"], name: str) -> Float64[np.ndarray, "k"]:
    """How many rows are most similar to each chosen one; a chosen row represents itself, though a copy was chosen before it."""
    found, others = np.ones(len(chosen)), np.setdiff1d(np.arange(len(vectors)), chosen)
    centres = vectors.block(chosen)
    for start in range(0, len(others) if len(chosen) else 0, _BLOCK):
        near = _products(vectors.block(others[start : start + _BLOCK]), centres, name)
        like = -near if name == "euclidean" else near**2 if name.startswith("squared") else near
        found += np.bincount(like.argmax(axis=1), minlength=len(chosen))
    return found
