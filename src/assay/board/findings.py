"""What the cells of a board say together: answers corrected for being several, ranks, wins and losses.

Within one proxy, task and budget every method is asked whether it beats random, whether it beats a draw with its lengths,
and (where there is more than one epoch) whether it beats RS2. The p-values of one such question are corrected together by
Holm's method (`verify/comparisons.py`): the probability that any answer of that column is false is at most the level. A
method beats an arm only where the corrected answer is `better`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from assay.board.tree import Board
from assay.verify.comparisons import adjusted_answer, holm

AGAINST = ("random", "length", "rs2")
Row = Mapping[str, Any]


def findings(board: Board, rows: Sequence[Row]) -> dict[str, Any]:
    """Everything that the pages show; `rows` are the cells that were worked, failed ones among them."""
    groups = [
        group
        for proxy in board.proxies
        for task in board.tasks
        for budget in board.budgets
        if (group := _group(rows, proxy.name, task.name, budget))
    ]
    used = list(dict.fromkeys(group["proxy"] for group in groups))
    return {
        "title": board.title,
        "about": board.about,
        "pools": [{"name": pool.name, "about": pool.about} for pool in board.pools],
        "tasks": [{"name": task.name, "pool": task.pool, "about": task.about} for task in board.tasks],
        "methods": [
            {"name": one.name, "about": one.about, "flags": one.flags, "control": one.control, "cleans": one.cleans}
            for one in board.methods
        ],
        "budgets": list(board.budgets),
        "cells": {state: sum(row["state"] == state for row in rows) for state in ("done", "failed")},
        "seconds": round(sum(row.get("seconds") or 0.0 for row in rows), 1),
        "summaries": [{"proxy": name, "rows": _summary(board, groups, name)} for name in used],
        "groups": groups,
    }


def _group(rows: Sequence[Row], proxy: str, task: str, budget: str) -> dict[str, Any] | None:
    """One proxy's rows for one task and budget, the best first, the failed last; None where there are none."""
    mine = [row for row in rows if (row["proxy"], row["task"], row["budget"]) == (proxy, task, budget)]
    done = [row for row in mine if row["state"] == "done"]
    answers = {name: corrected(done, name) for name in AGAINST}
    listed = [{**row, "answers": {name: found.get(row["method"]) for name, found in answers.items()}} for row in done]
    listed.sort(key=lambda row: (-row["beside"]["random"]["difference"]["estimate"], row["method"]))
    failed = sorted((dict(row) for row in mine if row["state"] == "failed"), key=lambda row: row["method"])
    shared = {key: done[0][key] for key in ("unit", "held", "metric", "level", "seeds")} if done else {}
    whole = {"units": max((row["units"] for row in done), default=None), "rows": [*listed, *failed]}
    return {"proxy": proxy, "task": task, "budget": budget, **shared, **whole} if mine else None


def corrected(done: Sequence[Row], against: str) -> dict[str, dict[str, Any]]:
    """The corrected p-value and answer of each method against one arm, by method.

    >>> bits = {"estimate": 0.1, "low": 0.05, "high": 0.15}
    >>> rows = [{"method": m, "level": 0.05, "beside": {"random": {"difference": bits, "p": 0.03}}} for m in "ab"]
    >>> corrected(rows, "random")["a"]
    {'p': 0.06, 'answer': 'undecided'}
    """
    asked = [row for row in done if against in row["beside"]]
    adjusted = holm([row["beside"][against]["p"] for row in asked])
    return {
        row["method"]: {
            "p": p,
            "answer": adjusted_answer(row["beside"][against]["difference"]["estimate"], p, row["level"]),
        }
        for row, p in zip(asked, adjusted, strict=True)
    }


def _summary(board: Board, groups: Sequence[Mapping[str, Any]], proxy: str) -> list[dict[str, Any]]:
    """One line for each method: on how many tasks and budgets it beats what, its multiplier, and what it costs."""
    mine = [row for group in groups if group["proxy"] == proxy for row in group["rows"]]
    lines = [
        _line(method.name, [row for row in mine if row["method"] == method.name])
        for method in board.methods
        if any(row["method"] == method.name for row in mine)
    ]
    return sorted(lines, key=lambda line: (-_balance(line), -(line["multiplier"] or 0.0), line["method"]))


def _line(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    done = [row for row in rows if row["state"] == "done"]
    against = {arm: [row["answers"][arm]["answer"] for row in done if row["answers"][arm]] for arm in AGAINST}
    worth = [_worth(row["multiplier"]) for row in done]
    general = [row["general"]["answer"] for row in done if row["general"]]
    return {
        "method": name,
        "kind": rows[0]["kind"],
        "tried": len(rows),
        "failed": len(rows) - len(done),
        "against": {arm: _counted(found) for arm, found in against.items() if found},
        "general": _counted(general) if general else None,
        "multiplier": median(worth) if worth else None,
        "cells": [{key: row[key] for key in ("task", "budget")} | _short(row) for row in rows],
        "seconds": median(row["cost"]["seconds"] for row in done) if done else None,
        "bytes_read": median(row["cost"]["bytes_read"] for row in done) if done else None,
    }


def _counted(found: Sequence[str]) -> dict[str, int]:
    return {answer: sum(one == answer for one in found) for answer in ("better", "undecided", "worse")}


def _short(row: Row) -> dict[str, Any]:
    if row["state"] == "failed":
        return {"answer": "failed", "multiplier": None}
    return {"answer": row["answers"]["random"]["answer"], "multiplier": row["multiplier"]}


def _worth(found: Mapping[str, Any]) -> float:
    """A multiplier as a number to be ranked: its estimate, or the bound that stands in for it."""
    stands = (found[key] for key in ("estimate", "low", "high") if found[key] is not None)
    return next(stands, 1.0)


def _balance(line: Mapping[str, Any]) -> int:
    found = line["against"].get("random", {"better": 0, "worse": 0})
    return found["better"] - found["worse"]


def best(rows: Sequence[Row], proxy: str, count: int) -> list[str]:
    """The methods with the best mean rank before one proxy, over all tasks and budgets; controls and failures take no part.

    A rank is a share of the methods tried there. Those tried at most tasks come first: on few tasks a mean says little.
    """
    ranks: dict[str, list[float]] = {}
    mine = [row for row in rows if row["proxy"] == proxy and row["state"] == "done" and row["kind"] != "control"]
    for place in {(row["task"], row["budget"]) for row in mine}:
        here = [row for row in mine if (row["task"], row["budget"]) == place]
        here.sort(key=lambda row: (-row["beside"]["random"]["difference"]["estimate"], row["method"]))
        for at, row in enumerate(here):
            ranks.setdefault(row["method"], []).append(at / len(here))
    return sorted(ranks, key=lambda name: (-len(ranks[name]), sum(ranks[name]) / len(ranks[name]), name))[:count]
