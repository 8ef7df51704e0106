"""A sweep over the general share: what a choice gains on its target, and costs elsewhere, as more of it is left to chance.

For each share s the rows are chosen anew from what the run has stored (no text is read, the run stays as it is), and trained on
as an arm of its own in the verdict's plan, so all shares and random have the same cost and the same draws:

    gain(s)    random's metric on the target less the share's          positive: better than random
    change(s)  the same on general text                                negative: breadth was lost

Whether the target is better than random is corrected for the number of shares (Holm, verify/comparisons.py). Whether general
text is worse is not: there "worse" is the warning, and a correction would give it more rarely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Int64

from assay import engine
from assay.errors import RecipeError
from assay.general import MARK, SHARES, WHOLE, Share, parse_share
from assay.recipe import Recipe
from assay.run.passes import Watch, quiet
from assay.run.workers import Workers
from assay.runs import Run
from assay.verify.arms import Plan, Trial
from assay.verify.comparisons import Measured, bounds, corrected
from assay.verify.judge import Result
from assay.verify.verdict import Question, measured

SWEEPS = (MARK,)
_SIDES = (("metric", "gain"), ("general", "change"))


def check(run: Run, sweep: str, shares: Sequence[str], general: Sequence[str]) -> None:
    """Refuse what cannot be swept, in a sentence."""
    if sweep not in SWEEPS:
        raise RecipeError(f"--sweep must be {' or '.join(SWEEPS)}; got {sweep!r}")
    if not general:
        raise RecipeError(
            "--sweep general needs --general FILE, held-out text of everything else, to see what is lost there"
        )
    if run.recipe.select is None:
        raise RecipeError(f"--sweep general needs a run that selects; {run.path} kept whatever was clean")
    asked = parsed(shares, None)
    if len(asked) < 2:
        raise RecipeError(f"--shares must be at least two shares such as {','.join(SHARES)}; got {','.join(shares)!r}")


def parsed(shares: Sequence[str], source: str | None) -> tuple[Share, ...]:
    """Shares in percent, rising, each once; drawn from `source`, or from the whole pool.

    >>> [str(share) for share in parsed(("20", "0%", "20"), None)]
    ['0 %', '20 %']
    """
    found = {parse_share(f"{text.strip().removesuffix('%')}%").parts for text in shares}
    return tuple(Share(parts, source) for parts in sorted(found))


def choices(run: Run, shares: Sequence[str], local: Workers, watch: Watch = quiet) -> dict[str, Int64[np.ndarray, "k"]]:
    """The rows that each share chooses, in row order, by the name of its arm; every step but the reading is done again."""
    recipe, select = run.recipe, run.recipe.select
    assert select is not None
    place = engine.Place(run.path, watch=watch)
    state = engine.resume_state(recipe, place, local, run)
    engine.work(state, recipe, engine.shuffler(place.memory))
    source = None if select.share is None else select.share.source
    return {
        _name(share): np.sort(engine.choose(state, _with(recipe, share)).selection.rows)
        for share in parsed(shares, source)
    }


def _name(share: Share) -> str:
    return f"{MARK} {share}"


def _with(recipe: Recipe, share: Share) -> Recipe:
    """The recipe with another general share."""
    source = f"source:{share.source}=" if share.source else ""
    select = msgspec.structs.replace(recipe.steps[-1], general=f"{source}{100 * share.parts / WHOLE:g}%")
    return msgspec.structs.replace(recipe, steps=(*recipe.steps[:-1], select))


def apart(plan: Plan, results: Sequence[Result]) -> tuple[Plan, list[Result]]:
    """The plan and the results without the sweep's arms, which no verdict compares the choice with."""
    arms = tuple(arm for arm in plan.arms if not _swept(arm.name))
    notes = tuple(note for note in plan.notes if not _swept(note.partition(" holds ")[0]))
    return replace(plan, arms=arms, notes=notes), [one for one in results if not _swept(one.name)]


def _swept(name: str) -> bool:
    return name.startswith(f"{MARK} ")


def curve(plan: Plan, results: Sequence[Result], trial: Trial, question: Question) -> dict[str, Any]:
    """What `verdict.json` says of a sweep: `sweep`, an entry for each share, and `sweep_sentence`; nothing without one."""
    names = list(dict.fromkeys(arm.name for arm in plan.arms if _swept(arm.name)))
    if not names:
        return {}
    sides = [
        next(iter(measured(results, plan, trial, held, which).values())) for which, held in enumerate(question.sets[:2])
    ]
    found = [{name: _one(side, name).compare("random", trial.level) for name in names} for side in sides]
    target = corrected(found[0], trial.level)
    entries = []
    for name in names:
        entry: dict[str, Any] = {"share": _share(name), "arm": name}
        for (key, gap), side, each in zip(_SIDES, sides, found, strict=True):
            entry |= {key: side.mean(name), gap: {**bounds(each[name]), "p": each[name].p}}
        p, answer = target[name]
        entry["gain"]["p_adjusted"] = p
        entries.append({**entry, "answer": answer, "general_answer": found[1][name].answer})
    return {"sweep": entries, "sweep_sentence": advice(entries)}


def _one(side: Measured, name: str) -> Measured:
    """The same measurements with another arm as the choice."""
    return replace(side, arms={**side.arms, "choice": side.arms[name]})


def _share(name: str) -> float:
    return float(name.removeprefix(f"{MARK} ").partition(" %")[0]) / 100


def advice(entries: Sequence[Mapping[str, Any]]) -> str:
    """Which shares help the target and do no harm elsewhere, as far as these trials can tell: a help to pick, not a pick.

    >>> entry = {"answer": "better", "general_answer": "worse", "gain": {"estimate": 0.4}, "change": {"estimate": -0.2}}
    >>> advice([{**entry, "share": 0.0}, {**entry, "share": 0.2, "general_answer": "undecided"}])
    'With a general share of 20 % the target is better than random and general text is not found worse.'
    >>> advice([{**entry, "share": 0.0}])
    'With no share tried is the target better than random without general text being worse; least is lost with 0 %.'
    """
    better = [entry for entry in entries if entry["answer"] == "better"]
    if not better:
        return "With no share tried is the target better than random."
    free = [entry for entry in better if entry["general_answer"] != "worse"]
    if not free:
        least = max(better, key=lambda entry: entry["change"]["estimate"])
        return (
            "With no share tried is the target better than random without general text being worse; "
            f"least is lost with {100 * least['share']:g} %."
        )
    said = [f"{100 * entry['share']:g} %" for entry in free]
    listed = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    won = " (and found better with " + ", ".join(gains) + ")" if (gains := _gains(free)) else ""
    return (
        f"With a general share of {listed} the target is better than random and general text is not found worse{won}."
    )


def _gains(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{100 * entry['share']:g} %" for entry in entries if entry["general_answer"] == "better"]
