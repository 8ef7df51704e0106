"""What `minhash` finds in real text: recall by similarity, precision, and the labelled pairs of ../shared/data/dedup.

    python bench/prove_dedup.py ../shared/data

Recall: planted copies (planted.py) at Jaccard similarities around 0.5 to 1.0, thousands of them; their true similarities
are computed from the sets of shingles in plain Python. The bands alone, under four seeds, must find in every tenth of
similarity a number of pairs inside the binomial interval (99 %) around the sum of 1 - (1 - J^8)^14. A pair counts as
found if both rows are in one group. Precision: of the pairs (row, the row that it is linked with) in verified groups, the share
whose own similarity, or that of a chain of others of the group, reaches the threshold; and the share that does so itself.
The labelled sets are told as they are: bibliography records of thirty words, of which a pair of one paper shares few
5-word runs, are not what this method is for.
Writes bench/results/dedup_truth.json; exit code 1 where recall leaves its interval or precision is below 0.99.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
from harness import ASSAY, WORK, record
from planted import folder
from scipy.stats import binom

SIZE = int(float(os.environ.get("ASSAY_PROVE_DEDUP", "1e8")))
WORDS = re.compile(r"\w+")
LEVELS = tuple(round(0.1 * step, 1) for step in range(4, 11))
BANDS, ROWS = 14, 8
SEEDS = (11, 12, 13, 14)  # of the permutations, which all pairs of a run share


def shingles(text: str, n: int = 5) -> frozenset[int]:
    """Runs of n words, by Python's own idea of words and lower case: not by the kernel that is on trial."""
    words = WORDS.findall(text.lower())
    return frozenset(hash(tuple(words[at : at + n])) for at in range(max(len(words) - n + 1, min(len(words), 1))))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """|A and B| / |A or B|; 0 for two empty sets."""
    shared = len(one & other)
    return shared / max(len(one) + len(other) - shared, 1)


def rows_of(pool: Path) -> list[dict]:
    """The rows of a pool in their order."""
    return [json.loads(line) for file in sorted(pool.glob("*.jsonl")) for line in file.open(encoding="utf-8")]


def kept_of(pool: Path, *settings: str) -> list[int]:
    """For every row the row that stays in its place, itself where it stays: read from the reasons of a cold run."""
    out = WORK / "dedup-truth"
    shutil.rmtree(out, ignore_errors=True)
    words = [word for setting in settings for word in ("--set", setting)]
    subprocess.run([ASSAY, "clean", pool, "--dedup", "minhash", *words, "--out", out], check=True, capture_output=True)
    manifest = pl.scan_parquet(out / "manifest.parquet/*.parquet").sort("row").collect()
    reasons = manifest["reason"].to_list()
    rows = manifest["row"].to_list()
    places = {
        row: int(why.rsplit(" ", 1)[1]) if why and why.startswith("duplicate") else row
        for row, why in zip(rows, reasons, strict=True)
    }
    return [places[row] for row in range(len(rows))]


def recall(rows: list[dict], runs: list[list[int]]) -> list[dict]:
    """Pairs found by tenth of true similarity, in all runs together, beside what the curve promises."""
    place = {row["id"]: at for at, row in enumerate(rows)}
    levels = defaultdict(list)
    for row in rows:
        if row["id"].startswith("copy"):
            other = place[f"original-{row['id'].split('-')[1]}"]
            true = jaccard(shingles(row["text"]), shingles(rows[other]["text"]))
            levels[round(true, 1)] += [(true, stays[place[row["id"]]] == stays[other]) for stays in runs]
    told = []
    for level in sorted(set(levels) & set(LEVELS)):
        true, found = (np.array(column) for column in zip(*levels[level], strict=True))
        promised = float(np.mean(1 - (1 - true**ROWS) ** BANDS))
        low, high = (float(bound) / len(true) for bound in binom.interval(0.99, len(true), promised))
        told.append(
            {
                "level": level,
                "pairs": len(true),
                "found": float(found.mean()),
                "promised": promised,
                "interval": [low, high],
                "inside": bool(low <= found.mean() <= high),
            }
        )
    return told


