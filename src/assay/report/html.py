"""The report as one HTML file that opens offline: it loads nothing, and a content policy forbids that it could.

Text of the pool is escaped by the template engine; a script runs only if its hash stands in the policy, so that text
of the pool could not run even if an escape were missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from assay.report import cleaning, sweep, templates, verdicts, view
from assay.report.view import Facts, part
from assay.report.wording import count, date, duration, number, one_line, size, visible

_SECTIONS = (
    ("verdict", "Verdict"),
    ("rows", "Rows"),
    ("thrown", "Thrown away"),
    ("scores", "Scores"),
    ("domains", "Domains"),
    ("features", "Features"),
    ("border", "Border"),
    ("recipe", "Recipe"),
)
_FRAGMENT_COLOURS = {"chosen": "#c58a0b", "pool": "#98a3b1", "filtered": "#8068b3", "bad": "#b8433a"}


def render(facts: Facts, verdict: Facts | None = None) -> str:
    """The whole report as HTML; parts that are missing from `facts`, or a missing verdict, become a sentence each."""
    script = templates.source("report.js")
    found = _common(facts, verdict) | _tables(facts) | _evidence(verdict) | _about(facts, verdict)
    drawn = {
        "plots": _plots(facts, verdict),
        "sections": [each for each in _SECTIONS if each[0] in _shown(found, verdict)],
        "missing": view.MISSING,
        "untested": view.untested(facts),
        "script": script,
        "script_digest": _digest(script),
    }
    return templates.render("report.html", {**found, **drawn})


def fragment(facts: Facts, verdict: Facts | None = None) -> str:
    """A small piece of HTML for a notebook: what was chosen and what became of the rest, in the notebook's own colours.

    >>> "2 rows read = 1 chosen + 1 not chosen" in fragment({"counts": {"input": 2, "chosen": 1, "not_chosen": 1}})
    True
    """
    found = _common(facts, verdict) | {"colours": _FRAGMENT_COLOURS, "unknown": view.UNKNOWN}
    return templates.render("fragment.html", found)


def _shown(found: Mapping[str, Any], verdict: Facts | None) -> set[str]:
    """The sections that this run can have: without a selection there is no cut, and no border beside it."""
    shown = {anchor for anchor, _ in _SECTIONS} - (set() if verdict else {"verdict"})
    cleaned = found["through"] == "kept" and not found["scored"]
    return shown - (set() if found["thrown"] else {"thrown"}) - ({"features", "border"} if cleaned else set())


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _common(facts: Facts, verdict: Facts | None) -> dict[str, Any]:
    sum_, adds_up = view.accounting(facts)
    answer = view.answer(verdict)
    return {
        "sweep": {"name": sweep.NAME, "head": sweep.HEAD, "rows": sweep.rows(verdict), "told": sweep.sentence(verdict)},
        "title": view.title(facts),
        "created": date(part(facts, "created")),
        "verdict": bool(verdict),
        "through": view.through(facts),
        "answer": answer,
        "answer_words": view.stamp(verdict),
        "sentence": view.sentence(verdict),
        "lead": verdicts.split(view.sentence(verdict))[0],
        "explained": verdicts.split(view.sentence(verdict))[1],
        "key_figures": view.key_figures(facts),
        "budget": view.budget(facts),
        "accounting": sum_,
        "adds_up": adds_up,
        "outcomes": [{**entry, "rows_text": count(entry["rows"])} for entry in view.outcomes(facts)],
    }


def _tables(facts: Facts) -> dict[str, Any]:
    counts, score = part(facts, "counts") or {}, part(facts, "score") or {}
    sources = view.sources(facts)
    cut = score.get("cut")
    return {
        "blank": count(counts["blank"]) if counts.get("blank") else "",
        "quarantined": counts.get("quarantined") or 0,
        "funnel": cleaning.funnel(facts),
        "overlaps": any(stage["broken"] for stage in cleaning.funnel(facts)),
        "idle": cleaning.idle(facts),
        "thrown": cleaning.thrown(facts),
        "duplicates": cleaning.duplicates(facts),
        "edits": cleaning.edits(facts),
        "scored": bool(score),
        "quarantine": view.quarantine(facts),
        "sources": sources,
        "most_share": max((max(entry["before"], entry["after"]) for entry in sources), default=1) or 1,
        "features": view.features(facts),
        "borderline": view.borderline(facts),
        "cut_words": f"The last row that came in scored {number(cut)}." if cut is not None else view.MISSING["cut"],
    }


def _evidence(verdict: Facts | None) -> dict[str, Any]:
    """What the verdict's section shows beside its plots."""
    verdict = verdict or {}
    arms = view.arms(verdict)
    difference, multiplier = part(verdict, "difference") or {}, part(verdict, "multiplier") or {}
    return {
        "measures": view.measures(verdict),
        "caveats": [*filter(None, (verdicts.fitted(verdict), verdicts.cost(verdict))), *view.caveats(verdict)],
        "arms": arms,
        "summary": verdicts.arms(verdict),
        "tasks": verdicts.tasks(verdict),
        "proxies": verdicts.proxies(verdict),
        "ranking": verdicts.ranking(verdict),
        "breadth": verdicts.breadth_words(verdict),
        "metric": verdicts.metric(verdict),
        "bigger": bool(verdict.get("bigger")),
        "unit": verdicts.unit(verdict),
        "corrected": verdicts.corrected(verdict),
        "general": any(arm["general"] for arm in arms),
        "interval_drawn": None not in (difference.get("low"), difference.get("high")),
        "confidence": view.confidence(verdict),
        "against": view.against(verdict),
        "reached": multiplier.get("estimate") is not None,
        "banded": None not in (multiplier.get("low"), multiplier.get("high")),
        "censored": multiplier.get("estimate") is None
        and multiplier.get("low") is not None
        and multiplier.get("high") is None,
        "has_pool": any(arm["name"] == "pool" for arm in arms),
    }


