"""The kernels that count an n-gram once a document, against sets in plain Python."""

from __future__ import annotations

import itertools

import numpy as np

from assay.kernels.ngrams import count_ngrams
from assay.kernels.ngrams_extra import count_presence, distinct_buckets, list_presence, score_presence
from assay.types import Texts

ODD = [
    "to be or not to be",
    "",
    " \n",
    "naïve café “quoted”",
    "日本語の文章、日本語",
    "word " * 3000,
    "a" * 5000,
    "f(x); f(y)",
]
MANY = [f"document {number % 300} says {number % 7} again" for number in range(600)]  # more than 255 stamps
TEXTS = Texts.of(ODD + MANY)
BUCKETS = (1, 50, 1009)


def expected(n: int, buckets: int) -> list[set[int]]:
    return [distinct_buckets(text.encode(), n, buckets) for text in TEXTS]


def test_counts_are_numbers_of_documents() -> None:
    for n in (1, 2, 3):
        for buckets in BUCKETS:
            sets, counts = expected(n, buckets), np.full(buckets, 5, np.int64)
            totals = count_presence(TEXTS.data, TEXTS.offsets, n, counts)
            assert totals.tolist() == [len(found) for found in sets]
            assert (counts - 5).tolist() == [sum(bucket in found for found in sets) for bucket in range(buckets)]


def test_scores_sum_each_bucket_once() -> None:
    for n in (1, 2, 3):
        for buckets in BUCKETS:
            weights = np.random.default_rng(buckets).normal(size=buckets).astype(np.float32)
            sums, totals = score_presence(TEXTS.data, TEXTS.offsets, n, weights)
            sets = expected(n, buckets)
            assert totals.tolist() == [len(found) for found in sets]
            wanted = [weights.astype(np.float64)[sorted(found)].sum() for found in sets]
            np.testing.assert_allclose(sums, wanted, rtol=1e-12, atol=1e-12)


def test_lists_are_the_sets() -> None:
    picks, ends = list_presence(TEXTS.data, TEXTS.offsets, 2, 1009)
    lists = [picks[start:stop].tolist() for start, stop in itertools.pairwise(ends)]
    assert [len(each) for each in lists] == [len(set(each)) for each in lists]
    assert [set(each) for each in lists] == expected(2, 1009)


def test_a_document_scores_the_same_in_any_company() -> None:
    weights = np.random.default_rng(0).normal(size=1009).astype(np.float32)
    whole, _ = score_presence(TEXTS.data, TEXTS.offsets, 2, weights)
    for row in (0, 3, 4, 5, 600):
        one = TEXTS.take(np.array([row]))
        assert score_presence(one.data, one.offsets, 2, weights)[0][0] == whole[row]


def test_presence_is_where_totals_are_not_zero() -> None:
    one = TEXTS.take(np.array([0]))
    total, present = np.zeros(1009, np.int64), np.zeros(1009, np.int64)
    count_ngrams(one.data, one.offsets, 2, 1009, total)
    count_presence(one.data, one.offsets, 2, present)
    assert np.array_equal(present, np.minimum(total, 1)) and total.sum() > present.sum()
