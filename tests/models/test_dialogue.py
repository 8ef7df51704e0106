"""Dialogues: which symbols are learnt, in our own template and in those that checkpoints bring."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from assay.errors import InputError
from assay.io.row import Fields, render_chat
from assay.models import dialogue
from assay.models.dialogue import Turn, marked
from assay.types import Sequences, Texts

END = 0
ASKED = [Turn("system", "Be brief."), Turn("user", " 1 + 1? "), Turn("assistant", "2"), Turn("user", "é?")]
TALK = marked([*ASKED, Turn("assistant", "Ça.\n")])
ONE = marked([Turn("user", "Why?"), Turn("assistant", "Because.")])


def as_bytes(texts: Texts) -> Sequences:
    """Every byte a symbol, one above it, so that 0 is the end."""
    data = texts.data[texts.offsets[0] : texts.offsets[-1]].astype(np.int32) + 1
    return Sequences(data, texts.offsets - texts.offsets[0])


def read(symbols: np.ndarray) -> tuple[str, str]:
    """(the whole text with | for the end, what of it is learnt)."""
    spell = lambda ids: bytes([ord("|") if one == END else one - 1 for one in ids]).decode()  # noqa: E731
    whole = np.where(symbols < 0, ~symbols, symbols)
    return spell(whole.tolist()), spell(symbols[symbols >= 0].tolist())


def each(documents: Sequences) -> list[np.ndarray]:
    return [documents.take(np.array([at])).data for at in range(len(documents))]


def test_responses_and_their_ends_are_learnt_and_nothing_else() -> None:
    first, second = each(dialogue.encoded(Texts.of([TALK, ONE]), as_bytes, END))
    assert read(first) == (
        "System:\nBe brief.\n\nUser:\n1 + 1?\n\nAssistant:\n2|\n\nUser:\né?\n\nAssistant:\nÇa.\n|",
        "2|Ça.\n|",
    )
    assert read(second) == ("User:\nWhy?\n\nAssistant:\nBecause.|", "Because.|")


def test_rows_without_a_response_or_without_turns() -> None:
    asked = marked([Turn("user", "Anyone?")])
    silent = marked([Turn("user", "Well?"), Turn("assistant", "")])
    found = dialogue.encoded(Texts.of([asked, "a document", silent, ""]), as_bytes, END)
    assert [read(one) for one in each(found)] == [
        ("User:\nAnyone?|", ""),
        ("a document|", "a document|"),
        ("User:\nWell?\n\nAssistant:\n|", "|"),
        ("|", "|"),
    ]
    assert not dialogue.prompted(Texts.of([asked, "a document", silent]))
    assert dialogue.prompted(Texts.of(["a document", ONE]))


def test_plain_text_is_what_is_encoded_without_ends() -> None:
    texts = Texts.of([TALK, ONE, "a document"])
    found = dialogue.encoded(texts, as_bytes, END)
    assert [read(one)[0].replace("|", "") for one in each(found)] == list(dialogue.plain(texts))


def test_held_responses_with_their_contexts_are_scored_as_they_are_learnt() -> None:
    """A response that is held out has the same symbols after the same context as one that is learnt."""
    texts = Texts.of(["a document", TALK, ONE])
    contexts, responses, rows = dialogue.held(texts)
    assert list(responses) == ["2", "Ça.\n", "Because."] and rows.tolist() == [1, 1, 2]
    whole = dialogue.encoded(dialogue.joined(contexts, responses), as_bytes, END)
    scored = each(dialogue.only_last(whole))
    assert [read(one)[1] for one in scored] == ["2|", "Ça.\n|", "Because.|"]
    learnt = each(dialogue.encoded(texts, as_bytes, END))
    assert read(scored[1])[0] == read(learnt[1])[0] and scored[2].tolist() == learnt[2].tolist()
    assert read(scored[0])[0].removesuffix("|") == dialogue.plain(contexts)[0] + "2"
    assert dialogue.plain(contexts)[1].endswith("2\n\nUser:\né?\n\nAssistant:\n")


def test_turns_come_back_from_chats_of_either_kind() -> None:
    said = [{"from": "human", "value": "a\x03\x01gpt\x02b"}, {"role": "Assistant", "content": "c"}]
    text = render_chat(said, "turns")
    assert text is not None
    assert dialogue.turns(text) == (Turn("user", "a  gpt b"), Turn("assistant", "c"))


# --- Templates of checkpoints -----------------------------------------------------------------------------------------

HEAD = "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}"
OPENED = "{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
PLAIN = HEAD + "{{ m.content }}<|end|>{% else %}{{ m.content }}<|end|>" + OPENED
SAYS = HEAD + "{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>" + OPENED
# Leaves out what was said before the last turn, as templates do that hide earlier thoughts.
FORGETS = HEAD + "{% if loop.last %}{{ m.content }}<|end|>{% endif %}{% else %}{{ m.content }}<|end|>" + OPENED
REFUSES = "{{ raise_exception('no system turns') if messages[0].role == 'system' }}" + PLAIN


def tokenizer(template: str) -> Any:
    """Bytes as tokens, and three names of roles and an end as special ones."""
    import tokenizers
    import transformers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    special = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    model = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, eos_token="<|end|>", additional_special_tokens=special[1:]
    )
    fast.chat_template = template
    return fast


@pytest.mark.parametrize("template", [PLAIN, SAYS])
def test_a_checkpoints_template_learns_what_the_assistant_says(template: str) -> None:
    fast = tokenizer(template)
    fast.backend_tokenizer.encode_special_tokens = (
        True  # text that looks like a special token is text, but in templates
    )
    first, second, third = each(dialogue.templated(Texts.of([TALK, "a document<|end|>", ONE]), fast))
    assert fast.backend_tokenizer.encode_special_tokens and fast.eos_token_id == second[-1]
    assert (second == fast.eos_token_id).sum() == 1 and (first == fast.eos_token_id).sum() == 2
    whole = fast.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in dialogue.turns(TALK)], tokenize=True, return_dict=True
    )
    assert np.where(first < 0, ~first, first).tolist() == whole["input_ids"]
    assert fast.decode(first[first >= 0]) == "2<|end|>Ça.\n<|end|>"
    assert fast.decode(second) == "a document<|end|><|end|>"
    assert fast.decode(third[third >= 0]) == "Because.<|end|>"


def test_a_template_that_rewrites_what_was_said_is_refused_unless_it_marks_responses() -> None:
    with pytest.raises(InputError, match=r"must render the beginning of a dialogue the same .* 'system: Be brief\.'"):
        dialogue.templated(Texts.of([TALK]), tokenizer(FORGETS))
    (found,) = each(dialogue.templated(Texts.of([ONE]), tokenizer(FORGETS)))
    assert tokenizer(FORGETS).decode(found[found >= 0]) == "Because.<|end|>"
    with pytest.raises(InputError, match=r"refuses one that begins 'system: Be brief\.' \(no system turns\)"):
        dialogue.templated(Texts.of([TALK]), tokenizer(REFUSES))


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_a_template_of_fields_is_prompt_and_response() -> None:
    parts = Fields(template="Question: {q}\n{more}\nAnswer: {a}!", form="turns").parts
    text = "".join(literal + {"q": "1 + 1?", "more": "", "a": "2", "": ""}[name] for literal, name in parts)
    assert dialogue.turns(text) == (Turn("user", "Question: 1 + 1?\n\nAnswer: "), Turn("assistant", "2"))
    assert read(each(dialogue.encoded(Texts.of([text]), as_bytes, END))[0])[1] == "2|"


def test_nothing_in_the_data_looks_like_a_mark() -> None:
    row = {"q": "\x01assistant\x02no\x03", "a": "yes\x03\x01user\x02?"}
    said = [{"role": "user", "content": row["q"]}, {"role": "assistant", "content": row["a"]}]
    assert dialogue.turns(render_chat(json.loads(json.dumps(said)), "turns") or "") == (
        Turn("user", " assistant no "),
        Turn("assistant", "yes  user ?"),
    )
