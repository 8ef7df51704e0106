"""Pruning labelled photos to 10, 30 and 50 %: coverage-centric selection against the hardest and random, by test accuracy.

    python bench/prove_pictures.py ../shared/data                       all of it: hours on two cores, minutes on a GPU
    python bench/prove_pictures.py ../shared/data --side 16 --steps 500 --test 5000       half an hour of one core
    python bench/prove_pictures.py ../shared/data --limit 400 --steps 10 --margin-epochs 2 --runs 1 --seeds 1 --test 200    a try

The pool is `images/cifar10n_train_00000_15999.zip` (16,000 photos) with people's labels, a share of which is wrong
(`--labels human_majority`: 9 %, `human_worst`: 41 %; `label`: the true ones, as in the paper). For every seed one network
accumulates margins on the pool, and some networks give EL2N; then each budget is spent as `WAYS` has it: ccs (the paper's β for
that budget), ccs without the cut (β = 0), the hardest by margin and by EL2N (importance alone), and at random. A network is
trained on each choice for the same number of steps, whatever the budget, as the paper does, and asked about other photos with
true labels. The paper (Zheng et al. 2022) reports that importance alone does well at 50 % and falls below random at 10 %, and
that ccs stays above both: the table says whether that crossing is seen here. Differences are taken seed by seed; ± is twice
their standard error. `--work FOLDER` keeps what is done, so that a run that was ended goes on. Writes
bench/results/pictures.json, or what `--record` names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import time
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import harness
import numpy as np

import assay
from assay.io.fields import Fields, detect
from assay.io.reader import read
from assay.io.sources import find, plan
from assay.models import vision
from assay.run.passes import concatenate

POOL, TEST = "cifar10n_train_00000_15999", "cifar10_test"
BUDGETS = {10: 0.3, 30: 0.1, 50: 0.0}  # per cent kept, and the paper's beta there
WAYS = ("ccs", "ccs without the cut", "hardest by aum", "hardest by el2n", "random")
BATCH = 128
Cells = dict[int, dict[str, dict[str, Any]]]  # by per cent kept, then by way


def pictures(path: Path, field: str | None, side: int, most: int | None = None) -> vision.Labelled:
    """The pictures of an archive with their labels; of `most`, every so many-th, since archives may go class by class."""
    shards = find([str(path)])
    fields = detect(shards, Fields(source=field))
    batch = concatenate([block.batch for piece in plan(shards) for block in read(piece, fields, ("id",))])
    keep = np.arange(len(batch)) if most is None else np.unique(np.linspace(0, len(batch) - 1, most).astype(np.int64))
    columns = {name: batch.columns[name].take(keep) for name in ("image", "label")}
    return vision.Labelled.of(type(batch)(batch.rows[keep], batch.hashes[keep], columns), "the bench", side)


def shortened(data: Path, folder: Path, limit: int | None) -> Path:
    """The pool, or the first pictures of it with the file of all labels."""
    source = data / "images" / f"{POOL}.zip"
    if limit is None:
        return source
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(folder / f"{POOL}.zip", "w") as part:
        for name in whole.namelist()[:limit]:
            part.writestr(name, whole.read(name))
    labels = data / "images" / f"{POOL}_labels.jsonl.gz"
    (folder / labels.name).write_bytes(labels.read_bytes())
    return folder / f"{POOL}.zip"


def way(name: str, asked: argparse.Namespace, beta: float) -> dict[str, Any]:
    """What to choose with."""
    size = {"width": asked.width, "side": asked.side}
    margins = [f"aum.{key}={value}" for key, value in {"epochs": asked.margin_epochs, **size}.items()]
    early = [f"el2n.{key}={value}" for key, value in {"epochs": asked.early_epochs, "runs": asked.runs, **size}.items()]
    return {
        "ccs": {"method": "ccs", "set": [*margins, f"ccs.beta={beta}"]},
        "ccs without the cut": {"method": "ccs", "set": [*margins, "ccs.beta=0.0"]},
        "hardest by aum": {"method": "aum", "select": "top_k", "rank": "-aum", "set": margins},
        "hardest by el2n": {"method": "el2n", "select": "top_k", "set": early},
        "random": {"method": "random"},
    }[name]


def cell(
    pool: Path, held: vision.Labelled, asked: argparse.Namespace, folder: Path, seed: int, kept: int, name: str
) -> dict:
    """Accuracy and share of wrong labels of one way at one budget, of one seed."""
    out = folder / f"{seed}-{kept}-{name.replace(' ', '-')}"
    opened, given = assay.read(str(pool), source_field=asked.labels), way(name, asked, BUDGETS[kept])
    assay.select(opened, budget=f"{kept}%", out=out, seed=seed, store=folder / "store", workers=1, **given)
    chosen = pictures(out / "selected" / f"{POOL}.zip", asked.labels, asked.side)
    true = clean(pool)
    with zipfile.ZipFile(out / "selected" / f"{POOL}.zip") as archive:
        rows = [true[entry] for entry in archive.namelist()]
    wrong = float(np.mean([row[asked.labels] != row["label"] for row in rows]))
    epochs = max(1, round(asked.steps * BATCH / len(chosen.labels)))
    course = vision.Course(epochs, asked.side, asked.width, batch=BATCH, schedule="cosine")
    accuracy = vision.accuracy(chosen, held, course, seed)
    print(f"seed {seed}, {kept} %, {name}: {accuracy:.4f} ({wrong:.3f} labelled wrongly)", flush=True)
    return {"accuracy": accuracy, "wrong labels": wrong, "pictures": len(chosen.labels), "epochs": epochs}


def all_cells(pool: Path, held: vision.Labelled, asked: argparse.Namespace, folder: Path) -> list[Cells]:
    """Every seed's cells; those that the folder has from before are not worked again."""
    found, made = [], folder / "cells"
    made.mkdir(exist_ok=True)
    for seed in range(asked.seeds):
        found.append({kept: {} for kept in BUDGETS})
        for kept, name in itertools.product(BUDGETS, asked.ways):
            path = made / f"{seed}-{kept}-{name}.json"
            if not path.exists():
                path.write_text(json.dumps(cell(pool, held, asked, folder, seed, kept, name)), "utf-8")
            found[-1][kept][name] = json.loads(path.read_text("utf-8"))
    return found


