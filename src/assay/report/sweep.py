"""A sweep over the general share as a table, for the terminal and the page; `plots.breadth` draws it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.report.view import part
from assay.report.wording import interval, number, share, visible

Facts = Mapping[str, Any]
NAME = "Sweep over the general share"
HEAD = ("general", "target", "saved", "it is", "general text", "saved", "it is")


def rows(verdict: Facts | None) -> list[tuple[str, ...]]:
    """One line for each share: the metric, what is saved against random with its interval, the answer; on target and general
    text.

    >>> gap = {"estimate": 0.4, "low": 0.3, "high": 0.5}
    >>> entry = {"share": 0.2, "metric": 1.9, "gain": gap, "answer": "better", "general": 2.5, "change": gap}
    >>> rows({"sweep": [{**entry, "general_answer": "better"}]})[0][:4]
    ('20.0 %', '1.900', '0.400 (0.300 to 0.500)', 'better')
    """
    return [
        (
            share(entry["share"], 1),
            *_side(entry["metric"], entry["gain"], entry["answer"]),
            *_side(entry["general"], entry["change"], entry["general_answer"]),
        )
        for entry in part(verdict, "sweep") or []
    ]


def sentence(verdict: Facts | None) -> str:
    """Which shares help without harm; empty where nothing was swept."""
    return visible(part(verdict, "sweep_sentence") or "")


def _side(metric: float, gap: Facts, answer: str) -> tuple[str, str, str]:
    saved = f"{number(gap['estimate'], 3)} ({interval(gap['low'], gap['high'], 3)})"
    return number(metric), saved, visible(answer)