def _about(facts: Facts, verdict: Facts | None) -> dict[str, Any]:
    recipe = part(facts, "recipe") or ""
    versions = part(facts, "versions") or {}
    cost = part(verdict, "selection_cost") if verdict else None
    return {
        "recipe": visible(recipe if isinstance(recipe, str) else _indented(recipe)),
        "digest": visible(part(facts, "digest") or ""),
        "versions": [(visible(name), visible(version)) for name, version in versions.items()],
        "assay_version": visible(versions.get("assay", "")),
        "notes": [visible(note) for note in part(facts, "notes") or []],
        "learnt": cleaning.learnt(facts),
        "lacks": cleaning.lacks(facts),
        "about": cleaning.about(facts),
        "stages": [_stage(stage) for stage in part(facts, "stages") or []],
        "cost": _cost(cost) if cost else "",
    }


def _indented(recipe: Any) -> str:
    return json.dumps(recipe, indent=2, ensure_ascii=False, default=str)


def _cost(cost: Facts) -> str:
    return f"Selecting took {duration(cost.get('seconds'))} and read {size(cost.get('bytes_read'))}."


def _stage(stage: Mapping[str, Any]) -> dict[str, str]:
    read, peak, earlier = stage.get("bytes"), stage.get("peak_mb"), stage.get("earlier_seconds")
    return {
        "stage": one_line(stage.get("stage", ""), 60),
        "seconds": f"{duration(earlier)} in earlier runs" if earlier else duration(stage.get("seconds")),
        "bytes": size(read) if read else "",
        "peak": size(peak * 1e6) if peak is not None else "",
    }


def _plots(facts: Facts, verdict: Facts | None) -> dict[str, Any]:
    """The drawings that the facts allow, by name; None for the others."""
    from assay.report import plots  # the drawing library takes a second to import

    wanted = {
        "score": (plots.scores, _histogram(facts, "score")),
        "lengths": (plots.lengths, _histogram(facts, "lengths")),
        "arms": (plots.arms, verdict if _measured(verdict, "arms") else None),
        "curve": (plots.curve, verdict if _measured(verdict, "curve") else None),
        "breadth": (plots.breadth, verdict if verdict and verdicts.breadth(verdict) else None),
    }
    return {name: plots.both(draw, given, name) if given else None for name, (draw, given) in wanted.items()}


def _histogram(facts: Facts, name: str) -> Facts | None:
    given = part(facts, name)
    return given if given and given.get("edges") and sum(given.get("all") or []) else None


def _measured(verdict: Facts | None, name: str) -> bool:
    return any(entry.get("metric") is not None for entry in part(verdict, name) or [])
