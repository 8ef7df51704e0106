"""The board for people: as Markdown, as one HTML page that opens offline, and on the terminal while it is worked.

It draws what `board/findings.py` found; losses are printed in the same place and size as wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.report import templates
from assay.report.wording import count, duration, interval, number, one_line, size, visible

Facts = Mapping[str, Any]
_ARMS = {"random": "random", "length": "length", "rs2": "RS2"}
_SHORT = {
    "better than random": "better", "better than length / worse": "length", "better than RS2 / worse": "RS2",
    "general text: better / worse": "general", "median multiplier": "worth",
}  # fmt: skip
_STYLES = {"better": "green", "worse": "red", "failed": "red", "undecided": ""}
_KINDS = {"choice": "chooses", "cleaned": "cleans", "control": "control"}
READING = (
    "Every method is judged as `assay verify` judges a run: one model learns from its choice, others from random draws of "
    "the same pool at the same cost, and all are asked how well they predict held-out text of the target.",
    "**better** and **worse** are against random draws, and stand only where the p-value, corrected for all methods of that "
    "table by Holm's method, is below the level; everything else is undecided. The same holds for the columns about a draw "
    "with the choice's lengths, and about RS2 (a fresh random subset in each epoch; in one epoch it is random, so it has no "
    "column there).",
    "The difference is random's bits per byte less the method's (above zero: the method is better), with the uncorrected "
    "prediction interval of one more draw. The multiplier says how many times as much random data reaches the same loss; "
    "nothing is extrapolated beyond what random was tried at, and in a median a bound stands for itself.",
    "All arms of a table are cut at the same amount; a choice that holds more is thinned by a uniform draw, and so is the "
    "rest of a pool that a method only cleaned. Selecting "
    "is what choosing took with nothing prepared but the count of the pool's rows, which the first method of a pool pays. "
    "Time to quality is selecting and training together, beside random's training to the same loss with this small model, "
    "where training costs least.",
    "It holds for these proxies, amounts and texts, and for nothing larger.",
)


def multiplier(found: Facts | None) -> str:
    """A multiplier with its interval, or the bound that is known.

    >>> multiplier({"estimate": 2.04, "low": 1.5, "high": None}), multiplier({"estimate": None, "low": 4, "high": None})
    ('2.0 (above 1.5)', 'above 4.0')
    """
    if found is None:
        return ""
    between = interval(found["low"], found["high"], 2)
    if found["estimate"] is None:
        return "" if found["low"] is None and found["high"] is None else between
    return f"{number(found['estimate'], 2)} ({between})"


def difference(found: Facts) -> str:
    """Bits per byte with a sign, and the interval.

    >>> difference({"estimate": 0.312, "low": 0.27, "high": 0.354})
    '+0.312 (0.270 to 0.354)'
    """
    sign = "+" if found["estimate"] >= 0 else "−"
    low, high = (f"{found[end]:.3f}".replace("-", "−") for end in ("low", "high"))
    return f"{sign}{abs(found['estimate']):.3f} ({low} to {high})"


def columns(group: Facts) -> list[str]:
    """The arms beside random that some row of a group was compared with."""
    done = [row for row in group["rows"] if row["state"] == "done"]
    return [arm for arm in ("length", "rs2") if any(row["answers"].get(arm) for row in done)]


def has_items(group: Facts) -> bool:
    """Whether any method was also asked items with answers."""
    return any(row.get("tasks") for row in group["rows"])


def heading(group: Facts) -> str:
    """What a group's table is about."""
    told = f"{visible(group['task'])} at {_budget(group['budget'])}"
    return f"{told}, {visible(group['proxy'])}"


def _budget(text: str) -> str:
    return visible(text).replace("%bytes", " % of the bytes")


def scope(group: Facts) -> str:
    """How much every arm read, and what was held out."""
    if group.get("units") is None:
        return "No method could be judged."
    amount = size(group["units"]) if group["unit"] == "bytes" else f"{count(group['units'])} tokens"
    held = group["held"]
    words = (
        f"{count(held['documents'])} held-out documents of {size(held['bytes'])}"
        if held["documents"]
        else "held-out items"
    )
    return f"{amount} for every arm, {group['seeds']} draws of random, {words}, level {group['level']:g}."


