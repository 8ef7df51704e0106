"""MinHash finds what the formula promises, and with verification nothing else, whatever the order of the pool."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from command import ROOT, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from on_disk import as_texts, grouped, pool_of
from scipy.stats import binom

from assay.errors import RecipeError
from assay.group import _components
from assay.group.minhash import MinHash
from assay.kernels import minhash as kernel
from assay.kernels import union_find
from assay.run.local import Local
from assay.run.shuffle import Shuffler
from assay.types import Texts

ODD = ["the", "Fox", "a" * 17, "b" * 64, "É", "東京", "x_1", "\u2019", ".", "\n", "한국", "😀", "\u3000", "", "\u00a0"]
TARGET = (ROOT / "examples/data/target.jsonl").read_text("utf-8").splitlines()
WORDS = " ".join(json.loads(line)["text"] for line in TARGET).split()


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(ODD) | st.text(max_size=5), max_size=60).map(" ".join), max_size=6))
def test_the_kernel_agrees_with_plain_python(strings: list[str]):
    texts = Texts.of(strings)
    keys, words, counts = kernel.band_keys(texts.data, texts.offsets, 3, *kernel.permutations(12, 7), 4)
    sets, starts, again = kernel.shingle_sets(texts.data, texts.offsets, 3)
    assert np.array_equal(words, again)
    for row, text in enumerate(texts):
        expected = kernel.reference_shingles(text, 3)
        assert counts[row] == len(expected)
        assert keys[row].tolist() == (kernel.reference_keys(text, 3, 12, 4, 7) or [0] * 4)
        assert sets[starts[row] : starts[row + 1]].tolist() == sorted(set(expected))


def test_shingles_of_long_texts_agree_and_words_do_not_see_spelling():
    long = " ".join(WORDS[:6000])
    texts = Texts.of(
        [long, re.sub("[a-z]", lambda letter: letter[0].upper(), long).replace(" ", " -- "), long + " end"]
    )
    sets, starts, words = kernel.shingle_sets(texts.data, texts.offsets, 5)
    assert sets[: starts[1]].tolist() == sorted(set(kernel.reference_shingles(long, 5)))
    assert words[0] == words[1] != words[2]
    keys = kernel.band_keys(texts.data, texts.offsets, 5, *kernel.permutations(112, 1), 14)[0]
    assert keys[0].tolist() == keys[1].tolist() == kernel.reference_keys(long, 5, 112, 14, 1)


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_union_find_gives_the_smallest_row_of_each_component(case: tuple[int, list[tuple[int, int]]]):
    n, edges = case
    for dtype in (np.int32, np.int64):
        parents = np.arange(n, dtype=dtype)
        left, right = np.array(edges, np.int64).reshape(-1, 2).T.copy()
        union_find.link(parents, left, right)
        union_find.flatten(parents)
        assert parents.tolist() == union_find.reference(n, edges)


def document(random: Random, size: int = 220) -> list[str]:
    """Real words in an order of their own, so that no two documents share a shingle but by plan."""
    return [random.choice(WORDS) for _ in range(size)]


def edited(words: list[str], edits: int, random: Random) -> list[str]:
    """Words at evenly spread places replaced: each takes five shingles away."""
    new = list(words)
    for number in range(edits):
        new[(number * len(words)) // max(edits, 1) + random.randrange(3)] = f"new{random.randrange(10**9)}"
    return new


def jaccards(texts: Texts, pairs: int) -> np.ndarray:
    """The true similarity of text k and text pairs + k."""
    flat, starts, _ = kernel.shingle_sets(texts.data, texts.offsets, 5)
    sets = np.split(flat, starts[1:-1])
    shared = np.array([len(np.intersect1d(sets[k], sets[pairs + k])) for k in range(pairs)])
    sizes = np.diff(starts)
    return shared / (sizes[:pairs] + sizes[pairs:] - shared)


@pytest.mark.parametrize("edits", [0, 2, 4, 6, 8, 10, 13])
def test_recall_follows_the_banding_curve(edits: int):
    random, pairs = Random(edits), 300
    originals = [document(random) for _ in range(pairs)]
    copies = [edited(words, edits, random) for words in originals]
    texts = Texts.of([" ".join(words) for words in originals + copies])
    keys = kernel.band_keys(texts.data, texts.offsets, 5, *kernel.permutations(112, 1), 14)[0]
    found = (keys[:pairs] == keys[pairs:]).any(axis=1)
    true = jaccards(texts, pairs)
    assert true.std() < 0.05
    promised = float(np.mean(1 - (1 - true**8) ** 14))
    low, high = binom.interval(0.99, pairs, promised)
    assert low <= found.sum() <= high, f"J = {true.mean():.2f}: {found.mean():.3f} against {promised:.3f}"


def test_minima_agree_as_often_as_independent_ones_would():
    random, pairs, h = Random(5), 200, 112
    originals = [document(random, 150) for _ in range(pairs)]
    texts = Texts.of([" ".join(words) for words in originals + [edited(words, 5, random) for words in originals]])
    keys = kernel.band_keys(texts.data, texts.offsets, 5, *kernel.permutations(h, 3), h)[0]  # a band of each minimum
    agreeing = (keys[:pairs] == keys[pairs:]).sum(axis=1)
    true = jaccards(texts, pairs)
    spread = (agreeing - h * true) / np.sqrt(h * true * (1 - true))
    assert abs(spread.mean()) < 2.58 / np.sqrt(pairs)
    assert 0.75 < spread.std() < 1.25, "dependent permutations would agree or differ together"


def planted(seed: int = 1) -> list[str]:
    """Unrelated documents, families of near-duplicates at many levels, exact copies, short texts and empty ones."""
    random = Random(seed)
    texts = [row["text"] for row in examples()[:150]]
    for family in range(60):
        words = document(random, 80 + family)
        texts += [" ".join(edited(words, edits, random)) for edits in (0, 0, 1, 2, 4, 9)[: 2 + family % 5]]
    return [*texts, *texts[:20], "", " ", "...", "short one", "Short one!", "another short"]


def test_verified_groups_are_the_components_of_similar_pairs(tmp_path: Path):
    texts = planted()
    with Local(1) as local:
        ids = grouped(MinHash(verify=0.7), pool_of(tmp_path / "a", texts, local), Shuffler())
    sets = [set(kernel.reference_shingles(text, 5)) for text in texts]
    similar = [
        (one, other)
        for one, other in combinations(range(len(texts)), 2)
        if sets[one] and sets[other] and len(sets[one] & sets[other]) >= 0.7 * len(sets[one] | sets[other])
    ]
    allowed = union_find.reference(len(texts), similar)
    groups = {tuple(row for row in range(len(texts)) if ids[row] == group) for group in set(ids) - {-1}}
    assert all(min(rows) == ids[rows[0]] and len(rows) > 1 for rows in groups)
    assert all(len({allowed[row] for row in rows}) == 1 for rows in groups), "nothing is joined that is not similar"
    sure = [
        (one, other) for one, other in similar if len(sets[one] & sets[other]) >= 0.9 * len(sets[one] | sets[other])
    ]
    assert len(sure) > 50 and all(ids[one] == ids[other] >= 0 for one, other in sure)
    texts_of = {ids[texts.index(text)] for text in ("", " ", "...")}
    assert texts_of == {-1}, "texts without words are nobody's copies"
    assert ids[texts.index("short one")] == ids[texts.index("Short one!")] != -1 == ids[texts.index("another short")]


@pytest.mark.parametrize("verify", [0, 0.75])
def test_the_same_texts_are_grouped_in_any_order_and_layout(tmp_path: Path, verify: float):
    texts, seen = planted(), set()
    for number, (workers, files, memory) in enumerate(((1, 1, 1 << 30), (2, 3, 1 << 22), (1, 5, 1 << 16))):
        Random(number).shuffle(texts)
        with Local(workers) as local:
            pool = pool_of(tmp_path / str(number), texts, local, files, piece_bytes=40_000)
            ids = grouped(MinHash(verify=verify), pool, Shuffler(memory, fan=4))
        seen.add(frozenset(as_texts(texts, ids)))
    assert len(seen) == 1 and len(next(iter(seen))) > 60


def test_a_large_component_is_compared_band_by_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    texts = planted()
    method = MinHash(ngram=3, bands=40, rows=2, verify=0.6)  # bands so loose that unlike texts meet
    with Local(1) as local:
        whole = grouped(method, pool_of(tmp_path / "whole", texts, local), Shuffler())
        monkeypatch.setattr(_components, "_ALL", 1)
        bands = grouped(method, pool_of(tmp_path / "bands", texts, local), Shuffler())
        assert bands == whole, "at this similarity a pair that shares no band is one in 10^8"
        monkeypatch.setattr(_components, "_SHARE", 1)
        parts = grouped(method, pool_of(tmp_path / "parts", texts, local), Shuffler())
    finer = {(one, other) for one, other in zip(parts, whole, strict=True) if one >= 0}
    assert len({one for one, _ in finer}) == len(finer), "no part joins what the whole keeps apart"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"ngram": 0}, "ngram must be from 1 to 64; got 0"),
        ({"bands": 1000}, "bands times rows must be from 1 to 4096; got 8000"),
        ({"verify": 1.5}, "verify must be from 0 .the bands decide. to 1; got 1.5"),
        ({"seed": -1}, "seed not negative"),
    ],
)
def test_what_it_refuses(parameters: dict[str, float], sentence: str):
    with pytest.raises(RecipeError, match=sentence):
        MinHash(**parameters)
