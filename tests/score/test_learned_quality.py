"""What is peculiar to the learned scorers: which side is which, what they need, and the word-list filter's reasons."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from assay import catalog
from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.filter.word_list import WordList as WordListFilter
from assay.io.word_lists import WordList
from assay.kernels.hashing import hash_rows
from assay.score.distill_ratings import DistillRatings
from assay.score.quality_classifier import QualityClassifier
from assay.score.toxicity import Toxicity
from assay.types import Batch, Texts


class Held(Rows):
    """Rows in memory, reduced three at a time."""

    def __init__(self, texts: list[str], **numbers: Any) -> None:
        block = Texts.of(texts)
        columns = {name: np.asarray(values, np.float64) for name, values in numbers.items()}
        self.batch = Batch(np.arange(len(texts)), hash_rows(block.data, block.offsets), {"text": block, **columns})

    def take(self, rows: np.ndarray) -> Batch:
        columns = {
            name: column.take(rows) if isinstance(column, Texts) else column[rows]
            for name, column in self.batch.columns.items()
        }
        return Batch(self.batch.rows[rows], self.batch.hashes[rows], columns)

    def reduce(self, part: Callable, merge: Callable) -> Any:
        part = pickle.loads(pickle.dumps(part))
        starts = range(0, len(self), 3)
        return functools.reduce(merge, [part(self.take(np.arange(at, min(at + 3, len(self))))) for at in starts])

    def sample(self, k: int) -> Batch:
        return self.take(np.sort(np.argsort(self.batch.hashes, kind="stable")[:k]))

    def __len__(self) -> int:
        return len(self.batch)


def said(words: str, count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(words.split(), 8)) for _ in range(count)]


KIND = "please thank you kindly the of and garden letter"
RUDE = "idiot shut up trash the of and moron letter"


def test_quality_is_high_for_what_is_like_the_good_and_toxicity_for_what_is_like_the_bad():
    kind, rude = Held(said(KIND, 80, 0)), Held(said(RUDE, 80, 1))
    asked = Held(["thank you kindly", "shut up moron", "", "never heard words"]).batch
    quality, toxicity = QualityClassifier(), Toxicity()
    good = quality.score(quality.fit(rude, kind, np.random.default_rng(0)), asked)
    bad = toxicity.score(toxicity.fit(kind, rude, np.random.default_rng(0)), asked)
    assert good[0] > 0.8 and good[1] < 0.2 and bad[0] < 0.2 and bad[1] > 0.8
    assert np.isnan(good[2]) and np.isnan(bad[2])
    assert 0.2 < good[3] < 0.8  # no word of it was seen: neither


def test_notes_name_the_classes_and_explanations_their_words():
    kind, rude = Held(said(KIND, 80, 0)), Held(said(RUDE, 80, 1))
    scorer = QualityClassifier(word_ngrams=1)
    fitted = scorer.fit(rude, kind, np.random.default_rng(0))
    assert (fitted.notes["good"], fitted.notes["bad"]) == (80, 80) and fitted.notes["auc"] > 0.95
    pulls = dict(scorer.explain(fitted, Texts.of(["thank you kindly, moron"]), 4))
    assert pulls["thank"] > 0 > pulls["moron"]
    notes = Toxicity().fit(kind, rude, np.random.default_rng(0)).notes
    assert (notes["toxic"], notes["harmless"]) == (80, 80)


def test_good_documents_that_lie_in_the_pool_are_not_bad_examples():
    kind = said(KIND, 60, 0)
    pool = Held([*said(RUDE, 60, 1), *kind])
    notes = QualityClassifier().fit(pool, Held(kind), np.random.default_rng(0)).notes
    assert (notes["good"], notes["bad"]) == (60, 60)
    with pytest.raises(InputError, match="--good"):
        QualityClassifier().fit(pool, None, np.random.default_rng(0))
    with pytest.raises(InputError, match="target = FILE"):
        Toxicity().fit(pool, None, np.random.default_rng(0))


def test_ratings_come_from_the_target_or_from_the_rated_rows_of_the_pool():
    kind, rude = said(KIND, 60, 0), said(RUDE, 60, 1)
    texts, ratings = [*kind, *rude, *said(KIND + " " + RUDE, 30, 2)], [5.0] * 60 + [1.0] * 60 + [np.nan] * 30
    scorer = DistillRatings(rating="edu")
    assert scorer.needs == ("text", "edu")
    pool = Held(texts, edu=ratings)
    fitted = scorer.fit(pool, None, np.random.default_rng(0))
    assert fitted.notes["rated"] == 120 and fitted.notes["histogram"] == [[1.0, 60], [5.0, 60]]
    assert fitted.notes["rank_correlation"] > 0.8 and fitted.notes["mean_absolute_error"] < 1
    guesses = scorer.score(fitted, pool.batch)
    assert guesses[:60].mean() > 4.5 and guesses[60:120].mean() < 1.5 and ((guesses >= 1) & (guesses <= 5)).all()
    target = Held(texts[:120], edu=ratings[:120])
    unrated = Held(texts, edu=[np.nan] * 150)
    same = scorer.fit(unrated, target, np.random.default_rng(0))
    assert np.array_equal(scorer.score(same, pool.batch), guesses)
    with pytest.raises(InputError, match="'edu'; got none"):
        scorer.fit(unrated, None, np.random.default_rng(0))
    with pytest.raises(RecipeError, match="name the field"):
        DistillRatings(rating="text")


def test_the_sample_of_rated_rows_follows_content():
    texts = said(KIND + " " + RUDE, 200, 3)
    ratings, order = np.random.default_rng(0).normal(size=200), np.random.default_rng(1).permutation(200)
    scorer = DistillRatings(examples=50, word_ngrams=1)
    one = scorer.fit(Held(texts, rating=ratings), None, np.random.default_rng(0))
    turned = Held([texts[row] for row in order], rating=ratings[order])
    two = scorer.fit(turned, None, np.random.default_rng(0))
    assert one.notes["rated"] == 50 and np.array_equal(one.arrays["weights"], two.arrays["weights"])


def test_rounding_as_fineweb_edu_does_is_the_threshold_that_the_method_names():
    values = np.linspace(0, 5, 2001)
    assert np.array_equal(np.round(values) >= 3, values > 2.5)  # halves to even: 2.5 becomes 2


def test_the_word_list_filter_drops_by_count_or_by_share_and_says_which_word():
    listed = WordList.of(["moron", "shut up"])
    batch = Held(["Shut up, MORON!", "a moron among the very many others here", "kind words", "!"]).batch
    annotator = catalog.build("annotate", "word_list", {"words": "bad.txt"})
    columns = annotator.annotate(batch, {"words": listed})
    assert columns["listed_words"].tolist() == [2, 1, 0, 0]
    np.testing.assert_allclose(columns["listed_share"], [2 / 3, 1 / 8, 0, np.nan])
    (rule,) = WordListFilter("bad.txt").rules
    assert rule.broken(columns).tolist() == [True, True, False, False] and rule.told == "listed"
    assert list(columns["listed"])[:2] == ["listed word 'shut up'", "listed word 'moron'"]
    (rule,) = WordListFilter("bad.txt", at_most=float("inf"), at_most_share=0.2).rules
    assert rule.broken(columns).tolist() == [True, False, False, False]
    assert len(WordListFilter("bad.txt", at_most=1, at_most_share=0.2).rules) == 2
    assert WordListFilter("bad.txt").measured == (("word_list", {"words": "bad.txt"}),)
    with pytest.raises(RecipeError, match="at_most must be 0 or more"):
        WordListFilter("bad.txt", at_most=-1)
    with pytest.raises(RecipeError, match="words must name"):
        catalog.build("annotate", "word_list", {"words": ""})
