"""The fastText package as a quality classifier: trains on labelled lines, prints what it says of other lines.

    python bench/peers/fasttext_quality.py train.txt test.txt probabilities.txt

Settings are DCLM's published ones (lr 0.1, dim 100, epoch 5, minCount 1) with word bigrams, one thread. `test.txt` is scored
line by line. Prints seconds of training and of scoring as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import fasttext


def main() -> None:
    train, test, out = sys.argv[1:]
    start = time.perf_counter()
    model = fasttext.train_supervised(
        train, lr=0.1, dim=100, epoch=5, minCount=1, wordNgrams=2, thread=1, seed=0, verbose=0
    )
    trained = time.perf_counter()
    lines = Path(test).read_text("utf-8").split("\n")[:-1]
    start_scoring = time.perf_counter()
    # The list form, because the form for one text fails under NumPy 2; of the top label alone, as DCLM does, because for k=2
    # the list form gives the first label's probability twice.
    labels, chances = model.predict(lines)
    tops = [(named[0], float(values[0])) for named, values in zip(labels, chances, strict=True)]
    found = [chance if label == "__label__good" else 1 - chance for label, chance in tops]
    scored = time.perf_counter()
    Path(out).write_text("".join(f"{chance:.9g}\n" for chance in found))
    print(json.dumps({"train": trained - start, "score": scored - start_scoring}))


if __name__ == "__main__":
    main()
