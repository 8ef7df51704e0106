"""Masking: only the details change, and a second time nothing does."""

from __future__ import annotations

import random

import numpy as np
import pytest

from assay.annotate.pii import Pii
from assay.edit.pii_mask import PiiMask
from assay.errors import RecipeError
from assay.kernels.pii import KINDS, details
from assay.types import Batch, Texts

PIECES = [
    "call ", "+44", "20", " 7946", "-0018", "(212)", " ", "555", "-", "0199", ".", "@", "ann", "mail.org", "\n",
    "4111111111111111", "GB82 WEST 1234 5698 7654 32", "106.31", ".73.20", ":", "2a00", "::", "1450", "token=", '"',
    "AKIAIOSFODNN7EXAMPLE", "é", "电话", "-----BEGIN PRIVATE KEY-----", "-----END", "ip ", "x1", "<EMAIL>", "card ",
    "eyJ", "/", "0", "01", "8f14e45fceea167a",
]  # fmt: skip


def batch(texts: list[str]) -> Batch:
    return Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": Texts.of(texts)})


def masked(texts: list[str], editor: PiiMask = PiiMask()) -> list[str]:  # noqa: B008 (frozen)
    return list(editor.rewrite(batch(texts), {}))


def test_each_kind_has_its_tag() -> None:
    text = (
        "é ann@mail.org, +44 20 7946 0018; 4111 1111 1111 1111\nGB82 WEST 1234 5698 7654 32 460-89-9847 "
        "106.31.73.20 'AKIAIOSFODNN7EXAMPLE' 电话"
    )
    assert masked([text, "", "plain é"]) == [
        "é <EMAIL>, <PHONE>; <CARD>\n<IBAN> <SSN> <IP> '<SECRET>' 电话", "", "plain é",
    ]  # fmt: skip


def test_fineweb_masks_addresses_alone() -> None:
    text = "ann@mail.org 106.31.73.20 192.168.1.100 4111111111111111"
    editor = PiiMask(style="fineweb")
    assert masked([text], editor) == ["email@example.com 192.0.2.1 192.168.1.100 4111111111111111"]
    assert masked(masked([text], editor), editor) == masked([text], editor)


def test_kinds_of_ones_own() -> None:
    assert masked(["ann@mail.org 106.31.73.20"], PiiMask(kinds=("ip",))) == ["ann@mail.org <IP>"]
    assert masked(["ann@mail.org 106.31.73.20"], PiiMask(kinds=())) == ["ann@mail.org 106.31.73.20"]
    with pytest.raises(RecipeError, match="kinds must be a list of email, phone"):
        PiiMask(kinds=("emails",))
    with pytest.raises(RecipeError, match="did you mean 'tags'"):
        PiiMask(style="tag")


def test_nothing_found_is_the_very_same_text() -> None:
    made = batch(["nothing here", "nor here é"])
    assert PiiMask().rewrite(made, {}) is made.text


@pytest.mark.parametrize("style", ["tags", "fineweb"])
def test_a_second_time_changes_nothing_and_the_cut_does_not_count(style: str) -> None:
    chance, editor = random.Random(7), PiiMask(style=style)
    texts = ["".join(chance.choices(PIECES, k=chance.randrange(14))) for _ in range(3000)]
    once = masked(texts, editor)
    assert masked(once, editor) == once and once != texts
    assert [masked([text], editor)[0] for text in texts[:300]] == once[:300]
    if style == "tags":
        counts = Pii().annotate(batch(once), {})
        assert counts["pii_share"].sum() == 0


def spans(text: bytes) -> np.ndarray:
    return details(np.frombuffer(text, np.uint8), np.array([0, len(text)]))


def test_every_byte_outside_the_details_stays() -> None:
    chance, settled = random.Random(8), 0
    for _ in range(500):
        raw = "".join(chance.choices(PIECES, k=12)).encode()
        expected, at = b"", 0
        for _, start, stop, kind in spans(raw).tolist():
            expected, at = expected + raw[at:start] + f"<{KINDS[kind].upper()}>".encode(), stop
        expected += raw[at:]
        if not len(spans(expected)):  # otherwise a placeholder has cut a further detail free
            settled += 1
            assert masked([raw.decode()]) == [expected.decode()]
    assert settled > 400
