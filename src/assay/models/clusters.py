"""K-means and nearest neighbours over vectors that an earlier step measured: faiss does the search, blocks keep it small.

    how            what a row's vector becomes           near means
    cosine         x / |x|                               a large <x, y>
    correlation    (x - mean x) / |x - mean x|           a large <x, y>
    euclidean      x                                     a small |x - y|²

Centres start as rows drawn by the seed; in each round every row goes to its nearest centre (Lloyd 1982,
https://doi.org/10.1109/TIT.1982.1056489), and a centre becomes the mean of its rows, of length one if it is `spherical`
(Dhillon and Modha 2001, https://doi.org/10.1023/A:1007612920971). A centre that has lost all its rows moves to the row that
is farthest from its own. Sums are taken in the order of the rows, block by block, and one thread works a block: so neither
the number of threads nor what else the machine does changes a bit. Vectors stay as they are stored; only blocks of them
become float32.

faiss (Douze et al. 2024, https://arxiv.org/abs/2401.08281) is the extra `geometry`, and imported when it is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from assay.errors import InputError, MissingExtra

BLOCK = 8_192  # rows that are float32 at a time, in each thread
EXACT = 16_384  # rows up to which neighbours are looked for among all: of more, cells are faster
_PROBES = 16  # cells that the neighbours of more rows are looked for in, and how these cells are made:
_ROWS_OF_A_CELL, _TRAINED_BY, _ROUNDS = 256, 32, 10


@final
@dataclass(frozen=True)
class Vectors:
    """Some rows of an array of vectors (n, d), in an order of their own, as `how` says.

    >>> two = Vectors(np.array([[3.0, 4.0], [0.0, 2.0]]), np.array([1, 0]), "cosine")
    >>> two.block(slice(0, 2)).tolist()
    [[0.0, 1.0], [0.6000000238418579, 0.800000011920929]]
    """

    whole: Float[np.ndarray, "n d"]
    rows: Int64[np.ndarray, "k"]
    how: str

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Int64[np.ndarray, "j"]) -> Vectors:
        """Those at some places among these."""
        return Vectors(self.whole, self.rows[places], self.how)

    def block(self, part: slice | Int64[np.ndarray, "b"]) -> Float32[np.ndarray, "b d"]:
        """Some of them, as float32."""
        found = np.ascontiguousarray(self.whole[self.rows[part]], np.float32)
        if self.how == "euclidean":
            return found
        if self.how == "correlation":
            found -= found.mean(axis=1, keepdims=True)
        return _unit(found)

    def parts(self, size: int = 0) -> Iterator[slice]:
        """The blocks, in order, of `BLOCK` rows unless said otherwise."""
        return (slice(start, start + (size or BLOCK)) for start in range(0, len(self), size or BLOCK))


def _unit(found: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b d"]:
    """Rows of length one; a row of zeros stays what it is."""
    lengths = np.sqrt(np.einsum("bd,bd->b", found, found))
    return found / np.where(lengths > 0, lengths, np.float32(1))[:, None]


def present(whole: Float[np.ndarray, "n d"], name: str) -> Bool[np.ndarray, "n"]:
    """Which rows have a vector: finite, and not all zeros. InputError where the signal of that name holds no vectors."""
    if whole.ndim != 2:
        raise InputError(
            f"{name} must hold a vector for each row, (n, d); it is of shape {whole.shape}: name an embed step"
        )
    found = np.zeros(len(whole), bool)
    for start in range(0, len(whole), BLOCK):
        part = whole[start : start + BLOCK]
        found[start : start + BLOCK] = np.isfinite(part).all(axis=1) & (part != 0).any(axis=1)
    return found


@final
@dataclass(frozen=True)
class Cells:
    """Centres of k-means (g, d), `spherical` or not."""

    centres: Float32[np.ndarray, "g d"]
    spherical: bool

    @classmethod
    def fit(cls, vectors: Vectors, cells: int, rounds: int, spherical: bool, rng: np.random.Generator) -> Cells:
        """K-means of all these vectors; at least as many as cells."""
        start = np.sort(rng.choice(len(vectors), cells, replace=False))
        found, before = cls(vectors.block(start), spherical), np.zeros(0, np.int32)
        for _ in range(rounds):
            near, similarity, sums = found._round(vectors)
            if np.array_equal(near, before):
                break
            found, before = cls(found._moved(vectors, near, similarity, sums), spherical), near
        return found

    def nearest(self, vectors: Vectors) -> tuple[Int32[np.ndarray, "k"], Float32[np.ndarray, "k"]]:
        """The cell of each vector and the cosine of the vector and its centre (Euclidean vectors: less their squared distance)."""
        parts = list(vectors.parts())
        found = list(_spread(partial(self._of_part, vectors), parts))
        none = (np.zeros(0, np.int32), np.zeros(0, np.float32))
        return tuple(np.concatenate(several) for several in zip(none, *found, strict=True))

    def _of_part(self, vectors: Vectors, part: slice) -> tuple[np.ndarray, np.ndarray]:
        return self._of_block(vectors.block(part), vectors.how)

    def _of_block(self, block: Float32[np.ndarray, "b d"], how: str) -> tuple[np.ndarray, np.ndarray]:
        """Cells and similarities; a row's similarity is summed alone, so it does not depend on the block."""
        _, found = faiss().knn(block, self.centres, 1, _metric(how if self.spherical else "euclidean"))
        near = found[:, 0].astype(np.int32)
        own = self.centres[near]
        if how == "euclidean":
            return near, -np.einsum("bd,bd->b", block - own, block - own)
        return near, np.einsum("bd,bd->b", block, _unit(own))

    def _round(self, vectors: Vectors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest cell of each, how near it is, and the sums (g, d) of the vectors of each cell."""
        near, similarity = np.empty(len(vectors), np.int32), np.empty(len(vectors), np.float32)
        parts, sums = list(vectors.parts()), np.zeros(self.centres.shape)
        for part, (own, like, cells, added) in zip(parts, _spread(partial(self._sums, vectors), parts), strict=True):
            near[part], similarity[part] = own, like
            sums[cells] += added
        return near, similarity, sums

    def _sums(self, vectors: Vectors, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        block = vectors.block(part)
        near, similarity = self._of_block(block, vectors.how)
        order = np.argsort(near, kind="stable")
        cells, starts = np.unique(near[order], return_index=True)
        return near, similarity, cells, np.add.reduceat(block[order], starts, axis=0, dtype=np.float64)

    def _moved(
        self, vectors: Vectors, near: Int32[np.ndarray, "k"], similarity: Float32[np.ndarray, "k"], sums: np.ndarray
    ) -> Float32[np.ndarray, "g d"]:
        """The centres after a round."""
        sizes = np.bincount(near, minlength=len(sums))
        centres = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
        if self.spherical and vectors.how != "euclidean":
            centres = _unit(centres)
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            centres[empty] = vectors.block(np.argsort(similarity, kind="stable")[: len(empty)])
        return centres


def neighbours(vectors: Vectors, count: int) -> tuple[Int32[np.ndarray, "n k"], Float32[np.ndarray, "n k"]]:
    """The `count` nearest of each vector, itself among them, nearest first, and their inner products (Euclidean: squared
    distances); -1 where fewer were found.

    Exact for up to 16,384 vectors. Of more, only the sixteen cells of k-means that lie nearest to a vector's own are looked
    through, of about 256 vectors each: where vectors form clusters nearly all neighbours are found.
    """
    count = min(count, len(vectors))
    places, values = np.empty((len(vectors), count), np.int32), np.empty((len(vectors), count), np.float32)
    for rows, near, found in _searched(vectors, count):
        lost = ~(near == rows[:, None]).any(axis=1)  # copies of a row may have crowded it out of its own list
        near[lost, -1], found[lost, -1] = rows[lost], 0.0 if vectors.how == "euclidean" else 1.0
        places[rows], values[rows] = near, found
    return places, values


def _searched(vectors: Vectors, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows, their neighbours, and how near these are), until every row was looked at."""
    if len(vectors) <= EXACT:
        look = partial(_among, vectors, vectors.block(slice(None)), count)
        for part, (found, near) in zip(vectors.parts(), _spread(look, list(vectors.parts())), strict=True):
            yield np.arange(len(vectors))[part], near, found
        return
    cells, rng = len(vectors) // _ROWS_OF_A_CELL, np.random.default_rng(0)
    sample = np.sort(rng.choice(len(vectors), min(len(vectors), _TRAINED_BY * cells), replace=False))
    fitted = Cells.fit(vectors.take(sample), cells, _ROUNDS, True, rng)
    near, _ = fitted.nearest(vectors)
    order = np.argsort(near, kind="stable")
    starts = np.searchsorted(near[order], np.arange(cells + 1))
    _, beside = faiss().knn(fitted.centres, fitted.centres, min(_PROBES, cells), _metric(vectors.how))
    yield from _spread(
        partial(_inside, vectors, order, starts, beside, count), np.flatnonzero(np.diff(starts)).tolist()
    )


def _among(
    vectors: Vectors, others: Float32[np.ndarray, "j d"], count: int, part: slice | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return faiss().knn(vectors.block(part), others, min(count, len(others)), _metric(vectors.how))


def _inside(
    vectors: Vectors,
    order: Int64[np.ndarray, "n"],
    starts: Int64[np.ndarray, "g_plus_1"],
    beside: Int64[np.ndarray, "g k"],
    count: int,
    cell: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The neighbours of one cell's rows, out of the cells beside it, as many of them together as make a block."""
    rows = order[starts[cell] : starts[cell + 1]]
    sign = 1 if vectors.how == "euclidean" else -1
    near, found = np.full((len(rows), count), -1), np.full((len(rows), count), sign * np.inf, np.float32)
    for others in _together(beside[cell].tolist(), np.diff(starts)):
        inside = np.concatenate([order[starts[other] : starts[other + 1]] for other in others])
        if len(inside):
            some, places = _among(vectors, vectors.block(inside), count, rows)
            near, found = np.hstack([near, inside[places]]), np.hstack([found, some])
            best = np.argsort(sign * found, axis=1, kind="stable")[:, :count]
            near, found = np.take_along_axis(near, best, 1), np.take_along_axis(found, best, 1)
    return rows, near, found


def _together(cells: Sequence[int], sizes: Int64[np.ndarray, "g"]) -> Iterator[list[int]]:
    """Cells one after another, in runs of at most `BLOCK` rows; a larger one stands alone."""
    run, rows = list[int](), 0
    for cell in cells:
        if run and rows + sizes[cell] > BLOCK:
            yield run
            run, rows = [], 0
        run.append(cell)
        rows += int(sizes[cell])
    yield run


def _metric(how: str) -> int:
    return faiss().METRIC_L2 if how == "euclidean" else faiss().METRIC_INNER_PRODUCT


def _spread(work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Results in order, from as many threads as there are processors, each of which faiss takes for the only one."""
    ahead = 2 * _threads()
    with _by_products(), ThreadPoolExecutor(_threads(), initializer=_alone) as pool:
        for start in range(0, len(items), ahead):  # results wait for their turn, and no more of them than this
            yield from pool.map(work, items[start : start + ahead])


@contextmanager
def _by_products() -> Iterator[None]:
    """Meanwhile faiss multiplies matrices. 1.14 and 1.15 do so only where queries times dimensions reach 128,000, which suits many
    threads; for one it is 800, as later versions know (https://github.com/facebookresearch/faiss/pull/5109, 2026)."""
    told = faiss().cvar
    before = told.distance_compute_blas_threshold
    told.distance_compute_blas_threshold = min(before, 800)
    try:
        yield
    finally:
        told.distance_compute_blas_threshold = before


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _alone() -> None:
    faiss().omp_set_num_threads(1)


def faiss() -> ModuleType:
    """The library; MissingExtra where it is not installed."""
    try:
        import faiss as library
    except ImportError:
        raise MissingExtra.of("k-means", "geometry") from None
    return library
