"""What a verdict says beside its answer, as lines and tables of text: arms, tasks, proxies, cost and breadth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.report.view import Facts, against, confidence, part, worth
from assay.report.wording import amount, count, duration, interval, number, one_line, probability, times

METRICS = {"bits_per_byte": "bits per byte", "error": "wrong answers per item"}
ARMS = {
    "choice": "what was selected",
    "random": "drawn anew for each seed",
    "length": "random, with the choice's lengths",
    "rs2": "random, drawn anew for each pass",
    "pool": "for context: all of it, or a draw",
    "cleaned": "cleaned, nothing selected",
}


def unit(verdict: Facts) -> str:
    """What the judge reads, and budgets are counted in: bytes or tokens."""
    return one_line((part(verdict, "budget") or {}).get("unit") or "bytes", 20)


def metric(verdict: Facts) -> str:
    """The metric that decides, in words.

    >>> metric({}), metric({"metric": "error"})
    ('bits per byte', 'wrong answers per item')
    """
    name = verdict.get("metric") or "bits_per_byte"
    return METRICS.get(name) or one_line(name, 40)


def direction(verdict: Facts) -> str:
    """Which way the metric that decides is better.

    >>> direction({}), direction({"metric": "accuracy", "bigger": True})
    ('lower is better', 'higher is better')
    """
    return "higher is better" if verdict.get("bigger") else "lower is better"


def split(sentence: str) -> tuple[str, str]:
    """A verdict's first sentence, which answers, and the others, which explain.

    >>> split("Better: 2.2 against 2.4 bits per byte. Scope: ngram, 4.0 MB per arm.")
    ('Better: 2.2 against 2.4 bits per byte.', 'Scope: ngram, 4.0 MB per arm.')
    """
    first, mark, rest = sentence.partition(". ")
    return (f"{first}.", rest) if mark else (sentence, "")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _named(verdict: Facts) -> dict[str, list[Facts]]:
    """Measured arms by name, in their order."""
    found: dict[str, list[Facts]] = {}
    for arm in part(verdict, "arms") or []:
        if arm.get("metric") is not None:
            found.setdefault(str(arm.get("name", "")), []).append(arm)
    return found


def arms(verdict: Facts) -> list[dict[str, str]]:
    """One line for each arm: its mean over seeds, the range, and what the choice is against it, corrected for how many
    comparisons there are."""
    asked = {str(one.get("against")): one for one in part(verdict, "comparisons") or []}
    return [
        {
            "name": one_line(name, 60),
            "what": ARMS.get(name, ""),
            "models": count(len(found)),
            "rows": "" if found[0].get("rows") is None else count(found[0]["rows"]),
            "units": ""
            if found[0].get("bytes") is None
            else amount(found[0]["bytes"], found[0].get("unit") or unit(verdict)),
            "metric": number(_mean([arm["metric"] for arm in found])),
            "range": _range([arm["metric"] for arm in found]),
            "general": _general(found),
            **_compared(asked.get(name), verdict),
        }
        for name, found in _named(verdict).items()
    ]


def corrected(verdict: Facts) -> int:
    """How many comparisons beside the main one were corrected together."""
    return sum(not one.get("main") for one in part(verdict, "comparisons") or [])


def _range(values: Sequence[float]) -> str:
    return interval(min(values), max(values), 4) if len(values) > 1 and min(values) < max(values) else ""


def _general(found: Sequence[Facts]) -> str:
    known = [arm["general"] for arm in found if arm.get("general") is not None]
    return number(_mean(known)) if known else ""


def _compared(one: Facts | None, verdict: Facts) -> dict[str, str]:
    """What the choice is against an arm."""
    if one is None:
        return {"answer": "", "saved": "", "p": ""}
    corrected = "" if one.get("main") else " corrected"
    return {
        "answer": one_line(one.get("answer") or "", 20),
        "saved": _with_bounds(one.get("difference") or {}),
        "p": f"p {probability(one.get('p_adjusted'))}{corrected}" if one.get("p_adjusted") is not None else "",
    }


def tasks(verdict: Facts) -> list[dict[str, str]]:
    """Each task: bits per byte of the right answer, and accuracy beside chance where there is a choice."""
    return [_task(one) for one in part(verdict, "tasks") or []]


def _task(one: Facts) -> dict[str, str]:
    measured, name = one.get("metrics") or {}, one.get("metric") or "bits_per_byte"
    main, error = measured.get(name) or {}, measured.get("error") or {}
    difference = main.get("difference") or {}
    size = one.get("items") or one.get("documents")
    return {
        "name": one_line(one.get("name") or "", 60),
        "size": "" if size is None else count(size),
        "metric": METRICS.get(name) or one_line(name, 40),
        "answer": one_line(one.get("answer") or "", 20),
        "choice": number(main.get("choice")),
        "reference": number(main.get("reference")),
        "saved": _with_bounds(difference),
        "accuracy": _accuracy(error.get("choice")),
        "reference_accuracy": _accuracy(error.get("reference")),
        "chance": _accuracy(None if one.get("chance") is None else 1 - one["chance"]),
        "accuracy_answer": one_line(error.get("answer") or "", 20),
    }


def _accuracy(error: float | None) -> str:
    return "" if error is None else f"{100 * (1 - error):.1f} %"


def proxies(verdict: Facts) -> list[dict[str, str]]:
    """What every proxy says, where there are several; the last one decides."""
    return [
        {
            "name": one_line(one.get("name") or "", 80),
            "units": _spent(one.get("budget") or {}),
            "answer": one_line(one.get("answer") or "", 20),
            "saved": number((one.get("difference") or {}).get("estimate"), 3),
            "bounds": interval((one.get("difference") or {}).get("low"), (one.get("difference") or {}).get("high")),
            "worth": worth(one.get("multiplier") or {}),
        }
        for one in part(verdict, "proxies") or []
    ]


def _spent(budget: Facts) -> str:
    return amount(budget.get("units"), budget.get("unit") or "bytes")


def ranking(verdict: Facts) -> str:
    """Whether several proxies put the arms in the same order; empty where there is one."""
    return one_line((part(verdict, "ranking") or {}).get("sentence") or "", 400)


def cost(verdict: Facts) -> str:
    """Time to quality: selection is charged what it took.

    >>> told = {"selecting_seconds": 2, "training_seconds": 8, "seconds": 10, "random_seconds": 40, "ratio": 4.0}
    >>> cost({"time_to_quality": told})
    'Selecting (2.0 s) and training (8.0 s) take 10.0 s; random needs 40.0 s for the same loss, ×4.0 of it.'
    """
    told = part(verdict, "time_to_quality")
    if told is None:
        return ""
    taken = (
        f"Selecting ({duration(told.get('selecting_seconds'))}) and training ({duration(told.get('training_seconds'))}) "
        f"take {duration(told.get('seconds'))}"
    )
    if told.get("random_seconds") is None:
        return f"{taken}; how long random needs for the same loss cannot be told from these trials."
    least = "at least " if told.get("bound") else ""
    pays = told.get("pays_from")
    tail = f" Selecting pays from {amount(pays, unit(verdict))} of training on." if pays is not None else ""
    ratio = f"{least}{duration(told['random_seconds'])} for the same loss, {least}{times(told.get('ratio'))} of it"
    return f"{taken}; random needs {ratio}.{tail}"


def fitted(verdict: Facts) -> str:
    """What a power law fitted to random's curve makes of the multiplier, where it could be fitted."""
    told = part(verdict, "multiplier_power_law") or {}
    if all(told.get(end) is None for end in ("estimate", "low", "high")):
        return ""
    bounds = f" (interval {interval(told.get('low'), told.get('high'), 2)})" if told.get("estimate") is not None else ""
    return f"A power law with offset, fitted to random's curve, puts the data multiplier at {worth(told)}{bounds}."


