"""What samplers share: domains and the order of rows inside them, which nobody keeps, because it can be computed.

    row p of domain k   the row at place π(p mod n_k) among its n_k rows; π is drawn anew for every pass ⌊p / n_k⌋
    π                   up to 4,096 rows: their order by a keyed draw for each; more: a keyed Feistel network of four rounds
                        on 2h bits, walked until it falls below n_k (Black and Rogaway 2002, Ciphers with arbitrary finite
                        domains, https://doi.org/10.1007/3-540-45760-7_9), which on few bits would prefer some places

So a domain is read without repetition until it is exhausted, then in another order, and all that a checkpoint needs is how
many rows of each domain were taken. Rows that are drawn but not trained on yet (`pending`) count as taken.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from assay.contracts import State
from assay.errors import InputError
from assay.kernels.draws import uniform, word_of
from assay.types import Signals

_ROUNDS, _SMALL = 4, 4096


def of_domains(method: str, signals: Signals, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The state that every sampler of domains begins with: `source (n,)`, the rows `rows (n,)` domain by domain, where each
    begins `starts (g + 1,)`, the order's `key (1,)`, and rows taken of each `taken (g,)`. InputError for rows of no domain.

    >>> of_domains("odm", Signals({"source": np.array([1, 0, 1])}), np.random.default_rng(0))["starts"].tolist()
    [0, 1, 3]
    """
    source = np.asarray(signals["source"])
    if not len(source) or source.min() < 0:
        raise InputError(
            f"{method} needs a domain for every row; {int((source < 0).sum()):,} of {len(source):,} have none"
        )
    sizes = np.bincount(source)
    if not sizes.all():
        raise InputError(
            f"{method} needs a row in each of its {len(sizes)} domains; domain {int(sizes.argmin())} is empty: "
            "number only those that have rows"
        )
    return {
        "source": source,
        "rows": np.argsort(source, kind="stable").astype(np.int64),
        "starts": np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
        "key": rng.integers(2**63, size=1),
        "taken": np.zeros(len(sizes), np.int64),
    }


def shares(state: State) -> Float64[np.ndarray, "g"]:
    """Each domain's share of the rows."""
    sizes = np.diff(state["starts"])
    return sizes / sizes.sum()


def counted(state: State, rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "g"]:
    """Rows taken of each domain, with these."""
    return state["taken"] + np.bincount(state["source"][rows], minlength=len(state["taken"]))


def next_rows(state: State, domains: Int[np.ndarray, "b"], pending: Int64[np.ndarray, "r"]) -> Int64[np.ndarray, "b"]:
    """For each of some domains, named one by one, the next row in its order after those taken and those pending."""
    taken = counted(state, pending)
    found = np.empty(len(domains), np.int64)
    for domain in np.unique(domains).tolist():
        here = np.flatnonzero(domains == domain)
        start, stop = state["starts"][domain : domain + 2].tolist()
        places = in_order(
            int(taken[domain]) + np.arange(len(here)), stop - start, word_of(int(state["key"][0]) + domain)
        )
        found[here] = state["rows"][start + places]
    return found


def in_order(places: Int64[np.ndarray, "b"], n: int, key: int) -> Int64[np.ndarray, "b"]:
    """What lies at these places of an endless sequence of passes over n things, each pass in an order of its own.

    >>> sorted(in_order(np.arange(5), 5, 3).tolist()), sorted(in_order(np.arange(5, 10), 5, 3).tolist())
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    found = np.empty(len(places), np.int64)
    for turn in np.unique(places // n).tolist():
        here = np.flatnonzero(places // n == turn)
        found[here] = permuted(places[here] % n, n, word_of(key + turn))
    return found


def permuted(places: Int64[np.ndarray, "b"], n: int, key: int) -> Int64[np.ndarray, "b"]:
    """A keyed permutation of 0..n-1, at some places."""
    if n <= _SMALL:
        return np.argsort(uniform(key, np.arange(n, dtype=np.uint64)), kind="stable")[places]
    half = max(1, (int(n - 1).bit_length() + 1) // 2)
    found, outside = places.astype(np.int64), np.ones(len(places), bool)
    while outside.any():
        found[outside] = _network(found[outside], half, key)
        outside = found >= n
    return found


def _network(words: Int64[np.ndarray, "b"], half: int, key: int) -> Int64[np.ndarray, "b"]:
    left, right = words >> half, words & ((1 << half) - 1)
    for turn in range(_ROUNDS):
        mixed = (uniform(key + turn, right.astype(np.uint64)) * (1 << half)).astype(np.int64)
        left, right = right, left ^ mixed
    return (left << half) | right


def losses_of(
    method: str, state: State, rows: Int64[np.ndarray, "k"], measured: Mapping[str, np.ndarray]
) -> tuple[Float64[np.ndarray, "g"], Bool[np.ndarray, "g"]]:
    """The mean loss of each domain over the rows trained on, and which domains had one; InputError where it is missing or not
    a finite number."""
    if "loss" not in measured:
        raise InputError(f"{method} needs the loss of every row that was trained on; the training loop reported none")
    loss = np.asarray(measured["loss"], np.float64)
    source, count = state["source"][rows], len(state["taken"])
    if not np.isfinite(loss).all():
        domain = int(source[np.flatnonzero(~np.isfinite(loss))[0]])
        raise InputError(
            f"{method} needs a finite loss for every row; a row of domain {domain} has {loss[~np.isfinite(loss)][0]}: go back to "
            "a checkpoint and lower the learning rate"
        )
    number = np.bincount(source, minlength=count)
    return np.bincount(source, loss, count) / np.maximum(number, 1), number > 0


def normalised(weights: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """Weights that sum to 1."""
    return weights / weights.sum()


def gibbs(exponents: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """exp of each over their sum, whatever their size: the largest is taken off first, so that none overflows.

    >>> gibbs(np.array([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    return normalised(np.exp(exponents - exponents.max()))
