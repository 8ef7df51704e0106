"""The 5,000 documents on which our rules are compared with datatrove's: real text of many kinds, long and short.

Every set is drawn from by its own generator with a fixed seed; `MIXTURE` says how many rows each gives. Documents are
whole (a contract of 300 KB is one document), but for `pool_mixed`, which cuts at 4,000 characters by itself.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import zstandard

# (file, field, rows): half is the mixed pool with its 16 domains, the rest whole documents of single sets.
MIXTURE = (
    ("pool_mixed.jsonl.zst", "text", 2000),
    ("wikitext2_valid_test.jsonl.gz", "text", 122),
    ("brown.jsonl.gz", "text", 400),
    ("cuad_contracts.jsonl.zst", "text", 150),
    ("web_html_articles.jsonl.zst", "text", 181),
    ("web_html_articles.jsonl.zst", "html", 5),
    ("movie_reviews.jsonl.gz", "text", 400),
    ("dclm_human_quality.jsonl.gz", "text", 310),
    ("inaugural.jsonl.gz", "text", 59),
    ("tiny_shakespeare.jsonl.gz", "text", 100),
    ("arxiv_latex.jsonl.gz", "text", 20),
    ("scitldr_abstracts.jsonl.gz", "text", 300),
    ("agnews_test.jsonl.gz", "text", 200),
    ("medquad.jsonl.zst", "text", 300),
    ("sgd_dialogues.jsonl.gz", "text", 200),
    ("webtext.jsonl.gz", "text", 153),
    ("sib200_40langs.jsonl.gz", "text", 100),
)


def rows(path: Path) -> Iterator[dict]:
    """Every row of a compressed JSONL file."""
    with path.open("rb") as file:
        name = path.name
        raw = gzip.GzipFile(fileobj=file) if name.endswith(".gz") else zstandard.ZstdDecompressor().stream_reader(file)
        for line in io.TextIOWrapper(raw, "utf-8", newline="\n"):
            yield json.loads(line)


def documents(folder: Path) -> list[tuple[str, str]]:
    """(set, text) of the 5,000 documents."""
    found = []
    for name, field, count in MIXTURE:
        texts = [row[field] for row in rows(folder / "text" / name) if row.get(field)]
        picked = sorted(Random(f"{name} {field}").sample(range(len(texts)), min(count, len(texts))))
        found += [(f"{name.split('.')[0]}:{field}", texts[place]) for place in picked]
    return found


def write(folder: Path, path: Path) -> list[tuple[str, str]]:
    """The same as JSONL of {"text"}, for the peer; returns them."""
    found = documents(folder)
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for _, text in found), "utf-8")
    return found


if __name__ == "__main__":
    print(len(write(Path(sys.argv[1]), Path(sys.argv[2]))), "documents")
