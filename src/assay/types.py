"""The nouns: frozen values that every stage hands to the next, and nothing that reads a file.

Axis names, one glossary for the whole house; an area may add its own, here.

    everywhere       n pool rows, t target rows, b batch rows, k chosen rows, d width, g groups, m bytes of text,
                     r rows or trials of any other number, j rows of a part
    n-gram models    w windows, c words of a packed window, q nodes, f followers, v vocabulary, l length of a context,
                     order symbols of a window
    duplicates       h hashes of a signature, e edges between rows, u distinct things
    verify           p budgets of the curve, e eval documents, s shingles of the eval set, z bits of their sieve
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Bool, Float, Int, Int64, Shaped, UInt8, UInt64

from assay.errors import InputError, RecipeError

Unit = Literal["examples", "bytes", "tokens"]


@final
@dataclass(frozen=True)
class Texts:
    """Strings as one block of UTF-8 `data (m,)` and `offsets (b + 1,)`: what kernels read without touching a Python object.

    >>> texts = Texts.of(["one", "zwei"])
    >>> len(texts), texts[1], texts.sizes.tolist()
    (2, 'zwei', [3, 4])
    """

    data: UInt8[np.ndarray, "m"]
    offsets: Int64[np.ndarray, "b_plus_1"]

    @classmethod
    def of(cls, strings: list[str]) -> Texts:
        """Encode a list of strings; a lone surrogate becomes `?`."""
        return cls.of_bytes([string.encode("utf-8", "replace") for string in strings])

    @classmethod
    def of_bytes(cls, encoded: list[bytes]) -> Texts:
        """Join byte strings that are UTF-8 already."""
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        return bytes(self.data[self.offsets[index] : self.offsets[index + 1]]).decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    @property
    def sizes(self) -> Int64[np.ndarray, "b"]:
        """Bytes of each string."""
        return np.diff(self.offsets)

    def head(self, k: int) -> Texts:
        """The first k strings, without a copy."""
        return Texts(self.data, self.offsets[: k + 1])

    def take(self, rows: Int64[np.ndarray, "k"] | Bool[np.ndarray, "b"]) -> Texts:
        """The strings at `rows` (positions, or a mask), in that order."""
        positions = np.flatnonzero(rows) if rows.dtype == bool else rows
        starts, stops = self.offsets[positions], self.offsets[positions + 1]
        pieces = [self.data[start:stop] for start, stop in zip(starts, stops, strict=True)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(stops - starts, dtype=np.int64)])
        return Texts(np.concatenate(pieces) if pieces else np.zeros(0, np.uint8), offsets)


def join_texts(parts: Sequence[Texts]) -> Texts:
    """Several blocks of strings as one, in order."""
    sizes = np.concatenate([part.sizes for part in parts]) if parts else np.zeros(0, np.int64)
    data = [part.data[part.offsets[0] : part.offsets[-1]] for part in parts] or [np.zeros(0, np.uint8)]
    return Texts(np.concatenate(data), np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]))


@final
@dataclass(frozen=True)
class Sequences:
    """Documents as symbols: `data (m,)` and `offsets (b + 1,)`. A symbol s that is only context, read but neither learnt nor
    scored, stands as ~s, which is negative.

    >>> two = Sequences(np.array([5, 6, ~7, 8], np.int32), np.array([0, 2, 4]))
    >>> two.take(np.array([1])).data.tolist(), two.sizes.tolist()
    ([-8, 8], [2, 2])
    """

    data: Int[np.ndarray, "m"]
    offsets: Int64[np.ndarray, "b_plus_1"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> Int64[np.ndarray, "b"]:
        """Symbols of each document."""
        return np.diff(self.offsets)

    def take(self, places: Int64[np.ndarray, "k"]) -> Sequences:
        """The documents at `places`, in that order."""
        starts, stops = self.offsets[places], self.offsets[places + 1]
        pieces = [self.data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(stops - starts, dtype=np.int64)])
        return Sequences(np.concatenate(pieces) if pieces else self.data[:0], offsets)

    def shortened(self, place: int, keep: int) -> Sequences:
        """The same, but for the document at `place`, of which only the first `keep` symbols stay."""
        start, stop = int(self.offsets[place]) + keep, int(self.offsets[place + 1])
        offsets = self.offsets.copy()
        offsets[place + 1 :] -= stop - start
        return Sequences(np.concatenate([self.data[:start], self.data[stop:]]), offsets)


def occurrence(hashes: UInt64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """How many earlier rows have the same content hash.

    >>> occurrence(np.array([7, 9, 7, 7], np.uint64)).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(hashes, kind="stable")
    values = hashes[order]
    first = np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.zeros(0, bool)
    starts = np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
    found = np.empty(len(values), np.int64)
    found[order] = np.arange(len(values)) - starts
    return found


