"""Which rows of a fastText model a text sums: the kernel against a twin in plain Python, over texts that are hard to cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels import fasttext as kernel
from assay.kernels.fasttext import Tables
from assay.types import Texts

WORDS = ["the", "of", "</s>", "naïve", "日本", "internationalisation", "a" * 40, "x"]
LABELS = ["__label__en", "__label__de"]
BUCKET = 97


def fnv(text: bytes) -> int:
    h = 2166136261
    for byte in text:
        h = (h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 & 0xFFFFFFFF
    return h


def signed(h: int) -> int:
    return h if h < 2**31 else h + 2**64 - 2**32


def tokens(text: str) -> list[bytes]:
    """Words of a text scored as one line, its end included."""
    one_line = " ".join(text.strip().splitlines())
    for separator in "\t\v\f\r\0":
        one_line = one_line.replace(separator, " ")
    words = [word.encode() for word in one_line.split(" ") if word]
    stop = words.index(b"</s>") if b"</s>" in words else len(words)
    return [*words[:stop], b"</s>"]


def subwords(word: bytes, minn: int, maxn: int) -> list[int]:
    letters = [letter.encode() for letter in "<" + word.decode() + ">"]
    found = []
    for start in range(len(letters)):
        for stop in range(start + 1, min(start + maxn, len(letters)) + 1):
            edge = stop - start == 1 and (start == 0 or stop == len(letters))
            if stop - start >= minn and not edge:
                found.append(fnv(b"".join(letters[start:stop])) % BUCKET)
    return found


def rows(text: str, order: int, minn: int, maxn: int, remap: list[int] | None) -> list[int]:
    """Every row that the library adds, in any order."""
    hashed, plain, prints = [], [], []
    for word in tokens(text):
        known = word.decode() in WORDS
        if word.decode() in LABELS or (not known and word.startswith(b"__label__")):
            continue
        plain += [WORDS.index(word.decode())] if known else []
        hashed += subwords(word, minn, maxn) if maxn and word != b"</s>" else []
        prints.append(signed(fnv(word)))
    for start in range(len(prints)):
        h = prints[start]
        for following in prints[start + 1 : start + order]:
            h = (h * 116049371 + following) % 2**64
            hashed.append(h % BUCKET)
    if remap is not None:
        hashed = [remap[number] for number in hashed if remap[number] >= 0]
    return plain + [len(WORDS) + number for number in hashed]


def tables(width: int, order: int, minn: int, maxn: int, remap: list[int] | None) -> Tables:
    """Whole numbers as rows, so that sums are exact in any order: row r is 1, r, r, ... """
    entries = Texts.of([*WORDS, *LABELS])
    data = np.concatenate([entries.data, np.zeros(kernel.PAD, np.uint8)])
    slots = np.zeros(64, np.uint64)
    kernel.fill_slots(data, entries.offsets[:-1], entries.offsets[1:], slots)
    table = np.repeat(np.arange(len(WORDS) + BUCKET, dtype=np.float32), width)
    kept = np.array([] if remap is None else remap, np.int32)
    return Tables(slots, table, kept, width, len(WORDS), 2, BUCKET, order, minn, maxn)


def summed(texts: list[str], model: Tables) -> tuple[np.ndarray, np.ndarray]:
    block = Texts.of(texts)
    data = np.concatenate([block.data, np.zeros(kernel.PAD, np.uint8)])
    return kernel.sum_rows(data, *kernel.strip(data, block.offsets), model)


HARD = [
    "", " ", "the", "the of </s> the", "</s>", "__label__en the __label__new __label_ of", "a\u2028b\u2029c\u0085d\x1ce\x1ff\x00g",
    "\u3000 the\u00a0of \u205f", "日本 日本語の文章 🙂🙃", "the " * 900, "internationalisation " * 40, "y" * 3000, "日本語" * 900,
    "\u2028".join("é" * size for size in range(70)), "\u0085".join("ab" * size for size in range(50)), "\x1f x \x1f",
    *["x" * size + "\u2028y\u0085the of" for size in range(56, 70)],
]  # fmt: skip
MODES = [(1, 0, 0), (2, 0, 0), (4, 0, 0), (1, 2, 4), (1, 0, 1), (3, 1, 3)]
REMAP = [(number * 31) % 60 if number % 3 else -1 for number in range(BUCKET)]


@pytest.mark.parametrize("remap", [None, REMAP], ids=["whole", "pruned"])
@pytest.mark.parametrize(("order", "minn", "maxn"), MODES)
def test_sums_are_those_of_plain_python(order: int, minn: int, maxn: int, remap: list[int] | None) -> None:
    expected = [rows(text, order, minn, maxn, remap) for text in HARD]
    for width in (1, 8, 24):
        sums, counts = summed(HARD, tables(width, order, minn, maxn, remap))
        assert counts.tolist() == [len(found) for found in expected]
        assert sums.tolist() == [[float(sum(found))] * width for found in expected]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab <>_é日🙂\u2028\u2029\u0085\u00a0\x1c\x1f\n\r\t\0") | st.characters(codec="utf-8"), max_size=150)
    )
)
def test_any_text_is_cut_as_python_cuts_it(texts: list[str]) -> None:
    sums, counts = summed(texts, tables(1, 2, 1, 2, None))
    expected = [rows(text, 2, 1, 2, None) for text in texts]
    assert counts.tolist() == [len(found) for found in expected]
    assert sums[:, 0].tolist() == [float(sum(found)) for found in expected]


def test_stripping_is_pythons() -> None:
    spaces = [chr(code) for code in range(0x10000) if chr(code).isspace()]
    near = [chr(code) for code in (0x08, 0x0E, 0x1B, 0x21, 0x84, 0x86, 0x9F, 0xA1, 0x167F, 0x200B, 0x2030, 0x2FFF, 0x3001, 0xFEFF)]
    texts = [edge + "x" + edge for edge in [*spaces, *near]] + ["".join(spaces), ""]
    block = Texts.of(texts)
    starts, stops = kernel.strip(block.data, block.offsets)
    found = [block.data[start:stop].tobytes().decode() for start, stop in zip(starts, stops, strict=True)]
    assert found == [text.strip() for text in texts]


def test_remainders_are_exact() -> None:
    """The estimated quotient, at the edges where it is one too small."""
    for divisor in (1, 2, 3, 7, 97, 2_000_000, 2**21, 2**31 - 1):
        magic = np.uint64((2**64 - 1) // divisor)
        values = [0, 1, divisor - 1, divisor, divisor + 1, 2**32 - 1, 2**63, 2**64 - 1, (2**64 - 1) // divisor * divisor]
        values += [value - 1 for value in values if value]
        for value in values:
            assert int(kernel._modulo(np.uint64(value), np.uint64(divisor), magic)) == value % divisor
