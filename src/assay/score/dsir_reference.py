"""DSIR as its authors' package computes it: hashed n-gram log importance weights, equal to data-selection 1.0.3.

    p̂(j) = c_target(j) / Σ c_target,   q̂(j) = c_raw(j) / Σ c_raw          counts of n-grams of orders 1..n in bucket j
    log w(x) = Σ_j z_j(x) [log(p̂(j) + 10⁻⁸) − log(q̂(j) + 10⁻⁸)]            z(x) the bucket counts of document x
    bucket(g) = SHA-256(g) mod buckets                                     tokens of g lower-cased, joined by one space
    tokens(x) = ⌊(Σ_j z_j(x) + n(n−1)/2) / n⌋                              below `min_tokens` a row has no score (NaN)

Guarantee: log w equals the package's to 1e-6 relative on every document (tests/goldens, and live in `make bench`).
Source: Xie, Santurkar, Ma, Liang, Data Selection for Language Models via Importance Resampling, 2023,
https://arxiv.org/abs/2302.03169; package https://pypi.org/project/data-selection/1.0.3/.

Tokens are NLTK's WordPunct, \\w+|[^\\w\\s]+, and what that means changed: `wordpunct` is NLTK 3.10 and later (combining
marks are word characters; ² and ½ are not), `wordpunct_re` NLTK before 3.10, as when DSIR was published.

Where the package has defects, this does instead: the package stops fitting the pool after 100,000 n-grams a bucket in
every one of its processes, so its weights depend on how many there are; ours are those of one process, rows in order.
A blank line, which breaks the package, is no row. A budget of all rows, which breaks its choice, is served; its noise
comes from the global generator without a seed, ours from the run's seed and the row's content (`gumbel_top_k`).
Weights are never exponentiated, where the package's users meet 1e-52 and 1e40.

The paper's experiments differ from the package, and neither is hidden: Python's own string hash, q̂ from the Pile's
validation set, chunks of 128 words, and a quality filter before. The sum is not divided by length, so short documents
win (rank correlation with length −0.97 on the package's own toy corpus); the method `dsir` is the one to use, this is
the one to compare with.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64, Int64

from assay.contracts import Explainer, Rows, Scorer
from assay.errors import InputError, RecipeError
from assay.types import Batch, Fitted, Texts

_TINY = 1e-8  # added to both probabilities by the package
_NGRAMS_PER_BUCKET = 100_000  # the package's cap on fitting the pool, its mode 'auto'
_REMEMBERED = 1 << 18  # n-grams whose bucket a process remembers, about 50 MB
# Alphabetic without being a letter (circled and squared letters), and the two joiners, which are word characters too.
_ODD_WORD = frozenset(
    itertools.chain(
        range(0x24B6, 0x24EA),
        range(0x1F130, 0x1F14A),
        range(0x1F150, 0x1F16A),
        range(0x1F170, 0x1F18A),
        range(0x200C, 0x200E),
    )
)
_WORD_CATEGORIES = ("L", "M", "Nd", "Nl", "Pc")
_TOKENIZERS = ("wordpunct", "wordpunct_re")


def _ranges(codes: Iterable[int]) -> str:
    """A regular expression's character class of code points in ascending order."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)


@functools.cache
def _pattern(tokenizer: str) -> re.Pattern[str]:
    if tokenizer == "wordpunct_re":
        return re.compile(r"\w+|[^\w\s]+")
    codes = range(0x110000)
    word = _ranges(c for c in codes if unicodedata.category(chr(c)).startswith(_WORD_CATEGORIES) or c in _ODD_WORD)
    space = _ranges(c for c in codes if chr(c).isspace() and not 0x1C <= c <= 0x1F)
    return re.compile(f"[{word}]+|[^{word}{space}]+")


@functools.lru_cache(_REMEMBERED)
def bucket_of(ngram: str, buckets: int = 10_000) -> int:
    """The bucket of an n-gram: lower-cased tokens joined by one space.

    >>> bucket_of("alice"), bucket_of("alice went")
    (6720, 114)
    """
    return int.from_bytes(hashlib.sha256(ngram.encode("utf-8", "replace")).digest(), "big") % buckets


