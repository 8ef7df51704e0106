"""The peer: polars parsing only the text field of a JSONL file; prints bytes of text and seconds inside the process.

python parse_text.py POOL
"""

import sys
import time

import polars as pl

if __name__ == "__main__":
    start = time.perf_counter()
    frame = pl.read_ndjson(sys.argv[1], schema={"text": pl.String})
    seconds = time.perf_counter() - start
    print(frame["text"].str.len_bytes().sum(), seconds)
