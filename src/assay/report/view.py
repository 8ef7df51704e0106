"""What the terminal and the page show, in one order and in one wording: facts in, lines of text out.

A part that a run could not have (no verdict yet, no sources, no scores) gives `None` here and a sentence in `MISSING`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.wording import (
    UNKNOWN,
    amount,
    count,
    interval,
    number,
    one_line,
    probability,
    share,
    size,
    times,
    visible,
)

Facts = Mapping[str, Any]

MISSING = {
    "verdict": "Not tested yet.",
    "sources": "No domain shares: the pool has no source field (name one with --source-field).",
    "score": "No score distribution: this method does not score rows.",
    "cut": "There is no single cut: rows were not taken by score alone.",
    "lengths": "No lengths were kept.",
    "features": "This method does not name features that pull a score up or down.",
    "borderline": "No borderline examples were kept: without a ranking by score there is no border.",
    "tokens": "Tokens are unknown; give --tokenizer FILE to count them.",
    "quarantine": "Every row could be read.",
    "stages": "No timings were kept.",
    "recipe": "No recipe was kept.",
}

# (key in facts["counts"], words, CSS variable and terminal colour of the same meaning)
OUTCOMES = (
    ("chosen", "chosen", "chosen", "yellow"),
    ("not_chosen", "not chosen", "pool", "bright_black"),
    ("filtered", "filtered out", "filtered", "magenta"),
    ("quarantined", "quarantined", "bad", "red"),
)
# Where nothing was selected, every row that no step dropped is kept.
KEPT_OUTCOMES = (
    ("kept", "kept", "chosen", "yellow"),
    ("not_chosen", "dropped", "filtered", "magenta"),
    ("quarantined", "quarantined", "bad", "red"),
)
ANSWERS = {"better": "Better than", "worse": "Worse than", "undecided": "Undecided: not told apart from"}
SHOWN_SOURCES = 20


def part(facts: Facts | None, name: str) -> Any:
    """A part of the facts, or None where it is missing or empty."""
    value = (facts or {}).get(name)
    return value if value not in (None, {}, [], "") else None


def title(facts: Facts) -> str:
    """The run's title."""
    return one_line(part(facts, "title") or "A selection of training data", 200)


def through(facts: Facts) -> str:
    """What a row is called that came through: chosen, or kept where nothing was selected.

    >>> through({"counts": {"input": 2, "kept": 1}}), through({})
    ('kept', 'chosen')
    """
    return "kept" if "kept" in (part(facts, "counts") or {}) else "chosen"


def _outcomes(facts: Facts) -> tuple[tuple[str, str, str, str], ...]:
    return KEPT_OUTCOMES if through(facts) == "kept" else OUTCOMES


def outcomes(facts: Facts) -> list[dict[str, Any]]:
    """What became of the input rows, in the order of `OUTCOMES`; those filtered out apart from the other not chosen."""
    counts, kinds = part(facts, "counts") or {}, _outcomes(facts)
    total = counts.get("input", 0)
    rows = {key: counts.get(key) or 0 for key, *_ in kinds}
    rows["not_chosen"] -= rows.get("filtered", 0)
    return [
        {
            "key": key,
            "name": name,
            "tone": tone,
            "colour": colour,
            "rows": rows[key],
            "share": share(rows[key], total),
            "part": rows[key] / total if total else 0.0,
        }
        for key, name, tone, colour in kinds
    ]


def accounting(facts: Facts) -> tuple[str, bool]:
    """The sentence that adds the outcomes up to the input, and whether it is true.

    >>> accounting({"counts": {"input": 4, "chosen": 1, "not_chosen": 2, "filtered": 1, "quarantined": 1}})
    ('4 rows read = 1 chosen + 2 not chosen (1 of them filtered out) + 1 quarantined', True)
    """
    counts = part(facts, "counts") or {}
    total, filtered = counts.get("input", 0), counts.get("filtered") or 0
    given = {name: counts.get(key) or 0 for key, name, *_ in _outcomes(facts) if key != "filtered"}
    note = {"not chosen": f" ({count(filtered)} of them filtered out)" if filtered else ""}
    terms = " + ".join(f"{count(rows)} {name}{note.get(name, '')}" for name, rows in given.items() if rows) or "0"
    if sum(given.values()) == total:
        return f"{count(total)} rows read = {terms}", True
    return f"The counts do not add up: {count(total)} rows read, but {terms}", False


