"""Trials as a table: one line for each mixture that was trained on, its parts and the losses that it reached.

```
trial, weight:code, weight:web, loss:heldout
0,     0.25,        0.75,       2.137
```

So Assay writes them. Tables of other people are read too (CSV, Parquet or JSON lines): losses are the columns whose name holds
`loss`, or those that are named; parts are the columns that begin with `weight:`, or else all other columns of numbers but
those that number lines. Parts may lie in one file and losses in another, joined by the one column that both have.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import polars as pl

from assay.errors import InputError, suggest
from assay.io import files
from assay.io.remote import bare, is_url
from assay.types import Trials

WEIGHT, LOSS = "weight:", "loss:"
_NUMBERING = ("index", "trial", "id", "row", "run", "seed", "step", "units", "seconds")
_ROUNDED = 0.02  # published mixtures are rounded part by part, so that their sums miss one by as much as 0.004
_READERS = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}


def write_trials(path: str, trials: Trials, losses: Sequence[str]) -> None:
    """Write a table of trials; `losses` are the names of their losses."""
    columns: dict[str, np.ndarray] = {"trial": np.arange(len(trials))}
    columns |= {f"{WEIGHT}{name}": trials.spent[:, at] for at, name in enumerate(trials.names)}
    columns |= {f"{LOSS}{name}": trials.losses[:, at] for at, name in enumerate(losses)}
    files.write_bytes(path, pl.DataFrame(columns).write_csv().encode("utf-8"))


def read_trials(paths: Sequence[str], wanted: Sequence[str] = ()) -> tuple[Trials, tuple[str, ...]]:
    """The trials of one or more files, and the names of their losses: those `wanted`, or all; parts are scaled to sum to one.

    Raises InputError for a file that is no such table, and names the line whose parts are no mixture.
    """
    table = _joined([_read(path) for path in paths], paths)
    said = ", ".join(paths)
    numbers = [name for name in table.columns if table[name].dtype.is_numeric()]
    known = [name for name in numbers if name.startswith(LOSS) or "loss" in name.lower() or name in wanted]
    losses = _named(wanted, known, said) or known
    parts = [name for name in numbers if name.startswith(WEIGHT)]
    parts = parts or [name for name in numbers if name not in known and name.lower() not in _NUMBERING]
    if not losses or not parts or not len(table):
        raise InputError(
            f"{said} must hold a line for each trial, with the parts of its mixture and a loss; its columns of numbers are "
            f"{', '.join(numbers) or 'none'}: begin parts with {WEIGHT} and losses with {LOSS}, or name losses with --loss"
        )
    spent = _mixtures(table.select(parts).cast(pl.Float64).to_numpy(), said)
    reached = table.select(losses).cast(pl.Float64).to_numpy()
    if not np.isfinite(reached).all():
        raise InputError(
            f"every loss in {said} must be a number; trial {_first(~np.isfinite(reached))} lacks one: leave it out"
        )
    names = tuple(name.removeprefix(WEIGHT) for name in parts)
    return Trials(names, spent, reached), tuple(name.removeprefix(LOSS) for name in losses)


def _named(wanted: Sequence[str], known: Sequence[str], said: str) -> list[str]:
    """The columns of the losses that are wanted, by their whole name or by what stands after `loss:`."""
    columns = {name.removeprefix(LOSS): name for name in known} | {name: name for name in known}
    for name in wanted:
        if name not in columns:
            raise InputError(f"{said} has no loss {name!r}; {suggest(name, columns)}")
    return [columns[name] for name in wanted]


def _mixtures(parts: np.ndarray, said: str) -> np.ndarray:
    """The parts of each line as a mixture."""
    sums = parts.sum(axis=1, keepdims=True)
    wrong = ~np.isfinite(parts).all(axis=1) | (parts < 0).any(axis=1) | (np.abs(sums[:, 0] - 1) > _ROUNDED)
    if wrong.any():
        line = _first(wrong)
        raise InputError(
            f"the parts of every trial in {said} must not be negative and must sum to 1; those of trial {line} sum to "
            f"{float(sums[line, 0]):.4g}: name losses with --loss if a column of them was taken for a part"
        )
    return parts / sums


def _first(wrong: np.ndarray) -> int:
    return int(np.argwhere(wrong)[0][0])


def _joined(tables: Sequence[pl.DataFrame], paths: Sequence[str]) -> pl.DataFrame:
    """One table out of several that share a column of line numbers."""

    def join(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        both = [name for name in left.columns if name in right.columns]
        if len(both) != 1 or left[both[0]].is_duplicated().any() or right[both[0]].is_duplicated().any():
            raise InputError(
                f"{', '.join(paths)} must have one column in common, which numbers their lines and repeats nothing; they have "
                f"{', '.join(both) or 'none'}"
            )
        return left.join(right, on=both[0], how="inner", maintain_order="left")

    return functools.reduce(join, tables)


def _read(path: str) -> pl.DataFrame:
    reader = _READERS.get(PurePath(bare(path)).suffix)
    if reader is None:
        raise InputError(f"trials must be a .csv, .parquet or .jsonl file; got {path!r}")
    try:
        return reader(files.read_bytes(path) if is_url(path) else path)  # only one door to the network
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"the trials {path!r} cannot be read: {str(error).splitlines()[0]}") from None
