"""Group steps: which rows belong together, and which row of several stays.

A row is preferred by what `keep` says (the best score, the longest, the first), then by length, then by content, and only
then by its number, so that for `best` and `longest` the texts that stay do not depend on the order of the pool.

Columns of all rows are what a large pool costs here: they are of the smallest type and few at a time, 60 bytes a row with
the row table while rows are sorted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64

from assay import catalog
from assay.contracts import Engine, Grouper
from assay.errors import RecipeError, suggest
from assay.io import mirror, spill, store
from assay.recipe import Recipe
from assay.run.passes import Pool
from assay.run.table import row_type
from assay.state import Columns, State
from assay.steps import Step
from assay.types import Groups, Signals

EXAMPLES = 5


def apply_group(step: Step, number: int, state: State, recipe: Recipe, columns: Columns, engine: Engine) -> None:
    """Group the living rows, keep the signals that come of it, and drop what `keep` or `at_most` says."""
    grouper: Grouper = catalog.build("group", step.name, step.parameters)
    keep = step.keep or "longest"
    order = preference(keep, state, columns, state.pool.living) if "order" in grouper.needs else None
    groups, signals = _grouped(grouper, step, state, recipe, columns, order, engine)
    if grouper.gives == "cells" and groups is not None:
        signals = Signals({step.name: groups.ids, **signals.columns})
        groups = None
    for name, values in signals.columns.items():
        shown = name.replace(step.name, step.alias, 1) if step.alias != step.name else name
        made = store.digest("group", step.name, state.pool.fingerprint, name, spill.digest_array(values))
        file = f"score-{made}.npy"
        state.pool.keep_column(file, values)
        state.signals[shown], state.files[shown] = values, file
    if groups is not None and len(groups.ids):
        order = preference(keep, state, columns, state.pool.living) if order is None else order
        _keep_one(step, number, keep, groups.ids, order, state)
    elif step.at_most is not None:
        _drop_above(step, number, keep, signals, state)


def _grouped(
    grouper: Grouper,
    step: Step,
    state: State,
    recipe: Recipe,
    columns: Columns,
    order: np.ndarray | None,
    engine: Engine,
) -> tuple[Groups | None, Signals]:
    """What the grouper gives, from the store where an earlier run of the same pool left it."""
    pool = state.pool
    read = _read(grouper, step, columns, pool)
    given = Signals({**read, **({} if order is None else {"order": order})})
    made = store.digest([spill.digest_array(values) for values in given.columns.values()], recipe.seed)
    source = catalog.source_digest("group", step.name)
    folder = pool.store.root / "groups" / store.digest(source, grouper, pool.fingerprint, pool.alive_key(), made)
    with pool.paid(f"group {step.name}", folder.name):
        if not mirror.present(folder / "names.json"):
            with pool.stage(f"group {step.name}"):
                groups, signals = grouper.group(pool, given, engine, np.random.default_rng(recipe.seed))
            store.lay_down(folder, {**({} if groups is None else {"": groups.ids}), **signals.columns})
    arrays = store.map_arrays(folder)
    ids = arrays.pop("", None)
    return None if ids is None else Groups(ids, ()), Signals(arrays)


def _read(grouper: Grouper, step: Step, columns: Columns, pool: Pool) -> dict[str, np.ndarray]:
    """The signals that a grouper reads, and which rows take part; refused by name where no step before has made one."""
    for name in grouper.reads:
        if name not in columns:
            raise RecipeError(catalog.unmade(step.name, name, columns))
    pool.count()
    return {**{name: columns[name] for name in grouper.reads}, "living": pool.living} if grouper.reads else {}


def preference(keep: str, state: State, columns: Columns, rows: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Every row's place in the order of preference among `rows`, 0 for the most preferred; n for other rows."""
    chosen = np.flatnonzero(rows)
    chosen = chosen[_sorted(keep, state, columns, chosen)]
    order = np.full(len(rows), len(rows), row_type(len(rows)))
    order[chosen] = np.arange(len(chosen), dtype=order.dtype)
    return order


def _sorted(keep: str, state: State, columns: Columns, rows: Int64[np.ndarray, "k"]) -> Int64[np.ndarray, "k"]:
    """Positions in `rows`, which ascend, the most preferred first; the sort is stable, so at last the number decides."""
    if keep == "first":
        return np.arange(len(rows))
    table = state.pool.count()
    keys = [table.hashes[rows], table.sizes[rows]]
    if keep.startswith("best:"):
        keys.append(_score(keep.removeprefix("best:"), columns)[rows])  # NaN comes last
    for key in keys[1:]:
        np.negative(key, out=key)
    return np.lexsort(keys)


def _score(name: str, columns: Columns) -> np.ndarray:
    if name not in columns:
        raise RecipeError(f"keep = 'best:{name}' names no signal; {suggest(name, columns)}")
    values = columns[name]
    if values.dtype.kind not in "fiub":
        raise RecipeError(f"keep = 'best:{name}' must name a signal of numbers; {name} holds words")
    return values.astype(np.float64, copy=False)


def _keep_one(
    step: Step, number: int, keep: str, ids: Int[np.ndarray, "n"], order: Int[np.ndarray, "n"], state: State
) -> None:
    """Of every group of living rows the most preferred, that of the smallest `order`, stays; the others name it."""
    rows, starts = _side_by_side(ids, order, state.pool.living)
    sizes = np.diff(starts, append=len(rows)).astype(order.dtype)
    told = {
        "groups": int((sizes > 1).sum()), "largest": int(sizes.max(initial=0)), "examples": _examples(rows, starts, sizes),
    }  # fmt: skip
    gone, others = np.delete(rows, starts), np.repeat(rows[starts], sizes - 1)
    del rows, starts, sizes
    state.duplicates.append({**_about(step, number, keep, gone, state), **told})
    _let_go(step, gone, others, state)


def _side_by_side(
    ids: Int[np.ndarray, "n"], order: Int[np.ndarray, "n"], living: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "g"]]:
    """The living rows of groups, by group and in it by preference, and where each group starts among them."""
    rows = np.flatnonzero((ids >= 0) & living)
    rows = rows[np.argsort(order[rows])].astype(order.dtype)
    own = ids[rows]
    by_group = np.argsort(own, kind="stable")
    rows, own = rows[by_group], own[by_group]
    opens = np.ones(len(own), bool)
    np.not_equal(own[1:], own[:-1], out=opens[1:])
    return rows, np.flatnonzero(opens).astype(order.dtype)


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
