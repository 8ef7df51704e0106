"""A/A: random judged against random, 200 trials, two eval sets; at 5 % at most 19 verdicts may be false.

    python bench/aa.py ../shared/data        writes bench/results/aa.json; exit code 1 where it fails

Each trial chooses rows by a draw of its own (whole documents within the budget) and judges them with five other draws
as `assay verify` does. Under a true rate of 5 % more than 19 of 200 happen with probability 0.002.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from trials import Held, NGramJudge, Trial, frame_of, level_only, load, plan, trained, write

from assay.types import Texts
from assay.verify.intervals import against_random

MOST_FALSE = 19


def eval_sets(data: Path) -> tuple[Texts, list[Held]]:
    """The mixed pool without every 500th row; those rows; and answers on medicine of which the pool has no copy."""
    rows = load(data / "text" / "pool_mixed.jsonl.zst")
    seen = {row["text"] for row in rows}
    held = [row["text"] for row in rows[150::500]]
    medical = [row["text"][:1500] for row in load(data / "text" / "medquad.jsonl.zst")[::270]]
    fresh = [text for text in medical if text not in seen]
    sets = [Held.of("mixed", Texts.of(held)), Held.of("medicine", Texts.of(fresh))]
    kept = set(held)
    return Texts.of([row["text"] for row in rows if row["text"] not in kept]), sets


def one_trial(number: int, pool: Texts, held: list[Held], budget: int) -> list[tuple[float, float, str]]:
    """Difference, probability and answer on each eval set."""
    frame = frame_of(pool)
    order = frame.drawn(number, 2 * budget)
    choice = frame.rows[order[np.cumsum(frame.sizes[order]) <= budget]]
    laid = level_only(plan({"choice": choice}, frame, Trial(seed=1 + number)))
    results = trained(laid, pool, held, NGramJudge())
    found = []
    for which, one in enumerate(held):
        bits = next(result.bits[which] for result in results if result.name == "choice")
        draws = np.array([result.bits[which] for result in results if result.name == "random"])
        judged = against_random(bits, draws, one.documents.sizes)
        found.append((judged.estimate, judged.p_better, judged.answer))
    if (number + 1) % 20 == 0:
        print(f"{number + 1} trials", flush=True)
    return found


def main() -> int:
    """Run the trials; print and write how many verdicts were false."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial: another one draws anew")
    parser.add_argument("--budget", type=int, default=60_000)
    parser.add_argument("--name", default="aa")
    asked = parser.parse_args()
    pool, held = eval_sets(asked.data)
    began = time.perf_counter()
    found = [one_trial(number, pool, held, asked.budget) for number in range(asked.first, asked.first + asked.trials)]
    sets = []
    for which, one in enumerate(held):
        answers = [trial[which][2] for trial in found]
        false = {side: answers.count(side) for side in ("better", "worse")}
        sets.append({**one.described(), "false": false, "p_better": [round(trial[which][1], 4) for trial in found]})
        print(f"{one.path}: {sum(false.values())} of {asked.trials} verdicts false ({false})")
    passed = all(sum(one["false"].values()) <= MOST_FALSE for one in sets)
    facts = {
        "trials": asked.trials,
        "first": asked.first,
        "budget": asked.budget,
        "seeds": Trial().seeds,
        "level": Trial().level,
    }
    write(asked.name, {**facts, "most_false": MOST_FALSE, "sets": sets, "seconds": time.perf_counter() - began})
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
