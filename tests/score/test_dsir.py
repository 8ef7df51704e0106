"""`dsir`: its closed form in plain Python, its held-out choice by brute force, and what it does for small targets."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.kernels.ngrams_extra import distinct_buckets
from assay.score.dsir import Dsir
from assay.types import Batch, Fitted, Texts

TEN = [
    "The cat sat on the mat.",
    "A dog and a cat met; the dog barked, the cat did not.",
    "def area(r): return 3.14 * r ** 2",
    "for i in range(10): print(i)",
    "Call me Ishmael.",
    "It was the best of times, it was the worst of times.",
    "Stocks fell on Tuesday as oil prices rose.",
    "naïve café “quoted” — 日本語",
    "the the the the the",
    "x",
]
AIM = ["def f(x): return x + 1", "for x in y: return x", "while x: x = f(x)"]


class Held(Rows):
    """Texts in memory, seen in batches of a size."""

    def __init__(self, texts: list[str], size: int = 3):
        self.texts, self.size = texts, size

    def batch(self, rows: np.ndarray) -> Batch:
        text = Texts.of([self.texts[row] for row in rows])
        return Batch(rows, hash_rows(text.data, text.offsets), {"text": text})

    def reduce(self, part: Callable, merge: Callable) -> Any:
        starts = range(0, len(self), self.size)
        parts = [part(self.batch(np.arange(start, min(start + self.size, len(self))))) for start in starts]
        return functools.reduce(merge, parts)

    def sample(self, k: int) -> Batch:
        whole = self.batch(np.arange(len(self)))
        return self.batch(np.sort(np.argsort(whole.hashes, kind="stable")[:k]))

    def __len__(self) -> int:
        return len(self.texts)


def fit(method: Dsir, pool: list[str], aim: list[str], size: int = 3) -> Fitted:
    return method.fit(Held(pool, size), Held(aim), np.random.default_rng(0))


def score(method: Dsir, fitted: Fitted, texts: list[str]) -> np.ndarray:
    return method.score(fitted, Held(texts).batch(np.arange(len(texts))))


def weights_by_hand(pool: list[str], aim: list[str], smoothing: float, n: int, buckets: int) -> tuple[dict, float]:
    """w for every bucket that anyone reaches, and m."""
    sets = {text: distinct_buckets(text.encode(), n, buckets) for text in pool + aim}
    t = Counter(itertools.chain.from_iterable(sets[text] for text in aim))
    p = Counter(itertools.chain.from_iterable(sets[text] for text in pool + aim))
    share = sum(t.values()) / sum(p.values())
    w = {bucket: math.log((t[bucket] + smoothing) / (p[bucket] * share + smoothing)) for bucket in p}
    return w, sum(p[bucket] * w[bucket] for bucket in p) / sum(p.values())


def prose(kind: str, rng: np.random.Generator, count: int, words: int) -> list[str]:
    """Documents of one kind: Zipf's law over a vocabulary half its own, half everybody's."""
    vocabulary = [f"{kind}{i}" if i % 2 else f"common{i}" for i in range(600)]
    odds = 1 / np.arange(1, 601)
    return [" ".join(rng.choice(vocabulary, rng.poisson(words) + 1, p=odds / odds.sum())) for _ in range(count)]


# --- Closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "buckets", "smoothing"), [(1, 4096, 0.3), (2, 4096, 1.0), (3, 17, 0.1)])
def test_ten_documents_in_plain_python(n: int, buckets: int, smoothing: float) -> None:
    w, m = weights_by_hand(TEN, AIM, smoothing, n, buckets)
    sets = [distinct_buckets(text.encode(), n, buckets) for text in TEN]
    sums, lengths = np.array([sum(w[bucket] for bucket in found) for found in sets]), np.array([len(f) for f in sets])
    expected = {"sum": sums, "mean": sums / lengths, "held_out": (sums - m * lengths) / (lengths + 20)}
    for length, wanted in expected.items():
        method = Dsir(n=n, buckets=buckets, smoothing=smoothing, length=length)  # three documents cannot vote: c = 20
        np.testing.assert_allclose(score(method, fit(method, TEN, AIM), TEN), wanted, rtol=1e-5, atol=1e-6)


def test_a_word_said_again_counts_once() -> None:
    method = Dsir(n=1, smoothing=0.3, length="sum")
    fitted = fit(method, TEN, AIM)
    once, often = score(method, fitted, ["return", "return return\nRETURN return"])
    assert once == often > 0


def test_what_is_rare_says_little() -> None:
    method = Dsir(n=1, smoothing=0.3, length="sum")
    fitted = fit(method, ["common"] * 100 + ["rare"], ["wanted"] * 10)
    common, rare, unseen = score(method, fitted, ["common", "rare", "unheard"])
    assert common < rare < unseen == 0


# --- The held-out choice ----------------------------------------------------------------------------------------------


def ranks_by_hand(pool: list[str], aim: list[str], a: float, c: float) -> np.ndarray:
    """log(r + 1/100) of every held-out document, from the definition."""
    w, m = weights_by_hand(pool, aim, a, 2, Dsir().buckets)
    sets = {text: distinct_buckets(text.encode(), 2, Dsir().buckets) for text in pool + aim}
    t = Counter(itertools.chain.from_iterable(sets[text] for text in aim))
    p = Counter(itertools.chain.from_iterable(sets[text] for text in pool + aim))
    share = sum(t.values()) / sum(p.values())

    def normal(total: float, length: int) -> float:
        return (total - m * length) / (length + c if math.isfinite(c) else 1)

    found = [normal(sum(w[bucket] for bucket in sets[text]), len(sets[text])) for text in pool]
    ranks = []
    for text in aim:
        total = sum(math.log((t[bucket] - 1 + a) / (p[bucket] * share + a)) for bucket in sets[text])
        mine = normal(total, len(sets[text]))
        above = sum(len(other.encode()) for other, theirs in zip(pool, found, strict=True) if theirs >= mine)
        ranks.append(math.log(above / sum(len(text.encode()) for text in pool) + 0.01))
    return np.array(ranks)


def test_the_choice_is_the_best_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    pool = prose("bank", rng, 120, 30) + prose("river", rng, 30, 12)
    aim = prose("river", rng, 12, 12)
    sizes = np.array([len(text.encode()) for text in aim])
    usual = ranks_by_hand(pool, aim, 0.3, 20)
    leads = {}
    for a, c in itertools.product((0.03, 0.1, 0.3, 1.0, 3.0), (10.0, 20.0, 40.0, 80.0, 160.0, 320.0)):
        gains = usual - ranks_by_hand(pool, aim, a, c)
        mean = (gains * sizes).sum() / sizes.sum()
        leads[a, c] = mean - math.sqrt((((gains - mean) * sizes) ** 2).sum()) / sizes.sum()
    notes = fit(Dsir(), pool, aim).notes
    chosen = notes["smoothing"], math.inf if notes["prior_length"] == "infinite" else notes["prior_length"]
    assert leads[chosen] == pytest.approx(max(leads.values()), abs=1e-4)
    ranks = ranks_by_hand(pool, aim, *chosen)
    assert notes["held_out_rank"] == pytest.approx(math.exp((ranks * sizes).sum() / sizes.sum()), rel=1e-3)


def test_one_of_the_two_may_be_set_and_the_other_chosen() -> None:
    rng = np.random.default_rng(4)
    pool, aim = prose("bank", rng, 60, 20) + prose("river", rng, 20, 20), prose("river", rng, 12, 20)
    assert fit(Dsir(smoothing=0.7), pool, aim).notes["smoothing"] == 0.7
    assert fit(Dsir(length="mean"), pool, aim).notes["prior_length"] == 0
    assert fit(Dsir(length="sum"), pool, aim).notes["prior_length"] == "infinite"
    assert fit(Dsir(smoothing=0.7, length="mean"), pool, aim).notes["held_out_rank"] is None


@pytest.mark.parametrize("count", [1, 7, 8, 60, 300])
def test_targets_of_any_size_find_their_kind(count: int) -> None:
    rng = np.random.default_rng(count)
    pool = prose("bank", rng, 300, 40) + prose("river", rng, 100, 40)
    method = Dsir()
    found = score(method, fit(method, pool, prose("river", rng, count, 40)), pool)
    best = np.argsort(-found)[:50]
    assert (best >= 300).mean() >= (0.9 if count > 1 else 0.6)


def test_short_scraps_do_not_win() -> None:
    rng = np.random.default_rng(9)
    scraps = ["river1", "common2", "river1 river3", "a", "!", "common0 river1"]
    pool = prose("bank", rng, 200, 60) + prose("river", rng, 60, 60) + scraps
    method = Dsir()
    best = np.argsort(-score(method, fit(method, pool, prose("river", rng, 30, 60)), pool))[:30]
    assert (best < 260).all() and (best >= 200).all()


# --- Invariances ------------------------------------------------------------------------------------------------------


def test_neither_order_nor_cutting_of_the_pool_changes_a_weight() -> None:
    rng = np.random.default_rng(5)
    pool, aim = prose("bank", rng, 90, 20) + prose("river", rng, 30, 20), prose("river", rng, 15, 20)
    method = Dsir(buckets=5000, sample=100)
    one = fit(method, pool, aim)
    for other in (fit(method, pool, aim, size=1), fit(method, pool[::-1], aim), fit(method, pool, aim[::-1], size=50)):
        assert np.array_equal(one.arrays["weights"], other.arrays["weights"])
        assert np.array_equal(one.arrays["length"], other.arrays["length"])


def test_scores_do_not_depend_on_company() -> None:
    method = Dsir(smoothing=0.3)
    fitted = fit(method, TEN, AIM)
    whole = score(method, fitted, TEN)
    assert np.array_equal(np.concatenate([score(method, fitted, [text]) for text in TEN]), whole)
    assert np.array_equal(score(method, fitted, TEN[::-1]), whole[::-1])


def test_text_without_a_token_has_no_score_and_odd_text_has_one() -> None:
    rng = np.random.default_rng(6)
    odd = ["", " \n\t", "\x00", "🙂", "a" * 100_000, "é", "word " * 50_000, "\u2028"]
    pool = prose("bank", rng, 40, 20) + odd
    for length in ("held_out", "mean", "sum"):
        method = Dsir(length=length)
        found = score(method, fit(method, pool, [*prose("river", rng, 20, 20), "", "x" * 20_000]), odd)
        assert np.isnan(found[:2]).all() and np.isfinite(found[2:]).all()


def test_explain_names_what_pulls() -> None:
    method = Dsir()
    fitted = fit(method, TEN, AIM)
    pulls = method.explain(fitted, Texts.of(["RETURN  x\nreturn x", "The cat: return x"]), 50)
    sizes = [abs(pull) for _, pull in pulls]
    assert sizes == sorted(sizes, reverse=True) and len(pulls) == len(dict(pulls))
    by_name = dict(pulls)
    assert by_name["return"] > 0 > by_name["cat"] and "return x" in by_name
    weight = {gram: pull for gram, pull in method.explain(fitted, Texts.of(["return"]), 5)}
    assert by_name["return"] == pytest.approx(2 * weight["return"])
    assert len(method.explain(fitted, Texts.of(TEN), 3)) == 3


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 0), ("n", 9), ("buckets", 1), ("buckets", 1 << 29), ("smoothing", -1.0), ("smoothing", math.nan),
     ("smoothing", math.inf), ("sample", 10), ("length", "median")],
)  # fmt: skip
def test_every_parameter_is_validated(name: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=f"dsir: {name} must be .*; got "):
        Dsir(**{name: value})


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="needs a target"):
        Dsir().fit(Held(TEN), None, np.random.default_rng(0))
    with pytest.raises(InputError, match="needs a target with at least one word"):
        fit(Dsir(), TEN, [" ", ""])
    with pytest.raises(InputError, match="needs a pool with at least one word"):
        fit(Dsir(), ["", "\n"], AIM)
