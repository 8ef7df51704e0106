"""Agreement: ten choices on one pool, judged by `ngram`, `lm-nano` and `lm-micro`: do the judges put them in the same order?

    python bench/prove_agreement.py ../shared/data        writes bench/results/agreement.json

The pool is the mixed one; the target is one of its domains, of which forty documents aim the methods and a hundred are held
out. The choices: a random draw; what `dsir`, its reverse, a quality classifier, perplexity and length (the longest) choose;
and mixtures with a share of 0, 25, 50 and 100 % of the target domain, the rest drawn from the other domains. All have the
same number of a judge's units, and with them three draws of random.

On one curve of random a multiplier is larger exactly where the loss is lower, so the order of the multipliers is that of
the gains; but a multiplier may be censored, and a gain never is. So the rank correlation (Spearman's) is the gains';
multipliers stand beside. p: the share of all orders that correlate as much (100,000 of them, two-sided). The interval:
held-out documents and seeds drawn again, the same documents for both judges, 2,000 times. Criterion: at least 0.8 between
every two judges, which is where `assay verify` calls a ranking stable. Exit code 1 where one pair has less.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from trials import Ground, Held, Local, load, measured, proxy, told, without, worth, write

import assay
from assay.types import Texts
from assay.verify.comparisons import Measured

PROXIES = ("ngram", "lm-nano", "lm-micro")
DOMAIN, TARGET, HELD, SEEDS, REACH = "scitldr_abstracts", 40, 100, 3, 2
SHARES = (0.0, 0.25, 0.5, 1.0)
LEAST, ORDERS, AGAIN = 0.8, 100_000, 2_000
SIZE = 500_000  # bytes of a choice
MARGIN = 1.1  # choices hold so much more, so that the judge's budget, in whole steps, fits in each


@dataclass(frozen=True)
class Setting:
    """The pool and whose rows are whose; the target; what is held out."""

    texts: Texts
    domains: np.ndarray
    target: list[str]
    held: Held

    @classmethod
    def of(cls, data: Path, domain: str) -> Setting:
        """Target and held-out documents leave the pool, and so does every row that repeats a held-out one."""
        rows = {row["text"]: row["source"] for row in load(data / "text" / "pool_mixed.jsonl.zst")}
        own = [text for text, source in rows.items() if source == domain]
        own = [own[place] for place in np.random.default_rng(4).permutation(len(own))]
        target, held = own[:TARGET], own[TARGET : TARGET + HELD]
        left = without([text for text in rows if text not in {*target, *held}], held)
        return cls(Texts.of(left), np.array([rows[text] for text in left]), target, Held.of(domain, Texts.of(held)))

    def drawn(self, rows: np.ndarray, size: float, number: int) -> np.ndarray:
        """At least `size` bytes of some rows, at random; of fewer, all."""
        order = rows[np.random.default_rng([number, 41]).permutation(len(rows))]
        return np.sort(order[: 1 + int(np.searchsorted(np.cumsum(self.texts.sizes[order]), size))])

    def mixture(self, share: float, domain: str, size: float) -> np.ndarray:
        """A share of the bytes from the domain, the rest from the others."""
        own, others = np.flatnonzero(self.domains == domain), np.flatnonzero(self.domains != domain)
        parts = [self.drawn(own, share * size, 1)] if share else []
        parts += [self.drawn(others, (1 - share) * size, 2)] if share < 1 else []
        return np.concatenate(parts)


def choices(setting: Setting, domain: str, size: float) -> dict[str, np.ndarray]:
    """Ten choices by name, `size` bytes of each."""
    found = {"random draw": setting.drawn(np.arange(len(setting.texts)), size, 3)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = lay(list(setting.texts), folder / "pool.jsonl")
        aim = lay(setting.target, folder / "target.jsonl")
        budget = f"{round(size)}bytes"

        def selected(label: str, **words: Any) -> np.ndarray:
            out = folder / label.replace(" ", "-")
            run = assay.select(pool, budget=budget, rows="none", out=out, store=folder / "store", workers=2, **words)
            return np.sort(run.selected["row"].to_numpy())

        found["dsir"] = selected("dsir", target=aim, method="dsir")
        found["dsir reversed"] = selected("dsir reversed", target=aim, method="dsir", rank="-dsir")
        found["quality classifier"] = selected("quality", target=aim, method="quality_classifier")
        found["perplexity"] = selected("perplexity", target=aim, method="perplexity")
        found["longest"] = selected("longest", method="length")
    return found | {f"{share:.0%} target": setting.mixture(share, domain, size) for share in SHARES}


def lay(texts: list[str], path: Path) -> str:
    """Rows as JSON lines."""
    path.write_bytes("".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
    return str(path)


@dataclass(frozen=True)
class Told:
    """What one judge says of every choice."""

    proxy: str
    names: tuple[str, ...]
    found: tuple[Measured, ...]
    budget: int
    seconds: float
    level: float

    def losses(self, seeds: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """The mean loss of every choice, over some of the seeds and documents (each perhaps several times)."""
        sizes = self.found[0].sizes[documents].sum()
        rows = [one.arms["choice"] for one in self.found]
        picked = [each[seeds % len(each)][:, documents] for each in rows]
        return np.array([each.sum(1).mean() / sizes for each in picked])

    @property
    def gains(self) -> np.ndarray:
        """Bits per byte that random spends beyond the choice."""
        return np.array([one.mean("random") - one.mean("choice") for one in self.found])

    def facts(self) -> dict[str, Any]:
        """For the JSON."""
        each = {
            name: {
                "gain": float(gain),
                "answer": one.compare("random", self.level).answer,
                "multiplier": asdict(worth(one, self.level)),
            }
            for name, one, gain in zip(self.names, self.found, self.gains, strict=True)
        }
        return {"proxy": self.proxy, "budget": self.budget, "seconds": round(self.seconds, 1), "choices": each}


def judged(setting: Setting, chosen: dict[str, np.ndarray], name: str, size: float, local: Local) -> Told:
    """Every choice by one judge, all arms in one plan, so that random's are shared."""
    began, judge = time.perf_counter(), proxy(name)
    ground = Ground.of(setting.texts, judge)
    least = min(ground.units(rows) for rows in chosen.values())
    wanted = size if judge.unit == "bytes" else size * int(ground.documents.sizes.sum()) / int(ground.texts.sizes.sum())
    units = int(min(least, wanted)) // judge.step * judge.step
    trial = replace(judge.trial, seeds=SEEDS, units=units, curve=REACH * units, reach=REACH, rivals=())
    arms = dict(zip(("choice", *(f"arm {place}" for place in range(1, len(chosen)))), chosen.values(), strict=True))
    laid = ground.plan(arms, trial)
    results = ground.conduct(laid, [setting.held], local)
    found = tuple(measured(laid, results, setting.held, trial, 0, arm) for arm in arms)
    one = Told(name, tuple(chosen), found, laid.budget, time.perf_counter() - began, trial.level)
    print(f"   {name}: {laid.budget:,} {judge.unit} an arm, {one.seconds:.0f} s", flush=True)
    for label, each, gain in zip(chosen, found, one.gains, strict=True):
        print(f"      {label:<20} {gain:+.4f} {told(worth(each, trial.level))}", flush=True)
    return one


