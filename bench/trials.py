"""What bench/aa.py and bench/power.py share: rows of the shared data, frames over them, the commit, the JSON."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from harness import record

from assay.kernels.hashing import hash_rows
from assay.types import Texts
from assay.verify.arms import Frame, Plan, Trial, plan
from assay.verify.judge import Gathered, Held, NGramJudge, Result, run, tasks

ROOT = Path(__file__).resolve().parent.parent


def load(path: Path) -> list[dict[str, Any]]:
    """Rows of a .jsonl.gz or .jsonl.zst file."""
    raw = path.read_bytes()
    whole = gzip.decompress(raw) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(raw).read()
    return [json.loads(line) for line in whole.splitlines()]


def frame_of(texts: Texts) -> Frame:
    """Every row with text can be drawn."""
    return Frame.of(texts.sizes, hash_rows(texts.data, texts.offsets), np.ones(len(texts), bool))


def trained(laid: Plan, texts: Texts, held: list[Held], judge: NGramJudge) -> list[Result]:
    """Train every arm of a plan here and now."""
    return [run(task) for task in tasks(laid, judge, Gathered(np.arange(len(texts)), texts), held)]


def level_only(laid: Plan) -> Plan:
    """The same plan without the curve and the pool: what the answer alone needs."""
    arms = tuple(arm for arm in laid.arms if arm.budget == laid.budget and arm.name != "pool")
    return Plan(arms, laid.budgets, laid.start, laid.notes)


def write(name: str, facts: dict[str, Any]) -> None:
    """Write bench/results/<name>.json."""
    record(name, facts)


__all__ = ["Gathered", "Held", "NGramJudge", "Trial", "frame_of", "level_only", "load", "plan", "trained", "write"]
