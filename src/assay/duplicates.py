"""Group steps: which rows belong together, and which row of several stays.

A row is preferred by what `keep` says (the best score, the longest, the first), then by length, then by content, and only
then by its number, so that for `best` and `longest` the texts that stay do not depend on the order of the pool.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from assay import catalog
from assay.contracts import Engine, Grouper
from assay.errors import RecipeError, suggest
from assay.io import store
from assay.recipe import Recipe
from assay.state import Columns, State
from assay.steps import Step
from assay.types import Groups, Signals

EXAMPLES = 5


def apply_group(step: Step, number: int, state: State, recipe: Recipe, columns: Columns, engine: Engine) -> None:
    """Group the living rows, keep the signals that come of it, and drop what `keep` or `at_most` says."""
    grouper: Grouper = catalog.build("group", step.name, step.parameters)
    keep = step.keep or "longest"
    order = preference(keep, state, columns, state.pool.living) if "order" in grouper.needs else None
    groups, signals = _grouped(grouper, step, state, recipe, order, engine)
    for name, values in signals.columns.items():
        shown = name.replace(step.name, step.alias, 1) if step.alias != step.name else name
        file = f"score-{store.digest('group', step.name, state.pool.fingerprint, name, values.tobytes())}.npy"
        state.pool.keep_column(file, values)
        state.signals[shown], state.files[shown] = values, file
    if groups is not None and len(groups.ids):
        _keep_one(step, number, keep, groups, state, columns)
    elif step.at_most is not None:
        _drop_above(step, number, keep, signals, state)


def _grouped(
    grouper: Grouper, step: Step, state: State, recipe: Recipe, order: np.ndarray | None, engine: Engine
) -> tuple[Groups | None, Signals]:
    """What the grouper gives, from the store where an earlier run of the same pool left it."""
    pool = state.pool
    made = store.digest("" if order is None else order.tobytes(), recipe.seed)
    source = catalog.source_digest("group", step.name)
    folder = pool.store.root / "groups" / store.digest(source, grouper, pool.fingerprint, pool.alive_key(), made)
    if not (folder / "names.json").exists():
        given = Signals({} if order is None else {"order": order})
        groups, signals = grouper.group(pool, given, engine, np.random.default_rng(recipe.seed))
        store.lay_down(folder, {**({} if groups is None else {"": groups.ids}), **signals.columns})
    arrays = store.map_arrays(folder)
    ids = arrays.pop("", None)
    return None if ids is None else Groups(ids, ()), Signals(arrays)


def preference(keep: str, state: State, columns: Columns, rows: Bool[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """Every row's place in the order of preference among `rows`, 0 for the most preferred; n for other rows."""
    chosen = np.flatnonzero(rows)
    order = np.full(len(rows), len(rows))
    order[chosen[_sorted(keep, state, columns, chosen)]] = np.arange(len(chosen))
    return order


def _sorted(keep: str, state: State, columns: Columns, rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "k"]:
    """Positions in `rows`, the most preferred first."""
    table = state.pool.count()
    keys: list[np.ndarray] = [rows]
    if keep != "first":
        keys += [table.hashes[rows], -table.sizes[rows]]
    if keep.startswith("best:"):
        keys.append(-_score(keep.removeprefix("best:"), columns)[rows])  # NaN comes last
    return np.lexsort(keys)


def _score(name: str, columns: Columns) -> np.ndarray:
    if name not in columns:
        raise RecipeError(f"keep = 'best:{name}' names no signal; {suggest(name, columns)}")
    values = columns[name]
    if values.dtype.kind not in "fiub":
        raise RecipeError(f"keep = 'best:{name}' must name a signal of numbers; {name} holds words")
    return values.astype(np.float64)


def _keep_one(step: Step, number: int, keep: str, groups: Groups, state: State, columns: Columns) -> None:
    """Of every group of living rows the most preferred stays; the others name it."""
    living = state.pool.living
    rows = np.flatnonzero((groups.ids >= 0) & living)
    rank = np.empty(len(rows), np.int64)
    rank[_sorted(keep, state, columns, rows)] = np.arange(len(rows))
    order = np.lexsort((rank, groups.ids[rows]))
    rows, ids = rows[order], groups.ids[rows[order]]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]])) if len(ids) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(ids)))
    stays = np.repeat(rows[starts], sizes)
    gone = rows != stays
    _let_go(step, rows[gone], stays[gone], state)
    state.duplicates.append({
        **_about(step, number, keep, rows[gone], state), "groups": int((sizes > 1).sum()), "largest": int(sizes.max(initial=0)),
        "examples": _examples(rows, starts, sizes),
    })  # fmt: skip


def _examples(rows: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> list[dict[str, Any]]:
    """A few groups of several rows: the row that stays, and some of the others."""
    several = np.flatnonzero(sizes > 1)[:EXAMPLES]
    ends = starts[several] + np.minimum(sizes[several], 1 + EXAMPLES)
    found = zip(starts[several].tolist(), ends.tolist(), strict=True)
    return [{"row": int(rows[start]), "others": rows[start + 1 : stop].tolist()} for start, stop in found]


def _drop_above(step: Step, number: int, keep: str, signals: Signals, state: State) -> None:
    """Rows of which more than `at_most` stands in other rows leave, and name the row that holds most of it."""
    with np.errstate(invalid="ignore"):
        gone = state.pool.living & (signals[step.name] > step.at_most)
    rows = np.flatnonzero(gone)
    others = signals[f"{step.name}_of"][rows].astype(np.int64)
    _let_go(step, rows, others, state)
    examples = [{"row": int(other), "others": [int(row)]} for row, other in zip(rows[:EXAMPLES], others, strict=False)]
    state.duplicates.append({
        **_about(step, number, keep, rows, state), "at_most": step.at_most, "groups": None, "largest": None, "examples": examples,
    })  # fmt: skip


def _about(step: Step, number: int, keep: str, gone: np.ndarray, state: State) -> dict[str, Any]:
    sizes = state.pool.count().sizes
    return {"step": number, "group": step.name, "keep": keep, "rows": len(gone), "bytes": int(sizes[gone].sum())}


def _let_go(step: Step, rows: np.ndarray, others: np.ndarray, state: State) -> None:
    alive = state.pool.living.copy()
    state.fates.size = len(alive)
    state.fates.drop(rows, f"duplicate: {step.alias} of row ", others)
    alive[rows] = False
    state.pool.alive = alive
