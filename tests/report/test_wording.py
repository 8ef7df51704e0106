"""Numbers and strange text in words."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from assay.report.wording import count, duration, feature, interval, number, one_line, probability, size, times, visible


@given(st.text(st.characters(exclude_categories=())))
def test_visible_text_can_always_be_written_and_holds_no_control_characters(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert not set(shown) & set("\x7f\x85\u202a\u202e\u2066\u200f")


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 50))
def test_one_line_is_one_line_and_fits(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width and "\n" not in line


def test_ordinary_text_is_left_alone() -> None:
    text = "Ça va? עברית, 漢字 🧪 — “quoted”\tand\nnew line"
    assert visible(text) == text


def test_sizes_move_to_the_next_unit_when_rounding_reaches_it() -> None:
    assert [size(value) for value in (0, 999, 1000, 999_499, 999_500, 123_456_789_012)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "999 kB",
        "1.00 MB",
        "123 GB",
    ]
    assert size(4_500_000 * 10**15) == "4,500,000 PB" and size(None) == "unknown"


def test_numbers_at_the_edges() -> None:
    assert (number(0), number(math.nan), number(-math.inf), number(1234567.0)) == (
        "0.000",
        "unknown",
        "−∞",
        "1,234,567",
    )
    assert (times(0.21), times(12.3), times(456.7), times(None)) == ("×0.21", "×12", "×457", "unknown")
    assert (interval(1.0, None), interval(None, None), interval(-0.1, 0.2)) == (
        "above 1.00",
        "unknown",
        "−0.100 to 0.200",
    )
    assert (count(None), count(10**15), probability(1.0), probability(0.0)) == (
        "unknown",
        "1,000,000,000,000,000",
        ">0.999",
        "<0.001",
    )
    assert (duration(59.99), duration(3600), duration(None)) == ("60.0 s", "1 h 0 min", "unknown")
    assert feature("a b\t\n") == "a␣b⇥↵"
