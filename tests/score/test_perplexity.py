"""Perplexity against the model that it trains, and CCNet's buckets against percentiles counted by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.expressions import evaluate
from assay.kernels.hashing import hash_rows
from assay.models.ngram import NGramConfig, train
from assay.score.perplexity import Perplexity, _within
from assay.types import Batch, Texts
from assay.verify.judge import proxy

ROOT = Path(__file__).parent.parent.parent
LICENCE = (ROOT / "LICENSE").read_text("utf-8").split("\n\n")
POOL = [*LICENCE[20:], "the quick brown fox", "0101101010", "日本語の文章。", "", "x" * 400]


def batch(texts: list[str]) -> Batch:
    block = Texts.of(texts)
    return Batch(np.arange(len(texts)), hash_rows(block.data, block.offsets), {"text": block})


@dataclass(frozen=True)
class Few(Rows):
    texts: tuple[str, ...]

    def reduce(self, part: Any, merge: Any) -> Any:
        return part(batch(list(self.texts)))

    def sample(self, k: int) -> Batch:
        whole = batch(list(self.texts))
        rows = np.sort(np.argsort(whole.hashes)[:k])
        return Batch(rows, whole.hashes[rows], {"text": whole.text.take(rows)})

    def __len__(self) -> int:
        return len(self.texts)


def scores(scorer: Perplexity, target: list[str], pool: list[str] = POOL) -> np.ndarray:
    fitted = scorer.fit(Few(tuple(pool)), Few(tuple(target)), np.random.default_rng(0))
    return scorer.score(fitted, batch(pool))


@pytest.mark.parametrize("order", [1, 3, 6, 8])
def test_score_is_minus_bits_a_symbol_of_the_judges_model(order: int) -> None:
    model = train([Texts.of(LICENCE[:20])], NGramConfig(order))
    pool = Texts.of(POOL)
    expected = -model.bits(pool) / (pool.sizes + 1)
    np.testing.assert_allclose(scores(Perplexity(order), LICENCE[:20]), expected, rtol=1e-6)


def test_text_like_the_reference_ranks_first() -> None:
    found = scores(Perplexity(), LICENCE[:20])
    licence = found[: len(LICENCE) - 20][Texts.of(LICENCE[20:]).sizes > 100]
    assert np.median(licence) > -3 > -8 > found[POOL.index("日本語の文章。")]


def test_it_shares_its_features_with_the_judge_that_is_built_like_it() -> None:
    assert set(Perplexity.features) & set(proxy("ngram").features)


def test_ccnet_buckets_are_percentiles_of_perplexity() -> None:
    """The expressions of the docstring against cuts at the 30th and 60th of 100 sorted perplexities."""
    chance = np.random.default_rng(3)
    perplexity = chance.permutation(np.arange(1, 102)).astype(float)
    signals = {"perplexity": -np.log2(perplexity)}
    low, high = np.percentile(perplexity, 30), np.percentile(perplexity, 60)
    essay = (ROOT / "src/assay/score/perplexity.py").read_text("utf-8")
    for name, expected in {
        "head": perplexity < low,
        "middle": (perplexity >= low) & (perplexity < high),
        "tail": perplexity >= high,
        "centre": (perplexity >= np.percentile(perplexity, 25)) & (perplexity < np.percentile(perplexity, 75)),
    }.items():
        (expression,) = (line.split('"')[1] for line in essay.splitlines() if line.startswith(f"    {name} "))
        assert np.array_equal(np.asarray(evaluate(expression, signals), bool), expected), name


def test_a_long_target_is_cut_by_content_not_by_place() -> None:
    texts = [f"document number {number} " * (number % 7 + 1) for number in range(60)]
    kept = _within(batch(texts), 2000)
    turned = _within(batch(texts[::-1]), 2000)
    assert 0 < kept.sizes.sum() <= 2000 and sorted(kept) == sorted(turned)


def test_refusals() -> None:
    with pytest.raises(RecipeError, match="order must be from 1 to 8; got 9"):
        Perplexity(order=9)
    with pytest.raises(InputError, match="needs a target"):
        Perplexity().fit(Few(("a",)), None, np.random.default_rng(0))
    with pytest.raises(InputError, match="target with text"):
        Perplexity().fit(Few(("a",)), Few(("", "")), np.random.default_rng(0))
