"""A verdict on models that somebody else's trainer made: rows of results in, the same facts as `verdict.py` out.

    {"arm": "choice", "seed": 0, "task": "arc_easy", "metric": "accuracy", "value": 0.431}

One row for each arm, seed, task and metric. The interval is that of intervals.py without the documents' part, which nobody
can see here: it says what another draw and other seeds would have given, not what other questions would. Where the choice
has a result for each of random's seeds they are paired by seed; if those seeds did not share their initial weights, the
interval is wider than it need be and never too narrow. Every task and metric is a question of its own, corrected together
(Holm 1979, comparisons.py); the whole is better where at least one is better and none is worse.

Rows may carry `budget` (any unit, named by `unit`): random's results at five budgets or more give the multiplier. Metrics
where more is better are turned round inside, so that a positive difference always means that the choice is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from assay.errors import InputError
from assay.verify.comparisons import Measured, bounds, corrected
from assay.verify.intervals import LEAST_DRAWS, Answer, Difference, seeds_to_settle
from assay.verify.multiplier import LEAST_BUDGETS
from assay.verify.verdict import weigh
from assay.verify.words import sentence

LOWER = ("bits_per_byte", "loss", "perplexity", "error", "brier")
HIGHER = ("accuracy", "exact_match", "f1")
_ONE = np.ones(1, np.int64)  # a result is one document of size one: there are no others to leave out


@final
@dataclass(frozen=True)
class Row:
    """One result; `bigger` says that more is better, `line` where it stands."""

    line: int
    arm: str
    seed: int
    task: str
    metric: str
    value: float
    bigger: bool
    budget: float | None = None
    unit: str = "units"

    @property
    def loss(self) -> float:
        """The value turned so that less is better."""
        return -self.value if self.bigger else self.value


def rows_of(records: Iterable[Mapping[str, Any]], source: str = "results.jsonl") -> list[Row]:
    """Read results; other keys than those of a row are left alone. Raises InputError, with the line, for one that is none.

    >>> rows_of([{"arm": "choice", "seed": 0, "task": "arc", "metric": "accuracy", "value": 0.4}])[0].loss
    -0.4
    """
    rows, seen = [], {}
    for line, record in enumerate(records, 1):
        row = _row(record, line, f"{source}, line {line}")
        name = (row.arm, row.seed, row.task, row.metric, row.budget)
        if name in seen:
            raise InputError(
                f"{source}, line {line}: an arm must have one value for each seed, task, metric and budget; line {seen[name]} "
                f"holds one for arm {row.arm!r}, seed {row.seed}, task {row.task!r} already: remove one"
            )
        seen[name] = line
        rows.append(row)
    return rows


def _row(record: Mapping[str, Any], line: int, where: str) -> Row:
    if not isinstance(record, Mapping):
        raise InputError(f"{where}: a result must be an object with arm, seed, task, metric and value; got {record!r}")
    for key in ("arm", "task", "metric"):
        if not isinstance(record.get(key), str) or not record[key]:
            raise InputError(f"{where}: {key} must be a word; got {record.get(key)!r}")
    seed, value = record.get("seed"), record.get("value")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(f"{where}: seed must be a whole number; got {seed!r}")
    if not _number(value):
        raise InputError(f"{where}: value must be a finite number; got {value!r}")
    budget = record.get("budget")
    if budget is not None and not (_number(budget) and budget > 0):
        raise InputError(f"{where}: budget must be a number above zero, or left out; got {budget!r}")
    return Row(
        line, record["arm"], seed, record["task"], record["metric"], float(value), _bigger(record, where),
        None if budget is None else float(budget), str(record.get("unit", "units")),
    )  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bigger(record: Mapping[str, Any], where: str) -> bool:
    """Whether more is better, by the row's own word or the metric's name."""
    if isinstance(record.get("bigger"), bool):
        return record["bigger"]
    if record["metric"] in (*LOWER, *HIGHER) and "bigger" not in record:
        return record["metric"] in HIGHER
    raise InputError(
        f'{where}: whether more of {record["metric"]!r} is better must be known; add "bigger": true or false to its rows, or '
        f"use one of {', '.join((*LOWER, *HIGHER))}"
    )


@final
@dataclass(frozen=True)
class Trials:
    """The results on one task by one metric."""

    task: str
    metric: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """Task and metric, as the verdict says them."""
        return f"{self.task} ({self.metric})"

    @property
    def bigger(self) -> bool:
        """Whether more is better; the first row says so."""
        return self.rows[0].bigger

    @property
    def budget(self) -> float | None:
        """That of the choice."""
        return self.of("choice")[0].budget

    @property
    def level(self) -> tuple[Row, ...]:
        """The results at the choice's budget, and the pool's; a row without a budget is at the choice's."""
        return tuple(row for row in self.rows if row.budget in (None, self.budget) or row.arm == "pool")

    def of(self, arm: str) -> tuple[Row, ...]:
        """One arm's results."""
        return tuple(row for row in self.rows if row.arm == arm)

    def check(self, source: str) -> None:
        """Raise a sentence where these results cannot be compared."""
        if any(row.bigger != self.bigger for row in self.rows):
            raise InputError(f"{source}: every row of {self.name} must say the same of `bigger`; they say both")
        if not self.of("choice"):
            raise InputError(f"{source}: {self.name} must have results of the arm 'choice'; it has none")
        if len({row.budget for row in self.of("choice")}) > 1:
            raise InputError(
                f"{source}: all results of the choice on {self.name} must be at one budget; they are at several"
            )
        seeds = self.seeds
        if len(seeds) < LEAST_DRAWS:
            raise InputError(
                f"{source}: {self.name} must have results of the arm 'random' for at least {LEAST_DRAWS} seeds at the choice's "
                f"budget, to know how much random varies; got {len(seeds)}"
            )
        for arm in dict.fromkeys(row.arm for row in self.level if row.arm not in ("random", "pool")):
            own = {row.seed for row in self.level if row.arm == arm}
            if len(own) > 1 and own != set(seeds):
                raise InputError(
                    f"{source}: arm {arm!r} on {self.name} must have one result, or one for each of random's seeds "
                    f"{_listed(seeds)}; it has {_listed(sorted(own))}"
                )

    @property
    def seeds(self) -> list[int]:
        """Random's at the choice's budget."""
        return sorted({row.seed for row in self.level if row.arm == "random"})

    @property
    def budgets(self) -> list[float]:
        """Budgets at which random has every seed; the choice's is among them."""
        if self.budget is None:
            return []
        sizes = {row.budget for row in self.of("random") if row.budget is not None} | {self.budget}
        return sorted(size for size in sizes if len(self._random(size)) == len(self.seeds))

    def _random(self, size: float) -> list[float]:
        at = {
            row.seed: row.loss
            for row in self.of("random")
            if row.budget == size or (row.budget is None and size == self.budget)
        }
        return [at[seed] for seed in self.seeds if seed in at]

    def measured(self) -> Measured:
        """The same as numbers that less is better of, one document of size one each."""
        level = self.level
        arms = {
            arm: _column([row.loss for row in sorted(level, key=lambda row: row.seed) if row.arm == arm])
            for arm in dict.fromkeys(row.arm for row in level if row.arm not in ("random", "pool"))
        }
        sizes = self.budgets or [1.0]
        draws = [row.loss for row in sorted(level, key=lambda row: row.seed) if row.arm == "random"]
        curve = [self._random(size) for size in self.budgets] or [draws]
        return Measured(arms, np.array(curve)[:, :, None], _ONE, np.array(sizes), sizes.index(self.budget or 1.0))


