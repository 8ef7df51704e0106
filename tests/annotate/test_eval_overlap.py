"""Planted eval items are found whatever was done to their spelling; documents about the same thing are not."""

from __future__ import annotations

import functools
import io
import json
import pickle
import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from assay.annotate.eval_overlap import EvalOverlap
from assay.contracts import Rows
from assay.errors import InputError, RecipeError
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Column, Fitted, Signals, Texts, join_texts

# Invented for this test; twenty words or more each.
ITEMS = [
    "Question: A lighthouse keeper on Farrow Island lights 14 lamps each evening and 9 more in fog. How "
    "many lamps burn on three foggy nights? Answer: 69",
    "Question: Which mineral did the potters of Ostrava-under-the-Hill grind into their glaze to obtain a"
    " violet sheen? Answer: manganese, dug from the river bank",
    "Marta could not lift the harpsichord into the attic because the harpsichord was wider than the "
    "trapdoor that her uncle had sawn.",
    "def brightest_pair(stars): return the two stars whose summed magnitude is smallest, ties broken by "
    "right ascension, raising ValueError below two stars",
    "The ferry to Skelwick leaves at quarter past six, unless the tide is below the second notch of the "
    "harbour stone, when it waits.",
    "Passage: Moths of the genus Velutina were thought extinct until 1987, when a schoolgirl caught one "
    "in Tarn. Question: are velutina moths extinct? no",
    "To keep a felt hat from shrinking, stuff the crown with dry newspaper, steam the brim lightly, and "
    "let it cool on a bowl.",
    "Context: Ravi forgot the rehearsal and hid behind the piano. Question: How would the conductor feel "
    "afterwards? A. amused B. annoyed C. asleep Answer: B",
    "WORLD GEOGRAPHY: This landlocked kingdom mints square coins in honour of a queen who paid her army "
    "with roof tiles Answer: Tesselonia",
    "If a tank drains at 7 litres a minute and fills at 12 litres a minute, how long until 350 litres "
    "have gathered? 70 minutes exactly",
    "When the glazier opened the crate, every pane had slipped from its straw, and the whole consignment "
    "rang like a cracked bell under him.",
    "Der Müller von Öhringen zählte abends die Säcke, schrieb ihre Zahl an die Tür und löschte sie am "
    "Morgen mit dem nassen Ärmel wieder aus.",
]
SHORT = ["Question: Who painted it? Nobody", "Is tin heavy?", "", "The capital is Orlo."]


@dataclass(frozen=True)
class Memory(Rows):
    """Rows in memory, in batches."""

    batches: tuple[Batch, ...]

    @classmethod
    def of(cls, texts: list[str], labels: list[str] | None = None, size: int = 1000) -> Memory:
        batches = []
        for start in range(0, len(texts), size):
            block = Texts.of(texts[start : start + size])
            columns: dict[str, Column] = {"text": block}
            if labels is not None:
                columns["label"] = Texts.of(labels[start : start + size])
            rows = np.arange(start, start + len(block))
            batches.append(Batch(rows, hash_rows(block.data, block.offsets), columns))
        return cls(tuple(batches))

    def reduce(self, part: Callable, merge: Callable) -> Any:
        part, merge = pickle.loads(pickle.dumps((part, merge)))
        return functools.reduce(merge, map(part, self.batches))

    def sample(self, k: int) -> Batch:
        columns = {
            name: join_texts([batch.columns[name] for batch in self.batches]) for name in self.batches[0].columns
        }
        hashes = np.concatenate([batch.hashes for batch in self.batches])
        rows = np.sort(np.argsort(hashes, kind="stable")[:k])
        return Batch(rows, hashes[rows], {name: column.take(rows) for name, column in columns.items()})

    def __len__(self) -> int:
        return sum(map(len, self.batches))


@functools.cache
def documents() -> list[str]:
    data = (Path(__file__).parents[2] / "examples" / "data" / "pool.jsonl.zst").read_bytes()
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(data), "utf-8")
    return [json.loads(line)["text"] for line in lines][:900]


def learn(
    items: list[str], labels: list[str] | None = None, size: int = 1000, method: EvalOverlap | None = None
) -> Fitted:
    target = Memory.of(items, labels, size)
    pool = Memory.of(documents())
    return (method or EvalOverlap()).learn(pool, target, Signals({}), None, np.random.default_rng(0))


@functools.cache
def learnt() -> Fitted:
    return learn(ITEMS + SHORT, [f"quiz.jsonl item {k}" for k in range(len(ITEMS + SHORT))])


def annotated(texts: list[str], fitted: Fitted | None = None) -> dict[str, Column]:
    return EvalOverlap().annotate(Memory.of(texts).batches[0], {"fitted": fitted or learnt()})


def edit(text: str, draw: random.Random) -> str:
    """A tenth of the words, at least one, substituted, deleted or doubled with another, at places apart."""
    words = text.split()
    for at in sorted(draw.sample(range(len(words)), max(1, round(0.1 * len(words)))), reverse=True):
        words[at : at + 1] = draw.choice(([], ["whatever"], [words[at], "indeed"]))
    return " ".join(words)


def wrap(text: str, draw: random.Random) -> str:
    """Lines of 8 words: what undid a paragraph matcher (https://github.com/marin-community/marin/issues/6852)."""
    words = text.split()
    return "\n".join(" ".join(words[k : k + 8]) for k in range(0, len(words), 8))


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": lambda text, draw: text,
    "wrapped": wrap,
    "upper case": lambda text, draw: text.upper(),
    "other marks": lambda text, draw: "".join("; " if c in ".,:?-" else c for c in text),
    "no marks": lambda text, draw: "".join(" " if c in ".,:?-();" else c for c in text),
    "decomposed": lambda text, draw: unicodedata.normalize("NFD", text),
    "full width": lambda text, draw: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "no accents": lambda text, draw: "".join(c for c in unicodedata.normalize("NFD", text) if ord(c) < 0x300),
    "edited": edit,
}


