"""Learned quality on documents that the training has not seen, beside the fastText package trained on the same rows.

    python bench/prove_quality.py ../shared/data

    people    dclm_human_quality: people's verdicts on web documents, good or bad
    curated   wikitext2 and scitldr abstracts are good; the rest of pool_mixed (chat, tweets, code, 40 languages) is bad
    ratings   alpaca_rated, its unbiased rows: does Claude, or the helpfulness rater, give 4.5 or more; judged_answer_pairs:
              GPT-4's mean score of an answer; and ratings that are the sum of a worth of each word

Five folds by content; every document is judged by models that were not trained on its fold, and all probabilities of the
five are ranked together. fastText (peers' environment) has DCLM's settings and gets text on one line in lower case with
punctuation set apart, which its recipe asks for. Speed is of one core: both score movie_reviews. Writes
bench/results/quality.json.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
from held import Held, read

from assay.models.ratings import rank_correlation
from assay.models.two_class import auc, measure
from assay.score.distill_ratings import DistillRatings
from assay.score.quality_classifier import QualityClassifier

FOLDS = 5
PEER = harness.HERE / "peers" / "fasttext_quality.py"
_APART = re.compile(r"([^\w\s])")


def folds_of(texts: Sequence[str]) -> np.ndarray:
    """A fold for each text, copies in the same one."""
    return (Held.of(texts).batch.hashes >> np.uint64(20)).astype(np.int64) % FOLDS


def one_line(text: str) -> str:
    return " ".join(_APART.sub(r" \1 ", text.lower()).split())


def ours(
    texts: list[str], good: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, float, float, list[dict[str, Any]]]:
    """Probabilities of all documents, seconds of training and scoring, and the notes of each model."""
    chances, trained, scored, notes = np.zeros(len(texts)), 0.0, 0.0, []
    everything = Held.of(texts)
    for fold in range(FOLDS):
        rest, inside = folds != fold, np.flatnonzero(folds == fold)
        sides = [Held(everything.take(np.flatnonzero(rest & side))) for side in (~good, good)]
        start = time.perf_counter()
        fitted = QualityClassifier().fit(*sides, np.random.default_rng(0))
        middle = time.perf_counter()
        chances[inside] = np.nan_to_num(QualityClassifier().score(fitted, everything.take(inside)), nan=0.5)
        trained, scored = trained + middle - start, scored + time.perf_counter() - middle
        notes.append(fitted.notes)
    return chances, trained, scored, notes


def theirs(texts: list[str], good: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The same by the fastText package."""
    harness.WORK.mkdir(exist_ok=True)
    train, test, out = (harness.WORK / f"quality-{name}.txt" for name in ("train", "test", "chances"))
    lines, chances, trained, scored = [one_line(text) for text in texts], np.zeros(len(texts)), 0.0, 0.0
    order = np.random.default_rng(0).permutation(len(texts))
    for fold in range(FOLDS):
        inside = np.flatnonzero(folds == fold)
        rest = order[folds[order] != fold]
        train.write_text("".join(f"__label__{'good' if good[row] else 'bad'} {lines[row]}\n" for row in rest), "utf-8")
        test.write_text("".join(f"{lines[row]}\n" for row in inside), "utf-8")
        seconds = json.loads(run_peer(train, test, out))
        chances[inside] = np.loadtxt(out)
        trained, scored = trained + seconds["train"], scored + seconds["score"]
    for path in (train, test, out):
        path.unlink()
    return chances, trained, scored


