"""Small targets: sixty documents of one domain as the target, and what share of the chosen bytes is of that domain.

    python bench/prove_dsir_domains.py ../shared/data [--draws 3]

The pool is `text/pool_mixed.jsonl.zst`; its 13 domains of at least 300 documents are asked for in turn, with targets of
draws 1 to 3. The budget is the smaller of 10 % of the pool's bytes and half of the domain's, filled from the best score
down. Formulas: the package's (`dsir_reference`, without and with its filter of 100 tokens), and `dsir` as it comes.
`within`: the target's documents stay in the pool, as where people pick examples from what they have; `apart`: they are
taken out of it, so that none can be chosen. Writes `bench/results/dsir_domains.json`.

No constant of `dsir` was chosen on this pool; LOG.md says on which mixtures they were.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import zstandard

from assay.contracts import Rows
from assay.kernels.hashing import hash_rows
from assay.score.dsir import Dsir
from assay.score.dsir_reference import DsirReference
from assay.types import Batch, Texts

TARGET = 60
FEWEST = 300
STEP = 2_000


@dataclass(frozen=True)
class Held(Rows):
    """Rows in memory; what a part found is kept in `memory`, because every target is fitted against the same pool."""

    batch: Batch
    memory: dict[Any, Any]

    def reduce(self, part: Callable, merge: Callable) -> Any:
        if part not in self.memory:
            merged = None
            for start in range(0, len(self), STEP):
                found = part(take(self.batch, np.arange(start, min(start + STEP, len(self)))))
                merged = found if merged is None else merge(merged, found)
            self.memory[part] = merged
        return self.memory[part]

    def sample(self, k: int) -> Batch:
        order = np.lexsort((self.batch.rows, self.batch.hashes))[:k]
        return take(self.batch, np.sort(order))

    def __len__(self) -> int:
        return len(self.batch)


def take(batch: Batch, rows: np.ndarray) -> Batch:
    return Batch(batch.rows[rows], batch.hashes[rows], {"text": batch.text.take(rows)})


def held(batch: Batch, rows: np.ndarray) -> Held:
    return Held(take(batch, rows), {})


def read(path: Path) -> tuple[Batch, np.ndarray]:
    """All rows, and the domain of each."""
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        rows = [json.loads(line) for line in io.TextIOWrapper(stream, "utf-8") if line.strip()]
    text = Texts.of([row["text"] for row in rows])
    return Batch(np.arange(len(text)), hash_rows(text.data, text.offsets), {"text": text}), np.array(
        [row["source"] for row in rows]
    )


def share(scores: np.ndarray, sizes: np.ndarray, wanted: np.ndarray) -> float:
    """The wanted part of the chosen bytes; `wanted (n,)` says which rows are of the domain."""
    scored = np.flatnonzero(~np.isnan(scores))
    order = scored[np.argsort(-scores[scored], kind="stable")]
    spent = np.cumsum(sizes[order])
    budget = min(0.1 * sizes.sum(), 0.5 * sizes[wanted].sum())
    chosen = order[: int(np.searchsorted(spent, budget, side="right"))]
    return float(sizes[chosen[wanted[chosen]]].sum() / max(sizes[chosen].sum(), 1))


class Package:
    """`dsir_reference` for many targets: the buckets of every document are found once."""

    def __init__(self, pool: Held) -> None:
        self.scorer, self.pool = DsirReference(min_tokens=0), pool
        self.picks = [self.scorer.picks(text) for text in pool.batch.text]
        self.tokens = np.array([self.scorer.recovered(len(picks)) for picks in self.picks])

    def scores(self, target: Held) -> np.ndarray:
        """Of every row, without the filter; checked against the scorer itself on some rows."""
        fitted = self.scorer.fit(self.pool, target, np.random.default_rng(0))
        difference = fitted.arrays["difference"]
        scores = np.array([difference[picks].sum() for picks in self.picks])
        some = np.arange(0, len(scores), 997)
        np.testing.assert_allclose(scores[some], self.scorer.score(fitted, take(self.pool.batch, some)), rtol=1e-9)
        return scores


def default(pool: Held, target: Held) -> tuple[np.ndarray, dict[str, Any]]:
    scorer = Dsir()
    fitted = scorer.fit(pool, target, np.random.default_rng(0))
    return scorer.score(fitted, pool.batch), {name: fitted.notes[name] for name in ("smoothing", "prior_length")}


def trials(pool: Held, domains: np.ndarray, draws: int) -> Iterator[dict[str, Any]]:
    """One record for each domain and draw."""
    package, sizes = Package(pool), pool.batch.text.sizes
    names = [str(name) for name, count in zip(*np.unique(domains, return_counts=True), strict=True) if count >= FEWEST]
    for draw in range(1, draws + 1):
        for number, name in enumerate(names):
            wanted = domains == name
            aim = np.sort(np.random.default_rng([draw, number]).choice(np.flatnonzero(wanted), TARGET, replace=False))
            target, rest = held(pool.batch, aim), np.setdiff1d(np.arange(len(wanted)), aim)
            reference, (within, chosen) = package.scores(target), default(pool, target)
            apart, _ = default(held(pool.batch, rest), target)
            yield {
                "domain": name,
                "draw": draw,
                "reference": share(reference, sizes, wanted),
                "reference_filtered": share(np.where(package.tokens >= 100, reference, np.nan), sizes, wanted),
                "default": share(within, sizes, wanted),
                "default_apart": share(apart, sizes[rest], wanted[rest]),
                **chosen,
            }


COLUMNS = ("reference", "reference_filtered", "default", "default_apart")


def show(found: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Print the table of means over draws; return mean and least over all domains and draws."""
    print(f"{'domain':24s}" + "".join(f"{column:>20s}" for column in COLUMNS))
    for name in sorted({record["domain"] for record in found}):
        rows = [record for record in found if record["domain"] == name]
        print(f"{name:24s}" + "".join(f"{np.mean([row[column] for row in rows]):20.3f}" for column in COLUMNS))
    totals = {}
    for title, reduce in (("mean", np.mean), ("least", np.min)):
        totals[title] = {column: float(reduce([record[column] for record in found])) for column in COLUMNS}
        print(f"{title:24s}" + "".join(f"{totals[title][column]:20.3f}" for column in COLUMNS))
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the shared data folder")
    parser.add_argument("--draws", type=int, default=3)
    asked = parser.parse_args()
    batch, domains = read(asked.data / "text" / "pool_mixed.jsonl.zst")
    found = list(trials(Held(batch, {}), domains, asked.draws))
    harness.record("dsir_domains", {"target_documents": TARGET, "totals": show(found), "trials": found})


if __name__ == "__main__":
    main()
