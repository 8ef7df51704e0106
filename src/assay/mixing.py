"""`assay mix`: tries mixtures of the pool's domains on small models, learns from them, and says which mixture to train on.

```
mix/trials/KEY.npz   what one small model reached; a killed search goes on with those that are missing
mix/trials.csv       every mixture that was tried, and its losses
mix/mixture.toml     a recipe that selects by the mixture: assay select mix/mixture.toml --out run/
mix/mixture.json     the mixture, what the trials say of it, and how far to believe them; written last
mix/claim.json       whose folder this is, written first: another request into it is refused
```

The method proposes mixtures. For each, rows of every domain are drawn by chance until the domain has its part of the
trial's budget to the unit (the last row is cut; a domain that is too small is read again, at most as often as the later
training may), and one small model is trained on them in an order of chance and measured on held-out text. What was found is
kept under everything that it depends on: model, rows by content, order, cuts, held-out text.

The answer keeps within limits: a domain of n units can supply n x epochs_limit / budget of the later training. How far the
regression is to be believed is said beside it: the rank correlation between losses predicted and reached, where a fifth of the
trials at a time is left out and predicted from the others; and the answer is trained and measured like a trial, beside the pool
as it is.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Protocol, final

import numpy as np
from jaxtyping import Float64, Int64

from assay import __version__, catalog, quotas, training
from assay.errors import InputError, RecipeError, RunError
from assay.io import files, store, tokenizers
from assay.io.remote import bare
from assay.io.trials import read_trials, write_trials
from assay.kernels.draws import uniform
from assay.kernels.projection import onto_capped_simplex
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import HERE, Crew, Workers
from assay.types import Budget, Mixture, Sequences, Trials
from assay.verify import arms, judge, overlap
from assay.verify.arms import Arm, Draft, Order, Pass
from assay.verify.frame import Frame
from assay.verify.judge import Course, Held, Judge, Task

_KEYS, _MOST_EPOCHS = 0x7E5C << 32, 1_000  # far from the keys of other draws
_MOST_DOMAINS = 256
_UNITS = 1_000_000  # of a trial, unless others are asked for
_FOLDS = 5
_ONE_PART = 1_000_000  # a quota is said in as many parts
_SAMPLE = 500  # rows of a domain that tell how many bytes a token takes
_SPARE = 0.999  # of what a domain holds, where a selection is to take nearly all of it in whole rows


class Forecaster(Protocol):
    """A mixer that also says what mixtures would reach; all that ship do."""

    def forecast(
        self, trials: Trials, mixtures: Float64[np.ndarray, "k g"], rng: np.random.Generator
    ) -> Float64[np.ndarray, "k t"]:
        """The losses (k, t) of mixtures (k, g), as learnt from the trials."""


@final
@dataclass(frozen=True)
class MixAsked:
    """What `assay mix` is asked.

    eval          held-out text of what the later model is for; each path is a loss of its own, and their mean counts
    method        which mixer
    parameters    its hyperparameters
    domains       the field that names a row's domain; None: the one that looks like it
    trials        tables of trials that somebody has made already; then nothing is trained
    loss          which of their losses count; none: all
    proxy         the small model: `ngram`, a causal language model's name, a folder or a hub id
    tried         mixtures to try
    units         what each trial is trained on, in the proxy's unit: `1MB`, `2e6tokens`
    budget        of the training that the mixture is for; None: the pool's bytes once
    epochs_limit  how often that training may read a domain
    tokenizer     a tokenizer.json, for a budget in tokens
    decontaminate leave out rows that repeat held-out text, instead of refusing
    seed          of every draw
    """

    eval: tuple[str, ...] = ()
    method: str = "regmix"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    domains: str | None = None
    trials: tuple[str, ...] = ()
    loss: tuple[str, ...] = ()
    proxy: str = "ngram"
    tried: int = 128
    units: str | None = None
    budget: str | None = None
    epochs_limit: float = 4.0
    tokenizer: str | None = None
    decontaminate: bool = False
    seed: int = 0
    read: Read = field(default_factory=Read)

    def __post_init__(self) -> None:
        if self.tried < 1 or not 0 < self.epochs_limit < _MOST_EPOCHS:
            raise RecipeError(
                f"--tried must be at least 1 and --epochs-limit above 0 and below {_MOST_EPOCHS}; got {self.tried} and "
                f"{self.epochs_limit:g}"
            )

    @property
    def mixer(self) -> Any:
        """The method, with its hyperparameters; it tries as many mixtures as were asked for."""
        return catalog.build("mix", self.method, {"tried": self.tried, **self.parameters})


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
        limits = self.sizes * epochs / self.budget
        if limits.sum() < 1:
            raise RecipeError(
                f"a training of {self.budget:,} {self.unit} must be supplied by the pool, whose {len(self.names)} domains hold "
                f"{int(self.sizes.sum()):,} and in {epochs:g} epochs give {int(self.sizes.sum() * epochs):,}: lower --budget, or "
                "raise --epochs-limit"
            )
        return limits


def mix(
    paths: Sequence[str], asked: MixAsked, out: Path, crew: Crew = HERE, watch: Watch = quiet
) -> dict[str, Any]:
    """Try, learn, answer; returns what `mixture.json` says. Without `paths` the trials' own domains are mixed, without limits."""
    start, mixer = time.perf_counter(), asked.mixer
    if bool(asked.trials) == bool(asked.eval):
        raise RecipeError("give --eval FILE with held-out text to try mixtures on, or --trials FILE with trials already made")
    if not paths and not asked.trials:
        raise RecipeError("give a pool to draw trials from, or --trials FILE with trials already made")
    with crew.hired() as local, files.locked(out):
        _claim(out)
        pool = open_pool(tuple(paths), _read(asked), store.Store(out / "store"), local, watch) if paths else None
        found = _made(pool, asked, mixer, out, local) if not asked.trials else _given(pool, asked)
        if (done := _begun(out, found.key)) is not None:
            return done
        files.write_json(str(out / "claim.json"), {"digest": found.key})
        if len(found.trials.names) > 1 and not asked.trials:
            found = found.tried(asked.seed, mixer)
        told = _told(found, mixer, asked, paths)
        write_trials(str(out / "trials.csv"), found.trials, found.losses)
        if "recipe" in told:
            files.write_bytes(str(out / "mixture.toml"), told.pop("recipe").encode("utf-8"))
        told |= {"digest": found.key, "assay": __version__, "seconds": round(time.perf_counter() - start, 3)}
        files.write_json(str(out / "mixture.json"), told)
    return files.read_json(str(out / "mixture.json"))


