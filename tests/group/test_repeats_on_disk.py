"""Lines, paragraphs and spans through the engine's own shuffle: files, pieces, processes and little memory change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repeats import grouped, order_of, planted
from tests.edit.test_drop_repeated import fitted

from assay.edit.drop_repeated_lines import DropRepeatedLines
from assay.group.lines import Lines
from assay.group.paragraphs import Paragraphs
from assay.group.substring import Substring
from assay.io.fields import Fields
from assay.io.sources import find, plan
from assay.io.store import Store
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.shuffle import Shuffler
from assay.types import Signals

TEXTS = [text for text in planted(20) if text.strip()]
METHODS: dict[str, Any] = {"lines": Lines(), "paragraphs": Paragraphs(), "substring": Substring(20)}


def pool_of(folder: Path, local: Local, files: int) -> Pool:
    """The texts in several files of small pieces."""
    folder.mkdir()
    for number, texts in enumerate(np.array_split(np.array(TEXTS, object), files)):
        (folder / f"part-{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    shards = find((str(folder / "part-*.jsonl"),))
    return Pool(shards, Fields("text"), Store(folder / "store"), local, planned=plan(shards, 50_000))


@pytest.mark.parametrize(("workers", "files", "memory"), [(1, 1, 1 << 30), (2, 3, 200_000)])
def test_groups_are_those_in_memory(tmp_path: Path, workers: int, files: int, memory: int) -> None:
    order = order_of(TEXTS)
    with Local(workers) as local:
        pool = pool_of(tmp_path / "pool", local, files)
        for name, method in METHODS.items():
            _, found = method.group(pool, Signals({"order": order}), Shuffler(memory), np.random.default_rng(0))
            assert (found[name].tolist(), found[f"{name}_of"].tolist()) == grouped(method, TEXTS), name


def test_an_edit_learns_what_it_learns_in_memory(tmp_path: Path) -> None:
    edit = DropRepeatedLines()
    with Local(1) as local:
        pool = pool_of(tmp_path / "pool", local, 2)
        found = edit.learn(pool, None, Signals({"order": order_of(TEXTS)}), Shuffler(300_000), np.random.default_rng(0))
    wanted = fitted(edit, TEXTS)
    assert found.notes == wanted.notes and found.notes["copies"] > 20
    for name in ("parts", "keepers"):
        assert np.array_equal(found.arrays[name], wanted.arrays[name])
