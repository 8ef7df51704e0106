"""How much of an eval item a document holds: aligned word by word, so that wrapping, case, marks and small edits hide nothing.

    o(x) = max over passages y and places of x of 1 - (1 - p) max(1, 20 / |y|),   p = min(W / sum w, (2 + m) / (1 + d))

W is the weight w of the words of y that x has in order at one place; of the d numbers in y, m are among them. An item
of more than 64 words is cut into equal passages, any of which is enough. Rare words weigh most, and words of a template
that many items share least (`models/passages.py`); words are compared without case, accents, marks and Unicode forms
(`kernels/folding.py`), and found by runs of four that are not all common (`kernels/alignment.py`). A passage whose
numbers differ is another one, and few words must agree in more of themselves.

Guarantee: a document holding a passage word for word has o = 1, unless notes list its item as template only; words,
weights and o are functions of the content of items, sample and document alone. Items of under `least_words` words are
not looked for: notes count and list them.
Reworded and translated items are not found. About 23 bytes of index for each eval word (a million items of 50 words:
1.2 GB), which workers share; learning holds about 100 bytes for each.
Source: Brown et al. 2020, https://arxiv.org/abs/2005.14165, appendix C (13-grams, which edits break); rewording:
Yang et al. 2023, https://arxiv.org/abs/2311.04850.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from assay.contracts import Annotator, Engine, Learner, Rows
from assay.errors import InputError, RecipeError
from assay.kernels.alignment import LONGEST, SEED, search
from assay.kernels.folding import fold_tables
from assay.models import passages
from assay.types import Batch, Column, Fitted, Signals, Texts

_LISTED = 20  # untestable items that the notes name
_SHOWN = 120  # characters of a span that a reason shows
_FLOOR = 0.5  # an overlap below is chance, and is told as none: LOG.md has the figures
_INDEX = ("words", "weights", "bounds", "entries", "first", "sieve")


@final
@dataclass(frozen=True)
class EvalOverlap(Annotator, Learner):
    """Columns `eval_overlap (b,)`, the `eval_item (b,)` it is of (-1: none), and `eval_span (b,)`, the words in question.

    `least_words` is the length in words below which an item is untestable (5 to 64); `sample` is how many documents of
    the pool say how common a word is (0 to 1,000,000).

    >>> EvalOverlap().least_words
    8
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2005.14165"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"

    least_words: int = 8
    sample: int = 4096

    def __post_init__(self) -> None:
        for name, least, most in (("least_words", SEED + 1, LONGEST), ("sample", 0, 1_000_000)):
            if not least <= getattr(self, name) <= most:
                raise RecipeError(f"eval_overlap: {name} must be from {least} to {most}; got {getattr(self, name)}")

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """The index of the eval items; notes say how many items, passages, and which cannot be tested.

        Raises InputError without eval items.
        """
        items = None if target is None else passages.gather(target.sample(len(target)))
        if items is None or not len(items):
            raise InputError("eval_overlap needs the items of an eval set; name its files as target, or with --eval")
        first, testable = items.first_copies(), items.lengths >= self.least_words
        sample = pool.sample(self.sample).text if self.sample else Texts.of([])
        built = passages.build(items, np.flatnonzero(first & testable), sample)
        template = first & testable
        template[built.led_to] = False
        notes = {"items": len(items), "copies": int((~first).sum()), "passages": len(built.items)}
        for name, which in (("untestable", ~testable), ("template_only", template)):
            notes[name] = int(which.sum())
            notes[f"{name}_items"] = [items.name(k) for k in np.flatnonzero(which)[:_LISTED].tolist()]
        labels = items.labels.take(built.items)
        arrays = dict(zip(_INDEX, built.index, strict=True)) | dict(
            zip(("folds", "expansions"), fold_tables(), strict=True)
        )
        return Fitted(
            arrays | {"rows": items.rows[built.items], "labels": labels.data, "label_ends": labels.offsets}, notes
        )

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """The three columns; the item is its row number in the eval set, the span `label: "words"`."""
        arrays, text = models["fitted"].arrays, batch.text
        index = tuple(arrays[name] for name in _INDEX)
        overlap, places = search(text.data, text.offsets, arrays["folds"], arrays["expansions"], index, _FLOOR)
        found = places[:, 0] >= 0
        rows, sizes = np.flatnonzero(found), np.zeros(len(batch) + 1, np.int64)
        labels = Texts(arrays["labels"], arrays["label_ends"])
        told = Texts.of([_told(text, labels, place) for place in places[rows].tolist()])
        sizes[rows + 1] = told.sizes
        items = np.full(len(batch), -1, np.int64)
        items[rows] = arrays["rows"][places[rows, 0]]
        return {"eval_overlap": overlap, "eval_item": items, "eval_span": Texts(told.data, np.cumsum(sizes))}


def _told(text: Texts, labels: Texts, place: list[int]) -> str:
    """What a reason says: the item, and the words of the document, on one line."""
    passage, start, stop = place
    shown = " ".join(bytes(text.data[start : min(stop, start + 4 * _SHOWN)]).decode("utf-8", "ignore").split())
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return f"{labels[passage]}: “{shown}”"
