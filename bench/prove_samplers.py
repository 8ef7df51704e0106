"""Does choosing while training pay? lm-nano trained with odm, rs2 and a static subset against plain training, at equal steps.

    python bench/prove_samplers.py examples/data                             writes bench/results/samplers.json
    python bench/prove_samplers.py examples/data --steps 500                 shorter trainings; the record says so
    python bench/prove_samplers.py examples/data --steps 40 --seeds 2 --try  prints only

The pool has easy rows (sentences of web pages that are no content), rows of four real domains, and noise (documents with their
characters shuffled), three thousand in all; a batch is eight rows, each cut at the model's context. All arms of a seed have the
same initial weights, steps and learning rate; only the order of rows differs:

    plain   every row once before any comes again
    odm     the bandit over domains
    rs2     a fresh tenth of the rows for each epoch, with replacement (without, it is the plain arm in shorter epochs)
    static  the first of these tenths for every epoch: what RS2 is an answer to

Judged in bits per byte on rows of each real domain that the pool does not hold; the tables give each
arm's mean and its difference from plain, with the standard error over seeds. What ODM can do wrong shows in `shares`: the part
of the batches that was noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import record
from trials import ROOT, load

import assay
from assay.models.causal import Learner
from assay.models.causal_bits import bits
from assay.models.causal_model import one_thread
from assay.models.language import Language, language_of
from assay.models.schedule import factor
from assay.models.stream import Batch
from assay.types import Sequences, Texts

EXAMPLES = ROOT / "examples" / "data"  # `make prove` gives the shared data, which hold no such pool
REAL = ("abstracts", "medicine", "dialogues", "arithmetic")
ROWS, HELD, SIZE, SHARE = {"boilerplate": 500, "shuffled": 500} | dict.fromkeys(REAL, 500), 60, 8, 0.1


def rows_of(data: Path) -> tuple[list[dict[str, Any]], dict[str, Texts]]:
    """The pool, and held-out text by domain."""
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in load(data / "pool.jsonl.zst"):
        by_source.setdefault(row["source"], []).append(row)
    pool = [row for source, count in ROWS.items() for row in by_source[source][:count]]
    held = {source: Texts.of([row["text"] for row in by_source[source][-HELD:]]) for source in REAL}
    return pool, held


def batch_of(documents: Sequences, rows: list[int], language: Language) -> Batch:
    """Rows side by side, each cut at the context and filled up."""
    width, end = language.config.context, language.config.end
    targets = np.full((SIZE, width), -1, np.int64)
    for place, row in enumerate(rows):
        symbols = documents.data[documents.offsets[row] : documents.offsets[row + 1]][:width]
        targets[place, : len(symbols)] = symbols
    inputs = np.concatenate([np.full((SIZE, 1), end), np.maximum(targets[:, :-1], end)], axis=1)
    return Batch(inputs, targets, np.zeros_like(inputs))


def arm_of(name: str, domains: list[str], steps: int, seed: int) -> Iterator[tuple[list[int], Any]]:
    """Batches of an arm, and who is told of their losses."""
    given: dict[str, Any] = {"domains": domains, "batch_size": SIZE, "seed": seed}
    method, parameters = {
        "plain": ("rs2", {"share": 1.0}),
        "odm": ("odm", {"warmup": max(1, steps // 50)}),
        "rs2": ("rs2", {"share": SHARE, "variant": "with_replacement"}),
        "static": ("rs2", {"share": SHARE}),
    }[name]
    sampler = assay.sampler(method=method, parameters=parameters, ahead=0, **given)
    first: list[list[int]] = []
    while True:
        for batch in sampler.batches():
            first.append(batch)
            yield batch, sampler
        while name == "static":
            yield from ((batch, sampler) for batch in first)


def trained(
    name: str, rows: list[dict[str, Any]], documents: Sequences, language: Language, steps: int, seed: int
) -> Any:
    """The model after its steps, and the share of each domain in what it read."""
    domains = [row["source"] for row in rows]
    learner, read = Learner.of(language.config, seed), []
    for step, (batch, sampler) in zip(range(steps), arm_of(name, domains, steps, seed), strict=False):
        loss = learner.step(batch_of(documents, batch, language), factor(step, language.config.warm, steps))
        read += [domains[row] for row in batch]
        if name != "static":
            sampler.report(loss)
    return learner.model, {one: round(read.count(one) / len(read), 4) for one in ROWS}


def judged(data: Path, steps: int, seeds: int) -> dict[str, Any]:
    """Bits per byte of each arm and seed on each held-out set."""
    language = language_of("lm-nano")
    rows, held = rows_of(data)
    documents = language.encode(Texts.of([row["text"] for row in rows]))
    aims = {name: language.encode(texts) for name, texts in held.items()}
    found: dict[str, Any] = {}
    for seed in range(seeds):
        for name in ("plain", "odm", "rs2", "static"):
            model, shares = trained(name, rows, documents, language, steps, seed)
            scores = {one: float(bits(model, aims[one]).sum() / held[one].sizes.sum()) for one in REAL}
            found.setdefault(name, []).append({"seed": seed, "bits_per_byte": scores, "shares": shares})
            mean = np.mean(list(scores.values()))
            print(f"seed {seed} {name:7} {mean:.4f} bits per byte, {shares['shuffled']:.0%} noise", flush=True)
    return found


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """Means over held-out sets, and differences from plain with their standard error over seeds."""
    means = {
        name: np.array([np.mean(list(one["bits_per_byte"].values())) for one in runs]) for name, runs in found.items()
    }
    told = {}
    for name, values in means.items():
        difference = values - means["plain"]
        error = difference.std(ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else float("nan")
        numbers = {"mean": values.mean(), "from_plain": difference.mean(), "error": error}
        told[name] = {key: round(float(one), 4) for key, one in numbers.items()}
    return told


def table(found: dict[str, Any], told: dict[str, Any], steps: int, seeds: int) -> dict[str, Any]:
    """As documents show it."""
    rows = []
    for name, one in told.items():
        noise = np.mean([run["shares"]["shuffled"] for run in found[name]])
        from_plain = "" if name == "plain" else f"{one['from_plain']:+.4f} ± {one['error']:.4f}"
        rows.append([name, f"{one['mean']:.4f}", from_plain, f"{noise:.1%}"])
    size = f"arm (lm-nano, {steps:,} batches of {SIZE} rows, {seeds} seeds)"
    return {"columns": [size, "bits per byte, held out", "from plain", "noise in what it read"], "rows": rows}


def main() -> int:
    """Train, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--try", action="store_true", dest="only_try", help="print, and write nothing")
    asked = parser.parse_args()
    with one_thread():
        found = judged(asked.data if (asked.data / "pool.jsonl.zst").exists() else EXAMPLES, asked.steps, asked.seeds)
    told = compared(found)
    for name, one in told.items():
        print(f"{name:7} {one['mean']:.4f} bits per byte, {one['from_plain']:+.4f} ± {one['error']:.4f} from plain")
    if not asked.only_try:
        facts = {"steps": asked.steps, "batch": SIZE, "pool": ROWS, "arms": found, "compared": told}
        record("samplers", {**facts, "table": table(found, told, asked.steps, asked.seeds)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
