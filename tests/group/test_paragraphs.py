"""The share of repeated paragraphs equals a count in plain Python; wrapping a paragraph otherwise changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from repeats import POEM, MemoryEngine, by_content, grouped, planted
from tests.group.test_lines import counted

from assay.errors import RecipeError
from assay.group.paragraphs import Paragraphs


@pytest.mark.parametrize(("least", "documents"), [(20, 2), (1, 3)])
def test_equals_the_count(least: int, documents: int) -> None:
    texts = planted(5)
    found = grouped(Paragraphs(least, documents), texts)
    assert found == counted(texts, "paragraphs", least, documents)
    assert 10 < sum(share > 0 for share in found[0]) < len(texts) - 10


def test_cuts_memory_and_order_change_nothing() -> None:
    texts = planted(6)
    whole = grouped(Paragraphs(), texts)
    assert grouped(Paragraphs(), texts, MemoryEngine(ways=5), size=17) == whole
    assert grouped(Paragraphs(), texts, MemoryEngine(memory=6_000, ways=3)) == whole
    shuffled = [texts[at] for at in np.random.default_rng(0).permutation(len(texts))]
    assert by_content(shuffled, *grouped(Paragraphs(), shuffled)) == by_content(texts, *whole)


def test_a_paragraph_wrapped_otherwise_is_the_same() -> None:
    other = "Another paragraph, which nobody else has."
    shares, holders = grouped(Paragraphs(), [f"{other}\n\n{POEM}\n \n{other}!", POEM.replace("\n", "  ")])
    assert shares == [0.0, 1.0] and holders == [-1, 0]


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(RecipeError, match="paragraphs: min_documents must be from 2"):
        Paragraphs(min_documents=0)
