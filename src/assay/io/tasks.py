"""Items of a task, read from JSON lines, a JSON array, Parquet or Arrow, in the shapes in which people publish them.

    query, choices, gold                        the answers differ: piqa, arc, boolq, MMLU (question, choices, answer), ...
    question, choices {text, label}, answerKey  the same, as ARC lies on the hub; options {A: ..., B: ...} too
    context_options, continuation, gold         the contexts differ, what follows is scored: winograd, winogrande
    context, continuation                       the right answer alone: lambada, jeopardy
    question, answer                            the same; also canonical_solution, completion, response; a chain_of_thought
                                                stands before the answer, as on the hub's gsm8k

Fields are told from the first row, and every row must have them. What is asked may have two parts (a passage, then a
question), which a line break joins. White space between a context and what follows belongs to what follows, and where
the row has none a blank is put there, so that it does not matter where a row's author left it: a tokenizer that joins a
blank to its word reads what it was trained on (as lm-evaluation-harness does, Gao et al. 2024,
https://doi.org/10.5281/zenodo.12608602). Of several readings of a gold that differ none is taken: the row is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Int64, UInt64

from assay.errors import InputError
from assay.io.lines import Lines, Long
from assay.io.records import shard_lines
from assay.io.row import object_of
from assay.io.sources import Shard
from assay.kernels.hashing import hash_rows
from assay.types import Texts

LONGEST = 64_000_000  # bytes of a line
_PASSAGES = ("context", "passage", "article", "ctx")
_QUESTIONS = ("query", "question", "prompt", "question_stem", "instruction")
_CHOICES = ("choices", "options", "endings")
_GOLD = ("gold", "label", "answerKey", "answer_idx", "answer")
_ANSWERS = ("continuation", "answer", "canonical_solution", "completion", "response")
_UNDERSTOOD = (
    "a row must have query, choices and gold; context_options, continuation and gold; context and continuation; "
    "or question and answer"
)


@final
@dataclass(frozen=True)
class Item:
    """One item: `texts[k]` stands after `contexts[k]`, and the one at `gold` is right."""

    contexts: tuple[str, ...]
    texts: tuple[str, ...]
    gold: int


@final
@dataclass(frozen=True)
class Items:
    """Items laid out flat: item i owns entries `starts[i]` to `starts[i + 1]` of `contexts` and `texts`, of which
    `starts[i] + gold[i]` is right.

    >>> items = Items.of([Item(("The sky is",) * 2, (" blue", " a fish"), 0)])
    >>> len(items), items.texts[1], items.right.tolist()
    (1, ' a fish', [0])
    """

    contexts: Texts
    texts: Texts
    starts: Int64[np.ndarray, "d_plus_1"]
    gold: Int64[np.ndarray, "d"]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Items:
        """Lay out a list of items."""
        return cls(
            Texts.of([context for item in items for context in item.contexts]),
            Texts.of([text for item in items for text in item.texts]),
            np.cumsum([0, *(len(item.texts) for item in items)], dtype=np.int64),
            np.array([item.gold for item in items], np.int64),
        )

    def __len__(self) -> int:
        return len(self.gold)

    @property
    def right(self) -> Int64[np.ndarray, "d"]:
        """The entry of each item's right answer."""
        return self.starts[:-1] + self.gold

    @property
    def documents(self) -> Texts:
        """Each item as it would stand in a text: what is asked, and the right answer."""
        contexts, texts = self.contexts.take(self.right), self.texts.take(self.right)
        return Texts.of([context + text for context, text in zip(contexts, texts, strict=True)])

    @property
    def hashes(self) -> UInt64[np.ndarray, "d"]:
        """A name for each item's content: contexts, texts, and which is right."""
        names = np.stack([_hashed(self.contexts), _hashed(self.texts)], axis=1)
        names[self.right, 0] ^= np.uint64(1)
        return hash_rows(names.reshape(-1).view(np.uint8), self.starts * (2 * names.itemsize))


def _hashed(texts: Texts) -> UInt64[np.ndarray, "r"]:
    return hash_rows(texts.data, texts.offsets)


