"""The judge's speed: `assay verify` of a 20 MB choice with the n-gram model, and four arms of `lm-nano`.

The choice is 10 % of a pool of 200 MB, by `dsir` towards abstracts. `ngram`, five seeds, cold processes, nothing cached: at the
defaults, where a choice above 4 MB is thinned to a uniform draw of 4 MB and random's curve goes on to 16 MB; and not thinned, all
20 MB of it with as many for each arm and random's curve to 80 MB. `lm-nano`: choice, random, length and a second choice
(dsir reversed), three seeds, 2 million tokens each, random's curve left out (its trials are kept in the run's store, so a
pool has it once), arms over all processors, one thread each; the whole proof with that curve stands beside where `--curve`
asks for it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import ASSAY, WORK, record, run
from pools import KEPT_OUT, documents, pool

CHOICE, POOL = 20_000_000, 200_000_000
WANTED_NGRAM, WANTED_NEURAL = 30.0, 900.0
TOKENS, SEEDS = 2_000_000, 3
CACHE = WORK / "verify-trials"


def heldout() -> tuple[Path, Path]:
    """A target and an eval set: the abstracts that the pool does not hold, the first half and the second."""
    rows = [text for _, text in documents("scitldr_abstracts.jsonl.gz")][:KEPT_OUT]
    paths = WORK / "verify-target.jsonl", WORK / "verify-eval.jsonl"
    for path, part in zip(paths, (rows[: KEPT_OUT // 2], rows[KEPT_OUT // 2 :]), strict=True):
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in part), "utf-8")
    return paths


def choose(name: str, rank: str) -> Path:
    """A run that chose 20 MB; made anew, with the store of the others."""
    out, (aim, _) = WORK / f"run-verify-{name}", heldout()
    shutil.rmtree(out, ignore_errors=True)
    run([
        ASSAY, "select", pool(POOL), "--target", aim, "--method", "dsir", "--rank", rank, "--budget", f"{CHOICE}bytes",
        "--out", out, "--store", WORK / "store-verify",
    ])  # fmt: skip
    return out


def row(work: str, seconds: float, wanted: float | None, note: str = "") -> dict[str, Any]:
    """One figure beside the time that was wanted."""
    limit = wanted or WANTED_NGRAM
    return {
        "work": work, "peer": "the wanted time", "version": "", "ratio": limit / seconds, "direction": "faster",
        "seconds": seconds, "ours": f"{seconds:.1f} s", "theirs": f"{limit:.0f} s",
        "wanted": "at least 1" if wanted else "told", "note": note,
    }  # fmt: skip


def proof(chosen: Path, *flags: str, times: int = 2) -> tuple[float, dict[str, Any]]:
    """Seconds of a cold `assay verify` without any kept trial, the better of several, and its verdict."""
    _, held = heldout()
    command = [ASSAY, "verify", chosen, "--eval", held, "--decontaminate", "--cache", CACHE, *flags]
    seconds = []
    for _ in range(times):
        shutil.rmtree(CACHE, ignore_errors=True)
        seconds.append(run(command).seconds)
    told = (chosen / "verdict.json").read_text("utf-8").replace(f"{WORK}/", "")  # no path of this machine
    return min(seconds), json.loads(told)


def ngram(chosen: Path) -> list[dict[str, Any]]:
    """The n-gram proof, as it comes and not thinned."""
    proof(chosen, "--units", "100kB", times=1)  # compiles, once for each machine
    rows = []
    cases = {
        "at the defaults: choice thinned to a draw of {mb:.0f} MB": ((), WANTED_NGRAM),
        "not thinned: {mb:.0f} MB for each arm": (("--units", f"{CHOICE}bytes"), None),
    }
    for words, (flags, wanted) in cases.items():
        seconds, said = proof(chosen, *flags, times=1 if flags else 2)
        curve = sorted({point["bytes"] for point in said["curve"]})
        assert said["answer"] == "better" and len({arm["seed"] for arm in said["arms"] if arm["name"] == "random"}) == 5
        work = (
            f"verify, ngram, 20 MB choice of 200 MB, 5 seeds and the length arm, {words.format(mb=said['budget']['bytes'] / 1e6)}, "
            f"random's curve to {curve[-1] / 1e6:.0f} MB"
        )
        rows.append(row(work, seconds, wanted) | {"curve": curve, "sentence": said["sentence"]})
    return rows


def four_arms(chosen: Path, other: Path, tokens: int) -> dict[str, Any]:
    """Choice, random, length and another choice, three seeds each, random's curve left out; in this process."""
    from trials import Ground, Held, Local, level_only, proxy

    import assay
    from assay.types import Texts

    judge, (_, held) = proxy("lm-nano"), heldout()
    texts = [json.loads(line)["text"] for line in pool(POOL).open("rb")]
    rows = {
        name: np.sort(assay.Run(path).selected["row"].to_numpy())
        for name, path in (("choice", chosen), ("other", other))
    }
    kept = sample(rows, np.array([len(text.encode()) for text in texts]), 10 * tokens)
    places = {name: np.searchsorted(kept, np.intersect1d(found, kept)) for name, found in rows.items()}
    ground = Ground.of(Texts.of([texts[place] for place in kept]), judge)
    evals = [Held.of("abstracts", Texts.of([json.loads(line)["text"] for line in held.open("rb")]))]
    units = tokens // judge.step * judge.step
    trial = replace(judge.trial, seeds=SEEDS, units=units, curve=units, reach=1, rivals=("length",))
    laid = level_only(ground.plan(places, trial))
    began = time.perf_counter()
    with Local() as local:
        results = ground.conduct(laid, evals, local)
    seconds = time.perf_counter() - began
    assert len(results) == 4 * SEEDS and all(one.budget == units for one in results)
    trained = sum(one.budget for one in results)
    arms = "choice, random, length, another choice"
    work = f"lm-nano, four arms ({arms}), {SEEDS} seeds, {units / 1e6:.2f} M tokens each, random's curve apart"
    return row(work, seconds, WANTED_NEURAL) | {"tokens_per_second": round(trained / seconds)}


