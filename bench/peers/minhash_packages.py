"""Whole jobs with MinHash packages: read a folder of JSONL, find near-duplicates, write the rows that stay.

Usage: minhash_packages.py gaoya|rensa|datasketch POOL OUT; 5-word shingles, 14 bands of 8 hashes where the package lets
one say so. What a package lacks (reading, words, clusters) is the shortest Python that does it.
"""

import os
import re
import sys
from pathlib import Path

import orjson

WORDS = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    words = WORDS.findall(text.lower())
    return [" ".join(words[at : at + 5]) for at in range(max(len(words) - 4, 1))] if words else []


def with_gaoya(texts: list[str]) -> list[bool]:
    from gaoya.minhash import MinHashStringIndex

    index = MinHashStringIndex(32, 0.75, 14, 8, None, "word", True, (5, 5))
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    return [not near or min(near) == row for row, near in enumerate(index.par_bulk_query(texts))]


def with_rensa(texts: list[str]) -> list[bool]:
    from rensa import RMinHash, RMinHashLSH

    matrix = RMinHash.digest_matrix_from_token_sets([shingles(text) for text in texts], 112, 42)
    lsh = RMinHashLSH(0.75, 112, 14)
    return [not flag for flag in lsh.query_duplicate_flags_matrix_one_shot(matrix)]


def with_datasketch(texts: list[str]) -> list[bool]:
    from datasketch import MinHash, MinHashLSH

    lsh, stays = MinHashLSH(num_perm=112, params=(14, 8)), []
    for row, text in enumerate(texts):
        sketch = MinHash(112)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        stays.append(not lsh.query(sketch))
        lsh.insert(row, sketch, check_duplication=False)
    return stays


if __name__ == "__main__":
    package, pool, out = sys.argv[1:]
    lines = [line for path in sorted(Path(pool).iterdir()) for line in path.read_bytes().splitlines(keepends=True)]
    find = {"gaoya": with_gaoya, "rensa": with_rensa, "datasketch": with_datasketch}[package]
    stays = find([orjson.loads(line)["text"] for line in lines])
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/kept.jsonl", "wb") as kept:
        kept.writelines(line for line, stay in zip(lines, stays, strict=True) if stay)