def row(entry: Facts, group: Facts, arms: Sequence[str]) -> dict[str, Any]:
    """One method's line as words; a failed one has its sentence."""
    named = {"method": visible(entry["method"]), "kind": _KINDS[entry["kind"]]}
    if entry["state"] == "failed":
        return {**named, "answer": "failed", "error": visible(entry["error"])}
    cost, found = entry["cost"], entry["answers"]
    beside = [{"arm": _ARMS[arm], "answer": found[arm]["answer"] if found.get(arm) else ""} for arm in arms]
    return {
        **named,
        "answer": found["random"]["answer"],
        "p": number(found["random"]["p"], 2) if found["random"]["p"] >= 0.001 else "<0.001",
        "difference": difference(entry["beside"]["random"]["difference"]),
        "multiplier": multiplier(entry["multiplier"]),
        "beside": beside,
        "general": entry["general"]["answer"] if entry["general"] else "",
        "items": ", ".join(f"{visible(one['name'])}: {one['answer']}" for one in entry["tasks"]),
        "held": _held(entry, group),
        "seconds": duration(cost["seconds"]),
        "read": size(cost["bytes_read"]),
        "time": _time(cost),
        "place": _place(entry, group),
    }


def _held(entry: Facts, group: Facts) -> str:
    """How much the choice holds, and a mark where that is less than the arms of the others."""
    less = f", judged at {size(entry['units'])}" if entry["units"] < group["units"] and entry["unit"] == "bytes" else ""
    return f"{count(entry['rows'])} rows, {size(entry['bytes'])}{less}"


def _time(cost: Facts) -> str:
    if cost["training_seconds"] is None:
        return ""
    own = duration(cost["seconds"] + cost["training_seconds"])
    if cost["random_seconds"] is None:
        return own
    return f"{own}, random {'at least ' if cost['bound'] else ''}{duration(cost['random_seconds'])}"


def _place(entry: Facts, group: Facts) -> dict[str, float]:
    """Where a row's interval lies on the group's common axis, in percent."""
    done = [other["beside"]["random"]["difference"] for other in group["rows"] if other["state"] == "done"]
    least, most = min(0.0, *(one["low"] for one in done)), max(0.0, *(one["high"] for one in done))
    found, width = entry["beside"]["random"]["difference"], (most - least) or 1.0
    at = {key: 100 * (found[key] - least) / width for key in ("low", "estimate", "high")}
    return {**at, "zero": -100 * least / width}


def summary(one: Facts) -> dict[str, Any]:
    """A proxy's summary as columns and rows of words."""
    arms = [arm for arm in ("length", "rs2") if any(arm in line["against"] for line in one["rows"])]
    general = any(line["general"] for line in one["rows"])
    columns = ["method", "", "better than random", "undecided", "worse"]
    columns += [f"better than {_ARMS[arm]} / worse" for arm in arms]
    columns += [*(["general text: better / worse"] if general else []), "median multiplier", "selecting"]
    rows = [
        [
            visible(line["method"]), _KINDS[line["kind"]], *_counts(line),
            *(_pair(line["against"].get(arm)) for arm in arms),
            *([_pair(line["general"])] if general else []),
            number(line["multiplier"], 2) if line["multiplier"] is not None else "",
            duration(line["seconds"]) if line["seconds"] is not None else "",
        ]
        for line in one["rows"]
    ]  # fmt: skip
    return {"columns": columns, "rows": rows}


def _counts(line: Facts) -> list[str]:
    found = line["against"].get("random", {"better": 0, "undecided": 0, "worse": 0})
    failed = f" ({line['failed']} failed)" if line["failed"] else ""
    return [f"{found['better']} of {line['tried']}{failed}", str(found["undecided"]), str(found["worse"])]


def _pair(found: Facts | None) -> str:
    return "" if not found else f"{found['better']} / {found['worse']}"


