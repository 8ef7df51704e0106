"""What a run would do, before it does it: shards, about how many rows and bytes, the steps, about how long.

Counts and speed are measured on the first megabytes of the pool and carried over to the rest; they are estimates.
"""

from __future__ import annotations

import time
from typing import Any

from assay.io.fields import Fields, detect
from assay.io.reader import read
from assay.io.secrets import masked_tree
from assay.io.sources import Piece, find
from assay.io.sources import plan as cut
from assay.recipe import Recipe
from assay.run.local import available_workers
from assay.steps import Step, to_tree

LOOK = 8_000_000
_EXPANSION = {"": 1.0, "gzip": 3.0, "zstd": 3.5}  # text to compressed text, about; only until the file itself says more


def plan(recipe: Recipe, workers: int | None) -> dict[str, Any]:
    """The plan as `report.terminal.show_plan` prints it."""
    shards = find(recipe.pool)
    wanted = Fields(
        recipe.read.text_field,
        recipe.read.id_field,
        recipe.read.source_field,
        recipe.read.text,
        recipe.read.score_fields,
    )
    fields = detect(shards, wanted)
    workers = workers or available_workers()
    pieces = cut(shards)
    rows, text, raw, seconds = _look(pieces[0], fields)
    total = sum(shard.size * _EXPANSION[shard.compression] for shard in shards)
    whole = len(pieces) == 1 and raw < LOOK
    share = 1.0 if whole else total / raw if raw else 0.0
    passes = 1 + sum(step.kind in ("score", "group", "edit") for step in recipe.steps)
    told = {
        "shards": [{"path": shard.path, "format": shard.format, "size": shard.size} for shard in shards],
        "rows": int(rows * share),
        "bytes": int(text * share),
        "budget": None if recipe.select is None else _budget(recipe.select),
        "workers": workers,
        "steps": [_told(step) for step in recipe.steps],
        "seconds": seconds * share * passes / min(workers, len(pieces)),
        "notes": [
            ("" if whole else f"rows, bytes and time are carried over from the first {raw / 1e6:.1f} MB; ")
            + f"text is read from {_text(fields)}"
        ],
    }
    return masked_tree(told)


def _look(piece: Piece, fields: Fields) -> tuple[int, int, int, float]:
    """Rows, bytes of text, bytes read and seconds of the first blocks of a piece."""
    rows = text = raw = 0
    start = time.perf_counter()
    for block in read(piece, fields, ("id", "source")):
        rows, text = rows + block.count, text + int(block.batch.text.sizes.sum())
        raw += int(block.batch.text.sizes.sum()) + 60 * block.count
        if raw >= LOOK:
            break
    return rows, text, raw, time.perf_counter() - start


def _budget(step: Step) -> str:
    """What may be chosen, and how much of it by chance."""
    return f"{step.budget}" + ("" if step.share is None else f", of which {step.share} drawn at random to stay general")


def _text(fields: Fields) -> str:
    return f"the template {fields.template!r}" if fields.template else f"the field {fields.text!r}"


def _told(step: Step) -> str:
    words = {name: value for name, value in to_tree(step).items() if name != step.kind}
    settings = ", ".join(f"{name}={value}" for name, value in words.items())
    return f"{step.kind} {step.name}" + (f" ({settings})" if settings else "")
