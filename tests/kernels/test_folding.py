"""Words are cut, folded and hashed as the plain Python twin does, whatever the text; spelling does not tell them apart."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels.folding import count_documents, reference_hash, reference_words, word_hashes
from assay.types import Texts

LETTERS = "abZ 09.,-_'\n’“”é\u0301ñßﬁ½²東京。がｶﾞ한국ÀЖ！ａ９＇😀𝐀𠀀ไทย\u0e33न्\u200b\u00ad\u00a0"


def words(text: str) -> list[int]:
    block = Texts.of([text])
    return word_hashes(block.data, block.offsets)[0].tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from(LETTERS), max_size=40), max_size=6))
def test_equals_the_twin(strings: list[str]) -> None:
    texts = Texts.of(strings)
    hashes, ends = word_hashes(texts.data, texts.offsets)
    for k, string in enumerate(strings):
        expected = [reference_hash(word) for word in reference_words(string)]
        assert hashes[ends[k] : ends[k + 1]].tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_equals_the_twin(string: str) -> None:
    string = string.encode("utf-8", "replace").decode()
    assert words(string) == [reference_hash(word) for word in reference_words(string)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8))
def test_any_bytes_are_read_without_leaving_the_text(rows: list[bytes]) -> None:
    texts = Texts.of_bytes(rows)
    whole, ends = word_hashes(texts.data, texts.offsets)
    for k, row in enumerate(rows):
        alone = Texts.of_bytes([row])
        assert whole[ends[k] : ends[k + 1]].tolist() == word_hashes(alone.data, alone.offsets)[0].tolist()


@pytest.mark.parametrize("name", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_unicode_form_changes_no_word(name: str) -> None:
    text = "Crème brûlée, ÜNÏCÖDÉ Straße 한국어 がぎぐ ﬁnd Việt Nam नमस्ते ไทยน้ำ ＡＢＣ x²"
    assert words(unicodedata.normalize(name, text)) == words(text)


def test_spelling_changes_no_word() -> None:
    plain = words("dont stop the cafe at 3rd street it is abc")
    for other in (
        "Don't STOP -- the café\n at 3rd street; it is ABC!", "don’t stop\u00a0the cafe\u0301 at 3rd_street it is ａｂｃ",
        "d\u00adon't s\u200btop, the CAFÉ (at 3rd street): it is *abc*",
    ):  # fmt: skip
        assert words(other) == plain


def test_words_of_numbers_are_marked() -> None:
    assert [hash & 1 for hash in words("in 1984 the 3rd ２nd x2 ½ two")] == [0, 1, 0, 1, 1, 0, 1, 0]


def test_documents_are_counted_once() -> None:
    texts = Texts.of(["a b a", "b", "", "c a"])
    hashes, ends = word_hashes(texts.data, texts.offsets)
    vocabulary = np.unique(hashes)
    counts = np.zeros(len(vocabulary), np.int64)
    count_documents(hashes, ends, vocabulary, counts)
    assert {int(vocabulary[k]): int(counts[k]) for k in range(3)} == dict(zip(words("a b c"), (2, 2, 1), strict=True))