def _column(values: Sequence[float]) -> Float64[np.ndarray, "j 1"]:
    return np.array(values, np.float64)[:, None]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def verdict_of(
    records: Iterable[Mapping[str, Any]], level: float = 0.05, source: str = "results.jsonl", selector: str = "choice"
) -> dict[str, Any]:
    """All that a verdict file says of somebody else's results; the caller adds digest, cost and time.

    >>> def row(arm, seed, value):
    ...     return {"arm": arm, "seed": seed, "task": "held", "metric": "loss", "value": value}
    >>> rows = [row("choice", 0, 2.1), row("random", 0, 2.5), row("random", 1, 2.52), row("random", 2, 2.49)]
    >>> verdict_of(rows)["answer"]
    'better'
    """
    trials = _grouped(rows_of(records, source), source)
    found = {one.name: one.measured().compare("random", level) for one in trials}
    answers = corrected(found, level)
    answer = overall([said for _, said in answers.values()])
    head = next((one for one in trials if answers[one.name][1] == answer), trials[0])
    facts = {
        **weigh(head.measured(), "random", level),
        "answer": answer,
        "seeds_to_settle": seeds_to_settle(found[head.name], level / len(trials)),
        "on": head.task,
        "metric": head.metric,
        "bigger": head.bigger,
        "seeds": len(head.seeds),
        **_told(head, trials, source, selector),
        "tasks": [_task(one, found[one.name], *answers[one.name], level) for one in trials],
        "notes": [note for one in trials for note in _notes(one)],
    }
    return {**facts, "sentence": sentence({**facts, "tasks": facts["tasks"] if len(trials) > 1 else []}, [])}