def agreement(a: Told, b: Told) -> dict[str, Any]:
    """The rank correlation of two judges, its p-value and its interval."""
    rho = float(stats.spearmanr(a.gains, b.gains)[0])
    rng = np.random.default_rng(0)
    ranks = stats.rankdata(a.gains) - (len(a.names) + 1) / 2, stats.rankdata(b.gains) - (len(b.names) + 1) / 2
    orders = (
        rng.permuted(np.tile(ranks[1], (ORDERS, 1)), axis=1)
        @ ranks[0]
        / (np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    )
    p = (1 + int((np.abs(orders) >= abs(rho) - 1e-12).sum())) / (1 + ORDERS)
    count = len(a.found[0].sizes)
    again = [
        stats.spearmanr(a.losses(seeds, documents), b.losses(seeds, documents))[0]
        for seeds, documents in (
            (rng.integers(SEEDS, size=SEEDS), rng.integers(count, size=count)) for _ in range(AGAIN)
        )
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    return {"judges": [a.proxy, b.proxy], "spearman": rho, "p": p, "low": float(low), "high": float(high)}


def table(every: list[Told]) -> dict[str, Any]:
    """Gain and multiplier of every choice by every judge; in the order of the last one's gains."""
    order = np.argsort(-every[-1].gains)
    rows = [
        [every[0].names[at], *(f"{one.gains[at]:+.3f}, {told(worth(one.found[at], one.level))}" for one in every)]
        for at in order.tolist()
    ]  # fmt: skip
    return {"columns": ["choice", *(f"{one.proxy}: gain in bits per byte, multiplier" for one in every)], "rows": rows}


def main() -> int:
    """Choose, judge, compare; print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--proxies", nargs="*", default=PROXIES, help="others write nothing")
    parser.add_argument("--bytes", type=float, default=SIZE, help="of a choice; another number writes nothing")
    parser.add_argument("--domain", default=DOMAIN, help="another one writes nothing")
    asked = parser.parse_args()
    began = time.perf_counter()
    setting = Setting.of(asked.data, asked.domain)
    chosen = choices(setting, asked.domain, MARGIN * asked.bytes)
    with Local() as local:
        every = [judged(setting, chosen, name, asked.bytes, local) for name in asked.proxies]
    pairs = [agreement(a, b) for a, b in combinations(every, 2)]
    for one in pairs:
        print(
            f"   {' and '.join(one['judges'])}: {one['spearman']:.3f} ({one['low']:.3f} to {one['high']:.3f}), p {one['p']:.5f}"
        )
    met = all(one["spearman"] >= LEAST for one in pairs)
    usual = tuple(asked.proxies) == PROXIES and asked.bytes == SIZE and asked.domain == DOMAIN
    facts = {"table": table(every), "met": met, "least": LEAST, "pairs": pairs, "domain": asked.domain, "seeds": SEEDS}
    if usual:
        shares = {name: share_of(setting, rows, asked.domain) for name, rows in chosen.items()}
        judges = [one.facts() for one in every]
        write(
            "agreement", {**facts, "shares": shares, "judges": judges, "seconds": round(time.perf_counter() - began, 1)}
        )
    return 0 if met else 1


def share_of(setting: Setting, rows: np.ndarray, domain: str) -> float:
    """How much of a choice's text is of the domain."""
    sizes = setting.texts.sizes[rows]
    return float(sizes[setting.domains[rows] == domain].sum() / sizes.sum())


if __name__ == "__main__":
    sys.exit(main())
