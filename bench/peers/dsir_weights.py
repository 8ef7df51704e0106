"""The peer's log importance weight of every document, in row order: data-selection with one process.

    python dsir_weights.py POOL.jsonl TARGET.jsonl OUT.json N BUCKETS NGRAMS_TO_FIT|auto

OUT holds `weights`, `tokens` (the lengths that its filter sees), `kept` (whether it passes the filter of 100 tokens),
the `tokenizer` that its NLTK amounts to, versions, and the buckets of a few n-grams.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from data_selection import HashedNgramDSIR
from data_selection.hashed_ngram_dsir import hash_buckets
from nltk.tokenize import WordPunctTokenizer

NGRAMS = ("alice", "alice went", ",", "naïve", "日本", "the the the")

if __name__ == "__main__":
    pool, target, out, n, buckets, fit = sys.argv[1:]
    with tempfile.TemporaryDirectory() as cache:
        dsir = HashedNgramDSIR([pool], [target], cache, num_proc=1, ngrams=int(n), num_buckets=int(buckets))
        dsir.fit_importance_estimator(num_tokens_to_fit=fit if fit == "auto" else int(fit))
        dsir.compute_importance_weights()
        tokens = np.load(Path(cache) / "perexample_metadata" / "0.npy")
        found = {
            "weights": np.load(Path(cache) / "log_importance_weights" / "0.npy").tolist(),
            "tokens": [int(count) for count in tokens],
            "kept": [bool(kept) for kept in dsir.perexample_metadata_filter(tokens)],
            "tokenizer": "wordpunct" if WordPunctTokenizer().tokenize("x²") == ["x", "²"] else "wordpunct_re",
            "buckets": {ngram: hash_buckets(ngram, int(buckets)) for ngram in NGRAMS},
            "versions": {name: version(name) for name in ("data-selection", "nltk", "numpy")},
        }
    Path(out).write_text(json.dumps(found), "utf-8")
