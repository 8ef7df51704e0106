"""What methods have learnt, laid down once and mapped by every worker; and the edits that a pool's text goes through.

A fit may be gigabytes: it travels to workers as a path, and each maps it copy-on-write, so that its pages are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Bool

from assay.contracts import Annotator, TextEditor
from assay.io import store
from assay.io.models import load_model
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Fitted


@lru_cache(maxsize=8)
def fitted(folder: Path) -> Fitted:
    """What lies in a folder, its arrays mapped."""
    return Fitted(store.map_arrays(folder))


def models(method: Annotator | TextEditor, learnt: Path | None) -> dict[str, Any]:
    """Everything that a method is handed: its models by kind, and what it learnt."""
    given = _given(method, learnt)
    return {**given, "prepared": _prepared(method, learnt)} if isinstance(method, Annotator) else given


def _given(method: Annotator | TextEditor, learnt: Path | None) -> dict[str, Any]:
    opened = {kind: load_model(kind, path) for kind, path in method.models.items()}
    return opened if learnt is None else {**opened, "fitted": fitted(learnt)}


@lru_cache(maxsize=2)
def _prepared(method: Annotator, learnt: Path | None) -> Any:
    return method.prepare(_given(method, learnt))


@final
@dataclass(frozen=True)
class Edit:
    """One edit of every text that is read: the editor, and where what it learnt lies."""

    editor: TextEditor
    learnt: Path | None
    key: str

    def apply(self, batch: Batch) -> Batch:
        """The batch with its new texts, and the hashes of these."""
        if not len(batch):
            return batch
        texts = self.editor.rewrite(batch, models(self.editor, self.learnt))
        columns: Mapping[str, Any] = {**batch.columns, "text": texts}
        return Batch(batch.rows, hash_rows(texts.data, texts.offsets), columns)


def edited(batch: Batch, edits: tuple[Edit, ...]) -> Batch:
    """A batch after all edits, in order."""
    for edit in edits:
        batch = edit.apply(batch)
    return batch


def same_text(before: Batch, after: Batch) -> Bool[np.ndarray, "b"]:
    """(b,) whether each text is what it was; sizes and hashes decide, as they do wherever content is compared."""
    return (before.text.sizes == after.text.sizes) & (before.hashes == after.hashes)
