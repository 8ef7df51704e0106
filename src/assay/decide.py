"""From signals to a selection: the rank, the limit, the quotas, and a reason for every row that stays out."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

from assay import catalog, expressions, general, quotas
from assay.contracts import AIM, Selector
from assay.errors import RecipeError
from assay.recipe import Step, Target
from assay.types import Budget, Groups, Limit, Mixture, Selection, Signals


@final
@dataclass(frozen=True)
class Decision:
    """A selection over the whole pool: what every row scored, and what became of it."""

    selection: Selection
    score: Float[np.ndarray, "n"] | None
    rank_by: str
    limit: Limit
    notes: tuple[str, ...]


def limit_for(budget: Budget, signals: Signals, readable: Bool[np.ndarray, "n"]) -> Limit:
    """The budget in whole units of this pool; refused where it is more than the pool holds."""
    one_each = np.broadcast_to(np.int64(1), len(readable))  # takes no memory, however many rows there are
    cost = one_each if budget.unit == "examples" else signals[budget.unit].astype(np.int64, copy=False)
    total = int(cost.sum(where=readable))
    amount = budget.limit(total)
    if amount > total:
        raise RecipeError(
            f"the budget of {amount:,} {budget.unit} is larger than the pool, which holds {total:,}; ask for less"
        )
    if amount < 1:
        raise RecipeError(f"the budget {budget} of a pool of {total:,} {budget.unit} is less than one; ask for more")
    return Limit(amount, budget.unit, cost)


def decide(
    step: Step,
    signals: Signals,
    groups: Groups | None,
    alive: Bool[np.ndarray, "n"],
    limit: Limit,
    targets: tuple[Target, ...],
    scores: tuple[str, ...],
    seed: int,
) -> Decision:
    """Run the select step over the living rows; `scores` are the names of the signals that score steps made."""
    selector: Selector = catalog.build("select", step.name, step.parameters)
    rank_by = step.rank or (scores[-1] if scores else "")
    if "score" in selector.needs and not rank_by:
        raise RecipeError(
            f"{step.name} ranks by a score and there is none; add a score step, --score-field or --scores"
        )
    if len(targets) < 2 or "score" not in selector.needs:
        ranks = [_rank(rank_by, signals, alive)] if "score" in selector.needs else [None]
        shares = np.ones(1)
    else:
        ranks = [_rank(rank_by, per_target(signals, target, scores), alive) for target in targets]
        shares = np.array([target.share for target in targets]) / sum(target.share for target in targets)
    return _choose(step, selector, signals, groups, alive, limit, ranks, shares, rank_by, seed)


def per_target(signals: Signals, target: Target, scores: tuple[str, ...]) -> Signals:
    """Signals in which each score's plain name means the score for this target."""
    plain = {name: signals[f"{name}:{target.name}"] for name in scores if f"{name}:{target.name}" in signals.columns}
    return Signals(ChainMap(plain, signals.columns))


def _choose(
    step: Step,
    selector: Selector,
    signals: Signals,
    groups: Groups | None,
    alive: Bool[np.ndarray, "n"],
    limit: Limit,
    ranks: list[np.ndarray | None],
    shares: np.ndarray,
    rank_by: str,
    seed: int,
) -> Decision:
    """Select for each target in turn from what earlier ones left, on its share of the limit."""
    taken = ~alive
    parts: list[Selection] = []
    amounts = Mixture(tuple(map(str, range(len(ranks)))), shares).split(limit.amount)
    for rank, amount in zip(ranks, amounts, strict=True):
        candidates = np.flatnonzero(~taken if rank is None else ~taken & ~np.isnan(rank))
        part_limit = Limit(int(amount), limit.unit, limit.cost)
        part = _constrained(step, selector, signals, groups, candidates, part_limit, rank, seed)
        taken[part.rows] = True
        parts.append(part)
    selection = parts[0] if len(parts) == 1 else _interleave(parts)
    score = ranks[0] if len(ranks) == 1 else np.fmax.reduce([rank for rank in ranks if rank is not None])
    if not len(selection):
        fits = bool((limit.cost[alive] <= limit.amount).any())
        why = "the row that comes first is larger than the" if fits else "no living row fits a"
        raise RecipeError(f"nothing can be chosen: {why} budget of {limit.amount:,} {limit.unit}; give a larger --budget")
    return Decision(selection, score, rank_by, limit, _notes(selection, limit, step.share))


