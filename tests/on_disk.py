"""Pools of several files and many small pieces, for tests of what happens between pieces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from assay.contracts import Grouper
from assay.io.fields import Fields
from assay.io.sources import find, plan
from assay.io.store import Store
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.shuffle import Shuffler
from assay.types import Signals


def pool_of(folder: Path, texts: list[str], local: Local, files: int = 3, piece_bytes: int = 10_000) -> Pool:
    """A pool of several files of many small pieces."""
    if not folder.exists():
        folder.mkdir()
        for number, lines in enumerate(np.array_split(np.array(texts, object), files)):
            (folder / f"part-{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in lines))
    shards = find((str(folder / "part-*.jsonl"),))
    return Pool(shards, Fields("text"), Store(folder / "store"), local, planned=plan(shards, piece_bytes))


def grouped(grouper: Grouper, pool: Pool, engine: Shuffler) -> list[int]:
    """The ids that a grouper gives."""
    order = np.zeros(len(pool.count()), np.int64)
    groups, _ = grouper.group(pool, Signals({"order": order}), engine, np.random.default_rng(0))
    assert groups is not None and len(groups.ids) == len(order)
    return groups.ids.tolist()


def as_texts(texts: list[str], ids: list[int]) -> set[tuple[str, ...]]:
    """Groups as sorted tuples of their texts, which the order of the pool cannot change."""
    found: dict[int, list[str]] = {}
    for text, group in zip(texts, ids, strict=True):
        found.setdefault(group, []).append(text)
    return {tuple(sorted(members)) for group, members in found.items() if group >= 0}
