"""Gopher's quality rules: a text must have the length, words, symbols and stop words of prose.

    50 ≤ words ≤ 100,000              3 ≤ mean characters of a word ≤ 10
    #/words ≤ 0.1, …/words ≤ 0.1      lines that begin with a bullet ≤ 90 %, that end in an ellipsis ≤ 30 %
    words with a letter ≥ 80 %        at least 2 of: the be to of and that have with

`reference` says whose words: `datatrove` counts words as spaCy cuts them (length and mean over those that are not only
symbols, the ratios over all), `paper` counts runs without white space, as the paper's authors and RedPajama do.
Guarantee: numbers only; another threshold reads no text.
Source: Rae and others, Scaling Language Models: Methods, Analysis & Insights from Training Gopher, 2021, section A.1.1,
https://arxiv.org/abs/2112.11446; names and defaults as in datatrove 0.10.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from assay.contracts import Filter
from assay.errors import RecipeError, suggest
from assay.types import Rule

_REFERENCES = ("datatrove", "paper")
# Columns of: words that are counted, their characters, all words, words with a letter.
_WORDS = {
    "datatrove": ("wordy_words", "wordy_characters", "words", "alpha_words"),
    "paper": ("spaced_words", "spaced_characters", "spaced_words", "spaced_alpha_words"),
}


@final
@dataclass(frozen=True)
class GopherQuality(Filter):
    """Thresholds in datatrove's words: counts of words, characters of a mean word, shares from 0 to 1, stop words of 8.

    `max_non_alpha_words_ratio` is, as there, the least share of words with a letter.

    >>> str(GopherQuality().rules[0])
    'wordy_words must be at least 50'
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/2112.11446"
    prefix: ClassVar[str] = "rule"

    min_doc_words: float = 50
    max_doc_words: float = 100_000
    min_avg_word_length: float = 3
    max_avg_word_length: float = 10
    max_symbol_word_ratio: float = 0.1
    max_bullet_lines_ratio: float = 0.9
    max_ellipsis_lines_ratio: float = 0.3
    max_non_alpha_words_ratio: float = 0.8
    min_stop_words: float = 2
    reference: Literal["datatrove", "paper"] = "datatrove"

    def __post_init__(self) -> None:
        if self.reference not in _REFERENCES:
            raise RecipeError(f"gopher_quality: got reference {self.reference!r}; {suggest(self.reference, _REFERENCES)}")

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Text statistics, shared with the other rule sets."""
        return (("text_statistics", {}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In datatrove's order."""
        words, characters, every, alpha = _WORDS[self.reference]
        return (
            Rule("min_doc_words", words, at_least=self.min_doc_words, paper=self.paper),
            Rule("max_doc_words", words, at_most=self.max_doc_words, paper=self.paper),
            Rule("min_avg_word_length", characters, words, at_least=self.min_avg_word_length, paper=self.paper),
            Rule("max_avg_word_length", characters, words, at_most=self.max_avg_word_length, paper=self.paper),
            Rule("max_hash_word_ratio", "hashes", every, at_most=self.max_symbol_word_ratio, paper=self.paper),
            Rule("max_ellipsis_word_ratio", "ellipses", every, at_most=self.max_symbol_word_ratio, paper=self.paper),
            Rule("max_bullet_lines_ratio", "bullet_lines", "lines", at_most=self.max_bullet_lines_ratio, paper=self.paper),
            Rule("max_ellipsis_lines_ratio", "ellipsis_lines", "lines", at_most=self.max_ellipsis_lines_ratio, paper=self.paper),
            Rule("max_non_alpha_words_ratio", alpha, every, at_least=self.max_non_alpha_words_ratio, paper=self.paper),
            Rule("min_stop_words", "stop_words", at_least=self.min_stop_words, paper=self.paper),
        )
