"""The same estimates as NLTK at equal discount, and the same queries as KenLM over an ARPA file that we write."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from nltk.lm import KneserNeyInterpolated, Vocabulary

from assay.errors import RecipeError
from assay.models import arpa, ngram
from assay.models.ngram import NGramConfig, train
from assay.types import Texts

SENTENCES = [
    "the cat sat on the mat and the cat sat", "the dog sat on the log", "a cat and a dog sat on a mat", "the mat",
    "a dog and a cat and a dog", "the cat sat on the mat and the dog sat", "sat", "log log log mat",
]  # fmt: skip
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})


def encoded(sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Word numbers and where each sentence starts."""
    numbers = [[WORDS.index(word) for word in sentence.split()] for sentence in sentences]
    return np.array([n for row in numbers for n in row], np.uint16), np.cumsum([0] + [len(row) for row in numbers])


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("discount", [0.1, 0.75])
def test_estimates_equal_nltk(order: int, discount: float) -> None:
    """NLTK's habits: order - 1 begin symbols, one discount, and unigrams that are not smoothed.

    It is given the n-grams that end in a word or an end; its own padding would also count begin symbols as predicted,
    and then its probabilities do not sum to one after a begin symbol.
    """
    flat = ((0.0, 0.0, 0.0), *[(discount,) * 3] * (order - 1))
    config = NGramConfig(order=order, discounts=flat, symbols=len(WORDS), boundaries=order - 1)
    model = ngram.train_symbols([encoded(SENTENCES)], config)
    padded = [["<s>"] * (order - 1) + sentence.split() + ["</s>"] for sentence in SENTENCES]
    grams = [
        [tuple(row[start : at + 1]) for at in range(order - 1, len(row)) for start in range(at, at - order, -1)]
        for row in padded
    ]
    peer = KneserNeyInterpolated(order, discount=discount, vocabulary=Vocabulary([*WORDS, "<s>", "</s>"], unk_cutoff=1))
    peer.counts.update(grams)
    contexts = [sentence.split()[:cut] for sentence in SENTENCES for cut in range(6)] + [["log", "the"], ["mat"] * 4]
    for context in contexts:
        history = ["<s>"] * (order - 1) + context
        expected = [peer.unmasked_score(word, tuple(history[len(history) - order + 1 :])) for word in [*WORDS, "</s>"]]
        found = model.following(np.array([WORDS.index(word) for word in context], np.uint16))
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)
        assert sum(expected) == pytest.approx(1)


def test_kenlm_reads_our_bytes_and_agrees(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm", reason="needs kenlm")
    model = train([Texts.of([*SENTENCES, "naïve ☃", ""])], NGramConfig(order=5))
    path = tmp_path / "bytes.arpa"
    with path.open("w", encoding="utf-8") as file:
        arpa.write(model, file, arpa.byte_names())
    peer = kenlm.Model(str(path))
    for text in ["the cat and the log", "", "☃ is unseen", "zzz", "mat", "naïve"]:
        raw = text.encode()
        scores = [step[0] for step in peer.full_scores(" ".join(arpa.byte_names()[byte] for byte in raw))]
        expected = -model.surprise(np.frombuffer(raw, np.uint8), np.array([0, len(raw)])) * math.log10(2)
        np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_kenlm_reads_our_words_and_agrees(tmp_path: Path, order: int) -> None:
    kenlm = pytest.importorskip("kenlm", reason="needs kenlm")
    model = ngram.train_symbols([encoded(SENTENCES)], NGramConfig(order=order, symbols=len(WORDS)))
    path = tmp_path / "words.arpa"
    with path.open("w", encoding="utf-8") as file:
        arpa.write(model, file, WORDS)
    peer = kenlm.Model(str(path))
    for sentence in [*SENTENCES, "log sat the", "dog dog dog mat the a", ""]:
        data, offsets = encoded([sentence])
        expected = -model.surprise(data.astype(np.uint16), offsets) * math.log10(2)
        np.testing.assert_allclose([step[0] for step in peer.full_scores(sentence)], expected, atol=1e-4)


def test_arpa_says_how_many_and_refuses_what_it_cannot_say() -> None:
    file = io.StringIO()
    model = ngram.train_symbols([encoded(SENTENCES[:2])], NGramConfig(order=2, symbols=len(WORDS)))
    arpa.write(model, file, WORDS)
    lines = file.getvalue().splitlines()
    assert lines[1] == f"ngram 1={len(WORDS) + 3}"
    assert int(lines[2].removeprefix("ngram 2=")) == lines.index("\\end\\") - 1 - lines.index("\\2-grams:") - 1
    with pytest.raises(RecipeError, match="one begin symbol"):
        config = NGramConfig(symbols=len(WORDS), boundaries=2)
        arpa.write(ngram.train_symbols([encoded(SENTENCES)], config), file, WORDS)
    with pytest.raises(RecipeError, match="names"):
        arpa.write(model, file, WORDS[1:])
