"""The whole proof on small text: a planted choice, its facts, its sentence, and a judge with another mind."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
import pytest

from assay.errors import InputError, RecipeError, RunError
from assay.kernels.hashing import hash_rows
from assay.models.ngram import NGramConfig
from assay.types import Sequences, Texts
from assay.verify.arms import Frame, Plan, Trial, draft, plan, settle
from assay.verify.judge import (
    Bits,
    Course,
    EvalSet,
    Gathered,
    Held,
    Judge,
    NGramJudge,
    Probe,
    Reading,
    Result,
    proxy,
    run,
    tasks,
)
from assay.verify.multiplier import Multiplier
from assay.verify.verdict import Paid, Question, verdict
from assay.verify.words import sentence, worth

RNG = np.random.default_rng(3)
TARGET, OTHER = (["".join(RNG.choice(list("abcdefgh"), 5)) for _ in range(200)] for _ in range(2))


def _texts(words: list[str], count: int) -> list[str]:
    return [" ".join(RNG.choice(words, 30)) for _ in range(count)]


POOL = Texts.of(_texts(TARGET, 40) + _texts(OTHER, 360))
HELD = Held.of("target.jsonl", Texts.of(_texts(TARGET, 20)))
GENERAL = Held.of("general.jsonl", Texts.of(_texts(OTHER, 20)))
FRAME = Frame.of(POOL.sizes, hash_rows(POOL.data, POOL.offsets), np.ones(len(POOL), bool))
TRIAL = Trial(seeds=4, units=50_000, curve=50_000)
JUDGE = NGramJudge(NGramConfig(order=4))


SOURCE = Gathered(np.arange(len(POOL)), Sequences(POOL.data, POOL.offsets))


def _proof(
    choice: np.ndarray,
    question: Question,
    reference: np.ndarray | None = None,
    judge: Judge = JUDGE,
    trial: Trial = TRIAL,
) -> dict[str, Any]:
    fixed = {"choice": choice} if reference is None else {"choice": choice, "reference": reference}
    laid = plan(fixed, FRAME, trial)
    asked = [held.probe for held in question.sets]
    results = [one for task in tasks(laid, judge, SOURCE, asked) for one in run(pickle.loads(pickle.dumps(task)))]
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

    unit: ClassVar[Literal["bytes", "tokens"]] = "bytes"

    def encode(self, texts: Texts) -> Sequences:
        return Sequences(texts.data, texts.offsets)

    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        counts = sum((np.bincount(block.data, minlength=256) for block in course.blocks()), np.ones(256))
        cost = -np.log2(counts / counts.sum()) + np.random.default_rng(course.seed).normal(0, 0.01)
        return (tuple(np.add.reduceat(cost[p.texts.data], p.texts.offsets[:-1]) for p in probes),)

    def described(self) -> dict[str, Any]:
        return {}


def test_any_judge_fits_the_same_protocol() -> None:
    found = _proof(np.arange(40), Question(HELD, selector="dsir", selector_features=("n-grams",)), judge=Unigrams())
    assert found["judge"]["name"] == "unigrams" and not found["shares_features"]


@final
@dataclass(frozen=True)
class Seeded(Judge):
    """The same with initial weights: what a seed does is large, and the same for every arm."""

    name: ClassVar[str] = "seeded"
    features: ClassVar[tuple[str, ...]] = ("bytes",)
    unit: ClassVar[Literal["bytes", "tokens"]] = "tokens"
    seeded: ClassVar[bool] = True
    shared: bool = True

    @property
    def step(self) -> int:
        return 64

    def encode(self, texts: Texts) -> Sequences:
        return Sequences(texts.data, texts.offsets)

    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        seed = [course.seed] if self.shared else [course.seed, ord(course.arms[0].name[0])]
        luck = np.random.default_rng(seed).normal(5, 1)
        counts = sum((np.bincount(block.data, minlength=256) for block in course.blocks()), np.ones(256))
        cost = -np.log2(counts / counts.sum()) + luck
        return (tuple(np.add.reduceat(cost[p.texts.data], p.texts.offsets[:-1]) for p in probes),)

    def described(self) -> dict[str, Any]:
        return {"parameters": 330_000}


LETTERS = Texts.of(_texts(["abab", "bcbc"], 40) + _texts(["xyxy", "yzyz"], 360))
SIMPLE = Frame.of(LETTERS.sizes, hash_rows(LETTERS.data, LETTERS.offsets), np.ones(len(LETTERS), bool))


def _seeded(judge: Judge, trial: Trial, question: Question, paid: Paid | None = None) -> dict[str, Any]:
    source = Gathered(np.arange(len(LETTERS)), Sequences(LETTERS.data, LETTERS.offsets))
    drafted = draft({"choice": np.arange(120), "run a": np.arange(300, 400)}, SIMPLE, trial, seeded=judge.seeded)
    laid = settle(drafted, SIMPLE.sizes, trial, judge.step)
    asked = [held.probe for held in question.sets]
    results = [one for task in tasks(laid, judge, source, asked) for one in run(task)]
    return verdict(laid, results, trial, judge, question, paid)


ASKED = Question(Held.of("target.jsonl", Texts.of(_texts(["abab", "bcbc"], 20))))
SEEDS = Trial(seeds=3, units=8_000, curve=40_000, rivals=("length", "rs2"), epochs=2)


@pytest.fixture(scope="module")
def seeded() -> dict[str, Any]:
    return _seeded(Seeded(), SEEDS, ASKED, Paid(3.5, 7_900))


def test_a_seeded_judge_is_paired_by_seed(seeded: dict[str, Any]) -> None:
    names = [arm["name"] for arm in seeded["arms"]]
    assert [names.count(name) for name in ("choice", "run a", "length", "rs2", "random")] == [3] * 5
    assert seeded["answer"] == "better" and seeded["multiplier"]["low"] is not None
    apart = _seeded(Seeded(shared=False), SEEDS, ASKED)
    width = [one["difference"]["high"] - one["difference"]["low"] for one in (seeded, apart)]
    assert width[0] < width[1] / 3  # initial weights that arms do not share do not leave the difference


def test_the_choice_is_compared_with_every_arm(seeded: dict[str, Any]) -> None:
    found = {one["against"]: one for one in seeded["comparisons"]}
    assert set(found) == {"random", "run a", "length", "rs2"} and found["random"]["main"]
    assert found["random"]["difference"] == seeded["difference"] and found["random"]["p"] == seeded["p"]
    assert found["run a"]["answer"] == "better" and found["run a"]["difference"]["estimate"] > 0
    assert all(one["p_adjusted"] >= one["p"] for one in found.values())
    assert "(corrected for 3 comparisons)" in seeded["sentence"]


def test_budgets_are_in_units_and_the_scope_is_said(seeded: dict[str, Any]) -> None:
    budget = seeded["budget"]
    assert budget["unit"] == "tokens" and budget["units"] == budget["tokens"] and budget["units"] % 64 == 0
    assert budget["bytes"] == 7_900 and budget["epochs"] == 2 and budget["steps"] == budget["units"] // 32
    assert {one["unit"] for one in (*seeded["arms"], *seeded["curve"])} == {"tokens"}
    said = f"Scope: seeded (0.33 M parameters), {budget['units'] / 1000:.1f} k tokens per arm, 3 seeds, 2 epochs, "
    assert seeded["sentence"].endswith(f"{said}20 documents of target.jsonl.")
    assert f"at the same {budget['units'] / 1000:.1f} k tokens" in seeded["sentence"]


def test_the_cost_of_selecting_is_charged(seeded: dict[str, Any]) -> None:
    found = seeded["time_to_quality"]
    assert found["selecting_seconds"] == 3.5 and found["seconds"] > 3.5 and found["random_seconds"] > 0
    assert _seeded(Seeded(), replace(SEEDS, rivals=(), epochs=1), ASKED)["time_to_quality"] is None


def test_json_holds_every_part(seeded: dict[str, Any]) -> None:
    assert json.loads(json.dumps(seeded, allow_nan=False)) == seeded
    law = seeded["multiplier_power_law"]
    assert {"estimate", "low", "high", "censored", "law"} == set(law)


@final
@dataclass(frozen=True)
class Guesses(EvalSet):
    """Items of which the second half is always wrong, the first wrong where a text costs more than `limit` bits a byte."""

    path: str
    documents: Texts
    limit: float

    @property
    def probe(self) -> Probe:
        return Probe(self.documents)

    def reads(self, bits: Bits) -> dict[str, Reading]:
        wrong = (bits / self.documents.sizes > self.limit).astype(float)
        wrong[len(wrong) // 2 :] = 1
        ones = np.ones(len(wrong), np.int64)
        return {"error": (wrong, ones), "bits_per_byte": (bits, self.documents.sizes)}

    def measures(self, bits: Bits) -> dict[str, float]:
        return {"accuracy": 1 - float(self.reads(bits)["error"][0].mean())}

    def described(self) -> dict[str, Any]:
        return {"name": self.path.removesuffix(".jsonl"), "path": self.path, "items": len(self.documents)}


def test_tasks_are_judged_by_their_first_metric_and_corrected_together() -> None:
    items = Texts.of(_texts(TARGET, 40))
    bits = NGramJudge(NGramConfig(order=4))
    sets = Guesses("easy.jsonl", items, 2.3), Guesses("never.jsonl", items, -1.0)
    found = _proof(np.arange(40), Question(HELD, GENERAL, tasks=sets), judge=bits)
    easy, never = found["tasks"]
    assert (easy["name"], easy["metric"], easy["items"]) == ("easy", "error", 40)
    assert set(easy["metrics"]) == {"error", "bits_per_byte"}
    error = easy["metrics"]["error"]
    assert error["reference"] - error["choice"] == pytest.approx(error["difference"]["estimate"])
    assert error["choice"] >= 0.5 and easy["metrics"]["bits_per_byte"]["answer"] == "better"
    assert never["answer"] == "undecided" and never["metrics"]["error"]["difference"]["estimate"] == 0
    assert easy["p_adjusted"] == min(1.0, 2 * error["p"])
    assert found["arms"][0]["tasks"]["easy"] == {"accuracy": pytest.approx(1 - error["choice"])}
    assert "(corrected for 2 tasks)" in found["sentence"] and found["general"] is not None


def test_accuracy_alone_can_decide() -> None:
    asked = Question(Guesses("easy.jsonl", Texts.of(_texts(TARGET, 40)), 2.3))
    found = _proof(np.arange(40), asked)
    assert found["metric"] == "error" and " wrong answers per item against " in found["sentence"]
    assert "40 items of easy.jsonl" in found["sentence"]
    assert found["difference"]["estimate"] > 0


def test_an_undecided_verdict_says_what_would_settle_it() -> None:
    found = _proof(np.random.default_rng(1).permutation(400)[:40], Question(HELD))
    assert found["answer"] == "undecided"
    wanted = (
        "seeds would settle it." if found["seeds_to_settle"] else "because a choice is one draw; more held-out text"
    )
    assert wanted in found["sentence"]
    assert "settle" not in _proof(np.arange(40), Question(HELD))["sentence"]


def test_a_missing_trial_is_a_sentence() -> None:
    laid: Plan = plan({"choice": np.arange(40)}, FRAME, TRIAL)
    results: list[Result] = [one for task in tasks(laid, JUDGE, SOURCE, [HELD.probe]) for one in run(task)]
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
