"""An interpolated modified Kneser-Ney language model over bytes: the judge that `verify` trains on each arm.

With h the l symbols before w and h' the l - 1 nearest of them,

    P(w | h) = (c(h w) - D_l(c(h w))) / c(h .) + g(h) P(w | h'),     g(h) = sum_w D_l(c(h w)) / c(h .)

where c counts occurrences for the longest contexts and for those that begin a document, and distinct left neighbours
for all others; an unseen h gives P(w | h'); below the empty context stands the uniform distribution over the 256 bytes
and the end of the document. So no byte string is impossible, there is no unknown word, and over all byte strings, ends
included, P sums to one. Every arm has the same vocabulary, order and rule; the discounts of each length follow from the
arm's own counts of counts n_k by the closed form of Chen & Goodman,

    Y = n_1 / (n_1 + 2 n_2),     D(k) = k - (k + 1) Y n_(k+1) / n_k  for k = 1, 2;  D(3 and more) from k = 3,

or are 1/2, 1, 3/2 where that is undefined or falls outside 0 < D(k) <= k (as KenLM's `--discount_fallback` does).

Sources: Kneser & Ney 1995, https://doi.org/10.1109/ICASSP.1995.479394; Chen & Goodman 1998, TR-10-98,
https://dash.harvard.edu/handle/1/25104739.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Integer, UInt16, UInt64

from assay.errors import InputError, RecipeError
from assay.io import store
from assay.kernels import kneser_ney
from assay.kernels.kneser_ney import Packing, Trie
from assay.types import Texts

Block = tuple[Integer[np.ndarray, "m"], Int64[np.ndarray, "b_plus_1"]]
FALLBACK = (0.5, 1.0, 1.5)
LARGEST = 2**31 - 1  # node numbers are 32-bit: half the memory, and a bigger judge would not fit in it anyway


@final
@dataclass(frozen=True)
class NGramConfig:
    """What every arm's model has in common.

    `order`: symbols in the longest n-gram, 1 to 16; bits per byte of 1 MB of mixed text at 6, 8 and 10 are 2.211, 2.167
    and 2.152, at 1, 1.5 and 6 times the seconds (bench/ngram_lm.py). `discounts`: D(1), D(2), D(3 and more) for n-grams
    of each length, shortest first; None estimates them from each arm's own counts. `symbols`: size of the alphabet
    besides the end of a document; 256 for bytes. `boundaries`: begin symbols before each document; order - 1 is NLTK's
    habit, 1 KenLM's.
    """

    order: int = 8
    discounts: tuple[tuple[float, float, float], ...] | None = None
    symbols: int = 256
    boundaries: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 16:
            raise RecipeError(f"the order of an n-gram model must be 1 to 16; got {self.order}")
        if not 1 <= self.symbols < 65535:
            raise RecipeError(f"the alphabet of an n-gram model must have 1 to 65534 symbols; got {self.symbols}")
        if self.boundaries < 1:
            raise RecipeError(f"an n-gram model needs at least 1 boundary before a document; got {self.boundaries}")
        if self.discounts is not None:
            _check(self.discounts, self.order)


def _check(discounts: tuple[tuple[float, float, float], ...], order: int) -> None:
    """Refuse discounts that are not one triple for each length or take more than there is."""
    fits = len(discounts) == order and all(len(triple) == 3 for triple in discounts)
    if not fits or any(not 0 <= value <= k for triple in discounts for k, value in enumerate(triple, 1)):
        raise RecipeError(
            f"discounts must be {order} triples (one for each n-gram length), D(k) from 0 to k; got {discounts}"
        )


@final
@dataclass(frozen=True)
class NGram:
    """A trained model; immutable, plain arrays.

    >>> model = train([Texts.of(["banana", "bandana"])], NGramConfig(order=3))
    >>> chance = model.probabilities(b"ban")
    >>> chr(chance.argmax()), round(float(chance.sum()), 12), bool((chance > 0).all())
    ('a', 1.0, True)
    >>> bool(model.bits(Texts.of(["banana"]))[0] < model.bits(Texts.of(["nabnaa"]))[0])
    True
    """

    config: NGramConfig
    trie: Trie
    discounts: Float64[np.ndarray, "order 4"]
    total: Int32[np.ndarray, "q"]
    handed: Float64[np.ndarray, "q"]

    def bits(self, texts: Texts) -> Float64[np.ndarray, "b"]:
        """Total bits of each document, -log2 P of its bytes and its end."""
        return bits_of(self.surprise(texts.data, texts.offsets), texts.offsets)

    def bits_after(self, contexts: Block, texts: Block, ends: bool) -> Float64[np.ndarray, "b"]:
        """Bits of each text given that its document begins with the context; with `ends`, that it ends there too.

        Only the `order` - 1 symbols before a text can matter, so no more of a context is read.
        """
        data, offsets, heads = _joined_documents(contexts, texts, self.config.order - 1)
        sizes = np.diff(offsets) - heads + ends
        starts = offsets[:-1] + np.arange(len(heads)) + heads
        surprise = self._surprise(data, offsets, _spans(starts, sizes))
        return np.bincount(np.repeat(np.arange(len(sizes)), sizes), surprise, len(sizes))

    def surprise(
        self, data: Integer[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"]
    ) -> Float64[np.ndarray, "w"]:
        """Bits of each symbol, document after document, each one's end last; `data` may be of any alphabet."""
        return self._surprise(data, offsets, slice(None))

    def _surprise(
        self, data: Integer[np.ndarray, "m"], offsets: Int64[np.ndarray, "b_plus_1"], wanted: slice | np.ndarray
    ) -> Float64[np.ndarray, "w"]:
        """The bits of some of the symbols and ends."""
        codes, decode, packing = _coding([(data, offsets)], self.config)
        keys = kneser_ney.windows(data, offsets, codes, self.config.boundaries, packing)[wanted]
        chances = self._chances(keys, packing, decode)
        with np.errstate(divide="ignore"):  # a discount of zero makes unseen symbols impossible: infinite bits
            return -np.log2(chances)

    def probabilities(self, context: bytes) -> Float64[np.ndarray, "257"]:
        """P of each byte, then of the end, after a document that so far reads `context`; sums to 1."""
        return self.following(np.frombuffer(context, np.uint8))

    def following(self, context: Integer[np.ndarray, "c"]) -> Float64[np.ndarray, "v"]:
        """P of each symbol, then of the end, after the symbols of a document so far."""
        begun = [self.config.symbols] * self.config.boundaries + context.tolist()
        nearest = np.array(begun[::-1][: self.config.order - 1], np.int64)
        every = np.arange(self.config.symbols + 1)
        return self.chances(np.column_stack([every, np.tile(nearest, (len(every), 1))]))

    def chances(self, grams: Int64[np.ndarray, "k l"]) -> Float64[np.ndarray, "k"]:
        """P of each row's first symbol after the others, nearest first; begin and end are `config.symbols`."""
        present = np.ones(self.config.symbols + 1, bool)
        codes, decode, packing = _packing(present, self.config)
        places = np.zeros((len(grams), packing.order), np.uint64)
        places[:, : grams.shape[1] - 1] = codes[grams[:, 1:]]
        places[:, -1] = codes[grams[:, 0]]
        return self._chances(kneser_ney.pack(places, packing), packing, decode)

    def _chances(
        self, keys: UInt64[np.ndarray, "w c"], packing: Packing, decode: UInt16[np.ndarray, "d"]
    ) -> Float64[np.ndarray, "w"]:
        """P of each window's symbol."""
        return kneser_ney.score(
            keys, _ranked(keys), packing, decode, self.trie, self.discounts, self.total, self.handed,
            1 / (self.config.symbols + 1),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        """Memory of the model in bytes."""
        return sum(array.nbytes for array in (*self.trie, self.total, self.handed))


def train(texts: Iterable[Texts], config: NGramConfig) -> NGram:
    """Count and discount; the order of documents, and how they are cut into blocks, changes nothing.

    Raises InputError where the text is too long for 32-bit node numbers (268 MB at order 8).
    """
    return train_symbols([(block.data, block.offsets) for block in texts], config)


def train_symbols(blocks: list[Block], config: NGramConfig) -> NGram:
    """The same over any alphabet: each block is symbols (m,), integers below `config.symbols`, and offsets (b + 1,)."""
    size = sum(int(offsets[-1] - offsets[0]) + len(offsets) - 1 for _, offsets in blocks)
    if size * config.order > LARGEST:
        raise InputError(
            f"an n-gram model of order {config.order} must be trained on at most {LARGEST // config.order:,} bytes; "
            f"got {size:,}; train it on a random part"
        )
    codes, decode, packing = _coding(blocks, config)
    parts = [kneser_ney.windows(data, offsets, codes, config.boundaries, packing) for data, offsets in blocks]
    keys = _sorted(_joined(parts, packing))
    trie = Trie(*kneser_ney.build(keys, packing, decode))
    discounts = _discounts(trie, config)
    return NGram(config, trie, discounts, *kneser_ney.weigh(trie, discounts))


def save(model: NGram, path: str) -> None:
    """Write a model as one .npz file without pickle: its settings and its counts, from which the rest follows."""
    config = model.config
    settings = np.array([config.order, config.symbols, config.boundaries])
    fixed = np.array(config.discounts or ()).reshape(-1, 3)
    store.save_named(Path(path), {"settings": settings, "fixed": fixed, **model.trie._asdict()})


def load(path: str) -> NGram:
    """Read what `save` wrote; InputError where the file is missing or something else."""
    try:
        stored = store.load_named(Path(path))
        order, symbols, boundaries = (int(value) for value in stored["settings"])
        trie = Trie(*(stored[name] for name in Trie._fields))
    except InputError:
        raise
    except Exception:  # NumPy raises half a dozen kinds for a file that is not its own
        raise InputError(f"{path!r} must be an n-gram model that Assay saved; it is something else") from None
    fixed = tuple((float(a), float(b), float(c)) for a, b, c in stored["fixed"]) or None
    config = NGramConfig(order, fixed, symbols, boundaries)
    discounts = _discounts(trie, config)
    return NGram(config, trie, discounts, *kneser_ney.weigh(trie, discounts))


def bits_of(surprise: Float64[np.ndarray, "w"], offsets: Int64[np.ndarray, "b_plus_1"]) -> Float64[np.ndarray, "b"]:
    """Sum of each document's symbols, its end included."""
    starts = offsets[:-1] - offsets[0] + np.arange(len(offsets) - 1)
    return np.add.reduceat(surprise, starts) if len(starts) else np.zeros(0)


def _spans(starts: Int64[np.ndarray, "b"], sizes: Int64[np.ndarray, "b"]) -> Int64[np.ndarray, "m"]:
    """The positions of spans, one span after another."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))


def _joined_documents(
    contexts: Block, texts: Block, reach: int
) -> tuple[Integer[np.ndarray, "m"], Int64[np.ndarray, "b_plus_1"], Int64[np.ndarray, "b"]]:
    """The last `reach` symbols of each context (all of a shorter one) before its text: symbols, offsets, sizes of the
    contexts' parts."""
    (data, bounds), (after, offsets) = contexts, texts
    begun = np.maximum(bounds[:-1], bounds[1:] - reach)
    starts = np.stack([begun, offsets[:-1] + len(data)], axis=1).ravel()
    sizes = np.stack([bounds[1:] - begun, np.diff(offsets)], axis=1)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes.sum(1))])
    return np.concatenate([data, after])[_spans(starts, sizes.ravel())], ends, sizes[:, 0]


