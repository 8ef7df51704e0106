"""LESS: how much a step of Adam on a row would lower the loss on a target, summed over the checkpoints of a warm-up.

    Inf(z, D_k) = Σ_i η̄_i cos( Γ(z, θ_i), ∇l(D_k; θ_i) ),     η̄_i = η_i / Σ_j η_j
    s(z)        = max_k Inf(z, D_k)

D_k are the subtasks of a target (its field `source`; one subtask where it has none), η_i the mean learning rate of checkpoint i.
Gradients are signals of an earlier step (`annotate = "gradients"`): Adam's direction of a row, plain gradients of the target.

The cosine with a subtask is the mean of the cosines with its examples, as in the released code: rows and examples are brought to
length one first, so a long gradient counts no more than a short one, and neither does a row's scale. A mean inside a subtask,
then the maximum over subtasks: the order of subtasks and how many examples each has do not matter (the released code takes equal
counts for granted). `mean` in place of the maximum asks for rows that help all subtasks.

Guarantee: a score depends on the row, the target and the warm-up alone, not on files, order or workers. A row without a gradient
has none.
Source: Xia, Malladi, Gururangan, Arora and Chen, LESS, 2024, https://arxiv.org/abs/2402.04333.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.models import influence
from assay.types import Batch, Fitted

_VARIANTS = ("max", "mean")


@final
@dataclass(frozen=True)
class Less(Scorer):
    """Influence on a target through gradients.

    of            the step that measured gradients, by its name or alias
    checkpoints   how many it has: the epochs of its warm-up
    subtasks      `max` or `mean` over the target's subtasks

    >>> Less(checkpoints=2).reads
    ('gradients_1', 'gradients_2', 'gradients_rates', 'source')
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2402.04333"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("neural",)

    of: str = "gradients"
    checkpoints: int = 4
    subtasks: str = "max"

    def __post_init__(self) -> None:
        if self.subtasks not in _VARIANTS:
            raise RecipeError(f"less: subtasks must be one of {', '.join(_VARIANTS)}; got {self.subtasks!r}")
        if self.checkpoints < 1:
            raise RecipeError(f"less: checkpoints must be at least 1; got {self.checkpoints}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Gradients at each checkpoint, the rates of the warm-up, and what names subtasks."""
        return (*influence.columns(self.of, self.checkpoints), "source")

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """`aims (c, g, d)`: mean unit gradients of each subtask at each checkpoint; `weights (c,)`.

        Raises InputError where there is no target, RecipeError where the warm-up had another number of checkpoints.
        """
        if target is None:
            raise InputError("less needs a target, examples of the task to get better at; name it with --target")
        told = target.reduce(_Told(self.of, self.checkpoints), _together)
        aims = told.sums / told.counts[None, :, None]
        weights = influence.weights(told.rates, self.checkpoints, "less")
        notes = {"subtasks": len(told.codes), "target_examples": int(told.counts.sum()), "weights": weights.tolist()}
        return Fitted({"aims": aims, "weights": weights}, notes)

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """s of every row."""
        aims, weights = np.asarray(fitted.arrays["aims"]), np.asarray(fitted.arrays["weights"])
        found = influence.influences(influence.gradients(batch, self.of, self.checkpoints), aims, weights)
        return found.max(axis=1) if self.subtasks == "max" else found.mean(axis=1)


class _Sums(NamedTuple):
    """Of some of the target's rows: the subtasks that are there (g,), sums of unit gradients (c, g, d), rows of each (g,), and
    the rates (c,)."""

    codes: Int64[np.ndarray, "g"]
    sums: Float64[np.ndarray, "c g d"]
    counts: Int64[np.ndarray, "g"]
    rates: Float64[np.ndarray, "c"]


@final
@dataclass(frozen=True)
class _Told:
    """A part of the fit."""

    of: str
    checkpoints: int

    def __call__(self, batch: Batch) -> _Sums:
        codes, which = np.unique(np.asarray(batch.columns["source"], np.int64), return_inverse=True)
        sums = [np.zeros((len(codes), 0))] * self.checkpoints
        for place, vectors in enumerate(influence.gradients(batch, self.of, self.checkpoints)):
            units = influence.unit(vectors)
            sums[place] = np.zeros((len(codes), units.shape[1]))
            np.add.at(sums[place], which, units)
        rates = np.asarray(batch.columns[f"{self.of}_rates"], np.float64)[0]
        return _Sums(codes, np.stack(sums), np.bincount(which, minlength=len(codes)), rates)


def _together(first: _Sums, second: _Sums) -> _Sums:
    codes = np.union1d(first.codes, second.codes)
    sums = np.zeros((first.sums.shape[0], len(codes), first.sums.shape[2]))
    counts = np.zeros(len(codes), np.int64)
    for one in (first, second):
        places = np.searchsorted(codes, one.codes)
        sums[:, places] += one.sums
        counts[places] += one.counts
    return _Sums(codes, sums, counts, first.rates)
