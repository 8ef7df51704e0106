"""Instruction-following difficulty: both ratios and both readings of a response alone against plain logits; who is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from command import assay, done, jsonl, manifest, ranked
from tests.annotate.test_color_filter import Few, batch

from assay.annotate.ifd import Ifd, ratio
from assay.errors import InputError, RecipeError
from assay.models import dialogue, losses
from assay.models.dialogue import Turn, marked
from assay.models.language import language_of, torch_module
from assay.types import Fitted, Signals, Texts

QUESTIONS = [f"What is {one} plus {two}?" for one in range(2, 40, 3) for two in range(3, 30, 7)]
SUMS = [one + two for one in range(2, 40, 3) for two in range(3, 30, 7)]
ANSWERS = [f"The sum of these two numbers is {total}." for total in SUMS]
PLAIN = marked([Turn("user", "Say it.")])


def asked(question: str, answer: str) -> str:
    return marked([Turn("user", question), Turn("assistant", answer)])


ROWS = [asked(question, answer) for question, answer in zip(QUESTIONS, ANSWERS, strict=True)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of width 16 that reads 48 tokens with our tokenizer, its random weights large so that losses differ much."""
    folder = tmp_path_factory.mktemp("tiny")
    config = transformers.LlamaConfig(
        vocab_size=2048, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=48, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(5)
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(8)
    model.save_pretrained(folder)
    language = language_of("lm-nano")
    transformers.PreTrainedTokenizerFast(tokenizer_file=language.tokenizer, eos_token="<|end|>").save_pretrained(folder)
    return str(folder)


def columns(method: Ifd, texts: list[str], found: Fitted | None = None) -> dict[str, np.ndarray]:
    models: dict[str, Any] = {"fitted": Fitted({}) if found is None else found}
    return method.annotate(batch(texts), {**models, "prepared": method.prepare(models)})


def learnt(method: Ifd, texts: list[str]) -> Fitted:
    return method.learn(Few(tuple(texts)), None, Signals({}), None, np.random.default_rng(3))


def loss(folder: str, before: str, response: str, skipped: int = 0, most: int | None = None) -> tuple[float, int]:
    """Summed nats of a response's tokens but for the first few, by one pass of the module, and how many they are."""
    language = language_of(folder)
    ids = [language.encode(Texts.of([text]), ends=False).data.tolist() for text in (before, response)]
    ids[1] = ids[1][:most]
    model = torch_module("causal_model").Causal.of(language.config, 0).module
    with torch.inference_mode():
        said = torch.log_softmax(model(torch.tensor([[0, *ids[0], *ids[1]]])).logits[0].double(), 1)
    places = range(len(ids[0]) + skipped, len(ids[0]) + len(ids[1]))
    return -sum(float(said[place, (ids[0] + ids[1])[place]]) for place in places), len(places)


# --- The formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", ["cherry", "superfiltering"])
def test_losses_and_both_ratios_are_the_modules_own(tiny: str, direct: str) -> None:
    """Also where the answer stands in the prompt as well, and where it is a piece of it: it is found by its place."""
    pairs = [*zip(QUESTIONS[:5], ANSWERS[:5], strict=True), ("Repeat: yes yes", "yes yes"), ("a b", "a")]
    method = Ifd(model=tiny, direct=direct, experience=0)
    found = columns(method, [asked(*pair) for pair in pairs])
    for place, (question, answer) in enumerate(pairs):
        total, count = loss(tiny, f"User:\n{question}\n\nAssistant:\n", answer)
        alone, others = loss(tiny, "Assistant:\n", answer) if direct == "cherry" else loss(tiny, "", answer, 1)
        assert count - others == (direct == "superfiltering")
        if not others:
            assert np.isnan(found["ifd"][place])  # one token, and nothing to foretell it from
            continue
        assert found["ifd_conditioned"][place] == pytest.approx(total / count, rel=1e-5)
        assert found["ifd_direct"][place] == pytest.approx(alone / others, rel=1e-5)
        assert found["ifd"][place] == pytest.approx((total / count) / (alone / others), rel=1e-5)


def test_the_ratio_of_perplexities_is_the_exponential_of_the_difference(tiny: str) -> None:
    variants = ("loss_ratio", "perplexity_ratio")
    shares, perplexities = (columns(Ifd(model=tiny, variant=name, experience=0), ROWS[:12]) for name in variants)
    conditioned, direct = shares["ifd_conditioned"], shares["ifd_direct"]
    assert np.array_equal(conditioned, perplexities["ifd_conditioned"]) and np.array_equal(
        direct, perplexities["ifd_direct"]
    )
    np.testing.assert_allclose(perplexities["ifd"], np.exp(conditioned) / np.exp(direct), rtol=1e-12)
    np.testing.assert_allclose(shares["ifd"], conditioned / direct, rtol=1e-12)
    assert ((perplexities["ifd"] < 1) == (shares["ifd"] < 1)).all()


def test_the_two_ratios_rank_differently() -> None:
    """2 of 4 nats is a larger share than 0.4 of 1, and a larger fall."""
    conditioned, direct = np.array([2.0, 0.4]), np.array([4.0, 1.0])
    assert ratio("loss_ratio", conditioned, direct).tolist() == [0.5, 0.4]
    assert (
        np.argmax(ratio("loss_ratio", conditioned, direct))
        == 0
        != np.argmax(ratio("perplexity_ratio", conditioned, direct))
    )
    assert np.isnan(ratio("loss_ratio", np.array([1.0, np.nan]), np.array([0.0, 1.0]))).all()


def test_a_response_is_cut_to_the_room_that_its_prompt_leaves_in_both_readings(tiny: str) -> None:
    """48 tokens of context: what a window would read without the prompt is not scored at all, nor alone."""
    question, answer = QUESTIONS[0], " ".join(ANSWERS[:6])
    before = f"User:\n{question}\n\nAssistant:\n"
    room = 48 - len(language_of(tiny).encode(Texts.of([before]), ends=False).data)
    assert 5 < room < len(language_of(tiny).encode(Texts.of([answer]), ends=False).data)
    found = columns(Ifd(model=tiny, experience=0), [asked(question, answer), asked(" ".join(QUESTIONS[:20]), answer)])
    for name, head in (("ifd_conditioned", before), ("ifd_direct", "Assistant:\n")):
        total, count = loss(tiny, head, answer, most=room)
        assert count == room and found[name][0] == pytest.approx(total / room, rel=1e-5)
        assert np.isnan(found[name][1])  # the prompt alone fills the context


def test_several_responses_are_one_mean_over_their_symbols(tiny: str) -> None:
    turns = [
        Turn("user", "1 + 1?"),
        Turn("assistant", "2"),
        Turn("user", "Why?"),
        Turn("assistant", "So it is."),
    ]
    found = columns(Ifd(model=tiny, experience=0), [marked(turns)])
    first = loss(tiny, "User:\n1 + 1?\n\nAssistant:\n", "2")
    language = language_of(tiny)
    whole = dialogue.only_last(language.encode_turns(Texts.of([marked(turns)])))
    nats, count = (
        losses.nats(torch_module("causal_model").Causal.of(language.config, 0), whole)[0],
        losses.scored(whole)[0],
    )
    response = language.encode(Texts.of([turns[3].content]), ends=False).data
    assert count == len(response) + 1 and len(whole.data) <= 48
    short = whole.shortened(0, int(whole.sizes[0]) - 1)
    nats = losses.nats(torch_module("causal_model").Causal.of(language.config, 0), short)[0]
    expected = (first[0] + nats) / (first[1] + len(response))
    assert found["ifd_conditioned"][0] == pytest.approx(expected, rel=1e-5)


def test_rows_without_a_prompt_or_a_response_are_declined_not_zero(tiny: str) -> None:
    odd = ["just a text", PLAIN, asked("Say nothing.", ""), marked([Turn("assistant", "Hello")]), ""]
    found = columns(Ifd(model=tiny, experience=0), [*odd, ROWS[0]])
    assert all(np.isnan(column[:-1]).all() and np.isfinite(column[-1]) for column in found.values())
    nothing = columns(Ifd(model=tiny, experience=0), [])
    assert all(column.shape == (0,) and column.dtype == np.float64 for column in nothing.values())


def test_neither_batch_nor_padding_nor_order_changes_a_score(tiny: str) -> None:
    method, rows = Ifd(model=tiny, experience=0), [*ROWS[:9], asked(" ".join(QUESTIONS[:2]), " ".join(ANSWERS[:8]))]
    whole = columns(method, rows)["ifd"]
    alone = np.concatenate([columns(method, [row])["ifd"] for row in rows])
    assert np.abs(whole - alone).max() < 1e-5 and np.abs(columns(method, rows[::-1])["ifd"][::-1] - whole).max() < 1e-5


# --- What is learnt ---------------------------------------------------------------------------------------------------


def test_experience_is_of_prompted_rows_and_does_not_care_for_their_place(tiny: str) -> None:
    method = Ifd(model=tiny, experience=20, epochs=12)
    one = learnt(method, [*ROWS, *[f"a plain text, number {number}" for number in range(30)]])
    two = learnt(method, ROWS[::-1])
    assert one.notes == two.notes == {"experience_rows": 20}
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    before, after = (columns(method, ROWS, fitted)["ifd_conditioned"].mean() for fitted in (None, one))
    assert after < before


# --- The command, and sentences ---------------------------------------------------------------------------------------


def test_the_recipe_keeps_the_highest_below_one(tmp_path: Path, tiny: str) -> None:
    answers = [answer for shift in range(3) for answer in (*ANSWERS[shift:], *ANSWERS[:shift])]
    pairs = [*zip(QUESTIONS * 3, answers, strict=True), ("Say nothing.", "")]
    pool = jsonl(tmp_path / "pool.jsonl", [{"instruction": one, "output": two} for one, two in pairs])
    told = ("--method", "ifd", "--model", tiny, "--set", "ifd.experience=0", "--budget", "5", "--out", tmp_path / "run")
    done(pool, *told)
    score = columns(Ifd(model=tiny, experience=0), [asked(*pair) for pair in pairs])["ifd"]
    below = np.flatnonzero(score < 1)
    assert 5 < len(below) < 150
    best = below[np.argsort(-score[below], kind="stable")][:5]
    assert ranked(tmp_path / "run") == best.tolist()
    reasons = manifest(tmp_path / "run").filter(pl.col("reason") == "where: ifd < 1")["row"].to_list()
    assert reasons == np.flatnonzero(~(score < 1)).tolist()


def test_sentences(tmp_path: Path, tiny: str) -> None:
    with pytest.raises(
        RecipeError, match="variant must be loss_ratio or perplexity_ratio; got 'loss_rati': did you mean 'loss_ratio'"
    ):
        Ifd(variant="loss_rati")
    with pytest.raises(RecipeError, match="direct must be cherry or superfiltering"):
        Ifd(direct="bare")
    with pytest.raises(RecipeError, match="lm-nano knows nothing until it has learnt; give experience"):
        Ifd(experience=0)
    with pytest.raises(InputError, match="none of the 2 that were looked at has both"):
        learnt(Ifd(model=tiny, experience=0), ["a plain text", asked("Say nothing.", "")])
    pool = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in ANSWERS])
    said = assay("select", pool, "--method", "ifd", "--budget", "5", "--out", tmp_path / "run", "-q", "--workers", "1")
    assert "ifd needs rows with a prompt and a response" in said.sentence
