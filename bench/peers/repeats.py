"""Peers of `lines` and `substring`, each timed by itself: a plain Python script, Dolma's Bloom filter, a suffix array.

    python bench/peers/repeats.py python POOL.jsonl            as people write it: a dictionary of normalised lines
    python bench/peers/repeats.py dolma FOLDER                 FOLDER/documents/*.jsonl.gz, two filters for paragraphs
    python bench/peers/repeats.py suffixes POOL.jsonl OUT.npy  pydivsufsort over words; covered words of each row

Prints one JSON line. Packages are looked for where PYTHONPATH says; Dolma's compiled part is loaded without the rest.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.machinery
import importlib.util
import json
import re
import string
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

WIDTH = 50
PUNCTUATION = str.maketrans("", "", string.punctuation)


def texts_of(path: str) -> list[str]:
    """The texts of a pool, which reading and parsing belongs to the time of."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [json.loads(line)["text"] for line in lines]


def normalised(line: str) -> str:
    """Strip, lower-case, digits to 0, no ASCII punctuation."""
    return re.sub(r"\d", "0", line.strip().lower()).translate(PUNCTUATION)


def plain(path: str) -> dict:
    """Share of bytes in lines that an earlier document has."""
    start = time.perf_counter()
    first: dict[bytes, int] = {}
    repeated = total = 0
    for row, text in enumerate(texts_of(path)):
        for line in text.split("\n"):
            folded = normalised(line)
            if len(folded) >= 20:
                size = len(line.encode())
                total += size
                if first.setdefault(hashlib.sha1(folded.encode()).digest()[:8], row) != row:
                    repeated += size
    return {"seconds": time.perf_counter() - start, "share": repeated / max(total, 1)}


def compiled() -> object:
    """Dolma's extension module alone: the package around it wants thirty others."""
    folder = next(Path(place) for place in importlib.util.find_spec("dolma").submodule_search_locations)
    library = next(folder.glob("dolma.*.so"))
    loader = importlib.machinery.ExtensionFileLoader("dolma", str(library))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("dolma", loader))
    loader.exec_module(module)
    return module


def dolma(folder: str) -> dict:
    """Share of characters in lines that the Bloom filter has seen, and the seconds of the Rust function alone."""
    module = compiled()
    config = {
        "documents": [f"{folder}/documents/*.gz"],
        "dedupe": {
            "name": "lines", "paragraphs": {"attribute_name": "repeated", "paragraph_separator": "\n"},
            "skip_empty": True, "min_length": 20, "min_words": 0, "num_partitions": 1, "partition_index": 0,
            "file_partition": False, "document_dir": "documents",
        },
        "bloom_filter": {
            "file": f"{folder}/filter.bin", "read_only": False, "size_in_bytes": 0,
            "estimated_doc_count": 5_000_000, "desired_false_positive_rate": 1e-6,
        },
        "is_s3_volume": False, "work_dir": {"input": f"{folder}/in", "output": f"{folder}/out"}, "processes": 1,
        "compression": {"input": None, "output": None},
    }  # fmt: skip
    start = time.perf_counter()
    module.deduper_entrypoint(json.dumps(config))
    seconds = time.perf_counter() - start
    repeated = 0
    for path in Path(folder, "attributes", "lines").glob("*.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            for row in map(json.loads, rows):
                repeated += sum(stop - begin for begin, stop, _ in row["attributes"].get("repeated", []))
    return {"seconds": seconds, "characters": repeated}


def tokens(text: str) -> list[str]:
    """White space separates; a Chinese, Japanese or Korean character stands alone."""
    return [token for run in text.split() for token in re.findall("[\u3001-\udfff]|[^\u3001-\udfff]+", run)]


def suffixes(path: str, out: str) -> dict:
    """Words of each row that stand in a window of 50 which an earlier row has; pydivsufsort, then Kasai."""
    from pydivsufsort import divsufsort, kasai

    texts, known, symbols, sizes = texts_of(path), Counter(), [], []
    start = time.perf_counter()
    for row, text in enumerate(texts):
        words = tokens(text)
        symbols += [known.setdefault(word, len(known) + len(texts)) for word in words] + [row]
        sizes.append(len(words))
    array = np.array(symbols, np.uint32)
    order = divsufsort(array).astype(np.int64)
    common = np.asarray(kasai(array, order)).astype(np.int64)
    begins = np.concatenate([[True], common[: len(order) - 1] < WIDTH])  # common[i] is of the suffixes i and i + 1
    starts = np.flatnonzero(begins)
    row_of = np.repeat(np.arange(len(texts)), np.array(sizes) + 1)
    first = np.repeat(np.minimum.reduceat(row_of[order], starts), np.diff([*starts, len(order)]))
    marks = np.zeros(len(array) + WIDTH, np.int64)
    hit = order[row_of[order] != first]
    np.add.at(marks, hit, 1)
    np.add.at(marks, hit + WIDTH, -1)
    covered = np.bincount(row_of, np.cumsum(marks)[: len(array)] > 0, len(texts)).astype(np.int64)
    seconds = time.perf_counter() - start
    np.save(out, np.stack([covered, np.array(sizes)]))
    return {"seconds": seconds}


if __name__ == "__main__":
    print(json.dumps({"python": plain, "dolma": dolma, "suffixes": suffixes}[sys.argv[1]](*sys.argv[2:])))
