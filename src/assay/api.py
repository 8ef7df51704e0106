"""The Python face: `read`, `select`, `verify`, with the words of the command line.

```python
import assay

pool = assay.read("examples/data/pool.jsonl.zst")
run = assay.select(pool, target="examples/data/target.jsonl", budget="10%", out="run/")
assay.verify(run, eval="examples/data/heldout.jsonl")["sentence"]
```

A pool may also be a list of dicts, a pandas or polars frame, a pyarrow table, or a `datasets.Dataset`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from assay import flags, recipe
from assay.errors import RecipeError
from assay.general import SHARES
from assay.io import files, mirror

if TYPE_CHECKING:
    from assay.run.passes import Pool as Opened
    from assay.runs import Run


@final
@dataclass(frozen=True)
class Pool:
    """Ordered examples on disk, not read yet; `len`, `fingerprint` and `rows` read what they need."""

    paths: tuple[str, ...]
    read: Mapping[str, Any] = field(default_factory=dict)
    spooled: bool = False

    @cached_property
    def opened(self) -> Opened:
        """The pool with its fields found."""
        from assay.io.store import Store
        from assay.opening import open_pool
        from assay.run.local import Local

        tree = recipe.parse_read(self.read)
        return open_pool(self.paths, tree, Store(Path(files.temporary_folder("assay-"))), Local(1))

    def __len__(self) -> int:
        return len(self.opened)

    @property
    def fingerprint(self) -> str:
        """Changes when the content does."""
        return self.opened.fingerprint

    def head(self, k: int = 5) -> list[str]:
        """The texts of the first k readable rows, as scorers see them."""
        import numpy as np

        return list(self.opened.take(np.flatnonzero(self.opened.count().readable)[:k]).text)

    def __repr__(self) -> str:
        return f"Pool({', '.join(self.paths)})"


def read(
    pool: Any,
    *,
    text_field: str | None = None,
    id_field: str | None = None,
    source_field: str | None = None,
    text: str | None = None,
    limit: int | None = None,
) -> Pool:
    """A pool from paths, globs, folders or URLs, or from rows in memory, which are laid down in a temporary folder.

    Raises InputError where nothing can be read there.
    """
    wanted = {
        "text_field": text_field,
        "id_field": id_field,
        "source_field": source_field,
        "text": text,
        "limit": limit,
    }
    from assay.io import frames

    spooled = not frames.is_paths(pool)
    paths = frames.spool(pool, files.temporary_folder("assay-") if spooled else "")
    return Pool(tuple(paths), flags.given(wanted), spooled)


def select(
    pool: Any,
    *,
    budget: str | int | None = None,
    target: Any = None,
    method: str | None = None,
    out: str | Path | None = None,
    select: str | None = None,
    rank: str | None = None,
    quota: str | None = None,
    general: str | None = None,
    where: str | Sequence[str] = (),
    set: str | Sequence[str] = (),
    score_fields: str | Sequence[str] = (),
    scores: str | Sequence[str] = (),
    rows: str | None = None,
    format: str | None = None,
    compression: str | None = None,
    seed: int | None = None,
    tokenizer: str | None = None,
    recipe: str | Path | None = None,
    model: str | Sequence[str] = (),
    eval: Any = None,
    dedup: str | Sequence[str] = (),
    keep: str | None = None,
    good: Any = None,
    bad: Any = None,
    top: str | None = None,
    workers: int | None = 1,
    engine: str | None = None,
    address: str | None = None,
    memory: str | None = None,
    store: str | Path | None = None,
) -> Run:
    """Choose rows, perhaps after cleaning, and return the run; the words mean what the command's flags mean.

    `pool` is a `Pool`, anything that `read` takes, the path of a recipe, or a finished `Run` to decide again on. Without
    `out` the run lies in a temporary folder.
    """
    from assay import commands
    from assay.engine import run as work
    from assay.runs import Run

    given = flags.given({
        "budget": None if budget is None else str(budget), "method": method, "select": select, "rank": rank, "quota": quota,
        "general": general,
        "where": _several(where), "set": _several(set), "score_fields": _several(score_fields), "scores": _several(scores),
        "rows": rows, "format": format, "compression": compression, "seed": seed, "tokenizer": tokenizer,
        "target": _paths(target, out),
        **_cleaning(recipe, model, eval, dedup, keep, good, bad, top, out),
    })  # fmt: skip
    if isinstance(pool, Run):
        wanted, earlier = commands.compose([files.address(pool.path)], given)
    else:
        source = _source(pool)
        wanted, earlier = commands.compose(_settled(source, out), {**source.read, **given})
    return work(wanted, _how(workers, store, memory, engine, address).place(_place(out), None, quiet, wanted), earlier)


def clean(
    pool: Any,
    *,
    recipe: str | Path | None = None,
    model: str | Sequence[str] = (),
    eval: Any = None,
    dedup: str | Sequence[str] = (),
    keep: str | None = None,
    good: Any = None,
    bad: Any = None,
    top: str | None = None,
    out: str | Path | None = None,
    where: str | Sequence[str] = (),
    set: str | Sequence[str] = (),
    score_fields: str | Sequence[str] = (),
    scores: str | Sequence[str] = (),
    rows: str | None = None,
    format: str | None = None,
    compression: str | None = None,
    seed: int | None = None,
    workers: int | None = 1,
    engine: str | None = None,
    address: str | None = None,
    memory: str | None = None,
    store: str | Path | None = None,
) -> Run:
    """Drop what is bad, doubled or in an eval set, and return the run with the rest; the words are the command's flags.

    `pool` is what `select` takes; a finished `Run` of `clean` lends what it measured, so that another threshold reads no text.
    """
    from assay import commands
    from assay.engine import run as work
    from assay.runs import Run

    given = flags.given({
        "where": _several(where), "set": _several(set), "score_fields": _several(score_fields), "scores": _several(scores),
        "rows": rows, "format": format, "compression": compression, "seed": seed,
        **_cleaning(recipe, model, eval, dedup, keep, good, bad, top, out),
    })  # fmt: skip
    source = read(files.address(pool.path)) if isinstance(pool, Run) else _source(pool)
    wanted, known = commands.compose_clean(_settled(source, out), {**source.read, **given})
    return work(wanted, _how(workers, store, memory, engine, address).place(_place(out), known, quiet, wanted))


def _cleaning(
    recipe: str | Path | None,
    model: str | Sequence[str],
    eval: Any,
    dedup: str | Sequence[str],
    keep: str | None,
    good: Any,
    bad: Any,
    top: str | None,
    out: str | Path | None,
) -> dict[str, Any]:
    """What cleaning is asked for, under the names of the flags."""
    examples = {"eval": _paths(eval, out), "good": _paths(good, out), "bad": _paths(bad, out)}
    named = {"recipe": None if recipe is None else str(recipe), "model": _several(model), "dedup": _several(dedup)}
    return {**examples, **named, "keep": keep, "top": top}


def _paths(examples: Any, out: str | Path | None) -> list[str] | None:
    return None if examples is None else _settled(_source(examples), out)


def _place(out: str | Path | None) -> Path:
    return mirror.folder(out) if out is not None else Path(files.temporary_folder("assay-run-"))


def _how(
    workers: int | None, store: str | Path | None, memory: str | None, engine: str | None, address: str | None
) -> Any:
    from assay.commands import How

    return How(workers, None if store is None else mirror.folder(store), memory, engine=engine, address=address)


def quiet(stage: str, done: int, total: int, unit: str = "bytes", loss: float = math.nan) -> None:
    """No progress bars: a notebook has its own."""


def _several(words: str | Sequence[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


def _settled(source: Pool, out: str | Path | None) -> list[str]:
    """The paths of a pool; rows that came from memory lie in the run folder, so that running a cell twice is one run."""
    if out is None or not source.spooled:
        return list(source.paths)
    from assay import outputs
    from assay.io import frames

    place = mirror.folder(out)
    outputs.refuse_others(place)
    return [files.address(path) for path in frames.settle(source.paths, str(place / "pool"))]


def _source(pool: Any) -> Pool:
    return pool if isinstance(pool, Pool) else read(pool)


def _listed(value: Any) -> list[Any]:
    """One thing, or several, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _each(examples: Any) -> list[Any]:
    """Sets of examples: several in a list, or one, which may itself be a list of rows."""
    rows = isinstance(examples, list | tuple) and bool(examples) and isinstance(examples[0], dict)
    return [] if examples is None else [examples] if rows else _listed(examples)


