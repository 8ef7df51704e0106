"""Pools, targets and examples, opened: from the paths of a recipe to rows that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from assay import catalog
from assay.contracts import Merge, Part, Rows
from assay.errors import InputError
from assay.io.fields import Fields, detect, detect_others
from assay.io.row import Form
from assay.io.sources import find
from assay.io.store import Store
from assay.recipe import Read, Recipe
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import Workers
from assay.steps import Step
from assay.types import Batch, Texts


def open_pool(
    paths: tuple[str, ...],
    read: Read,
    kept: Store,
    local: Workers,
    watch: Watch = quiet,
    extra: Sequence[str] = (),
    form: Form = "text",
) -> Pool:
    """A pool of whatever the paths name; `extra` are number fields that methods read, beside those of `read`. Where nobody named
    the text, `form` says what is looked for first: a text, or turns; rows are read as text whatever it is."""
    numbers = tuple(dict.fromkeys((*read.score_fields, *extra)))
    wanted = Fields(read.text_field, read.id_field, read.source_field, read.text, numbers, read.max_line, form)
    shards = find(paths)
    found = detect(shards, wanted)
    others = {index: replace(one, form="text") for index, one in detect_others(shards, wanted, found).items()}
    return Pool(shards, replace(found, form="text"), kept, local, read.limit, watch, others=others)


def open_target(paths: tuple[str, ...], read: Read, kept: Store, local: Workers, extra: Sequence[str] = ()) -> Pool:
    """A target is a pool too; one without a readable row is refused."""
    plain = Read(read.text_field, text=read.text, max_line=read.max_line)
    target = open_pool(paths, plain, kept, local, extra=extra)
    if not target.count().readable.any():
        raise InputError(f"the target {', '.join(paths)} must hold at least one readable example; it has none")
    return target


def numbers_of(step: Step) -> tuple[str, ...]:
    """The number fields of rows that a score step's method reads beside the text."""
    if step.kind != "score":
        return ()
    return tuple(name for name in catalog.build("score", step.name, step.parameters).needs if name != "text")


def pool_numbers(recipe: Recipe) -> tuple[str, ...]:
    """The number fields that rows of the pool and of the recipe's targets must be read with: of methods that have no examples
    of their own to learn from."""
    return tuple(name for step in recipe.steps if not (step.target or step.against) for name in numbers_of(step))


@final
@dataclass(frozen=True)
class Labelled(Rows):
    """Rows whose sample also says in the column `label` where each lies: `gsm8k.jsonl.gz item 17`, counted from 1."""

    pool: Pool

    def __len__(self) -> int:
        return len(self.pool)

    def reduce(self, part: Part, merge: Merge) -> Any:
        """See `Rows.reduce`."""
        return self.pool.reduce(part, merge)

    def sample(self, k: int) -> Batch:
        """See `Rows.sample`."""
        batch = self.pool.sample(k)
        return Batch(batch.rows, batch.hashes, {**batch.columns, "label": Texts.of(self._labels(batch.rows))})

    def _labels(self, rows: np.ndarray) -> list[str]:
        starts: dict[int, int] = {}
        for piece, (first, _) in zip(self.pool.pieces, self.pool.count().ranges, strict=True):
            starts.setdefault(piece.shard.index, first)
        firsts, shards = np.array(list(starts.values())), list(starts)
        at = np.searchsorted(firsts, rows, side="right") - 1
        names = {shard.index: shard.name for shard in self.pool.shards}
        return [
            f"{names[shards[i]]} item {row - firsts[i] + 1}" for i, row in zip(at.tolist(), rows.tolist(), strict=True)
        ]
