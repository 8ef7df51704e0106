"""The share of repeated spans equals what a suffix array gives, and what comparing all windows gives."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repeats import MemoryEngine, by_content, grouped, order_of, planted, real_texts

from assay.errors import RecipeError
from assay.group.substring import Substring
from assay.kernels.windows import anchors, empty_sieve, fill_sieve, windows
from assay.types import Texts

FULL = (1 << 64) - 1


def tokens(text: str) -> list[str]:
    """The twin: `str.split`, and one token for each character of U+3001 to U+DFFF."""
    return [token for run in text.split() for token in re.findall("[\u3001-\udfff]|[^\u3001-\udfff]+", run)]


def summed_up(
    texts: list[str], classes: list[list[tuple[int, int]]], width: int, seen: str
) -> tuple[list[float], list[int]]:
    """Shares and holders from the places (row, token) of each class of equal windows."""
    order, marked, held = order_of(texts), defaultdict(set), defaultdict(lambda: defaultdict(int))
    for places in classes:
        original = min(places, key=lambda place: (order[place[0]], place[1]))
        for row, at in places:
            if row != original[0] or (seen == "anywhere" and at != original[1]):
                marked[row].update(range(at, at + width))
                held[row][original[0]] += row != original[0]
    shares = [len(marked[row]) / max(len(tokens(text)), 1) for row, text in enumerate(texts)]
    holders = [
        min(held[row], key=lambda other: (-held[row][other], order[other])) if held[row] else -1
        for row in range(len(texts))
    ]
    return shares, holders


def by_windows(texts: list[str], width: int, seen: str) -> tuple[list[float], list[int]]:
    """Brute force: a dictionary of windows."""
    classes = defaultdict(list)
    for row, words in enumerate(map(tokens, texts)):
        for at in range(len(words) - width + 1):
            classes[tuple(words[at : at + width])].append((row, at))
    return summed_up(texts, list(classes.values()), width, seen)


def suffix_array(symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Suffixes in order, and the length of the common prefix with the one before (Manber and Myers 1990; Kasai 2001)."""
    n, rank, step = len(symbols), np.unique(symbols, return_inverse=True)[1].astype(np.int64), 1
    while True:
        after = np.full(n, -1, np.int64)
        after[: n - step] = rank[step:] if step < n else []
        order = np.lexsort((after, rank))
        new = (rank[order][1:] != rank[order][:-1]) | (after[order][1:] != after[order][:-1])
        rank[order] = np.concatenate([[0], np.cumsum(new)])
        step *= 2
        if rank.max() == n - 1 or step >= n:
            break
    common, length = np.zeros(n, np.int64), 0
    for at in range(n):
        if rank[at] == 0:
            length = 0
            continue
        other = order[rank[at] - 1]
        while max(at, other) + length < n and symbols[at + length] == symbols[other + length]:
            length += 1
        common[rank[at]], length = length, max(length - 1, 0)
    return order, common


def by_suffixes(texts: list[str], width: int, seen: str) -> tuple[list[float], list[int]]:
    """A suffix array over all tokens; documents are kept apart by symbols that occur once."""
    known: dict[str, int] = {}
    symbols, owners = [], []
    for row, words in enumerate(map(tokens, texts)):
        symbols += [known.setdefault(word, len(known)) for word in words] + [-1 - row]
        owners += [(row, at) for at in range(len(words) + 1)]
    order, common = suffix_array(np.array(symbols))
    classes: list[list[tuple[int, int]]] = []
    for place, length in zip(order.tolist(), common.tolist(), strict=True):
        if length >= width:
            classes[-1].append(owners[place])
        else:
            classes.append([owners[place]])
    return summed_up(texts, [places for places in classes if len(places) > 1], width, seen)


@settings(max_examples=60, deadline=None)
@given(
    spans=st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=14), min_size=1, max_size=4),
    documents=st.lists(st.lists(st.integers(0, 6), max_size=8), min_size=1, max_size=5),
    ways=st.integers(1, 3),
    seen=st.sampled_from(["others", "anywhere"]),
)
def test_planted_spans_equal_all_windows(
    spans: list[list[str]], documents: list[list[int]], ways: int, seen: str
) -> None:
    pieces = [*(" ".join(span) for span in spans), "東京の文", "c\u00a0d\u3000", "e" * 9]
    texts = ["\n".join(pieces[number % len(pieces)] for number in document) for document in documents]
    assert grouped(Substring(8, seen), texts, MemoryEngine(ways=ways), size=2) == by_windows(texts, 8, seen)


@pytest.mark.parametrize("width", [12, 50])
def test_real_text_equals_all_windows(width: int) -> None:
    texts = planted(9)
    found = grouped(Substring(width), texts)
    assert found == by_windows(texts, width, "others")
    assert grouped(Substring(width, "anywhere"), texts) == by_windows(texts, width, "anywhere")
    assert 10 < sum(share > 0 for share in found[0]) < len(texts) - 10


