"""Mixtures tried: for each, rows of every domain are drawn, one small model is trained on them and measured on held-out text.

A trial has its parts to the unit: of every domain rows are taken in an order of chance until its part is full, and the last one is
cut. A domain that is too small is read again, in another order. All rows of a trial are then read in an order of chance, so
that no domain comes last. What a trial found lies in a file of its own, under everything that it depends on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from assay import __version__, training
from assay.errors import InputError, RecipeError
from assay.io import files, store, tokenizers
from assay.kernels.draws import uniform
from assay.kernels.projection import onto_capped_simplex
from assay.run.passes import Pool
from assay.run.workers import Workers
from assay.types import Budget, Mixture, Sequences, Trials
from assay.verify import arms, judge
from assay.verify.arms import Arm, Draft, Order, Pass
from assay.verify.frame import Frame
from assay.verify.judge import Course, Held, Judge, Task

_KEYS, _MOST_EPOCHS = 0x7E5C << 32, 1_000  # far from the keys of other draws
_MOST_DOMAINS = 256
_SAMPLE = 500  # rows of a domain that tell how many bytes a token takes


@final
@dataclass(frozen=True)
class Ground:
    """A pool by domains: `rows` of each as a frame, and its size in the budget's unit. `budget` is that of the later training."""

    names: tuple[str, ...]
    frames: tuple[Frame, ...]
    sizes: Int64[np.ndarray, "g"]
    unit: str
    budget: int
    notes: tuple[str, ...] = ()

    @property
    def held(self) -> Int64[np.ndarray, "g"]:
        """Bytes of text of each domain."""
        return np.array([int(frame.sizes.sum()) for frame in self.frames], np.int64)

    @property
    def share(self) -> Mixture:
        """The pool as it is, by bytes."""
        return Mixture(self.names, self.held / self.held.sum())

    def limits(self, epochs: float) -> Float64[np.ndarray, "g"]:
        """The largest weight that each domain can supply; RecipeError where all together cannot supply the budget."""
        held = int(self.sizes.sum())
        if held * epochs < self.budget:  # in whole units: all that there is may be asked for, whatever its parts round to
            raise RecipeError(
                f"a training of {self.budget:,} {self.unit} must be supplied by the pool, whose {len(self.names)} domains hold "
                f"{held:,} and in {epochs:g} epochs give {int(held * epochs):,}: lower --budget, or raise --epochs-limit"
            )
        return self.sizes * epochs / self.budget


def ground_of(pool: Pool, removed: Int64[np.ndarray, "r"], budget: str | None, tokenizer: str | None) -> Ground:
    """The pool by domains, in the order of their names; rows without text, without a domain or removed are left out.

    `budget` is that of the later training (None: the pool's bytes), `tokenizer` the path of one that counts its tokens.
    """
    table, notes = pool.count(), []
    groups = table.groups
    if groups is None or not any(groups.names):
        raise RecipeError("mix needs a domain for every row; name its field with --domains, source for example")
    eligible = table.readable.copy()
    eligible[removed] = False
    if len(removed):
        notes.append(f"{len(removed):,} rows that repeat held-out text were left out")
    frame, nameless = (
        Frame.of(table.sizes, table.hashes, eligible),
        [k for k, name in enumerate(groups.names) if not name],
    )
    ids = groups.ids[frame.rows]
    if nameless and (lacking := int(np.isin(ids, nameless).sum())):
        notes.append(f"{lacking:,} rows name no domain and were left out")
    codes = sorted(set(np.unique(ids).tolist()) - set(nameless), key=lambda code: groups.names[code])
    _refuse_count(len(codes), pool)
    frames = tuple(_part(frame, np.flatnonzero(ids == code)) for code in codes)
    unit, sizes = _sizes(pool, frames, budget, tokenizer)
    amount = Budget.parse(budget or "100%bytes").limit(int(sizes.sum()))
    if amount < 1:
        raise RecipeError(f"--budget must be at least one of its unit; got {budget!r} of {int(sizes.sum()):,} {unit}")
    return Ground(tuple(groups.names[code] for code in codes), frames, sizes, unit, amount, tuple(notes))


def _refuse_count(domains: int, pool: Pool) -> None:
    if not domains:
        shards = ", ".join(shard.path for shard in pool.shards[:3])
        raise InputError(f"the pool {shards} must hold text in some domain; it has none left")
    if domains > _MOST_DOMAINS:
        raise RecipeError(
            f"a mixture can be learnt of at most {_MOST_DOMAINS} domains; the field has {domains:,} different values: name "
            "another with --domains"
        )


def _part(frame: Frame, at: Int64[np.ndarray, "k"]) -> Frame:
    return Frame(frame.rows[at], frame.sizes[at], frame.names[at])


