"""A/A and power of a neural judge: random against random in 20 trials, at most 4 false; planted text in 10, at least 9 better.

    python bench/prove_aa_neural.py ../shared/data                       writes bench/results/aa-lm-nano.json
    python bench/prove_aa_neural.py ../shared/data --proxy ngram         the same protocol with another judge; writes nothing

A/A: each trial chooses rows of the mixed pool by a draw of its own and judges them with three other draws, as `assay verify
--seeds 3` does: three trainings of the choice and three of random, each pair from the same initial weights. At a level of 5 %
more than 4 of 20 verdicts on one eval set are false with probability 0.003. An always-undecided judge would pass, so power stands
beside it: the choice is the text of one domain that a pool holds to a tenth, among other English text and noise.
Budgets are small, as many tokens as still teach a model of this size something.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from aa import eval_sets
from prove_planted import DOMAINS, Cell, Sources, planted
from trials import Ground, Held, Local, Trial, level_only, measured, proxy, write

from assay.verify.intervals import Difference

MOST_FALSE, LEAST_RIGHT, SHARE, SEEDS = 4, 9, 0.1, 3
UNITS = 120_000


def the_trial(ground: Ground, units: int, seed: int) -> Trial:
    """Three seeds, no rivals, whole steps."""
    step = ground.judge.step
    units = max(1, units // step) * step
    return replace(ground.judge.trial, seeds=SEEDS, units=units, curve=units, reach=1, rivals=(), seed=seed)


def judged(ground: Ground, choice: np.ndarray, held: list[Held], trial: Trial, local: Local) -> list[Difference]:
    """The choice against random on each eval set."""
    laid = level_only(ground.plan({"choice": choice}, trial))
    results = ground.conduct(laid, held, local)
    return [measured(laid, results, one, trial, which).compare("random", trial.level) for which, one in enumerate(held)]


def drawn(ground: Ground, number: int, units: int) -> np.ndarray:
    """Rows of a draw that no seed of any trial makes, a little more than `units`."""
    frame = ground.frame
    order = frame.drawn(number, int(2 * units * ground.bytes_per_unit))
    spent = np.cumsum(ground.documents.sizes[frame.rows[order]])
    return frame.rows[order[: 1 + int(np.searchsorted(spent, units))]]


def false_verdicts(data: Path, name: str, units: int, trials: int, local: Local) -> list[dict[str, Any]]:
    """A/A: for each eval set how many verdicts were false, and every difference."""
    pool, held = eval_sets(data)
    ground = Ground.of(pool, proxy(name))
    found = []
    for number in range(trials):
        trial = the_trial(ground, units, 1 + number)
        found.append(judged(ground, drawn(ground, number, trial.units), held, trial, local))
        print(
            f"   A/A {number + 1}: " + ", ".join(f"{one.answer} {one.estimate:+.4f}" for one in found[-1]), flush=True
        )
    sets = []
    for which, one in enumerate(held):
        answers = [each[which].answer for each in found]
        false = {side: answers.count(side) for side in ("better", "worse")}
        sets.append({**one.described(), "false": false, "differences": [asdict(each[which]) for each in found]})
    return sets


def power(data: Path, name: str, units: int, trials: int, local: Local) -> list[dict[str, Any]]:
    """The oracle choice of planted pools, judged."""
    sources, judge, found = Sources(data), proxy(name), []
    for number in range(trials):
        domain = DOMAINS[number % len(DOMAINS)]
        pool = planted(sources, Cell(domain, "real text", SHARE, 20_000 + number), bytes_for(units, judge.unit))
        ground = Ground.of(pool.texts, judge)
        trial = the_trial(ground, min(units, ground.units(pool.oracle)), 500 + number)
        told = judged(ground, pool.oracle, [pool.held], trial, local)[0]
        found.append({"domain": domain, "units": trial.units, **asdict(told)})
        between = f"{told.estimate:+.4f} ({told.low:+.4f} to {told.high:+.4f})"
        print(f"   power {number + 1}: {domain} {told.answer} {between}", flush=True)
    return found


def bytes_for(units: int, unit: str) -> int:
    """Bytes of target text that surely hold so many units; some domains have no more than this."""
    return units if unit == "bytes" else min(650_000, 4 * units)


def table(sets: list[dict[str, Any]], right: list[dict[str, Any]]) -> dict[str, Any]:
    """What docs show."""
    rows = [
        [f"random against random, {one['path']}", f"{sum(one['false'].values())} false", f"at most {MOST_FALSE}"] for one in sets
    ]  # fmt: skip
    better, work = sum(one["answer"] == "better" for one in right), f"{SHARE:.0%} planted, the choice is all of it"
    rows.append([work, f"{better} better of {len(right)}", f"at least {LEAST_RIGHT} of 10"])
    return {"columns": ["trials", "verdicts", "wanted"], "rows": rows}


def main() -> int:
    """Run the trials; print and write how many verdicts were false and how many right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--proxy", default="lm-nano")
    parser.add_argument("--units", type=int, help=f"tokens (ngram: bytes) for each arm; {UNITS:,} unless given")
    parser.add_argument("--trials", type=int, default=20, help="another number writes nothing")
    parser.add_argument("--planted", type=int, default=10, help="trials of power; another number writes nothing")
    asked = parser.parse_args()
    began, units = time.perf_counter(), asked.units or UNITS
    with Local() as local:
        sets = false_verdicts(asked.data, asked.proxy, units, asked.trials, local)
        right = power(asked.data, asked.proxy, units, asked.planted, local)
    better = sum(one["answer"] == "better" for one in right)
    for one in sets:
        print(f"   {one['path']}: {sum(one['false'].values())} of {asked.trials} verdicts false ({one['false']})")
    print(f"   planted: better in {better} of {asked.planted}")
    met = all(sum(one["false"].values()) <= MOST_FALSE for one in sets) and better >= LEAST_RIGHT * asked.planted / 10
    facts = {"table": table(sets, right), "met": met, "units": units, "seeds": SEEDS, "trials": asked.trials}
    if (asked.proxy, asked.units, asked.trials, asked.planted) == ("lm-nano", None, 20, 10):
        write("aa-lm-nano", {**facts, "sets": sets, "power": right, "seconds": round(time.perf_counter() - began, 1)})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