Column = Texts | np.ndarray


@final
@dataclass(frozen=True)
class Batch:
    """Consecutive readable rows of one piece of a pool.

    `rows (b,)` are row numbers (within the piece while the pool is being counted, global afterwards), `hashes (b,)` a
    64-bit hash of each row's content, and `columns` the columns that were asked for, each of length b.
    """

    rows: Int64[np.ndarray, "b"]
    hashes: UInt64[np.ndarray, "b"]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def text(self) -> Texts:
        """The text that scorers see: the text field, the rendered template, or the rendered chat."""
        text = self.columns["text"]
        assert isinstance(text, Texts)
        return text


@final
@dataclass(frozen=True)
class Signals:
    """Named columns `(n,)` of numbers or strings, or `(n, d)` of numbers (embeddings, gradients, one score for each of t
    targets), aligned with the pool's rows; a missing number is NaN and `present` says so too.

    >>> signals = Signals({"dsir": np.array([0.5, np.nan])})
    >>> signals.present("dsir").tolist()
    [True, False]
    """

    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "n ..."]:
        if name not in self.columns:
            from assay.errors import suggest

            raise RecipeError(f"there is no signal {name!r}; {suggest(name, self.columns)}")
        return self.columns[name]

    def present(self, name: str) -> Bool[np.ndarray, "n"]:
        """Which rows have a value."""
        column = self[name]
        if column.dtype.kind != "f":
            return np.ones(len(column), bool)
        return ~np.isnan(column).reshape(len(column), -1).any(axis=1)

    def take(self, rows: Int64[np.ndarray, "k"]) -> Signals:
        """The same columns for some rows."""
        return Signals({name: column[rows] for name, column in self.columns.items()})

    def adding(self, name: str, column: Shaped[np.ndarray, "n ..."]) -> Signals:
        """These signals and one more."""
        return Signals(ChainMap({name: column}, self.columns))


@final
@dataclass(frozen=True)
class Groups:
    """A group for every row: `ids (n,)` index `names`; -1 is a row of no group."""

    ids: Int[np.ndarray, "n"]
    names: tuple[str, ...]


_BUDGET = re.compile(
    r"^\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*([kmgt]?)\s*(%?)\s*(rows|examples|bytes|b|tokens|)\s*$",
    re.IGNORECASE,
)
_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS: dict[str, Unit] = {
    "": "examples", "rows": "examples", "examples": "examples", "b": "bytes", "bytes": "bytes", "tokens": "tokens",
}  # fmt: skip


@final
@dataclass(frozen=True)
class Budget:
    """How much may be chosen: exactly one of examples, bytes of text, or tokens, absolute or a share of the pool.

    >>> Budget.parse("10%"), Budget.parse("500MB").amount, Budget.parse("1e9tokens").unit
    (Budget(amount=0.1, unit='examples', share=True), 500000000.0, 'tokens')
    >>> Budget.parse("10%bytes").limit(total=2_000)
    200
    """

    amount: float
    unit: Unit = "examples"
    share: bool = False

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """Read `5000`, `10%`, `500MB`, `10%bytes` or `1e9tokens`; raises RecipeError on anything else."""
        match = _BUDGET.match(str(text))
        unit = _UNITS.get(match[4].lower()) if match else None
        if match is None or unit is None:
            raise RecipeError(f"a budget must look like 5000, 10%, 500MB, 10%bytes or 1e9tokens; got {str(text)!r}")
        amount = float(match[1].replace("_", "")) * _PREFIX[match[2].lower()]
        amount = amount / 100 if match[3] else amount
        if not 0 < amount < math.inf or (match[3] and amount > 1):
            raise RecipeError(f"a budget must be above zero and at most 100%; got {str(text)!r}")
        return cls(amount, unit, bool(match[3]))

    def limit(self, total: int) -> int:
        """The whole number of units that may be spent when the pool holds `total` of them."""
        return int(self.amount * total + 1e-9) if self.share else int(self.amount)

    def __str__(self) -> str:
        amount = f"{self.amount * 100:g}%" if self.share else f"{self.amount:g}"
        return f"{amount} {self.unit}" if self.unit != "examples" or not self.share else f"{amount} of rows"