def _read(asked: MixAsked) -> Read:
    read = asked.read
    return read if asked.domains is None else Read(
        read.text_field, read.id_field, asked.domains, read.text, limit=read.limit, max_line=read.max_line
    )  # fmt: skip


def _claim(out: Path) -> None:
    """Refuse a folder that holds something else."""
    there = {name for name in files.entries(out) if not name.startswith(".lock")}
    if "claim.json" not in there and not there <= {"store"}:
        raise RunError(f"{out} must be a new folder or that of an earlier mixture; it holds other files: give another --out")


def _begun(out: Path, key: str) -> dict[str, Any] | None:
    """What an earlier call of the same request wrote, if it ended."""
    if not (out / "claim.json").exists():
        return None
    if files.read_json(str(out / "claim.json"))["digest"] != key:
        raise RunError(f"{out} holds the mixture of another request or pool; give another --out, or remove that folder first")
    return files.read_json(str(out / "mixture.json")) if (out / "mixture.json").exists() else None


# --- Trials ------------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Found:
    """Trials, with what they are to be judged by. `bench` trains further mixtures the same way, where there is one."""

    trials: Trials
    losses: tuple[str, ...]
    key: str
    ground: Ground | None
    bench: Bench | None = None
    notes: tuple[str, ...] = ()

    def tried(self, seed: int, mixer: Any) -> Found:
        """The same with the trials that the method proposes."""
        assert self.bench is not None and self.ground is not None
        proposed = mixer.propose(self.ground.share, None, np.random.default_rng(seed))
        refuse_too_few(mixer, proposed)
        trials, moved = self.bench.trials(proposed, 0)
        notes = self.notes
        if len(proposed) < mixer.tried:
            notes += (f"{mixer.tried} mixtures were to be tried; these domains allow {len(proposed)} different ones",)
        if moved:
            notes += (f"{moved} of {len(proposed)} mixtures asked for more of a domain than there is, and were moved",)
        return replace(self, trials=trials, notes=notes)


