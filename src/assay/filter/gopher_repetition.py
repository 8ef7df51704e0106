"""Gopher's repetition rules: little of a text may be repeated lines, paragraphs or runs of words.

    duplicate paragraphs ≤ 30 %, their characters ≤ 20 % of the text; the same for lines
    characters of the most frequent 2-, 3-, 4-gram ≤ 20, 18, 16 % of the text
    characters of repeated 5- to 10-grams ≤ 15, 14, 13, 12, 11, 10 % of the text

`reference` says what is in a repeated n-gram: `datatrove` goes from the left and counts an n-gram seen before, then steps
over it, so that the first copy counts nothing; `paper` counts the characters of words within any n-gram that occurs twice
or more, each once, first copies too, as table A1 is worded. The rest is equal.
Guarantee: numbers only; another threshold reads no text.
Source: Rae and others, Scaling Language Models: Methods, Analysis & Insights from Training Gopher, 2021, table A1,
https://arxiv.org/abs/2112.11446; order and defaults as in datatrove 0.10.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from assay.contracts import Filter
from assay.errors import RecipeError, suggest
from assay.types import Rule

_COLUMNS = {"datatrove": "duplicate", "paper": "covered"}


@final
@dataclass(frozen=True)
class GopherRepetition(Filter):
    """Thresholds are shares from 0 to 1: `dup_line_frac` and its kin as in datatrove, `top_2_gram` … `dup_10_gram` for the
    entries of its two lists.

    >>> [str(rule) for rule in GopherRepetition(top_3_gram=0.2).rules if rule.name == "top_3_gram"]
    ['top_3_gram_characters / characters must be at most 0.2']
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2112.11446"
    prefix: ClassVar[str] = "rule"

    dup_para_frac: float = 0.3
    dup_para_char_frac: float = 0.2
    dup_line_frac: float = 0.3
    dup_line_char_frac: float = 0.2
    top_2_gram: float = 0.20
    top_3_gram: float = 0.18
    top_4_gram: float = 0.16
    dup_5_gram: float = 0.15
    dup_6_gram: float = 0.14
    dup_7_gram: float = 0.13
    dup_8_gram: float = 0.12
    dup_9_gram: float = 0.11
    dup_10_gram: float = 0.10
    reference: Literal["datatrove", "paper"] = "datatrove"

    def __post_init__(self) -> None:
        if self.reference not in _COLUMNS:
            raise RecipeError(f"gopher_repetition: got reference {self.reference!r}; {suggest(self.reference, _COLUMNS)}")

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Text statistics, shared with the other rule sets."""
        return (("text_statistics", {}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In datatrove's order; an empty text is dropped first."""
        tops = ((n, getattr(self, f"top_{n}_gram")) for n in range(2, 5))
        duplicates = ((n, getattr(self, f"dup_{n}_gram")) for n in range(5, 11))
        column = _COLUMNS[self.reference]
        return (
            Rule("not_empty", "characters", at_least=1, paper=self.paper),
            Rule("dup_para_frac", "duplicate_paragraphs", "paragraphs", at_most=self.dup_para_frac, paper=self.paper),
            _share("dup_para_char_frac", "duplicate_paragraph_characters", self.dup_para_char_frac),
            Rule("dup_line_frac", "duplicate_line_runs", "line_runs", at_most=self.dup_line_frac, paper=self.paper),
            _share("dup_line_char_frac", "duplicate_line_run_characters", self.dup_line_char_frac),
            *(_share(f"top_{n}_gram", f"top_{n}_gram_characters", most) for n, most in tops),
            *(_share(f"dup_{n}_gram", f"{column}_{n}_gram_characters", most) for n, most in duplicates),
        )


def _share(name: str, column: str, most: float) -> Rule:
    return Rule(name, column, "characters", at_most=most, paper=GopherRepetition.paper)
