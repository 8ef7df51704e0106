"""Neural judges: symbols, probes of every form, somebody else's config and checkpoint, names that are none, a planted choice."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from assay.errors import InputError, MissingExtra, RecipeError
from assay.kernels.hashing import hash_rows
from assay.models import dialogue, language
from assay.models.causal_config import CausalConfig, Shape
from assay.models.dialogue import Turn
from assay.types import Sequences, Texts
from assay.verify import neural
from assay.verify.arms import Arm, Frame, Pass, Trial, draft, settle
from assay.verify.judge import Course, Gathered, Held, Probe, proxy, run, tasks
from assay.verify.neural import CausalJudge
from assay.verify.verdict import Question, verdict


def configured(judge: CausalJudge, config: CausalConfig) -> CausalJudge:
    return replace(judge, language=replace(judge.language, config=config))


TINY = configured(
    replace(proxy("lm-nano"), name="tiny"),
    CausalConfig(Shape(16, 1, 2, 32), 2e-2, context=32, rows=4, warm=3),
)
RNG = np.random.default_rng(6)
HELLO = "Hello there, 世界\n\n\tif x:  return 7\r\n<|end|> ok"


def words(count: int = 60) -> list[str]:
    return ["".join(RNG.choice(list("abcdefghijklmnop"), 4)) for _ in range(count)]


def lines(choices: list[str], count: int) -> list[str]:
    return [" ".join(RNG.choice(choices, 25)) for _ in range(count)]


def course(judge: CausalJudge, texts: list[str], steps: int, seed: int = 0, folder: Path | None = None) -> Course:
    documents = judge.encode(Texts.of(texts))
    arm = Arm("random", seed, steps * judge.step, (Pass(np.arange(len(texts))),))
    assert len(documents.data) >= arm.cost
    return Course((arm,), Gathered(np.arange(len(texts)), documents), folder)


# --- Symbols ----------------------------------------------------------------------------------------------------------


def test_text_comes_back_from_its_tokens_and_only_ends_are_ends() -> None:
    found = TINY.encode(Texts.of([HELLO, "", "b"]))
    assert found.data.dtype == np.int32 and found.data.max() < 2048 and (found.data == 0).sum() == 3
    assert found.data[found.offsets[1:] - 1].tolist() == [0, 0, 0] and found.sizes[1] == 1
    ids = found.data[: found.offsets[1] - 1].tolist()
    assert language._tokenizer(TINY.language.tokenizer).decode(ids) == HELLO


def test_every_byte_is_a_token() -> None:
    tokens = language._tokenizer(TINY.language.tokenizer)
    texts = ["".join(map(chr, range(1, 0x250))), "\U0010ffff\u0b85\ud7a3"]
    assert [tokens.decode(tokens.encode(one).ids) for one in texts] == texts
    assert tokens.get_vocab_size() == 2048 and tokens.id_to_token(0) == "<|end|>"


# --- Probes -----------------------------------------------------------------------------------------------------------


def test_bits_after_a_context_are_those_of_the_whole_less_those_of_the_context() -> None:
    texts, contexts = Texts.of([" and so on", " or not", ""]), Texts.of(["It goes on", "To be", "None"])
    whole = Texts.of([context + text for context, text in zip(contexts, texts, strict=True)])
    probes = (Probe(texts, contexts), Probe(texts, contexts, ends=False), Probe(whole), Probe(contexts, ends=False))
    after, endless, together, before = TINY.measure(course(TINY, lines(words(), 20), 4), probes)[0]
    assert after == pytest.approx(together - before, rel=1e-5)
    assert endless[2] == 0 and (endless <= after).all()


def test_a_response_is_scored_after_its_dialogue() -> None:
    said = [Turn("user", "1 + 1?"), Turn("assistant", "2"), Turn("user", "And 3?"), Turn("assistant", "It is 6.")]
    contexts, responses, _ = dialogue.held(Texts.of([dialogue.marked(said)]))
    asked = TINY._asked(Probe(responses, contexts, form="turns"))
    learnt = [asked.data[a:b][asked.data[a:b] >= 0] for a, b in zip(asked.offsets, asked.offsets[1:], strict=False)]
    tokens = language._tokenizer(TINY.language.tokenizer)
    assert [tokens.decode(one.tolist()) for one in learnt] == ["2<|end|>", "It is 6.<|end|>"]


# --- Training ---------------------------------------------------------------------------------------------------------


def test_a_planted_choice_reaches_fewer_bits_with_every_seed() -> None:
    """Through draft, settle, trials and verdict: every arm gets the same tokens, whole steps of them."""
    mine, others = words(20), words(20)
    pool = Texts.of(lines(mine, 40) + lines(others, 360))
    held = Held.of("target", Texts.of(lines(mine, 12)))
    frame = Frame.of(pool.sizes, hash_rows(pool.data, pool.offsets), np.ones(400, bool))
    trial = Trial(seeds=3, units=3_200, curve=3_200, reach=1)
    judge = configured(TINY, replace(TINY.language.config, model=Shape(32, 1, 2, 64), rows=2))
    documents = judge.encode(pool)
    plan = settle(draft({"choice": np.arange(40)}, frame, trial, 2.5, True), documents.sizes, trial, judge.step)
    made = tasks(plan, judge, Gathered(np.arange(400), documents), [held.probe])
    results = [one for task in made for one in run(pickle.loads(pickle.dumps(task)))]
    found = verdict(plan, results, trial, judge, Question(held))
    bits = {(one.name, one.seed): one.bits[0].sum() for one in results if one.budget == plan.budget == 3_200}
    assert len({bits["choice", seed] for seed in range(3)}) == 3  # seeded: one choice, three models
    assert max(bits["choice", seed] for seed in range(3)) < 0.9 * min(bits["random", seed] for seed in range(3))
    assert found["difference"]["estimate"] > 0 and found["budget"]["unit"] == "tokens"


def test_the_same_course_gives_the_same_bits_whatever_the_threads() -> None:
    text, asked = lines(words(), 20), (Probe(Texts.of(["what is it", HELLO])),)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one = TINY.measure(course(TINY, text, 5), asked)[0][0]
    torch.set_num_threads(2)
    other = TINY.measure(course(TINY, text, 5), asked)[0][0]
    assert torch.get_num_threads() == 2  # as it was found
    torch.set_num_threads(before)
    assert np.array_equal(one, other)
    assert not np.array_equal(one, TINY.measure(course(TINY, text, 5, seed=1), asked)[0][0])


# --- Somebody else's models -------------------------------------------------------------------------------------------


def small() -> transformers.PreTrainedConfig:
    """With the dropout that GPT-2 has by default, which must not be used."""
    return transformers.GPT2Config(
        vocab_size=2048, n_embd=16, n_layer=1, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )


def checkpoint(folder: Path) -> str:
    """A tiny GPT-2 with weights and our tokenizer in the library's form."""
    ours = transformers.PreTrainedTokenizerFast(tokenizer_file=TINY.language.tokenizer, eos_token="<|end|>")
    ours.save_pretrained(folder)
    torch.manual_seed(11)
    transformers.GPT2LMHeadModel(small()).save_pretrained(folder)
    return str(folder)


