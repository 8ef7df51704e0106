"""Do regressions on small trials say which mixtures are better? The published runs of RegMix, and fresh n-gram models of our own.

    python bench/prove_mixtures.py ../shared/data                          writes bench/results/mixtures.json, mixtures_answer.json
    python bench/prove_mixtures.py ../shared/data --fit 8 --test 4 --units 20kB --part fresh      a try, not written
    python bench/prove_mixtures.py ../shared/data --golden tests/goldens/regmix_runs.csv.gz   only writes the tests' golden

(a) RegMix's 512 runs of one million parameters are learnt, and the losses of its 256 test runs predicted: 13 rank correlations
and the optimum, each beside what the authors print. `paper` is what Assay does instead: it stops by a fifth of the 512 and not by
the test runs. Least squares of the loss on the mixture stands beside, and all of them on the runs of 60 million and one billion
parameters.

(b) On 16 domains of the shared text, mixtures are tried on n-gram models by the machinery of `assay mix`: what is learnt from
`--fit` of them is asked for `--test` others, and what the methods answer is trained too. The held-out text is every tenth
document of each of the largest domains up to 60 kB, a loss each, and leaves the pool. Trials are kept in bench/data/mixtures,
so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from harness import WORK, record
from trials import load

from assay import mixing
from assay.errors import InputError
from assay.io.store import Store
from assay.mix.data_mixing_law import MixtureLaw
from assay.mix.regmix import RegMix
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.local import Local
from assay.types import Mixture, Trials

SPEARMAN = (99.6, 99.71, 99.08, 99.45, 97.2, 99.77, 99.73, 99.18, 98.92, 96.87, 98.51, 99.19, 99.12)
PRIOR = np.array([
    0.11328527, 0.07960865, 0.00391349, 0.1853759, 0.05108136, 0.01596293, 0.10175077, 0.00370752, 0.06652935, 0.00175077,
    0.02708548, 0.23686921, 0.01184346, 0.00792997, 0.00803296, 0.03882595, 0.04644696,
])  # fmt: skip
OPTIMUM = {"pile_cc": 0.890924344, "ubuntu_irc": 0.0614285142, "pubmed_abstracts": 0.0123006293}
TESTED = 256  # published runs that are foretold
LARGEST, HELD = 6, 60_000  # domains that have a loss, and bytes of each that are held out
SEED = 20241


def columns(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Names of the columns and the lines by their index."""
    head, *lines = csv.reader(path.read_text("utf-8").splitlines())
    return head[1:], {int(line[0]): line[1:] for line in lines}


def runs(data: Path, kind: str) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray, np.ndarray]:
    """Domains, losses, mixtures (r, g) and losses (r, t) of published runs."""
    set_, size = kind.split("_")
    domains, mixtures = columns(data / "numeric" / f"regmix_{set_}_mixture_{size}.csv")
    losses, reached = columns(data / "numeric" / f"regmix_{set_}_pile_loss_{size}.csv")
    order = sorted(mixtures)
    names = tuple(name.removeprefix("train_the_pile_") for name in domains)
    said = tuple(name.removeprefix("metric/the_pile_").removesuffix("_val_loss") for name in losses)
    return names, said, np.array([mixtures[k] for k in order], float), np.array([reached[k] for k in order], float)


