"""Bits that a causal language model spends on documents, each symbol once, whatever their length.

A document that fits the context is read at once, after an end symbol. A longer one is read by a window that moves on by half
the context, and of each window after the first only the second half is scored: every symbol has at least half a context
before it, and is scored once (Press et al. 2021, Shortformer, https://arxiv.org/abs/2012.15832, section 4, on such windows).
Windows of like length are read together, padded at their ends, which a causal model does not see.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float64, Int64

from assay.models.causal_model import Causal
from assay.models.stream import Batch
from assay.types import Sequences

_PLACES = 4096  # places that are read at once on a processor


@final
class Windows(NamedTuple):
    """Spans of symbols: what is read (`start` to `stop`), from where on it is scored, and of which document."""

    start: Int64[np.ndarray, "w"]
    stop: Int64[np.ndarray, "w"]
    scored: Int64[np.ndarray, "w"]
    document: Int64[np.ndarray, "w"]


def bits(model: Causal, documents: Sequences) -> Float64[np.ndarray, "d"]:
    """Total bits of each document's symbols but for those that are only context (~s)."""
    found = np.zeros(len(documents))
    laid = windows(documents, model.config.context)
    order = np.argsort(laid.start - laid.stop, kind="stable")
    lengths = (laid.stop - laid.start)[order]
    at = 0
    while at < len(order):
        count = max(1, _PLACES // int(lengths[at]))
        some = order[at : at + count]
        np.add.at(found, laid.document[some], _window_bits(model, documents, Windows(*(part[some] for part in laid))))
        at += count
    return found


def windows(documents: Sequences, context: int) -> Windows:
    """The windows that score every document; those in which there is nothing to score are left out.

    >>> two = Sequences(np.arange(12), np.array([0, 9, 12]))
    >>> [part.tolist() for part in windows(two, 4)]
    [[0, 2, 4, 6, 9], [4, 6, 8, 9, 12], [0, 4, 6, 8, 9], [0, 0, 0, 0, 1]]
    """
    half, sizes = context // 2, documents.sizes
    counts = np.where(sizes > 0, 1 + np.maximum(0, -(-(sizes - context) // half)), 0)
    document = np.repeat(np.arange(len(sizes)), counts)
    place = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = documents.offsets[:-1][document] + place * half
    stop = np.minimum(start + context, documents.offsets[1:][document])
    scored = np.where(place > 0, start + context - half, start)
    learnt = np.concatenate([np.zeros(1, np.int64), np.cumsum(documents.data >= 0)])
    some = learnt[stop] > learnt[scored]
    return Windows(start[some], stop[some], scored[some], document[some])


def _window_bits(model: Causal, documents: Sequences, laid: Windows) -> Float64[np.ndarray, "w"]:
    width = int((laid.stop - laid.start).max())
    places = laid.start[:, None] + np.arange(width)
    inside, counted = places < laid.stop[:, None], places >= laid.scored[:, None]
    symbols = np.asarray(documents.data[np.minimum(places, laid.stop[:, None] - 1)], np.int64)
    targets = np.where(inside & counted, np.maximum(symbols, -1), -1)
    first = documents.offsets[laid.document] == laid.start
    before = documents.data[np.clip(places - 1, 0, laid.stop[:, None] - 1)].astype(np.int64)
    before = np.where(before < 0, ~before, before)
    before[:, 0] = np.where(first, model.config.end, before[:, 0])
    inputs = np.where(inside, before, model.config.end)
    return _nats(model, Batch(inputs, targets, np.zeros_like(inputs))) / np.log(2)


def _nats(model: Causal, batch: Batch) -> Float64[np.ndarray, "w"]:
    """Nats of each row's targets; a model that is not finite is as bad as can be."""
    chances = torch.log_softmax(model.logits(batch), dim=2)
    aims = torch.from_numpy(batch.targets).to(chances.device)
    spent = -chances.gather(2, aims.clamp(min=0)[:, :, None])[:, :, 0].double()
    return torch.where(aims >= 0, spent, 0.0).sum(1).cpu().numpy()
