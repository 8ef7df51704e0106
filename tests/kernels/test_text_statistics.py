"""The one-pass kernel equals its twin in plain Python on any text, alone or among others."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.kernels.repetition import repeats_reference
from assay.kernels.text_statistics import COLUMNS, measure_texts
from assay.types import Texts

ROOT = Path(__file__).parent.parent.parent
_spec = importlib.util.spec_from_file_location("rules_reference", ROOT / "bench" / "rules_reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

PARTS = [
    "the", "The", "and", "of", "rain", "Rain", "cannot", "don't", "it’s", "John's", "well-known", "U.S.", "Mr.", "e.g.", "a.",
    ".", ",", "!", "?", "...", "…", ";", ":", "(", ")", '"', "'", "“", "”", "’", "-", "--", "—", "#", "•", "{", "}", "[1]",
    "[", "]", "[edit]", "[citation needed]", "$5", "5km", "10%", "1,000.5", "8)", ":)", ":-(", "<3", "www.site.org/a-b",
    "me@site.org", "https://site.org", "lorem ipsum", "Lorem Ipsum", "JavaScript", "privacy policy", "use cookies", "日本語", "。",
    "é", "naïve", "Привет", "🙂", "☕️", "\u00a0", "\u2028", "\u0085", "\u3000", "ab/cd", "a+b", "5-3", "_", "~", "x", "X",
]  # fmt: skip
GAPS = ["", "", " ", " ", " ", "  ", "\n", "\n\n", "\n\n\n", "\r\n", "\t", "\x0b", "\x1d", "\x1f"]


def measured(texts: list[str]) -> list[dict[str, int]]:
    block = Texts.of(texts)
    counts = measure_texts(block.data, block.offsets)
    return [dict(zip(COLUMNS, row, strict=True)) for row in counts.T.tolist()]


def made(seed: int, pieces: int) -> str:
    chance = random.Random(seed)
    some = chance.sample(PARTS, 12) + ["rain", "the"] * 4
    return "".join(chance.choice(some) + chance.choice(GAPS) for _ in range(pieces))


@pytest.mark.parametrize("seed", range(60))
def test_equal_to_plain_python_on_made_up_text(seed: int) -> None:
    texts = [made(seed * 100 + k, 3 * k) for k in range(1, 12)]
    for text, counts in zip(texts, measured(texts), strict=True):
        assert counts == reference.count(text), repr(text)


@given(st.lists(st.text(max_size=40), max_size=4))
@example(["\0", "the\0 cat", "of \0\0 and"])
@settings(max_examples=150, deadline=None)
def test_equal_to_plain_python_on_any_unicode(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    for text, counts in zip(texts, measured(texts), strict=True):
        assert counts == reference.count(text), repr(text)


def test_batches_change_nothing() -> None:
    texts = ["", " ", "\n", *(made(seed, 50) for seed in range(20)), "x" * 300, "word " * 500]
    alone = [measured([text])[0] for text in texts]
    assert measured(texts) == alone
    assert measured(texts[::-1]) == alone[::-1]


def test_blocks_of_64_bytes_change_nothing() -> None:
    for size in range(55, 140):
        text = "ab " * (size // 3) + "é" * (size % 3) + " end.\n\nThe end."
        assert measured([text])[0] == reference.count(text), size


def test_n_grams_repeat_as_in_plain_python() -> None:
    for seed in range(40):
        chance = random.Random(seed)
        words = [chance.choice("abcd"[: 1 + seed % 4]) * chance.randint(1, 3) for _ in range(seed * 5)]
        counts = measured([" ".join(words)])[0]
        start = COLUMNS.index("top_2_gram_characters")
        assert [counts[name] for name in COLUMNS[start : start + 15]] == repeats_reference(words), words


def test_nothing_is_read_beyond_a_text() -> None:
    whole = np.frombuffer(b"First text here.#{Second text here.", np.uint8)
    parts = measure_texts(whole, np.array([0, 16, len(whole)]))
    assert parts[COLUMNS.index("hashes")].tolist() == [0, 1]
    assert parts[COLUMNS.index("characters")].tolist() == [16, 19]