def refuse_too_few(mixer: Forecaster, proposed: Sequence[Mixture]) -> None:
    """Raise what the method will say of so few trials, before they are trained: it learns losses that are made up."""
    spent = np.stack([mixture.weights for mixture in proposed])
    made_up = Trials(proposed[0].domains, spent, 1 + (spent**2).sum(axis=1, keepdims=True))
    mixer.forecast(made_up, spent[:1], np.random.default_rng(0))


def _given(pool: Pool | None, asked: MixAsked) -> Found:
    """Trials that somebody has made, and the pool's domains in the trials' order."""
    trials, losses = read_trials(asked.trials, asked.loss)
    ground = None if pool is None else _ground(pool, asked, np.zeros(0, np.int64))
    if ground is not None and set(ground.names) != set(trials.names):
        raise InputError(
            f"the trials must be mixtures of the pool's domains, {', '.join(ground.names)}; they are of {', '.join(trials.names)}: "
            "rename their columns"
        )
    if ground is not None:
        order = [trials.names.index(name) for name in ground.names]
        trials = Trials(ground.names, trials.spent[:, order], trials.losses)
    content = None if pool is None else pool.fingerprint
    key = store.digest(_fixed(asked), content, [store.file_digest(path) for path in asked.trials], __version__)
    return Found(trials, losses, key, ground, notes=() if ground is None else ground.notes)


def _made(pool: Pool, asked: MixAsked, mixer: Any, out: Path, local: Workers) -> Found:
    """No trials yet, and all that is needed to make them."""
    proxy = judge.proxy(asked.proxy)
    held = {name: _held(path, pool, asked) for name, path in zip(_names(asked.eval), asked.eval, strict=True)}
    removed = [np.zeros(0, np.int64), *(_repeated(pool, one, asked.decontaminate) for one in held.values())]
    ground = _ground(pool, asked, np.unique(np.concatenate(removed)))
    ground.limits(asked.epochs_limit)
    bench = Bench(pool, ground, proxy, tuple(held.values()), _units(asked, proxy, ground), asked, out, local)
    key = store.digest(
        _fixed(asked), mixer, pool.fingerprint, [one.fingerprint for one in held.values()], proxy.described(), __version__
    )
    empty = Trials(ground.names, np.zeros((0, len(ground.names))), np.zeros((0, len(held))))
    return Found(empty, tuple(held), key, ground, bench, ground.notes)


def _fixed(asked: MixAsked) -> Any:
    """The request without where its files lie."""
    return replace(asked, eval=(), trials=(), tokenizer=asked.tokenizer and store.file_digest(asked.tokenizer))


def _names(paths: Sequence[str]) -> list[str]:
    """A name for each loss: the file's, and a number where two are called the same."""
    names = [PurePath(bare(path)).name.split(".")[0] or f"eval{at}" for at, path in enumerate(paths)]
    return [name if names.count(name) == 1 else f"{name}{at}" for at, name in enumerate(names)]


def _held(path: str, pool: Pool, asked: MixAsked) -> Held:
    plain = Read(asked.read.text_field, text=asked.read.text, max_line=asked.read.max_line)
    opened = open_pool((path,), plain, pool.store, pool.local)
    return Held.of(path, opened.take(np.flatnonzero(opened.count().readable)).text)