def overall(answers: Sequence[Answer]) -> Answer:
    """One answer for several corrected ones.

    >>> overall(["better", "undecided"]), overall(["better", "worse"]), overall(["undecided"])
    ('better', 'undecided', 'undecided')
    """
    decided = set(answers) - {"undecided"}
    return decided.pop() if len(decided) == 1 else "undecided"


def _grouped(rows: Sequence[Row], source: str) -> list[Trials]:
    names = dict.fromkeys((row.task, row.metric) for row in rows)
    if not names:
        raise InputError(f"{source} must hold results, one in each line; it holds none")
    found = [Trials(*name, tuple(row for row in rows if (row.task, row.metric) == name)) for name in names]
    for one in found:
        one.check(source)
    return found


def _told(head: Trials, trials: Sequence[Trials], source: str, selector: str) -> dict[str, Any]:
    """What a report reads beside the statistics: budget, arms, curve, who judged."""
    units = _whole(head.budget)
    unit = next((row.unit for row in head.rows if row.budget is not None), "units")
    tasks = list(dict.fromkeys(one.task for one in trials))
    return {
        "budget": {
            "unit": unit, "units": units, "bytes": units if unit == "bytes" else None,
            "tokens": units if unit == "tokens" else None, "epochs": None, "steps": None,
        },
        "arms": _arms(head, unit),
        "curve": [
            {"bytes": _whole(row.budget), "unit": unit, "seed": row.seed, "metric": row.value}
            for row in sorted(head.of("random"), key=lambda row: (row.budget or 0, row.seed))
            if row.budget is not None
        ],
        "judge": {"name": "own trainer", "config": {}, "features": []},
        "selector": {"name": selector, "features": []},
        "eval": {"path": source, "tasks": tasks, "documents": None, "bytes": None, "fingerprint": None},
        "general": None,
        "scope": {
            "proxy": "own trainer", "parameters": None, "unit": unit, "units": units, "seeds": len(head.seeds),
            "epochs": None, "held": None, "kind": "tasks", "eval": f"{', '.join(tasks)} in {source}",
        },
        "time_to_quality": None,
    }  # fmt: skip


def _whole(budget: float | None) -> int | float | None:
    return int(budget) if budget is not None and budget.is_integer() else budget


def _arms(head: Trials, unit: str) -> list[dict[str, Any]]:
    rank = {"choice": 0, "random": 2, "pool": 3}
    return [
        {
            "name": row.arm,
            "seed": row.seed,
            "bytes": _whole(row.budget),
            "unit": unit,
            "rows": None,
            "metric": row.value,
            "general": None,
            "tasks": {},
        }
        for row in sorted(head.level, key=lambda row: (rank.get(row.arm, 1), row.arm, row.seed))
    ]


def _task(one: Trials, found: Difference, p: float, answer: Answer, level: float) -> dict[str, Any]:
    """One task and metric, shaped as a task of `verdict.py`, with its own multiplier and comparisons."""
    weighed, sign = weigh(one.measured(), "random", level), -1 if one.bigger else 1
    measured = one.measured()
    told = {
        "choice": sign * measured.mean("choice"),
        "reference": sign * measured.mean("random"),
        "difference": bounds(found),
        "p": found.p,
        "answer": found.answer,
    }
    return {
        "name": one.name,
        "path": one.task,
        "metric": one.metric,
        "bigger": one.bigger,
        "answer": answer,
        "p_adjusted": p,
        "metrics": {one.metric: told},
        "multiplier": weighed["multiplier"],
        "comparisons": weighed["comparisons"],
    }


def _notes(one: Trials) -> list[str]:
    given = {row.budget for row in one.of("random")} - {None}
    if len(given) > 1 and len(one.budgets) < LEAST_BUDGETS:
        return [
            f"{one.name}: no multiplier, because random has every seed at {len(one.budgets)} budgets; at least "
            f"{LEAST_BUDGETS} are needed"
        ]
    return []
