"""The verdict: what the trials say, as facts for `verdict.json` and as one sentence for a person (words.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from assay.errors import RunError
from assay.verify import intervals
from assay.verify.arms import Plan, Trial
from assay.verify.choices import Choices, at_chance
from assay.verify.comparisons import Measured, bounds, comparisons, corrected
from assay.verify.cost import time_to_quality
from assay.verify.judge import EvalSet, Judge, Result
from assay.verify.multiplier import LEAST_BUDGETS, Multiplier, multiplier
from assay.verify.power_law import multiplier_power_law
from assay.verify.words import sentence


@final
@dataclass(frozen=True)
class Question:
    """What was asked: the eval set that decides, a general one or None, the arm to beat, who chose and what that looks at, and
    tasks beside."""

    held: EvalSet
    general: EvalSet | None = None
    against: str = "random"
    selector: str = "choice"
    selector_features: tuple[str, ...] = ()
    tasks: tuple[EvalSet, ...] = ()

    @property
    def sets(self) -> tuple[EvalSet, ...]:
        """The eval sets in the order in which trials measure them."""
        general = () if self.general is None else (self.general,)
        return (self.held, *general, *self.tasks)

    @property
    def first_task(self) -> int:
        """Where the tasks begin among the sets."""
        return len(self.sets) - len(self.tasks)


@final
@dataclass(frozen=True)
class Paid:
    """What the caller knows of the choice: seconds that selecting took, and bytes of the choice's arm where units are not
    bytes."""

    selecting: float | None = None
    bytes: int | None = None


def measured(results: Sequence[Result], plan: Plan, trial: Trial, held: EvalSet, which: int) -> dict[str, Measured]:
    """Every metric of one eval set, by name; where a budget is the whole pool, every draw of random is the pool itself."""
    reads = {(one.name, one.seed, one.budget): held.reads(one.bits[which]) for one in results}
    missing = sorted({arm.name for arm in plan.arms if (arm.name, arm.seed, arm.budget) not in reads})
    if missing:
        raise RunError(f"verify needs a result for each of {len(plan.arms)} arms; missing: {', '.join(missing)}")
    pool = next((read for (name, _, _), read in reads.items() if name == "pool"), None)
    at = [arm for arm in plan.arms if arm.name not in ("random", "pool")]
    found = {}
    for metric, (_, sizes) in next(iter(reads.values())).items():
        arms = {
            name: np.array([reads[name, arm.seed, arm.budget][metric][0] for arm in at if arm.name == name])
            for name in dict.fromkeys(arm.name for arm in at)
        }
        curve = [
            [reads.get(("random", seed, int(size)), pool)[metric][0] for seed in range(trial.seeds)]
            for size in plan.budgets
        ]
        found[metric] = Measured(arms, np.array(curve), sizes, plan.budgets, plan.start)
    return found


def verdict(
    plan: Plan, results: Sequence[Result], trial: Trial, judge: Judge, question: Question, paid: Paid | None = None
) -> dict[str, Any]:
    """All that `verdict.json` says about the trials; the caller adds overlap, selection cost, digest and time."""
    sets = [measured(results, plan, trial, held, which) for which, held in enumerate(question.sets)]
    metric, main = next(iter(sets[0].items()))
    paid = paid or Paid()
    shared = sorted(set(judge.features) & set(question.selector_features))
    weighed = weigh(main, question.against, trial.level)
    worth = Multiplier(**weighed["multiplier"])
    facts = {
        **weighed,
        "metric": metric,
        "seeds": trial.seeds,
        "budget": _budget(plan, judge, paid),
        "arms": _arms(results, plan, question, judge),
        "curve": _curve(main, judge),
        "judge": {"name": judge.name, "config": judge.described(), "features": list(judge.features)},
        "selector": {"name": question.selector, "features": list(question.selector_features)},
        "shares_features": bool(shared),
        "eval": question.held.described(),
        "general": _general(sets, question, trial),
        "tasks": _tasks(sets[question.first_task :], question, trial),
        "scope": _scope(plan, trial, judge, question),
        "time_to_quality": None if paid.selecting is None else time_to_quality(paid.selecting, results, plan, worth),
        "notes": [*plan.notes, *_at_chance(results, plan, trial, judge, question)],
    }
    return {**facts, "sentence": sentence(facts, shared)}


def weigh(found: Measured, against: str, level: float) -> dict[str, Any]:
    """The answer and everything statistical that one metric of the arms says."""
    main = found.compare(against, level)
    given = found.arms["choice"], found.curve, found.budgets, found.sizes, found.start, level
    none = Multiplier(None, None, None, True)
    enough = len(found.budgets) >= LEAST_BUDGETS
    law, fitted = multiplier_power_law(*given) if enough else (none, None)
    return {
        "answer": main.answer,
        "p_better": main.p_better,
        "p": main.p,
        "level": level,
        "against": against,
        "difference": bounds(main),
        "multiplier": asdict(multiplier(*given) if enough else none),
        "multiplier_power_law": {**asdict(law), "law": None if fitted is None else asdict(fitted)},
        "seeds_to_settle": intervals.seeds_to_settle(main, level),
        "comparisons": comparisons(found, against, level),
    }


def _budget(plan: Plan, judge: Judge, paid: Paid) -> dict[str, Any]:
    """What every compared arm is trained on, in the judge's units and in others as far as they are known."""
    passes, inbytes = _epochs(plan), judge.unit == "bytes"
    return {
        "unit": judge.unit,
        "units": plan.budget,
        "bytes": plan.budget if inbytes else paid.bytes,
        "tokens": None if inbytes else plan.budget,
        "epochs": passes,
        "steps": None if inbytes else plan.budget * passes // judge.step,
    }