def _repeated(pool: Pool, held: Held, decontaminate: bool) -> Int64[np.ndarray, "r"]:
    """Rows of the pool that repeat held-out text; refused unless they are to be left out."""
    readable = np.flatnonzero(pool.count().readable)
    found = [first + rows for first, rows in pool.gather(readable, overlap.OverlapPart.of(held.documents))]
    rows = np.concatenate([np.zeros(0, np.int64), *found])
    overlap.refuse(rows, len(readable), held.path, decontaminate)
    return rows


def _ground(pool: Pool, asked: MixAsked, removed: Int64[np.ndarray, "r"]) -> Ground:
    """The pool by domains, in the order of their names; rows without text, without a domain or removed are left out."""
    table, notes = pool.count(), []
    groups = table.groups
    if groups is None or not any(groups.names):
        raise RecipeError("mix needs a domain for every row; name its field with --domains, source for example")
    eligible = table.readable.copy()
    eligible[removed] = False
    if len(removed):
        notes.append(f"{len(removed):,} rows that repeat held-out text were left out")
    frame, nameless = Frame.of(table.sizes, table.hashes, eligible), [k for k, name in enumerate(groups.names) if not name]
    ids = groups.ids[frame.rows]
    if nameless and (lacking := int(np.isin(ids, nameless).sum())):
        notes.append(f"{lacking:,} rows name no domain and were left out")
    codes = [code for code in np.unique(ids).tolist() if code not in nameless]
    codes.sort(key=lambda code: groups.names[code])
    if not codes:
        raise InputError(f"the pool {', '.join(s.path for s in pool.shards[:3])} must hold text in some domain; it has none left")
    if len(codes) > _MOST_DOMAINS:
        raise RecipeError(
            f"a mixture can be learnt of at most {_MOST_DOMAINS} domains; the field has {len(codes):,} different values: name "
            "another with --domains"
        )
    frames = tuple(_part(frame, np.flatnonzero(ids == code)) for code in codes)
    unit, sizes = _sizes(pool, frames, asked)
    budget = Budget.parse(asked.budget or "100%bytes").limit(int(sizes.sum()))
    if budget < 1:
        raise RecipeError(f"--budget must be at least one of its unit; got {asked.budget!r} of {int(sizes.sum()):,} {unit}")
    return Ground(tuple(groups.names[code] for code in codes), frames, sizes, unit, budget, tuple(notes))


def _part(frame: Frame, at: Int64[np.ndarray, "k"]) -> Frame:
    return Frame(frame.rows[at], frame.sizes[at], frame.names[at])


def _sizes(pool: Pool, frames: Sequence[Frame], asked: MixAsked) -> tuple[str, Int64[np.ndarray, "g"]]:
    """What each domain holds in the budget's unit; tokens are reckoned from a sample of each domain's rows."""
    unit = Budget.parse(asked.budget or "100%bytes").unit
    if unit == "examples":
        return unit, np.array([len(frame.rows) for frame in frames], np.int64)
    held = np.array([int(frame.sizes.sum()) for frame in frames], np.int64)
    if unit == "bytes":
        return unit, held
    if asked.tokenizer is None:
        raise RecipeError("a budget in tokens needs the tokenizer that counts them; give --tokenizer tokenizer.json")
    counter = tokenizers.load(asked.tokenizer)
    for at, frame in enumerate(frames):
        rows = frame.rows[np.argsort(frame.names, kind="stable")[:_SAMPLE]]
        texts = pool.take(np.sort(rows)).text
        tokens = sum(len(one.ids) for one in counter.encode_batch(list(texts), add_special_tokens=False))
        held[at] = max(1, round(held[at] * tokens / max(1, int(texts.sizes.sum()))))
    return unit, held