def _folder(run: str | Path | Run) -> str:
    from assay.runs import Run

    return files.address(run.path) if isinstance(run, Run) else str(run)


def verify(
    run: Run | str | Path,
    *,
    eval: Any,
    general: Any = None,
    tasks: Any = None,
    against: str | Path | Run | Sequence[str | Path | Run] = "random",
    proxy: str | Sequence[str] = "ngram",
    rivals: Sequence[str] = ("length",),
    seeds: int | None = None,
    epochs: int = 1,
    units: int | str | None = None,
    instructions: bool = False,
    sweep: str | None = None,
    shares: str | Sequence[str | float] | None = None,
    decontaminate: bool = False,
    cache: str | Path | None = None,
    workers: int | None = 1,
    engine: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Test a run's choice against random at equal bytes; returns what `verdict.json` holds.

    Raises InputError where the eval set overlaps the pool, unless `decontaminate`.
    """
    from assay import trial
    from assay.runs import Run

    if eval is None:
        raise RecipeError("verify needs eval: held-out text of what you want")
    asked = trial.asking({
        "eval": _source(eval).paths, "general": () if general is None else _source(general).paths,
        "tasks": _listed(tasks or ()), "against": [_folder(one) for one in _listed(against)], "proxy": _listed(proxy),
        "rivals": _listed(rivals), "seeds": seeds, "epochs": epochs, "units": units, "instructions": instructions,
        "decontaminate": decontaminate, "cache": None if cache is None else str(cache),
        "sweep": sweep, "shares": SHARES if shares is None else _listed(shares),
    })  # fmt: skip
    crew = _how(workers, None, None, engine, address).crew()
    return trial.verify(run if isinstance(run, Run) else Run(mirror.folder(run)), asked, crew)


def mix(
    pool: Any = None,
    *,
    eval: Any = None,
    method: str = "regmix",
    domains: str | None = None,
    trials: str | Path | Sequence[str | Path] = (),
    loss: str | Sequence[str] = (),
    proxy: str = "ngram",
    tried: int = 128,
    units: str | None = None,
    budget: str | int | None = None,
    epochs_limit: float = 4.0,
    set: str | Sequence[str] = (),
    tokenizer: str | None = None,
    decontaminate: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    workers: int | None = 1,
    engine: str | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Try mixtures of the pool's domains and say which to train on; returns what `mixture.json` holds, the command's words.

    `pool` is what `select` takes, or None where `trials` are given; several `eval` are several losses. Raises InputError where
    held-out text stands in the pool, unless `decontaminate`.
    """
    from assay import commands, mixing

    source = Pool(()) if pool is None else _source(pool)
    asked = commands.mixing_asked(flags.given({
        "eval": [path for one in _each(eval) for path in _source(one).paths], "method": method,
        "domains": domains or source.read.get("source_field"), "trials": _listed(trials), "loss": _several(loss),
        "proxy": proxy, "tried": tried, "units": units, "budget": None if budget is None else str(budget),
        "epochs_limit": epochs_limit, "set": _several(set), "tokenizer": tokenizer, "decontaminate": decontaminate, "seed": seed,
    }), dict(source.read))  # fmt: skip
    paths = _settled(source, out) if source.paths else []
    return mixing.mix(paths, asked, _place(out), _how(workers, None, None, engine, address).crew())