_SPARE = 1.25  # how many more rows are looked at than a budget of bytes would hold of the pool's average


@final
@dataclass(frozen=True)
class Limit:
    """A budget made absolute for one pool: at most `amount` units, where row i costs `cost[i]` of them."""

    amount: int
    unit: Unit
    cost: Int64[np.ndarray, "n"]

    def prefix(self, order: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "k"]:
        """The longest prefix of `order` that fits; it stops at the first row that does not."""
        if self.unit == "examples":
            return order[: self.amount]
        spent = np.cumsum(self.cost[order], dtype=np.int64)
        return order[: int(np.searchsorted(spent, self.amount, side="right"))]

    def best(self, keys: Float[np.ndarray, "n"]) -> Int64[np.ndarray, "k"]:
        """`prefix` of all rows in order of their keys, largest first, ties by row; only as many are sorted as may fit.

        >>> Limit(2, "examples", np.ones(4, np.int64)).best(np.array([1.0, 3.0, 3.0, 2.0])).tolist()
        [1, 2]
        """
        reach = self.amount if self.unit == "examples" else int(_SPARE * self.amount * len(keys) / max(1, self.total))
        while 0 < reach < len(keys) // 2:
            cut = np.partition(keys, len(keys) - reach)[len(keys) - reach]
            near = np.flatnonzero(keys >= cut)
            rows = self.prefix(near[np.argsort(-keys[near], kind="stable")])
            if self.unit == "examples" or len(rows) < len(near):
                return rows
            reach = 2 * len(near)
        return self.prefix(np.argsort(-keys, kind="stable"))

    @property
    def total(self) -> int:
        """What all rows cost together."""
        return len(self.cost) * int(self.cost[0]) if self.uniform else int(self.cost.sum())

    @property
    def uniform(self) -> bool:
        """Whether one number stands for every row's cost, and takes no memory for each."""
        return len(self.cost) > 0 and self.cost.strides == (0,)

    def take(self, rows: Int64[np.ndarray, "k"], amount: int | None = None) -> Limit:
        """The same limit (or another amount of it) over some of the rows."""
        cost = np.broadcast_to(self.cost[:1], len(rows)) if self.uniform and len(rows) else self.cost[rows]
        return Limit(self.amount if amount is None else amount, self.unit, cost)


