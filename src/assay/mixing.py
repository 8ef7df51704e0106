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
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any, final

import numpy as np
from jaxtyping import Float64, Int64

from assay import __version__, catalog, quotas
from assay.contracts import Forecaster
from assay.errors import InputError, RecipeError, RunError
from assay.io import files, store
from assay.io.remote import bare
from assay.io.trials import read_trials, write_trials
from assay.mixtures import Bench, Ground, ground_of
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.passes import Pool, Watch, quiet
from assay.run.workers import HERE, Crew, Workers
from assay.types import Budget, Mixture, Trials
from assay.verify import judge, overlap
from assay.verify.judge import Held, Judge

_MOST_EPOCHS = 1_000
_UNITS = 1_000_000  # of a trial, unless others are asked for
_FOLDS = 5
_ONE_PART = 1_000_000  # a quota is said in as many parts
_SPARE = 0.999  # of what a domain holds, where a selection is to take nearly all of it in whole rows


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


def mix(paths: Sequence[str], asked: MixAsked, out: Path, crew: Crew = HERE, watch: Watch = quiet) -> dict[str, Any]:
    """Try, learn, answer; returns what `mixture.json` says. Without `paths` the trials' own domains are mixed, without limits."""
    start, mixer = time.perf_counter(), asked.mixer
    if bool(asked.trials) == bool(asked.eval):
        raise RecipeError(
            "give --eval FILE with held-out text to try mixtures on, or --trials FILE with trials already made"
        )
    if not paths and not asked.trials:
        raise RecipeError("give a pool to draw trials from, or --trials FILE with trials already made")
    with crew.hired() as local, files.locked(out):
        _claim(out)
        pool = _opened(paths, asked, out, local, watch) if paths else None
        found = made(pool, asked, mixer, out, local) if not asked.trials else _given(pool, asked)
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


def _opened(paths: Sequence[str], asked: MixAsked, out: Path, local: Workers, watch: Watch) -> Pool:
    """The pool; where its rows lack the field of the domains, that is said in this command's own flag."""
    try:
        return open_pool(tuple(paths), _read(asked), store.Store(out / "store"), local, watch)
    except InputError as error:
        raise InputError(str(error).replace("--source-field", "--domains")) from None


def _read(asked: MixAsked) -> Read:
    read = asked.read
    return read if asked.domains is None else Read(
        read.text_field, read.id_field, asked.domains, read.text, limit=read.limit, max_line=read.max_line
    )  # fmt: skip


def _claim(out: Path) -> None:
    """Refuse a folder that holds something else."""
    there = set(files.entries(out))
    if "claim.json" not in there and not there <= {"store", "pool"}:
        raise RunError(
            f"{out} must be a new folder or that of an earlier mixture; it holds other files: give another --out"
        )


def _begun(out: Path, key: str) -> dict[str, Any] | None:
    """What an earlier call of the same request wrote, if it ended."""
    if not (out / "claim.json").exists():
        return None
    if files.read_json(str(out / "claim.json"))["digest"] != key:
        raise RunError(
            f"{out} holds the mixture of another request or pool; give another --out, or remove that folder first"
        )
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
    ground = None if pool is None else ground_of(pool, np.zeros(0, np.int64), asked.budget, asked.tokenizer)
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


