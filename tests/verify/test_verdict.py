"""The whole proof on small text: a planted choice, its facts, its sentence, and a judge with another mind."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

from assay.errors import InputError, RecipeError, RunError
from assay.kernels.hashing import hash_rows
from assay.models.ngram import NGramConfig
from assay.types import Texts
from assay.verify.arms import Frame, Plan, Trial, plan
from assay.verify.judge import Bits, Gathered, Held, Judge, NGramJudge, Result, proxy, run, tasks
from assay.verify.multiplier import Multiplier
from assay.verify.verdict import Question, sentence, verdict, worth

RNG = np.random.default_rng(3)
TARGET, OTHER = (["".join(RNG.choice(list("abcdefgh"), 5)) for _ in range(200)] for _ in range(2))


def _texts(words: list[str], count: int) -> list[str]:
    return [" ".join(RNG.choice(words, 30)) for _ in range(count)]


POOL = Texts.of(_texts(TARGET, 40) + _texts(OTHER, 360))
HELD = Held.of("target.jsonl", Texts.of(_texts(TARGET, 20)))
GENERAL = Held.of("general.jsonl", Texts.of(_texts(OTHER, 20)))
FRAME = Frame.of(POOL.sizes, hash_rows(POOL.data, POOL.offsets), np.ones(len(POOL), bool))
TRIAL = Trial(seeds=4, trial_bytes=50_000, curve_bytes=50_000)
JUDGE = NGramJudge(NGramConfig(order=4))


SOURCE = Gathered(np.arange(len(POOL)), POOL)


def _proof(
    choice: np.ndarray,
    question: Question,
    reference: np.ndarray | None = None,
    judge: Judge = JUDGE,
    trial: Trial = TRIAL,
) -> dict[str, Any]:
    fixed = {"choice": choice} if reference is None else {"choice": choice, "reference": reference}
    laid = plan(fixed, FRAME, trial)
    results = [run(pickle.loads(pickle.dumps(task))) for task in tasks(laid, judge, SOURCE, question.sets)]
    return verdict(laid, results, trial, judge, question)


def test_an_oracle_is_better_and_an_anti_oracle_is_not() -> None:
    question = Question(HELD, GENERAL, selector="dsir", selector_features=("n-grams",))
    found = _proof(np.arange(40), question)
    assert found["answer"] == "better" and found["p_better"] > 0.99
    assert found["multiplier"]["low"] > 1 and found["difference"]["low"] > 0
    assert found["general"]["difference"]["estimate"] < 0
    assert found["sentence"].startswith("better: the choice reaches ")
    assert found["sentence"].endswith("Note: the selector (dsir) and the judge (ngram) both look at n-grams.")
    assert _proof(np.arange(200, 240), question)["difference"]["estimate"] < 0


def test_the_facts_are_all_there_and_are_json() -> None:
    found = json.loads(json.dumps(_proof(np.arange(40), Question(HELD))))
    wanted = "answer sentence p_better level difference multiplier metric budget arms curve judge shares_features eval"
    assert {*wanted.split(), "general"} <= set(found)
    assert [arm["name"] for arm in found["arms"]] == ["choice"] + ["random"] * 4 + ["pool"]
    assert len({arm["bytes"] for arm in found["arms"][:-1]}) == 1
    assert len(found["curve"]) == 4 * len({point["bytes"] for point in found["curve"]})
    assert found["general"] is None and found["shares_features"] is False and "Note" not in found["sentence"]


def test_another_choice_can_be_the_arm_to_beat() -> None:
    found = _proof(np.arange(40), Question(HELD, against="reference"), reference=np.arange(200, 240))
    assert found["answer"] == "better" and " for reference at the same " in found["sentence"]


def test_the_whole_pool_as_choice_is_undecided() -> None:
    found = _proof(np.arange(400), Question(HELD), trial=Trial(seeds=3))
    assert (found["answer"], found["p_better"]) == ("undecided", 0.5)
    assert found["multiplier"]["estimate"] == 1


@final
@dataclass(frozen=True)
class Unigrams(Judge):
    """A judge of another kind: bytes by their frequency, with a seeded wobble as a neural proxy would have."""

    name: ClassVar[str] = "unigrams"
    features: ClassVar[tuple[str, ...]] = ("bytes",)

    def measure(self, texts: Iterable[Texts], seed: int, evals: tuple[Texts, ...]) -> tuple[Bits, ...]:
        counts = sum((np.bincount(block.data, minlength=256) for block in texts), np.ones(256))
        cost = -np.log2(counts / counts.sum()) + np.random.default_rng(seed).normal(0, 0.01)
        return tuple(np.add.reduceat(cost[documents.data], documents.offsets[:-1]) for documents in evals)

    def described(self) -> dict[str, Any]:
        return {}


def test_any_judge_fits_the_same_protocol() -> None:
    found = _proof(np.arange(40), Question(HELD, selector="dsir", selector_features=("n-grams",)), judge=Unigrams())
    assert found["judge"]["name"] == "unigrams" and not found["shares_features"]


def test_a_missing_trial_is_a_sentence() -> None:
    laid: Plan = plan({"choice": np.arange(40)}, FRAME, TRIAL)
    results: list[Result] = [run(task) for task in tasks(laid, JUDGE, SOURCE, [HELD])]
    with pytest.raises(RunError, match="missing: pool"):
        verdict(laid, [one for one in results if one.name != "pool"], TRIAL, JUDGE, Question(HELD))


METRICS = (("choice", 2.31), ("random", 2.55), ("random", 2.61))


def test_the_sentence_reads_as_promised() -> None:
    facts = {
        "answer": "better", "against": "random", "level": 0.05, "p_better": 0.9999,
        "difference": {"estimate": 0.27, "low": 0.21, "high": 0.33}, "budget": {"bytes": 1_200_000},
        "multiplier": {"estimate": 4.1, "low": 3.2, "high": 5.0, "censored": False}, "general": None, "curve": [],
        "arms": [{"name": name, "metric": value} for name, value in METRICS],
        "selector": {"name": "dsir"}, "judge": {"name": "ngram"},
    }  # fmt: skip
    assert sentence(facts, ["n-grams"]) == (
        "better: the choice reaches 2.310 bits per byte against 2.580 (2.550 to 2.610 over 2 draws) for random at the "
        "same 1.2 MB, 95 % interval of the difference 0.210 to 0.330, probability of being better > 0.99; worth 4.1 "
        "(3.2 to 5) times as much random text. Note: the selector (dsir) and the judge (ngram) both look at n-grams."
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Multiplier(None, 16.0, None, True), "worth at least 16 times"),
        (Multiplier(None, None, 0.125, True), "worth at most 0.12 times"),
        (Multiplier(4.0, 2.0, None, False), "worth 4 (at least 2) times"),
        (Multiplier(None, None, None, True), "cannot be told"),
    ],
)
def test_bounds_in_words(found: Multiplier, words: str) -> None:
    assert words in worth(found)


def test_eval_set_without_documents_and_unknown_proxy_are_sentences() -> None:
    with pytest.raises(InputError, match="at least 2 documents with text; got 1"):
        Held.of("e.jsonl", Texts.of(["one", ""]))
    with pytest.raises(RecipeError, match="did you mean 'ngram'"):
        proxy("ngrams")


def test_fingerprint_follows_content_and_order() -> None:
    marks = {Held.of("e", Texts.of(one)).fingerprint for one in (["a", "b"], ["b", "a"], ["a", "c"], ["ab", "c"])}
    assert len(marks) == 4
