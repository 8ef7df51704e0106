"""K-means cells: every row goes to the nearest of g centres, and says how far it is from it.

    minimise Σ_i |x_i - c(z_i)|²,   x_i = v_i / |v_i|       z_i the cell of row i, c its centre, v its embedding
    distance_i = 1 - <x_i, c(z_i)> / |c(z_i)|                cosine distance, 0 at the centre

`spherical` k-means keeps centres at length one, so that the nearest is that of the largest cosine; `euclidean` k-means leaves
them where the mean of unit vectors is. Nothing is dropped: the cell is a signal of the step's name, the distance one that
ends in `_distance`. A row that is dead, or has no vector (NaN, or zeros alone), is of cell -1 and has no distance.

Guarantee: the cells depend on the vectors, the seed and the rows' contents, not on the order of rows, files, threads or
workers. Another seed gives other cells. Lloyd's rounds end at a local optimum, not at the best of all. Memory: float32 copies
of a few blocks.
Source: Lloyd, Least squares quantization in PCM, 1982, https://doi.org/10.1109/TIT.1982.1056489; for data selection Abbas et
al., SemDeDup, 2023, https://arxiv.org/abs/2303.09540, and Tirumala et al., D4, 2023, https://arxiv.org/abs/2308.12284.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from assay.contracts import Engine, Grouper, Rows
from assay.errors import RecipeError
from assay.models import clusters
from assay.types import Groups, Signals

_VARIANTS = ("spherical", "euclidean")


@final
@dataclass(frozen=True)
class Kmeans(Grouper):
    """Cells of rows whose embeddings are alike.

    of             the signal of vectors, which an earlier step measured
    clusters       how many; 0: the square root of the number of rows, as D4 has 11,000 for some hundred million
    iterations     at most so many rounds
    points         centres are found on so many rows for each cell, the ones of smallest content hash; then every row gets its cell
    variant        `spherical` or `euclidean`

    >>> vectors = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 5.0], [np.nan, 0.0]])
    >>> signals = {"embed": vectors, "row_hash": np.arange(4, dtype=np.uint64), "living": np.ones(4, bool)}
    >>> groups, told = Kmeans(clusters=2).group(None, Signals(signals), None, np.random.default_rng(0))
    >>> len(set(groups.ids[:2].tolist())), len(set(groups.ids[:3].tolist())), int(groups.ids[3]), told["kmeans_distance"].tolist()
    (1, 2, -1, [0.0, 0.0, 0.0, nan])
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://doi.org/10.1109/TIT.1982.1056489"
    gives: ClassVar[Literal["groups", "share", "cells"]] = "cells"

    of: str = "embed"
    clusters: int = 0
    iterations: int = 20
    points: int = 256
    variant: str = "spherical"

    def __post_init__(self) -> None:
        for name, least, most in (("clusters", 0, 10_000_000), ("iterations", 1, 10_000), ("points", 1, 1_000_000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"kmeans: {name} must be from {least} to {most:,}; got {getattr(self, name)}")
        if self.variant not in _VARIANTS:
            raise RecipeError(f"kmeans: variant must be one of {', '.join(_VARIANTS)}; got {self.variant!r}")

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors, and what orders rows by content."""
        return (self.of, "row_hash")

    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """The cell of every row (-1: none), and its cosine distance to the centre (NaN: none)."""
        whole = signals[self.of]
        rows = np.flatnonzero(clusters.present(whole, self.of) & signals["living"])
        cell, distance = np.full(len(whole), -1, np.int32), np.full(len(whole), np.nan, np.float32)
        if len(rows):
            centres = self._centres(whole, rows, signals["row_hash"], rng)
            near, similarity = centres.nearest(clusters.Vectors(whole, rows, "cosine"))
            cell[rows], distance[rows] = near, np.clip(1 - similarity, 0, 2)
        return Groups(cell, ()), Signals({"kmeans_distance": distance})

    def _centres(
        self, whole: np.ndarray, rows: np.ndarray, hashes: np.ndarray, rng: np.random.Generator
    ) -> clusters.Cells:
        """Fitted to a sample that is in the order of contents, so that the order of the pool changes nothing."""
        count = self.clusters or max(1, round(len(rows) ** 0.5))
        if count > len(rows):
            raise RecipeError(
                f"kmeans: clusters must be at most the rows that have an {self.of!r}, {len(rows):,}; got {count:,}: ask for fewer, "
                "or for 0, which is their square root"
            )
        sample = rows[np.argsort(hashes[rows], kind="stable")[: count * self.points]]
        vectors = clusters.Vectors(whole, sample, "cosine")
        return clusters.Cells.fit(vectors, count, self.iterations, self.variant == "spherical", rng)
