"""The verdict in words: one sentence that a person can act on, from the facts of `verdict.json` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from assay.verify.intervals import MOST_SEEDS
from assay.verify.multiplier import Multiplier

METRICS = {"bits_per_byte": "bits per byte", "error": "wrong answers per item"}
_BY = {"better": "better than", "worse": "worse than", "undecided": "not told apart from"}


def sentence(facts: Mapping[str, Any], shared: Sequence[str]) -> str:
    """What was found, what else the trials say, how far it reaches, and a note where selector and judge look at the same
    thing (`shared` features)."""
    parts = [
        f"{facts['answer']}: {_reached(facts)}; {worth(Multiplier(**facts['multiplier']), _reach(facts))}.",
        settling(facts),
        beside(facts.get("comparisons") or ()),
        _breadth(facts),
        tasks(facts.get("tasks") or (), facts["against"]),
        f"Scope: {scope(facts['scope'])}." if facts.get("scope") else "",
    ]
    if shared:
        parts.append(
            f"Note: the selector ({facts['selector']['name']}) and the judge ({facts['judge']['name']}) both look at "
            f"{' and '.join(shared)}."
        )
    return " ".join(part for part in parts if part)


def _reached(facts: Mapping[str, Any]) -> str:
    reference = [arm["metric"] for arm in facts["arms"] if arm["name"] == facts["against"]]
    if facts["against"] == "random" and not reference:  # the choice is as large as the pool: every draw is the pool
        reference = [arm["metric"] for arm in facts["arms"] if arm["name"] == "pool"]
    choice = float(np.mean([arm["metric"] for arm in facts["arms"] if arm["name"] == "choice"]))
    over = f" ({min(reference):.3f} to {max(reference):.3f} over {len(reference)} draws)" if len(reference) > 1 else ""
    between, metric = facts["difference"], facts.get("metric", "bits_per_byte")
    where = f"on {facts['on']} " if facts.get("on") else ""
    return (
        f"{where}the choice reaches {choice:.3f} {METRICS.get(metric, metric)} against {np.mean(reference):.3f}{over} "
        f"for {facts['against']} at the same {_budget(facts['budget'])}, {100 * (1 - facts['level']):g} % "
        f"interval of the difference {between['low']:.3f} to {between['high']:.3f}, probability of being better "
        f"{probability(facts['p_better'])}"
    )


def _budget(budget: Mapping[str, Any]) -> str:
    units = budget.get("units", budget["bytes"])
    return "budget" if units is None else amount(units, budget.get("unit", "bytes"))


def _reach(facts: Mapping[str, Any]) -> float:
    """The largest budget of random's curve in budgets of the choice."""
    own = next((arm.get("bytes") for arm in facts["arms"] if arm["name"] == "choice"), None)
    sizes = [point["bytes"] for point in facts["curve"]]
    return max(sizes) / (own or max(sizes)) if sizes else 0.0


def settling(facts: Mapping[str, Any]) -> str:
    """How many seeds would settle it, where it is not settled.

    >>> settling({"answer": "undecided", "seeds_to_settle": 12, "seeds": 5})
    'If the difference stays as found, 12 seeds would settle it.'
    """
    if facts["answer"] != "undecided" or "seeds_to_settle" not in facts:
        return ""
    if facts["seeds_to_settle"] is not None:
        return f"If the difference stays as found, {facts['seeds_to_settle']:,} seeds would settle it."
    if not facts["difference"]["low"] <= 0 <= facts["difference"]["high"]:
        return ""  # settled alone, but not beside the other tasks
    return (
        f"No number of seeds up to {MOST_SEEDS:,} would settle it if the difference stays as found, because a choice is "
        "one draw; more held-out text or a larger budget might."
    )


