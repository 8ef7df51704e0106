"""Judges: what turns the text of an arm into bits on held-out text; and the trials, one model each.

A judge trains one model of its own kind on one arm, the same way for every arm, and gives the bits that it spends on every
held-out text. It never learns which arm it was given. Trials share nothing, so they may run in any order in any number of
processes; each holds one arm's data and model. What a judge reads is its unit: `ngram` bytes, neural proxies tokens.
"""

from __future__ import annotations

import importlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.errors import InputError
from assay.io.row import Form
from assay.kernels.hashing import hash_rows
from assay.models import dialogue, ngram
from assay.types import Sequences, Texts
from assay.verify.arms import Arm, Plan, Source, Trial
from assay.verify.intervals import LEAST_DOCUMENTS, metric

Bits = Float64[np.ndarray, "d"]
Reading = tuple[Float64[np.ndarray, "d"], Int64[np.ndarray, "d"]]
Report = Callable[[int, float], None]


def silent(units: int, loss: float) -> None:
    """A report that nobody reads."""


@final
@dataclass(frozen=True)
class Probe:
    """Texts to be predicted, each after its context (none: from its beginning); `ends`: the end of a text is predicted too.

    Bits come back one number for each text. Contexts in the form `turns` are dialogues, marked as `io/row.py` says, up to where
    the turn begins that is the text.
    """

    texts: Texts
    contexts: Texts | None = None
    ends: bool = True
    form: Form = "text"


@final
@dataclass(frozen=True)
class Course:
    """What one model is trained on: arms of rising budgets, each the beginning of the next (most often there is one).

    `folder`: where the judge may keep checkpoints, so that a rerun goes on from there; None: nowhere. `report(units, loss)`
    tells how far it is. `form`: documents are texts, or dialogues, which a judge of tokens reads whole (`models/packing.py`).
    """

    arms: tuple[Arm, ...]
    source: Source
    folder: Path | None = None
    report: Report = silent
    form: Form = "text"

    @property
    def seed(self) -> int:
        """Of the initial weights; the same number for the arms that are compared."""
        return self.arms[0].seed

    @property
    def costs(self) -> tuple[int, ...]:
        """Units after which a model is to be measured; they rise."""
        return tuple(arm.cost for arm in self.arms)

    def blocks(self) -> Iterator[Sequences]:
        """The documents in the order of reading, as many units as the largest arm costs."""
        return self.arms[-1].stream(self.source)


class Judge(ABC):
    """What every proxy offers; `features` are what it looks at, so a verdict can say what selector and judge share.

    `seeded`: it has randomness of its own (initial weights), so fixed arms are trained once for each seed. `nested`: one
    course can measure several budgets. `parallel`: trials may share this machine's processors, one process each.
    `trial`: the protocol's numbers where a user gives no other.
    """

    name: ClassVar[str]
    features: ClassVar[tuple[str, ...]]
    unit: ClassVar[Literal["bytes", "tokens"]]
    seeded: ClassVar[bool] = False
    nested: ClassVar[bool] = False
    trial: ClassVar[Trial] = Trial()

    @property
    def step(self) -> int:
        """Units of one step of training: budgets are whole steps."""
        return 1

    @property
    def parallel(self) -> bool:
        """Whether trials may run beside each other."""
        return True

    @abstractmethod
    def encode(self, texts: Texts) -> Sequences:
        """The documents in the judge's own symbols, ends included where its units count them."""

    def encode_turns(self, texts: Texts) -> Sequences:
        """The same of dialogues, marked as `io/row.py` says; a judge that knows no context learns prompts too."""
        return self.encode(dialogue.plain(texts))

    @abstractmethod
    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        """Train; for each of the course's arms, and each probe, the bits of every text. Pure in its arguments."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """The configuration, for the verdict; two judges that say the same measure the same."""


@final
@dataclass(frozen=True)
class NGramJudge(Judge):
    """The n-gram model of `models/ngram.py`; it has no randomness, so it needs no seed."""

    name: ClassVar[str] = "ngram"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)
    unit: ClassVar[Literal["bytes", "tokens"]] = "bytes"
    config: ngram.NGramConfig = field(default_factory=ngram.NGramConfig)

    def encode(self, texts: Texts) -> Sequences:
        """Bytes as they are."""
        return Sequences(texts.data, texts.offsets)

    def measure(self, course: Course, probes: tuple[Probe, ...]) -> tuple[tuple[Bits, ...], ...]:
        """Train on the course's only arm; total bits of every text."""
        model = ngram.train_symbols([(block.data, block.offsets) for block in course.blocks()], self.config)
        course.report(course.costs[-1], float("nan"))
        return (tuple(self._bits(model, probe) for probe in probes),)

    def _bits(self, model: ngram.NGram, probe: Probe) -> Bits:
        texts, contexts = probe.texts, probe.contexts
        if contexts is None and probe.ends:
            return model.bits(texts)
        if contexts is None:
            contexts = Texts(texts.data[:0], np.zeros(len(texts) + 1, np.int64))
        contexts = contexts if probe.form == "text" else dialogue.plain(contexts)
        return model.bits_after((contexts.data, contexts.offsets), (texts.data, texts.offsets), probe.ends)

    def described(self) -> dict[str, Any]:
        """The configuration, for the verdict."""
        return asdict(self.config)


