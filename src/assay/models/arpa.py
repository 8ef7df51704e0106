"""An n-gram model as ARPA text, the format that SRILM and KenLM read (Doug Paul's, MIT Lincoln Laboratory).

A line of section l is `log10 P(w | h) <tab> h w <tab> log10 g(h w)`; a reader takes g(h) P(w | h') where h w is not
listed, which is the interpolated model exactly, since P already holds the interpolation. The begin symbol is `<s>`, the
end `</s>`; `<unk>` must be listed and has probability 10^-99: every symbol of the alphabet is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

import numpy as np
from jaxtyping import Float64, Int64

from assay.errors import RecipeError
from assay.kernels import kneser_ney
from assay.models.ngram import NGram

NEVER = "-99"


def byte_names() -> list[str]:
    """A token for each byte, without blanks in it.

    >>> byte_names()[65]
    '<0x41>'
    """
    return [f"<0x{byte:02X}>" for byte in range(256)]


def write(model: NGram, file: TextIO, names: Sequence[str]) -> None:
    """Write the whole model as ARPA text; `names[symbol]` is its token. Raises RecipeError where ARPA cannot say it."""
    if model.config.boundaries != 1 and model.config.order > 1:
        found = model.config.boundaries
        raise RecipeError(f"an ARPA file must have one begin symbol; the model has {found}; train it with boundaries=1")
    if len(names) != model.config.symbols:
        raise RecipeError(f"an ARPA file needs {model.config.symbols} names, one for each symbol; got {len(names)}")
    paths = contexts(model)
    file.write("\\data\\\n")
    for length in range(1, model.config.order + 1):
        file.write(f"ngram {length}={_size(model, length)}\n")
    for length in range(1, model.config.order + 1):
        file.write(f"\n\\{length}-grams:\n")
        file.writelines(_section(model, paths, length, names))
    file.write("\n\\end\\\n")


def contexts(model: NGram) -> list[Int64[np.ndarray, "q l"]]:
    """For each length the contexts of its nodes, nearest symbol first."""
    first, child = model.trie.first, model.trie.child
    paths = [np.zeros((1, 0), np.int64)]
    for length in range(1, model.config.order):
        parents = np.diff(child[first[length - 1] : first[length] + 1])
        symbols = model.trie.symbol[first[length] : first[length + 1]].astype(np.int64)
        paths.append(np.column_stack([np.repeat(paths[-1], parents, axis=0), symbols]))
    return paths


def _size(model: NGram, length: int) -> int:
    """Lines of a section: unigrams are all listed, with <s> and <unk>; longer n-grams where they were seen."""
    first = model.trie.first
    return model.config.symbols + 3 if length == 1 else int(model.trie.width[first[length - 1] : first[length]].sum())


def _section(model: NGram, paths: list[Int64[np.ndarray, "q l"]], length: int, names: Sequence[str]) -> Iterator[str]:
    """The lines of one section."""
    grams, chances = _grams(model, paths, length)
    node = kneser_ney.descend(model.trie, grams) if length < model.config.order else np.full(len(grams), -1)
    spoken = [*names, "</s>"]
    for gram, chance, context in zip(grams.tolist(), np.log10(chances).tolist(), node.tolist(), strict=True):
        words = [spoken[gram[0]]] + ["<s>" if symbol == len(names) else names[symbol] for symbol in gram[1:]]
        ended = gram[0] == len(names)  # nothing follows an end, though its number is the begin symbol's too
        yield _line(f"{chance:.7f}", words[::-1], 1.0 if ended or context < 0 else float(model.handed[context]))
    if length == 1:
        yield f"{NEVER}\t<unk>\n"
        begun = kneser_ney.descend(model.trie, np.array([[len(names)]]))[0] if model.config.order > 1 else -1
        yield _line(NEVER, ["<s>"], 1.0 if begun < 0 else float(model.handed[begun]))


def _line(chance: str, words: list[str], handed: float) -> str:
    """One n-gram; without a back-off where nothing is handed down."""
    return f"{chance}\t{' '.join(words)}" + (f"\t{np.log10(handed):.7f}\n" if handed != 1 else "\n")


def _grams(
    model: NGram, paths: list[Int64[np.ndarray, "q l"]], length: int
) -> tuple[Int64[np.ndarray, "k l"], Float64[np.ndarray, "k"]]:
    """The n-grams of one length, predicted symbol first, then its context from the nearest; and their probabilities."""
    if length == 1:
        grams = np.arange(model.config.symbols + 1)[:, None]
        return grams, model.chances(grams)
    trie, nodes = model.trie, np.arange(model.trie.first[length - 1], model.trie.first[length])
    widths = trie.width[nodes].astype(np.int64)
    owner = np.repeat(np.arange(len(nodes)), widths)
    starts = np.repeat(trie.follower[nodes] - np.cumsum(widths) + widths, widths)
    rows = starts + np.arange(len(owner))
    grams = np.column_stack([trie.symbols[rows].astype(np.int64), paths[length - 1][owner]])
    return grams, model.chances(grams)