def markdown(facts: Facts) -> str:
    """The whole board as Markdown."""
    parts = [f"# {visible(facts['title'])}\n", *([f"{visible(facts['about'])}\n"] if facts["about"] else [])]
    parts += [f"{words}\n" for words in READING]
    for one in facts["summaries"]:
        told = summary(one)
        parts += [f"## Summary: {visible(one['proxy'])}\n", _grid(told["columns"], told["rows"], 2)]
    for group in facts["groups"]:
        parts += [f"## {heading(group)}\n", f"{_about(facts, group)}{scope(group)}\n", _table(group)]
    return "\n".join([*parts, _defined(facts), _remarks(facts), ""])


def _about(facts: Facts, group: Facts) -> str:
    told = next((task["about"] for task in facts["tasks"] if task["name"] == group["task"]), "")
    return f"{visible(told)} " if told else ""


def _table(group: Facts) -> str:
    arms = columns(group)
    names = ["method", "against random", "p", "difference", "multiplier", *(f"against {_ARMS[arm]}" for arm in arms)]
    items = has_items(group)
    names += ["general text", *(["items"] if items else []), "choice", "selecting", "time to quality"]
    rows = []
    for entry in group["rows"]:
        told = row(entry, group, arms)
        if told["answer"] == "failed":
            rows.append([told["method"], f"failed: {told['error']}", *[""] * (len(names) - 2)])
            continue
        first = [told["method"], told["answer"], told["p"], told["difference"], told["multiplier"]]
        last = [told["general"], *([told["items"]] if items else []), told["held"], told["seconds"], told["time"]]
        rows.append([*first, *(one["answer"] for one in told["beside"]), *last])
    return _grid(names, rows, len(names))


