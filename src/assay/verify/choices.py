"""Tasks whose answers are scored by likelihood: multiple choice, and the right answer alone where there is no choice.

With l(k) the bits that a judge spends on answer k after what is asked (its end is not predicted), and b(k) its bytes,

    bits per byte   sum over items of l(right) / sum of b(right)          always defined
    accuracy        share of items whose right answer has the least l(k) / b(k)
    by bits         the same with l(k): `acc` of lm-evaluation-harness, where the former is near its `acc_norm`
    probability     p(k) = 2^-l(k) / sum over k of 2^-l(k), of the right answer; and Brier's score, sum (p(k) - [right])^2

Bits per byte decide: a small proxy is near chance on most tasks, while its bits on right answers move smoothly with its
data (Magnusson et al. 2025, DataDecide, https://arxiv.org/abs/2504.11393: of what small models show, continuous metrics
of likelihood tell best which data set wins at scale). Accuracy is by bytes, because by bits short answers win; a proxy
that knows nothing, which spends the same on every byte, then has exactly the accuracy of guessing. Of k answers that
share the best place each counts 1/k, so the order of answers has no say. White space before an answer is scored and
counted (`io/tasks.py` puts it).

Sources: Brown et al. 2020, https://arxiv.org/abs/2005.14165, section 2.4 (answers by likelihood per unit of length);
Gao et al. 2024, https://doi.org/10.5281/zenodo.12608602 (lm-evaluation-harness); Brier 1950,
https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from assay.errors import InputError
from assay.io import tasks
from assay.io.sources import Shard, find
from assay.io.tasks import Items
from assay.kernels.draws import uniform
from assay.kernels.hashing import hash_rows
from assay.types import Texts
from assay.verify.intervals import LEAST_DOCUMENTS
from assay.verify.judge import Bits, EvalSet, Probe, Reading

_LIMIT_KEY = 0x7E5B << 32  # far from the keys of arms and selectors
_TIE = 1e-9  # answers whose scores differ by less, in proportion, share a place: sums of equal bits round apart


@final
@dataclass(frozen=True)
class Choices(EvalSet):
    """One task: its name, where it came from, its items, and a fingerprint that changes with their content or order."""

    name: str
    path: str
    items: Items
    fingerprint: str

    @classmethod
    def of(cls, name: str, path: str, items: Items) -> Choices:
        """A task of some items; raises InputError where there are too few to know how they vary."""
        if len(items) < LEAST_DOCUMENTS:
            raise InputError(f"the task {path} must hold at least {LEAST_DOCUMENTS} items; got {len(items)}")
        hashes = items.hashes
        whole = hash_rows(hashes.view(np.uint8), np.array([0, hashes.nbytes], np.int64))
        return cls(name, path, items, f"{int(whole[0]):016x}")

    @property
    def probe(self) -> Probe:
        """What a judge is asked: the bits of every answer of every item after what is asked."""
        return Probe(self.items.texts, self.items.contexts, ends=False)

    @property
    def documents(self) -> Texts:
        """What the pool must not hold: each item's question with its right answer."""
        return self.items.documents

    @property
    def chance(self) -> float:
        """The accuracy of guessing; or, where an answer (no, B) is offered by most items and more often right than that, of
        always giving it."""
        counts = np.diff(self.items.starts)
        item = np.repeat(np.arange(len(counts)), counts)
        texts = self.items.texts
        name = np.unique(hash_rows(texts.data, texts.offsets), return_inverse=True)[1]
        _, entry, copies = np.unique(item * (name.max() + 1) + name, return_inverse=True, return_counts=True)
        copy = 1 / copies[entry]  # of an answer that an item offers twice each counts half
        right = name == name[self.items.right][item]
        gain = np.bincount(name, copy * (right * copy - 1 / counts[item])) / len(counts)
        often = np.bincount(name, copy) > len(counts) / 2
        return float((1 / counts).mean() + max(0.0, gain[often].max(initial=0.0)))

    @property
    def chooses(self) -> bool:
        """Whether there is anything to choose from, and so an accuracy."""
        return bool((np.diff(self.items.starts) > 1).all())

    def described(self) -> dict[str, Any]:
        """Name, path, size, chance and fingerprint, for the verdict; `bytes` are those of right answers."""
        return {
            "name": self.name,
            "path": self.path,
            "kind": "multiple choice" if self.chooses else "right answer",
            "items": len(self.items),
            "answers": len(self.items.texts),
            "bytes": int(self._right_sizes.sum()),
            "chance": self.chance if self.chooses else None,
            "fingerprint": self.fingerprint,
        }

    @property
    def _right_sizes(self) -> Int64[np.ndarray, "d"]:
        return self.items.texts.sizes[self.items.right]

    def reads(self, bits: Bits) -> dict[str, Reading]:
        """Numbers and sizes per item of what is compared (a metric is sum over sum, and less is better): bits per byte of the
        right answer and, where there is a choice, the share of errors."""
        found = {"bits_per_byte": (bits[self.items.right], self._right_sizes)}
        if self.chooses:
            found["error"] = (1 - self.hits(bits), np.ones(len(self.items), np.int64))
        return found

    def hits(self, bits: Bits) -> Float64[np.ndarray, "d"]:
        """1 for every item whose right answer has the fewest bits per byte, 0 where another has; 1/k for one of k equals."""
        return self._won(bits / self.items.texts.sizes)

    def _won(self, scores: Float64[np.ndarray, "r"]) -> Float64[np.ndarray, "d"]:
        starts = self.items.starts[:-1]
        least = np.minimum.reduceat(scores, starts)
        best = scores <= np.repeat(least + _TIE * np.abs(least), np.diff(self.items.starts))
        return best[self.items.right] / np.add.reduceat(best.astype(np.int64), starts)

    def probabilities(self, bits: Bits) -> Float64[np.ndarray, "r"]:
        """What the judge gives each answer, all answers of an item together one."""
        counts = np.diff(self.items.starts)
        over = bits - np.repeat(np.minimum.reduceat(bits, self.items.starts[:-1]), counts)
        weights = np.exp2(-over)
        return weights / np.repeat(np.add.reduceat(weights, self.items.starts[:-1]), counts)

    def measures(self, bits: Bits) -> dict[str, float]:
        """Everything that one arm reached, for people: see the head of this file."""
        spent = float(bits[self.items.right].sum() / self._right_sizes.sum())
        if not self.chooses:
            return {"bits_per_byte": spent}
        given = self.probabilities(bits)
        right = np.zeros(len(bits))
        right[self.items.right] = 1
        return {
            "bits_per_byte": spent,
            "accuracy": float(self.hits(bits).mean()),
            "accuracy_by_bits": float(self._won(bits).mean()),
            "probability": float(given[self.items.right].mean()),
            "brier": float(((given - right) ** 2).sum() / len(self.items)),
        }

    def above_chance(self, bits: Bits, level: float = 0.05) -> bool:
        """Whether one arm's accuracy is above chance, by a one-sided t test over items."""
        hits = self.hits(bits)
        spread = float(hits.std(ddof=1)) / len(hits) ** 0.5
        return float(hits.mean()) - self.chance > float(stats.t.ppf(1 - level, len(hits) - 1)) * spread


