"""The n-gram kernels equal their Python twin on any bytes, wherever chunks, blocks and batches happen to cut."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.kernels.ngrams import CUT, bucket_of, count_ngrams, list_ngrams, list_tokens, score_ngrams
from assay.types import Texts

BUCKETS = 5003
WEIGHTS = np.random.default_rng(0).normal(size=BUCKETS).astype(np.float32)
PARTS = [
    "a", "B", "z", "0", "_", " ", "\n", ",", "!", "é", "“", "—", "日本", "か", "한", "\u00a0", "«", "я", "🙂", "\x00",
    "ab cd ", "\t",
]  # fmt: skip
SIZES = [0, 1, 47, 48, 49, 63, 64, 65, 128, 4031, 4032, 4095, 4096, 4097, 4160, 8192, 9000]


def check(documents: list[bytes], n: int) -> None:
    texts = Texts.of_bytes(documents)
    counts, expected = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
    totals = count_ngrams(texts.data, texts.offsets, n, BUCKETS, counts)
    sums, same_totals = score_ngrams(texts.data, texts.offsets, n, WEIGHTS)
    for row, document in enumerate(documents):
        buckets = [bucket for bucket, _, _ in list_ngrams(document, n, BUCKETS)]
        expected += np.bincount(buckets, minlength=BUCKETS) if buckets else 0
        assert totals[row] == same_totals[row] == len(buckets), document
        assert sums[row] == pytest.approx(WEIGHTS[buckets].astype(float).sum(), abs=1e-9 * (1 + len(buckets))), document
    assert counts.tolist() == expected.tolist()


def words(text: str) -> list[str]:
    encoded = text.encode()
    return [encoded[start:stop].decode() for start, stop in list_tokens(encoded)]


def test_tokens() -> None:
    assert words("Alice's x_1, naïve!? “Straße”—…") == [
        "Alice",
        "'",
        "s",
        "x_1",
        ",",
        "naïve",
        "!?",
        "“",
        "Straße",
        "”—…",
    ]
    assert words("日本語x 한국 Привет") == ["日", "本", "語", "x", "한", "국", "Привет"]
    assert words("x" * 100) == ["x" * CUT, "x" * CUT, "x" * 4]
    assert words(" \t\n\v\f\r") == []


def test_hash_has_order_case_and_edges() -> None:
    assert bucket_of("to be", 1 << 30) != bucket_of("be to", 1 << 30)
    assert bucket_of("To BE", 1 << 30) == bucket_of("to be", 1 << 30) == bucket_of(" to\n be ", 1 << 30)
    assert bucket_of("to", 1 << 30) != bucket_of("to to", 1 << 30) != bucket_of("to to to", 1 << 30)
    assert list_ngrams(b"a b", 3, 9) == [
        (bucket_of("a", 9), 0, 1),
        (bucket_of("b", 9), 2, 3),
        (bucket_of("a b", 9), 0, 3),
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_twin_on_text_of_every_size(n: int) -> None:
    chance = random.Random(n)
    documents = []
    for size in SIZES:
        parts = chance.sample(PARTS, chance.randint(1, len(PARTS)))
        documents.append("".join(chance.choices(parts, k=size)).encode()[:size])
        documents.append(bytes(chance.choices(chance.sample(range(256), 4), k=size)))
        documents += [b"a" * size, b"-" * size, "日".encode() * (size // 3), b"x" * size + b"  " + b"y" * 70]
    check(documents, n)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)), max_size=6), st.integers(1, 4)
)
def test_twin_on_anything(documents: list[bytes], n: int) -> None:
    check(documents, n)


def test_batches_and_neighbours_change_nothing() -> None:
    chance = random.Random(1)
    documents = ["".join(chance.choices(PARTS, k=chance.choice(SIZES))).encode() for _ in range(40)]
    whole = Texts.of_bytes(documents)
    sums, totals = score_ngrams(whole.data, whole.offsets, 3, WEIGHTS)
    alone = [score_ngrams(one.data, one.offsets, 3, WEIGHTS) for one in (Texts.of_bytes([d]) for d in documents)]
    assert sums.tolist() == [one[0][0] for one in alone] and totals.tolist() == [one[1][0] for one in alone]


def test_offsets_may_start_inside_and_arrays_may_be_read_only() -> None:
    data = np.frombuffer(b"skipped one two", np.uint8)
    offsets = np.array([8, 15], np.int64)
    assert not data.flags.writeable
    assert score_ngrams(data, offsets, 2, WEIGHTS)[1].tolist() == [3]
    assert score_ngrams(data.copy(), offsets, 2, WEIGHTS)[0] == score_ngrams(data, offsets, 2, WEIGHTS)[0]
    assert len(score_ngrams.signatures) == len(count_ngrams.signatures) == 1


@pytest.mark.parametrize("buckets", [64, 1000, 1 << 16])
def test_buckets_are_uniform(buckets: int) -> None:
    names = [f"w{number}" for number in range(20_000)]
    texts = Texts.of([" ".join(names)])
    counts = np.zeros(buckets, np.int64)
    count_ngrams(texts.data, texts.offsets, 2, buckets, counts)
    folded = counts[: len(counts) // 64 * 64].reshape(64, -1).sum(axis=1)
    assert stats.chisquare(folded, folded.sum() * np.ones(64) / 64).pvalue > 1e-5
    assert counts.sum() == 39_999
    # Colliding pairs at most as often as chance has it: 1-grams and 2-grams share no pattern.
    pairs = float((counts * (counts - 1) // 2).sum())
    expected = 39_999 * 39_998 / 2 / buckets
    assert pairs - expected < 5 * expected**0.5
