"""Repeated lines and paragraphs leave every document but their keeper, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from repeats import NOTICE, MemoryEngine, MemoryPool, order_of, planted
from tests.kernels.test_parts import TWINS, normalised, without

from assay.edit.drop_repeated_lines import DropRepeatedLines
from assay.edit.drop_repeated_paragraphs import DropRepeatedParagraphs
from assay.errors import RecipeError
from assay.types import Fitted, Signals

EDITS = {"lines": DropRepeatedLines, "paragraphs": DropRepeatedParagraphs}


def fitted(edit: Any, texts: list[str], engine: MemoryEngine | None = None, size: int = 1 << 20) -> Fitted:
    signals = Signals({"order": order_of(texts)})
    return edit.learn(MemoryPool(texts, size), None, signals, engine or MemoryEngine(), np.random.default_rng(0))


def edited(edit: Any, learnt: Fitted, texts: list[str], size: int = 1 << 20) -> list[str]:
    models = {"fitted": learnt}
    return [text for batch in MemoryPool(texts, size).batches() for text in edit.rewrite(batch, models)]


def by_hand(texts: list[str], unit: str, least: int, documents: int) -> list[str]:
    """Brute force: who holds each part, who keeps it, and what each text is without the others' parts."""
    order, owners = order_of(texts), {}
    for row, text in enumerate(texts):
        for part in TWINS[unit](text):
            owners.setdefault(normalised(part), set()).add(row)
    result = []
    for text in texts:
        drops = set()
        for part in TWINS[unit](text):
            rows = owners[normalised(part)]
            keeper = texts[min(rows, key=lambda owner: order[owner])]
            if len(normalised(part)) >= least and len(rows) >= documents and keeper != text:
                drops.add(part)
        result.append(without(text, unit, drops))
    return result


@pytest.mark.parametrize("unit", EDITS)
@pytest.mark.parametrize(("least", "documents"), [(20, 2), (1, 3)])
def test_equals_the_edit_by_hand(unit: str, least: int, documents: int) -> None:
    texts, edit = planted(7), EDITS[unit](least, documents)
    found = edited(edit, fitted(edit, texts), texts)
    assert found == by_hand(texts, unit, least, documents)
    changed = sum(one != other for one, other in zip(texts, found, strict=True))
    assert 10 < changed < len(texts) - 10 and "" in found


@pytest.mark.parametrize("unit", EDITS)
def test_cuts_and_order_change_nothing(unit: str) -> None:
    texts, edit = planted(8), EDITS[unit]()
    whole = fitted(edit, texts)
    cut = fitted(edit, texts, MemoryEngine(ways=5), size=11)
    moved = np.random.default_rng(0).permutation(len(texts))
    permuted = fitted(edit, [texts[at] for at in moved])
    for other in (cut, permuted):
        assert all(np.array_equal(whole.arrays[name], other.arrays[name]) for name in ("parts", "keepers"))
    found = edited(edit, whole, texts)
    assert edited(edit, whole, texts, size=9) == found
    assert edited(edit, permuted, [texts[at] for at in moved]) == [found[at] for at in moved]


def test_one_copy_of_a_notice_stays_and_bytes_stay() -> None:
    texts = [f"{NOTICE}\n\n  Text of one,\twith its spaces \r\n{NOTICE.lower()}", f"Other text\n{NOTICE}\n", NOTICE]
    edit = DropRepeatedLines()
    learnt = fitted(edit, texts)
    assert edited(edit, learnt, texts) == [texts[0], "Other text\n", ""]
    assert learnt.notes == {"repeated_parts": 1, "copies": 3}


def test_nothing_learnt_changes_nothing() -> None:
    texts, edit = ["Only one of these, and long.", "", "\n"], DropRepeatedParagraphs()
    assert edited(edit, fitted(edit, texts), texts) == texts


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(RecipeError, match="drop_repeated_lines: min_characters must be from 1"):
        DropRepeatedLines(min_characters=-1)
