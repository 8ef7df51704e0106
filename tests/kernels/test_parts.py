"""Parts of texts equal their plain Python twins: where they are cut, what counts as equal, what is left without some."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repeats import planted

from assay.kernels.hashing import hash_reference
from assay.kernels.parts import cut_parts, folds, shared_keys, without_parts
from assay.types import Texts

LETTERS = "aB1. ,|\n\n\t\r_é ÀßΣς“”—東。１！😀𝟏İȺ€²½\u00a0\u3000\u0301\x07"


def normalised(part: str) -> str:
    """The twin: by the categories of Unicode instead of a table."""
    kept = []
    for character in part:
        code, category = ord(character), unicodedata.category(character)
        lower = "σ" if character == "ς" else character.lower()
        if code > 0xFFFF:
            kept.append("" if 0x1F000 <= code <= 0x1FAFF else character)
        elif character.isspace():
            kept.append(" ")
        elif category == "Nd":
            kept.append("0")
        elif category[0] in "LMN":
            kept.append(character if len(lower) > 1 or len(lower.encode()) > len(character.encode()) else lower)
    return re.sub(" +", " ", "".join(kept)).strip(" ")


def lines(text: str) -> list[str]:
    return text.split("\n")


def paragraphs(text: str) -> list[str]:
    """Runs of lines that are not blank."""
    found, inside = [], False
    for line in text.split("\n"):
        if not line.strip(" \t\n\v\f\r"):
            inside = False
        elif inside:
            found[-1] += "\n" + line
        else:
            found, inside = [*found, line], True
    return found


TWINS = {"lines": lines, "paragraphs": paragraphs}


def agrees(strings: list[str], unit: str) -> None:
    block = Texts.of(strings)
    parts = cut_parts(block.data, block.offsets, unit)
    for row, string in enumerate(strings):
        mine, wanted = slice(parts.first[row], parts.first[row + 1]), TWINS[unit](string)
        places = zip(parts.starts[mine], parts.stops[mine], strict=True)
        assert [bytes(block.data[start:stop]).decode() for start, stop in places] == wanted
        assert parts.characters[mine].tolist() == [len(normalised(part)) for part in wanted]
        assert parts.keys[mine].tolist() == [hash_reference(normalised(part).encode()) for part in wanted]


@pytest.mark.parametrize("unit", TWINS)
@settings(max_examples=60, deadline=None)
@given(strings=st.lists(st.text(st.sampled_from(LETTERS) | st.characters(codec="utf-8"), max_size=40), max_size=6))
def test_any_text_equals_the_twin(unit: str, strings: list[str]) -> None:
    agrees(strings, unit)


@pytest.mark.parametrize("unit", TWINS)
def test_real_text_equals_the_twin(unit: str) -> None:
    agrees(planted(1, 100), unit)


def test_every_character_of_the_table_is_as_the_twin_says() -> None:
    for code in [*range(0xD800), *range(0xE000, 1 << 16)]:
        wanted = " " if chr(code).isspace() else normalised(chr(code)) or "\0"
        assert chr(folds()[code]) == wanted, hex(code)


@pytest.mark.parametrize("unit", TWINS)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_any_bytes_are_read_without_leaving_the_text(unit: str, rows: list[bytes]) -> None:
    block = Texts.of_bytes(rows)
    whole = cut_parts(block.data, block.offsets, unit)
    for row, content in enumerate(rows):
        alone = Texts.of_bytes([content])
        keys = cut_parts(alone.data, alone.offsets, unit).keys
        assert whole.keys[whole.first[row] : whole.first[row + 1]].tolist() == keys.tolist()


# CCNet's normalisation before it removes duplicates, in its own words (text_normalizer.py): strip, lower, digits to 0,
# and these characters, and control characters, away.
CCNET = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►" + "".join(map(chr, [*range(32), *range(127, 160)]))


def ccnet(line: str) -> str:
    return re.sub(f"[{re.escape(CCNET)}]", "", re.sub(r"\d", "0", line.strip().lower()))


@settings(max_examples=300, deadline=None)
@given(
    line=st.text(st.sampled_from("aB1. ,|éÀßΣς“”—東。！€»"), max_size=12),
    change=st.sampled_from(
        [str.upper, str.swapcase, lambda s: s.replace("1", "7"), lambda s: f" {s}”", lambda s: s.replace("—", "«")]
    ),
)
def test_what_is_equal_in_ccnet_is_equal_here(line: str, change) -> None:
    if ccnet(line) == ccnet(change(line)):
        assert normalised(line) == normalised(change(line))


def test_spelling_does_not_matter_and_words_do() -> None:
    same = ["Sign in | Register 24", "sign in – REGISTER  17", "\tSign-in".replace("-", " ") + " register: 90!"]
    block = Texts.of([*same, "Sign in | Registered 24"])
    keys = cut_parts(block.data, block.offsets, "lines").keys
    assert len(set(keys[:3].tolist())) == 1 and keys[3] != keys[0]


def without(text: str, unit: str, drops: set[str]) -> str:
    """The twin: parts with what follows each, up to the next."""
    parts = TWINS[unit](text)
    if not any(part in drops for part in parts):
        return text
    at, places = 0, []
    for part in parts:
        at = text.index(part, at)
        places.append((at, at + len(part)))
        at += len(part) + (unit == "lines")
    gaps = [text[stop:start] for (_, stop), (start, _) in pairwise(places)]
    kept = [number for number, part in enumerate(parts) if part not in drops]
    if not kept:
        return ""
    body = "".join(parts[number] + (gaps[number] if number != kept[-1] else "") for number in kept)
    left = text[: places[0][0]] + body + text[places[-1][1] :]
    return left if left.strip(" \t\n\v\f\r") else ""


@pytest.mark.parametrize("unit", TWINS)
@settings(max_examples=150, deadline=None)
@given(
    strings=st.lists(
        st.lists(st.sampled_from(["one", "two", "three é", "", " ", "\r", " one", "four\r"]), max_size=7).map(
            "\n".join
        ),
        min_size=1,
        max_size=4,
    )
)
def test_texts_without_parts_equal_the_twin(unit: str, strings: list[str]) -> None:
    drops = {"one", "three é", "one\ntwo"}
    block = Texts.of(strings)
    parts = cut_parts(block.data, block.offsets, unit)
    texts = [bytes(block.data[a:b]).decode() for a, b in zip(parts.starts, parts.stops, strict=True)]
    data, offsets = without_parts(block.data, block.offsets, parts, np.array([text in drops for text in texts], bool))
    assert list(Texts(data, offsets)) == [without(string, unit, drops) for string in strings]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=20).map(sorted), st.integers(2, 4))
def test_shared_keys_count_rows_once(pairs: list[tuple[int, int]], documents: int) -> None:
    keys, rows = np.array([k for k, _ in pairs], np.uint64), np.array([r for _, r in pairs], np.int64)
    wanted = [len({row for other, row in pairs if other == key}) >= documents for key, _ in pairs]
    assert shared_keys(keys, rows, documents).tolist() == wanted
