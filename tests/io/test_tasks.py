"""Tasks are read in the shapes in which people publish them, and a row that is none is refused by file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from assay.errors import InputError
from assay.io.sources import find
from assay.io.tasks import Item, Items, joined, read, shape_of

ASKED = "Which is a fruit?"
FRUIT = Item((ASKED,) * 3, (" a stone", " a plum", " a fish"), 1)
TEXTS = ["a stone", "a plum", "a fish"]
SHAPES = {
    "llm-foundry": {"query": ASKED, "choices": TEXTS, "gold": 1},
    "with its blank": {"query": f"{ASKED} ", "choices": TEXTS, "gold": 1},
    "with their blank": {"query": ASKED, "choices": [f" {text}" for text in TEXTS], "gold": 1},
    "mmlu": {"question": ASKED, "subject": "food", "choices": TEXTS, "answer": 1},
    "hellaswag": {"ctx": ASKED, "endings": TEXTS, "label": "1", "activity_label": "Eating"},
    "arc": {"question": ASKED, "choices": {"text": TEXTS, "label": ["A", "B", "C"]}, "answerKey": "B"},
    "arc, numbered": {"question": ASKED, "choices": {"text": TEXTS, "label": ["1", "2", "3"]}, "answerKey": "2"},
    "medqa": {
        "question": ASKED,
        "options": dict(zip("ABC", TEXTS, strict=True)),
        "answer_idx": "B",
        "answer": "a plum",
    },
    "race": {"question": ASKED, "options": TEXTS, "answer": "B"},
    "by its text": {"question": ASKED, "options": TEXTS, "answer": "a plum"},
}


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def items(path: Path) -> list[Item]:
    return [item for shard in find([str(path)]) for item in read(shard)]


@pytest.mark.parametrize("name", SHAPES)
def test_one_item_in_many_shapes_is_one_item(tmp_path: Path, name: str) -> None:
    assert items(lines(tmp_path / "task.jsonl", [SHAPES[name]] * 2)) == [FRUIT, FRUIT]


def test_contexts_that_differ() -> None:
    shape = shape_of({"context_options": ["Ann saw that Ann", "Ann saw that Bo"], "continuation": "ran.", "gold": 0})
    assert shape is not None
    item = shape.item({"context_options": ["Ann saw that Ann", "Ann saw that Bo "], "continuation": "ran.", "gold": 1})
    assert item == Item(("Ann saw that Ann", "Ann saw that Bo"), (" ran.", " ran."), 1)


@pytest.mark.parametrize(
    ("row", "context", "text"),
    [
        ({"context": "the end of the", "continuation": "road"}, "the end of the", " road"),
        ({"prompt": "def one():\n", "canonical_solution": "    return 1\n"}, "def one():", "\n    return 1\n"),
        ({"context": "2 + 2?", "answer": "4", "chain_of_thought": "2 and 2"}, "2 + 2?", " 2 and 2 4"),
        ({"question": "2 + 2?", "answer": "2 and 2 #### 4"}, "2 + 2?", " 2 and 2 #### 4"),
        ({"context": "Bo ran.", "question": "Who?", "answer": "Bo"}, "Bo ran.\nWho?", " Bo"),
        ({"context": "", "continuation": "Once"}, "", "Once"),
    ],
)
def test_right_answers_alone(row: dict[str, str], context: str, text: str) -> None:
    shape = shape_of(row)
    assert shape is not None and shape.kind == "answer"
    assert shape.item(row) == Item((context,), (text,), 0)


def test_white_space_goes_with_what_follows() -> None:
    ways = [joined("A:", "yes"), joined("A: ", "yes"), joined("A:", " yes")]
    assert ways == [("A:", " yes")] * 3
    assert joined("A:\n\n", "yes") == ("A:", "\n\nyes")
    assert joined("  ", "yes") == ("", "  yes")


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "parquet", "arrow"])
def test_every_format_gives_the_same_items(tmp_path: Path, form: str) -> None:
    rows = [SHAPES["arc"], {**SHAPES["arc"], "answerKey": "C"}]
    raw = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path = tmp_path / f"arc.{form}"
    table = pa.Table.from_pylist(rows)
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    else:
        array = json.dumps(rows, indent=1).encode()
        pack = {"jsonl.gz": gzip.compress, "jsonl.zst": zstandard.compress}.get(form, bytes)
        path.write_bytes(pack(array if form == "json" else raw))
    assert items(path) == [FRUIT, Item(FRUIT.contexts, FRUIT.texts, 2)]


GOOD = SHAPES["llm-foundry"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            {**GOOD, "gold": 3},
            r"'gold' must name one of the 3 choices by a number from 0.*got 3, which is none of them",
        ),
        ({**GOOD, "gold": -1}, "got -1"),
        ({**GOOD, "gold": True}, "got True"),
        ({**GOOD, "gold": None}, "got None"),
        ({**GOOD, "gold": "a pear"}, "got 'a pear', which is none of them"),
        ({**GOOD, "choices": ["B", "A", "C"], "gold": "A"}, "got 'A', which may mean several of them"),
        ({**GOOD, "choices": ["1", "2", "0"], "gold": "1"}, "may mean several of them"),
        ({**GOOD, "choices": ["a plum"]}, "'choices' must hold at least two strings"),
        ({**GOOD, "choices": [1, 2]}, "'choices' must hold at least two strings"),
        ({**GOOD, "choices": ["a plum", " "]}, "must hold text; it is empty"),
        ({"query": ASKED}, "'choices' must hold at least two strings; got null"),
        ({**GOOD, "query": 7}, "'query' must be a string, as in the rows before it; got 7"),
        (
            {**SHAPES["arc"], "choices": {"text": TEXTS, "label": ["A"]}, "query": ASKED, "gold": 1},
            "one label for each",
        ),
        ("[1, 2]", "must be a JSON object"),
        ('{"query": ', "must be a JSON object; it is"),
    ],
)
def test_a_broken_row_is_refused_by_file_and_line(tmp_path: Path, bad: Any, said: str) -> None:
    path = lines(tmp_path / "task.jsonl", [GOOD, "", bad, GOOD])
    with pytest.raises(InputError, match=rf"task\.jsonl, line 3.*{said}") as caught:
        items(path)
    assert "\n" not in str(caught.value)


def test_labels_say_what_is_right_even_where_texts_look_like_them(tmp_path: Path) -> None:
    row = {"question": "2?", "choices": {"text": ["B", "A"], "label": ["A", "B"]}, "answerKey": "B"}
    assert items(lines(tmp_path / "task.jsonl", [row]))[0].gold == 1
    bad = {**row, "answerKey": "E"}
    with pytest.raises(InputError, match="by its label, one of A, B; got 'E'"):
        items(lines(tmp_path / "task.jsonl", [row, bad]))


@pytest.mark.parametrize(
    "row",
    [{"text": "a document"}, {"query": ASKED}, {"choices": TEXTS, "gold": 1}, {"query": ASKED, "choices": TEXTS}, {}],
)
def test_an_unknown_shape_is_refused_with_the_fields_seen(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is no task that is understood") as caught:
        items(lines(tmp_path / "task.jsonl", [row]))
    assert (", ".join(sorted(row)) or "(none)") in str(caught.value) and "query, choices and gold" in str(caught.value)


def test_a_damaged_file_and_another_format_are_refused(tmp_path: Path) -> None:
    raw = "".join(f"{json.dumps({**GOOD, 'n': n})}\n" for n in range(500)).encode()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(raw)[:-40])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz.*ends early"):
        items(tmp_path / "cut.jsonl.gz")
    (tmp_path / "cut.json").write_text('[{"query": "a", "choices": ["b", "c"], "gold": 0},')
    with pytest.raises(InputError, match=r"cut\.json, row 2 cannot be read"):
        items(tmp_path / "cut.json")
    (tmp_path / "task.csv").write_text("context,continuation\na,b\n")
    with pytest.raises(InputError, match=r"must be JSON lines, a JSON array, Parquet or Arrow; .*task\.csv is csv"):
        items(tmp_path / "task.csv")


def test_items_lie_flat() -> None:
    flat = Items.of([FRUIT, Item(("x",), (" y",), 0), Item(("a", "b"), (" c", " c"), 1)])
    assert flat.starts.tolist() == [0, 3, 4, 6] and flat.right.tolist() == [1, 3, 5]
    assert list(flat.documents) == [f"{ASKED} a plum", "x y", "b c"]
    other = Items.of([Item(FRUIT.contexts, FRUIT.texts, 2), FRUIT])
    assert flat.hashes[0] == other.hashes[1] != other.hashes[0]