def key_figures(facts: Facts) -> list[dict[str, str]]:
    """Rows, bytes and tokens that came through, each beside the input; pictures have no tokens."""
    rows, sizes = _pair(facts, "counts"), _pair(facts, "bytes")
    tokens = [] if part(facts, "pictures") else [_tokens(facts)]
    return [_figure("rows", *rows, count), _figure("bytes", *sizes, size), *tokens]


def _tokens(facts: Facts) -> dict[str, str]:
    """Tokens as counted; where no tokenizer was given, an estimate that says so."""
    if part(facts, "tokens") or not part(facts, "estimated_tokens"):
        return _figure("tokens", *_pair(facts, "tokens"), count)
    figure = _figure("tokens", *_pair(facts, "estimated_tokens"), lambda tokens: f"about {count(tokens)}")
    return {**figure, "of": f"{figure['of']}, estimated at 4 bytes a token; --tokenizer FILE counts them"}


def _pair(facts: Facts, name: str) -> tuple[Any, Any]:
    """An amount of what came through, and of the input."""
    values = part(facts, name) or {}
    return values.get(through(facts)), values.get("input")


def _figure(unit: str, chosen: Any, whole: Any, wording: Any) -> dict[str, str]:
    known = chosen is not None
    of = f"of {wording(whole)} ({share(chosen, whole)})" if known and whole is not None else ""
    return {
        "unit": unit,
        "value": wording(chosen),
        "of": of or (MISSING["tokens"] if unit == "tokens" and not known else ""),
    }


def budget(facts: Facts) -> str:
    """What was asked and what was spent, as a sentence; empty where no budget was set."""
    asked = part(facts, "budget")
    if asked is None:
        return ""
    wording = size if asked.get("unit") == "bytes" else count
    unit = {"examples": " rows", "tokens": " tokens"}.get(asked.get("unit", ""), "")
    spent = f"{wording(asked.get('spent'))} of {wording(asked.get('limit'))}{unit} spent"
    return f"Budget {one_line(asked.get('asked', UNKNOWN), 60)}: {spent}."


def sources(facts: Facts, most: int = SHOWN_SOURCES) -> list[dict[str, Any]]:
    """Share of bytes by domain in the pool and in the choice, largest first; the rest is one entry."""
    given = sorted(
        part(facts, "sources") or [], key=lambda entry: (-max(_shares(entry, facts)), str(entry.get("source")))
    )
    shown = list(given) if len(given) <= most + 1 else [*given[:most], _together(given[most:])]
    return [_source(entry, facts) for entry in shown]


def _together(entries: Sequence[Facts]) -> dict[str, Any]:
    keys = ("rows", "bytes", "chosen_rows", "chosen_bytes")
    return {
        "source": f"{count(len(entries))} other sources",
        "other": True,
        **{key: sum(entry.get(key) or 0 for entry in entries) for key in keys},
    }


def _shares(entry: Facts, facts: Facts) -> tuple[float, float]:
    everything = part(facts, "sources") or []
    pool = sum(other.get("bytes") or 0 for other in everything)
    chosen = sum(other.get("chosen_bytes") or 0 for other in everything)
    return (entry.get("bytes") or 0) / max(pool, 1), (entry.get("chosen_bytes") or 0) / max(chosen, 1)


def _source(entry: Facts, facts: Facts) -> dict[str, Any]:
    before, after = _shares(entry, facts)
    name = entry.get("source")
    return {
        "name": one_line(name if name not in (None, "") else "(no source)", 80),
        "other": bool(entry.get("other")),
        "before": before,
        "after": after,
        "before_text": share(before, 1),
        "after_text": share(after, 1),
        "rows": count(entry.get("rows")),
        "chosen_rows": count(entry.get("chosen_rows")),
        "bytes": size(entry.get("bytes")),
        "chosen_bytes": size(entry.get("chosen_bytes")),
        "kept": share(entry.get("chosen_bytes") or 0, entry.get("bytes") or 0),
        "change": times(after / before) if before and after else (f"none {through(facts)}" if before else ""),
    }


def quarantine(facts: Facts) -> list[dict[str, str]]:
    """Why rows could not be read, with one place to look at for each reason."""
    return [
        {
            "reason": one_line(entry.get("reason", ""), 160),
            "rows": count(entry.get("rows")),
            "example": _place(entry.get("example")),
        }
        for entry in part(facts, "quarantine") or []
    ]