@final
@dataclass(frozen=True)
class DsirReference(Scorer, Explainer):
    """DSIR's summed log importance weight exactly as the package data-selection 1.0.3 computes it; slow.

    `n` and `buckets` shape the features; `min_tokens` leaves shorter rows without a score (NaN); `fit_ngrams` stops
    fitting the pool after the row that passes so many n-grams (0: 100,000 a bucket, the package's 'auto');
    `target_pseudo_count` is added to every bucket of the target (the package has 0); `tokenizer` says whose WordPunct.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://arxiv.org/abs/2302.03169"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "required"
    features: ClassVar[tuple[str, ...]] = ("n-grams",)

    n: int = 2
    buckets: int = 10_000
    min_tokens: int = 100
    fit_ngrams: int = 0
    target_pseudo_count: float = 0.0
    tokenizer: str = "wordpunct"

    def __post_init__(self) -> None:
        for name, least in (("n", 1), ("buckets", 1), ("min_tokens", 0), ("fit_ngrams", 0), ("target_pseudo_count", 0)):
            if not least <= getattr(self, name) < float("inf"):
                raise RecipeError(f"dsir_reference: {name} must be at least {least}; got {getattr(self, name)}")
        if self.tokenizer not in _TOKENIZERS:
            known = " or ".join(_TOKENIZERS)
            raise RecipeError(f"dsir_reference: tokenizer must be {known}; got {self.tokenizer!r}")

    def tokens(self, text: str) -> list[str]:
        """Lower-cased WordPunct tokens.

        >>> DsirReference().tokens("Alice went, x²")
        ['alice', 'went', ',', 'x', '²']
        """
        return _pattern(self.tokenizer).findall(text.lower())

    def ngrams(self, text: str) -> list[str]:
        """All n-grams of orders 1..n, each joined by one space."""
        tokens = self.tokens(text)
        grams = list(tokens)
        for order in range(2, self.n + 1):
            grams += map(" ".join, zip(*(tokens[start:] for start in range(order)), strict=False))
        return grams

    def picks(self, text: str) -> Int64[np.ndarray, "g"]:
        """The bucket of every n-gram of a text."""
        return np.array([bucket_of(gram, self.buckets) for gram in self.ngrams(text)], np.int64)

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """log(p̂ + 10⁻⁸) − log(q̂ + 10⁻⁸) for every bucket; raises InputError where pool or target has no token."""
        raw, totals, hashes = pool.reduce(_Count(self), _append)
        running, cap = np.cumsum(totals), self.fit_ngrams or _NGRAMS_PER_BUCKET * self.buckets
        if running[-1] > cap:
            last = int(np.searchsorted(running, cap, side="right"))
            copies = int((hashes[: last + 1] == hashes[last]).sum())
            raw = pool.reduce(_CountTo(self, int(hashes[last]), copies), _join)[0][:copies].sum(axis=0)
        if target is None:
            raise InputError("dsir_reference needs a target; name it with --target")
        aim = target.reduce(_Count(self), _append)[0] + self.target_pseudo_count
        for name, counts in (("pool", raw), ("target", aim)):
            if not counts.sum():
                raise InputError(f"dsir_reference needs a {name} with at least one word; got none in its text field")
        difference = np.log(aim / aim.sum() + _TINY) - np.log(raw / raw.sum() + _TINY)
        return Fitted({"difference": difference}, {"pool_ngrams": int(raw.sum()), "target_ngrams": int(aim.sum())})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        """log w of every row; NaN for one of fewer than `min_tokens` tokens."""
        scores = np.full(len(batch), np.nan)
        for place, text in enumerate(batch.text):
            picks = self.picks(text)
            if self.recovered(len(picks)) >= self.min_tokens:
                scores[place] = fitted.arrays["difference"][picks].sum()
        return scores

    def recovered(self, ngrams: int) -> int:
        """The token count that the package recovers from the number of n-grams; exact from n − 1 tokens on."""
        return int((ngrams + self.n * (self.n - 1) / 2) // self.n)

    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The n-grams whose summed contribution over the texts is largest in size."""
        pulls: dict[str, float] = {}
        for gram in itertools.chain.from_iterable(map(self.ngrams, texts)):
            pulls[gram] = pulls.get(gram, 0.0) + float(fitted.arrays["difference"][bucket_of(gram, self.buckets)])
        return sorted(pulls.items(), key=lambda pull: (-abs(pull[1]), pull[0]))[:top]

    def count(self, texts: Texts) -> tuple[Int64[np.ndarray, "d"], Int64[np.ndarray, "b"]]:
        """The bucket counts of some texts together, and the number of n-grams of each."""
        picks = [self.picks(text) for text in texts]
        together = np.concatenate([np.zeros(0, np.int64), *picks])
        return np.bincount(together, minlength=self.buckets), np.array([len(each) for each in picks], np.int64)


@final
@dataclass(frozen=True)
class _Count:
    """A part of the fit: bucket counts, and for every row its number of n-grams and its hash."""

    scorer: DsirReference

    def __call__(self, batch: Batch) -> tuple[np.ndarray, ...]:
        return *self.scorer.count(batch.text), batch.hashes


def _append(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return a[0] + b[0], np.concatenate([a[1], b[1]]), np.concatenate([a[2], b[2]])


@final
@dataclass(frozen=True)
class _CountTo:
    """A part of the capped fit: bucket counts of the rows up to each of the first `copies` rows with `row_hash`.

    A part cannot know how many rows come before it, but the last row that is fitted it knows by its content.
    """

    scorer: DsirReference
    row_hash: int
    copies: int

    def __call__(self, batch: Batch) -> tuple[np.ndarray, ...]:
        after = np.flatnonzero(batch.hashes == np.uint64(self.row_hash)) + 1
        bounds = [0, *after[: self.copies].tolist(), len(batch)]
        stretches = [np.arange(start, stop) for start, stop in itertools.pairwise(bounds)]
        return np.stack([self.scorer.count(batch.text.take(rows))[0] for rows in stretches]), np.array(self.copies)


def _join(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The last stretch of `a` goes on in the first of `b`; what lies behind the last copy is of no use."""
    stretches = np.concatenate([a[0][:-1], a[0][-1:] + b[0][:1], b[0][1:]])
    return stretches[: int(a[1]) + 1], a[1]
