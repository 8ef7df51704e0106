"""The tasks of recipes/board.toml and board_models.toml, out of the shared data: pools, targets, and held-out text for each.

    .venv/bin/python bench/board_tasks.py          writes bench/data/board/ (ignored by git); ASSAY_DATA names the data's folder

Rows are split by a hash of their text: examples of a target, held-out text of it, held-out text in general, and the pool,
which has none of these. Pool rows and examples that repeat a held-out document (32 words in a row, as `verify` counts
them) are left out. So the files follow from the data alone, and `verify` finds no overlap.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from harness import WORK
from pools import text_folder
from trials import load

from assay.types import Batch, Texts
from assay.verify.overlap import OverlapPart

Row = dict[str, Any]
OUT = WORK / "board"
DATA = text_folder().parent
FEW = 3_000  # instructions of the pool for methods that read them with a network
ROMANCE = ("fra_Latn", "spa_Latn", "ita_Latn", "por_Latn", "ron_Latn")


def luck(text: str) -> float:
    """A number in [0, 1) that follows from the text."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) / 2**64


def between(rows: Iterable[Row], low: float, high: float) -> list[Row]:
    """The rows whose luck lies there."""
    return [row for row in rows if low <= luck(row["text"]) < high]


def rows_of(name: str) -> list[Row]:
    """Rows of a set with text, each text once."""
    found = {row["text"]: row for row in reversed(load(DATA / name)) if row["text"].strip()}
    return list(reversed(found.values()))


def without(rows: list[Row], held: list[Row]) -> list[Row]:
    """The rows that repeat none of the held-out documents."""
    part, kept = OverlapPart.of(Texts.of([row["text"] for row in held])), np.ones(len(rows), bool)
    texts = Texts.of([row["text"] for row in rows])
    kept[part(Batch(np.arange(len(rows)), np.zeros(len(rows), np.uint64), {"text": texts}))] = False
    return [row for row, stays in zip(rows, kept, strict=True) if stays]


def write(name: str, rows: Iterable[Row]) -> None:
    """One JSON object a line."""
    path = OUT / f"{name}.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    print(f"   {name:<22} {len(lines):>7,} rows {path.stat().st_size / 1e6:>7.2f} MB")


def mixed() -> None:
    """Sixteen domains in one pool; targets: medical answers, and web pages that people called good."""
    whole = load(DATA / "text" / "pool_mixed.jsonl.zst")
    used = {row["id"] for row in whole}
    medical = [row for row in rows_of("text/medquad.jsonl.zst") if row["id"] not in used]
    medical_eval = between(medical, 0, 0.03)
    good = [row for row in rows_of("text/dclm_human_quality.jsonl.gz") if row["label"] == 1]
    good_eval, good_ids = between(good, 0, 0.6), {row["id"] for row in good}
    rest = [row for row in whole if row["id"] not in good_ids]
    others = [row for row in rest if row["source"] not in ("medquad", "dclm_human_quality")]
    general = without(between(others, 0, 0.015), [*medical_eval, *good_eval])
    held = [*medical_eval, *good_eval, *general]
    gone = {row["text"] for row in held}
    write("mixed", without([row for row in rest if row["text"] not in gone], held))
    write("mixed-general", general)
    write("medical-eval", medical_eval)
    write("medical-target", without(between(medical, 0.03, 0.06), held))
    write("quality-eval", good_eval)
    write("quality-target", without(between(good, 0.6, 1), held))
    tweets = [row for row in rows_of("text/toxic_tweets.jsonl.gz") if row["id"] not in used]
    write("toxic", [row for row in tweets if row["label"] != "neither"])
    write("harmless", [row for row in tweets if row["label"] == "neither"])


def asked(row: Row) -> Row:
    """An instruction row with the text that a model reads: question, input, answer."""
    parts = [row["instruction"], row["input"], row["output"]]
    return {**row, "text": "\n\n".join(part.strip() for part in parts if part and part.strip())}


