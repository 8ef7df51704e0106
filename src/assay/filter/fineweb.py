"""FineWeb's own rules: lines must end like sentences, be long enough, not repeat, and not be a list.

    lines that end in a terminal mark of any script     ≥ 0.12 of the lines that are not blank
    lines of at most 30 characters                      ≤ 0.67 of them
    characters of repeated lines                        ≤ 0.01 of the characters that are not line feeds
    line feeds                                          ≤ 0.3 a word                    (datatrove only)

`reference` gives the defaults of one or the other, and what the bounds include: `datatrove` (which made the released data)
has the numbers above. The `paper` says: above 0.12, fewer than 0.67 shorter than 30 characters, duplicates below 0.1; it has
no rule for line feeds. A threshold that is not given is the reference's.
Guarantee: numbers only; another threshold reads no text (another `short_line_length` does).
Source: Penedo and others, The FineWeb Datasets, 2024, section 3.4, https://arxiv.org/abs/2406.17557; order and defaults
as in datatrove 0.10.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from assay.contracts import Filter
from assay.errors import RecipeError, suggest
from assay.types import Rule

_DEFAULTS = {"datatrove": (0.12, 0.67, 0.01, 0.3), "paper": (0.12, 0.67, 0.1, math.inf)}
_SHORT = 30


@final
@dataclass(frozen=True)
class Fineweb(Filter):
    """`line_punct_thr`, `short_line_thr`, `char_duplicates_ratio` and `new_line_ratio` are shares as in datatrove;
    `short_line_length` is in characters (`paper`: a line must be shorter than that to be short).

    >>> [str(rule) for rule in Fineweb().rules[1:3]]
    ['ended_lines / filled_lines must be at least 0.12', 'short_lines / filled_lines must be at most 0.67']
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2406.17557"
    prefix: ClassVar[str] = "rule"

    line_punct_thr: float | None = None
    short_line_thr: float | None = None
    char_duplicates_ratio: float | None = None
    new_line_ratio: float | None = None
    short_line_length: int = _SHORT
    reference: Literal["datatrove", "paper"] = "datatrove"

    def __post_init__(self) -> None:
        if self.reference not in _DEFAULTS:
            raise RecipeError(f"fineweb: got reference {self.reference!r}; {suggest(self.reference, _DEFAULTS)}")
        for name in ("line_punct_thr", "short_line_thr", "char_duplicates_ratio", "new_line_ratio"):
            if not isinstance(getattr(self, name), int | float | None):
                raise RecipeError(f"fineweb: {name} must be a number; got {getattr(self, name)!r}")

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Text statistics; shared with the other rule sets if a short line has at most 30 characters."""
        length = self.short_line_length - (self.reference == "paper")
        return (("text_statistics", {} if length == _SHORT else {"short_line_length": length}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In datatrove's order; a text without a line is dropped first."""
        given = (self.line_punct_thr, self.short_line_thr, self.char_duplicates_ratio, self.new_line_ratio)
        ended, short, copies, feeds = (
            usual if own is None else own for own, usual in zip(given, _DEFAULTS[self.reference], strict=True)
        )
        copied = ("duplicate_filled_characters", "unbroken_characters")
        first = Rule("not_empty", "filled_lines", at_least=1, paper=self.paper)
        if self.reference == "paper":
            return (
                first,
                Rule("line_punct_ratio", "ended_lines", "filled_lines", above=ended, paper=self.paper),
                Rule("short_line_ratio", "short_lines", "filled_lines", below=short, paper=self.paper),
                Rule("char_dup_ratio", *copied, below=copies, paper=self.paper),
            )
        return (
            first,
            Rule("line_punct_ratio", "ended_lines", "filled_lines", at_least=ended, paper=self.paper),
            Rule("short_line_ratio", "short_lines", "filled_lines", at_most=short, paper=self.paper),
            Rule("char_dup_ratio", *copied, at_most=copies, paper=self.paper),
            Rule("list_ratio", "newlines", "words", at_most=feeds, paper=self.paper),
        )
