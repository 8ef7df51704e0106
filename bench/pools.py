"""Large pools out of real text: the sets of ../shared/data/text, repeated with small edits until they are big enough.

Every copy of a document differs from its original in a few words (a number put in after every 40th word, different in
each copy), so that neither a compressor nor a hash table sees the same document twice. Everything is deterministic.
The first documents of `scitldr_abstracts` are kept out of the pool and serve as the target.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import zstandard
from harness import ROOT, WORK

SETS = (
    "agnews_test.jsonl.gz", "cuad_contracts.jsonl.zst", "medquad.jsonl.zst", "movie_reviews.jsonl.gz",
    "scitldr_abstracts.jsonl.gz", "sgd_dialogues.jsonl.gz", "tiny_shakespeare.jsonl.gz", "webtext.jsonl.gz",
    "wikitext2_valid_test.jsonl.gz", "sib200_40langs.jsonl.gz",
)  # fmt: skip
KEPT_OUT = 200


def text_folder() -> Path:
    """Where the text sets lie; says so if they do not."""
    folder = Path(os.environ.get("ASSAY_DATA", ROOT.parent / "shared" / "data"))
    folder = (folder if folder.is_absolute() else ROOT / folder) / "text"
    if not folder.is_dir():
        sys.exit(f"the text sets must lie in {folder}; say where: make bench DATA=…")
    return folder


def documents(name: str) -> Iterator[tuple[str, str]]:
    """(source, text) of every document of one set."""
    path = text_folder() / name
    with path.open("rb") as file:
        raw = gzip.GzipFile(fileobj=file) if name.endswith(".gz") else zstandard.ZstdDecompressor().stream_reader(file)
        for line in io.TextIOWrapper(raw, "utf-8", newline="\n"):
            row = json.loads(line)
            yield row["source"], row["text"]


def edited(text: str, copy: int) -> str:
    """The text with a number after every 40th word; copy 0 is the original."""
    if copy == 0:
        return text
    words = text.split(" ")
    for place in range(0, len(words), 40):
        words[place] += f" {copy * 7919 + place}"
    return " ".join(words)


def pool(size: int) -> Path:
    """A JSONL pool of at least `size` bytes (id, text, source, a little metadata); made once."""
    path = WORK / f"pool-{size // 10**6}mb.jsonl"
    if path.exists():
        return path
    WORK.mkdir(exist_ok=True)
    originals = [
        (name, *pair) for name in SETS for pair in list(documents(name))[KEPT_OUT if "scitldr" in name else 0 :]
    ]
    # Shuffled once, so that a small pool has the same blend of sets as a large one.
    Random(0).shuffle(originals)
    temporary = path.with_suffix(".part")
    written = copy = 0
    with temporary.open("wb") as out:
        while written < size:
            for number, (name, source, text) in enumerate(originals):
                row = {
                    "id": f"{name.split('.')[0]}-{copy}-{number}",
                    "text": edited(text, copy),
                    "source": source,
                    "meta": {"copy": copy},
                }
                written += out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                if written >= size:
                    break
            copy += 1
    temporary.rename(path)
    return path


def target() -> Path:
    """The target: the documents that were kept out of the pool."""
    path = WORK / "target.jsonl"
    if not path.exists():
        WORK.mkdir(exist_ok=True)
        rows = [text for _, text in documents("scitldr_abstracts.jsonl.gz")][:KEPT_OUT]
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows), "utf-8")
    return path


def count_lines(path: Path) -> int:
    """Lines of a file, read in blocks."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b""))
