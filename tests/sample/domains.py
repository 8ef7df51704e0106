"""Domains in memory, and a sampler driven by hand: tools that tests of samplers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assay.contracts import Sampler, State
from assay.types import Signals

NONE = np.zeros(0, np.int64)


def signals(sizes: Sequence[int]) -> Signals:
    """Rows of domains of these sizes, mixed."""
    source = np.random.default_rng(11).permutation(np.repeat(np.arange(len(sizes)), sizes))
    source.flags.writeable = False
    return Signals({"source": source})


def begun(method: Sampler, sizes: Sequence[int], seed: int = 0) -> State:
    """The state before the first step."""
    return method.init(sum(sizes), signals(sizes), np.random.default_rng(seed))


def rows_of(state: State, domain: int, count: int) -> np.ndarray:
    """Some rows of a domain."""
    return np.flatnonzero(state["source"] == domain)[:count]


def told(state: State, method: Sampler, domain: int, loss: float, count: int = 2) -> State:
    """After a batch of one domain with this loss, drawn with what the state says now."""
    rows, drawn_with = method.draw(state, rows_of(state, domain, count), Signals({}), count, np.random.default_rng(0))
    return method.update(state, rows, drawn_with, Signals({"loss": np.full(len(rows), loss)}))


def drawn(
    method: Sampler, sizes: Sequence[int], steps: int, size: int, loss: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[list[np.ndarray], State]:
    """Batches of a whole training, and the state at its end."""
    rng = np.random.default_rng(5)
    state, batches = begun(method, sizes), list[np.ndarray]()
    for _ in range(steps):
        rows, drawn_with = method.draw(state, method.propose(state, size, NONE, rng), Signals({}), size, rng)
        measured = {} if loss is None else {"loss": loss(state["source"][rows])}
        state = method.update(state, rows, drawn_with, Signals(measured))
        batches.append(rows)
    return batches, state