def test_a_config_gets_fresh_weights_of_each_seed(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    judge = proxy(str(tmp_path))
    assert isinstance(judge, CausalJudge) and judge.language.config.context == 64 and judge.name == tmp_path.name
    asked = (Probe(Texts.of(["what is it"])),)
    text = lines(words(), 60)
    bits = [judge.measure(course(judge, text, 3, seed), asked)[0][0][0] for seed in (0, 0, 1)]
    assert bits[0] == bits[1] != bits[2]


def test_a_checkpoint_is_trained_on(tmp_path: Path) -> None:
    judge = proxy(checkpoint(tmp_path))
    assert isinstance(judge, CausalJudge) and judge.language.config.end == 0
    assert judge.encode(Texts.of([HELLO])).data.tolist() == TINY.encode(Texts.of([HELLO])).data.tolist()
    still = configured(judge, replace(judge.language.config, rate=0.0))
    asked, text = (Probe(Texts.of(["what is it", "7 and 8"])),), lines(words(), 60)
    (mine,), (others,) = (
        still.measure(course(still, text, 1), asked)[0],
        still.measure(course(still, text, 1, 5), asked)[0],
    )
    assert np.array_equal(mine, others)  # the checkpoint's weights, not the seed's
    ids = [0, *language._tokenizer(str(tmp_path)).encode("what is it").ids, 0]
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    nats = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item() * (len(ids) - 1)
    assert mine[0] == pytest.approx(nats / np.log(2), rel=1e-5)


def test_another_content_is_another_judge(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    before = proxy(str(tmp_path)).described()
    language.content.cache_clear()
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text() + " ")
    after = proxy(str(tmp_path)).described()
    assert before != after and proxy("lm-nano").described() != proxy("lm-micro").described()


# --- Sentences --------------------------------------------------------------------------------------------------------


def test_what_is_no_proxy_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="there is no model 'lm-nan'; did you mean 'lm-nano'"):
        proxy("lm-nan")
    with pytest.raises(InputError, match=r"must be a folder \(or hub id\) with a config.json"):
        proxy(str(tmp_path))
    monkeypatch.setattr(language, "_LIBRARIES", ("torch", "not_a_library"))
    with pytest.raises(MissingExtra, match=r"the model 'lm-nano' needs the extra 'models'; .*assay-data\[models\]"):
        proxy("lm-nano")


def test_what_sees_ahead_or_brings_code_is_refused(tmp_path: Path) -> None:
    shape = '"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16'
    (tmp_path / "config.json").write_text(f'{{"model_type": "bert", {shape}}}')
    judge = proxy(str(tmp_path))
    with pytest.raises(InputError, match="must predict each token from those before it; it looks at later ones"):
        judge.measure(course(judge, lines(words(), 120), 1), ())
    (tmp_path / "config.json").write_text('{"model_type": "x", "auto_map": {"AutoConfig": "theirs.Config"}}')
    (tmp_path / "theirs.py").write_text("raise SystemExit('this must not run')")
    with pytest.raises(InputError, match="must be a folder"):
        proxy(str(tmp_path))


def test_a_checkpoint_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(11)
    transformers.GPT2LMHeadModel(small()).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="must come with its tokenizer"):
        proxy(str(tmp_path))


def test_joining_contexts_and_texts() -> None:
    contexts = Sequences(np.array([~1, ~2, ~3]), np.array([0, 2, 3]))
    texts = Sequences(np.array([4, 5, 6]), np.array([0, 0, 3]))
    found = neural._interleaved(contexts, texts)
    assert found.data.tolist() == [~1, ~2, ~3, 4, 5, 6] and found.offsets.tolist() == [0, 2, 6]
