"""Precision and recall of `toxicity`, trained on one half of toxic_tweets and judged on the other.

    python bench/prove_unsafe_toxicity.py ../shared/data

Halves by a hash of the text, so copies lie on one side. `hateful or offensive` against neither is what people voted; and
`hateful` against the rest, which is hard: the same words are said in jest and in hate. Beside them the majority's answer,
and a list of the words that make a tweet of the training half likeliest to be toxic. Writes
bench/results/toxicity.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import harness
import numpy as np
from held import Held, read

from assay.annotate.word_list import WordList as Listed
from assay.io.word_lists import WordList
from assay.kernels.word_lists import list_words
from assay.models.two_class import measure
from assay.score.toxicity import Toxicity

WORDS = 50  # on the list that is made of the training half
FEWEST = 20  # toxic tweets that have it
THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9)


def rates(said: np.ndarray, toxic: np.ndarray) -> dict[str, float | None]:
    """Precision, recall, and the share of harmless tweets that are called toxic."""
    return {
        "precision": float(toxic[said].mean()) if said.any() else None,
        "recall": float(said[toxic].mean()),
        "false_alarms": float(said[~toxic].mean()),
    }


def word_list(texts: list[str], toxic: np.ndarray) -> WordList:
    """Of the words of at least FEWEST toxic tweets those that are likeliest to make a tweet toxic."""
    counts = []
    for side in (toxic, ~toxic):
        words = (
            word for row in np.flatnonzero(side) for word in {word for word, kind in list_words(texts[row]) if kind}
        )
        counts.append(Counter(words))
    often = [word for word, count in counts[0].items() if count >= FEWEST]
    return WordList.of(sorted(often, key=lambda word: ((counts[1][word] + 1) / counts[0][word], word))[:WORDS])


def trial(name: str, texts: list[str], toxic: np.ndarray, train: np.ndarray) -> dict[str, Any]:
    """One reading of the labels."""
    everything, test = Held.of(texts), np.flatnonzero(~train)
    sides = [Held(everything.take(np.flatnonzero(train & side))) for side in (~toxic, toxic)]
    start = time.perf_counter()
    scorer = Toxicity()
    fitted = scorer.fit(*sides, np.random.default_rng(0))
    seconds = time.perf_counter() - start
    chances, truth = np.nan_to_num(scorer.score(fitted, everything.take(test)), nan=0.0), toxic[test]
    listed = word_list([texts[row] for row in np.flatnonzero(train)], toxic[train])
    hits = np.asarray(Listed("made here").annotate(everything.take(test), {"words": listed})["listed_words"]) > 0
    told = measure(chances, truth)
    found = {
        "labels": name, "trained_on": int(train.sum()), "tested_on": len(test), "toxic_share": float(truth.mean()),
        "train_seconds": seconds, "auc": told["auc"], "calibration_error": told["calibration_error"],
        "auc_told_by_the_model": fitted.notes["auc"],
        "at": {f"{threshold:g}": rates(chances >= threshold, truth) for threshold in THRESHOLDS},
        "majority": rates(np.full(len(test), truth.mean() >= 0.5), truth), "word_list": rates(hits, truth),
    }  # fmt: skip
    show(found)
    return found


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['labels']}: {found['tested_on']} tweets, {found['toxic_share']:.1%} toxic; AUC {found['auc']:.4f}, trained in "
        f"{found['train_seconds']:.1f} s"
    )
    named = {f"toxicity >= {threshold}": each for threshold, each in found["at"].items()}
    for name, each in (*named.items(), (f"list of {WORDS} words", found["word_list"]), ("majority", found["majority"])):
        precision = "none" if each["precision"] is None else f"{each['precision']:.3f}"
        print(
            f"   {name:20s} precision {precision}  recall {each['recall']:.3f}  false alarms {each['false_alarms']:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the shared data folder")
    rows = read(parser.parse_args().data / "text" / "toxic_tweets.jsonl.gz")
    texts, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    train = (Held.of(texts).batch.hashes >> np.uint64(20)) % np.uint64(2) == 0
    trials = [
        trial("hateful or offensive", texts, labels != "neither", train),
        trial("hateful", texts, labels == "hate_speech", train),
    ]
    harness.record("toxicity", {"trials": trials})


if __name__ == "__main__":
    sys.exit(main())
