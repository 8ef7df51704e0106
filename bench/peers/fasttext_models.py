"""Train the two models of bench_fasttext.py with the package: a judge of quality as DCLM has it, and a language identifier.

python fasttext_models.py EXAMPLES TONGUES QUALITY.bin LANGUAGE.bin

EXAMPLES is examples/data/pool.jsonl.zst (two labels, words and their pairs, 100 dimensions), TONGUES is
sib200_40langs.jsonl.gz (40 labels, 2 to 4 letters, 16 dimensions, hierarchical softmax: the settings of lid.176).
"""

import gzip
import io
import json
import sys
import tempfile
from pathlib import Path

import fasttext
import zstandard

GOOD = ("abstracts", "encyclopaedia", "medicine")


def train(examples: list[tuple[str, str]], out: str, settings: dict) -> None:
    """Train on (label, text) and save."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.txt"
        path.write_text("".join(f"__label__{label} {' '.join(text.split())}\n" for label, text in examples), "utf-8")
        fasttext.train_supervised(str(path), verbose=0, thread=2, **settings).save_model(out)


def main(examples: str, tongues: str, quality: str, language: str) -> None:
    """Both."""
    with open(examples, "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        rows = [json.loads(line) for line in lines]
    judged = [("hq" if row["source"] in GOOD else "cc", row["text"]) for row in rows]
    train(judged, quality, {"dim": 100, "wordNgrams": 2, "bucket": 2_000_000, "epoch": 2})
    with gzip.open(tongues, "rt", encoding="utf-8") as file:
        spoken = [(row["lang"], row["text"]) for row in map(json.loads, file)]
    # The file lists one language after the other, and training in that order would forget the first.
    shuffled = sorted(spoken, key=lambda pair: pair[1][::-1])
    train(shuffled, language, {"dim": 16, "minn": 2, "maxn": 4, "loss": "hs", "epoch": 3, "lr": 0.5, "minCount": 100})


if __name__ == "__main__":
    main(*sys.argv[1:5])