def _place(example: Facts | None) -> str:
    if not example:
        return ""
    return (
        f"{one_line(example.get('file', ''), 160)}, line {count(example['line'])}"
        if example.get("line") is not None
        else one_line(example.get("file", ""), 160)
    )


def answer(verdict: Facts | None) -> str:
    """`better`, `worse`, `undecided`, or `none` where nothing was verified."""
    given = (verdict or {}).get("answer")
    return given if given in ANSWERS else "none"


def untested(facts: Facts, run: str = "RUN") -> tuple[str, str]:
    """What to do for a verdict on the run that lies there, in words and as a command.

    >>> untested({"pictures": True}, "run/")[1]
    'assay verify run/ --results RESULTS'
    """
    command = f"assay verify {one_line(shlex.quote(run), 400)}"
    if part(facts, "pictures"):
        words = "The judges are language models: train on selected/ and on random choices of as many, and compare them"
        return words, f"{command} --results RESULTS"
    return "To compare it with random selection at equal bytes", f"{command} --eval HELDOUT"


def stamp(verdict: Facts | None) -> str:
    """The answer in a few words."""
    return f"{ANSWERS[answer(verdict)]} {against(verdict or {})}" if answer(verdict) in ANSWERS else "No answer"


def sentence(verdict: Facts | None) -> str:
    """The verdict in one sentence."""
    words = one_line(part(verdict, "sentence") or MISSING["verdict"], 6000)
    return words[:1].upper() + words[1:]


def against(verdict: Facts) -> str:
    """The arm that the choice is compared with."""
    return one_line(verdict.get("against") or "random", 60)


def confidence(verdict: Facts) -> str:
    """The level of the intervals: `95 %`."""
    return f"{100 * (1 - verdict.get('level', 0.05)):g} %"


def measures(verdict: Facts) -> list[dict[str, str]]:
    """The three figures of a verdict: difference, probability, data multiplier."""
    difference, multiplier = part(verdict, "difference") or {}, part(verdict, "multiplier") or {}
    other = "one random draw" if against(verdict) == "random" else against(verdict)
    bounds = interval(difference.get("low"), difference.get("high"))
    return [
        {"name": "data multiplier", "value": worth(multiplier), "detail": _worth_detail(multiplier)},
        {
            "name": _saved(verdict),
            "value": number(difference.get("estimate"), 3),
            "detail": f"against {against(verdict)}; {confidence(verdict)} prediction interval {bounds}",
        },
        {
            "name": "probability of being better",
            "value": probability(verdict.get("p_better")),
            "detail": f"than {other}; decided at level {verdict.get('level', 0.05):g}{_settling(verdict)}",
        },
    ]


def _saved(verdict: Facts) -> str:
    """What the difference counts."""
    name = verdict.get("metric") or "bits_per_byte"
    known = {"bits_per_byte": "bits per byte saved", "error": "wrong answers saved per item"}
    return known.get(name) or f"{one_line(name, 40)} {'gained' if verdict.get('bigger') else 'saved'}"


def _settling(verdict: Facts) -> str:
    """How many seeds would settle an undecided verdict."""
    if verdict.get("answer") != "undecided" or "seeds_to_settle" not in verdict:
        return ""
    seeds = verdict["seeds_to_settle"]
    return (
        "; more seeds alone would not settle it" if seeds is None else f"; about {count(seeds)} seeds would settle it"
    )


def worth(multiplier: Facts) -> str:
    """The data multiplier, or the bounds that are left of it where it is censored.

    >>> worth({"estimate": 3.79}), worth({"low": 8.1}), worth({"low": 0.4, "high": 2.2}), worth({})
    ('×3.8', 'above ×8.1', '×0.40 to ×2.2', 'unknown')
    """
    estimate, low, high = (multiplier.get(name) for name in ("estimate", "low", "high"))
    if estimate is not None:
        return times(estimate)
    if low is not None and high is not None:
        return f"{times(low)} to {times(high)}"
    return f"above {times(low)}" if low is not None else f"below {times(high)}" if high is not None else UNKNOWN


def _worth_detail(multiplier: Facts) -> str:
    low, high = multiplier.get("low"), multiplier.get("high")
    if multiplier.get("estimate") is not None:
        return f"random data needed for the same loss; interval {interval(low, high, 2)}"
    if low is None and high is None:
        return "cannot be told from these trials"
    side = "beyond random's largest budget" if high is None else "outside random's budgets"
    return f"a bound, not an estimate: {side}"


