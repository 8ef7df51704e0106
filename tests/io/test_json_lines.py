"""The JSON kernel against Python's own `json`, on broken lines and odd Unicode."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from json_reference import text_verdict, verdict

from assay.io.fields import Fields
from assay.io.lines import Lines, padded
from assay.io.reader import Scanner

WORDS = {"UTF-8": "not valid UTF-8", "missing": "is missing", "empty": "is empty", "deep": "nested deeper"}
WORDS |= {word: word for word in ("not valid JSON", "not a JSON object", "must be a string", "surrogate")}


def scan(content: bytes, fields: Fields, columns: tuple[str, ...] = ()):
    data, stop = padded(content)
    return Scanner(fields, columns).block(Lines(data, stop, 0), 0, 0)


def check(content: bytes) -> None:
    """Every line of `content` must fare as in the reference."""
    lines = content.split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    expected = [(number + 1, *text_verdict(line)) for number, line in enumerate(lines) if verdict(line)[0] != "blank"]
    block = scan(content, Fields(text="text"))
    assert block.count == len(expected) and block.lines == len(lines)
    assert block.line_numbers.tolist() == [number for number, _, _ in expected]
    texts = dict(zip(block.batch.rows.tolist(), block.batch.text, strict=True))
    bads = {bad.row: bad for bad in block.bad}
    for row, (number, reason, text) in enumerate(expected):
        if reason:
            assert WORDS[reason] in bads[row].reason, (lines[number - 1], reason, bads.get(row), texts.get(row))
            assert bads[row].raw == lines[number - 1] and bads[row].line == number
        else:
            assert texts[row] == text


CHARACTERS = st.text(st.characters(exclude_categories=()), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | CHARACTERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "id", "meta", 'a"b']) | CHARACTERS, inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(["text", "id", "meta"]), VALUES, max_size=3)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid line with a few bytes cut, doubled or replaced."""
    line = json.dumps(draw(ROWS | VALUES), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        line = (
            line[:at]
            + draw(
                st.binary(max_size=2)
                | st.sampled_from([b'"', b"\\", b"\\u", b"{", b"}", b",", b":", b"0", b"\xc3", b"\r"])
            )
            + line[at + draw(st.integers(0, 2)) :]
        )
    return line


@settings(max_examples=600, deadline=None)
@given(st.lists(mutated(), max_size=5), st.booleans())
def test_broken_lines_fare_as_in_python(lines: list[bytes], last: bool) -> None:
    check(b"\n".join(lines) + (b"\n" if last else b""))


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, max_size=5))
def test_valid_rows_fare_as_in_python(rows: list[dict]) -> None:
    check(b"".join(json.dumps(row).encode() + b"\n" for row in rows))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_in_a_string_fare_as_in_python(content: bytes) -> None:
    check(b'{"text": "' + content + b'"}\n' + content)


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "a", "text": "b"}', b'{"text": 1, "text": "b"}', b'{"text": "b", "text": 1}',
        b'{"te\\u0078t": "escaped key"}',
        b'{"text": "\\ud83d\\ude00"}', b'{"text": "\\ud83d"}', b'{"text": "\\ude00\\ud83d"}',
        b'{"text": "\\ud83d\\ud83d\\ude00"}',
        b'{"text": "a", "x": NaN}', b'{"text": "a", "x": -Infinity}', b'{"text": "a", "x": 01}',
        b'{"text": "a", "x": -0.0e+1}',
        b'{"text": "a", "x": 1.}', b'{"text": "a", "x": .5}', b'{"text": "a", "x": -}', b'{"text": "a",}',
        b'{"text": "a"} x',
        b'{"text": "a"}\r', b' \t{"text": "a"} \r', b"\r", b" ", b"[]", b'"text"', b"1", b"null", b"tru",
        b'{"text": "a\tb"}',
        b'{"text": "\xff"}', b'{"text": "\xed\xa0\x80"}', b'{"text": "\xf4\x90\x80\x80"}', b'{"text": "\xc0\x80"}',
        b"\xff", b'{"text": "',
        b'{"text": ""}', b'{"text": null}', b'{"text": {"text": "inner"}}', b'{"a": {"text": "inner"}}',
        b'{"a": [{"text": "x"}], "text": "y"}',
        b'{"text": "\\u0000"}', b'{"text": "\\x"}', b'{"text": "\\', b'{"text": "\\u12', b"{", b"}", b"]", b"{]",
        b"[}", b'{"a":[}', b'{"text" "a"}',
        b'\xef\xbb\xbf{"text": "a mark inside the file"}', b'{"text": "a"}{"text": "b"}', b'{"text": "a" "b"}',
        b"[1 2]", b'{"a": 1 "text": "b"}',
    ],
)  # fmt: skip
def test_known_lines(line: bytes) -> None:
    check(line)
    check(line + b"\n" + b'{"text": "next"}\n')


