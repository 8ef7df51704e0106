"""RDS+ as a score: the greatest and the mean cosine with the target's examples, whatever the blocks."""

from __future__ import annotations

import pickle
from functools import reduce
from typing import Any

import numpy as np
import pytest

from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.score import rds_plus
from assay.score.rds_plus import RdsPlus
from assay.types import Batch


class Vectors(Rows):
    """Rows in memory, in blocks of three."""

    def __init__(self, vectors: np.ndarray):
        self.blocks = [block(vectors[start : start + 3]) for start in range(0, len(vectors), 3)]

    def reduce(self, part: Any, merge: Any) -> Any:
        return reduce(merge, [pickle.loads(pickle.dumps(part))(one) for one in self.blocks])

    def sample(self, k: int) -> Batch:
        raise AssertionError("all of the target counts")

    def __len__(self) -> int:
        return sum(map(len, self.blocks))


def block(vectors: np.ndarray) -> Batch:
    return Batch(np.arange(len(vectors)), np.arange(len(vectors), dtype=np.uint64), {"states": vectors})


def scored(method: RdsPlus, rows: np.ndarray, aims: np.ndarray) -> np.ndarray:
    fitted = method.fit(Vectors(rows), Vectors(aims), np.random.default_rng(0))
    return method.score(fitted, block(rows))


@pytest.mark.parametrize("cells", [1, 1 << 20])
def test_the_greatest_and_the_mean_of_all_cosines(monkeypatch: pytest.MonkeyPatch, cells: int):
    monkeypatch.setattr(rds_plus, "_CELLS", cells)
    rng = np.random.default_rng(1)
    rows, aims = (rng.normal(size=(n, 4)).astype(np.float16) for n in (20, 7))
    rows[3] = 0
    plain = np.zeros((20, 7))
    for i, row in enumerate(rows.astype(float)):
        for j, aim in enumerate(aims.astype(float)):
            plain[i, j] = row @ aim / max(1e-30, np.linalg.norm(row) * np.linalg.norm(aim))
    np.testing.assert_allclose(scored(RdsPlus("states"), rows, aims), plain.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(scored(RdsPlus("states", "mean"), rows, aims), plain.mean(axis=1), atol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match="got 'round_robin': to take turns, select with round_robin"):
        RdsPlus(variant="round_robin")
    with pytest.raises(InputError, match="needs a target"):
        RdsPlus().fit(Vectors(np.eye(3)), None, np.random.default_rng(0))
