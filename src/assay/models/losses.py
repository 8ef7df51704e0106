"""What language models spend on rows, in nats a symbol, and the small models that methods learn, as plain arrays.

    mean loss of x     -ln P(x) / |x|      |x| the symbols that are scored, the end of a document among them

A mean, so that rows of different lengths can be compared: the published losses are means over windows of one length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from assay.contracts import Checkpoints, Report
from assay.kernels import automaton, kneser_ney
from assay.kernels.automaton import Automaton
from assay.models import dialogue, ngram
from assay.models.language import Language, language_of, torch_module
from assay.models.ngram import NGramConfig
from assay.types import Batch, Sequences, Texts

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
Reader = Callable[[Texts], Float64[np.ndarray, "b"]]
NGRAM = "ngram"  # the name of the model that needs no network
MOST = 1 << 25  # bytes that an n-gram model learns: training takes some 30 bytes of memory for each, at order 6
_END = 256


def by_content(batch: Batch, size: int = MOST) -> Texts:
    """The texts of a batch in the order of their content hashes, wherever they lie in the pool: as many as `size` bytes hold.

    >>> two = Batch(np.arange(2), np.array([9, 4], np.uint64), {"text": Texts.of(["b", "a"])})
    >>> list(by_content(two)), list(by_content(two, 1))
    (['a', 'b'], ['a'])
    """
    order = np.lexsort((batch.rows, batch.hashes))
    return batch.text.take(order[np.cumsum(batch.text.sizes[order]) <= size])


def mean_losses(model: Any, documents: Sequences) -> Float64[np.ndarray, "b"]:
    """Nats a symbol of each document under a `Causal`, over the symbols that are not only context; NaN where there are none.

    Windows are padded together as they fit, so that what a row is read with changes its loss by rounding only (1e-6).
    """
    return mean(nats(model, documents), scored(documents))


def nats(model: Any, documents: Sequences) -> Float64[np.ndarray, "b"]:
    """Nats of all scored symbols of each document under a `Causal`."""
    with torch_module("causal_model").one_thread():
        return torch_module("causal_bits").bits(model, documents) * np.log(2)


def mean(total: Float64[np.ndarray, "b"], counts: Int64[np.ndarray, "b"]) -> Float64[np.ndarray, "b"]:
    """Totals over counts; NaN of nothing.

    >>> mean(np.array([3.0, 0.0]), np.array([2, 0])).tolist()
    [1.5, nan]
    """
    return np.divide(total, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def scored(documents: Sequences) -> Int64[np.ndarray, "b"]:
    """How many symbols of each document are scored.

    >>> scored(Sequences(np.array([~4, 5, 6, ~7]), np.array([0, 3, 4, 4]))).tolist()
    [2, 0, 0]
    """
    upto = np.concatenate([np.zeros(1, np.int64), np.cumsum(documents.data >= 0, dtype=np.int64)])
    return np.diff(upto[documents.offsets])


@final
class Pairs(NamedTuple):
    """Responses twice over: after their prompts, and alone. Of each the same symbols, but for those that have no place."""

    conditioned: Sequences
    direct: Sequences


def pairs(language: Language, contexts: Texts, responses: Texts, header: Texts | None) -> Pairs:
    """Responses as `dialogue.held` gives them, after their contexts, and alone: after a header that is only read, or without one
    after their own first symbol, which then is not scored.

    Both have the symbols that a response has in its dialogue, without the end of the document, and as many of them as the model's
    context holds beside the prompt: what is far from the prompt would be scored as if there were none.
    """
    whole = dialogue.only_last(language.encode_turns(dialogue.joined(contexts, responses)))
    head = None if header is None else ~language.encode(header, ends=False).data
    found = [_pair(one, head, language.config) for one in _each(whole)]
    return Pairs(_stacked([one for one, _ in found]), _stacked([one for _, one in found]))


def _pair(symbols: np.ndarray, head: np.ndarray | None, config: Any) -> tuple[np.ndarray, np.ndarray]:
    learnt = np.flatnonzero(symbols >= 0)
    first, stop = (int(learnt[0]), int(learnt[-1]) + 1) if len(learnt) else (0, 0)
    stop -= stop > first and symbols[stop - 1] == config.end
    response = symbols[first : max(first, min(stop, config.context))]
    alone = np.concatenate([~response[:1], response[1:]]) if head is None else np.concatenate([head, response])
    return symbols[: first + len(response)], alone


def _each(documents: Sequences) -> Iterator[np.ndarray]:
    for start, stop in zip(documents.offsets[:-1].tolist(), documents.offsets[1:].tolist(), strict=True):
        yield documents.data[start:stop]


def _stacked(parts: list[np.ndarray]) -> Sequences:
    sizes = np.array([0, *map(len, parts)], np.int64)
    return Sequences(np.concatenate([np.zeros(0, np.int32), *parts]), np.cumsum(sizes))


def ngrams(texts: Texts, order: int) -> dict[str, Shaped[np.ndarray, "..."]]:
    """An n-gram model of texts (`models/ngram.py`) as plain arrays: the automaton that scores, and the state to begin in."""
    model = ngram.train([texts], NGramConfig(order))
    linked = automaton.link(model.trie, model.discounts, model.total, model.handed, _END)
    begin = kneser_ney.descend(model.trie, np.array([[_END]])) if order > 1 else np.zeros(1, np.int64)
    return {**linked._asdict(), "begin": begin}


def ngram_losses(arrays: Arrays, texts: Texts) -> Float64[np.ndarray, "b"]:
    """Nats a byte of each text under what `ngrams` made; the end of the text counts as a byte.

    >>> found = ngram_losses(ngrams(Texts.of(["banana"]), 3), Texts.of(["banana", "nabnaa"]))
    >>> bool(found[0] < found[1])
    True
    """
    linked = Automaton(*(np.asarray(arrays[name]) for name in Automaton._fields))
    spent = automaton.bits(texts.data, texts.offsets, linked, int(arrays["begin"][0]), _END)
    return spent * np.log(2) / (texts.sizes + 1)


def reader(model: str, arrays: Arrays) -> Reader:
    """What gives the mean losses of texts under a model by name, `ngram` or a causal one, at the weights that it has learnt."""
    if model == NGRAM:
        return partial(ngram_losses, arrays)
    language = language_of(model)
    opened = torch_module("tuning").opened(language, arrays)
    return lambda texts: mean_losses(opened, language.encode(texts))


def moved(model: Any, arrays: Arrays) -> Any:
    """The same `Causal` at the weights of a snapshot, which take the place of its own."""
    import torch

    with torch.no_grad():
        for name, one in torch_module("tuning").trained(model):
            one.copy_(torch.from_numpy(np.array(arrays[name])))
    return model


def taught(
    language: Language,
    documents: Sequences,
    epochs: int,
    seed: int,
    report: Report,
    checkpoints: Checkpoints,
    start: Arrays | None = None,
) -> Arrays:
    """The weights of a causal model after so many passes over documents, from its own weights or those of `start`;
    `report(done, total, loss)` is told of every step, and one that is stopped goes on from its `checkpoints`."""
    tuning = torch_module("tuning")
    *_, last = tuning.tune(language, documents, tuning.Tuning(epochs=epochs), seed, start, report, checkpoints)
    return last.weights


def named(prefix: str, arrays: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Arrays under names that begin with a prefix.

    >>> list(named("prior", {"begin": np.zeros(1)}))
    ['prior/begin']
    """
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: Arrays) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays that `named` put under a prefix.

    >>> list(under("prior", {"prior/begin": np.zeros(1), "seen": np.zeros(1)}))
    ['begin']
    """
    head = f"{prefix}/"
    return {name.removeprefix(head): array for name, array in arrays.items() if name.startswith(head)}


def keyed(method: Any) -> str:
    """A method in words, with the content of its `model`: what the store names its results by.

    A folder of another content under the same name is another model.
    """
    told = ", ".join(f"{one.name}={getattr(method, one.name)!r}" for one in fields(method))
    content = "" if method.model == NGRAM else f", {language_of(method.model).digest}"
    return f"{type(method).__name__}({told}{content})"
