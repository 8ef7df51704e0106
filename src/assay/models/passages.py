"""An index of passages: the words of eval items, what each word weighs, and the seeds that lead to them.

    u_w    = log2 (2 (N + 1) / (n_w + 1))      n_w of the N items and sampled documents hold word w
    c_i    = least number of times that a run of SEED words around place i stands in the items
    w_i    = u_i / c_i                         what every document or every item says counts little
    seeds  = runs of SEED words with sum u >= 1.25 log2(N + 1), and of each passage at least the best three in ten

A seed of more than 64 passages leads nowhere: it is a template. Items of more than 64 words are cut into equal passages.
`kernels/alignment.py` says how passages are found; https://doi.org/10.1108/eb026526 (Sparck Jones 1972) why rare words
weigh more. Counts are whole numbers and the order is that of the items, so neither batches nor workers change a bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8, UInt32, UInt64

from assay.errors import InputError
from assay.kernels.alignment import LONGEST, SEED, Index, index_seeds, seeds_of
from assay.kernels.folding import count_documents, word_hashes
from assay.types import Batch, Texts

MOST = 1 << 26  # passages: the bits that a seed has for them
MOST_PASSAGES = 64
_HEAD = 60  # bytes of an item's text that stand for it where it has no label
_CUT = 16_384  # bytes of a sampled document that are looked at
_TELLING = 1.25  # a seed weighs at least this many words that nobody else uses ...
_FEWEST = 0.3  # ... unless that leaves less than this share of a passage's seeds
_SCALE = 1000  # the heaviest word of a passage


@final
@dataclass(frozen=True)
class Items:
    """Items as word hashes (w,): where each one's begin `ends (t + 1,)`, its row, its label and how it begins."""

    rows: Int64[np.ndarray, "t"]
    hashes: UInt32[np.ndarray, "w"]
    ends: Int64[np.ndarray, "t_plus_1"]
    labels: Texts
    heads: Texts

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> Int64[np.ndarray, "t"]:
        """Words of each item."""
        return np.diff(self.ends)

    def name(self, k: int) -> str:
        """What to call item k: its label, and how it begins."""
        return f"{self.labels[k]}: {' '.join(self.heads[k].split())}"

    def first_copies(self) -> Bool[np.ndarray, "t"]:
        """Which items equal no earlier one, word for word."""
        seen: set[bytes] = set()
        first = np.zeros(len(self), bool)
        for k, (start, stop) in enumerate(zip(self.ends[:-1].tolist(), self.ends[1:].tolist(), strict=True)):
            words = self.hashes[start:stop].tobytes()
            first[k] = words not in seen
            seen.add(words)
        return first


def gather(batch: Batch) -> Items:
    """The items of an eval set; a column `label` names them, else their row number does."""
    text, labels = batch.text, batch.columns.get("label")
    if not isinstance(labels, Texts):
        labels = Texts.of([f"item {row}" for row in batch.rows.tolist()])
    hashes, ends = word_hashes(text.data, text.offsets)
    heads = Texts.of([bytes(_head(text, k, _HEAD)).decode("utf-8", "ignore") for k in range(len(text))])
    return Items(batch.rows, hashes, ends, labels, heads)


def _head(text: Texts, k: int, size: int) -> UInt8[np.ndarray, "m"]:
    start, stop = text.offsets[k], text.offsets[k + 1]
    return text.data[start : min(stop, start + size)]


@final
@dataclass(frozen=True)
class Passages:
    """What `build` makes: the arrays of the index, the item of each passage, and the items that some seed leads to."""

    index: Index
    items: Int64[np.ndarray, "p"]
    led_to: Int64[np.ndarray, "u"]


def build(items: Items, chosen: Int64[np.ndarray, "k"], sample: Texts) -> Passages:
    """Index the `chosen` items; the `sample` of documents and all items say how common a word is."""
    words, bounds, owners = _cut(items, chosen)
    if len(owners) >= MOST:
        raise InputError(
            f"eval items must make fewer than {MOST:,} passages; they make {len(owners):,}: give fewer files"
        )
    usual, most = _informations(items, sample, words)
    places, runs = _runs(words, bounds)
    _, which, counts = np.unique(runs, return_inverse=True, return_counts=True)
    times = _least_around(places, counts[which], len(words))
    weights = _scaled(usual / times, bounds)
    told = sum(usual[places + k] for k in range(SEED))
    kept = _telling(told, most, places, bounds) & (counts[which] <= MOST_PASSAGES)
    passage = np.searchsorted(bounds, places[kept], side="right") - 1
    seeds = index_seeds(runs[kept], passage, places[kept] - bounds[passage])
    return Passages((words, weights, bounds, *seeds), owners, np.unique(owners[passage]))


