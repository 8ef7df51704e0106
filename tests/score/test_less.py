"""LESS from numbers: the formula in plain loops, subtasks, scales, checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pytest

from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.score.less import Less
from assay.types import Batch

RNG = np.random.default_rng(7)
RATES = np.array([3e-5, 1e-5])


def rows_of(gradients: np.ndarray, source: np.ndarray, rates: np.ndarray = RATES) -> Batch:
    """A batch of gradients (c, n, d)."""
    count = gradients.shape[1]
    named = {f"gradients_{place}": one for place, one in enumerate(gradients, 1)}
    columns = {**named, "gradients_rates": np.tile(rates, (count, 1)), "source": source}
    return Batch(np.arange(count), np.arange(count, dtype=np.uint64), columns)


@dataclass(frozen=True)
class Parts(Rows):
    """Rows in a few batches."""

    batches: tuple[Batch, ...]

    def reduce(self, part: Callable, merge: Callable) -> Any:
        return reduce(merge, [part(one) for one in self.batches])

    def sample(self, k: int) -> Batch:
        raise AssertionError("it needs no sample")

    def __len__(self) -> int:
        return sum(map(len, self.batches))


POOL = RNG.normal(size=(2, 30, 6)).astype(np.float16)
TARGET = RNG.normal(size=(2, 7, 6)).astype(np.float16)
SOURCE = np.array([4, 9, 9, 2, 9, 4, 9])


def scores(
    pool: np.ndarray = POOL, target: np.ndarray = TARGET, source: np.ndarray = SOURCE, cut: int = 7, **given: Any
) -> np.ndarray:
    scorer, rates = Less(checkpoints=2, **{k: v for k, v in given.items() if k != "rates"}), given.get("rates", RATES)
    batches = [
        rows_of(target[:, start : start + cut], source[start : start + cut], rates)
        for start in range(0, len(source), cut)
    ]
    nobody = Parts(())
    fitted = scorer.fit(nobody, Parts(tuple(batches)), np.random.default_rng(0))
    return scorer.score(fitted, rows_of(pool, np.zeros(pool.shape[1], int)))


def slowly(pool: np.ndarray, target: np.ndarray, source: np.ndarray, rates: np.ndarray, over: Callable) -> np.ndarray:
    """The formula, row by row, example by example."""
    found = []
    for row in range(pool.shape[1]):
        tasks = []
        for task in sorted(set(source.tolist())):
            cosines = []
            for example in np.flatnonzero(source == task):
                total = 0.0
                for place, rate in enumerate(rates):
                    x, y = pool[place, row].astype(float), target[place, example].astype(float)
                    total += rate / sum(rates) * float(x @ y) / (np.linalg.norm(x) * np.linalg.norm(y))
                cosines.append(total)
            tasks.append(sum(cosines) / len(cosines))
        found.append(over(tasks))
    return np.array(found)


@pytest.mark.parametrize(("word", "over"), [("max", max), ("mean", lambda tasks: sum(tasks) / len(tasks))])
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_the_formula_in_plain_loops(word: str, over: Callable, cut: int) -> None:
    """Subtasks of two, four and one examples, however the target is cut."""
    expected = slowly(POOL, TARGET, SOURCE, RATES, over)
    np.testing.assert_allclose(scores(cut=cut, subtasks=word), expected, atol=1e-6)


def test_the_scale_of_a_rows_gradient_changes_nothing() -> None:
    scaled = POOL.astype(np.float32) * RNG.uniform(0.01, 100, (2, 30, 1))
    np.testing.assert_allclose(scores(scaled), scores(POOL.astype(np.float32)), atol=1e-6)


def test_the_scale_of_an_examples_gradient_changes_nothing() -> None:
    scaled = TARGET.astype(np.float32) * RNG.uniform(0.01, 100, (2, 7, 1))
    np.testing.assert_allclose(scores(target=scaled), scores(), atol=1e-6)


def test_the_order_and_names_of_subtasks_change_nothing() -> None:
    order = RNG.permutation(7)
    renamed = np.array([{4: 0, 9: 5, 2: 70}[one] for one in SOURCE.tolist()])
    for target, source in ((TARGET[:, order], SOURCE[order]), (TARGET, renamed)):
        np.testing.assert_allclose(scores(target=target, source=source), scores(), atol=1e-6)


def test_a_row_that_helps_one_subtask_beats_one_that_helps_all_a_little() -> None:
    """Three examples of one task and one of another: the maximum over means, not the mean over examples."""
    target = np.array([[[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]]] * 2, np.float32)
    pool = np.array([[[0, 1, 0], [1, 0.9, 0]]] * 2, np.float32)
    best, little = scores(pool, target, np.array([0, 0, 0, 1]))
    assert best == pytest.approx(1) and little == pytest.approx(1 / np.sqrt(1.81))
    alike, other = scores(pool, target, np.zeros(4, int))
    assert alike == pytest.approx(0.25) and other > alike


def test_checkpoints_count_by_their_share_of_the_rates() -> None:
    pool = np.stack([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    target = np.array([[[1.0, 0.0]]] * 2)
    for rates, expected in (([3e-5, 1e-5], 0.75), ([6.0, 2.0], 0.75), ([1e-5, 3e-5], 0.25), ([0.0, 0.0], 0.5)):
        assert scores(pool, target, np.zeros(1, int), rates=np.array(rates))[0] == pytest.approx(expected)


def test_a_zero_gradient_has_no_influence() -> None:
    pool = POOL.copy()
    pool[:, 3] = 0
    assert scores(pool)[3] == 0


def test_errors_teach() -> None:
    with pytest.raises(InputError, match="name it with --target"):
        Less().fit(Parts(()), None, np.random.default_rng(0))
    with pytest.raises(RecipeError, match="give less checkpoints = 3"):
        scores(rates=np.array([3.0, 2.0, 1.0]))
    with pytest.raises(RecipeError, match="max, mean"):
        Less(subtasks="median")
    with pytest.raises(RecipeError, match="at least 1"):
        Less(checkpoints=0)
