"""Dialogues to symbols: which tokens of an instruction are read only, and which are learnt and scored.

A dialogue comes as marked text (`io/row.py`). Its assistant turns are responses: learnt, and scored when held out. All else
is context: prompts, systems, tools, and every word that a template adds. Loss on responses only is what instruction tuning
does since Wei et al. 2021 (FLAN), https://arxiv.org/abs/2109.01652, and Taori et al. 2023 (Alpaca),
https://crfm.stanford.edu/2023/03/13/alpaca.html.

    ids of a dialogue = ids of its segments one after another, each tokenised alone

so that a response has the same tokens whether it is learnt, scored, or read as context of a later one. The template is
the tokenizer's own where a checkpoint brings one, otherwise this, of plain words, for a vocabulary without special tokens
and a short context (two roles cost few tokens, and every byte of it may stand in any text):

    User:\\n{prompt}\\n\\nAssistant:\\n{response}<end>\\n\\nUser:\\n{prompt}\\n\\nAssistant:\\n{response}<end>

Role lines as of Askell et al. 2021, https://arxiv.org/abs/2112.00861. A row of one plain text has no roles and no header: it
is learnt whole, as a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Int64

from assay.errors import InputError
from assay.io.row import ETX, RESPONSE, SOH, STX
from assay.types import Sequences, Texts

_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}
_ROLES |= {"bot": "assistant", "model": "assistant", "prompter": "user"}
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_WHOLE = MappingProxyType({"tokenize": False})
_OPENED = MappingProxyType({"tokenize": False, "add_generation_prompt": True})
_MASKED = MappingProxyType({"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True})


class Turn(NamedTuple):
    """Who says what; a document of its own has no role."""

    role: str
    content: str


class Segment(NamedTuple):
    """A stretch of a rendered dialogue, and whether it is learnt (a response) or only read."""

    text: str
    learnt: bool


def turns(marked: str) -> tuple[Turn, ...]:
    """The turns of a marked text, roles by the names `user`, `assistant` and `system` where they are known by others; text
    without marks is a document.

    >>> turns("\\x01human\\x02Why?\\x03\\x01gpt\\x02Because.\\x03")
    (Turn(role='user', content='Why?'), Turn(role='assistant', content='Because.'))
    """
    if not marked.startswith(SOH):
        return (Turn("", marked),)
    parts = [part.partition(STX) for part in marked.removesuffix(ETX)[1:].split(ETX + SOH)]
    return tuple(Turn(_ROLES.get(role.lower(), role.lower()), content) for role, _, content in parts)


def marked(said: Sequence[Turn]) -> str:
    """Turns as marked text.

    >>> turns(marked([Turn("user", "Why?")]))
    (Turn(role='user', content='Why?'),)
    """
    return "".join(f"{SOH}{turn.role}{STX}{turn.content}{ETX}" for turn in said)


def held(texts: Texts) -> tuple[Texts, Texts, Int64[np.ndarray, "d"]]:
    """(contexts, responses, rows) of marked texts: every response that says something and answers something, after everything
    before it, and which of the texts it is from. A context ends where the response begins.

    >>> contexts, responses, rows = held(Texts.of([marked([Turn("user", "1 + 1?"), Turn("assistant", "2")])]))
    >>> contexts[0], responses[0], rows.tolist()
    ('\\x01user\\x021 + 1?\\x03\\x01assistant\\x02', '2', [0])
    """
    contexts, responses, rows = [], [], []
    for row, said in enumerate(map(turns, texts)):
        for place, turn in enumerate(said):
            if place and turn.role == "assistant" and turn.content:
                contexts.append(marked(said[:place]) + RESPONSE)
                responses.append(turn.content)
                rows.append(row)
    return Texts.of(contexts), Texts.of(responses), np.array(rows, np.int64)


def prompted(texts: Texts) -> bool:
    """Whether any of the marked texts has a response to something."""
    return len(held(texts)[0]) > 0


def joined(contexts: Texts, texts: Texts) -> Texts:
    """What `held` took apart, as marked texts."""
    return Texts.of([f"{context}{text}{ETX}" for context, text in zip(contexts, texts, strict=True)])


def segments(said: Sequence[Turn]) -> list[Segment]:
    """A dialogue in our own template; an end follows every response.

    >>> segments([Turn("user", "Why?"), Turn("assistant", "Because.")])
    [Segment(text='User:\\nWhy?\\n\\nAssistant:\\n', learnt=False), Segment(text='Because.', learnt=True)]
    """
    found, read, gap = [], "", ""
    for turn in said:
        if not turn.role:
            return [Segment(turn.content, True)]
        read, gap = f"{read}{gap}{turn.role.capitalize()}:\n", "\n\n"
        if turn.role == "assistant":
            found += [Segment(read, False), Segment(turn.content, True)]
            read = ""
        else:
            read += turn.content.strip()
    return [*found, Segment(read, False)] if read else found


def plain(texts: Texts) -> Texts:
    """Marked texts as our own template writes them, without ends: what a judge of bytes reads."""
    return Texts.of(["".join(segment.text for segment in segments(turns(text))) for text in texts])


def encoded(texts: Texts, tokens: Callable[[Texts], Sequences], end: int) -> Sequences:
    """Marked texts in our own template as symbols: `end` follows every response, and every dialogue."""
    documents = [segments(turns(text)) for text in texts]
    found = _of_segments(documents, tokens)
    closes = [(one.learnt, one.learnt or last) for said in documents for one, last in _with_last(said)]
    learnt, closed = np.array(closes, bool).reshape(-1, 2).T
    data = np.insert(found.data, found.offsets[1:][closed], np.where(learnt, end, ~end)[closed])
    sizes = found.sizes + closed
    return _gathered(data, sizes, documents)


def _with_last(said: list[Segment]) -> Iterator[tuple[Segment, bool]]:
    yield from ((one, place == len(said) - 1) for place, one in enumerate(said))


def _of_segments(documents: list[list[Segment]], tokens: Callable[[Texts], Sequences]) -> Sequences:
    """The symbols of all segments, one sequence for each; those that are only read stand as ~s."""
    flat = [one for said in documents for one in said]
    found = tokens(Texts.of([one.text for one in flat]))
    learnt = np.repeat(np.array([one.learnt for one in flat], bool), found.sizes)
    data = np.asarray(found.data[found.offsets[0] : found.offsets[-1]], np.int32)
    return Sequences(np.where(learnt, data, ~data), found.offsets - found.offsets[0])


def _gathered(data: np.ndarray, sizes: np.ndarray, documents: list[list[Segment]]) -> Sequences:
    """Sequences of segments as sequences of documents."""
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
    last = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(said) for said in documents], dtype=np.int64)])
    return Sequences(data, ends[last])


def only_last(documents: Sequences) -> Sequences:
    """The same, but that of each document only the last run of learnt symbols is: what scoring one response needs.

    >>> two = Sequences(np.array([~1, 2, ~3, 4, 5]), np.array([0, 5]))
    >>> only_last(two).data.tolist() == [~1, ~2, ~3, 4, 5]
    True
    """
    data = documents.data.copy()
    for start, stop in zip(documents.offsets[:-1].tolist(), documents.offsets[1:].tolist(), strict=True):
        learnt = np.flatnonzero(data[start:stop] >= 0)
        breaks = np.flatnonzero(np.diff(learnt) > 1)
        before = data[start : start + learnt[breaks[-1]] + 1] if len(breaks) else data[:0]
        before[:] = np.where(before >= 0, ~before, before)
    return Sequences(data, documents.offsets)


# --- A checkpoint's own template --------------------------------------------------------------------------------------


def templated(texts: Texts, tokenizer: Any) -> Sequences:
    """Marked texts in the chat template of a tokenizer of the transformers library; documents end with its end symbol.

    Where the template says what the assistant generates (`{% generation %}`) that is learnt; otherwise what a response adds
    to the rendering of all before it, generation prompt included.
    """
    said = [turns(text) for text in texts]
    chats = [one for one in said if one[0].role]
    make = _masked if _GENERATION.search(_template(tokenizer)) else _prefixed
    with _reading_marks(tokenizer):
        found = iter([*make(chats, tokenizer)])
    made = [next(found) if one[0].role else _document(one[0].content, tokenizer) for one in said]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(ids) for ids in made], dtype=np.int64)])
    return Sequences(np.concatenate([np.zeros(0, np.int32), *made]), offsets)


@contextmanager
def _reading_marks(tokenizer: Any) -> Iterator[None]:
    """Take the marks of a template for the special tokens that they are, where elsewhere text that looks like one is text."""
    backend = tokenizer.backend_tokenizer
    before, backend.encode_special_tokens = backend.encode_special_tokens, False
    try:
        yield
    finally:
        backend.encode_special_tokens = before


def _template(tokenizer: Any) -> str:
    given = tokenizer.chat_template
    return given.get("default", "") if isinstance(given, dict) else given or ""


def _document(content: str, tokenizer: Any) -> np.ndarray:
    ids = tokenizer.backend_tokenizer.encode(content, add_special_tokens=False).ids
    ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return np.array([*ids, *ends], np.int32)


def _masked(chats: Sequence[Sequence[Turn]], tokenizer: Any) -> Iterator[np.ndarray]:
    """By the template's own mask."""
    for said in chats:
        found = _rendered(said, tokenizer, _MASKED)
        ids, mask = np.array(found["input_ids"], np.int32), np.array(found["assistant_masks"], bool)
        yield np.where(mask, ids, ~ids)


