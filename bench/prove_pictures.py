"""Pruning labelled photos to 10, 30 and 50 %: coverage-centric selection against the hardest and random, by test accuracy.

    python bench/prove_pictures.py ../shared/data                       the figures: hours on two cores, minutes on a GPU
    python bench/prove_pictures.py ../shared/data --limit 400 --epochs 2 --margin-epochs 2 --seeds 1 --test 200    a try

The pool is `images/cifar10n_train_00000_15999.zip` (16,000 photos) with people's labels, a share of which is wrong
(`--labels human_majority`: 9 %, `human_worst`: 41 %). For every seed one network accumulates margins on the pool; then each budget
is spent four ways: ccs (its β for that budget), ccs without the cut (β = 0), the hardest (lowest margins: importance alone), and
at random. A network is trained on each choice for the same number of passes, and asked about 10,000 other photos with true
labels. The paper (Zheng et al. 2022) reports that importance alone does well at 50 % and falls below random at 10 %, and that ccs
stays above both: the table says whether that crossing is seen here. Writes bench/results/pictures.json.
"""

from __future__ import annotations

import argparse
import gzip
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
COLUMNS = ["kept", "ccs", "ccs without the cut", "hardest", "random", "hardest against random", "ccs against random"]


def pictures(path: Path, field: str | None, most: int | None = None) -> vision.Labelled:
    """The pictures of an archive with their labels."""
    shards = find([str(path)])
    fields = detect(shards, Fields(source=field))
    blocks = [block.batch for piece in plan(shards) for block in read(piece, fields, ("id",))]
    batch = concatenate(blocks)
    keep = np.arange(len(batch) if most is None else min(most, len(batch)))
    columns = {name: batch.columns[name].take(keep) for name in ("image", "label")}
    return vision.Labelled.of(type(batch)(batch.rows[keep], batch.hashes[keep], columns), "the bench", 32)


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


def ways(asked: argparse.Namespace, beta: float) -> dict[str, dict[str, Any]]:
    """What to choose with, by name."""
    margins = [f"aum.epochs={asked.margin_epochs}", f"aum.width={asked.width}"]
    return {
        "ccs": {"method": "ccs", "set": [*margins, f"ccs.beta={beta}"]},
        "ccs without the cut": {"method": "ccs", "set": [*margins, "ccs.beta=0.0"]},
        "hardest": {"method": "aum", "select": "top_k", "rank": "-aum", "set": margins},
        "random": {"method": "random"},
    }


def one(
    pool: Path, held: vision.Labelled, asked: argparse.Namespace, seed: int, folder: Path
) -> dict[int, dict[str, Any]]:
    """Accuracy and share of wrong labels of every way at every budget, of one seed."""
    course = vision.Course(asked.epochs, 32, asked.width, schedule="cosine")
    true, found = clean(pool), dict[int, dict[str, Any]]()
    for kept, beta in BUDGETS.items():
        found[kept] = {}
        for name, given in ways(asked, beta).items():
            out = folder / f"{seed}-{kept}-{name.replace(' ', '-')}"
            opened = assay.read(str(pool), source_field=asked.labels)
            assay.select(opened, budget=f"{kept}%", out=out, seed=seed, store=folder / "store", workers=1, **given)
            chosen = pictures(out / "selected" / f"{POOL}.zip", asked.labels)
            with zipfile.ZipFile(out / "selected" / f"{POOL}.zip") as archive:
                rows = [true[entry] for entry in archive.namelist()]
            wrong = float(np.mean([row[asked.labels] != row["label"] for row in rows]))
            accuracy = vision.accuracy(chosen, held, course, seed)
            found[kept][name] = {"accuracy": accuracy, "wrong labels": wrong, "pictures": len(chosen.labels)}
            print(f"seed {seed}, {kept} %, {name}: {accuracy:.4f} ({wrong:.3f} labelled wrongly)", flush=True)
    return found


def clean(pool: Path) -> dict[str, dict[str, Any]]:
    """What the file of labels says of each picture."""
    lines = gzip.decompress((pool.parent / f"{POOL}_labels.jsonl.gz").read_bytes()).splitlines()
    return {row["image"]: row for row in map(json.loads, lines)}


def table(found: list[dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """Means over seeds, and differences seed by seed with twice their standard error."""
    rows = []
    for kept in BUDGETS:
        values = {name: np.array([seed[kept][name]["accuracy"] for seed in found]) for name in COLUMNS[1:5]}
        gaps = [values[name] - values["random"] for name in ("hardest", "ccs")]
        rows.append([f"{kept} %", *(f"{100 * one.mean():.1f} %" for one in values.values()), *map(gap, gaps)])
    return {"columns": COLUMNS, "rows": rows}


def gap(values: np.ndarray) -> str:
    """A mean difference in points."""
    error = 200 * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{100 * values.mean():+.1f} ± {error:.1f} points"


def crossing(found: list[dict[int, dict[str, Any]]]) -> str:
    """Whether what the paper reports is seen: the hardest below random at the least budget, not below at the largest; ccs above."""
    mean = lambda kept, name: float(np.mean([seed[kept][name]["accuracy"] for seed in found]))  # noqa: E731
    least, most = min(BUDGETS), max(BUDGETS)
    low, high = (mean(kept, "hardest") - mean(kept, "random") for kept in (least, most))
    above = all(mean(kept, "ccs") >= max(mean(kept, "random"), mean(kept, "hardest")) for kept in BUDGETS)
    seen = "seen" if low < 0 <= high else "not seen"
    return (
        f"crossing {seen}: the hardest are {100 * low:+.1f} points from random at {least} % and {100 * high:+.1f} at {most} %; "
        f"ccs is {'' if above else 'not '}the best at every budget"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", default="human_majority")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--test", type=int)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--margin-epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    start = time.perf_counter()
    held = pictures(asked.data / "images" / f"{TEST}.zip", None, asked.test)
    with TemporaryDirectory() as name:
        pool = shortened(asked.data, Path(name), asked.limit)
        found = [one(pool, held, asked, seed, Path(name)) for seed in range(asked.seeds)]
    said = crossing(found)
    print(said)
    told = {**{key: str(value) for key, value in vars(asked).items() if key != "data"}, "crossing": said}
    harness.record(
        "pictures" if asked.limit is None else "pictures_try",
        {**told, "seconds": time.perf_counter() - start, "seeds_found": found, "table": table(found)},
    )


if __name__ == "__main__":
    main()
