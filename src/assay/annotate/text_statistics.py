"""Text statistics: everything that the rules of Gopher, C4 and FineWeb count in a text, measured in one pass.

    characters      Unicode characters            words           as spaCy's English rules cut them (datatrove's default)
    wordy_words     words not only of symbols     spaced_words    runs without white space
    lines           str.splitlines                line_runs       between runs of line feeds
    paragraphs      between two line feeds or more, in the stripped text
    filled_lines    between line feeds, with more than white space
    top, duplicate, covered n-grams               kernels/repetition.py
    kept_…          of the lines that C4 keeps    kernels/c4_lines.py

Columns are whole numbers, so that a rule's ratio of two of them is one exact division; and they are stored, so that other
thresholds read no text again. Guarantee: a row's counts depend on its text alone.
Source: Rae and others (Gopher) 2021, https://arxiv.org/abs/2112.11446; Raffel and others (C4) 2020,
https://arxiv.org/abs/1910.10683; Penedo and others (FineWeb) 2024, https://arxiv.org/abs/2406.17557; the words and the
order of work as in datatrove 0.10.1, https://github.com/huggingface/datatrove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from assay.contracts import Annotator
from assay.errors import RecipeError
from assay.kernels.text_statistics import COLUMNS, measure_texts
from assay.types import Batch, Column


@final
@dataclass(frozen=True)
class TextStatistics(Annotator):
    """Counts of each row. A line of at most `short_line_length` characters is short; C4 removes lines with a run of more
    than `max_word_length` characters and lines of fewer than `min_words_per_line` words.

    >>> from assay.types import Texts
    >>> batch = Batch(np.arange(1), np.zeros(1, np.uint64), {"text": Texts.of(["It rains. It rains again."])})
    >>> counts = TextStatistics().annotate(batch, {})
    >>> [int(counts[name][0]) for name in ("characters", "words", "wordy_words", "top_2_gram_characters")]
    [25, 7, 5, 16]
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2112.11446"

    short_line_length: int = 30
    max_word_length: int = 1000
    min_words_per_line: int = 3

    def __post_init__(self) -> None:
        for name in ("short_line_length", "max_word_length", "min_words_per_line"):
            if not 0 <= getattr(self, name) <= 1 << 30:
                raise RecipeError(f"text_statistics: {name} must be from 0 to {1 << 30}; got {getattr(self, name)}")

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Columns (b,) int32 by the names of `kernels.text_statistics.COLUMNS`."""
        counts = measure_texts(
            batch.text.data, batch.text.offsets, self.short_line_length, self.max_word_length, self.min_words_per_line
        )
        return dict(zip(COLUMNS, np.ascontiguousarray(counts), strict=True))
