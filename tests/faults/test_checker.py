"""The checker of the fault tests: a row that is lost is counted, and what does not add up is an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import assay, selected
from faults import accounted, lost, pool, through_all


def test_a_lost_row_is_counted(tmp_path: Path):
    lines, run = pool(tmp_path / "pool"), tmp_path / "run"
    assert assay(*through_all(tmp_path, run)).code == 0
    accounted(run, lines)
    before = selected(run)
    assert lost(run, lines) == 0
    shard = next(path for path in sorted((run / "selected").iterdir()) if path.suffix == ".jsonl")
    shard.write_bytes(b"".join(shard.read_bytes().splitlines(keepends=True)[1:]))
    assert lost(run, lines) == 1 and selected(run) != before
    (run / "quarantine.jsonl").write_bytes(b"")
    assert lost(run, lines) == 2
    assert lost(run, [*lines, b"one more"]) == 3
    with pytest.raises(AssertionError):
        accounted(run, lines)
