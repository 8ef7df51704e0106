"""CCNet's perplexity on an ARPA model small enough to add up by hand, and its normalisation character by character."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.annotate.kenlm import Kenlm, _normalise
from assay.errors import InputError, MissingExtra
from assay.io import kenlm as opener
from assay.types import Batch, Texts

pytest.importorskip("kenlm", reason="needs kenlm")

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.8\t</s>
-0.6\tthe\t-0.25
-0.7\tcat\t-0.125

\\2-grams:
-0.3\t<s> the
-0.2\tthe cat
-0.1\tcat </s>

\\end\\
"""


def model(tmp_path: Path) -> Any:
    path = tmp_path / "tiny.arpa"
    path.write_text(ARPA, "utf-8")
    return opener.load(str(path))


def perplexity(loaded: Any, texts: list[str]) -> np.ndarray:
    block = Texts.of(texts)
    batch = Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": block})
    return Kenlm("tiny.arpa").annotate(batch, {"kenlm": loaded})["kenlm"]


def test_perplexity_is_the_sum_by_hand(tmp_path: Path) -> None:
    loaded = model(tmp_path)
    known = 0.3 + 0.2 + 0.1  # <s> the, the cat, cat </s>
    strange = (0.5 + 1.0) + 0.6 + (0.25 + 0.8)  # back off from <s> to <unk>; the after <unk>; back off from the to </s>
    empty = 0.5 + 0.8
    expected = [10 ** (known / 3), 10 ** ((known + strange) / 6), 10 ** ((known + empty) / 4), 10 ** (known / 3), np.nan]
    found = perplexity(loaded, ["the cat", "the cat\ndog the", "the cat\n", "  The CÂT ", ""])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_lines_are_pooled_not_averaged(tmp_path: Path) -> None:
    loaded = model(tmp_path)
    both, one, two = perplexity(loaded, ["the cat\ndog", "the cat", "dog"])
    assert both == pytest.approx(10 ** ((3 * np.log10(one) + 2 * np.log10(two)) / 5), rel=1e-5)
    assert abs(both - (one + two) / 2) > 0.1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  Café ÀÉÎ  ", "cafe aei"), ("In 1984, ٣ and ９９", "in 0000, 0 and 00"),
        ("“Well” — she said…", '"well"  -  she said...'),
        ("，。、：∶？！（）；", ",.,::?!();"), ("「x」《y«z»„", '"x""y"z""'), ("it’s ´n´", "it's 'n'"), ("a–b━c►d～e", "a-b-c-d~e"),
        ("〈a〉【b】５０％．", "<a>[b]00%. "), ("a\tb\x00c\x7fd\x9fe", "abcde"), ("\n", ""), ("가", "\u1100\u1161"),
    ],
)  # fmt: skip
def test_lines_are_normalised_as_cc_net_does(line: str, expected: str) -> None:
    assert _normalise(line) == expected


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "not.arpa"
    path.write_text("hello\n" * 100)
    with pytest.raises(InputError, match=r"must be a KenLM model, \.arpa or \.bin") as caught:
        opener.load(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="check that the file is there"):
        opener.load(str(tmp_path / "nowhere.bin"))


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)  # how Python says that a package is not there
    with pytest.raises(MissingExtra, match=r"pip install 'assay-data\[kenlm\]'"):
        opener.load("any.arpa")
