"""What the tests of repeated lines, paragraphs and spans share: real text with planted copies, and a shuffle in memory."""

from __future__ import annotations

import functools
import io
import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from assay.contracts import Engine, Rows
from assay.kernels.hashing import hash_rows
from assay.types import Batch, Signals, Texts

EXAMPLES = Path(__file__).parent.parent / "examples" / "data" / "pool.jsonl.zst"


@dataclass(frozen=True)
class MemoryPool(Rows):
    """Texts in memory, handed on in batches of `size`."""

    texts: list[str]
    size: int = 1 << 20

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.texts), self.size):
            block = Texts.of(self.texts[start : start + self.size])
            hashes = hash_rows(block.data, block.offsets)
            yield Batch(np.arange(start, start + len(block)), hashes, {"text": block})

    def reduce(self, part: Callable, merge: Callable) -> Any:
        return functools.reduce(merge, map(part, self.batches()))

    def sample(self, k: int) -> Batch:
        raise AssertionError("nothing here draws a sample")

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class MemoryEngine(Engine):
    """`shuffle` in a few lines: everything sorted at once, handed on in `ways` ranges of keys."""

    memory: int = 1 << 22
    ways: int = 1

    def shuffle(
        self, pool: MemoryPool, emit: Callable, combine: Callable, labels: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        emit, combine = pickle.loads(pickle.dumps((emit, combine)))
        records = np.concatenate([emit(batch) for batch in pool.batches()])
        records = records[np.lexsort((records["row"], records["key"]))]
        cuts = [way * (1 << 64) // self.ways for way in range(1, self.ways)]
        places = np.searchsorted(np.ascontiguousarray(records["key"]), np.array(cuts, np.uint64))
        for part in np.split(records, places):
            if len(part):
                yield combine(part)


def order_of(texts: list[str]) -> np.ndarray:
    """`keep = "longest"`: more bytes first, then the smaller hash of the text, then the row."""
    block = Texts.of(texts)
    hashes = hash_rows(block.data, block.offsets)
    order = np.empty(len(texts), np.int64)
    order[np.lexsort((np.arange(len(texts)), hashes, -block.sizes))] = np.arange(len(texts))
    return order


def grouped(method: Any, texts: list[str], engine: Engine | None = None, size: int = 1 << 20) -> tuple[list, list]:
    """Share and holder of every text."""
    signals = Signals({"order": order_of(texts)})
    groups, found = method.group(MemoryPool(texts, size), signals, engine or MemoryEngine(), np.random.default_rng(0))
    name = next(name for name in found.columns if not name.endswith("_of"))
    assert groups is None and found[name].dtype == np.float64 and found[f"{name}_of"].dtype == np.int64
    return found[name].tolist(), found[f"{name}_of"].tolist()


def by_content(texts: list[str], shares: list[float], holders: list[int]) -> list[tuple]:
    """The same, however the pool is ordered: exact copies are told apart by nothing."""
    named = [texts[holder] if holder >= 0 else None for holder in holders]
    return sorted(zip(texts, shares, named, strict=True), key=repr)


@functools.cache
def real_texts(count: int, every: int = 1) -> tuple[str, ...]:
    """Documents of the example pool."""
    with EXAMPLES.open("rb") as packed:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), "utf-8")
        texts = [json.loads(line)["text"] for number, line in zip(range(count * every), lines) if number % every == 0]  # noqa: B905
    return tuple(texts)


NOTICE = "We use cookies, to make this site work. Accept all | Reject all"
FOOTER = "© 2024 Example Corp. — all rights reserved; Straße №12\r"
POEM = "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\nRough winds do shake"


def planted(seed: int, count: int = 150) -> list[str]:
    """Real documents, in which notices (spelt in several ways), a poem and whole copies are planted."""
    rng = np.random.default_rng(seed)
    texts = list(real_texts(count, 7))
    for at in rng.choice(count, count // 3, replace=False):
        notice = [NOTICE, NOTICE.upper(), "  " + NOTICE.replace(",", "") + "  "][rng.integers(3)]
        texts[at] = notice + "\n" + texts[at] + ("\n\n" if at % 2 else "\n") + FOOTER.replace("24", str(10 + at % 80))
    for at in rng.choice(count, count // 10, replace=False):
        texts[at] += "\n\n" + (POEM if at % 2 else POEM.replace("\n", " "))
    copies = rng.choice(count, count // 10, replace=False)
    return [*texts, *(texts[at] for at in copies), *(texts[at].upper() + "\nEnd." for at in copies[:9]), "", "\n \n"]
