"""Power: a pool that holds 10 % planted target text; the oracle choice must be `better` in at least 18 of 20 trials.

    python bench/power.py ../shared/data     writes bench/results/power.json; exit code 1 where it fails

An always-undecided judge passes the A/A test, so power stands beside it. The oracle takes exactly the planted rows;
the anti-oracle takes as many bytes of the rest. The multiplier is measured by the whole curve, once for each domain.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from trials import Held, NGramJudge, Trial, frame_of, level_only, load, plan, trained, write

from assay.types import Texts
from assay.verify.intervals import Difference, against_random
from assay.verify.judge import Result
from assay.verify.verdict import Question, verdict

DOMAINS = ("medquad", "scitldr_abstracts", "sgd_dialogues", "agnews_test", "gsm8k_train")
LEAST_RIGHT, DOCUMENTS, SHARE = 18, 60, 0.1


def planted(rows: list[dict[str, str]], domain: str, number: int, size: int) -> tuple[Texts, np.ndarray, Held]:
    """A pool of `size` bytes of which a tenth is the domain's, the rows of that tenth, and held-out documents."""
    rng = np.random.default_rng([number, DOMAINS.index(domain)])
    texts = list(dict.fromkeys(row["text"] for row in rows if row["source"] == domain))
    others = [row["text"] for row in rows if row["source"] != domain]
    own = [texts[k] for k in rng.permutation(len(texts))]
    target = _within(own[DOCUMENTS:], int(size * SHARE))
    rest = _within([others[k] for k in rng.permutation(len(others))], size - int(size * SHARE))
    order = rng.permutation(len(target) + len(rest))
    pool = Texts.of([(target + rest)[k] for k in order])
    return pool, np.flatnonzero(order < len(target)), Held.of(domain, Texts.of(own[:DOCUMENTS]))


def _within(texts: list[str], size: int) -> list[str]:
    spent = np.cumsum([len(text.encode()) for text in texts])
    return texts[: int(np.searchsorted(spent, size, side="right"))]


def against(name: str, results: list[Result], held: Held) -> Difference:
    """A fixed arm against random at the same bytes."""
    bits = next(one.bits[0] for one in results if one.name == name)
    level = next(one.budget for one in results if one.name == name)
    draws = np.array([one.bits[0] for one in results if one.name == "random" and one.budget == level])
    return against_random(bits, draws, held.documents.sizes)


def one_trial(rows: list[dict[str, str]], number: int, size: int) -> dict[str, Any]:
    """Answers for the oracle and the anti-oracle; for the first trial of each domain the whole verdict too."""
    domain, trial = DOMAINS[number % len(DOMAINS)], Trial(seed=10_000 + number)
    pool, oracle, held = planted(rows, domain, number, size)
    rest = np.setdiff1d(np.arange(len(pool)), oracle)
    anti = rest[: 1 + int(np.searchsorted(np.cumsum(pool.sizes[rest]), int(pool.sizes[oracle].sum())))]
    laid = plan({"choice": oracle, "anti": anti}, frame_of(pool), trial)
    whole = number < len(DOMAINS)
    results = trained(laid if whole else level_only(laid), pool, [held], NGramJudge())
    right, wrong = against("choice", results, held), against("anti", results, held)
    found = {"domain": domain, "oracle": asdict(right), "anti": asdict(wrong)}
    if whole:
        said = verdict(laid, results, trial, NGramJudge(), Question(held, selector="oracle"))
        found |= {"multiplier": said["multiplier"], "sentence": said["sentence"]}
    print(f"{domain}: {found.get('sentence', right.answer)}", flush=True)
    return found


def main() -> int:
    """Run the trials; print and write how many verdicts were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--size", type=int, default=1_000_000)
    asked = parser.parse_args()
    rows = load(asked.data / "text" / "pool_mixed.jsonl.zst")
    began = time.perf_counter()
    found = [one_trial(rows, number, asked.size) for number in range(asked.trials)]
    better = sum(one["oracle"]["answer"] == "better" for one in found)
    anti = {side: sum(one["anti"]["answer"] == side for one in found) for side in ("better", "worse")}
    worth = [one["multiplier"]["estimate"] or one["multiplier"]["low"] for one in found if "multiplier" in one]
    print(
        f"oracle better in {better} of {asked.trials}; anti-oracle worse in {anti['worse']}, better in {anti['better']}"
    )
    facts = {"trials": asked.trials, "pool_bytes": asked.size, "share": SHARE, "least_right": LEAST_RIGHT}
    seen = {"better": better, "anti_worse": anti["worse"], "anti_better": anti["better"]}
    facts |= {**seen, "median_multiplier": statistics.median(worth), "found": found}
    write("power", {**facts, "seconds": time.perf_counter() - began})
    return 0 if better >= LEAST_RIGHT else 1


if __name__ == "__main__":
    sys.exit(main())