def made(pool: Pool, asked: MixAsked, mixer: Any, out: Path, local: Workers) -> Found:
    """No trials yet, and all that is needed to make them."""
    proxy = judge.proxy(asked.proxy)
    held = {name: _held(path, pool, asked) for name, path in zip(_names(asked.eval), asked.eval, strict=True)}
    removed = [np.zeros(0, np.int64), *(_repeated(pool, one, asked.decontaminate) for one in held.values())]
    ground = ground_of(pool, np.unique(np.concatenate(removed)), asked.budget, asked.tokenizer)
    ground.limits(asked.epochs_limit)
    units = _units(asked, proxy, ground)
    bench = Bench(pool, ground, proxy, tuple(held.values()), units, asked.seed, asked.epochs_limit, out, local)
    key = store.digest(
        _fixed(asked),
        mixer,
        pool.fingerprint,
        [one.fingerprint for one in held.values()],
        proxy.described(),
        __version__,
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
        units = min(
            units, max(1, int(ground.held.sum()) // 2)
        )  # a trial that is the whole pool has nothing left to choose
    if not (units := units // proxy.step * proxy.step):
        raise RecipeError(
            f"--units must be at least one step of {asked.proxy}, {proxy.step:,} {proxy.unit}; got {asked.units}"
        )
    return units


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
    losses = _losses(found, answer, mixer, asked)
    notes += _astray(losses, trials)
    told: dict[str, Any] = {
        "method": asked.method, "parameters": asdict(mixer), "seed": asked.seed, "trials": len(trials),
        "proxy": None if found.bench is None else {
            "name": asked.proxy, "unit": found.bench.proxy.unit, "units": found.bench.units, "eval": list(asked.eval),
        },
        "domains": _domains(answer, limits, ground), "losses": losses,
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
    unknown = [
        name for name, spent in zip(trials.names, trials.spent.T, strict=True) if len(trials) and not spent.any()
    ]
    if unknown:
        yield f"no trial holds anything of {', '.join(unknown)}; what it is worth is not known"
    full = [
        name for name, weight, limit in zip(answer.domains, answer.weights, limits, strict=True)
        if 0 < limit < 1 and weight >= limit * (1 - 1e-6)
    ]  # fmt: skip
    if full:
        epochs = "one reading" if asked.epochs_limit == 1 else f"{asked.epochs_limit:g} epochs"
        yield f"{', '.join(full)}: the answer takes all that there is in {epochs}"
    if found.ground is None:
        yield "without a pool nobody knows what the domains hold: the answer has no limits"
    elif found.bench is not None and found.ground.unit != found.bench.proxy.unit:
        yield f"parts were tried as shares of {found.bench.proxy.unit}, and the budget counts {found.ground.unit}"


def _astray(losses: Sequence[Mapping[str, Any]], trials: Trials) -> Iterator[str]:
    """Losses that are foretold farther from all that was reached than trials lie from each other: then nothing was learnt.

    >>> trials = Trials(("a", "b"), np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[2.0], [3.0]]))
    >>> list(_astray([{"name": "web", "predicted": 1.2, "pool_predicted": 2.5}], trials))
    []
    >>> list(_astray([{"name": "web", "predicted": 0.9, "pool_predicted": 700.0}], trials))
    ['web: predicted 0.9 and 700, where trials reached 2 to 3: do not believe it, try more mixtures']
    """
    for line, reached in zip(losses, trials.losses.T, strict=True):
        foretold = [line[name] for name in ("predicted", "pool_predicted") if name in line]
        low, high = (float(reached.min()), float(reached.max())) if len(reached) else (0.0, 0.0)
        if any(not 2 * low - high <= one <= 2 * high - low for one in foretold):
            said = " and ".join(f"{one:.4g}" for one in foretold)
            yield (
                f"{line['name']}: predicted {said}, where trials reached {low:.4g} to {high:.4g}: do not believe it, "
                "try more mixtures"
            )


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
        line = {
            "name": name,
            "predicted": float(predicted[0, at]),
            "rank_correlation": None if agreed is None else agreed[at],
        }
        line |= {
            "best_tried": float(trials.losses[:, at].min()),
            "middle_tried": float(np.median(trials.losses[:, at])),
        }
        line |= {} if share is None else {"pool_predicted": float(predicted[1, at])}
        line |= (
            {} if measured is None else {"measured": float(measured[0, at]), "pool_measured": float(measured[1, at])}
        )
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
    named, said = {**read, **field}, partial(json.dumps, ensure_ascii=False)
    flags = "".join(f" --{name.replace('_', '-')} {_quoted(value)}" for name, value in named.items())
    counted = f" --tokenizer {_quoted(asked.tokenizer)}" if ground.unit == "tokens" and asked.tokenizer else ""
    pool = " ".join(map(_quoted, paths))
    lines = [
        "# Selects by the mixture that mixture.json tells of: assay select mixture.toml --out run/",
        f"pool = {said(list(paths))}",
        *([f"tokenizer = {json.dumps(asked.tokenizer)}"] if counted else []),
        f"steps = [\n  {{ select = \"random\", budget = {json.dumps(budget)}, quota = {said(quota)} }},\n]",
        *(["[read]", *(f"{name} = {said(value)}" for name, value in named.items())] if named else []),
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
