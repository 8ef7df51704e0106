"""The gate of `dsir`: better than random, and than the package's formula, on held-out text of every domain asked for?

    python bench/prove_gate.py ../shared/data

Every domain of `text/pool_mixed.jsonl.zst` with at least 300 documents gives sixty documents as a target and up to a
hundred others as held-out text (draw 1); both leave the pool, and so does every row that repeats them (the rule of
`assay verify --decontaminate`). General text is the held-out text of all other domains, some documents of each. The
budget is the smaller of 10 % of the pool's bytes and half of the domain's.

`dsir` chooses by `assay.select`. The package's formula comes without and with its filter of 100 tokens; its scores are
those of `dsir_reference`, whose n-grams of every row are found once here instead of once a target. Arms, judge and
intervals are those of `assay verify`; random's curve and the pool, which only the multiplier needs, are left out.
Verdicts are told by random's first five draws, the default of `assay verify`, and against the package by all twenty
too (`--seeds 20`). `in-domain` is a random draw of the domain's own rows, a choice that makes no mistake: where it is
undecided against the package, these trials can hardly tell any choice from it.
Writes bench/results/gate.json, where `met` says whether `dsir` is better than random and than the package everywhere;
exit code 1 where it is not better than random somewhere, or worse than the package.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import record
from prove_dsir_domains import FEWEST, TARGET, Package, held, read, take
from prove_dsir_domains import Held as InMemory
from trials import Held, NGramJudge, Trial, frame_of, level_only, plan, trained

import assay
from assay.select.random import Random
from assay.select.top_k import TopK
from assay.types import Batch, Limit, Signals, Texts
from assay.verify import intervals
from assay.verify.arms import Plan
from assay.verify.judge import Result
from assay.verify.overlap import OverlapPart

DOCUMENTS, GENERAL = 100, 9  # held out of each domain (at most a third of what the target leaves); of those, general
SEEDS = 20  # draws of random; the first five are those that `assay verify` makes by default
ARMS = {
    "choice": "dsir",
    "random": "random",
    "package": "package",
    "filtered": "package, filtered",
    "in_domain": "in-domain",
}
AGAINST = {
    "random": "dsir against random", "package": "dsir against package", "package, every draw": "the same by 20 draws",
    "package, by in-domain": "in-domain against package", "filtered": "dsir against package, filtered",
}  # fmt: skip


@dataclass(frozen=True)
class Domain:
    """One domain: its target and its held-out text, rows of the whole pool."""

    name: str
    target: np.ndarray
    held: np.ndarray


def split(domains: np.ndarray, draw: int) -> list[Domain]:
    """Target and held-out rows of every domain that is large enough."""
    names = [str(name) for name, count in zip(*np.unique(domains, return_counts=True), strict=True) if count >= FEWEST]
    found = []
    for number, name in enumerate(names):
        rows = np.random.default_rng([draw, number]).permutation(np.flatnonzero(domains == name))
        documents = min(DOCUMENTS, (len(rows) - TARGET) // 3)
        found.append(Domain(name, np.sort(rows[:TARGET]), np.sort(rows[TARGET : TARGET + documents])))
    return found


def remaining(batch: Batch, asked: list[Domain]) -> np.ndarray:
    """The rows that are neither target nor held out, and repeat none of them."""
    out = [np.concatenate([domain.target, domain.held]) for domain in asked]
    repeats = [OverlapPart.of(batch.text.take(rows))(batch) for rows in out]
    return np.setdiff1d(np.arange(len(batch)), np.concatenate([*out, *repeats]))


def lay(text: Texts, path: Path) -> Path:
    """Rows as JSON lines."""
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in text), "utf-8")
    return path


@dataclass(frozen=True)
class Bench:
    """The pool that every domain is chosen from; `domains` names the domain of each of its rows."""

    batch: Batch
    domains: np.ndarray
    package: Package
    path: Path
    folder: Path

    @classmethod
    def of(cls, whole: Batch, domains: np.ndarray, asked: list[Domain], folder: Path) -> Bench:
        left = remaining(whole, asked)
        batch = held(whole, left).batch
        batch = Batch(np.arange(len(batch)), batch.hashes, batch.columns)
        return cls(batch, domains[left], Package(InMemory(batch, {})), lay(batch.text, folder / "pool.jsonl"), folder)

    def limit(self, name: str) -> Limit:
        sizes = self.batch.text.sizes
        return Limit(int(min(0.1 * sizes.sum(), 0.5 * sizes[self.domains == name].sum())), "bytes", sizes)

    def choices(self, name: str, target: Batch) -> dict[str, np.ndarray]:
        """The rows that each formula chooses, by arm; and a draw from the domain itself."""
        limit, scores = self.limit(name), self.package.scores(InMemory(target, {}))
        aim = lay(target.text, self.folder / f"target-{name}.jsonl")
        run = assay.select(
            str(self.path), target=str(aim), method="dsir", budget=f"{limit.amount}bytes", rows="none",
            out=self.folder / name, store=self.folder / "store", workers=2,
        )  # fmt: skip
        return {
            "choice": np.sort(run.selected["row"].to_numpy()),
            "package": best(scores, limit),
            "filtered": best(np.where(self.package.tokens >= 100, scores, np.nan), limit),
            "in_domain": self.drawn(np.flatnonzero(self.domains == name), limit),
        }

    def drawn(self, rows: np.ndarray, limit: Limit) -> np.ndarray:
        signals = Signals({"row_hash": self.batch.hashes[rows]})
        return rows[Random().select(signals, None, limit.take(rows), np.random.default_rng(0)).rows]

    def share(self, rows: np.ndarray, name: str) -> float:
        """The part of the bytes of some rows that is of the domain."""
        sizes = self.batch.text.sizes[rows]
        return float(sizes[self.domains[rows] == name].sum() / sizes.sum())


def best(scores: np.ndarray, limit: Limit) -> np.ndarray:
    """The rows of largest score; those without a score are not chosen."""
    rows = np.flatnonzero(~np.isnan(scores))
    chosen = TopK().select(Signals({"score": scores[rows]}), None, limit.take(rows), np.random.default_rng(0))
    return rows[chosen.rows]


def compared(results: list[Result], laid: Plan, which: int, sizes: np.ndarray, trial: Trial) -> dict[str, Any]:
    """Bits per byte of each arm on one eval set, and the choice against random and against each reference."""
    fixed = {one.name: one.bits[which] for one in results if one.name != "random"}
    drawn = {one.seed: one.bits[which] for one in results if one.name == "random" and one.budget == laid.budget}
    every = np.array([drawn[seed] for seed in sorted(drawn)])
    draws, choice, level = every[: trial.seeds], fixed["choice"], trial.level
    metrics = {name: float(intervals.metric(bits, sizes)) for name, bits in fixed.items()}
    metrics["random"] = float(intervals.metric(draws, sizes).mean())
    package = fixed["package"]
    found = {
        "random": intervals.against_random(choice, draws, sizes, level),
        "package": intervals.against_fixed(choice, package, draws, sizes, level),
        "filtered": intervals.against_fixed(choice, fixed["filtered"], draws, sizes, level),
        "package, every draw": intervals.against_fixed(choice, package, every, sizes, level),
        "package, by in-domain": intervals.against_fixed(fixed["in_domain"], package, draws, sizes, level),
    }
    return {"metrics": metrics, "against": {name: asdict(one) for name, one in found.items()}}


def one_domain(bench: Bench, whole: Batch, domain: Domain, general: Texts, trial: Trial) -> dict[str, Any]:
    """Choose, train, compare; one line is printed."""
    chosen = bench.choices(domain.name, take(whole, domain.target))
    evals = [Held.of(domain.name, whole.text.take(domain.held)), Held.of("general", general)]
    laid = level_only(plan(chosen, frame_of(bench.batch.text), replace(trial, seeds=SEEDS)))
    results = trained(laid, bench.batch.text, evals, NGramJudge())
    both = [compared(results, laid, which, one.documents.sizes, trial) for which, one in enumerate(evals)]
    found = {
        "domain": domain.name, "budget": laid.budget, "eval": evals[0].described(), "general_eval": evals[1].described(),
        "shares": {name: bench.share(rows, domain.name) for name, rows in chosen.items()},
        "target": both[0], "general": both[1],
    }  # fmt: skip
    print("   " + "  ".join(line(found)), flush=True)
    return found


def line(found: dict[str, Any]) -> list[str]:
    """One row of the table."""
    metrics, against = found["target"]["metrics"], found["target"]["against"]
    general = found["general"]["against"]["random"]["estimate"]
    return [
        found["domain"], f"{found['budget'] / 1e6:.2f}",
        *(f"{metrics[name]:.3f}" for name in ARMS),
        *(told(against[name]) for name in AGAINST), f"{general:+.3f}",
    ]  # fmt: skip


def told(found: dict[str, Any]) -> str:
    """The verdict, the point value and its interval."""
    return f"{found['answer']} {found['estimate']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def summed(found: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """How many domains got each answer, and in how many the point value is ahead."""
    totals = {}
    for name in AGAINST:
        each = [one["target"]["against"][name] for one in found]
        totals[name] = {
            answer: sum(one["answer"] == answer for one in each) for answer in ("better", "undecided", "worse")
        }
        totals[name]["ahead"] = sum(one["estimate"] > 0 for one in each)
    return totals


def table(found: list[dict[str, Any]], totals: dict[str, dict[str, int]]) -> dict[str, Any]:
    """What docs show."""
    columns = ["domain", "MB", *ARMS.values(), *AGAINST.values(), "general, against random"]
    means = [np.mean([one["target"]["metrics"][name] for one in found]) for name in ARMS]
    counted = [
        f"better in {totals[name]['better']}, ahead in {totals[name]['ahead']} of {len(found)}" for name in totals
    ]
    general = np.mean([one["general"]["against"]["random"]["estimate"] for one in found])
    mean = ["all", "", *(f"{value:.3f}" for value in means), *counted, f"{general:+.3f}"]
    return {"columns": columns, "rows": [*map(line, found), mean]}


def main() -> int:
    """Run the gate; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the shared data folder")
    parser.add_argument("--draw", type=int, default=1)
    parser.add_argument("--domains", nargs="*", help="only these; nothing is written then")
    asked = parser.parse_args()
    began, trial = time.perf_counter(), Trial()
    whole, names = read(asked.data / "text" / "pool_mixed.jsonl.zst")
    domains = split(names, asked.draw)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench.of(whole, names, domains, Path(folder))
        found = []
        for domain in domains:
            others = np.concatenate([other.held[:GENERAL] for other in domains if other is not domain])
            if not asked.domains or domain.name in asked.domains:
                found.append(one_domain(bench, whole, domain, whole.text.take(others), trial))
    totals = summed(found)
    print(json.dumps(totals))
    met = all(totals[name]["better"] == len(found) for name in ("random", "package"))
    facts = {"draw": asked.draw, "target_documents": TARGET, "seeds": trial.seeds, "every_draw": SEEDS, "met": met}
    facts |= {"totals": totals, "found": found, "seconds": round(time.perf_counter() - began, 1)}
    if not asked.domains:
        record("gate", {"table": table(found, totals), **facts})
    return 0 if totals["random"]["better"] == len(found) and not totals["package"]["worse"] else 1


if __name__ == "__main__":
    sys.exit(main())