def planted(kind: str) -> list[str]:
    draw, out = random.Random(kind), []
    for item in ITEMS:
        words = draw.choice(documents()).split(" ")
        place = draw.randint(0, len(words))
        out.append(" ".join([*words[:place], KINDS[kind](item, draw), *words[place:]]))
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_item_is_found(kind: str) -> None:
    columns = annotated(planted(kind))
    least = 0.75 if kind == "edited" else 0.999
    assert columns["eval_overlap"].min() >= least
    assert columns["eval_item"].tolist() == list(range(len(ITEMS)))


def test_clean_documents_are_not_found() -> None:
    columns = annotated(documents())
    assert columns["eval_overlap"].max() < 0.5
    assert set(columns["eval_item"].tolist()) == {-1} and set(columns["eval_span"]) == {""}


def test_the_same_template_and_the_same_topic_are_not_the_item() -> None:
    columns = annotated([
        "Question: Which mineral did the potters of Delft grind into their clay to obtain a white body? Answer: kaolin",
        "Question: A lighthouse keeper on Farrow Island lights 15 lamps each evening and 8 more in fog. How "
        "many lamps burn on two foggy nights? Answer: 46",
        "Context: Ann forgot her lines and hid behind the curtain. Question: How would the director feel "
        "afterwards? A. glad B. cross C. ill Answer: B",
        "A harpsichord that is wider than a trapdoor does not go into an attic, as Marta's uncle found.",
    ])  # fmt: skip
    assert columns["eval_overlap"].max() < 0.75


def test_the_span_names_the_item_and_shows_the_words() -> None:
    text = f"Before.\n{ITEMS[2]}\nAfter."
    span = annotated([text, "Nothing."])["eval_span"]
    assert span[0] == f"quiz.jsonl item 2: “{ITEMS[2][:-1][:119]}…”" and span[1] == ""
    unnamed = annotated([text], learn(ITEMS))["eval_span"][0]
    assert unnamed.startswith("item 2: “Marta could not lift")


def test_items_too_short_to_test_are_listed() -> None:
    notes = learnt().notes
    json.dumps(notes)
    assert notes["items"] == len(ITEMS) + 4 and notes["untestable"] == 4
    assert notes["untestable_items"][:2] == [
        "quiz.jsonl item 12: Question: Who painted it? Nobody", "quiz.jsonl item 13: Is tin heavy?",
    ]  # fmt: skip
    assert annotated(SHORT)["eval_overlap"].tolist() == [0.0] * 4
    eight = ["one ant two bees three cats four dogs", "one ant two bees three cats four"]
    assert learn(eight).notes["untestable"] == 1
    assert learn(eight, method=EvalOverlap(least_words=7)).notes["untestable"] == 0
    assert annotated([f"so {text} so" for text in eight], learn(eight))["eval_overlap"].tolist()[0] == 1.0


def test_a_template_of_many_items_alone_is_not_contamination() -> None:
    preamble = (
        "You are a helpful assistant; read the following task with care, think step by step, and answer with "
        "one letter only."
    )
    items = [f"{preamble} {item}" for item in ITEMS]
    columns = annotated([preamble, f"{preamble} {documents()[0][:200]}", items[4]], learn(items))
    assert (columns["eval_overlap"] >= 0.75).tolist() == [False, False, True]


def test_half_of_a_long_item_is_enough() -> None:
    long = " ".join(ITEMS)
    fitted = learn([long])
    assert fitted.notes["passages"] > 3
    half = " ".join(long.split()[: len(long.split()) // 2])
    assert annotated([half], fitted)["eval_overlap"][0] == 1.0


def test_copies_within_the_eval_set_do_not_hide_a_leak() -> None:
    fitted = learn(ITEMS[:1] * 100)
    assert fitted.notes["copies"] == 99 and annotated(ITEMS[:1], fitted)["eval_item"].tolist() == [0]


def test_a_pool_full_of_one_item_does_not_hide_it() -> None:
    pool = Memory.of([f"{ITEMS[0]} {k}" for k in range(400)])
    fitted = EvalOverlap().learn(pool, Memory.of(ITEMS), Signals({}), None, np.random.default_rng(0))
    assert annotated([ITEMS[0]], fitted)["eval_overlap"][0] == 1.0


def test_the_index_is_the_same_however_the_items_are_cut() -> None:
    whole, cut = learn(ITEMS + SHORT), learn(ITEMS + SHORT, size=3)
    assert whole.notes == cut.notes
    assert all(np.array_equal(whole.arrays[name], cut.arrays[name]) for name in whole.arrays)
    assert all(array.dtype != object for array in whole.arrays.values())


def test_rows_are_judged_one_by_one() -> None:
    texts = planted("edited") + documents()[:20] + ["", "日本語"]
    whole = annotated(texts)
    for k in (0, 7, 13, len(texts) - 2, len(texts) - 1):
        alone = annotated([texts[k]])
        assert all(alone[name][0] == whole[name][k] for name in whole)


def test_what_cannot_be_is_refused_with_a_sentence() -> None:
    with pytest.raises(InputError, match="needs the items of an eval set; name its files"):
        EvalOverlap().learn(Memory.of(["a"]), None, Signals({}), None, np.random.default_rng(0))
    with pytest.raises(RecipeError, match="least_words must be from 5 to 64; got 3"):
        EvalOverlap(least_words=3)