def proxy(name: str) -> Judge:
    """The judge of that name at its defaults: `ngram`, a causal language model's size, a folder or a hub id.

    >>> proxy("ngram").features
    ('n-grams',)
    """
    if name == "ngram":
        return NGramJudge()
    neural = importlib.import_module("assay.verify.neural")  # which imports this module
    return neural.judge_of(name)


class EvalSet(ABC):
    """What arms are measured on: texts that every judge predicts, and the numbers that follow from their bits.

    A metric is the sum of its numbers over the sum of its sizes, one of each for every document (or item); less is better.
    `path` says where the set came from, `documents` are what the pool must not hold.
    """

    path: str
    documents: Texts

    @property
    @abstractmethod
    def probe(self) -> Probe:
        """What a judge is asked."""

    @abstractmethod
    def reads(self, bits: Bits) -> dict[str, Reading]:
        """The metrics of one arm by name, from its bits on the probe: numbers `(d,)` and sizes `(d,)`, the sizes being the
        same for every arm. Names: `bits_per_byte` and `error`; the first decides."""

    @abstractmethod
    def measures(self, bits: Bits) -> dict[str, float]:
        """What one arm reached, for people."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Path, size (`documents` or `items`) and fingerprint, for the verdict."""


@final
@dataclass(frozen=True)
class Held(EvalSet):
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

    @property
    def probe(self) -> Probe:
        """What a judge is asked about them: their bits from beginning to end."""
        return Probe(self.documents)

    def reads(self, bits: Bits) -> dict[str, Reading]:
        """Bits per byte, and nothing else."""
        return {"bits_per_byte": (bits, self.documents.sizes)}

    def measures(self, bits: Bits) -> dict[str, float]:
        """Bits per byte, and nothing else."""
        return {"bits_per_byte": float(metric(bits, self.documents.sizes))}

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
    """One trial: what to train on, and what to measure; pickles if its source does."""

    judge: Judge
    course: Course
    probes: tuple[Probe, ...]

    @property
    def title(self) -> str:
        """The trial in words."""
        arm = self.course.arms[-1]
        return f"{self.judge.name} on {arm.name}, seed {arm.seed}"


@final
@dataclass(frozen=True)
class Result:
    """What a trial found for one arm: bits per text for each probe, and the seconds that training and measuring took."""

    name: str
    seed: int
    budget: int
    rows: int
    bits: tuple[Bits, ...]
    seconds: float = 0.0


def run(task: Task) -> tuple[Result, ...]:
    """Train and measure; a plain function, so that any `map` can carry it to another process. A course's seconds are shared
    out among its arms by what they cost."""
    began, arms = time.perf_counter(), task.course.arms
    found = task.judge.measure(task.course, task.probes)
    each = (time.perf_counter() - began) / sum(task.course.costs)
    return tuple(
        Result(arm.name, arm.seed, arm.budget, len(arm.rows), bits, each * arm.cost)
        for arm, bits in zip(arms, found, strict=True)
    )


def tasks(plan: Plan, judge: Judge, source: Source, probes: Sequence[Probe]) -> list[Task]:
    """A trial for every arm, or for every draw's whole curve where the judge nests; the largest first, so that workers end
    together."""
    return [
        Task(judge, Course(arms, source), tuple(probes))
        for arms in sorted(courses(plan, judge), key=lambda arms: -arms[-1].cost)
    ]


def courses(plan: Plan, judge: Judge) -> list[tuple[Arm, ...]]:
    """Arms of one draw together where one is the beginning of the next and the judge can use that."""
    groups: dict[tuple[str, int, int], list[Arm]] = {}
    for arm in plan.arms:
        nests = judge.nested and len(arm.passes) == 1
        groups.setdefault((arm.name, arm.seed, -1 if nests else arm.budget), []).append(arm)
    return [tuple(sorted(arms, key=lambda arm: arm.budget)) for arms in groups.values()]


@final
@dataclass(frozen=True)
class Gathered:
    """A source of documents that lie in memory (or in mapped arrays): those of `rows`, sorted and distinct."""

    rows: Int64[np.ndarray, "k"]
    documents: Sequences

    def __call__(self, rows: Int64[np.ndarray, "j"]) -> Iterator[Sequences]:
        """The documents of any rows, all of which must have been gathered, in blocks of a few thousand."""
        places = np.searchsorted(self.rows, rows)
        for start in range(0, len(places), 4096):
            yield self.documents.take(places[start : start + 4096])
