"""What methods there are: the file name is the registration, and nothing is imported until it is asked for.

A method outside this package registers as an entry point of the group `assay.methods` named `kind.name`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from assay.errors import RecipeError, suggest
from assay.run import source

KINDS = ("annotate", "filter", "score", "group", "select", "mix", "sample", "edit")
_HERE = Path(__file__).parent


def methods(kind: str) -> list[str]:
    """Names of all methods of a kind, without importing any.

    >>> "dsir" in methods("score"), "top_k" in methods("select")
    (True, True)
    """
    inside = [module.name for module in pkgutil.iter_modules([str(_HERE / kind)]) if not module.name.startswith("_")]
    return sorted(inside + [name for entry_kind, name in _outside() if entry_kind == kind])


@functools.cache
def _outside() -> dict[tuple[str, str], Any]:
    entries = entry_points(group="assay.methods")
    return {(entry.name.partition(".")[0], entry.name.partition(".")[2]): entry for entry in entries}


def kinds_of(name: str) -> list[str]:
    """The kinds that have a method of this name, one or more; raises RecipeError with the nearest name.

    >>> kinds_of("pii")
    ['annotate', 'filter']
    """
    if found := [kind for kind in KINDS if name in methods(kind)]:
        return found
    everything = [known for kind in KINDS for known in methods(kind)]
    raise RecipeError(f"there is no method {name!r}; {suggest(name, everything)}")


def load(kind: str, name: str) -> type:
    """The class of a method."""
    if name not in methods(kind):
        raise RecipeError(f"there is no {kind} method {name!r}; {suggest(name, methods(kind))}")
    if (entry := _outside().get((kind, name))) is not None:
        return entry.load()
    module = importlib.import_module(f"assay.{kind}.{name}")
    return next(found for _, found in inspect.getmembers(module, inspect.isclass) if _is_method(found, module.__name__))


def source_digest(kind: str, name: str) -> str:
    """A digest of the method's own source and of all kernels: what an older version of them computed is never taken for
    its own."""
    return source.source_digest(load(kind, name))


def _is_method(found: type, module: str) -> bool:
    return found.__module__ == module and hasattr(found, "needs") and hasattr(found, "paper")


def build(kind: str, name: str, parameters: dict[str, Any]) -> Any:
    """A method with its hyperparameters; unknown ones and wrong types are refused by name."""
    cls = load(kind, name)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in parameters:
        if key not in fields:
            raise RecipeError(f"{name} has no parameter {key!r}; {suggest(key, fields)}")
    return cls(**{key: _convert(name, fields[key], value) for key, value in parameters.items()})


def _convert(name: str, field: dataclasses.Field, value: Any) -> Any:
    wanted = str(field.type).removesuffix(" | None")
    if value is None and wanted != field.type:
        return None
    if wanted == "tuple[str, ...]":
        value = (value,) if isinstance(value, str) else value
    if wanted not in _TYPES:
        return value
    convert, said = _TYPES[wanted]
    if (converted := convert(value)) is None:
        raise RecipeError(f"{name}: {field.name} must be {said}; got {value!r}")
    return converted


def _number(value: Any) -> float | None:
    """A number, perhaps in words ("inf"); no truth value, and nothing that is not a number."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if number is None or math.isnan(number) else number


def _whole(value: Any) -> int | None:
    number = _number(value)
    if number is None or not number.is_integer():
        return None
    return value if isinstance(value, int) else int(number)


def _strings(value: Any) -> tuple[str, ...] | None:
    several = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    return tuple(value) if several else None


_TYPES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "int": (_whole, "a number (int)"),
    "float": (_number, "a number (float)"),
    "str": (lambda value: value if isinstance(value, str) else None, "a string"),
    "tuple[str, ...]": (_strings, "a list of strings"),
}


def describe(kind: str, name: str) -> dict[str, Any]:
    """What `assay methods NAME` prints: first sentence, paper, needs, parameters with defaults and what they mean,
    documentation."""
    cls = load(kind, name)
    fields, documentation = dataclasses.fields(cls), inspect.getdoc(inspect.getmodule(cls)) or ""
    return {
        "name": name,
        "kind": kind,
        "paper": cls.paper,
        "needs": list(cls().needs),
        "reads": list(cls().reads),
        "target": getattr(cls, "uses_target", "no"),
        "summary": " ".join(inspect.cleandoc(documentation).split("\n\n")[0].split()),
        "documentation": documentation,
        "fields": (inspect.getdoc(cls) or "").partition(">>>")[0].strip(),
        "parameters": {field.name: field.default for field in fields},
    }


def unmade(who: str, name: str, known: Iterable[str]) -> str:
    """What to say of a step that reads a signal which is not there, with the step that would make it.

    >>> print(unmade("kmeans", "embed", ["bytes"]))
    kmeans reads the signal 'embed', which no step before it has made: put { annotate = "embed" } before it
    """
    makers = [(kind, one) for kind in ("annotate", "score", "group") for one in methods(kind) if _makes(one, name)]
    kind, maker = max(makers, key=lambda one: len(one[1]), default=("", ""))
    cure = f': put {{ {kind} = "{maker}" }} before it' if maker else f"; {suggest(name, known)}"
    return f"{who} reads the signal {name!r}, which no step before it has made{cure}"


def _makes(method: str, signal: str) -> bool:
    """Methods name their signals after themselves."""
    return signal == method or signal.startswith(f"{method}_")


def needing_no_target() -> list[str]:
    """Methods that can choose without a target, and without a score that rows carry already or signals of earlier steps."""
    scorers = [name for name in methods("score") if load("score", name).uses_target != "required"]
    alone = [name for name in methods("select") if "score" not in load("select", name).needs]
    found = [("score", name) for name in scorers] + [("select", name) for name in alone]
    return sorted({name for kind, name in found if not load(kind, name)().reads})