def read(shard: Shard) -> Iterator[Item]:
    """The items of one file in order; InputError with file and line for a row that is none, or for a shape unknown."""
    shape: Shape | None = None
    for number, row in _rows(shard):
        if shape is None:
            shape = shape_of(row)
        if shape is None:
            raise InputError(
                f"{shard.path} is no task that is understood: its first row has the fields "
                f"{', '.join(sorted(row)) or '(none)'}; {_UNDERSTOOD}"
            )
        try:
            yield shape.item(row)
        except Broken as why:
            raise InputError(f"{shard.path}, {_place(shard)} {number}: {why}; mend the row or leave it out") from None


def _place(shard: Shard) -> str:
    return "line" if shard.format == "jsonl" else "row"


def _rows(shard: Shard) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row with its line (or its row, where there are no lines), counted from 1."""
    if shard.format in ("jsonl", "json"):
        yield from _json_rows(shard)
    elif shard.format in ("parquet", "arrow"):
        from assay.io.tables import DAMAGE, schema_of, table_batches  # only where it is needed: it imports Arrow

        schema_of(shard)
        number = 0
        try:
            for batch in table_batches(shard, 0, None, None):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except DAMAGE as error:
            raise InputError(f"{shard.path} is damaged after row {number} ({error}); give the whole file") from None
    else:
        raise InputError(f"a task must be JSON lines, a JSON array, Parquet or Arrow; {shard.path} is {shard.format}")


def _json_rows(shard: Shard) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for item in shard_lines(shard, 0, None, LONGEST):
        if not isinstance(item, Lines):
            why = f"is longer than {LONGEST:,} bytes" if isinstance(item, Long) else f"cannot be read: {item.reason}"
            raise InputError(f"{shard.path}, {_place(shard)} {number + 1} {why}; give the whole file")
        for line in bytes(item.data[: item.stop]).split(b"\n")[:-1]:
            number += 1
            if line.strip():
                yield number, _object(line, shard, number)


def _object(line: bytes, shard: Shard, number: int) -> dict[str, Any]:
    row = object_of(line)
    if row is None:
        raise InputError(
            f"{shard.path}, {_place(shard)} {number} must be a JSON object; it is "
            f"{line[:60].decode('utf-8', 'replace')!r}; mend the row or leave it out"
        )
    return row


class Broken(Exception):
    """A row that has not what its file's first row promised; the message says what."""


@final
@dataclass(frozen=True)
class Shape:
    """Which fields hold what. `asked` are joined to the context; `choices`: the answers or (`schema`) the contexts differ;
    `answer`: what follows, one for all contexts or the right one alone."""

    asked: tuple[str, ...] = ()
    choices: str = ""
    answer: str = ""
    gold: str = ""

    @property
    def kind(self) -> str:
        """`choices`, `schema` (contexts differ) or `answer` (nothing to choose from).

        >>> Shape(("query",), "choices", gold="gold").kind, Shape(("context",), answer="continuation").kind
        ('choices', 'answer')
        """
        return ("schema" if self.answer else "choices") if self.choices else "answer"

    def item(self, row: Mapping[str, Any]) -> Item:
        """A row as an item; Broken where a field is missing or wrong."""
        if not self.choices:
            reasoning = row.get("chain_of_thought")
            answer = _string(row, self.answer)
            text = f"{reasoning} {answer}" if isinstance(reasoning, str) and reasoning else answer
            return _item([(_asked(row, self.asked), text)], 0)
        labels, options = _options(row, self.choices)
        gold = _gold(row, self.gold, labels, options)
        if self.answer:
            text = _string(row, self.answer)
            return _item([(context, text) for context in options], gold)
        context = _asked(row, self.asked)
        return _item([(context, text) for text in options], gold)