def turns(row: Row) -> Row:
    """The same without the text put together, so that question and answer are told apart."""
    return {name: value for name, value in row.items() if name != "text"}


def instruct() -> None:
    """Instructions of five origins; targets: hand-picked answers (LIMA), and worked sums (GSM8K)."""
    names = ("alpaca_rated", "code_alpaca_2k", "gsm8k_train", "lima_train", "toolformer_near_dup")
    sets = {name: [asked(row) for row in load(DATA / "instruct" / f"{name}.jsonl.gz")] for name in names}
    lima, sums = sets["lima_train"], sets["gsm8k_train"]
    lima_eval, sums_eval = between(lima, 0, 0.15), between(sums, 0, 0.06)
    lima_target, sums_target = between(lima, 0.15, 0.4), between(sums, 0.06, 0.1)
    rest = [row for name in names for row in sets[name] if name not in ("lima_train", "gsm8k_train")]
    general = without(between(rest, 0, 0.02), [*lima_eval, *sums_eval])
    held = [*lima_eval, *sums_eval, *general]
    gone = {row["text"] for row in [*held, *lima_target, *sums_target]}
    pool = [row for name in names for row in sets[name] if row["text"] and row["text"] not in gone]
    chosen = without(sorted(pool, key=lambda row: luck(row["text"])), held)
    write("instruct", chosen)
    few = {"few": chosen[:FEW], "few-general": general[:300], "few-lima-eval": lima_eval, "few-sums-eval": sums_eval}
    few |= {"few-lima": without(lima_target[:30], held), "few-sums": without(sums_target[:30], held)}
    for name, rows in few.items():
        write(name, map(turns, rows))
    write("instruct-general", general)
    write("lima-eval", lima_eval)
    write("lima-target", without(lima_target, held))
    write("sums-eval", sums_eval)
    write("sums-target", without(sums_target, held))
    rated = [row for row in sets["alpaca_rated"] if row["random_9k"] and row["text"] and row["text"] not in gone]
    ratings = [{**row, "rating": int(row["claude_ge_4_5"]) + int(row["helpfulness_ge_4_5"])} for row in rated]
    write("instruct-ratings", without(ratings, held))


def languages() -> None:
    """Forty languages and as much English; target: five Romance languages. Split by sentence, whatever the language."""
    rows = rows_of("text/sib200_40langs.jsonl.gz")
    sentence = {row["id"]: luck(row["id"].rpartition("-")[2]) for row in rows}
    parts = {
        name: [row for row in rows if low <= sentence[row["id"]] < high]
        for name, low, high in (("eval", 0, 0.15), ("target", 0.15, 0.25), ("pool", 0.25, 1))
    }
    english = [
        row for name in ("brown", "wikitext2_valid_test", "movie_reviews") for row in rows_of(f"text/{name}.jsonl.gz")
    ]
    english = [row for row in english if len(row["text"]) < 20_000]
    english_general = between(english, 0, 0.02)
    general = [
        *(row for row in parts["eval"] if row["lang"] not in ROMANCE and luck(row["text"]) < 0.2),
        *english_general,
    ]
    held = [*parts["eval"], *english_general]
    gone = {row["text"] for row in held}
    own = [{**row, "source": row["lang"]} for row in parts["pool"]]
    pool = [row for row in [*own, *english] if row["text"] not in gone]
    write("languages", without(sorted(pool, key=lambda row: luck(row["text"])), held))
    write("languages-general", general)
    write("romance-eval", [row for row in parts["eval"] if row["lang"] in ROMANCE])
    write("romance-target", [row for row in parts["target"] if row["lang"] in ROMANCE])


def main() -> None:
    """All files, in a second or two."""
    if len(sys.argv) > 1 and Path(sys.argv[1]).resolve() != DATA.resolve():
        sys.exit(f"the data's folder is told by ASSAY_DATA, which says {DATA}; got {sys.argv[1]}")
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (mixed, instruct, languages):
        make()


if __name__ == "__main__":
    main()