@final
@dataclass(frozen=True)
class Selection:
    """Distinct rows in order of choice, what each gained, how often to use it, and why every other row stayed out.

    `reasons` maps a reason to the rows that it kept out; a row in none of them lost to the budget. `general` are those of the
    rows that no method chose: they were drawn at random to keep a share of the choice general.
    """

    rows: Int64[np.ndarray, "k"]
    gains: Float[np.ndarray, "k"]
    weights: Float[np.ndarray, "k"]
    nested: bool = True
    reasons: Mapping[str, Int64[np.ndarray, "r"]] = field(default_factory=dict)
    general: Int64[np.ndarray, "r"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def ranked(cls, rows: Int[np.ndarray, "k"], gains: Shaped[np.ndarray, "k"], nested: bool = True) -> Selection:
        """A selection of weight one for each row."""
        return cls(rows.astype(np.int64), gains.astype(np.float64), np.ones(len(rows)), nested)

    def upto(self, limit: Limit) -> Selection:
        """The prefix that fits a smaller limit; refused where the selector is not nested."""
        if not self.nested:
            raise RecipeError("this selector is not nested: a smaller budget needs a new selection, not a prefix")
        k = len(limit.prefix(self.rows))
        kept = self.general[np.isin(self.general, self.rows[:k])]
        return Selection(self.rows[:k], self.gains[:k], self.weights[:k], True, self.reasons, kept)


@final
@dataclass(frozen=True)
class Mixture:
    """Domains and their weights on the simplex.

    >>> Mixture(("code", "web"), np.array([0.25, 0.75])).split(9).tolist()
    [2, 7]
    """

    domains: tuple[str, ...]
    weights: Float[np.ndarray, "g"]

    def __post_init__(self) -> None:
        if len(self.domains) != len(self.weights) or abs(self.weights.sum() - 1) > 1e-9 or (self.weights < 0).any():
            raise InputError(
                f"mixture weights must be one for each domain, not negative, and sum to 1; got {self.weights}"
            )

    def split(self, amount: int) -> Int64[np.ndarray, "g"]:
        """Whole amounts that sum to `amount`: floors, and the remainder to the largest fractions (ties to the first)."""
        exact = self.weights * amount
        parts = np.floor(exact + 1e-9).astype(np.int64)
        order = np.argsort(-(exact - parts), kind="stable")
        parts[order[: amount - int(parts.sum())]] += 1
        return parts


@final
@dataclass(frozen=True)
class Trials:
    """What was trained on what, and how it did: trial i spent share `spent[i]` of its budget on each of `names`
    (domains, groups or single rows) and reached `losses[i]` (t of them, smaller is better).

    >>> len(Trials(("code", "web"), np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[2.1], [2.4]])))
    2
    """

    names: tuple[str, ...]
    spent: Float[np.ndarray, "r g"]
    losses: Float[np.ndarray, "r t"]

    def __len__(self) -> int:
        return len(self.losses)


@final
@dataclass(frozen=True)
class Rule:
    """What a row must be to stay: a measured column, or its ratio to the column `over`, within bounds.

    `at_least` and `at_most` let their own value stay, `above` and `below` do not. NaN (a ratio 0/0, a missing number)
    breaks no rule. `told` names a column of strings that ends the reason of a dropped row; `paper` links the source.

    >>> rule = Rule("words", "words", at_least=50)
    >>> str(rule), rule.broken({"words": np.array([49, 50])}).tolist()
    ('words must be at least 50', [True, False])
    """

    name: str
    column: str
    over: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    paper: str = ""
    told: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(filter(None, (self.column, self.over, self.told)))

    def value(self, columns: Mapping[str, np.ndarray]) -> Float[np.ndarray, "b"]:
        """What the rule compares, one number a row."""
        top = np.asarray(columns[self.column], np.float64)
        if self.over is None:
            return top
        with np.errstate(divide="ignore", invalid="ignore"):
            return top / columns[self.over]

    def broken(self, columns: Mapping[str, np.ndarray]) -> Bool[np.ndarray, "b"]:
        """Which rows it drops."""
        value = self.value(columns)
        out = np.zeros(len(value), bool)
        for bound, outside in (
            (self.at_least, np.less),
            (self.at_most, np.greater),
            (self.above, np.less_equal),
            (self.below, np.greater_equal),
        ):
            if bound is not None:
                out |= outside(value, bound)
        return out

    def __str__(self) -> str:
        words = (("at least", self.at_least), ("at most", self.at_most), ("above", self.above), ("below", self.below))
        bounds = " and ".join(f"{word} {bound:g}" for word, bound in words if bound is not None)
        return f"{self.column}{' / ' + self.over if self.over else ''} must be {bounds}"


@final
@dataclass(frozen=True)
class Fitted:
    """What a scorer learnt: plain arrays, and notes (numbers or words) for the report."""

    arrays: Mapping[str, np.ndarray]
    notes: Mapping[str, Any] = field(default_factory=dict)


Interval = tuple[float, float]
Rows = Int[np.ndarray, "k"]
