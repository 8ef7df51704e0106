"""Word lists, as the user keeps them: a word or phrase on each line, UTF-8; blank lines and those that begin with # count
for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import UInt8, UInt64

from assay.errors import InputError
from assay.io import files
from assay.kernels.word_lists import characters, phrases, sieve_of
from assay.types import Texts


@final
@dataclass(frozen=True)
class WordList:
    """Listed phrases by their hashes, sorted; `entries[k]` is how the list spells the phrase of `hashes[k]`."""

    hashes: UInt64[np.ndarray, "u"]
    sieve: UInt8[np.ndarray, "z"]
    longest: int
    entries: tuple[str, ...]

    @classmethod
    def of(cls, entries: list[str]) -> WordList:
        """Of words and phrases; those that differ only in case or spaces are one.

        >>> WordList.of(["Darn", "darn", "what the  heck"]).longest
        3
        """
        text = Texts.of(entries)
        hashes, lasts, lengths = phrases(text.data, text.offsets, characters())
        there = np.flatnonzero(lengths)
        unique, first = np.unique(hashes[there], return_index=True)
        rows = there[first]
        return cls(unique, sieve_of(lasts[rows]), int(lengths.max(initial=1)), tuple(entries[row] for row in rows))

    def __len__(self) -> int:
        return len(self.entries)


def load(path: str) -> WordList:
    """The list in a file; raises InputError where it is no UTF-8 or names no word."""
    try:
        lines = files.read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"the word list {path!r} must be UTF-8 text, a word or phrase on each line; {error}") from None
    entries = [line.strip() for line in lines]
    words = WordList.of([entry for entry in entries if entry and not entry.startswith("#")])
    if not len(words):
        raise InputError(f"the word list {path!r} must name at least one word, one on each line; got none")
    return words
