"""Drops documents that hold eval items, word for word or with small edits, and tells which and where.

    keep x    where eval_overlap(x) < threshold

`annotate/eval_overlap.py` has the measure. Its threshold is a share of the item's weight: 0.75 finds an item with a tenth
of its words edited, and lets documents pass that merely speak of the same thing (bench/prove_decontamination.py measures
both). A document that holds the item in other words, or in another language, stays.
Source: Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix C (what is removed and why); Yang et al. 2023,
https://arxiv.org/abs/2311.04850 (what stays).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import Filter
from assay.errors import RecipeError
from assay.types import Rule


@final
@dataclass(frozen=True)
class Decontaminate(Filter):
    """`threshold` is the overlap from which a document goes (0.5 to 1); `least_words` the shortest item looked for.

    >>> [str(rule) for rule in Decontaminate(threshold=0.8).rules]
    ['eval_overlap must be below 0.8']
    """

    needs: ClassVar[tuple[str, ...]] = ("eval_overlap", "eval_span")
    paper: ClassVar[str] = "https://arxiv.org/abs/2005.14165"
    prefix: ClassVar[str] = "contaminated"

    threshold: float = 0.75
    least_words: int = 8

    def __post_init__(self) -> None:
        if not 0.5 <= self.threshold <= 1:
            raise RecipeError(f"decontaminate: threshold must be from 0.5 to 1; got {self.threshold}")

    @property
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The overlap with the step's target."""
        return (("eval_overlap", {"least_words": self.least_words}),)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One: the overlap."""
        return (Rule("eval_overlap", "eval_overlap", below=self.threshold, paper=self.paper, told="eval_span"),)
