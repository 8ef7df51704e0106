"""Steps: what a recipe does in order, each one a `where` expression, or a method with its hyperparameters and words.

Words are the engine's, hyperparameters the method's: `as` names a signal, `target` and `against` name files, `keep` says which
copy of several stays, `at_most` how much of a row may stand elsewhere, and `rank`, `quota`, `general` and `budget` belong to the
selection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, final

import msgspec

from assay import catalog
from assay.errors import RecipeError, suggest
from assay.general import Share, parse_share

STEP_KINDS = ("where", *catalog.KINDS)
RUNS = ("where", "annotate", "filter", "score", "group", "edit", "select")
MEASURED = ("bytes", "row_hash", "source", "order")  # signals that every pool has
CHOICES = ("rank", "quota", "general", "budget")
WORDS: dict[str, tuple[str, ...]] = {
    "where": (),
    "annotate": ("as", "target"),
    "filter": ("target",),
    "score": ("as", "target", "against"),
    "group": ("as", "keep", "at_most"),
    "edit": ("target",),
    "select": ("as", *CHOICES),
}
_KEEP = re.compile(r"first|longest|best:.+")


@final
class Step(msgspec.Struct, frozen=True):
    """One step: a `where` expression, or a method with its hyperparameters and the engine's words."""

    kind: str
    name: str
    alias: str
    parameters: dict[str, Any]
    rank: str | None = None
    quota: str | None = None
    budget: str | None = None
    general: str | None = None
    target: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    keep: str | None = None
    at_most: float | None = None

    @property
    def share(self) -> Share | None:
        """The share of the choice that is drawn at random; None where there is none."""
        share = None if self.general is None else parse_share(self.general)
        return share if share is not None and share.parts else None

    def methods(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """The methods that it runs, as (kind, name, parameters): its own, and the annotators of a filter."""
        if self.kind == "where":
            return []
        own = [(self.kind, self.name, self.parameters)]
        if self.kind != "filter":
            return own
        measured = catalog.build("filter", self.name, self.parameters).measured
        return own + [("annotate", name, given) for name, given in measured]


def parse_step(tree: Mapping[str, Any]) -> Step:
    """One step: exactly one key names its kind, the rest are its words and the method's hyperparameters."""
    if not isinstance(tree, Mapping):
        raise RecipeError(f"a step must be a table such as {{ score = 'dsir' }}; got {tree!r}")
    kind, name = _kind(tree)
    words = {key: tree[key] for key in WORDS.get(kind, ()) if key in tree}
    parameters = {key: _finite(value) for key, value in tree.items() if key not in (kind, *words)}
    if kind == "where" and parameters:
        raise RecipeError(f"a where step has no key {next(iter(parameters))!r}; it is one expression")
    if kind != "select" and any(word in parameters for word in CHOICES):
        raise RecipeError(f"rank, quota, general and budget belong to a select step; got them on {name!r}")
    alias = "where" if kind == "where" else str(words.pop("as", name))
    return Step(kind, name, alias, parameters, **{word: _word(word, value, name) for word, value in words.items()})


def _kind(tree: Mapping[str, Any]) -> tuple[str, str]:
    """The kind of a step and what it names."""
    kinds = [key for key in tree if key in STEP_KINDS]
    kinds = [key for key in kinds if isinstance(tree[key], str)] or kinds  # a parameter may be called as a kind: sample = 64
    if len(kinds) != 1:
        key = next(iter(tree), "")
        raise RecipeError(
            f"a step must have exactly one of {', '.join(STEP_KINDS)}; got {dict(tree)}: {suggest(key, STEP_KINDS)}"
        )
    kind = kinds[0]
    if kind not in RUNS:
        raise RecipeError(f"this version runs {', '.join(RUNS[:-1])} and {RUNS[-1]} steps; got {kind} = {tree[kind]!r}")
    if not isinstance(tree[kind], str):
        raise RecipeError(
            f"{kind} must be {'an expression' if kind == 'where' else 'the name of a method'}; got {tree[kind]!r}"
        )
    return kind, tree[kind]


def _finite(value: Any) -> Any:
    """A parameter as JSON can hold it: `inf` in letters, which methods read as the number."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _word(word: str, value: Any, name: str) -> Any:
    """A word's value in its own type; refused in a sentence where it cannot be one."""
    if word in ("target", "against"):
        return paths(value, f"{word} of {name}")
    if word == "at_most":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RecipeError(f"{name}: at_most must be a share from 0 to 1; got {value!r}")
        return float(value)
    if word == "keep" and not (isinstance(value, str) and _KEEP.fullmatch(value)):
        raise RecipeError(f'{name}: keep must be "first", "longest" or "best:SIGNAL"; got {value!r}')
    if word == "general" and value is not None:
        parse_share(str(value))
    return None if value is None else str(value)


def paths(value: Any, key: str) -> tuple[str, ...]:
    """A path, a glob or a list of them, as a tuple."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values or not all(isinstance(path, str) for path in values):
        raise RecipeError(f"{key} must be a path, a glob or a list of them; got {value!r}")
    return tuple(values)


def to_tree(step: Step) -> dict[str, Any]:
    """A step as the table that `parse_step` reads back to an equal one.

    >>> to_tree(parse_step({"group": "exact", "keep": "longest"}))
    {'group': 'exact', 'keep': 'longest'}
    """
    words = {word: getattr(step, word) for word in (*CHOICES, "target", "against", "keep", "at_most")}
    given = {
        word: list(value) if isinstance(value, tuple) else value
        for word, value in words.items()
        if value not in (None, ())
    }
    alias = {"as": step.alias} if step.kind in ("score", "annotate", "group") and step.alias != step.name else {}
    return {step.kind: step.name, **alias, **step.parameters, **given}


def check(steps: tuple[Step, ...]) -> None:
    """Refuse what no run could do: a selection before the end, methods that are not there, two signals of one name."""
    if any(step.kind == "select" for step in steps[:-1]):
        raise RecipeError(
            "a recipe must end with its one select step, for example { select = 'top_k', budget = '10%' }"
        )
    for step in steps:
        if step.kind != "where":
            catalog.build(step.kind, step.name, step.parameters)
        if step.quota is not None and step.share is not None and step.share.source is not None:
            raise RecipeError(
                f"a quota already says what comes from which source; put {step.share.source}>={step.share.parts / 100:g}% into it "
                f"instead of general = {step.general!r}"
            )
        if step.at_most is not None and catalog.load("group", step.name).gives != "share":
            raise RecipeError(
                f"{step.name} keeps one row of each group and measures no share; leave at_most = {step.at_most} out"
            )
    names = [step.alias for step in steps if step.kind in ("score", "group")]
    check_names([*names, *(step.alias for step in steps if step.kind == "annotate")])
    if twice := {name for name in names if names.count(name) > 1}:
        raise RecipeError(f'two steps make a signal called {min(twice)!r}; give one another name with as = "..."')


def check_names(names: list[str]) -> None:
    """Names that signals may have."""
    for name in names:
        if name in MEASURED or not re.fullmatch(r"[\w.:-]+", name):
            raise RecipeError(
                f"a score must have a name of letters, digits, . _ - and not one of {', '.join(MEASURED)}, "
                f"which are taken; got {name!r}"
            )