def _sizes(
    pool: Pool, frames: Sequence[Frame], budget: str | None, tokenizer: str | None
) -> tuple[str, Int64[np.ndarray, "g"]]:
    """What each domain holds in the budget's unit; tokens are reckoned from a sample of each domain's rows."""
    unit = Budget.parse(budget or "100%bytes").unit
    if unit == "examples":
        return unit, np.array([len(frame.rows) for frame in frames], np.int64)
    held = np.array([int(frame.sizes.sum()) for frame in frames], np.int64)
    if unit == "bytes":
        return unit, held
    if tokenizer is None:
        raise RecipeError("a budget in tokens needs the tokenizer that counts them; give --tokenizer tokenizer.json")
    counter = tokenizers.load(tokenizer)
    for at, frame in enumerate(frames):
        rows = frame.rows[np.argsort(frame.names, kind="stable")[:_SAMPLE]]
        texts = pool.take(np.sort(rows)).text
        tokens = sum(len(one.ids) for one in counter.encode_batch(list(texts), add_special_tokens=False))
        held[at] = max(1, round(held[at] * tokens / max(1, int(texts.sizes.sum()))))
    return unit, held


@final
@dataclass(frozen=True)
class Shortened:
    """A source of documents of which some are cut: `at` are places in the order of reading, `keep` the units that stay."""

    source: arms.Source
    at: Int64[np.ndarray, "j"]
    keep: Int64[np.ndarray, "j"]

    def __call__(self, rows: Int64[np.ndarray, "k"]) -> Iterator[Sequences]:
        """The documents of the rows, which are all of one trial's, block by block."""
        first = 0
        for block in self.source(rows):
            size = len(block)
            for place, keep in zip(self.at.tolist(), self.keep.tolist(), strict=True):
                if first <= place < first + size:
                    block = block.shortened(place - first, keep)
            first += size
            yield block


@final
@dataclass(frozen=True)
class Sent:
    """A trial on its way to a worker, and where it writes what it found."""

    task: Task
    path: Path


def conduct(sent: Sent) -> int:
    """Train and measure one mixture, and keep what was found; the seconds are those of the machine that did it."""
    result = judge.run(sent.task)[0]
    bits = {str(at): one for at, one in enumerate(result.bits)}
    store.save_named(sent.path, {**bits, "seconds": np.array(result.seconds)})
    return result.budget


