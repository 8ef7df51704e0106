"""Edit steps: from there on every text is read through one more editor, and rows that it empties leave."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64

from assay import catalog
from assay.contracts import Engine
from assay.duplicates import preference
from assay.errors import InputError
from assay.io import store
from assay.io.text_field import one_text_field, refused_text
from assay.measure import learn
from assay.recipe import Recipe
from assay.run.learnt import Edit
from assay.run.passes import Pool
from assay.state import Columns, State
from assay.steps import Step
from assay.types import Signals

_CHATS = ("messages", "conversations")


def apply_edit(step: Step, number: int, state: State, recipe: Recipe, columns: Columns, engine: Engine) -> None:
    """Add an edit to the pool; note which rows it changed, drop those that it emptied."""
    pool = state.pool
    refuse_without_field(pool)
    editor = catalog.build("edit", step.name, step.parameters)
    wants_order = "order" in editor.needs
    signals = Signals({"order": preference("longest", state, columns, pool.living)} if wants_order else {})
    learnt = learn("edit", step.name, editor, step, state, recipe, engine, signals)
    opened = [(kind, store.file_digest(path)) for kind, path in editor.models.items()]
    key = store.digest(catalog.source_digest("edit", step.name), editor, opened, learnt and learnt.name)
    before, living = pool.count(), pool.living
    pool.edit(Edit(editor, learnt, key))
    after = pool.count()
    changed = living & ((after.hashes != before.hashes) | (after.sizes != before.sizes))
    emptied = changed & (after.sizes == 0)
    state.mark_edited(changed & ~emptied)
    state.edits.append({
        "step": number, "edit": step.name, "parameters": step.parameters, "learnt": learnt and learnt.name, "key": key,
        "rows": int(changed.sum()), "bytes_before": int(before.sizes[changed].sum()),
        "bytes_after": int(after.sizes[changed].sum()), "emptied": int(emptied.sum()),
    })  # fmt: skip
    if emptied.any():
        state.drop(emptied, f"edited: {step.name} left no text")


def refuse_without_field(pool: Pool) -> None:
    """An edited text must have a place to be written to: refuse before any work what the writer would refuse after it."""
    for shard in pool.shards:
        field = one_text_field(pool.fields_of(shard), shard.path)
        if field in _CHATS:
            raise InputError(refused_text(shard.path, f"is the chat in {field!r}"))


def restore(pool: Pool, told: list[dict[str, Any]]) -> None:
    """Give a reopened pool the edits of its run, as `run.json` tells them."""
    for entry in told:
        editor = catalog.build("edit", entry["edit"], entry["parameters"])
        learnt = entry["learnt"] and pool.store.root / "learnt" / entry["learnt"]
        pool.edits = (*pool.edits, Edit(editor, learnt, entry["key"]))


def edited_names(mask: int, names: list[str]) -> str:
    """The edits that changed a row, from the bits of its mask.

    >>> edited_names(0b101, ["c4_lines", "pii_mask", "drop_repeated_lines"])
    'edited: c4_lines, drop_repeated_lines'
    """
    return "edited: " + ", ".join(name for place, name in enumerate(names) if mask >> place & 1)


def reasons_of(masks: Int64[np.ndarray, "n"], names: list[str]) -> dict[int, str]:
    """The reasons of all masks that occur."""
    return {int(mask): edited_names(int(mask), names) for mask in np.unique(masks) if mask}
