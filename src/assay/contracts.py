"""The contracts: what a method must offer, and nothing about how.

A method is a final frozen dataclass in one file; its fields are its hyperparameters, its class variables say what it
reads (`needs`) and where it comes from (`paper`). Methods are pure: no files, no prints, no global randomness.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int64

from assay.errors import RunError
from assay.types import Batch, Column, Fitted, Groups, Limit, Mixture, Rule, Selection, Signals, Texts, Trials

Part = Callable[[Batch], Any]
Emit = Callable[[Batch], np.ndarray]
Combine = Callable[[np.ndarray], np.ndarray]
Merge = Callable[[Any, Any], Any]
Report = Callable[[int, int, float], None]  # steps done, steps in all, loss
State = Mapping[str, np.ndarray]
AIM = "target:"  # before the name of a signal: of the target's rows (t, …), which a selector is handed as they are


class Checkpoints:
    """Where a long training keeps how far it is, so that one which is stopped goes on from there; this one keeps nothing."""

    def load(self, name: str) -> State | None:
        """The arrays that were kept under a name; None where there are none."""
        return None

    def save(self, name: str, arrays: State) -> None:
        """Keep arrays under a name, in place of what was there."""
        return

    def expect(self, name: str) -> State:
        """The same where there must be some; RunError where they are gone."""
        found = self.load(name)
        if found is None:
            raise RunError(f"{name} of a stopped training is gone: another run has ended it; run the same command again")
        return found

    def under(self, name: str) -> Checkpoints:
        """Those of one of several trainings."""
        return self


NOWHERE = Checkpoints()


class Rows(ABC):
    """How `fit` sees a pool or a target: never row by row in Python, never the whole at once."""

    @abstractmethod
    def reduce(self, part: Part, merge: Merge) -> Any:
        """Merge `part(batch)` over all living rows in row order; `part` pickles, `merge` is associative."""

    @abstractmethod
    def sample(self, k: int) -> Batch:
        """At most k living rows, those whose content hashes are smallest, so layout does not matter; in row order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows are alive."""

    def tell(self, stage: str, done: int, total: int, unit: str, loss: float = math.nan) -> None:
        """Show how far a method is with what it makes of all rows; nobody listens unless the engine does."""
        return

    def telling(self, stage: str) -> Report:
        """What a training reports its steps to, which then are shown as that stage."""
        return lambda done, total, loss: self.tell(stage, done, total, "steps", loss)

    @property
    def checkpoints(self) -> Checkpoints:
        """Where what is learnt of these rows may keep how far it is."""
        return NOWHERE


class Method(ABC):
    """What every kind of method declares."""

    needs: ClassVar[tuple[str, ...]]
    paper: ClassVar[str]

    @property
    def reads(self) -> tuple[str, ...]:
        """Signals of earlier steps that it reads, numbers (n,) or (n, d), by the names that its parameters give them.

        A scorer, grouper or selector that reads signals sees them as columns in place of text, of the target too if it is
        fitted to one: what a step measured on the pool is then measured on the target as well.
        """
        return ()


class Annotator(Method):
    """Row-wise: makes columns out of columns, perhaps with models, which it names and the engine opens.

    One that first learns from a pool or a target is a `Learner` too, and finds what it learnt in `models["fitted"]`.
    """

    features: ClassVar[tuple[str, ...]] = ()  # what a rank by its columns looks at, as for a scorer
    rank_by: ClassVar[str] = ""  # what `--method NAME` ranks by, best first; its own name unless given
    heavy: ClassVar[bool] = False  # runs a network: its rows are worked and kept in small portions, by workers that hold it
    portion: ClassVar[int] = 2048  # rows of a heavy one that are worked, shown as progress and kept together; at most a megabyte
    form: ClassVar[Literal["text", "turns"]] = "text"  # how `annotate` finds rows: their text, or marked turns

    @property
    def models(self) -> dict[str, str]:
        """Paths of the models that `annotate` is handed, by name."""
        return {}

    def on_target(self) -> Annotator:
        """What measures a target's rows where a later step is fitted to it; itself, but for methods with two sides."""
        return self

    def prepare(self, models: dict[str, Any]) -> Any:
        """What takes long to make of its models and of what was learnt; made once in a worker, and in `models["prepared"]`."""
        return None

    @abstractmethod
    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        """Columns of length b: whole numbers, floats (NaN: none), vectors (b, d) or strings as `Texts`; the same names and
        types for every batch, an empty one too."""