def breadth(verdict: Facts) -> list[dict[str, Any]]:
    """Every model but the pool's: what it saves on the target and on general text, in bits per byte against random's mean;
    empty without general text. Points of a sweep over general shares carry `share`."""
    found = {
        name: [arm for arm in each if arm.get("general") is not None]
        for name, each in _named(verdict).items()
        if name != "pool"
    }
    base = found.get("random")
    if not base:
        return []
    target, general = (_mean([arm[key] for arm in base]) for key in ("metric", "general"))
    models = [
        {
            "arm": one_line(name, 60),
            "seed": arm.get("seed"),
            "share": None,
            "target": target - arm["metric"],
            "general": general - arm["general"],
        }
        for name, each in found.items()
        for arm in each
    ]
    return [*models, *_swept(verdict)]


def _swept(verdict: Facts) -> list[dict[str, Any]]:
    """The points of a sweep: its shares are of the choice, that much of it left to chance."""
    given = part(verdict, "sweep") or []
    return [
        {
            "arm": "choice",
            "seed": None,
            "share": one["share"],
            "target": one["gain"]["estimate"],
            "general": one["change"]["estimate"],
        }
        for one in given
        if (one.get("gain") or {}).get("estimate") is not None and (one.get("change") or {}).get("estimate") is not None
    ]


def _with_bounds(difference: Facts) -> str:
    return f"{number(difference.get('estimate'), 3)} ({interval(difference.get('low'), difference.get('high'))})"


def breadth_words(verdict: Facts) -> str:
    """What the choice gains on the target and what that does on general text."""
    told = part(verdict, "general") or {}
    own, other = part(verdict, "difference") or {}, told.get("difference") or {}
    if own.get("estimate") is None or other.get("estimate") is None:
        return ""
    change = other["estimate"]
    verb = "saves" if change >= 0 else "costs"
    kept = {"better": "better", "worse": "worse"}.get(
        str(told.get("answer")), "no difference that these trials can tell"
    )
    return (
        f"Against {against(verdict)} the choice {'saves' if own['estimate'] >= 0 else 'costs'} "
        f"{number(abs(own['estimate']), 3)} {metric(verdict)} on the target and {verb} {number(abs(change), 3)} on general text "
        f"({confidence(verdict)} interval of what it saves there: {interval(other.get('low'), other.get('high'))}; {kept})."
    )