def sample(rows: dict[str, np.ndarray], sizes: np.ndarray, size: int) -> np.ndarray:
    """Enough rows of each choice and of the whole pool, at random: what four arms read, not all 200 MB in memory as tokens."""
    rng, found = np.random.default_rng(0), []
    for each in (*rows.values(), np.arange(len(sizes))):
        order = rng.permutation(each)
        found.append(order[: 1 + int(np.searchsorted(np.cumsum(sizes[order]), size))])
    return np.unique(np.concatenate(found))


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="told by ASSAY_DATA; here for make")
    parser.add_argument("--only", choices=["ngram", "lm-nano"], help="nothing is written then")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="another number writes nothing")
    parser.add_argument(
        "--curve", action="store_true", help="the lm-nano proof from the command line too, with random's curve"
    )
    asked = parser.parse_args()
    chosen, rows = choose("dsir", "dsir"), []
    if asked.only != "lm-nano":
        rows += ngram(chosen)
    if asked.only != "ngram" and importlib.util.find_spec("torch") is not None:
        rows.append(four_arms(chosen, choose("reversed", "-dsir"), asked.tokens))
        if asked.curve:
            seconds, said = proof(chosen, "--proxy", "lm-nano", "--units", f"{asked.tokens}tokens", times=1)
            work = "verify, lm-nano, the whole proof with random's curve and the pool"
            rows.append(row(work, seconds, None) | {"sentence": said["sentence"]})
    for one in rows:
        print(f"   {one['work']}: {one['seconds']:.1f} s", flush=True)
    if asked.only is None and asked.tokens == TOKENS:
        record("verify", {"rows": rows})


if __name__ == "__main__":
    sys.exit(main())