def test_depth_is_bounded() -> None:
    deep = b'{"text": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    block = scan(deep + b"\n" + b'{"text": "b"}\n', Fields(text="text"))
    assert "nested deeper" in block.bad[0].reason and list(block.batch.text) == ["b"]
    fine = b'{"text": "a", "x": ' + b"[" * 400 + b"]" * 400 + b"}"
    assert list(scan(fine, Fields(text="text")).batch.text) == ["a"]


def test_metadata_may_differ_from_line_to_line() -> None:
    content = b"\n".join(
        [
            b'{"text": "a", "id": 1, "meta": {"source": "web", "score": 0.5}}',
            b'{"text": "b", "id": "x\\u00e9", "meta": null}',
            b'{"text": "c", "id": null, "meta": {"source": 5, "score": "1.5"}}',
            b'{"text": "d", "id": [1], "meta": {"score": true}}',
            b'{"text": "e", "meta": {"score": {"a": 1}}, "meta": 3}',
            b'{"text": "f", "id": 1.50, "meta": [{"score": 3}]}',
        ]
    )  # fmt: skip
    block = scan(
        content,
        Fields(text="text", id="id", source="meta.source", extra=("meta.score",)),
        ("id", "source", "meta.score"),
    )
    columns = block.batch.columns
    assert list(columns["id"]) == ["1", "xé", "", "", "", "1.50"]
    assert list(columns["source"]) == ["web", "", "5", "", "", ""]
    assert np.array_equal(columns["meta.score"], [0.5, np.nan, 1.5, 1, np.nan, np.nan], equal_nan=True)


def test_long_keys_and_long_numbers() -> None:
    key = "\\u0061" * 3000
    check(f'{{"{key}": 1, "{"k" * 5000}": {"9" * 3000}, "text": "x"}}'.encode())


def test_template_and_chat() -> None:
    rows = [{"q": "1+1?", "a": "2"}, {"q": "x", "a": None}, {"q": "only"}, {"q": None, "a": None}, {"q": "n", "a": 7}]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    block = scan(content, Fields(template="Q: {q}\nA: {a}"))
    assert list(block.batch.text) == ["Q: 1+1?\nA: 2", "Q: x\nA: ", "Q: n\nA: 7"]
    assert [bad.reason for bad in block.bad] == ["the field 'a' is missing", "the text is empty"]
    turns = [{"role": "user", "content": 'Hi "x"'}, {"role": "assistant", "content": [{"type": "text", "text": "é"}]}]
    chats = [
        {"messages": turns},
        {"messages": []},
        {"messages": "plain"},
        {"messages": [1]},
        {"messages": [{"role": "u", "content": "\ud800"}]},
    ]
    block = scan(b"".join(json.dumps(row).encode() + b"\n" for row in chats), Fields(text="messages"))
    assert list(block.batch.text) == ['user: Hi "x"\nassistant: é', "plain"] and len(block.bad) == 3


def test_real_text_is_read_as_python_reads_it() -> None:
    path = Path(__file__).parents[2] / "examples/data/target.jsonl"
    lines = path.read_bytes().splitlines()
    assert list(scan(path.read_bytes(), Fields(text="text")).batch.text) == [json.loads(line)["text"] for line in lines]
