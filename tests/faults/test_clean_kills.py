"""`assay clean` killed with -9 at any moment and run again: same bytes, nothing left over, with edits and two workers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from command import COMMAND, assay, examples, jsonl, packed, products, told

RECIPE = """
steps = [
  { filter = "gopher_quality", min_doc_words = 12 },
  { edit = "drop_repeated_lines", min_characters = 12 },
  { edit = "pii_mask" },
]
"""
COPIES = 4
KILLS = 4


def pool(folder: Path) -> Path:
    """Three shards, two of them packed: the examples many times over, copies of a copy near-duplicates of each other."""
    for shard, copies in (("a.jsonl", COPIES), ("b.jsonl.gz", 2), ("c.jsonl.zst", 2)):
        rows = (
            {
                **row,
                "id": f"{shard}-{copy}-{row['id']}",
                "text": f"{row['text']}\nwrite to jane{copy % 5}@university-press.org",
            }
            for copy in range(copies)
            for row in examples()
        )
        jsonl(folder / shard, rows)
    return folder


def command(tmp_path: Path, out: str) -> list[str]:
    """The run that is killed: rules, eval items, two edits, exact and near duplicates."""
    packed(tmp_path / "mine.toml", RECIPE.encode())
    items = jsonl(tmp_path / "eval.jsonl", [{"text": row["text"]} for row in examples()[:5]])
    asked = ["--recipe", tmp_path / "mine.toml", "--eval", items, "--dedup", "exact", "--dedup", "minhash"]
    return [str(word) for word in ["clean", tmp_path / "pool", *asked, "--out", tmp_path / out, "-q"]]


def test_killed_at_any_time_and_run_again_gives_the_same_bytes(tmp_path: Path):
    pool(tmp_path / "pool")
    start = time.perf_counter()
    whole = subprocess.run([COMMAND, *command(tmp_path, "whole"), "--workers", "2"], capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    seconds, dice, killed = time.perf_counter() - start, random.Random(11), 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [COMMAND, *command(tmp_path, "killed"), "--workers", "2"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + seconds * (kill + dice.random()) / KILLS  # early, late, and in between
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= KILLS // 2
    assert assay(*command(tmp_path, "killed"), "--workers", "1").code == 0
    assert products(tmp_path / "whole") == products(tmp_path / "killed")
    assert told(tmp_path / "whole")["counts"] == told(tmp_path / "killed")["counts"]
    reasons = {entry["reason"].partition(":")[0] for entry in told(tmp_path / "killed")["filters"] if entry["rows"]}
    assert {"rule", "contaminated"} <= reasons and told(tmp_path / "killed")["edits"][0]["rows"]
    assert not (tmp_path / "killed" / ".parts").exists()
    left = [path for path in (tmp_path / "killed").rglob("*.tmp-*") if "store" not in path.parts]
    assert not left