def caveats(verdict: Facts) -> list[str]:
    """What a reader must know before believing a verdict, one sentence each."""
    judge, found = part(verdict, "judge") or {}, []
    name = one_line(judge.get("name") or "the judge", 80)
    if verdict.get("shares_features"):
        features = f" ({_listed(judge['features'])})" if judge.get("features") else ""
        found.append(
            f"Selector and judge share features{features}: "
            "part of the gain may be of that kind; verify with another judge too."
        )
    elif "shares_features" in verdict:
        found.append("Selector and judge share no features.")
    found += _judged(verdict, name)
    overlap = part(verdict, "overlap") or {}
    if overlap.get("documents"):
        fate = "they were removed from every arm" if overlap.get("removed") else "they stayed in the arms"
        found.append(f"{count(overlap['documents'])} documents of the pool overlap the held-out text; {fate}.")
    elif overlap:
        found.append("No document of the pool overlaps the held-out text.")
    return found + [visible(note) for note in part(verdict, "notes") or []]


def _judged(verdict: Facts, name: str) -> list[str]:
    """Who judged, on what."""
    held = part(verdict, "eval") or {}
    path = one_line(held.get("path", ""), 200)
    if held.get("tasks"):
        return [f"Models were trained and measured elsewhere; their results are those of {path}."]
    unit = one_line((part(verdict, "budget") or {}).get("unit") or "bytes", 20)
    size_ = parameters(part(verdict, "scope") or {})
    trained = f"Judge: {name}{size_}, trained anew on every arm, with equal {unit} for every arm but the whole pool."
    kind = "items" if held.get("items") is not None else "documents"
    text = f"Held-out text: {count(held.get(kind))} {kind}, {size(held.get('bytes'))}, {path}."
    return [trained, *([text] if held else [])]


def parameters(scope: Facts) -> str:
    """How large a proxy is, where it is a model with parameters.

    >>> parameters({"parameters": 330_112}), parameters({"parameters": None})
    (' (330 k parameters)', '')
    """
    known = scope.get("parameters")
    return f" ({amount(known, 'parameters')})" if known else ""


def _listed(words: Any) -> str:
    return one_line(words if isinstance(words, str) else ", ".join(map(str, words)), 120)


def arms(verdict: Facts) -> list[dict[str, str]]:
    """The arms of a verdict as a table."""
    return [
        {
            "name": one_line(arm.get("name", ""), 60),
            "seed": str(arm.get("seed", "")),
            "rows": count(arm.get("rows")),
            "bytes": amount(arm.get("bytes"), arm.get("unit") or "bytes"),
            "metric": number(arm.get("metric")),
            "general": number(arm["general"]) if arm.get("general") is not None else "",
        }
        for arm in part(verdict, "arms") or []
    ]


def features(facts: Facts) -> dict[str, list[dict[str, Any]]] | None:
    """The n-grams with the largest pull in both directions, with weights relative to the strongest of all."""
    given = part(facts, "features")
    if given is None or not (given.get("up") or given.get("down")):
        return None
    largest = (
        max((abs(entry.get("weight") or 0) for side in ("up", "down") for entry in given.get(side) or []), default=0)
        or 1
    )
    return {
        side: [
            {
                "feature": entry.get("feature", ""),
                "weight": number(entry.get("weight"), 3),
                "part": abs(entry.get("weight") or 0) / largest,
            }
            for entry in given.get(side) or []
        ]
        for side in ("up", "down")
    }


def borderline(facts: Facts) -> dict[str, list[dict[str, str]]] | None:
    """The examples nearest to the cut on both sides, ready to print."""
    given = part(facts, "borderline")
    if given is None or not (given.get("in") or given.get("out")):
        return None
    return {side: [_example(entry) for entry in given.get(side) or []] for side in ("in", "out")}


def _example(entry: Facts) -> dict[str, str]:
    rank = entry.get("rank")
    return {
        "row": count(entry.get("row")),
        "id": one_line(entry.get("id") or "", 80),
        "shard": one_line(entry.get("shard") or "", 80),
        "source": one_line(entry.get("source") or "", 40),
        "score": number(entry.get("score")),
        "rank": "" if rank is None or rank < 0 else count(rank),
        "text": visible(entry.get("text") or ""),
    }
