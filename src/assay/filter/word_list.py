"""Drops documents that hold too many words of a list that the user gives: C4's bad words, with the user's own list.

    keep d  where  listed_words(d) <= at_most  and  listed_share(d) <= at_most_share

C4 dropped a page with any word of its list: at_most = 0, as it comes. To allow a rate instead, give at_most = inf and
at_most_share. The reason names the first listed word found.

Guarantee: whole words, whatever their case (`annotate = "word_list"` says exactly what counts).
Source: Raffel et al., Exploring the limits of transfer learning, 2019, https://arxiv.org/abs/1910.10683, 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import Filter
from assay.errors import RecipeError
from assay.types import Rule


@final
@dataclass(frozen=True)
class WordList(Filter):
    """At most so many listed words.

    `words` is the path of the list, a word or phrase on each line; `at_most` how many may stand in a document (inf: any
    number); `at_most_share` how many for each of its words (0 to 1).

    >>> [str(rule) for rule in WordList("bad.txt").rules]
    ['listed_words must be at most 0']
    """

    needs: ClassVar[tuple[str, ...]] = ("listed_words", "listed_share", "listed")
    paper: ClassVar[str] = "https://arxiv.org/abs/1910.10683"
    prefix: ClassVar[str] = "rule"

    words: str = "words.txt"
    at_most: float = 0.0
    at_most_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.at_most >= 0 or not 0 <= self.at_most_share <= 1:
            raise RecipeError(
                f"word_list: at_most must be 0 or more and at_most_share from 0 to 1; got {self.at_most} and {self.at_most_share}"
            )

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The counting of listed words."""
        return (("word_list", {"words": self.words}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One rule for each bound that excludes something."""
        bounds = {"listed_words": self.at_most, "listed_share": self.at_most_share}
        most = {"listed_words": math.inf, "listed_share": 1.0}
        return tuple(
            Rule(column, column, at_most=bound, paper=self.paper, told="listed")
            for column, bound in bounds.items()
            if bound < most[column]
        )