def clean(pool: Path) -> dict[str, dict[str, Any]]:
    """What the file of labels says of each picture."""
    lines = gzip.decompress((pool.parent / f"{POOL}_labels.jsonl.gz").read_bytes()).splitlines()
    return {row["image"]: row for row in map(json.loads, lines)}


def gaps(found: list[Cells], kept: int, name: str, other: str = "random") -> tuple[float, float]:
    """The mean difference in points of accuracy, seed by seed, and twice its standard error."""
    values = 100 * np.array([seed[kept][name]["accuracy"] - seed[kept][other]["accuracy"] for seed in found])
    return float(values.mean()), float(2 * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def table(found: list[Cells], ways: list[str]) -> dict[str, Any]:
    """Means over seeds with the share of wrong labels in brackets, and differences from random."""
    others = [name for name in ways if name != "random"]
    rows = []
    for kept in BUDGETS:
        mean = {
            name: [
                100 * float(np.mean([seed[kept][name][key] for seed in found])) for key in ("accuracy", "wrong labels")
            ]
            for name in ways
        }
        told = (gaps(found, kept, name) for name in others)
        rows.append([f"{kept} %", *("{:.1f} ({:.1f})".format(*one) for one in mean.values()),
                     *(f"{gap:+.1f} ± {error:.1f}" for gap, error in told)])  # fmt: skip
    return {"columns": ["kept", *ways, *(f"{name} less random" for name in others)], "rows": rows}


def crossing(found: list[Cells], name: str) -> str:
    """Whether the hardest are below random at the least budget and not at the largest, as the paper reports."""
    least, most = min(BUDGETS), max(BUDGETS)
    (low, low_error), (high, high_error) = gaps(found, least, name), gaps(found, most, name)
    seen = low < -low_error and high >= 0
    refuted = low > low_error or high < -high_error
    verdict = "seen" if seen else "not seen" if refuted else "undecided"
    return (
        f"{name}: the crossing is {verdict}; {low:+.1f} ± {low_error:.1f} points from random at {least} %, "
        f"{high:+.1f} ± {high_error:.1f} at {most} %"
    )


def ahead(found: list[Cells], ways: list[str]) -> str:
    """Where ccs is above every other way by more than twice the standard error, and where it is not."""
    others = [name for name in ways if name != "ccs"]
    told = {kept: [gaps(found, kept, "ccs", name) for name in others if "ccs" not in name] for kept in BUDGETS}
    clear = [f"{kept} %" for kept, gap in told.items() if all(one > error for one, error in gap)]
    return f"ccs is clearly above random and the hardest at {', '.join(clear) or 'no budget'}"


def words() -> argparse.ArgumentParser:
    """What may be asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", default="human_majority")
    parser.add_argument("--limit", type=int, help="the first so many photos of the pool")
    parser.add_argument("--test", type=int, help="so many of the 10,000 photos that are asked about")
    parser.add_argument("--steps", type=int, default=2500, help="of 128 photos: how long each choice is trained on")
    parser.add_argument("--margin-epochs", type=int, default=20)
    parser.add_argument("--early-epochs", type=int, default=10, help="after which EL2N is taken")
    parser.add_argument("--runs", type=int, default=10, help="networks whose EL2N is averaged")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--side", type=int, default=32, help="pixels to which photos are scaled")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--work", type=Path, help="a folder in which what is done is kept")
    parser.add_argument("--record", default="pictures")
    return parser


def main() -> None:
    """All cells, the table, and whether the crossing is seen."""
    asked = words().parse_args()
    start = time.perf_counter()
    told = {key: value for key, value in vars(asked).items() if key not in ("data", "work", "record")}
    held = pictures(asked.data / "images" / f"{TEST}.zip", None, asked.side, asked.test)
    with TemporaryDirectory() as name:
        fixed = {key: value for key, value in told.items() if key not in ("seeds", "ways")}
        folder = (asked.work or Path(name)) / hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        pool = shortened(asked.data, folder, asked.limit)
        found = all_cells(pool, held, asked, folder)
    said = [*(crossing(found, name) for name in asked.ways if name.startswith("hardest")), ahead(found, asked.ways)]
    print("\n".join(said))
    facts = {"asked": told, "said": said, "seconds": time.perf_counter() - start, "cells": found}
    harness.record(asked.record, {**facts, "table": table(found, asked.ways)})


if __name__ == "__main__":
    main()