@final
@dataclass(frozen=True)
class Bench:
    """Where mixtures are tried: a pool by domains, a small model, held-out text, the units of a trial; `epochs` is how often it may
    read a domain at most."""

    pool: Pool
    ground: Ground
    proxy: Judge
    held: tuple[Held, ...]
    units: int
    seed: int
    epochs: float
    out: Path
    local: Workers

    def trials(self, mixtures: Sequence[Mixture], first: int) -> tuple[Trials, int]:
        """Train on every mixture; the numbers of their draws begin at `first`. Also: how many were moved to what there is."""
        wanted = np.stack([mixture.weights for mixture in mixtures])
        bytes_per_unit = training.bytes_per_unit(self.proxy, self.pool)
        caps = self.ground.held * self.epochs / bytes_per_unit / self.units
        if self.ground.held.sum() * self.epochs < bytes_per_unit * self.units:
            raise RecipeError(
                f"a trial of {self.units:,} {self.proxy.unit} is more than the pool's {int(self.ground.held.sum()):,} bytes "
                f"give in {self.epochs:g} epochs: lower --units"
            )
        possible = onto_capped_simplex(wanted, caps)
        amounts = [Mixture(self.ground.names, weights / weights.sum()).split(self.units) for weights in possible]
        orders = [self._order(amount, first + at, bytes_per_unit) for at, amount in enumerate(amounts)]
        spent, bits = self._trained(amounts, orders, first)
        losses = [
            [held.measures(bits[at][which])["bits_per_byte"] for which, held in enumerate(self.held)]
            for at in range(len(amounts))
        ]
        moved = int((np.abs(possible - wanted) > 1e-9).any(axis=1).sum())
        return Trials(self.ground.names, spent, np.array(losses)), moved

    def _key(self, trial: int, domain: int, epoch: int) -> int:
        """The key of one draw: no two of a search are the same."""
        at = (self.seed * 1_000_000 + trial) * (_MOST_DOMAINS + 1) + domain
        return _KEYS + at * _MOST_EPOCHS + epoch

    def _order(
        self, amount: Int64[np.ndarray, "g"], trial: int, bytes_per_unit: float
    ) -> tuple[Int64[np.ndarray, "k"], ...]:
        """For every domain its rows in the order in which the trial takes them, surely enough; a row twice in two epochs."""
        found = []
        for domain, frame in enumerate(self.ground.frames):
            needed, whole, parts = math.ceil(int(amount[domain]) * bytes_per_unit), int(frame.sizes.sum()), []
            while needed > 0:
                order = frame.drawn(self._key(trial, domain, len(parts)), min(needed, whole))
                enough = int(np.searchsorted(np.cumsum(frame.sizes[order]), min(needed, whole))) + 1
                parts.append(frame.rows[order[:enough]])
                needed -= whole
            found.append(np.concatenate([np.zeros(0, np.int64), *parts]))
        return tuple(found)

    def _trained(
        self, amounts: Sequence[np.ndarray], orders: Sequence[tuple[np.ndarray, ...]], first: int
    ) -> tuple[Float64[np.ndarray, "r g"], list[tuple[np.ndarray, ...]]]:
        """What each trial really spent, and its bits on each held-out set."""
        work = self.out / ".trials"
        try:
            spool = self._spool(orders, work)
            laid = [
                self._lay(amount, order, spool, first + at)
                for at, (amount, order) in enumerate(zip(amounts, orders, strict=True))
            ]
            keys = [self._digest(arm, source) for arm, source, _ in laid]
            paths = [self.out / "trials" / f"{key}.npz" for key in keys]
            probes = tuple(held.probe for held in self.held)
            missing = {
                path: Sent(Task(self.proxy, Course((arm,), source, path.with_suffix(".work")), probes), path)
                for path, (arm, source, _) in zip(paths, laid, strict=True) if not path.exists()
            }  # fmt: skip
            for _ in self._spread(missing, len(paths)):
                continue
            kept = [store.load_named(path) for path in paths]
        finally:
            files.remove_folder(work)
        spent = np.stack([share for _, _, share in laid])
        return spent, [tuple(one[str(at)] for at in range(len(probes))) for one in kept]

    def _spread(self, missing: Mapping[Path, Sent], total: int) -> Iterator[None]:
        """The trials that are not there yet, over the workers where the small model allows that."""
        mapped = self.local.hold if self.proxy.parallel or self.local.apart else map
        done, stage = total - len(missing), f"try mixtures with {self.proxy.name}"
        self.pool.watch(stage, done, total, "mixtures")
        for path, _ in zip(missing, mapped(conduct, list(missing.values())), strict=True):
            files.remove_folder(path.with_suffix(".work"))
            done += 1
            self.pool.watch(stage, done, total, "mixtures")
            yield

    def _spool(self, orders: Sequence[tuple[np.ndarray, ...]], work: Path) -> training.Spooled:
        """Lay down every row that some trial reads."""
        rows = np.unique(np.concatenate([part for order in orders for part in order]))
        table = self.pool.count()
        everyone = Frame(rows, table.sizes[rows], table.hashes[rows])
        whole = Order("trials", 0, (np.arange(len(rows)),))
        return training.spool(Draft(everyone, (whole,), {}, False, False), self.proxy, self.pool, work)

    def _lay(
        self, amount: Int64[np.ndarray, "g"], order: tuple[np.ndarray, ...], spool: training.Spooled, trial: int
    ) -> tuple[Arm, Shortened, Float64[np.ndarray, "g"]]:
        """One trial: its rows in the order of reading, where some are cut, and what it spends on each domain."""
        known = np.asarray(store.mapped(spool.folder / "rows.npy"))
        sizes, parts = spool.documents.sizes, []
        for domain, rows in enumerate(order):
            units = sizes[np.searchsorted(known, rows)]
            ends = np.cumsum(units)
            keep = np.minimum(units, np.maximum(int(amount[domain]) - (ends - units), 0))
            parts.append((rows[keep > 0], units[keep > 0], keep[keep > 0], np.full(int((keep > 0).sum()), domain)))
        rows, units, keep, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        luck = np.argsort(
            uniform(self._key(trial, _MOST_DOMAINS, 0), np.arange(len(rows), dtype=np.uint64)), kind="stable"
        )
        rows, units, keep, ids = rows[luck], units[luck], keep[luck], ids[luck]
        budget = int(keep.sum()) // self.proxy.step * self.proxy.step
        keep = np.minimum(keep, np.maximum(budget - (np.cumsum(keep) - keep), 0))
        read = keep > 0
        rows, units, keep, ids = rows[read], units[read], keep[read], ids[read]
        if not len(rows):
            raise InputError(f"a trial must hold text to train on; mixture {trial} has none: raise --units")
        cut = np.flatnonzero(keep < units)
        arm = Arm(f"mixture {trial}", self.seed, budget, (Pass(rows),))
        spent = np.bincount(ids, keep, len(amount)) / budget
        return arm, Shortened(spool, cut, keep[cut]), spent

    def _digest(self, arm: Arm, source: Shortened) -> str:
        """Everything that a trial's result depends on, rows by content."""
        hashes = self.pool.count().hashes[arm.passes[0].rows]
        cut = (source.at.tolist(), source.keep.tolist())
        proxy, evals = self.proxy, [held.fingerprint for held in self.held]
        seed = arm.seed if proxy.seeded else 0
        return store.digest(proxy.name, proxy.described(), seed, hashes.tolist(), cut, arm.budget, evals, __version__)
