"""The verdict: what the trials say, as facts for `verdict.json` and as one sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from assay.errors import RunError
from assay.verify import intervals
from assay.verify.arms import Plan, Trial
from assay.verify.intervals import Difference
from assay.verify.judge import Held, Judge, Result
from assay.verify.multiplier import Multiplier, multiplier


@final
@dataclass(frozen=True)
class Question:
    """What was asked: the eval set, a general one or None, the arm to beat, who chose and what that looks at."""

    held: Held
    general: Held | None = None
    against: str = "random"
    selector: str = "choice"
    selector_features: tuple[str, ...] = ()

    @property
    def sets(self) -> tuple[Held, ...]:
        """The eval sets in the order in which trials measure them."""
        return (self.held,) if self.general is None else (self.held, self.general)


@final
@dataclass(frozen=True)
class Measured:
    """The trials' bits on one eval set: fixed arms by name `(d,)`, and random's curve."""

    fixed: Mapping[str, Float64[np.ndarray, "d"]]
    curve: Float64[np.ndarray, "p m d"]

    @classmethod
    def of(cls, results: Sequence[Result], plan: Plan, trial: Trial, which: int) -> Measured:
        """The results on one eval set; where a budget is the whole pool, every draw of random is the pool itself."""
        bits = {(one.name, one.seed, one.budget): one.bits[which] for one in results}
        missing = [arm.name for arm in plan.arms if (arm.name, arm.seed, arm.budget) not in bits]
        if missing:
            raise RunError(f"verify needs a result for each of {len(plan.arms)} arms; missing: {', '.join(missing)}")
        fixed = {name: found for (name, _, _), found in bits.items() if name != "random"}
        curve = [
            [bits.get(("random", seed, int(size)), fixed["pool"]) for seed in range(trial.seeds)]
            for size in plan.budgets
        ]
        return cls(fixed, np.array(curve))

    def compare(self, against: str, plan: Plan, held: Held, level: float) -> Difference:
        """The choice against random, or against another fixed arm."""
        sizes, draws = held.documents.sizes, self.curve[plan.start]
        if against == "random":
            return intervals.against_random(self.fixed["choice"], draws, sizes, level)
        return intervals.against_fixed(self.fixed["choice"], self.fixed[against], draws, sizes, level)


def verdict(plan: Plan, results: Sequence[Result], trial: Trial, judge: Judge, question: Question) -> dict[str, Any]:
    """All that `verdict.json` says about the trials; the caller adds overlap, selection cost, digest and time."""
    measured = [Measured.of(results, plan, trial, which) for which in range(len(question.sets))]
    sizes = question.held.documents.sizes
    found = measured[0].compare(question.against, plan, question.held, trial.level)
    worth = multiplier(measured[0].fixed["choice"], measured[0].curve, plan.budgets, sizes, plan.start, trial.level)
    shared = sorted(set(judge.features) & set(question.selector_features))
    facts = {
        "answer": found.answer,
        "p_better": found.p_better,
        "level": trial.level,
        "against": question.against,
        "difference": _bounds(found),
        "multiplier": asdict(worth),
        "metric": "bits_per_byte",
        "budget": {"bytes": plan.budget, "tokens": None},
        "arms": _arms(results, plan, question),
        "curve": _curve(measured[0], plan, question.held),
        "judge": {"name": judge.name, "config": judge.described(), "features": list(judge.features)},
        "selector": {"name": question.selector, "features": list(question.selector_features)},
        "shares_features": bool(shared),
        "eval": question.held.described(),
        "general": _general(measured, plan, question, trial),
        "notes": list(plan.notes),
    }
    return {**facts, "sentence": sentence(facts, shared)}


def _bounds(found: Difference) -> dict[str, float]:
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def _general(measured: list[Measured], plan: Plan, question: Question, trial: Trial) -> dict[str, Any] | None:
    if question.general is None:
        return None
    found = measured[1].compare(question.against, plan, question.general, trial.level)
    return {**question.general.described(), "difference": _bounds(found), "answer": found.answer}


def _arms(results: Sequence[Result], plan: Plan, question: Question) -> list[dict[str, Any]]:
    """One line for each arm at the budget that is compared, and for the pool; choice first."""
    rank = {"choice": 0, "random": 2, "pool": 3}
    metrics = [one.documents.sizes for one in question.sets]
    shown = [one for one in results if one.budget == plan.budget or one.name == "pool"]
    return [
        {
            "name": one.name,
            "seed": one.seed,
            "bytes": one.budget,
            "rows": one.rows,
            "metric": float(intervals.metric(one.bits[0], metrics[0])),
            "general": float(intervals.metric(one.bits[1], metrics[1])) if len(metrics) > 1 else None,
        }
        for one in sorted(shown, key=lambda one: (rank.get(one.name, 1), one.name, one.seed))
    ]


def _curve(measured: Measured, plan: Plan, held: Held) -> list[dict[str, Any]]:
    metrics = intervals.metric(measured.curve, held.documents.sizes)
    return [
        {"bytes": int(size), "seed": seed, "metric": float(value)}
        for size, row in zip(plan.budgets, metrics, strict=True)
        for seed, value in enumerate(row)
    ]


def sentence(facts: Mapping[str, Any], shared: Sequence[str]) -> str:
    """One sentence that a person can act on, and a note where selector and judge look at the same thing."""
    reference = [arm["metric"] for arm in facts["arms"] if arm["name"] == facts["against"]]
    if facts["against"] == "random" and not reference:  # the choice is as large as the pool: every draw is the pool
        reference = [arm["metric"] for arm in facts["arms"] if arm["name"] == "pool"]
    choice = next(arm["metric"] for arm in facts["arms"] if arm["name"] == "choice")
    over = f" ({min(reference):.3f} to {max(reference):.3f} over {len(reference)} draws)" if len(reference) > 1 else ""
    between = facts["difference"]
    largest = max((point["bytes"] for point in facts["curve"]), default=0) / facts["budget"]["bytes"]
    parts = [
        f"{facts['answer']}: the choice reaches {choice:.3f} bits per byte against {np.mean(reference):.3f}{over} "
        f"for {facts['against']} at the same {amount(facts['budget']['bytes'])}, {100 * (1 - facts['level']):g} % "
        f"interval of the difference {between['low']:.3f} to {between['high']:.3f}, probability of being better "
        f"{probability(facts['p_better'])}; {worth(Multiplier(**facts['multiplier']), largest)}."
    ]
    if facts["general"]:
        parts.append(_breadth(facts))
    if shared:
        parts.append(
            f"Note: the selector ({facts['selector']['name']}) and the judge ({facts['judge']['name']}) both look at "
            f"{' and '.join(shared)}."
        )
    return " ".join(parts)


def _breadth(facts: Mapping[str, Any]) -> str:
    by = {"better": "better than", "worse": "worse than", "undecided": "not told apart from"}
    between = facts["general"]["difference"]
    return (
        f"On general text it is {by[facts['general']['answer']]} {facts['against']} "
        f"(difference {between['estimate']:.3f}, {between['low']:.3f} to {between['high']:.3f})."
    )


def worth(found: Multiplier, largest: float | None = None) -> str:
    """The multiplier in words; `largest` is how many times the choice's bytes random was tried at.

    >>> worth(Multiplier(4.12, 3.2, 5.0, False)), worth(Multiplier(None, 8.0, None, True))
    ('worth 4.1 (3.2 to 5) times as much random text', 'worth at least 8 times as much random text')
    """
    low, high = found.low, found.high
    if found.estimate is None and low is None and high is None:
        return "how much random text it is worth cannot be told from these trials"
    if found.estimate is None:
        beyond = low is not None and largest is not None and low < largest
        tail = f" (the estimate lies beyond the {largest:.2g} times that random was tried at)" if beyond else ""
        return f"worth {_range(low, high)} times as much random text{tail}"
    between = f" ({_range(low, high)})" if low is not None or high is not None else ""
    return f"worth {found.estimate:.2g}{between} times as much random text"


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:.2g} to {high:.2g}"
    return f"at least {low:.2g}" if low is not None else f"at most {high:.2g}"


def amount(size: int) -> str:
    """Bytes as people say them.

    >>> amount(1_234_567), amount(99_990), amount(999)
    ('1.2 MB', '100 kB', '999 bytes')
    """
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 9.95 * scale else f"{size / scale:.0f} {unit}"
    return f"{size} bytes"


def probability(value: float) -> str:
    """A probability to two digits, never 0 or 1.

    >>> probability(0.9999), probability(0.5)
    ('> 0.99', '0.50')
    """
    return "> 0.99" if value > 0.99 else "< 0.01" if value < 0.01 else f"{value:.2f}"