def run_peer(*paths: Path) -> str:
    command = [str(harness.PEERS), str(PEER), *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def classify(name: str, texts: list[str], good: np.ndarray) -> dict[str, Any]:
    """Both on one set."""
    folds = folds_of(texts)
    chances, trained, scored, notes = ours(texts, good, folds)
    their_chances, their_trained, their_scored = theirs(texts, good, folds)
    told = measure(chances, good)
    found = {
        "set": name, "documents": len(texts), "good": int(good.sum()), "bytes": sum(len(text.encode()) for text in texts),
        "auc": told["auc"], "auc_standard_error": told["auc_standard_error"], "accuracy": told["accuracy"],
        "calibration_error": told["calibration_error"],
        "auc_told_by_the_models": [note["auc"] for note in notes],
        "calibration_error_told_by_the_models": [note["calibration_error"] for note in notes],
        "train_seconds": trained, "score_seconds": scored,
        "fasttext": {
            "auc": auc(their_chances, good), "calibration_error": measure(their_chances, good)["calibration_error"],
            "train_seconds": their_trained, "score_seconds": their_scored,
        },
    }  # fmt: skip
    print(
        f"{name}: AUC {found['auc']:.4f} (fastText {found['fasttext']['auc']:.4f}), calibration error "
        f"{found['calibration_error']:.3f} ({found['fasttext']['calibration_error']:.3f}), training {trained:.1f} s "
        f"({their_trained:.1f}), scoring {scored:.2f} s ({their_scored:.2f})"
    )
    return found


def speed(data: Path) -> dict[str, float]:
    """MB/s of one core over movie_reviews, ours from bytes, theirs from lines that are ready."""
    reviews = Held.of([row["text"] for row in read(data / "text" / "movie_reviews.jsonl.gz")])
    size, scorer = len(reviews.batch.text.data) / 1e6, QualityClassifier()
    rows = np.arange(len(reviews))
    halves = [Held(reviews.take(rows[rows % 2 == side])) for side in (0, 1)]
    fitted = scorer.fit(*halves, np.random.default_rng(0))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        scorer.score(fitted, reviews.batch)
        seconds.append(time.perf_counter() - start)
    train, test, out = (harness.WORK / f"speed-{name}.txt" for name in ("train", "test", "chances"))
    lines = [one_line(text) for text in reviews.batch.text]
    train.write_text(
        "".join(f"__label__{('good', 'bad')[row % 2]} {line}\n" for row, line in enumerate(lines)), "utf-8"
    )
    test.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    their_seconds = json.loads(run_peer(train, test, out))["score"]
    for path in (train, test, out):
        path.unlink()
    return {"ours": size / min(seconds), "fasttext": size / their_seconds}


def ratings(name: str, texts: list[str], rating: np.ndarray) -> dict[str, Any]:
    """Held-out ratings, five folds, and what the first model says of itself."""
    folds, guesses, start = folds_of(texts), np.zeros(len(texts)), time.perf_counter()
    everything = Held.of(texts, rating=rating)
    scorer = DistillRatings()
    notes: list[dict[str, Any]] = []
    for fold in range(FOLDS):
        fitted = scorer.fit(Held(everything.take(np.flatnonzero(folds != fold))), None, np.random.default_rng(0))
        guesses[folds == fold] = scorer.score(fitted, everything.take(np.flatnonzero(folds == fold)))
        notes.append(dict(fitted.notes))
    guesses = np.nan_to_num(guesses, nan=float(np.median(rating)))
    found = {
        "set": name, "documents": len(texts), "rank_correlation": rank_correlation(guesses, rating),
        "mean_absolute_error": float(np.abs(guesses - rating).mean()),
        "mean_absolute_error_of_median": float(np.abs(np.median(rating) - rating).mean()),
        "rank_correlation_told_by_the_models": [note["rank_correlation"] for note in notes],
        "auc": auc(guesses, rating > 0) if set(np.unique(rating)) == {0.0, 1.0} else None,
        "seconds": time.perf_counter() - start,
    }  # fmt: skip
    more = "" if found["auc"] is None else f", AUC {found['auc']:.3f}"
    print(
        f"{name}: rank correlation {found['rank_correlation']:.3f}{more}, mean absolute error {found['mean_absolute_error']:.3f} "
        f"(median: {found['mean_absolute_error_of_median']:.3f}), {found['seconds']:.1f} s"
    )
    return found


def sums_of_words(rows: int = 3000) -> tuple[list[str], np.ndarray]:
    """Texts of forty of 500 words, rated by the sum of a worth of each word."""
    rng = np.random.default_rng(0)
    worth = rng.normal(size=500)
    picks = [rng.choice(500, 40, replace=False) for _ in range(rows)]
    return [" ".join(f"w{word}" for word in chosen) for chosen in picks], np.array(
        [worth[chosen].sum() for chosen in picks]
    )


def all_ratings(data: Path) -> list[dict[str, Any]]:
    rows = [row for row in read(data / "instruct" / "alpaca_rated.jsonl.gz") if row["random_9k"]]
    texts = [f"{row['instruction']}\n{row['input']}\n{row['output']}" for row in rows]
    found = [
        ratings(f"alpaca_rated {name}", texts, np.array([float(row[name]) for row in rows]))
        for name in ("claude_ge_4_5", "helpfulness_ge_4_5", "ifd_top_5pct")
    ]
    pairs = read(data / "instruct" / "judged_answer_pairs.jsonl.gz")
    answers = [
        (f"{row['instruction']}\n{row['input']}\n{row[f'answer_{side}']}", float(np.mean(row[f"gpt4_answer_{side}"])))
        for row in pairs
        for side in (1, 2)
    ]
    found.append(
        ratings("judged_answer_pairs, GPT-4", [text for text, _ in answers], np.array([score for _, score in answers]))
    )
    return [*found, ratings("sums of words", *sums_of_words())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the shared data folder")
    data = parser.parse_args().data
    people = read(data / "text" / "dclm_human_quality.jsonl.gz")
    pool = read(data / "text" / "pool_mixed.jsonl.zst")
    curated = {"wikitext2_valid_test", "scitldr_abstracts"}
    sets = [
        classify("people", [row["text"] for row in people], np.array([row["label"] == 1 for row in people])),
        classify("curated", [row["text"] for row in pool], np.array([row["source"] in curated for row in pool])),
    ]
    fast = speed(data)
    print(f"scoring: {fast['ours']:.0f} MB/s, fastText {fast['fasttext']:.0f} MB/s on one core")
    facts = {"classifier": sets, "scoring_mb_per_second": fast, "ratings": all_ratings(data)}
    harness.record("quality", facts)


if __name__ == "__main__":
    sys.exit(main())
