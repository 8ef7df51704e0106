"""Every selector that claims scale, over 1, 10 and 100 million rows of scores: seconds and peak memory, without any text.

    python bench/prove_selectors_scale.py                          all cases, all sizes; what is in the JSON already is left
    python bench/prove_selectors_scale.py --rows 1e6 --fresh        one size, measured anew
    python bench/prove_selectors_scale.py --case top_k --rows 1e7 --inside      one case in this process

Each case is a process of its own: it fills a row table as a counted pool's (sizes of text, hashes, sources, a score each;
33 bytes a row), asks `decide` for a tenth of it, as the engine does after the scores, and checks what came out: distinct
rows, within the budget, quotas and shares held. The peak is the summed PSS of the process; bytes a row are what it is above
a process that holds two rows, over the rows; seconds are those of `decide` alone.
Writes bench/results/selectors_scale.json after every case; exit code 1 where 100 million rows cost more than 14 times 10
million (n log n is 11.4), or any case more than `MOST` bytes a row.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from harness import RESULTS, record, run

SIZES = (10**6, 10**7, 10**8)
MOST = 100  # bytes a row, the 33 of the table among them
STEEPEST = 14.0
SOURCES = ("web", "code", "books", "wiki", "news", "forums", "papers", "law", "mail", "code-web", "chat", "rest")
CASES: dict[str, dict[str, object]] = {
    "random": {"select": "random"},
    "top_k": {"select": "top_k"},
    "top_k, bytes": {"select": "top_k", "budget": "10%bytes"},
    "top_k, half": {"select": "top_k", "budget": "50%"},
    "top_k, combined rank": {"select": "top_k", "rank": "zscore(score) + 0.5 * zscore(ln(bytes))"},
    "top_k, two targets": {"select": "top_k"},
    "gumbel_top_k": {"select": "gumbel_top_k"},
    "length": {"select": "length"},
    "percentile": {"select": "percentile", "at_least": 85.0},
    "threshold": {"select": "threshold", "at_least": 1.0},
    "uniform_per_domain": {"select": "uniform_per_domain"},
    "top_k, quota": {"select": "top_k", "quota": "source:code>=30%, web<=10%"},
    "gumbel_top_k, quota": {"select": "gumbel_top_k", "quota": "source:code>=30%, web<=10%"},
    "top_k, general": {"select": "top_k", "general": "20%"},
    "gumbel_top_k, general of a source": {"select": "gumbel_top_k", "general": "source:wiki=10%"},
}  # fmt: skip


def inside(case: str, rows: int) -> dict:
    """One case in this process: what it cost, after a check of what came out."""
    from assay.decide import decide, limit_for
    from assay.recipe import Target
    from assay.run.table import Table
    from assay.state import Columns
    from assay.steps import parse_step
    from assay.types import Budget, Signals

    step = parse_step({"budget": "10%", **CASES[case]})
    targets = (Target(("one",), 0.75), Target(("two",), 0.25)) if "targets" in case else ()
    kinds = 2 if targets else 1
    start, before = time.perf_counter(), _peak()
    table = _table(Table, rows)
    scores = {name: _score(rows, seed) for seed, name in zip((3, 4), ("score:one", "score:two"), strict=True)}
    scores = scores if kinds == 2 else {"score": scores.pop("score:one")}
    signals = Signals(Columns({"bytes": table.sizes, **scores}, {"row_hash": lambda: table.distinct_hashes}))
    made = time.perf_counter() - start
    limit = limit_for(Budget.parse(step.budget or ""), signals, table.readable)
    begun, spent = time.perf_counter(), time.process_time()
    decision = decide(step, signals, table.groups, table.readable, limit, targets, ("score",), seed=0)
    seconds, processor = time.perf_counter() - begun, time.process_time() - spent
    _check(case, decision.selection, limit, table.groups.ids)
    return {
        "case": case, "rows": rows, "seconds": seconds, "processor": processor, "made": made, "peak": _peak(),
        "before": before, "chosen": len(decision.selection),
    }  # fmt: skip


def _table(kind: type, rows: int):
    """A row table as of a counted pool: 21 bytes a row, made in pieces so that making it costs no more."""
    rng = np.random.default_rng(1)
    sizes, hashes, sources = np.empty(rows, np.int64), np.empty(rows, np.uint64), np.empty(rows, np.int32)
    shares = np.array([2.0 ** -min(place, 9) for place in range(len(SOURCES))])
    bounds = np.cumsum(shares / shares.sum())
    for first in range(0, rows, 1 << 20):
        part = slice(first, min(rows, first + (1 << 20)))
        count = part.stop - part.start
        sizes[part] = np.minimum(rng.lognormal(6.5, 1.1, count), 1e6).astype(np.int64) + 1
        hashes[part] = rng.integers(0, 1 << 64, count, np.uint64, endpoint=False) >> np.uint64(rng.integers(0, 2))
        sources[part] = np.searchsorted(bounds, rng.random(count)).clip(0, len(SOURCES) - 1)
    hashes[1::50] = hashes[: len(hashes[1::50])]  # two rows in a hundred are copies
    readable = np.ones(rows, bool)
    return kind(((0, rows),), (rows,), sizes, hashes, readable, sources, SOURCES, {}, 0, (rows,), {})


def _score(rows: int, seed: int) -> np.ndarray:
    """Scores with ties: normal, in steps of a millionth."""
    rng, score = np.random.default_rng(seed), np.empty(rows)
    for first in range(0, rows, 1 << 20):
        part = score[first : first + (1 << 20)]
        part[:] = np.round(rng.standard_normal(len(part)), 6)
    return score


def _check(case: str, selection, limit, sources: np.ndarray) -> None:
    """Distinct, within the budget, and near it where nothing else ends the choice; quotas and shares held."""
    rows, once = selection.rows, np.zeros(len(limit.cost), bool)
    once[rows] = True
    assert int(once.sum()) == len(rows), "a row was chosen twice"
    spent = int(limit.cost[rows].sum())
    assert spent <= limit.amount
    if len(limit.cost) >= 1000:
        assert spent > 0.99 * limit.amount
        if "quota" in case:
            parts = np.bincount(sources[rows], minlength=len(SOURCES)) / len(rows)
            assert parts[SOURCES.index("code")] >= 0.2999 and parts[SOURCES.index("web")] <= 0.1001, parts
        if "general" in case:
            share = len(selection.general) / len(rows)
            assert abs(share - (0.1 if "source" in case else 0.2)) < 0.01, share


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(case: str, rows: int) -> dict:
    """One case in a process of its own, its memory sampled."""
    ran = run([sys.executable, Path(__file__), "--case", case, "--rows", str(rows), "--inside"], watch=True)
    found = json.loads(ran.output.splitlines()[-1])
    return {**found, "pss": ran.peak, "bytes_a_row": max(0, found["peak"] - found["before"]) / rows}


def told(cases: list[dict], sizes: list[int]) -> dict:
    """Seconds of every size, and what a row costs at the largest."""
    by = {(one["case"], one["rows"]): one for one in cases}
    rows = []
    for case in CASES:
        here = [by.get((case, size)) for size in sizes]
        largest = next((one for one in reversed(here) if one), None)
        if largest is not None:
            cells = [f"{one['seconds']:.2f}" if one else "" for one in here]
            peak = f"{largest['pss'] / 1e9:.2f}"
            rows.append([case, *cells, peak, f"{largest['bytes_a_row']:.0f}"])
    heads = [f"seconds, {size:,} rows" for size in sizes]
    return {"columns": ["choice of a tenth", *heads, "peak of the largest, GB", "bytes a row"], "rows": rows}


def kept() -> list[dict]:
    """What an earlier call has measured."""
    path = RESULTS / "selectors_scale.json"
    return json.loads(path.read_text("utf-8"))["cases"] if path.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="not used; every proof is given it")
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--rows", action="append", type=float)
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--inside", action="store_true", help="measure one case in this process and print it")
    given = parser.parse_args()
    sizes = [int(rows) for rows in given.rows or SIZES]
    if given.inside:
        print(json.dumps(inside(given.case[0], sizes[0])))
        return 0
    done = kept()
    for rows in sizes:
        for case in given.case or CASES:
            key = (case, rows)
            if given.fresh or key not in [(one["case"], one["rows"]) for one in done]:
                found = measure(case, rows)
                print(
                    f"   {rows:,} {case}: {found['seconds']:.2f} s, {found['bytes_a_row']:.0f} bytes a row", flush=True
                )
                done = [one for one in done if (one["case"], one["rows"]) != key] + [found]
                record("selectors_scale", {"table": told(done, sorted({one["rows"] for one in done})), "cases": done})
    return int(any(_too_much(one, done) for one in done))


def _too_much(one: dict, done: list[dict]) -> bool:
    """Whether a case took more memory than it may, or more than in proportion to its rows."""
    tenth = [each for each in done if each["case"] == one["case"] and each["rows"] * 10 == one["rows"] >= 10**8]
    steep = any(one["processor"] > STEEPEST * each["processor"] for each in tenth)
    return steep or (one["rows"] >= 10**7 and one["bytes_a_row"] > MOST)


if __name__ == "__main__":
    sys.exit(main())
