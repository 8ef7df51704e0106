"""Regenerates what the peer says of a small pool: tests/goldens/dsir_reference.json.

    python bench/dsir_goldens.py --peer bench/peers/.venv/bin/python            data-selection 1.0.3 with NLTK 3.10.4
    python bench/dsir_goldens.py --peer OTHER/bin/python                        the same with NLTK 3.9.1

Each run replaces the entry of its tokenizer (NLTK 3.10 changed what a word character is). `--draw FOLDER` first draws
the pool anew, from the folder of text sets that developers share: tests/goldens/dsir_pool.jsonl.gz.

Licences of the pool: medquad, contracts (CUAD) and reviews CC BY 4.0; abstracts (SciTLDR) Apache-2.0; arithmetic
(GSM8K) MIT; speeches and drama public domain; sentences in 40 languages (FLORES-200) CC BY-SA 4.0; `odd` is our own.
"""

from __future__ import annotations

import argparse
import gzip
import json
from itertools import islice
from pathlib import Path

from dsir_live import peer_weights, read_texts

GOLDENS = Path(__file__).parent.parent / "tests" / "goldens"
POOL, ANSWERS = GOLDENS / "dsir_pool.jsonl.gz", GOLDENS / "dsir_reference.json"
CASES = {
    "defaults": {"n": 2, "buckets": 10_000, "fit": "auto"},
    "capped": {"n": 2, "buckets": 10_000, "fit": "20000"},
    "trigrams": {"n": 3, "buckets": 997, "fit": "auto"},
}
DRAWN = {  # source: (file, documents, characters of each, every so-many-th)
    "medquad": ("text/medquad.jsonl.zst", 40, 3000, 400), "contracts": ("text/cuad_contracts.jsonl.zst", 12, 5000, 40),
    "reviews": ("text/movie_reviews.jsonl.gz", 20, 4000, 97),
    "abstracts": ("text/scitldr_abstracts.jsonl.gz", 40, 4000, 80),
    "speeches": ("text/inaugural.jsonl.gz", 10, 4000, 5), "drama": ("text/tiny_shakespeare.jsonl.gz", 12, 3000, 20),
    "languages": ("text/sib200_40langs.jsonl.gz", 40, 1000, 1004),
}  # fmt: skip
ODD = [
    "", " ", "Alice", "alice went", "ALICE WENT", "naïve Naïve NAÏVE", "x² + ½y³ = ¼", "a\x1cb\x1fc", "e\u0301te\u0301",
    "किताब पढ़ना", "ไปโรงเรียน", "日本語の文章です。", "a\u200db a\u200cb", "Ⓐⓑ 🅰🅱", "İstanbul IĞDIR", "ß ẞ ſ ﬁ",
    "🙂🙃👩‍👩‍👧‍👦", "‘quoted’ — “text”…", "\u00a0nbsp\u3000wide", "_under_score__ 1_000",
    "Ⅷ ⅷ 〇 ٣", "-- ... !?!? </p><p>",
    " ".join(["one"] * 99), " ".join(["one"] * 100), "tab\tand\nnewline\r\nand\x0bmore\x85end",
]  # fmt: skip


def draw(folder: Path) -> None:
    """A few documents of every set; every other one of medquad is the target."""
    rows = []
    for source, (file, count, length, step) in DRAWN.items():
        for place, text in enumerate(islice(read_texts(folder / file), 0, count * step, step)):
            side = "target" if source == "medquad" and place % 2 else "pool"
            rows.append({"side": side, "source": source, "text": text[:length]})
    rows += [{"side": "pool", "source": "odd", "text": text} for text in ODD]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    POOL.write_bytes(gzip.compress(lines.encode("utf-8"), 9, mtime=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--draw", type=Path)
    asked = parser.parse_args()
    if asked.draw:
        draw(asked.draw)
    rows = [json.loads(line) for line in gzip.decompress(POOL.read_bytes()).decode("utf-8").split("\n") if line]
    sides = [[row["text"] for row in rows if row["side"] == side] for side in ("pool", "target")]
    answers = json.loads(ANSWERS.read_text("utf-8")) if ANSWERS.exists() else {}
    for name, case in CASES.items():
        found = peer_weights(asked.peer, *sides, **case)
        tokenizer = found.pop("tokenizer")
        answers.setdefault(tokenizer, {})[name] = {"case": case, **found}
    ANSWERS.write_text(json.dumps(answers, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