def spliced(count: int) -> list[str]:
    """Real documents, a third of which get a span of another one, of 30 to 90 tokens, somewhere in the middle."""
    rng, texts = np.random.default_rng(10), list(real_texts(count, 9))
    for at in rng.choice(count, count // 3, replace=False):
        source, goal = texts[rng.integers(count)].split(" "), texts[at].split(" ")
        start, cut = rng.integers(max(len(source) - 60, 1)), rng.integers(len(goal) + 1)
        texts[at] = " ".join([*goal[:cut], *source[start : start + rng.integers(30, 90)], *goal[cut:]])
    return texts


def test_real_text_equals_a_suffix_array() -> None:
    texts = spliced(300)
    assert sum(map(len, texts)) > 200_000
    found = grouped(Substring(), texts)
    assert found == by_suffixes(texts, 50, "others")
    assert sum(0 < share < 1 for share in found[0]) > 50


def test_cuts_and_memory_change_nothing() -> None:
    texts = planted(11)
    whole = grouped(Substring(20), texts)
    assert grouped(Substring(20), texts, MemoryEngine(ways=7), size=13) == whole
    # A sieve of 64 bits lets nearly everything through; bits for a few documents at a time, and few pairs.
    assert grouped(Substring(20), texts, MemoryEngine(memory=6_000, ways=3)) == whole
    assert grouped(Substring(20), texts[-40:], MemoryEngine(memory=1)) == grouped(Substring(20), texts[-40:])


def test_the_order_of_the_pool_changes_nothing() -> None:
    texts = planted(12)
    shuffled = [texts[at] for at in np.random.default_rng(0).permutation(len(texts))]
    assert by_content(shuffled, *grouped(Substring(20), shuffled)) == by_content(texts, *grouped(Substring(20), texts))


def test_a_document_that_repeats_itself() -> None:
    words, anywhere = " ".join(f"w{number}" for number in range(50)), Substring(seen="anywhere")
    assert grouped(Substring(), [f"{words} and {words}", "other"]) == ([0.0, 0.0], [-1, -1])
    assert grouped(anywhere, [f"{words} and {words}", "other"]) == ([50 / 101, 0.0], [0, -1])
    assert grouped(anywhere, [f"{words} and {words}", words]) == ([50 / 101, 1.0], [0, 0])
    assert grouped(anywhere, ["a " * 100]) == ([99 / 100], [0])


def test_49_tokens_do_not_count_and_50_do() -> None:
    words = [f"w{number}" for number in range(50)]
    texts = [" ".join(["longest", *words, "of all"]), " ".join([*words[:49], "q"]), "p\n" + "\n".join(words) + " q"]
    assert grouped(Substring(), texts) == ([0.0, 0.0, 50 / 52], [-1, -1, 0])


def test_nothing_to_count() -> None:
    assert grouped(Substring(), ["", " ", "one two"]) == ([0.0] * 3, [-1] * 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab \n\t\x1cé\u0085\u00a0\u1680\u2003\u2028\u205f\u3000\u3042漢한😀"), max_size=30),
        max_size=5,
    )
)
def test_windows_are_the_windows_of_the_twin(strings: list[str]) -> None:
    block = Texts.of(strings)
    everything = empty_sieve(8)
    everything[:] = FULL
    keys, texts, places = windows(block.data, block.offsets, 4, 2, everything)
    found = defaultdict(set)
    for key, row, place in zip(keys.tolist(), texts.tolist(), places.tolist(), strict=True):
        found[key].add((row, place))
    wanted = defaultdict(set)
    for row, words in enumerate(map(tokens, strings)):
        for at in range(len(words) - 3):
            wanted[tuple(words[at : at + 4])].add((row, at))
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, wanted.values()))
    assert anchors(block.data, block.offsets, 4, 2)[2].tolist() == [len(tokens(string)) for string in strings]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_any_bytes_are_read_without_leaving_the_text(rows: list[bytes]) -> None:
    block = Texts.of_bytes(rows)
    keys, texts, _ = anchors(block.data, block.offsets, 4, 2)
    for number, row in enumerate(rows):
        alone = Texts.of_bytes([row])
        assert keys[texts == number].tolist() == anchors(alone.data, alone.offsets, 4, 2)[0].tolist()


def test_anchors_are_few_and_the_sieve_lets_little_else_through() -> None:
    block = Texts.of(list(real_texts(300, 9)))
    keys, _, totals = anchors(block.data, block.offsets, 50, 25)
    assert len(keys) < 0.09 * totals.sum()  # 2 / (50 - 25 + 2) = 0.074 of those in windows
    sieve = empty_sieve(1 << 16)
    fill_sieve(sieve, keys[:100])
    passed = len(windows(block.data, block.offsets, 50, 25, sieve)[0])
    assert 100 <= passed < 0.05 * totals.sum()


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(RecipeError, match="substring: tokens must be from 8 to 10000; got 7"):
        Substring(7)
    with pytest.raises(RecipeError, match="substring: seen must be one of others, anywhere; got 'else'"):
        Substring(seen="else")