class Engine(ABC):
    """What a method that looks at all rows at once may ask of the engine; it stays within `memory` whatever the pool."""

    memory: int
    """Bytes that a step may hold altogether, beside a few bytes for each row."""

    @abstractmethod
    def shuffle(
        self, pool: Rows, emit: Emit, combine: Combine, labels: Int64[np.ndarray, "n"] | None = None
    ) -> Iterator[np.ndarray]:
        """Bring together records of one key, from all living rows of the pool.

        `emit(batch)` gives a structured array (r,) with a field `key` (uint64, well mixed) and a field `row` (int64, from
        `batch.rows`); other fields are the method's own. `combine(records)` is called with all records of a range of keys,
        sorted by key, then row; it never sees a key in two calls. What it gives comes out in the order of the ranges,
        and must not depend on where the ranges were cut. Both are picklable; records lie on disk in between. With `labels`
        only rows whose label is not below 0 are read, and `emit` finds theirs in the column `label`.
        """


class Learner(ABC):
    """An annotator or an editor that first learns something of the whole pool, or of a target; optional."""

    uses_target: ClassVar[Literal["required", "optional", "no"]]

    @abstractmethod
    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        """What `annotate` or `rewrite` will find in `models["fitted"]`; independent of layout, order and workers."""


class Filter(Method):
    """Drops rows by rules over columns that annotators measured: numbers only, so a threshold changes without a scan.

    `measured` are the annotators that give its columns (equal ones run once for all filters of a recipe); `needs` names
    columns too, those that none of them gives are signals of earlier steps. The first broken rule, in order, is the reason.
    """

    prefix: ClassVar[str]
    """What its reasons begin with: `rule` or `contaminated`."""

    @property
    @abstractmethod
    def measured(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Annotators by name, with their parameters."""

    @property
    @abstractmethod
    def rules(self) -> tuple[Rule, ...]:
        """What a row must be to stay."""


class Scorer(Method):
    """One number for each row, bigger is better: what `select` ranks by."""

    uses_target: ClassVar[Literal["required", "optional", "no"]]
    features: ClassVar[
        tuple[str, ...]
    ] = ()  # what it looks at, so that a verdict can say what the judge shares with it
    rank_by: ClassVar[str] = ""  # what `--method NAME` ranks by where a large score is bad; the score unless given

    @abstractmethod
    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        """Learn what `score` needs from pool and target."""

    @abstractmethod
    def score(self, fitted: Fitted, batch: Batch) -> Float[np.ndarray, "b"] | Float[np.ndarray, "b t"]:
        """Scores that depend on the row and `fitted` alone: finite, or NaN for a row that the method declines."""


class Explainer(ABC):
    """A scorer that can say which features pull a text up or down; optional."""

    @abstractmethod
    def explain(self, fitted: Fitted, texts: Texts, top: int) -> list[tuple[str, float]]:
        """The `top` features of largest absolute contribution over `texts`, as (feature, contribution)."""


class Forecaster(ABC):
    """A mixer that also says what losses mixtures would reach; optional."""

    @abstractmethod
    def forecast(
        self, trials: Trials, mixtures: Float[np.ndarray, "k g"], rng: np.random.Generator
    ) -> Float[np.ndarray, "k t"]:
        """The losses (k, t) of mixtures (k, g), as learnt from the trials."""


class Grouper(Method):
    """Global: puts rows into groups; the only kind that may shuffle.

    `gives` says what becomes of its rows: `groups`, of which a step keeps one row each; a `share`, a signal of the
    method's name (how much of a row stands in others) with a signal `NAME_of` (the row that holds most of it, or -1); or
    `cells`, of which nothing is dropped: the cell of each row is a signal of the method's name.
    """

    gives: ClassVar[Literal["groups", "share", "cells"]]

    @abstractmethod
    def group(
        self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> tuple[Groups | None, Signals]:
        """A group for every row of the pool (-1: none), signals about the grouping (a share, neighbours (n, k)), or both.

        The signal `order` (n,), for those that name it in `needs`, says which row of several is preferred: the smallest.
        A method that `reads` signals finds them whole, and in `living` (n,) which rows still take part.
        """


class Selector(Method):
    """Rows out of numbers: sees signals, groups and a limit, never text.

    It is handed living rows only, and of those only the ones that have a score, if it needs one; the rows that it
    returns are positions among them. `reads` may name `target:NAME`: that signal of the target's rows (t, ...), whole.
    """

    @abstractmethod
    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        """Distinct rows in order of choice, never over the limit."""


class Mixer(Method):
    """Weights for domains: proposes mixtures to try, then learns from the trials."""

    @abstractmethod
    def propose(self, domains: Mixture, trials: Trials | None, rng: np.random.Generator) -> list[Mixture]:
        """Mixtures to train proxies on, given each domain's share of the pool and the trials of earlier rounds."""

    @abstractmethod
    def weights(self, trials: Trials, limits: Float[np.ndarray, "g"], rng: np.random.Generator) -> Mixture:
        """The mixture that the trials favour.

        `limits` is the largest weight that each domain's data can supply, above 1 too: in proportion to the domains' sizes, and
        infinite where these are not known.
        """


class Sampler(Method):
    """Chooses while a model trains. A loop does, for each batch:

        rows = propose(state, size, pending, rng)                     what might be trained on
        batch, drawn_with = draw(state, rows, previewed, size, rng)   what is, and what it was drawn with
        state = update(state, batch, drawn_with, measured)            once the model was trained on it

    `needs` names the signals (n, ...) that `init` reads. `previews` names what the loop measures on the rows proposed, with the
    model as it is then (JEST: an embedding (b, d)); `measures` what it tells of the rows trained on (a loss). Columns have one
    entry for each of these rows; what is measured by domain is the same in all of them: `domain_loss (k, g)`, NaN where a domain
    was not measured. A loop may tell less than `measures` names; `update` says so where it cannot do without.

    A loader fetches ahead, so batches may be drawn before earlier ones were trained on. Their rows are `pending`: the state does
    not count them yet. `update` comes once for each batch, in the order of drawing, at once where nothing is previewed or
    measured. State and `drawn_with` are plain arrays that nobody writes into; arrays that `init` made and `update` hands on as they
    are need no place in a checkpoint. Two entries of the state are read by loops where they are there: `weights (g,)` of the
    domains, and `epoch (1,)`, the rows of a pass.
    """

    previews: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        """The state before the first batch, of `count` rows."""

    @abstractmethod
    def propose(
        self, state: State, size: int, pending: Int64[np.ndarray, "r"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "b"]:
        """Rows for a batch of `size`, at least one: more than `size` where they are previewed, fewer where something ends (an
        epoch). Who reads without repetition counts the rows `pending` as read."""

    def draw(
        self, state: State, rows: Int64[np.ndarray, "b"], previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[Int64[np.ndarray, "k"], State]:
        """At most `size` of the rows proposed, at least one, and what they were drawn with: what `update` must know of this batch
        when the state has moved on (the weights of that moment). Unless a method says otherwise, the first, and nothing."""
        return rows[:size], {}

    @abstractmethod
    def update(self, state: State, rows: Int64[np.ndarray, "k"], drawn_with: State, measured: Signals) -> State:
        """The state after training on `rows`, which were drawn with `drawn_with`."""


class TextEditor(Method):
    """Row-wise: gives each row another text; the row keeps its number, its other fields and its place."""

    @property
    def models(self) -> dict[str, str]:
        """Paths of the models that `rewrite` is handed, by name; a Learner finds what it learnt in `fitted`."""
        return {}

    @abstractmethod
    def rewrite(self, batch: Batch, models: dict[str, Any]) -> Texts:
        """The texts (b,) as they are to be; one left as it was is written as it came, an empty one drops its row."""


class Editor(Method):
    """Makes new rows out of rows; each new row names its parent."""

    @abstractmethod
    def edit(self, batch: Batch, models: dict[str, Any], key: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Pairs of (parent row, new row); a row that yields nothing is dropped; chance comes from (key, row hash)."""


class Acquirer(Method):
    """Asks a labeller, round by round."""

    @abstractmethod
    def next(self, signals: Signals, labels: Signals, k: int, rng: np.random.Generator) -> Int64[np.ndarray, "k"]:
        """The k rows whose labels would help most."""


class Objective(ABC):
    """A monotone submodular function of sets of rows, for a selector to climb: `select/_objective.py` holds the one greedy.

    What a row would gain never grows while others are added, and does not depend on the rows that are asked for beside it, both
    to the last bit: then lazy and plain greedy choose the same rows. Its state is plain arrays.
    """

    @abstractmethod
    def start(self) -> State:
        """The state of the empty set."""

    @abstractmethod
    def gains(self, state: State, rows: Int64[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
        """By how much the value would grow, (k,), never below 0, if each of `rows` alone were added."""

    @abstractmethod
    def add(self, state: State, row: int) -> None:
        """Change the state in place to that of the set with `row` in it."""
