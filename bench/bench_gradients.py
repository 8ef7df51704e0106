"""Projected gradients beside the backward passes alone: what Adam's direction and the projection add to the cost of a gradient.

A language model of 1.5 million weights (lm-micro) and N rows of 8 to 64 tokens, one thread. Short rows are the hard case: what is
added does not depend on the length, the passes do. Beside each other, in turns of 20 rows so that what else the machine does
matters little, in the processor's seconds:

    passes       forward and backward of one row at a time: what any per-example gradient costs at least
    hadamard     the same, Adam's direction of the gradient, and its projection to 8,192 numbers by blocks of Hadamard's matrix
    sparse       the same by one sign a weight
    dense        the projection of one gradient by the reference, a sign for every weight and number: why the others are there

    .venv/bin/python bench/bench_gradients.py [N]            10,000 rows: the claim is at most three times the passes
    .venv/bin/python bench/bench_gradients.py 20             a trial, in seconds
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from harness import record

from assay.models.causal_model import Causal, one_thread
from assay.models.gradients import Checkpoint, Differentiator, Rule, flat, pieces
from assay.models.language import language_of
from assay.models.projection import Projection
from assay.models.tuning import trained
from assay.types import Sequences

TURN, WIDTH, WANTED = 20, 8192, 3.0
SHORTEST, LONGEST = 8, 64  # tokens
WEIGHTS = language_of("lm-micro").config.model.parameters


def rows(count: int) -> Sequences:
    """Rows of random tokens: what they say does not change the cost."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(SHORTEST, LONGEST + 1, count)
    return Sequences(rng.integers(1, 2048, sizes.sum()).astype(np.int32), np.concatenate([[0], np.cumsum(sizes)]))


def works(model: Causal) -> dict[str, Callable[[Sequences], None]]:
    """What is timed, by name."""
    weights = flat([one.detach().numpy() for _, one in trained(model)])
    rng = np.random.default_rng(1)
    first = (1e-3 * rng.standard_normal(len(weights))).astype(np.float32)
    at = Checkpoint(weights, first, first**2, 100)
    differentiator, rule = Differentiator(model, 2048), Rule()

    def passes(some: Sequences) -> None:
        for start, stop in zip(some.offsets[:-1], some.offsets[1:], strict=True):
            for piece in pieces(some.data[start:stop], model.config):
                model.backward(piece, 1.0)
            model.module.zero_grad(set_to_none=True)

    def projected(kind: str) -> Callable[[Sequences], None]:
        projection = Projection(kind, WIDTH)

        def work(some: Sequences) -> None:
            for gradient in differentiator.rows(some, at):
                rule(gradient, at)
                projection(gradient)

        return work

    return {"passes": passes, "hadamard": projected("hadamard"), "sparse": projected("sparse")}


def dense() -> float:
    """Seconds of the processor for one gradient by the reference."""
    gradient = np.random.default_rng(2).standard_normal(WEIGHTS).astype(np.float32)
    Projection("dense", WIDTH)(gradient[:64])
    began = time.process_time()
    Projection("dense", WIDTH)(gradient)
    return time.process_time() - began


def measured(count: int) -> dict[str, float]:
    """Seconds of the processor for each work, over all rows."""
    documents, model = rows(count), Causal.of(language_of("lm-micro").config, 0)
    named = works(model)
    spent = dict.fromkeys(named, 0.0)
    for work in named.values():
        work(documents.take(np.arange(2)))  # kernels are compiled, or read, before
    for start in range(0, count, TURN):
        some = documents.take(np.arange(start, min(start + TURN, count)))
        for name, work in named.items():
            began = time.process_time()
            work(some)
            spent[name] += time.process_time() - began
    return spent


def main() -> None:
    """Record what was measured."""
    count = next((int(word) for word in sys.argv[1:] if word.isdigit()), 10_000)  # make gives every bench the data's folder
    with one_thread():
        spent, one = measured(count), dense()
    each = {name: 1000 * seconds / count for name, seconds in spent.items()}
    table = [
        {
            "work": f"{kind}: gradient, direction and projection of one row",
            "peer": "its forward and backward pass alone",
            "version": f"lm-micro, {WEIGHTS:,} weights",
            "ratio": round(each[kind] / each["passes"], 2),
            "direction": "times the passes",
            "ours": f"{each[kind]:.1f} ms",
            "theirs": f"{each['passes']:.1f} ms",
            "wanted": f"at most {WANTED:g}",
            "note": f"{count:,} rows; dense {1000 * one:,.0f} ms a projection",
        }
        for kind in ("hadamard", "sparse")
    ]
    record(
        "gradients",
        {"rows": table, "examples": count, "milliseconds": each, "met": all(row["ratio"] <= WANTED for row in table)},
    )


if __name__ == "__main__":
    main()