def at_chance(task: Choices, arms: Sequence[Bits], proxy: str, level: float = 0.05) -> str | None:
    """A sentence where no arm's accuracy is above chance (the level is shared among the arms); None where one is, or where there
    is nothing to choose from."""
    if not task.chooses or not arms or any(task.above_chance(bits, level / len(arms)) for bits in arms):
        return None
    mean = float(np.mean([task.hits(bits).mean() for bits in arms]))
    return (
        f"{proxy} is not above chance on {task.name} (accuracy {mean:.2f}, chance {task.chance:.2f}); its bits per byte of "
        "the right answer still compare"
    )


def load(paths: Sequence[str], limit: int | None = None) -> tuple[Choices, ...]:
    """Each file that the paths name (files, folders, globs) as one task, called after the file; at most `limit` items of each,
    drawn by content. Raises InputError for what is no task, naming file and line."""
    return tuple(_task(shard, limit) for shard in (find(paths) if paths else ()))


def _task(shard: Shard, limit: int | None) -> Choices:
    found = list(tasks.read(shard))
    if limit is not None and limit < len(found):
        luck = uniform(_LIMIT_KEY, Items.of(found).hashes)
        found = [found[place] for place in np.sort(np.argsort(luck, kind="stable")[:limit]).tolist()]
    return Choices.of(_name(shard.name), shard.path, Items.of(found))


def _name(file: str) -> str:
    """A file's name without what says its format.

    >>> _name("piqa.jsonl.gz"), _name("arc/test-00000-of-00001.parquet"), _name("v1.5.json")
    ('piqa', 'arc/test-00000-of-00001', 'v1.5')
    """
    for suffix in (".gz", ".gzip", ".zst", ".zstd", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".arrow"):
        file = file.removesuffix(suffix)
    return file