def _constrained(
    step: Step,
    selector: Selector,
    signals: Signals,
    groups: Groups | None,
    candidates: Int64[np.ndarray, "c"],
    limit: Limit,
    rank: np.ndarray | None,
    seed: int,
) -> Selection:
    ranked = signals if rank is None else signals.adding("score", rank)
    names = (*selector.needs, *selector.reads)
    if lacking := [name for name in selector.reads if name not in ranked.columns]:
        raise RecipeError(catalog.unmade(step.name, lacking[0], ranked.columns))
    needed = {name: ranked[name] for name in names if name != "source"}  # once: some are made when asked for
    in_groups = groups if "source" in selector.needs else None
    hashes = needed.get("row_hash")
    draw = None
    if step.share is not None:
        draw = general.Draw.of(step.share, seed, signals["row_hash"] if hashes is None else hashes, groups)

    def run(rows: Int64[np.ndarray, "c"], part: Limit) -> Selection:
        # Columns of all rows are handed on as they are: a copy of each would be what a large pool costs here.
        near = Signals({name: column if name.startswith(AIM) else _of(column, rows) for name, column in needed.items()})
        inside = None if in_groups is None else Groups(_of(in_groups.ids, rows), in_groups.names)

        def method(within: Limit) -> Selection:
            return selector.select(near, inside, within, np.random.default_rng(seed))

        here = part if len(rows) == len(part.cost) else part.take(rows)
        if draw is None:
            chosen = method(here)
        else:
            chosen = general.select(draw if here is part else draw.take(rows), method, here)
        reasons = {reason: rows[kept] for reason, kept in chosen.reasons.items()}
        return Selection(rows[chosen.rows], chosen.gains, chosen.weights, chosen.nested, reasons, rows[chosen.general])

    if step.quota is None:
        return run(candidates, limit)
    field, bounds = quotas.parse(step.quota)
    if groups is None or field != "source":
        raise RecipeError(f"a quota on {field!r} needs that field as the source; name it with --source-field")
    return quotas.select(bounds, groups, candidates, limit, run)


def _of(column: Shaped[np.ndarray, "n"], rows: Int64[np.ndarray, "c"]) -> Shaped[np.ndarray, "c"]:
    """A column for some rows, which ascend; itself, but only to be read, where these are all."""
    if len(rows) < len(column):
        return column[rows]
    whole = column.view()
    whole.flags.writeable = False
    return whole


def _rank(expression: str, signals: Signals, alive: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    value = expressions.evaluate(expression, signals.columns, alive)
    if value.dtype.kind not in "fiub":
        raise RecipeError(
            f"a rank must be a number for every row; {expression!r} is none: rank by numbers, filter words with --where"
        )
    return value.astype(np.float64, copy=False)


def _interleave(parts: list[Selection]) -> Selection:
    """Targets side by side: order by how far down its own part each row stands."""
    depth = np.concatenate([np.arange(len(part)) / max(len(part), 1) for part in parts])
    order = np.argsort(depth, kind="stable")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])[order] for name in ("rows", "gains", "weights")
    }
    drawn = np.concatenate([part.general for part in parts])
    return Selection(joined["rows"], joined["gains"], joined["weights"], False, quotas.merge_reasons(parts), drawn)


def _notes(selection: Selection, limit: Limit, share: general.Share | None) -> tuple[str, ...]:
    spent = int(limit.cost[selection.rows].sum())
    largest = int(limit.cost[selection.rows].max(initial=0))
    notes: tuple[str, ...] = ()
    if spent + largest < limit.amount:
        notes += (f"the budget allows {limit.amount:,} {limit.unit}; what could be chosen comes to {spent:,}",)
    if share is not None:
        free = int(limit.cost[selection.general].sum())
        rows = "" if limit.unit == "examples" else f", {len(selection.general):,} rows"
        notes += (
            f"{share} of the choice is kept general: {free:,} of {spent:,} {limit.unit}{rows} were drawn at random from what "
            "the method did not choose",
        )
    return notes