def _prefixed(chats: Sequence[Sequence[Turn]], tokenizer: Any) -> Iterator[np.ndarray]:
    """By what each response adds."""
    documents = [_cut(said, tokenizer) for said in chats]
    found = _of_segments(documents, lambda texts: _ids(list(texts), tokenizer))
    whole = _gathered(found.data, found.sizes, documents)
    yield from (whole.data[start:stop] for start, stop in zip(whole.offsets, whole.offsets[1:], strict=False))


def _ids(texts: list[str], tokenizer: Any) -> Sequences:
    found = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(ids) for ids in found], dtype=np.int64)])
    return Sequences(np.array([one for ids in found for one in ids], np.int32), offsets)


def _cut(said: Sequence[Turn], tokenizer: Any) -> list[Segment]:
    """A dialogue as the template renders it, cut where responses begin and end."""
    whole, found, at = _rendered(said, tokenizer), [], 0
    for place, turn in enumerate(said):
        if turn.role != "assistant":
            continue
        before = _rendered(said[:place], tokenizer, _OPENED) if place else whole[:at]
        after = _rendered(said[: place + 1], tokenizer) if place + 1 < len(said) else whole
        if not (whole.startswith(after) and after.startswith(before)):
            raise InputError(
                f"the chat template of {tokenizer.name_or_path!r} must render the beginning of a dialogue the same whatever "
                f"follows; it does not for one that begins {_head(said)!r}: give a checkpoint whose template marks what the "
                "assistant says with {% generation %}"
            )
        found += [Segment(whole[at : len(before)], False), Segment(after[len(before) :], True)]
        at = len(after)
    return [*found, Segment(whole[at:], False)] if at < len(whole) else found


def _head(said: Sequence[Turn]) -> str:
    return f"{said[0].role}: {said[0].content[:40]}"


def _rendered(said: Sequence[Turn], tokenizer: Any, asked: Mapping[str, bool] = _WHOLE) -> Any:
    messages = [{"role": turn.role, "content": turn.content} for turn in said]
    try:
        return tokenizer.apply_chat_template(messages, **asked)
    except jinja2.TemplateError as error:
        raise InputError(
            f"the chat template of {tokenizer.name_or_path!r} must take every dialogue of the pool; it refuses one that begins "
            f"{_head(said)!r} ({error}): leave such rows out, or give a checkpoint with another template"
        ) from None