def precision(rows: list[dict], stays: list[int], least: float) -> dict:
    """Of rows that left for another: how many are similar enough to it themselves, or along a chain within the group."""
    groups = defaultdict(list)
    for at, stay in enumerate(stays):
        groups[stay].append(at)
    direct = chained = total = 0
    for stay, members in groups.items():
        if len(members) == 1:
            continue
        sets = {at: shingles(rows[at]["text"]) for at in members}
        direct += sum(jaccard(sets[at], sets[stay]) >= least for at in members if at != stay)
        reached, ahead = {stay}, [stay]
        while ahead:
            one = ahead.pop()
            near = [at for at in members if at not in reached and jaccard(sets[at], sets[one]) >= least]
            reached.update(near)
            ahead += near
        chained += len(reached) - 1
        total += len(members) - 1
    return {"left": total, "linked": chained / max(total, 1), "similar_to_the_one_that_stays": direct / max(total, 1)}


def read(path: Path) -> list[dict]:
    """Rows of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def as_pool(name: str, texts: list[str]) -> Path:
    """Texts as a pool on disk."""
    path = WORK / f"truth-{name}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "pool.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def articles(data: Path, size: int) -> dict:
    """Altered copies of news articles, ten at most, at word-triple similarity 0.98."""
    rows = read(data / f"dedup/articles_{size}.jsonl.gz")
    place = {row["id"]: at for at, row in enumerate(rows)}
    pairs = {frozenset((at, place[row["duplicate_of"]])) for at, row in enumerate(rows) if row.get("duplicate_of")}
    stays = kept_of(as_pool(f"articles-{size}", [row["text"] for row in rows]))
    linked = {frozenset((at, stay)) for at, stay in enumerate(stays) if at != stay}
    return {
        "set": f"articles_{size}",
        "true_pairs": len(pairs),
        "found": len(pairs & linked),
        "false": len(linked - pairs),
    }


def labelled(data: Path, name: str, *settings: str) -> dict:
    """Pairs of records with a label: linked, against the label."""
    rows = read(data / f"dedup/{name}.jsonl.gz")
    stays = kept_of(as_pool(name, [row[side] for row in rows for side in ("text_a", "text_b")]), *settings)
    told = [(stays[2 * at] == stays[2 * at + 1], bool(row["label"])) for at, row in enumerate(rows)]
    right = sum(linked and label for linked, label in told)
    return {
        "set": name, "settings": list(settings), "pairs": len(told), "labelled_same": sum(label for _, label in told),
        "recall": right / sum(label for _, label in told),
        "precision": right / max(sum(linked for linked, _ in told), 1),
    }  # fmt: skip


def thinned(data: Path, level: float, *settings: str) -> dict:
    """An instruction set that its authors thinned at several similarities of their own: which rows leave, against theirs."""
    rows = read(data / "instruct/toolformer_near_dup.jsonl.gz")
    texts = ["\n".join((row["instruction"], row["input"], row["output"])) for row in rows]
    stays = kept_of(as_pool("toolformer", texts), *settings)
    ours = np.array([stay != at for at, stay in enumerate(stays)])
    theirs = np.array([not row[f"kept_at_{level}"] for row in rows])
    return {
        "set": "toolformer_near_dup", "settings": list(settings), "their_threshold": level, "rows": len(rows),
        "they_dropped": int(theirs.sum()), "we_dropped": int(ours.sum()), "both": int((ours & theirs).sum()),
    }  # fmt: skip


def main(data: Path) -> int:
    """Print and record everything; the exit code says whether recall and precision are as promised."""
    rows = rows_of(folder(SIZE))
    bands = recall(rows, [kept_of(folder(SIZE), "minhash.verify=0", f"minhash.seed={seed}") for seed in SEEDS])
    stays = kept_of(folder(SIZE))
    verified, exact = recall(rows, [stays]), precision(rows, stays, 0.75)
    loose = ("minhash.ngram=1", "minhash.bands=40", "minhash.rows=3", "minhash.verify=0.6")
    sets = [articles(data, size) for size in (100, 1000, 2500)]
    for name in ("pairs_dblp_acm", "pairs_dblp_acm_dirty"):
        sets += [labelled(data, name), labelled(data, name, *loose)]
    sets += [
        thinned(data, 0.9),
        thinned(data, 0.7, "minhash.ngram=2", "minhash.bands=28", "minhash.rows=4", "minhash.verify=0.6"),
    ]
    met = all(level["inside"] for level in bands) and exact["linked"] >= 0.99
    for fact in (*bands, *verified, exact, *sets):
        sys.stdout.write(json.dumps(fact) + "\n")
    record(
        "dedup_truth", {"met": met, "recall": bands, "recall_verified": verified, "precision": exact, "labelled": sets}
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data")))
