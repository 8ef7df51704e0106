"""Judges: what turns the text of an arm into bits on held-out documents; and the trials, one model each.

A judge trains one model of its own kind on one arm, the same way for every arm, and gives the bits that it spends on
every eval document. It never learns which arm it was given. Trials share nothing, so they may run in any order in any
number of processes; each holds one arm's text and model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.errors import InputError, RecipeError, suggest
from assay.kernels.hashing import hash_rows
from assay.models import ngram
from assay.types import Texts
from assay.verify.arms import Arm, Plan, Source
from assay.verify.intervals import LEAST_DOCUMENTS

Bits = Float64[np.ndarray, "d"]


class Judge(ABC):
    """What every proxy offers; `features` are what it looks at, so a verdict can say what selector and judge share."""

    name: ClassVar[str]
    features: ClassVar[tuple[str, ...]]

    @abstractmethod
    def measure(self, texts: Iterable[Texts], seed: int, evals: tuple[Texts, ...]) -> tuple[Bits, ...]:
        """Train on `texts`; total bits of every document of every eval set, ends included. Pure in its arguments."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """The configuration, for the verdict."""


@final
@dataclass(frozen=True)
class NGramJudge(Judge):
    """The n-gram model of `models/ngram.py`; it has no randomness, so it needs no seed."""

    name: ClassVar[str] = "ngram"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)
    config: ngram.NGramConfig = field(default_factory=ngram.NGramConfig)

    def measure(self, texts: Iterable[Texts], seed: int, evals: tuple[Texts, ...]) -> tuple[Bits, ...]:
        """Train on `texts`; total bits of every document of every eval set."""
        model = ngram.train(texts, self.config)
        return tuple(model.bits(documents) for documents in evals)

    def described(self) -> dict[str, Any]:
        """The configuration, for the verdict."""
        return asdict(self.config)


_PROXIES: dict[str, Callable[[], Judge]] = {"ngram": NGramJudge}


def proxy(name: str) -> Judge:
    """The judge of that name at its defaults.

    >>> proxy("ngram").features
    ('n-grams',)
    """
    if name not in _PROXIES:
        raise RecipeError(f"there is no proxy {name!r}; {suggest(name, _PROXIES)}")
    return _PROXIES[name]()


@final
@dataclass(frozen=True)
class Held:
    """Held-out documents, where they came from, and a fingerprint that changes with their content or order."""

    path: str
    documents: Texts
    fingerprint: str

    @classmethod
    def of(cls, path: str, documents: Texts) -> Held:
        """Drop empty documents; raises InputError where too few are left to know how they vary.

        >>> len(Held.of("eval.jsonl", Texts.of(["one", "", "two"])).documents)
        2
        """
        kept = documents.take(documents.sizes > 0)
        if len(kept) < LEAST_DOCUMENTS:
            raise InputError(
                f"the eval set {path} must hold at least {LEAST_DOCUMENTS} documents with text; got {len(kept)}: "
                "give more documents, or split a long one into several rows"
            )
        hashes = hash_rows(kept.data, kept.offsets)
        whole = hash_rows(hashes.view(np.uint8), np.array([0, hashes.nbytes], np.int64))
        return cls(path, kept, f"{int(whole[0]):016x}")

    def described(self) -> dict[str, Any]:
        """Path, size and fingerprint, for the verdict."""
        return {
            "path": self.path,
            "documents": len(self.documents),
            "bytes": int(self.documents.sizes.sum()),
            "fingerprint": self.fingerprint,
        }


@final
@dataclass(frozen=True)
class Task:
    """One trial: an arm to train on, and what to measure; pickles if its source does."""

    arm: Arm
    judge: Judge
    source: Source
    evals: tuple[Texts, ...]


@final
@dataclass(frozen=True)
class Result:
    """What a trial found: bits per document for each eval set."""

    name: str
    seed: int
    budget: int
    rows: int
    bits: tuple[Bits, ...]


def run(task: Task) -> Result:
    """Train and measure one arm; a plain function, so that any `map` can carry it to another process."""
    arm = task.arm
    bits = task.judge.measure(arm.stream(task.source), arm.seed, task.evals)
    return Result(arm.name, arm.seed, arm.budget, len(arm.rows), bits)


def tasks(plan: Plan, judge: Judge, source: Source, held: Sequence[Held]) -> list[Task]:
    """A trial for every arm, the largest first, so that workers end together."""
    evals = tuple(one.documents for one in held)
    return [Task(arm, judge, source, evals) for arm in sorted(plan.arms, key=lambda arm: -arm.budget)]


@final
@dataclass(frozen=True)
class Gathered:
    """A source of text that lies in memory (or in mapped arrays): the rows of `plan.rows`, read in one pass."""

    rows: Int64[np.ndarray, "k"]
    texts: Texts

    def __call__(self, rows: Int64[np.ndarray, "j"]) -> Iterator[Texts]:
        """The texts of sorted distinct rows, all of which must have been gathered."""
        yield self.texts.take(np.searchsorted(self.rows, rows))