def _grid(names: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table whose columns from `left` on align to the right."""
    rule = ["---" if at < left else "---:" for at in range(len(names))]
    cells = [names, rule, *rows]
    return "".join("| " + " | ".join(_cell(each) for each in line) + " |\n" for line in cells)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def told_of(method: Facts) -> str:
    """What a method is, in the words of its flags."""
    words = [f"{key} = {_value(value)}" for key, value in method["flags"].items()]
    return "; ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f'"{visible(value)}"' if isinstance(value, str) else str(value)


def _defined(facts: Facts) -> str:
    lines = [
        f"- **{visible(one['name'])}**: `{told_of(one)}`{'. ' + visible(one['about']) if one['about'] else ''}"
        for one in facts["methods"]
    ]
    return "## Methods\n\n" + "\n".join(lines)


def remarks(facts: Facts) -> list[str]:
    """Notes of the rows, each once, with the methods that they are about."""
    found: dict[str, list[str]] = {}
    for group in facts["groups"]:
        for entry in group["rows"]:
            for note in _worth_saying(entry):
                names = found.setdefault(note, [])
                names += [] if entry["method"] in names else [entry["method"]]
    return [f"{', '.join(map(visible, names))}: {visible(note)}" for note, names in found.items()]


def _worth_saying(entry: Facts) -> list[str]:
    """A row's notes but for those that the table itself shows: how much of a choice was tried."""
    notes = [note for note in entry.get("notes", ()) if "a uniform draw of" not in note]
    shared = "choice and judge look at the same features, which flatters it" if entry.get("shares_features") else ""
    return [*notes, *([shared] if shared else [])]


def _remarks(facts: Facts) -> str:
    lines = [f"- {words}" for words in remarks(facts)]
    return "\n## Remarks\n\n" + "\n".join(lines) if lines else ""


def html(facts: Facts) -> str:
    """The whole board as one page; it loads nothing and runs no script."""
    groups = [
        {
            "anchor": f"group-{at}", "heading": heading(group), "about": _about(facts, group), "scope": scope(group),
            "arms": [_ARMS[arm] for arm in columns(group)], "items": has_items(group),
            "rows": [row(entry, group, columns(group)) for entry in group["rows"]],
        }
        for at, group in enumerate(facts["groups"])
    ]  # fmt: skip
    shown = {
        "title": visible(facts["title"]), "about": visible(facts["about"]), "cells": facts["cells"], "groups": groups,
        "reading": [words.replace("**", "").replace("`", "") for words in READING],
        "summaries": [{"proxy": visible(one["proxy"]), **summary(one), "matrix": matrix(one)} for one in facts["summaries"]],
        "methods": [
            {"name": visible(one["name"]), "about": visible(one["about"]), "told": told_of(one)} for one in facts["methods"]
        ],
        "remarks": remarks(facts), "seconds": duration(facts["seconds"]),
    }  # fmt: skip
    return templates.render("board.html", shown)


def matrix(one: Facts) -> dict[str, Any]:
    """A proxy's answers, a row for each method and a column for each task and budget."""
    places = list(dict.fromkeys((cell["task"], cell["budget"]) for line in one["rows"] for cell in line["cells"]))
    rows = []
    for line in one["rows"]:
        cells = {(cell["task"], cell["budget"]): cell for cell in line["cells"]}
        found = [cells.get(place) for place in places]
        rows.append({
            "method": visible(line["method"]),
            "cells": [{"answer": cell["answer"], "worth": _brief(cell["multiplier"])} if cell else None for cell in found],
        })  # fmt: skip
    return {"columns": [{"task": visible(task), "budget": visible(budget)} for task, budget in places], "rows": rows}


def _brief(found: Facts | None) -> str:
    """The multiplier in a few characters."""
    if found is None:
        return ""
    if found["estimate"] is not None:
        return f"×{number(found['estimate'], 2)}"
    stands = (
        (f">{number(found['low'], 2)}", f"<{number(found['high'], 2)}") if found["low"] or found["high"] else ("", "")
    )
    return stands[0] if found["low"] is not None else stands[1] if found["high"] is not None else ""


def show_cell(told: Facts, number_: int, total: int, left: float, console: Console) -> None:
    """One line for a cell that was worked just now, and the time left."""
    head = f"[{number_}/{total}] {told['task']} {told['budget']} {told['proxy']}  {told['method']}"
    if told["state"] == "failed":
        tail = f"failed: {told['error']}"
    else:
        tail = difference(told["beside"]["random"]["difference"])
    words = f"{one_line(head, 90)}: {one_line(tail, 200)}  ({duration(told['seconds'])}, about {duration(left)} left)"
    console.print(Text(words, style=_STYLES["failed"] if told["state"] == "failed" else ""), soft_wrap=True)


def show_plan(plan: Facts, console: Console) -> None:
    """The cells that would be worked, and about how long that would take."""
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for name in ("proxy", "task", "budget", "method", "kind"):
        table.add_column(name, style="dim" if name in ("proxy", "kind") else "")
    table.add_column("about", justify="right")
    for cell in plan["cells"]:
        words = [visible(cell[key]) for key in ("proxy", "task", "budget", "method", "kind")]
        table.add_row(*map(Text, words), Text(duration(cell["seconds"])))
    console.print(Text(f"{visible(plan['title'])} (dry run: nothing is written)", style="bold"))
    console.print(table)
    for one in plan["later"]:
        console.print(Text(f"then the {one['best']} best of these before {one['proxy']}, chosen when all are judged"))
    basis = (
        "in proportion to the cells that are done" if plan["measured"] else "a guess from sizes: no cell is done yet"
    )
    console.print(
        Text(f"{len(plan['cells'])} cells to do, {plan['done']} done; about {duration(plan['seconds'])} ({basis})")
    )


def show_board(facts: Facts, out: str, console: Console) -> None:
    """The summaries, failures, and where the pages lie."""
    for one in facts["summaries"]:
        told = summary(one)
        table = Table(
            box=None, padding=(0, 1), show_edge=False, title=Text(visible(one["proxy"])), title_justify="left"
        )
        for at, name in enumerate(told["columns"]):
            table.add_column(_SHORT.get(name, name), justify="left" if at < 2 else "right", no_wrap=at > 1)
        for line in told["rows"]:
            table.add_row(*map(Text, line))
        console.print(table)
    for group in facts["groups"]:
        for entry in group["rows"]:
            if entry["state"] == "failed":
                words = f"failed: {entry['method']} on {entry['task']} at {entry['budget']}: {entry['error']}"
                console.print(Text(one_line(words, 400), style="red"))
    done = facts["cells"]
    console.print(Text(f"{done['done']} cells done, {done['failed']} failed; {out}/board.html, {out}/board.md"))