def _epochs(plan: Plan) -> int:
    return max(len(arm.passes) for arm in plan.arms)


def _scope(plan: Plan, trial: Trial, judge: Judge, question: Question) -> dict[str, Any]:
    """What the verdict holds for."""
    told = question.held.described()
    kind = "documents" if "documents" in told else "items"
    return {
        "proxy": judge.name,
        "parameters": judge.described().get("parameters"),
        "unit": judge.unit,
        "units": plan.budget,
        "seeds": trial.seeds,
        "epochs": _epochs(plan),
        "held": told[kind],
        "kind": kind,
        "eval": question.held.path,
    }


def _general(sets: Sequence[Mapping[str, Measured]], question: Question, trial: Trial) -> dict[str, Any] | None:
    if question.general is None:
        return None
    found = next(iter(sets[1].values())).compare(question.against, trial.level)
    return {**question.general.described(), "difference": bounds(found), "answer": found.answer}


def _tasks(sets: Sequence[Mapping[str, Measured]], question: Question, trial: Trial) -> list[dict[str, Any]]:
    """The choice against the arm to beat on every task: each task's first metric answers, corrected for their number."""
    told = [task.described() for task in question.tasks]
    names = [str(one.get("name", one["path"])) for one in told]
    found = [{metric: one.compare(question.against, trial.level) for metric, one in each.items()} for each in sets]
    first = corrected({str(at): next(iter(one.values())) for at, one in enumerate(found)}, trial.level)
    return [
        {
            **told[at],
            "name": names[at],
            "metric": next(iter(each)),
            "answer": first[str(at)][1],
            "p_adjusted": first[str(at)][0],
            "metrics": {
                metric: {
                    "choice": each[metric].mean("choice"),
                    "reference": each[metric].mean(question.against),
                    "difference": bounds(one),
                    "p": one.p,
                    "answer": one.answer,
                }
                for metric, one in found[at].items()
            },
        }
        for at, each in enumerate(sets)
    ]


def _at_chance(results: Sequence[Result], plan: Plan, trial: Trial, judge: Judge, question: Question) -> Iterator[str]:
    """A sentence for every task on which no arm's accuracy is above chance."""
    for at, task in enumerate(question.tasks):
        arms = [one.bits[question.first_task + at] for one in results if one.budget == plan.budget]
        told = at_chance(task, arms, judge.name, trial.level) if isinstance(task, Choices) else None
        if told is not None:
            yield told


def _arms(results: Sequence[Result], plan: Plan, question: Question, judge: Judge) -> list[dict[str, Any]]:
    """One line for each arm at the budget that is compared, and for the pool; choice first. `bytes` are units of `unit`."""
    rank = {"choice": 0, "random": 2, "pool": 3}
    shown = [one for one in results if one.budget == plan.budget or one.name == "pool"]
    return [
        {
            "name": one.name,
            "seed": one.seed,
            "bytes": one.budget,
            "unit": judge.unit,
            "rows": one.rows,
            "metric": _first(question.held, one, 0),
            "general": None if question.general is None else _first(question.general, one, 1),
            "tasks": {
                str(task.described().get("name", task.path)): task.measures(one.bits[question.first_task + at])
                for at, task in enumerate(question.tasks)
            },
        }
        for one in sorted(shown, key=lambda one: (rank.get(one.name, 1), one.name, one.seed))
    ]


def _first(held: EvalSet, result: Result, which: int) -> float:
    """The metric that decides."""
    return float(intervals.metric(*next(iter(held.reads(result.bits[which]).values()))))


def _curve(found: Measured, judge: Judge) -> list[dict[str, Any]]:
    metrics = intervals.metric(found.curve, found.sizes)
    return [
        {"bytes": int(size), "unit": judge.unit, "seed": seed, "metric": float(value)}
        for size, row in zip(found.budgets, metrics, strict=True)
        for seed, value in enumerate(row)
    ]
