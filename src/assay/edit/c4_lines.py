"""C4's line removal: keeps the lines of a text that look like sentences, and takes citation marks out of them.

    removed   lines that do not end in . ? ! " or ' (or that end in ...), of fewer than 3 words, with a word of more than
              1,000 characters, with "javascript", or with a phrase of terms of use, privacy policy or cookies
    taken out [12], [edit], [citation needed]; white space at both ends of a line

It writes new text and drops nothing: whether the page stays is the filter `c4`'s to say, which never edits. A text of which
no line stays becomes empty.
Guarantee: row-wise; kept lines are the same bytes but for the above, joined by one line feed; editing twice changes nothing
more unless a citation mark was made of two.
Source: Raffel and others, Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer, 2020, section
2.2, https://arxiv.org/abs/1910.10683; the policy phrases, the citations and the order as in datatrove 0.10.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from assay.contracts import TextEditor
from assay.errors import RecipeError
from assay.kernels.c4_lines import keep_lines
from assay.types import Batch, Texts


@final
@dataclass(frozen=True)
class C4Lines(TextEditor):
    """`min_words_per_line` words at white space, `max_word_length` characters of a word.

    >>> import numpy as np
    >>> page = Texts.of(["Home | About\\nIt rained all day.[3]\\nEnable JavaScript to see this."])
    >>> C4Lines().rewrite(Batch(np.arange(1), np.zeros(1, np.uint64), {"text": page}), {})[0]
    'It rained all day.'
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/1910.10683"

    min_words_per_line: int = 3
    max_word_length: int = 1000

    def __post_init__(self) -> None:
        for name in ("min_words_per_line", "max_word_length"):
            if not 0 <= getattr(self, name) <= 1 << 30:
                raise RecipeError(f"c4_lines: {name} must be from 0 to {1 << 30}; got {getattr(self, name)}")

    def rewrite(self, batch: Batch, models: dict[str, Any]) -> Texts:
        """The texts without those lines."""
        data, ends = keep_lines(batch.text.data, batch.text.offsets, self.max_word_length, self.min_words_per_line)
        return Texts(data, ends)