def _coding(
    blocks: list[Block], config: NGramConfig
) -> tuple[UInt64[np.ndarray, "v"], UInt16[np.ndarray, "d"], Packing]:
    """Short codes for the symbols that occur: UTF-8 has at most 243 byte values, so order 8 fits one 64-bit word."""
    present = np.zeros(config.symbols + 1, bool)
    present[-1] = True
    for data, offsets in blocks:
        present[data[offsets[0] : offsets[-1]]] = True
    return _packing(present, config)


def _packing(
    present: Bool[np.ndarray, "v"], config: NGramConfig
) -> tuple[UInt64[np.ndarray, "v"], UInt16[np.ndarray, "d"], Packing]:
    """Codes in the order of the symbols, from 1; how to read them back; and how they lie in words."""
    codes = np.cumsum(present).astype(np.uint64)
    decode = np.concatenate([np.zeros(1, np.uint16), np.flatnonzero(present).astype(np.uint16)])
    bits = int(codes[-1]).bit_length()
    return codes, decode, Packing(config.order, bits, min(64 // bits, config.order))


def _joined(parts: list[UInt64[np.ndarray, "_ c"]], packing: Packing) -> UInt64[np.ndarray, "w c"]:
    """The windows of all blocks in one array; one block is not copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros((0, -(-packing.order // packing.each)), np.uint64), *parts])


def _sorted(keys: UInt64[np.ndarray, "w c"]) -> UInt64[np.ndarray, "w c"]:
    """Windows in lexicographic order; in place where one word holds a window."""
    if keys.shape[1] > 1:
        return keys[_ranked(keys)]
    keys[:, 0].sort()
    return keys


def _ranked(keys: UInt64[np.ndarray, "w c"]) -> Int64[np.ndarray, "w"]:
    """Numbers of the windows in lexicographic order."""
    return np.argsort(keys[:, 0]) if keys.shape[1] == 1 else np.lexsort(keys.T[::-1])


def _discounts(trie: Trie, config: NGramConfig) -> Float64[np.ndarray, "order 4"]:
    """D(c) for c = 0, 1, 2, 3 and more, of n-grams of each length."""
    if config.discounts is not None:
        rows = list(config.discounts)
    else:
        rows = [closed_form(row[1:]) for row in kneser_ney.count_counts(trie)]
    return np.array([(0.0, *row) for row in rows])


def closed_form(n: Int64[np.ndarray, "4"]) -> tuple[float, float, float]:
    """Chen & Goodman's discounts from the numbers n of n-grams that have count 1, 2, 3 and 4, or the fallback.

    >>> closed_form(np.array([4, 2, 1, 1])), closed_form(np.array([0, 2, 1, 1]))
    ((0.5, 1.25, 1.0), (0.5, 1.0, 1.5))
    """
    if (n <= 0).any():
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    found = tuple(float(k - (k + 1) * y * n[k] / n[k - 1]) for k in (1, 2, 3))
    return found if all(0 < value <= k for k, value in enumerate(found, 1)) else FALLBACK