def golden(data: Path, path: Path) -> None:
    """Training and test runs in one table, digits as published."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    for number, set_ in enumerate(("train", "test")):
        domains, mixtures = columns(data / "numeric" / f"regmix_{set_}_mixture_1m.csv")
        losses, reached = columns(data / "numeric" / f"regmix_{set_}_pile_loss_1m.csv")
        if not number:
            parts = [f"weight:{name.removeprefix('train_the_pile_')}" for name in domains]
            said = [f"loss:{name.removeprefix('metric/the_pile_').removesuffix('_val_loss')}" for name in losses]
            table.writerow(["set", "index", *parts, *said])
        table.writerows([set_, at, *mixtures[at], *reached[at]] for at in sorted(mixtures))
    path.write_bytes(gzip.compress(out.getvalue().encode("utf-8"), 9, mtime=0))


def spearman(predicted: np.ndarray, reached: np.ndarray) -> list[float]:
    """Rank correlation of each loss, in percent."""
    from scipy.stats import spearmanr

    return [
        round(100 * float(spearmanr(one, other).statistic), 2) if np.ptp(one) else float("nan")
        for one, other in zip(predicted.T, reached.T, strict=True)
    ]


def least_squares(trials: Trials, mixtures: np.ndarray) -> np.ndarray:
    """Losses as straight lines in the mixture."""
    return mixtures @ np.linalg.lstsq(trials.spent, trials.losses, rcond=None)[0]


def published(data: Path) -> dict[str, Any]:
    """(a)"""
    names, losses, spent, reached = runs(data, "train_1m")
    _, _, tested, truth = runs(data, "test_1m")
    learnt, rng = Trials(names, spent, reached), np.random.default_rng(SEED)
    everything = Trials(names, np.concatenate([spent, tested]), np.concatenate([reached, truth]))
    reference = RegMix(variant="reference", held=len(tested) / len(everything))
    ours = spearman(reference.forecast(everything, tested, rng), truth)
    pile_cc = losses.index("pile_cc")
    one = Trials(names, everything.spent, everything.losses[:, [pile_cc]])
    answer = reference.weights(one, PRIOR * 1e4, np.random.RandomState(42))  # the notebook's generator
    optimum = {name: round(float(answer.weights[names.index(name)]), 10) for name in OPTIMUM}
    others = {
        "paper": spearman(RegMix().forecast(learnt, tested, rng), truth),
        "data_mixing_law": spearman(MixtureLaw().forecast(learnt, tested, rng), truth),
        "least_squares": spearman(least_squares(learnt, tested), truth),
    }
    for at, name in enumerate(losses):
        beside = ", ".join(f"{method} {found[at]:.2f}" for method, found in others.items())
        print(f"   {name}: {ours[at]:.2f}, published {SPEARMAN[at]:.2f}; {beside}")
    print(f"   optimum {optimum}, published {OPTIMUM}")
    larger = {size: _larger(data, size, learnt, pile_cc) for size in ("60m", "1B")}
    print(f"   Pile-CC on larger models: {larger}")
    same = tuple(ours) == SPEARMAN and all(abs(optimum[name] - OPTIMUM[name]) < 1e-9 for name in OPTIMUM)
    return {
        "losses": losses, "regmix": ours, "published": SPEARMAN, **others, "optimum": optimum, "published_optimum": OPTIMUM,
        "equal": same, "larger": larger,
    }  # fmt: skip


def _larger(data: Path, size: str, learnt: Trials, at: int) -> dict[str, float]:
    """Rank correlation of what small models foretell with what larger ones reached, of one loss."""
    _, _, mixtures, truth = runs(data, f"test_{size}")
    one, rng = Trials(learnt.names, learnt.spent, learnt.losses[:, [at]]), np.random.default_rng(SEED)
    found = {
        "regmix": RegMix().forecast(one, mixtures, rng),
        "data_mixing_law": MixtureLaw().forecast(one, mixtures, rng),
        "least_squares": least_squares(one, mixtures),
    }
    return {name: spearman(predicted, truth[:, [at]])[0] for name, predicted in found.items()}


def laid(data: Path, work: Path) -> tuple[Path, list[Path]]:
    """The pool without its held-out documents, and these, a file for each of the largest domains."""
    rows = load(data / "text" / "pool_mixed.jsonl.zst")
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row["source"]] = sizes.get(row["source"], 0) + len(row["text"].encode())
    largest = sorted(sizes, key=lambda name: -sizes[name])[:LARGEST]
    held: dict[str, list[dict[str, Any]]] = {name: [] for name in largest}
    kept, seen, taken = [], dict.fromkeys(sizes, 0), dict.fromkeys(sizes, 0)
    for row in rows:
        name = row["source"]
        seen[name] += 1
        aside = name in held and seen[name] % 10 == 0 and taken[name] < HELD
        (held[name] if aside else kept).append(row)
        taken[name] += len(row["text"].encode()) if aside else 0
    work.mkdir(parents=True, exist_ok=True)
    paths = [work / f"{name}.jsonl" for name in largest]
    for path, some in [(work / "pool.jsonl", kept), *zip(paths, held.values(), strict=True)]:
        text = "".join(
            json.dumps({"text": row["text"], "source": row["source"]}, ensure_ascii=False) + "\n" for row in some
        )
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    return work / "pool.jsonl", paths


def fresh(data: Path, fit: int, test: int, units: str, workers: int | None) -> dict[str, Any]:
    """(b)"""
    work = WORK / "mixtures"
    pool_path, held = laid(data, work / "text")
    out = work / f"{fit}-{test}-{units}"
    asked = mixing.MixAsked(
        tuple(map(str, held)), domains="source", tried=fit + test, units=units, decontaminate=True, seed=SEED
    )
    with Local(workers) as local:
        pool = open_pool((str(pool_path),), Read(source_field="source"), Store(out / "store"), local, shown)
        method = RegMix(tried=fit + test)
        found = mixing.made(pool, asked, method, out, local)
        assert found.bench is not None and found.ground is not None
        proposed = method.propose(found.ground.share, None, np.random.default_rng(SEED))
        trials, moved = found.bench.trials(proposed, 0)
        facts = compared(trials, found.losses, fit)
        answers = answered(trials, fit, found.ground.limits(asked.epochs_limit))
        trained = found.bench.trials([*answers.values(), found.ground.share], fit + test)[0].losses.mean(1)
    facts |= {"fit": fit, "test": test, "units": units, "domains": len(trials.names), "moved": moved}
    reached = dict(zip([*answers, "the pool as it is"], trained, strict=True))
    tried = trials.losses.mean(1)
    reached |= {f"the best of {len(tried)} mixtures tried": tried.min(), "the middle one of them": np.median(tried)}
    facts["reached"] = {name: round(float(bits), 5) for name, bits in reached.items()}
    facts["answers"] = {
        name: dict(zip(one.domains, one.weights.round(4), strict=True)) for name, one in answers.items()
    }
    for name, bits in facts["reached"].items():
        print(f"   {name}: {bits} bits per byte, mean of {len(found.losses)} held-out sets")
    return facts


def shown(stage: str, done: int, total: int, unit: str = "bytes", loss: float = 0.0) -> None:
    """One line for every sixteenth of the trials."""
    if unit == "mixtures" and done % max(1, total // 16) == 0:
        print(f"   {stage}: {done} of {total}", flush=True)


def compared(trials: Trials, losses: tuple[str, ...], fit: int) -> dict[str, Any]:
    """Rank correlation with the trials that were not learnt from, of each loss, and of their mean."""
    learnt = Trials(trials.names, trials.spent[:fit], trials.losses[:fit])
    asked, truth, rng = trials.spent[fit:], trials.losses[fit:], np.random.default_rng(SEED)
    facts: dict[str, Any] = {"losses": losses}
    for name, forecast in (
        ("regmix", lambda: RegMix().forecast(learnt, asked, rng)),
        ("data_mixing_law", lambda: MixtureLaw().forecast(learnt, asked, rng)),
        ("least_squares", lambda: least_squares(learnt, asked)),
    ):
        try:
            predicted = forecast()
        except InputError as error:
            print(f"   {name}: {error}")
            continue
        facts[name] = spearman(predicted, truth)
        facts[f"{name}_mean"] = spearman(predicted.mean(1, keepdims=True), truth.mean(1, keepdims=True))[0]
        print(f"   {name}: {dict(zip(losses, facts[name], strict=True))}, mean of all {facts[f'{name}_mean']}")
    return facts


def answered(trials: Trials, fit: int, limits: np.ndarray) -> dict[str, Mixture]:
    """What each method answers from the trials learnt from; one that needs more of them is left out."""
    learnt, found = Trials(trials.names, trials.spent[:fit], trials.losses[:fit]), {}
    for name, method in (("regmix", RegMix()), ("data_mixing_law", MixtureLaw())):
        with suppress(InputError):
            found[f"the answer of {name}"] = method.weights(
                learnt, mixing.within(learnt, limits), np.random.default_rng(SEED)
            )
    best = learnt.spent[least_squares(learnt, learnt.spent).mean(1).argmin()]
    return found | {"the trial that least squares likes best": Mixture(learnt.names, best)}


def ranked(known: dict[str, Any], trained: dict[str, Any]) -> dict[str, Any]:
    """The table of rank correlations, and of the published optimum."""
    said = ["data_mixing_law", "least_squares"]

    def line(name: str, found: dict[str, Any], at: int, *before: float | str) -> list[str]:
        return [name, *map(str, before), *(f"{found[key][at]:.2f}" if key in found else "" for key in said)]

    rows = [
        line(f"{name}: {TESTED} published runs", known, at, *(f"{known[key][at]:.2f}" for key in ("published", "regmix", "paper")))
        for at, name in enumerate(known["losses"])
    ]  # fmt: skip
    rows += [
        [f"pile_cc: published runs of {size}", "", "", *(f"{found[key]:.2f}" for key in ("regmix", *said))]
        for size, found in known["larger"].items()
    ]
    models = f"{trained['test']} n-gram models"
    trained = {
        **trained,
        **{key: [*trained[key], trained[f"{key}_mean"]] for key in ("regmix", *said) if key in trained},
    }
    rows += [
        line(f"{name}: {models}", trained, at, "", "", f"{trained['regmix'][at]:.2f}" if "regmix" in trained else "")
        for at, name in enumerate([*trained["losses"], "mean of these"])
    ]
    rows += [
        [f"weight of {name} in the optimum", str(said), str(known["optimum"][name]), "", "", ""]
        for name, said in known["published_optimum"].items()
    ]
    columns = [
        "rank correlation in %",
        "authors print",
        "regmix, reference",
        "regmix",
        "data_mixing_law",
        "least squares",
    ]
    return {"columns": columns, "rows": rows}


def main() -> int:
    """Both parts, printed and written; exit code 1 where a published number does not come out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--fit", type=int, default=128)
    parser.add_argument("--test", type=int, default=32)
    parser.add_argument("--units", default="1MB")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--part", choices=("published", "fresh"), help="only this part, printed and not written")
    parser.add_argument("--golden", type=Path)
    asked = parser.parse_args()
    if asked.golden:
        golden(asked.data, asked.golden)
        return 0
    if asked.part:
        told = (
            published(asked.data)
            if asked.part == "published"
            else fresh(asked.data, asked.fit, asked.test, asked.units, asked.workers)
        )
        return 0 if told.get("equal", True) else 1
    trained = fresh(asked.data, asked.fit, asked.test, asked.units, asked.workers)
    known = published(asked.data)
    record("mixtures", {"published": known, "fresh": trained, "table": ranked(known, trained)})
    columns = ["mixture", f"bits per byte, mean of {len(trained['losses'])} held-out sets"]
    reached = [[name, f"{bits:.4f}"] for name, bits in trained["reached"].items()]
    record("mixtures_answer", {"units": asked.units, "table": {"columns": columns, "rows": reached}})
    return 0 if known["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