def beside(comparisons: Iterable[Mapping[str, Any]]) -> str:
    """The answers against the other arms.

    >>> beside([{"against": "length", "main": False, "answer": "better"}])
    'It is better than length.'
    """
    others = [one for one in comparisons if not one["main"]]
    groups = {words: [one["against"] for one in others if one["answer"] == answer] for answer, words in _BY.items()}
    found = ", ".join(f"{words} {' and '.join(names)}" for words, names in groups.items() if names)
    several = f" (corrected for {len(others)} comparisons)" if len(others) > 1 else ""
    return f"It is {found}{several}." if others else ""


def _breadth(facts: Mapping[str, Any]) -> str:
    if not facts.get("general"):
        return ""
    between = facts["general"]["difference"]
    return (
        f"On general text it is {_BY[facts['general']['answer']]} {facts['against']} "
        f"(difference {between['estimate']:.3f}, {between['low']:.3f} to {between['high']:.3f})."
    )


def tasks(found: Sequence[Mapping[str, Any]], against: str) -> str:
    """The answers on tasks.

    >>> tasks([{"name": "boolq", "answer": "better"}, {"name": "piqa", "answer": "undecided"}], "random")
    'Against random it is better on boolq and undecided on piqa (corrected for 2 tasks).'
    """
    groups = {answer: [one["name"] for one in found if one["answer"] == answer] for answer in _BY}
    said = " and ".join(f"{answer} on {', '.join(names)}" for answer, names in groups.items() if names)
    several = f" (corrected for {len(found)} tasks)" if len(found) > 1 else ""
    return f"Against {against} it is {said}{several}." if found else ""


def scope(facts: Mapping[str, Any]) -> str:
    """What a verdict holds for.

    >>> scope({"proxy": "lm-nano", "parameters": 330_000, "unit": "tokens", "units": 2_000_000, "seeds": 3, "epochs": 1,
    ...        "held": 200, "kind": "documents", "eval": "target.jsonl"})
    'lm-nano (0.33 M parameters), 2.0 M tokens per arm, 3 seeds, 1 epoch, 200 documents of target.jsonl'
    """
    size = f" ({parameters(facts['parameters'])} parameters)" if facts["parameters"] else ""
    read = "" if facts["units"] is None else f", {amount(facts['units'], facts['unit'])} per arm"
    passes = "" if facts["epochs"] is None else f", {facts['epochs']} epoch{'s' * (facts['epochs'] != 1)}"
    held = "" if facts["held"] is None else f"{facts['held']:,} {facts['kind']} of "
    return f"{facts['proxy']}{size}{read}, {facts['seeds']} seeds{passes}, {held}{facts['eval']}"


def parameters(count: int) -> str:
    """How large a model is.

    >>> parameters(330_112), parameters(10_500_000), parameters(7_000_000_000)
    ('0.33 M', '10 M', '7 B')
    """
    return f"{count / 1e9:.2g} B" if count >= 1e9 else f"{count / 1e6:.2g} M"


def worth(found: Multiplier, largest: float | None = None) -> str:
    """The multiplier in words; `largest` is how many times the choice's budget random was tried at.

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


def amount(size: int, unit: str = "bytes") -> str:
    """Bytes, tokens or another unit as people say them.

    >>> amount(1_234_567), amount(99_990), amount(999), amount(2_000_000, "tokens"), amount(250_000, "tokens")
    ('1.2 MB', '100 kB', '999 bytes', '2.0 M tokens', '250 k tokens')
    """
    names = ("GB", "MB", "kB") if unit == "bytes" else (f"B {unit}", f"M {unit}", f"k {unit}")
    for name, scale in zip(names, (10**9, 10**6, 10**3), strict=True):
        if size >= scale:
            return f"{size / scale:.1f} {name}" if size < 9.95 * scale else f"{size / scale:.0f} {name}"
    return f"{size} {unit}"


def probability(value: float) -> str:
    """A probability to two digits, never 0 or 1.

    >>> probability(0.9999), probability(0.5)
    ('> 0.99', '0.50')
    """
    return "> 0.99" if value > 0.99 else "< 0.01" if value < 0.01 else f"{value:.2f}"
