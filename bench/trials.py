"""What the proofs of the judge share: rows of the shared data, frames over them, arms trained in memory, the JSON.

Arms, judges, intervals and multipliers are the installed package's; only reading a pool from disk and keeping results for
later runs are left out, because the pools here are made in memory and used once.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from harness import record

from assay import training
from assay.kernels.hashing import hash_rows
from assay.run.local import Local
from assay.types import Batch, Sequences, Texts
from assay.verify import verdict
from assay.verify.arms import Frame, Plan, Trial, draft, plan, settle
from assay.verify.comparisons import Measured
from assay.verify.judge import Gathered, Held, Judge, NGramJudge, Result, proxy, run, tasks
from assay.verify.multiplier import Multiplier, multiplier
from assay.verify.overlap import OverlapPart

ROOT = Path(__file__).resolve().parent.parent
BLOCK = 4096  # documents encoded at once


def load(path: Path) -> list[dict[str, Any]]:
    """Rows of a .jsonl.gz or .jsonl.zst file."""
    raw = path.read_bytes()
    whole = gzip.decompress(raw) if path.suffix == ".gz" else zstandard.ZstdDecompressor().stream_reader(raw).read()
    return [json.loads(line) for line in whole.splitlines()]


def within(texts: Sequence[str], size: int) -> list[str]:
    """The longest prefix of the texts that holds at most `size` bytes."""
    spent = np.cumsum([len(text.encode()) for text in texts])
    return list(texts[: int(np.searchsorted(spent, size, side="right"))])


def without(texts: Sequence[str], held: Sequence[str]) -> list[str]:
    """The texts that repeat none of the held-out documents, by the rule of `assay verify --decontaminate`."""
    batch = Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": Texts.of(texts)})
    repeated = set(OverlapPart.of(Texts.of(held))(batch).tolist())
    return [text for number, text in enumerate(texts) if number not in repeated]


def frame_of(texts: Texts) -> Frame:
    """Every row with text can be drawn."""
    return Frame.of(texts.sizes, hash_rows(texts.data, texts.offsets), np.ones(len(texts), bool))


def trained(laid: Plan, texts: Texts, held: list[Held], judge: NGramJudge) -> list[Result]:
    """Train every arm of a plan of bytes here and now."""
    source = Gathered(np.arange(len(texts)), Sequences(texts.data, texts.offsets))
    return [one for task in tasks(laid, judge, source, [each.probe for each in held]) for one in run(task)]


def level_only(laid: Plan) -> Plan:
    """The same plan without the curve and the pool: what the answer alone needs."""
    arms = tuple(arm for arm in laid.arms if arm.budget == laid.budget and arm.name != "pool")
    return Plan(arms, np.array([laid.budget]), 0, laid.notes)


@dataclass(frozen=True)
class Ground:
    """A pool in memory, as texts and in a judge's own symbols."""

    judge: Judge
    texts: Texts
    frame: Frame
    documents: Sequences

    @classmethod
    def of(cls, texts: Texts, judge: Judge) -> Ground:
        """Read every row of the pool once."""
        blocks = [
            judge.encode(texts.take(np.arange(at, min(at + BLOCK, len(texts))))) for at in range(0, len(texts), BLOCK)
        ]
        symbols = np.concatenate([one.data[one.offsets[0] : one.offsets[-1]] for one in blocks])
        sizes = np.concatenate([np.zeros(1, np.int64), *(one.sizes for one in blocks)])
        return cls(judge, texts, frame_of(texts), Sequences(symbols, np.cumsum(sizes)))

    @property
    def bytes_per_unit(self) -> float:
        """Bytes of text in a unit, with the package's margin; 1 where units are bytes."""
        if self.judge.unit == "bytes":
            return 1.0
        return training.MARGIN * int(self.texts.sizes.sum()) / int(self.documents.sizes.sum())

    def units(self, rows: np.ndarray) -> int:
        """Units of some rows."""
        return int(self.documents.sizes[rows].sum())

    def plan(self, fixed: Mapping[str, np.ndarray], trial: Trial) -> Plan:
        """The arms, as `assay verify` lays them out."""
        drafted = draft(fixed, self.frame, trial, self.bytes_per_unit, self.judge.seeded)
        return settle(drafted, self.documents.sizes[self.frame.rows], trial, self.judge.step)

    def conduct(self, laid: Plan, held: Sequence[Held], local: Local | None = None) -> list[Result]:
        """Every arm trained and measured; over the workers of `local` where the judge allows that."""
        source = Gathered(np.arange(len(self.texts)), self.documents)
        asked = tasks(laid, self.judge, source, [each.probe for each in held])
        spread = local.map if local is not None and self.judge.parallel else map
        return [one for found in spread(run, asked) for one in found]


def measured(
    laid: Plan, results: Sequence[Result], held: Held, trial: Trial, which: int = 0, choice: str = "choice"
) -> Measured:
    """The results on one eval set, as `assay verify` compares them; `choice` names the fixed arm that is asked about."""
    found = verdict.measured(results, laid, trial, held, which)["bits_per_byte"]
    return replace(found, arms={**found.arms, "choice": found.arms[choice]})


def worth(found: Measured, level: float) -> Multiplier:
    """The data multiplier of the choice."""
    return multiplier(found.arms["choice"], found.curve, found.budgets, found.sizes, found.start, level)


def told(one: Multiplier) -> str:
    """A multiplier with its interval, or the bound that stands where it is censored.

    >>> told(Multiplier(4.12, 3.2, None, False)), told(Multiplier(None, 8.0, None, True))
    ('4.1 (3.2 to ?)', 'at least 8')
    """
    low, high = ("?" if end is None else f"{end:.2g}" for end in (one.low, one.high))
    if one.estimate is not None:
        return f"{one.estimate:.2g} ({low} to {high})"
    return f"at least {low}" if one.low is not None else f"at most {high}"


def write(name: str, facts: dict[str, Any]) -> None:
    """Write bench/results/<name>.json."""
    record(name, facts)


__all__ = [
    "Gathered", "Ground", "Held", "Local", "Measured", "Multiplier", "NGramJudge", "Trial", "frame_of", "level_only", "load",
    "measured", "plan", "proxy", "told", "trained", "within", "without", "worth", "write",
]  # fmt: skip