def _cut(
    items: Items, chosen: Int64[np.ndarray, "k"]
) -> tuple[UInt32[np.ndarray, "w"], Int64[np.ndarray, "p_plus_1"], Int64[np.ndarray, "p"]]:
    """Words of the chosen items one after another, where each passage begins, and its item."""
    lengths = items.lengths[chosen]
    parts = -(-lengths // LONGEST)
    owner = np.repeat(np.arange(len(chosen)), parts)
    part = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    base = (np.cumsum(lengths) - lengths)[owner]
    bounds = np.append(base + lengths[owner] * part // parts[owner], lengths.sum())
    place = np.arange(int(lengths.sum())) + np.repeat(items.ends[chosen] - (np.cumsum(lengths) - lengths), lengths)
    return items.hashes[place], bounds.astype(np.int64), chosen[owner]


def _informations(
    items: Items, sample: Texts, words: UInt32[np.ndarray, "w"]
) -> tuple[Float64[np.ndarray, "w"], float]:
    """u of every word of the passages, and u of a word that stands nowhere else."""
    vocabulary, which = np.unique(words, return_inverse=True)
    counts = np.zeros(len(vocabulary), np.int64)
    count_documents(items.hashes, items.ends, vocabulary, counts)
    cut = Texts.of_bytes([_head(sample, k, _CUT).tobytes() for k in range(len(sample))])
    count_documents(*word_hashes(cut.data, cut.offsets), vocabulary, counts)
    total = len(items) + len(sample)
    return np.log2(2 * (total + 1) / (counts + 1))[which], float(np.log2(total + 1))


def _runs(
    words: UInt32[np.ndarray, "w"], bounds: Int64[np.ndarray, "p_plus_1"]
) -> tuple[Int64[np.ndarray, "s"], UInt64[np.ndarray, "s"]]:
    """Where a run of SEED words within one passage begins, and its hash."""
    hashes, whole = seeds_of(words), np.ones(max(0, len(words) - SEED + 1), bool)
    for k in range(1, SEED):
        inner = bounds[1:-1] - k
        whole[inner[(inner >= 0) & (inner < len(whole))]] = False
    places = np.flatnonzero(whole)
    return places, hashes[places]


def _least_around(places: Int64[np.ndarray, "s"], counts: Int64[np.ndarray, "s"], words: int) -> Int64[np.ndarray, "w"]:
    """c: of the runs that hold a place the least count."""
    least = np.full(words, np.iinfo(np.int64).max)
    for k in range(SEED):
        least[places + k] = np.minimum(least[places + k], counts)
    return least


def _scaled(weights: Float64[np.ndarray, "w"], bounds: Int64[np.ndarray, "p_plus_1"]) -> np.ndarray:
    """Whole numbers from 1 to _SCALE, the heaviest of each passage _SCALE: sums are exact."""
    if not len(weights):
        return np.zeros(0, np.uint16)
    top = np.repeat(np.maximum.reduceat(weights, bounds[:-1]), np.diff(bounds))
    return np.maximum(1, np.round(_SCALE * weights / top)).astype(np.uint16)


def _telling(
    told: Float64[np.ndarray, "s"], most: float, places: Int64[np.ndarray, "s"], bounds: Int64[np.ndarray, "p_plus_1"]
) -> Bool[np.ndarray, "s"]:
    """Seeds that say enough, or are among the best of their passage."""
    passage = np.searchsorted(bounds, places, side="right") - 1
    order = np.lexsort((-told, passage))
    begins = np.searchsorted(passage, np.arange(len(bounds)))
    rank = np.empty(len(told), np.int64)
    rank[order] = np.arange(len(told)) - begins[passage[order]]
    return (told >= _TELLING * most) | (rank < np.ceil(_FEWEST * np.diff(begins))[passage])