def shape_of(row: Mapping[str, Any]) -> Shape | None:
    """Which fields of a row hold what; None where that cannot be told.

    >>> shape_of({"question": "2 + 2?", "options": ["3", "4"], "answer": "B"})
    Shape(asked=('question',), choices='options', answer='', gold='answer')
    >>> shape_of({"text": "nothing is asked"}) is None
    True
    """
    asked = tuple(name for names in (_PASSAGES, _QUESTIONS) for name in [_first(row, names, str)] if name is not None)
    gold = _first(row, _GOLD, object)
    if isinstance(row.get("context_options"), list) and "continuation" in row and gold:
        return Shape((), "context_options", "continuation", gold)
    choices = _first(row, _CHOICES, (list, dict))
    if choices is not None:
        return Shape(asked, choices, gold=gold) if asked and gold else None
    answer = _first(row, _ANSWERS, str)
    return Shape(asked, answer=answer) if asked and answer else None


def _first(row: Mapping[str, Any], names: tuple[str, ...], kind: type | tuple[type, ...]) -> str | None:
    return next((name for name in names if row.get(name) is not None and isinstance(row[name], kind)), None)


def _string(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise Broken(f"the field {name!r} must be a string, as in the rows before it; got {_shown(value)}")
    return value


def _asked(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return "\n".join(_string(row, name) for name in names)


def _options(row: Mapping[str, Any], name: str) -> tuple[list[str], list[str]]:
    """(labels, texts) of the choices; labels are empty where they have none."""
    value, labels = row.get(name), []
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value, labels = value["text"], [str(label) for label in value.get("label") or []]
    elif isinstance(value, dict):
        value, labels = list(value.values()), [str(label) for label in value]
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(text, str) for text in value):
        raise Broken(f"the field {name!r} must hold at least two strings; got {_shown(row.get(name))}")
    if labels and len(labels) != len(value):
        raise Broken(f"the field {name!r} must have one label for each text; got {len(labels)} for {len(value)}")
    return labels, value


def _gold(row: Mapping[str, Any], name: str, labels: list[str], options: list[str]) -> int:
    """Which of the choices is right: by its label, its number from 0, its letter or its text; all that fit must agree."""
    value = row.get(name)
    if labels and str(value) in labels:
        return labels.index(str(value))
    found = _meant(value, options)
    if len(found) != 1:
        how = f"its label, one of {', '.join(labels)}" if labels else "a number from 0, a letter or its text"
        many = "which may mean several of them" if found else "which is none of them"
        raise Broken(f"the field {name!r} must name one of the {len(options)} choices by {how}; got {value!r}, {many}")
    return found.pop()


def _meant(value: Any, options: list[str]) -> set[int]:
    """All that a gold may mean.

    >>> _meant(1, ["a", "b"]), _meant("B", ["x", "y"]), _meant("y", ["x", "y"]), _meant(2, ["x", "y"])
    ({1}, {1}, {1}, set())
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return {value} & set(range(len(options)))
    if not isinstance(value, str):
        return set()
    found = {place for place, option in enumerate(options) if option == value}
    if value.isdecimal():
        found.add(int(value))
    if len(value) == 1 and value.isascii() and value.isalpha():
        found.add(ord(value.upper()) - ord("A"))
    return found & set(range(len(options)))


def _item(pairs: list[tuple[str, str]], gold: int) -> Item:
    if not all(text.strip() for _, text in pairs):
        raise Broken("what is to be predicted must hold text; it is empty")
    joint = [joined(context, text) for context, text in pairs]
    return Item(tuple(context for context, _ in joint), tuple(text for _, text in joint), gold)


def joined(context: str, text: str) -> tuple[str, str]:
    """A context and what follows, with the white space between them moved to the latter, or a blank put there.

    >>> joined("Answer:", "yes"), joined("Answer: ", "yes"), joined("def one():\\n", "    return 1")
    (('Answer:', ' yes'), ('Answer:', ' yes'), ('def one():', '\\n    return 1'))
    """
    begun = context.rstrip()
    between = context[len(begun) :]
    if not between and begun and not text[:1].isspace():
        between = " "
    return begun, between + text


def _shown(value: Any) -> str:
    words = json.dumps(value, ensure_ascii=False, default=str)
    return words if len(words) <= 80 else f"{words[:79]}…"
