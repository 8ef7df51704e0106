"""The shingle kernel equals its plain Python twin on any text."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels.shingles import matches, reference, shingles, sieve_of
from assay.types import Texts

LETTERS = "abZ 09.,-\n’“”é ñ東京。かな한국ÀЖ！ａ９😀"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from(LETTERS), max_size=60), max_size=8), st.sampled_from([1, 2, 3, 13]))
def test_equals_the_twin(strings: list[str], width: int) -> None:
    texts = Texts.of(strings)
    hashes, starts = shingles(texts.data, texts.offsets, width)
    for k, string in enumerate(strings):
        assert hashes[starts[k] : starts[k + 1]].tolist() == reference(string, width)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8))
def test_any_bytes_are_read_without_leaving_the_text(rows: list[bytes]) -> None:
    texts = Texts.of_bytes(rows)
    whole, starts = shingles(texts.data, texts.offsets, 2)
    for k, row in enumerate(rows):
        alone = Texts.of_bytes([row])
        assert whole[starts[k] : starts[k + 1]].tolist() == shingles(alone.data, alone.offsets, 2)[0].tolist()


def test_matches_equals_membership() -> None:
    texts = Texts.of([f"{k} alpha{k} beta {k % 5} gamma" for k in range(200)])
    hashes, starts = shingles(texts.data, texts.offsets, 3)
    table = np.unique(hashes[starts[:-1:3]])
    found = matches(texts.data, texts.offsets, 3, table, np.ones(len(table), np.int64), *sieve_of(table))
    expected = [bool(np.isin(hashes[a:b], table).any()) for a, b in pairwise(starts)]
    assert found.tolist() == expected and any(expected) and not all(expected)
