"""The search for passages equals its plain Python twin, also where a document is read in several stretches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from assay.kernels.alignment import LONGEST, REACH, SEED, STRETCH, Index, index_seeds, search, seeds_of
from assay.kernels.folding import fold_tables, reference_hash, reference_words, word_hashes
from assay.types import Texts

FLOOR = 0.3


def index_of(passages: list[str], weights: list[int]) -> Index:
    """Every seed of every passage; weights repeat."""
    texts = Texts.of(passages)
    hashes, bounds = word_hashes(texts.data, texts.offsets)
    places = np.concatenate([np.arange(a, b - SEED + 1) for a, b in pairwise(bounds.tolist())])
    owners = np.searchsorted(bounds, places, side="right") - 1
    return (
        hashes, np.resize(np.array(weights, np.uint16), len(hashes)), bounds,
        *index_seeds(seeds_of(hashes)[places], owners, places - bounds[owners]),
    )  # fmt: skip


def twin(text: str, passages: list[str], weights: list[int]) -> tuple[float, int]:
    """(overlap, passage) by tables of tuples."""
    words = reference_words(text)
    used, best = 0, (0.0, -1)
    for number, passage in enumerate(passages):
        mine = reference_words(passage)
        heavy = [weights[(used + k) % len(weights)] for k in range(len(mine))]
        used += len(mine)
        seeds = [
            at - spot
            for spot in range(len(mine) - SEED + 1)
            for at in range(len(words) - SEED + 1)
            if words[at : at + SEED] == mine[spot : spot + SEED]
        ]
        slack = max(4, math.ceil(len(mine) / 4))
        while seeds := sorted(seeds):
            group = [diagonal for diagonal in seeds if diagonal - seeds[0] <= slack]
            seeds = seeds[len(group) :]
            if len(group) * 24 >= len(mine):
                window = words[max(0, group[0] - slack) : max(0, group[-1] + len(mine) + slack)]
                overlap = aligned(mine, heavy, window)
                if overlap >= FLOOR and overlap > best[0]:
                    best = (overlap, number)
    return best


def aligned(mine: list[str], heavy: list[int], window: list[str]) -> float:
    table = [[(0, 0)] * (len(window) + 1) for _ in range(len(mine) + 1)]
    for i, word in enumerate(mine):
        for j, other in enumerate(window):
            table[i + 1][j + 1] = max(table[i][j + 1], table[i + 1][j])
            if word == other:
                value, numbers = table[i][j]
                table[i + 1][j + 1] = max(table[i + 1][j + 1], (value + heavy[i], numbers + word[0].isdigit()))
    value, numbers = table[-1][-1]
    share = min(value / sum(heavy), (2 + numbers) / (1 + sum(word[0].isdigit() for word in mine)))
    return 1 - (1 - share) * max(1.0, 20 / len(mine))


def found(texts: list[str], index: Index) -> tuple[np.ndarray, np.ndarray]:
    block = Texts.of(texts)
    return search(block.data, block.offsets, *fold_tables(), index, FLOOR)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vocabulary = [f"w{k}" for k in range(12)] + ["7", "19"]  # few words, so that chance makes many seeds
    passages = [" ".join(rng.choice(vocabulary, int(n))) for n in rng.integers(8, LONGEST + 1, 6)]
    weights = rng.integers(1, 1000, 97).tolist()
    texts = [" ".join(rng.choice(vocabulary, int(n))) for n in rng.integers(0, 200, 10)]
    for passage in passages:  # and documents that hold a passage with a fifth of its words changed
        kept = [w if rng.random() > 0.2 else rng.choice(vocabulary) for w in passage.split()]
        texts.append(" ".join([*rng.choice(vocabulary, 9), *kept, *rng.choice(vocabulary, 9)]))
    overlaps, places = found(texts, index_of(passages, weights))
    expected = [twin(text, passages, weights) for text in texts]
    np.testing.assert_allclose(overlaps, [overlap for overlap, _ in expected], rtol=1e-12)
    assert places[:, 0].tolist() == [passage for _, passage in expected]
    assert (overlaps > 0).sum() >= len(passages)


@pytest.mark.parametrize(
    "before", [0, STRETCH - REACH - 30, STRETCH - 30, STRETCH - 1, STRETCH, 2 * STRETCH - REACH - 20]
)
def test_a_passage_is_found_wherever_a_long_document_holds_it(before: int) -> None:
    passage = " ".join(f"word{k}" for k in range(60))
    text = f"{'x ' * before}{passage}{' y' * 40}"
    overlaps, places = found([text], index_of([passage], [1]))
    assert overlaps.tolist() == [1.0]
    assert text[places[0, 1] : places[0, 2]] == passage


def test_the_place_is_told_in_bytes() -> None:
    text = "Ünïcödé — before “THE quick,\n brown fox” jumps, über lazy dogs… after"
    overlaps, places = found([text], index_of(["the quick brown fox jumps uber lazy dogs"], [3]))
    assert overlaps[0] == 1.0
    assert text.encode()[places[0, 1] : places[0, 2]].decode() == "THE quick,\n brown fox” jumps, über lazy dogs"


def test_other_numbers_make_another_passage() -> None:
    problem = (
        "a shop sells {} apples for {} coins and {} pears for {} coins so how many coins do {} apples and {} pears cost"
    )
    index = index_of([problem.format(3, 5, 8, 13, 21, 34)], [1])
    same, one, other = found(
        [problem.format(*n) for n in ((3, 5, 8, 13, 21, 34), (3, 5, 8, 14, 21, 34), range(40, 46))], index
    )[0]
    assert same == 1.0 and one > 0.9 and other == 0.0


def test_of_equal_overlaps_the_first_passage_is_told() -> None:
    passages = [" ".join(f"{letter}{k}" for k in range(10)) for letter in "ab"]
    assert found([" ".join(reversed(passages))], index_of(passages, [1]))[1][0, 0] == 0


def test_no_passages_no_texts() -> None:
    empty = (
        np.zeros(0, np.uint32), np.zeros(0, np.uint16), np.zeros(1, np.int64),
        *index_seeds(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)),
    )  # fmt: skip
    assert found(["one two three four five six"], empty)[0].tolist() == [0.0]
    assert len(found([], index_of(["one two three four"], [1]))[0]) == 0
    assert reference_hash("one") == word_hashes(np.frombuffer(b"One", np.uint8), np.array([0, 3]))[0][0]
