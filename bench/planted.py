"""Pools of real text with planted near-duplicates, and what became of them.

Every eighth document of at least sixty words gets a copy in which words at evenly spread places are replaced, so many
that the Jaccard similarity of the 5-word shingles is about one of `LEVELS`. A row's id says what it is: `original-7` or
`copy-7-at-0.8`. Everything is deterministic.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

from harness import WORK
from pools import documents

SETS = (
    "cuad_contracts.jsonl.zst", "medquad.jsonl.zst", "movie_reviews.jsonl.gz", "brown.jsonl.gz", "webtext.jsonl.gz",
    "scitldr_abstracts.jsonl.gz", "sgd_dialogues.jsonl.gz", "wikitext2_valid_test.jsonl.gz", "agnews_test.jsonl.gz",
    "tiny_shakespeare.jsonl.gz",
)  # fmt: skip
LEVELS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
NGRAM = 5


def near_copy(text: str, level: float, random: Random) -> str:
    """The text with so many words replaced that about `level` of all shingles, its own and the copy's, are shared."""
    words = text.split()
    shared = 2 * level / (1 + level)  # of the shingles of either side
    edits = max(round((1 - shared) * (len(words) - NGRAM + 1) / NGRAM), 0 if level == 1 else 1)
    for number in range(edits):
        words[number * len(words) // edits] = f"w{random.randrange(10**12)}"
    return " ".join(words)


def _rounds(texts: list[str], random: Random) -> Iterator[str]:
    """The texts, and after them the same again and again with so many words replaced that they are nobody's duplicates."""
    yield from texts
    while True:
        yield from (near_copy(text, 0.05, random) for text in texts)


def folder(size: int, files: int = 2) -> Path:
    """A folder of `files` JSONL files, `size` bytes altogether or a little more; made once."""
    path = WORK / f"planted-{size // 10**6}mb"
    if path.exists():
        return path
    random, rows, written, turn = Random(0), [], 0, 0
    texts = [text for name in SETS for _, text in documents(name)]
    random.shuffle(texts)
    for number, text in enumerate(_rounds(texts, random)):
        rows.append({"id": f"original-{number}", "text": text})
        written += len(text)
        if number % 8 == 0 and len(text.split()) >= 60:
            level = LEVELS[turn % len(LEVELS)]
            rows.append({"id": f"copy-{number}-at-{level}", "text": near_copy(text, level, random)})
            written, turn = written + len(text), turn + 1
        if written >= size:
            break
    random.shuffle(rows)
    part = path.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    for at in range(files):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows[at::files])
        (part / f"part-{at}.jsonl").write_text("".join(lines), "utf-8")
    part.rename(path)
    return path


def found(pool: Path, kept: set[str]) -> dict[float, tuple[int, int]]:
    """For every level how many pairs did not both stay, and how many pairs there are."""
    counts: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for name in ids(pool):
        if name.startswith("copy"):
            _, number, _, level = name.split("-")
            counts[float(level)][1] += 1
            counts[float(level)][0] += not (name in kept and f"original-{number}" in kept)
    return {level: (gone, all_) for level, (gone, all_) in sorted(counts.items(), reverse=True)}


def ids(*paths: Path) -> set[str]:
    """The ids of all rows of JSONL files below some folders."""
    files = [file for path in paths for file in sorted(path.rglob("*.jsonl"))]
    return {json.loads(line)["id"] for file in files for line in file.open(encoding="utf-8")}
