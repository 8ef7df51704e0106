"""What cleaning did, as lines of text: the funnel, what each reason threw away, duplicates, edits, and what was learnt.

A reason of the manifest says its kind first: `rule: SET/RULE (what a row must be)`, `contaminated: FILE …`,
`duplicate: METHOD …`, `where: EXPRESSION`, `edited: EDIT …`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assay.report.wording import count, number, one_line, share, size, visible

Facts = Mapping[str, Any]
_RULE = re.compile(r"rule: ([^/]+/.+?) \((.*)\)", re.DOTALL)
_KINDS = {
    "duplicate": ("copies of a row that stays", "copies"),
    "contaminated": ("holds an item of this eval file", "contaminated"),
}
_SHOWN = 10  # numbers of a fit in one line


def named(stage: str, reason: str) -> tuple[str, str, str]:
    """A stage's name, what it asked or did, and both in a few words.

    >>> named("rule", "rule: gopher_quality/words (words must be at least 50)")
    ('gopher_quality/words', 'words must be at least 50', 'gopher_quality/words')
    >>> named("duplicate", "duplicate: minhash")
    ('minhash', 'copies of a row that stays', 'minhash (copies)')
    >>> named("where", "where: bytes > 9"), named("chosen", "beyond the budget")[2]
    (('where', 'bytes > 9', 'where bytes > 9'), 'beyond the budget')
    """
    rule = _RULE.fullmatch(reason)
    kind, _, rest = reason.partition(": ")
    if rule is not None:
        return rule[1], rule[2], rule[1]
    if kind in _KINDS and rest:
        return rest, _KINDS[kind][0], f"{rest} ({_KINDS[kind][1]})"
    if reason == "rule: listed word":
        return "word_list", "holds a word of the list", "word_list (listed word)"
    if kind == "where" and rest:
        return "where", rest, f"where {rest}"
    if kind == "edited" and rest:
        return rest.partition(" ")[0], rest.partition(" ")[2], rest
    return stage, reason, reason or stage


def funnel(facts: Facts) -> list[dict[str, Any]]:
    """Rows still there after each reason for leaving, and how many left for it."""
    stages = facts.get("funnel") or []
    first = max((stage.get("rows") or 0 for stage in stages), default=0)
    entries: list[dict[str, Any]] = []
    before = None
    for stage in stages:
        rows = stage.get("rows") or 0
        entries.append(_stage(stage, rows, (before or rows) - rows, first))
        before = rows
    return entries


def _stage(stage: Facts, rows: int, left: int, first: int) -> dict[str, Any]:
    name, said, short = named(str(stage.get("stage", "")), str(stage.get("reason") or ""))
    broken, example = stage.get("broken"), stage.get("example") or {}
    return {
        "stage": one_line(name, 60),
        "reason": one_line(said, 160),
        "short": one_line(short, 60),
        "paper": link(stage.get("paper")),
        "rows": count(rows),
        "bytes": size(stage.get("bytes")),
        "left": count(left) if left else "",
        "left_share": share(left, first) if left else "",
        "broken": count(broken) if broken is not None else "",
        "example": one_line(example.get("id") or "", 40),
        "part": rows / first if first else 0.0,
        "lost": left / first if first else 0.0,
        "tone": {"budget": "pool", "quarantined": "bad"}.get(str(stage.get("key")), "filtered"),
    }


def link(address: Any) -> str:
    """An address that may be followed from the page; empty where it is none of the web."""
    return str(address) if str(address or "").startswith("https://") else ""


def idle(facts: Facts) -> list[str]:
    """The rules that dropped no row, by their sets."""
    return [
        one_line(f"{rule.get('filter', '')}/{rule.get('rule', '')}", 80)
        for rule in facts.get("filters") or []
        if not rule.get("rows")
    ]


def thrown(facts: Facts) -> list[dict[str, Any]]:
    """For each reason, the rows that it threw away, as far as examples were kept."""
    stages = {stage.get("key"): stage for stage in facts.get("funnel") or []}
    whole = max((stage.get("rows") or 0 for stage in stages.values()), default=0)
    return [
        _thrown(entry, stages.get(entry.get("reason"), {}), whole)
        for entry in facts.get("dropped") or []
        if entry.get("reason") != "budget"
    ]


def _thrown(entry: Facts, stage: Facts, whole: int) -> dict[str, Any]:
    name, said, _ = named(str(stage.get("stage", "")), str(entry.get("reason", "")))
    return {
        "name": one_line(name, 60),
        "said": one_line(said, 160),
        "paper": link(stage.get("paper")),
        "rows": "1 row" if stage.get("out") == 1 else f"{count(stage.get('out'))} rows",
        "share": share(stage.get("out") or 0, whole),
        "examples": [_example(example) for example in entry.get("examples") or []],
    }


def _example(example: Facts) -> dict[str, Any]:
    stays, value = example.get("stays"), example.get("value")
    before, span, after = (visible(piece) for piece in _around(example.get("text") or "", example.get("span") or ""))
    return {
        **_place(example),
        "measured": "" if value is None else f"{one_line(example.get('measured', ''), 60)} = {_value(value)}",
        "before": before,
        "span": span,
        "after": after,
        "quoted": "" if span else one_line(example.get("quoted") or "", 200),
        "stays": {**_place(stays), "text": visible(stays.get("text") or "")} if stays else None,
    }


def _place(example: Facts) -> dict[str, str]:
    return {
        "row": count(example.get("row")),
        "id": one_line(example.get("id") or "", 60),
        "source": one_line(example.get("source") or "", 40),
    }


def _around(text: str, span: str) -> tuple[str, str, str]:
    """A text in three: before a span, the span, and after it; all of it before where the span is not there."""
    start = text.find(span) if span else -1
    return (text, "", "") if start < 0 else (text[:start], span, text[start + len(span) :])


def _value(value: float) -> str:
    return count(value) if float(value).is_integer() else number(value, 3)


def duplicates(facts: Facts) -> list[dict[str, str]]:
    """What every group step found and dropped."""
    return [
        {
            "group": one_line(entry.get("group", ""), 60),
            "keep": _stays(str(entry.get("keep") or "")),
            "rows": count(entry.get("rows")),
            "bytes": size(entry.get("bytes")),
            "groups": count(entry["groups"]) if entry.get("groups") is not None else "",
            "largest": count(entry["largest"]) if entry.get("largest") is not None else "",
            "example": _cluster(next(iter(entry.get("examples") or []), None)),
        }
        for entry in facts.get("duplicates") or []
    ]


def _stays(keep: str) -> str:
    """Which copy stays, in words.

    >>> _stays("longest"), _stays("best:quality"), _stays("")
    ('the longest', 'the best by quality', '')
    """
    kind, _, signal = keep.partition(":")
    return one_line(f"the {kind} by {signal}" if signal else f"the {kind}", 60) if keep else ""


def _cluster(example: Facts | None) -> str:
    """One cluster in words: which row stays for which."""
    if not example or not example.get("others"):
        return ""
    others = [count(row) for row in example["others"]]
    more = f" and {count(len(others) - 3)} more" if len(others) > 3 else ""
    return f"row {count(example.get('row'))} stays for {', '.join(others[:3])}{more}"


def edits(facts: Facts) -> list[dict[str, str]]:
    """What every edit step changed."""
    return [
        {
            "edit": one_line(entry.get("edit", ""), 60),
            "rows": count(entry.get("rows")),
            "before": size(entry.get("bytes_before")),
            "after": size(entry.get("bytes_after")),
            "emptied": count(entry["emptied"]) if entry.get("emptied") else "",
        }
        for entry in facts.get("edits") or []
    ]


def learnt(facts: Facts) -> list[tuple[str, str]]:
    """What every fit tells of itself, in one line each: its numbers and words, not its tables.

    >>> learnt({"fits": {"quality": {"auc": 0.9312, "rows": {"good": 1000, "bad": 900}, "method": "linear"}}})
    [('quality', 'auc 0.9312, rows: good 1,000, bad 900, method linear')]
    """
    lines = [(one_line(name, 60), _told(notes)) for name, notes in (facts.get("fits") or {}).items()]
    return [(name, words) for name, words in lines if words]


def _told(notes: Facts) -> str:
    told = []
    for name, value in notes.items():
        if isinstance(value, Mapping):
            inner = [f"{key} {words}" for key, each in value.items() if (words := _scalar(each))]
            told += [f"{name}: {', '.join(inner)}"] if 0 < len(inner) == len(value) <= _SHOWN else []
        elif words := _scalar(value):
            told.append(f"{name} {words}")
    return one_line(", ".join(told[:_SHOWN]).replace("_", " "), 300)


def _scalar(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value != value:
        return ""
    return (
        one_line(value, 60)
        if isinstance(value, str)
        else count(value)
        if float(value).is_integer()
        else number(value, 4)
    )


def lacks(facts: Facts) -> list[str]:
    """The published steps that the recipe went without, a line each."""
    return [visible(line) for line in facts.get("lacks") or []]


def about(facts: Facts) -> dict[str, Any]:
    """The recipe's name, what it says of itself, and its sources as (words, address)."""
    given = facts.get("about") or {}
    sources = [(visible(source), link(str(source).split(" ")[0])) for source in given.get("sources") or []]
    return {
        "recipe": one_line(given.get("recipe") or "", 60),
        "about": visible(given.get("about") or ""),
        "sources": sources,
    }
