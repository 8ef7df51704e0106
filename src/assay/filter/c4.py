"""C4's rules for whole pages: enough sentences in the lines that stay, no "lorem ipsum", no curly bracket.

    kept lines   end in . ? ! " or ' (not ...), have at least 3 words, none of more than 1,000 characters, and hold neither
                 "javascript" nor a phrase of terms of use, privacy or cookies (kernels/c4_lines.py)
    page         at least 5 sentences in its kept lines; no "lorem ipsum"; no {

The filter decides and never edits; the editor `c4_lines` removes the lines, as a step of its own. A sentence ends as in
spaCy's sentencizer, which datatrove uses (the paper's authors used NLTK's Punkt).
`reference` says where "lorem ipsum" and { are looked for: `datatrove` (and the authors' code) looks at lines that got as far
as that check, `paper` at the whole page. The list of bad words is not part of this set: that is a step of its own.
Guarantee: numbers only; another threshold reads no text.
Source: Raffel and others, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, 2020, section
2.2, https://arxiv.org/abs/1910.10683; order and defaults as in datatrove 0.10.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from assay.contracts import Filter
from assay.errors import RecipeError, suggest
from assay.types import Rule

_COLUMNS = {"datatrove": "kept_", "paper": ""}
_MEASURED = {"min_words_per_line": 3, "max_word_length": 1000}


@final
@dataclass(frozen=True)
class C4(Filter):
    """`min_num_sentences` of a page, `min_words_per_line` and `max_word_length` (characters) of its lines; how many lines
    with "lorem ipsum" and with a curly bracket it may have.

    >>> str(C4().rules[-1])
    'kept_sentences must be at least 5'
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str] = "https://arxiv.org/abs/1910.10683"
    prefix: ClassVar[str] = "rule"

    min_num_sentences: float = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    max_lorem_ipsum_lines: float = 0
    max_curly_bracket_lines: float = 0
    reference: Literal["datatrove", "paper"] = "datatrove"

    def __post_init__(self) -> None:
        if self.reference not in _COLUMNS:
            raise RecipeError(f"c4: got reference {self.reference!r}; {suggest(self.reference, _COLUMNS)}")

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Text statistics; shared with the other rule sets unless lines are judged by other numbers than the paper's."""
        changed = {name: getattr(self, name) for name, usual in _MEASURED.items() if getattr(self, name) != usual}
        return (("text_statistics", changed),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What drops a page whatever else it holds comes first."""
        kept = _COLUMNS[self.reference]
        return (
            Rule("lorem_ipsum", f"{kept}lorem_lines", at_most=self.max_lorem_ipsum_lines, paper=self.paper),
            Rule("curly_bracket", f"{kept}curly_lines", at_most=self.max_curly_bracket_lines, paper=self.paper),
            Rule("min_num_sentences", "kept_sentences", at_least=self.min_num_sentences, paper=self.paper),
        )
