"""Exact duplicates are those that Python finds with a dictionary of normalised texts."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_disk import as_texts, grouped, pool_of

from assay.errors import RecipeError
from assay.group import exact
from assay.group.exact import Exact
from assay.kernels.normal import KINDS, beyond_ascii, hash_normal, reference_hashes, reference_normal
from assay.run.local import Local
from assay.run.shuffle import Shuffler
from assay.types import Texts

ODD = "aZ9_ \t\n\x0b\x1c\x85\xa0\u1680\u2000\u200a\u200b\u2028\u202f\u205f\u3000\u3001é’“東한😀ñ.,!-"
VARIANTS = (
    ("Hello world, again", "  Hello \n world,\u00a0again ", "hello WORLD: again!", "Hello world, again"),
    ("caf\u00e9 Ünïcode", "cafe\u0301 U\u0308ni\u0308code", "CAFÉ ünïcode", "cafe unicode"),
    ("ﬁne ＡＢＣ", "fine abc", "FINE abc."),
    ("", " \n ", "...", "\u3000"),
)


@given(st.lists(st.text(st.sampled_from(ODD), max_size=30) | st.text(max_size=20), max_size=8), st.sampled_from(KINDS))
def test_the_kernel_hashes_what_python_normalises(strings: list[str], kind: str):
    texts = Texts.of([string.encode("utf-8", "replace").decode() for string in strings])
    first, second, sizes = hash_normal(texts.data, texts.offsets, KINDS.index(kind))
    for row, text in enumerate(texts):
        assert (int(first[row]), int(second[row]), int(sizes[row])) == reference_hashes(text, kind)
    assert beyond_ascii(texts.data, texts.offsets).tolist() == [not text.isascii() for text in texts]


def normalised(text: str, kind: str) -> str:
    folded = unicodedata.normalize("NFKC", text.casefold()) if kind == "words" and not text.isascii() else text
    return reference_normal(folded, kind)


def by_dictionary(texts: list[str], kind: str) -> list[int]:
    first: dict[str, int] = {}
    found = [first.setdefault(normalised(text, kind), row) for row, text in enumerate(texts)]
    return [
        row if normalised(text, kind) and found.count(row) > 1 else -1 for row, text in zip(found, texts, strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_those_of_a_dictionary_in_any_order_and_layout(tmp_path: Path, kind: str):
    texts = [text for variants in VARIANTS for text in variants] * 2 + [f"text {n % 250}" for n in range(400)]
    seen = set()
    with Local(1) as local:
        for number in range(3):
            Random(number).shuffle(texts)
            pool = pool_of(tmp_path / str(number), texts, local, files=1 + number, piece_bytes=2000)
            ids = grouped(Exact(kind), pool, Shuffler(1 << (14 + 4 * number)))
            assert ids == by_dictionary(texts, kind)
            seen.add(frozenset(as_texts(texts, ids)))
    assert len(seen) == 1


def test_two_texts_that_share_one_of_the_two_hashes_stay_apart():
    records = np.array([(1, 4, 9), (1, 5, 8), (1, 6, 9), (2, 1, 9), (2, 3, 9), (3, 0, 9)], exact._RECORD)
    assert exact._copies(records).tolist() == [[6, 4], [3, 1]]


def test_what_it_refuses():
    with pytest.raises(RecipeError, match="normalise must be one of none, whitespace, words; got 'spaces'"):
        Exact("spaces")
