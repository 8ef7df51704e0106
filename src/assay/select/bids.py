"""BIDS: of all rows the one that most helps the target example which the rows chosen so far help least, and again.

    A_ij      influence of row i on target example j: the cosine of gradients, over checkpoints (as in `score = "less"`)
    Ā_ij      (A_ij - mean_i A_ij) / std_i A_ij                                    each example's own scale
    next      argmax_{i not in S} max_j ( Ā_ij - (1/|S|) Σ_{k in S} Ā_kj ),        S ← S + (i)

Some tasks draw more influence than others whatever the row; ranked by a sum or a maximum they would take the whole budget. The
first step makes examples comparable, the second favours those that the choice serves least. The first row has no mean to beat.

As the maxima may change places, each example's best row that is left stands for all rows: sorted once, a choice of k rows costs
k t steps, not k n t. Memory is n t numbers and as many row numbers.

Guarantee: exact and nested; equal values take the first row. The order is that of choice, along which gains need not fall.
Source: Dai, Zhang, Ma and Peng, Improving Influence-based Instruction Tuning Data Selection for Balanced Learning of Diverse
Capabilities, 2025, https://arxiv.org/abs/2501.12147.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float64

from assay.contracts import Selector
from assay.errors import InputError, RecipeError
from assay.models import influence
from assay.types import Groups, Limit, Selection, Signals

_AIM = "target:"
_NO_GRADIENT = "bids: the row has no gradient"


@final
@dataclass(frozen=True)
class Bids(Selector):
    """Balances the influence of the choice over the target's examples.

    of            the step that measured gradients, by its name or alias
    checkpoints   how many it has: the epochs of its warm-up

    >>> Bids(checkpoints=1).reads
    ('gradients_1', 'gradients_rates', 'target:gradients_1', 'target:gradients_rates')
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2501.12147"

    of: str = "gradients"
    checkpoints: int = 4

    def __post_init__(self) -> None:
        if self.checkpoints < 1:
            raise RecipeError(f"bids: checkpoints must be at least 1; got {self.checkpoints}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Gradients and rates, of the candidates (n, …) and of the target's examples (t, …)."""
        named = influence.columns(self.of, self.checkpoints)
        return (*named, *(_AIM + name for name in named))

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Rows in the order in which they were chosen, each with what it added; rows without a gradient stay out.

        Raises InputError where the target has no example with a gradient.
        """
        *names, rates = influence.columns(self.of, self.checkpoints)
        if not len(signals[_AIM + rates]):
            raise InputError("bids needs a target with at least one example that has a gradient; it has none")
        shares = influence.weights(np.asarray(signals[_AIM + rates][0], np.float64), self.checkpoints, "bids")
        aims = np.stack([influence.unit(signals[_AIM + name]) for name in names])
        known = np.flatnonzero(np.logical_and.reduce([signals.present(name) for name in names]))
        found = influence.influences([signals[name][known] for name in names], aims, shares)
        rows, gains, spent = [], [], 0
        for place, gain in balanced(normalised(found)):
            spent += int(limit.cost[known[place]])
            if spent > limit.amount:
                break
            rows.append(int(known[place]))
            gains.append(gain)
        lacking = np.setdiff1d(np.arange(len(signals[names[0]])), known)
        reasons = {_NO_GRADIENT: lacking} if len(lacking) else {}
        return Selection(np.array(rows, np.int64), np.array(gains, np.float64), np.ones(len(rows)), True, reasons)


def normalised(found: Float64[np.ndarray, "n t"]) -> Float64[np.ndarray, "n t"]:
    """Every example's influences with mean 0 and standard deviation 1; 0 where they are all alike.

    >>> normalised(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    if not len(found):
        return found
    spread = found.std(axis=0)
    return (found - found.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def balanced(influences: Float64[np.ndarray, "n t"]) -> Iterator[tuple[int, float]]:
    """Rows and what each adds, in the order of choice, until none is left.

    >>> [row for row, _ in balanced(np.array([[3.0, 0.0], [2.9, 0.0], [0.0, 1.0]]))]
    [0, 2, 1]
    """
    count, examples = influences.shape
    order = np.argsort(-influences, axis=0, kind="stable")
    taken, total = np.zeros(count, bool), np.zeros(examples)
    places, each = np.zeros(examples, np.int64), np.arange(examples)
    for chosen in range(count):
        for example in np.flatnonzero(taken[order[places, each]]).tolist():
            while taken[order[places[example], example]]:
                places[example] += 1
        best = order[places, each]
        gains = influences[best, each] - total / max(1, chosen)
        row = int(best[gains == gains.max()].min())
        taken[row] = True
        total += influences[row]
        yield row, float(gains.max())
