"""The share of repeated lines equals a count in plain Python, whatever the order of the pool and how it is cut."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from repeats import MemoryEngine, by_content, grouped, order_of, planted
from tests.kernels.test_parts import TWINS, normalised

from assay.errors import RecipeError
from assay.group.lines import Lines


def counted(texts: list[str], unit: str, least: int, documents: int) -> tuple[list[float], list[int]]:
    """Brute force: dictionaries of strings."""
    order, parts = order_of(texts), [[p for p in TWINS[unit](text) if len(normalised(p)) >= least] for text in texts]
    rows = defaultdict(set)
    for row, mine in enumerate(parts):
        for part in mine:
            rows[normalised(part)].add(row)
    shares, holders = [], []
    for row, mine in enumerate(parts):
        held = defaultdict(int)
        for part in mine:
            owners = rows[normalised(part)]
            keeper = min(owners, key=lambda owner: order[owner])
            if len(owners) >= documents and keeper != row:
                held[keeper] += len(part.encode())
        total = sum(len(part.encode()) for part in mine)
        shares.append(sum(held.values()) / total if total else 0.0)
        holders.append(min(held, key=lambda keeper: (-held[keeper], order[keeper])) if held else -1)
    return shares, holders


@pytest.mark.parametrize(("least", "documents"), [(20, 2), (1, 2), (5, 4)])
def test_equals_the_count(least: int, documents: int) -> None:
    texts = planted(2)
    found = grouped(Lines(least, documents), texts)
    assert found == counted(texts, "lines", least, documents)
    assert 10 < sum(share > 0 for share in found[0]) < len(texts) - 10


def test_cuts_and_memory_change_nothing() -> None:
    texts = planted(3)
    whole = grouped(Lines(), texts)
    assert grouped(Lines(), texts, MemoryEngine(ways=7), size=13) == whole
    # So little that the table holds a few dozen pairs, and the rows are done in many turns.
    assert grouped(Lines(), texts, MemoryEngine(memory=12_000, ways=3)) == whole
    assert grouped(Lines(), texts[-60:], MemoryEngine(memory=1, ways=3)) == grouped(Lines(), texts[-60:])


def test_the_order_of_the_pool_changes_nothing() -> None:
    texts = planted(4)
    shuffled = [texts[at] for at in np.random.default_rng(0).permutation(len(texts))]
    assert by_content(shuffled, *grouped(Lines(), shuffled)) == by_content(texts, *grouped(Lines(), texts))


def test_copies_within_one_document_are_its_own() -> None:
    line = "A line that is long enough to count."
    assert grouped(Lines(), [f"{line}\n{line}", "Something else altogether, and long."]) == ([0.0, 0.0], [-1, -1])
    assert grouped(Lines(), [f"{line}\n{line}\nand more of it here, too", line]) == ([0.0, 1.0], [-1, 0])


def test_nothing_to_count() -> None:
    assert grouped(Lines(), ["", "\n\n", "x"]) == ([0.0] * 3, [-1] * 3)
    assert grouped(Lines(), []) == ([], [])


@pytest.mark.parametrize("fields", [{"min_characters": 0}, {"min_documents": 1}])
def test_impossible_numbers_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=f"lines: {next(iter(fields))} must be from"):
        Lines(**fields)
