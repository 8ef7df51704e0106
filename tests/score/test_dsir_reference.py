"""`dsir_reference` is the package data-selection 1.0.3: its own answers on a committed pool of nine kinds of text.

The goldens come from `python bench/dsir_goldens.py` with each of two NLTKs; that script says how.
"""

from __future__ import annotations

import functools
import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.score.dsir_reference import DsirReference, bucket_of
from assay.types import Batch, Texts

GOLDENS = Path(__file__).parent.parent / "goldens"
ANSWERS = json.loads((GOLDENS / "dsir_reference.json").read_text("utf-8"))
ROWS = [json.loads(row) for row in gzip.decompress((GOLDENS / "dsir_pool.jsonl.gz").read_bytes()).split(b"\n") if row]
POOL, TARGET = ([row["text"] for row in ROWS if row["side"] == side] for side in ("pool", "target"))
CASES = [(tokenizer, case) for tokenizer in ANSWERS for case in ANSWERS[tokenizer]]


class Held(Rows):
    """Texts in memory; like the engine, batches number their rows from their own piece's start."""

    def __init__(self, texts: list[str], size: int = 7):
        self.texts, self.size = texts, size

    def batches(self) -> list[Batch]:
        pieces = [self.texts[start : start + self.size] for start in range(0, len(self.texts), self.size)]
        held = [Texts.of(piece) for piece in pieces]
        return [Batch(np.arange(len(text)), hash_rows(text.data, text.offsets), {"text": text}) for text in held]

    def reduce(self, part: Callable, merge: Callable) -> Any:
        parts = [part(batch) for batch in self.batches()]
        # Unbalanced on purpose: merging is promised to be associative.
        return merge(parts[0], functools.reduce(merge, parts[1:])) if len(parts) > 1 else parts[0]

    def sample(self, k: int) -> Batch:
        text = Texts.of(self.texts)
        hashes = hash_rows(text.data, text.offsets)
        rows = np.sort(np.argsort(hashes, kind="stable")[:k])
        return Batch(rows, hashes[rows], {"text": text.take(rows)})

    def __len__(self) -> int:
        return len(self.texts)


def weights(method: DsirReference, pool: list[str], target: list[str], size: int = 7) -> np.ndarray:
    fitted = method.fit(Held(pool, size), Held(target), np.random.default_rng(0))
    return np.concatenate([method.score(fitted, batch) for batch in Held(pool, size).batches()])


def method(tokenizer: str, case: dict[str, Any], min_tokens: int) -> DsirReference:
    fit = 0 if case["fit"] == "auto" else int(case["fit"])
    return DsirReference(case["n"], case["buckets"], min_tokens, fit, tokenizer=tokenizer)


def test_buckets_are_the_published_ones() -> None:
    assert (bucket_of("alice"), bucket_of("alice went")) == (6720, 114)
    for tokenizer, case in CASES:
        golden = ANSWERS[tokenizer][case]
        assert {gram: bucket_of(gram, golden["case"]["buckets"]) for gram in golden["buckets"]} == golden["buckets"]


@pytest.mark.parametrize(("tokenizer", "case"), CASES)
def test_weights_equal_the_package(tokenizer: str, case: str) -> None:
    golden = ANSWERS[tokenizer][case]
    ours = weights(method(tokenizer, golden["case"], 0), POOL, TARGET)
    assert golden["versions"]["data-selection"] == "1.0.3" and len(golden["weights"]) == len(POOL)
    np.testing.assert_allclose(ours, golden["weights"], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("tokenizer", "case"), CASES)
def test_the_length_filter_keeps_the_same_rows(tokenizer: str, case: str) -> None:
    golden = ANSWERS[tokenizer][case]
    ours = method(tokenizer, golden["case"], 100)
    assert [ours.recovered(len(ours.ngrams(text))) for text in POOL] == golden["tokens"]
    scores = weights(ours, POOL, TARGET)
    assert (~np.isnan(scores)).tolist() == golden["kept"] and 0 < sum(golden["kept"]) < len(POOL)


def test_goldens_can_tell_the_settings_apart() -> None:
    answers = [tuple(ANSWERS[tokenizer][case]["weights"]) for tokenizer, case in CASES]
    assert len(set(answers)) == len(answers)


def test_the_cap_stops_after_the_row_that_passes_it_also_among_copies() -> None:
    pool = ["a b c", "d e", "a b c", "d e", "x y z", "a b c", "d e", "q"]  # 5, 3, 5, 3, 5, 5, 3, 1 n-grams
    for size in (1, 2, 3, 8):
        for cap, rows in (
            (1, 1),
            (5, 2),
            (8, 3),
            (12, 3),
            (13, 4),
            (15, 4),
            (16, 5),
            (21, 6),
            (28, 7),
            (29, 8),
            (99, 8),
        ):
            capped = DsirReference(fit_ngrams=cap).fit(Held(pool, size), Held(["a x"]), np.random.default_rng(0))
            whole = DsirReference().fit(Held(pool[:rows], size), Held(["a x"]), np.random.default_rng(0))
            np.testing.assert_array_equal(capped.arrays["difference"], whole.arrays["difference"], f"{cap} {size}")


def test_pseudo_count_is_added_to_every_target_bucket() -> None:
    fitted = DsirReference(buckets=4, target_pseudo_count=0.5).fit(Held(["x y"]), Held(["x"]), np.random.default_rng(0))
    raw, target = np.zeros(4), np.full(4, 0.5)
    for gram in ("x", "y", "x y"):
        raw[bucket_of(gram, 4)] += 1
    target[bucket_of("x", 4)] += 1
    expected = np.log(target / target.sum() + 1e-8) - np.log(raw / raw.sum() + 1e-8)
    np.testing.assert_allclose(fitted.arrays["difference"], expected, rtol=1e-12)


def test_explanation_adds_up_to_the_score() -> None:
    ours = DsirReference(min_tokens=0)
    fitted = ours.fit(Held(POOL), Held(TARGET), np.random.default_rng(0))
    score = ours.score(fitted, Held(POOL[:1]).batches()[0])[0]
    pulls = ours.explain(fitted, Texts.of(POOL[:1]), 10**9)
    assert sum(pull for _, pull in pulls) == pytest.approx(score) and abs(pulls[0][1]) >= abs(pulls[-1][1])


def test_tokenizers_differ_where_nltk_changed() -> None:
    new, old = DsirReference(), DsirReference(tokenizer="wordpunct_re")
    assert new.tokens("x² पढ़") == ["x", "²", unicodedata.normalize("NFC", "पढ़")]
    assert old.tokens("x²") == ["x²"] and len(old.tokens("पढ़")) > 1


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(RecipeError, match="tokenizer must be wordpunct or wordpunct_re; got 'bpe'"):
        DsirReference(tokenizer="bpe")
    with pytest.raises(RecipeError, match="n must be at least 1; got 0"):
        DsirReference(n=0)
    for pool, target, name in ((["", " "], ["a"], "pool"), (["a"], ["", "\n"], "target")):
        with pytest.raises(InputError, match=f"{name} with at least one word"):
            DsirReference().fit(Held(pool), Held(target), np.random.default_rng(0))
