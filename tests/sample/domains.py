"""Domains in memory, and a sampler driven by hand: tools that tests of samplers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assay.contracts import Sampler, State
from assay.types import Signals


def signals(sizes: Sequence[int]) -> Signals:
    """Rows of domains of these sizes, mixed."""
    source = np.random.default_rng(11).permutation(np.repeat(np.arange(len(sizes)), sizes))
    source.flags.writeable = False
    return Signals({"source": source, "row_hash": np.arange(len(source), dtype=np.uint64)})


def begun(method: Sampler, sizes: Sequence[int], seed: int = 0) -> State:
    """The state before the first step."""
    return method.init(signals(sizes), np.random.default_rng(seed))


def rows_of(state: State, domain: int, count: int) -> np.ndarray:
    """Some rows of a domain."""
    return np.flatnonzero(state["source"] == domain)[:count]


def told(state: State, method: Sampler, domain: int, loss: float, count: int = 2) -> State:
    """After a batch of one domain with this loss."""
    rows = rows_of(state, domain, count)
    return method.update(state, rows, Signals({"loss": np.full(len(rows), loss)}))


def drawn(
    method: Sampler, sizes: Sequence[int], steps: int, size: int, loss: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[list[np.ndarray], State]:
    """Batches of a whole training, and the state at its end."""
    rng = np.random.default_rng(5)
    state, batches = begun(method, sizes), list[np.ndarray]()
    for _ in range(steps):
        rows = method.propose(state, size, rng)
        batches.append(method.draw(state, rows, Signals({}), size, rng))
        measured = {} if loss is None else {"loss": loss(state["source"][batches[-1]])}
        state = method.update(state, batches[-1], Signals(measured))
    return batches, state
