"""RS2, repeated random sampling: a fresh random subset of the rows for every epoch.

    m = max(1, ⌊r n⌋) rows of an epoch, r the `share` of n rows;   c = ⌊n / m⌋ epochs of a cycle
    without_replacement   epoch e holds rows e m … (e + 1) m − 1 (e counted in its cycle) of a permutation, new for each cycle
    with_replacement      epoch e holds the first m rows of a permutation of its own

Nothing is measured and nothing chosen: the baseline that a selector must beat at equal steps. Without replacement the c
epochs of a cycle share no row, each at r of the cost, so that together they read nearly all data (n mod m rows rest until the
next cycle): over a cycle that is plain training in shorter epochs, and what it is better than is one subset kept for all epochs.
With replacement every epoch is drawn from all rows. A learning-rate schedule must span the steps that there are,
epochs · ⌈m / batch⌉, not those of full epochs: the loader's length says so.

Guarantee: an epoch holds no row twice, every row is as likely as any other, batches end with their epoch, and the stream is
a function of the seed and the number of rows. Source: Okanovic, Waleffe, Mageirakos, Nikolakakis, Karbasi, Kalogerias, Gürel,
Rekatsinas, Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning, 2023, https://arxiv.org/abs/2305.18424.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Int64

from assay.contracts import Sampler, State
from assay.errors import InputError, RecipeError
from assay.kernels.draws import word_of
from assay.sample._parts import permuted
from assay.types import Signals

_VARIANTS = ("without_replacement", "with_replacement")


@final
@dataclass(frozen=True)
class Rs2(Sampler):
    """A random subset for each epoch.

    share    r, the part of the rows that an epoch has: above 0, at most 1
    variant  without_replacement (between epochs, until the rows are exhausted) or with_replacement

    >>> rs2, rng = Rs2(share=0.5), np.random.default_rng(0)
    >>> state = rs2.init(4, Signals({}), rng)
    >>> first = rs2.propose(state, 8, np.zeros(0, np.int64), rng)
    >>> second = rs2.propose(state, 8, first, rng)
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3]
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2305.18424"

    share: float = 0.1
    variant: str = "without_replacement"

    def __post_init__(self) -> None:
        if self.variant not in _VARIANTS:
            raise RecipeError(f"rs2: variant must be one of {', '.join(_VARIANTS)}; got {self.variant!r}")
        if not 0 < self.share <= 1:
            raise RecipeError(f"rs2: share must be above 0 and at most 1; got {self.share}")

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        """How many `rows (1,)`, how many in an `epoch (1,)`, the order's `key (1,)`, how many were `taken (1,)`."""
        if not count:
            raise InputError("rs2 needs rows to draw from; there is none")
        size = max(1, int(self.share * count + 1e-9))
        key = rng.integers(2**63, size=1)
        return {"rows": np.array([count]), "epoch": np.array([size]), "key": key, "taken": np.zeros(1, np.int64)}

    def propose(
        self, state: State, size: int, pending: Int64[np.ndarray, "r"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "b"]:
        """The next rows of this epoch; fewer at its end."""
        count, length, taken = int(state["rows"][0]), int(state["epoch"][0]), int(state["taken"][0]) + len(pending)
        epoch, start = divmod(taken, length)
        cycle, turn = divmod(epoch, count // length) if self.variant == "without_replacement" else (epoch, 0)
        places = turn * length + np.arange(start, min(start + size, length))
        return permuted(places, count, word_of(int(state["key"][0]) + cycle))

    def update(self, state: State, rows: Int64[np.ndarray, "k"], drawn_with: State, measured: Signals) -> State:
        """Count them."""
        return {**state, "taken": state["taken"] + len(rows)}