def _units(asked: MixAsked, proxy: Judge, ground: Ground) -> int:
    """What a trial is trained on: whole steps, and no more than the domains hold in as many epochs as are allowed."""
    units = _UNITS
    if asked.units is not None:
        budget = Budget.parse(asked.units)
        if budget.share or budget.unit != proxy.unit:
            raise RecipeError(
                f"--units must be an amount in {proxy.unit}, which is what {asked.proxy} reads, such as "
                f"{'1MB' if proxy.unit == 'bytes' else '2e6tokens'}; got {asked.units!r}"
            )
        units = budget.limit(0)
    elif proxy.unit == "bytes":
        units = min(units, max(1, int(ground.held.sum()) // 2))  # a trial that is the whole pool has nothing left to choose
    if not (units := units // proxy.step * proxy.step):
        raise RecipeError(f"--units must be at least one step of {asked.proxy}, {proxy.step:,} {proxy.unit}; got {asked.units}")
    return units


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
    """Where mixtures are tried: a pool by domains, a small model, held-out text, and the units of a trial."""

    pool: Pool
    ground: Ground
    proxy: Judge
    held: tuple[Held, ...]
    units: int
    asked: MixAsked
    out: Path
    local: Workers

    def trials(self, mixtures: Sequence[Mixture], first: int) -> tuple[Trials, int]:
        """Train on every mixture; the numbers of their draws begin at `first`. Also: how many were moved to what there is."""
        wanted = np.stack([mixture.weights for mixture in mixtures])
        bytes_per_unit = training.bytes_per_unit(self.proxy, self.pool)
        caps = self.ground.held * self.asked.epochs_limit / bytes_per_unit / self.units
        if caps.sum() < 1:
            raise RecipeError(
                f"a trial of {self.units:,} {self.proxy.unit} is more than the pool's {int(self.ground.held.sum()):,} bytes give in "
                f"{self.asked.epochs_limit:g} epochs: lower --units"
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
        at = (self.asked.seed * 1_000_000 + trial) * (_MOST_DOMAINS + 1) + domain
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
        luck = np.argsort(uniform(self._key(trial, _MOST_DOMAINS, 0), np.arange(len(rows), dtype=np.uint64)), kind="stable")
        rows, units, keep, ids = rows[luck], units[luck], keep[luck], ids[luck]
        budget = int(keep.sum()) // self.proxy.step * self.proxy.step
        keep = np.minimum(keep, np.maximum(budget - (np.cumsum(keep) - keep), 0))
        read = keep > 0
        rows, units, keep, ids = rows[read], units[read], keep[read], ids[read]
        if not len(rows):
            raise InputError(f"a trial must hold text to train on; mixture {trial} has none: raise --units")
        cut = np.flatnonzero(keep < units)
        arm = Arm(f"mixture {trial}", self.asked.seed, budget, (Pass(rows),))
        spent = np.bincount(ids, keep, len(amount)) / budget
        return arm, Shortened(spool, cut, keep[cut]), spent

    def _digest(self, arm: Arm, source: Shortened) -> str:
        """Everything that a trial's result depends on, rows by content."""
        hashes = self.pool.count().hashes[arm.passes[0].rows]
        cut = (source.at.tolist(), source.keep.tolist())
        proxy, evals = self.proxy, [held.fingerprint for held in self.held]
        seed = arm.seed if proxy.seeded else 0
        return store.digest(proxy.name, proxy.described(), seed, hashes.tolist(), cut, arm.budget, evals, __version__)


# --- The answer -------------------------------------------------------------------------------------------------------


def _told(found: Found, mixer: Any, asked: MixAsked, paths: Sequence[str]) -> dict[str, Any]:
    """What `mixture.json` says."""
    trials, ground, notes = found.trials, found.ground, list(found.notes)
    limits = np.full(len(trials.names), np.inf) if ground is None else ground.limits(asked.epochs_limit)
    if len(trials.names) == 1:
        answer = Mixture(trials.names, np.ones(1))
        notes.append(f"there is one domain, {trials.names[0]}: nothing was tried")
    else:
        answer = mixer.weights(trials, within(trials, limits), np.random.default_rng([asked.seed, 1]))
    notes += _warned(trials, answer, limits, asked, found)
    told: dict[str, Any] = {
        "method": asked.method, "parameters": asdict(mixer), "seed": asked.seed, "trials": len(trials),
        "proxy": None if found.bench is None else {
            "name": asked.proxy, "unit": found.bench.proxy.unit, "units": found.bench.units, "eval": list(asked.eval),
        },
        "domains": _domains(answer, limits, ground), "losses": _losses(found, answer, mixer, asked),
    }  # fmt: skip
    if ground is not None:
        told |= {"budget": {"amount": ground.budget, "unit": ground.unit, "epochs_limit": asked.epochs_limit}}
        told |= _selecting(answer, ground, asked, paths, notes)
    return {**told, "notes": notes}


def within(trials: Trials, limits: Float64[np.ndarray, "g"]) -> Float64[np.ndarray, "g"]:
    """The limits without domains of which no trial holds anything, where the others can do without them.

    >>> trials = Trials(("a", "b", "c"), np.array([[0.5, 0.5, 0.0]]), np.zeros((1, 1)))
    >>> within(trials, np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 0.0]
    """
    known = np.where((trials.spent > 0).any(axis=0), limits, 0.0)
    return known if known.sum() >= 1 else limits


def _warned(
    trials: Trials, answer: Mixture, limits: Float64[np.ndarray, "g"], asked: MixAsked, found: Found
) -> Iterator[str]:
    """What a reader must know before believing the answer."""
    unknown = [name for name, spent in zip(trials.names, trials.spent.T, strict=True) if len(trials) and not spent.any()]
    if unknown:
        yield f"no trial holds anything of {', '.join(unknown)}; what it is worth is not known"
    full = [
        name for name, weight, limit in zip(answer.domains, answer.weights, limits, strict=True)
        if 0 < limit < 1 and weight >= limit * (1 - 1e-6)
    ]  # fmt: skip
    if full:
        yield f"{', '.join(full)}: the answer takes all that {asked.epochs_limit:g} epochs of the budget allow"
    if found.ground is None:
        yield "without a pool nobody knows what the domains hold: the answer has no limits"
    elif found.bench is not None and found.ground.unit != found.bench.proxy.unit:
        yield f"parts were tried as shares of {found.bench.proxy.unit}, and the budget counts {found.ground.unit}"


def _domains(answer: Mixture, limits: Float64[np.ndarray, "g"], ground: Ground | None) -> list[dict[str, Any]]:
    """Each domain's line of the table."""
    lines = []
    for at, name in enumerate(answer.domains):
        weight, line = float(answer.weights[at]), {"domain": name}
        if ground is not None:
            size = int(ground.sizes[at])
            line |= {"size": size, "share": size / int(ground.sizes.sum()), "limit": min(1.0, float(limits[at]))}
        line["weight"] = weight
        if ground is not None:
            line["epochs"] = weight * ground.budget / size
        lines.append(line)
    return lines


def _losses(found: Found, answer: Mixture, mixer: Any, asked: MixAsked) -> list[dict[str, Any]]:
    """For each loss: predicted of the answer and of the pool as it is, the best and the middle trial, measured of the answer."""
    trials, few = found.trials, len(found.trials.names) == 1
    if few:
        return [{"name": name} for name in found.losses]
    share = None if found.ground is None else found.ground.share
    mixtures = [answer] if share is None else [answer, share]
    rng = np.random.default_rng([asked.seed, 1])
    predicted = mixer.forecast(trials, np.stack([one.weights for one in mixtures]), rng)
    measured = None if found.bench is None else found.bench.trials(mixtures, len(trials))[0].losses
    agreed = agreement(mixer, trials, asked.seed)
    lines = []
    for at, name in enumerate(found.losses):
        line = {"name": name, "predicted": float(predicted[0, at]), "rank_correlation": None if agreed is None else agreed[at]}
        line |= {"best_tried": float(trials.losses[:, at].min()), "middle_tried": float(np.median(trials.losses[:, at]))}
        line |= {} if share is None else {"pool_predicted": float(predicted[1, at])}
        line |= {} if measured is None else {"measured": float(measured[0, at]), "pool_measured": float(measured[1, at])}
        lines.append(line)
    return lines


def agreement(mixer: Forecaster, trials: Trials, seed: int) -> list[float | None] | None:
    """Rank correlation of losses predicted and reached, (t,), each fifth of the trials predicted from the others.

    None where that leaves too few trials to learn from; None for a loss where either is a constant.
    """
    from scipy.stats import rankdata

    order, predicted = np.random.default_rng([seed, 2]).permutation(len(trials)), np.zeros_like(trials.losses)
    try:
        for fold in range(_FOLDS):
            left, others = order[fold::_FOLDS], np.setdiff1d(order, order[fold::_FOLDS])
            learnt = Trials(trials.names, trials.spent[others], trials.losses[others])
            predicted[left] = mixer.forecast(learnt, trials.spent[left], np.random.default_rng([seed, 3, fold]))
    except InputError:
        return None
    found: list[float | None] = []
    for one, other in zip(rankdata(predicted, axis=0).T, rankdata(trials.losses, axis=0).T, strict=True):
        constant = np.ptp(one) == 0 or np.ptp(other) == 0
        found.append(None if constant else float(np.corrcoef(one, other)[0, 1]))
    return found


def _selecting(
    answer: Mixture, ground: Ground, asked: MixAsked, paths: Sequence[str], notes: list[str]
) -> dict[str, Any]:
    """How to select by the answer: a quota, the budget at which no row is needed twice, and a recipe that says both.

    A selection takes a row once. Where the training reads some domain more than once, the selection is as much smaller, and is
    read as often.
    """
    quota = quota_of(answer)
    if quota is None:
        notes.append("the names of the domains do not fit into a quota; weights are in mixture.json")
        return {}
    most = float((answer.weights * ground.budget / ground.sizes).max())
    epochs, spare = max(1.0, most), _SPARE if most > _SPARE else 1.0
    budget = f"{int(ground.budget / epochs * spare)}{'' if ground.unit == 'examples' else ground.unit}"
    field = {} if asked.domains is None else {"source_field": asked.domains}
    read = {name: value for name, value in (("text_field", asked.read.text_field), ("text", asked.read.text)) if value}
    flags = "".join(f" --{name.replace('_', '-')} {_quoted(value)}" for name, value in {**read, **field}.items())
    counted = f" --tokenizer {_quoted(asked.tokenizer)}" if ground.unit == "tokens" and asked.tokenizer else ""
    pool = " ".join(map(_quoted, paths))
    lines = [
        "# Selects by the mixture that mixture.json tells of: assay select mixture.toml --out run/",
        f"pool = {json.dumps(list(paths), ensure_ascii=False)}",
        *([f"tokenizer = {json.dumps(asked.tokenizer)}"] if counted else []),
        f"steps = [\n  {{ select = \"random\", budget = {json.dumps(budget)}, quota = {json.dumps(quota, ensure_ascii=False)} }},\n]",
        *(["[read]", *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in {**read, **field}.items())]),
    ]  # fmt: skip
    return {
        "quota": quota, "select_budget": budget, "epochs": epochs,
        "command": f"assay select {pool}{flags}{counted} --method random --budget {budget} --quota {_quoted(quota)} --out run/",
        "recipe": "\n".join(lines) + "\n",
    }  # fmt: skip


def _quoted(word: str) -> str:
    """A word as a shell takes it."""
    plain = all(letter.isalnum() or letter in "._/-+:@%" for letter in word)
    return word if plain and word else "'" + word.replace("'", "'\\''") + "'"


def quota_of(answer: Mixture) -> str | None:
    """The answer as an exact quota on sources, in ten-thousandths of a percent; None where a domain's name does not fit into one.

    >>> quota_of(Mixture(("code", "web"), np.array([1 / 3, 2 / 3])))
    'source:code==33.3333%,web==66.6667%'
    """
    parts = answer.split(_ONE_PART).tolist()
    said = "source:" + ",".join(f"{name}=={part / 1e4:g}%" for name, part in zip(answer.domains, parts, strict=True))
    try:
        bounds = quotas.parse(said)[1]
    except RecipeError:
        return None
    return said if tuple(bound.group for bound in bounds) == answer.domains else None
