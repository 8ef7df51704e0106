"""Flags to a recipe: the command line and the Python functions say the same words, and both end in one tree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay import catalog
from assay.errors import RecipeError

_SHARE = re.compile(r"=([0-9.]+|[^/]*%)$")  # a file may have = in its name
READ = ("text_field", "id_field", "source_field", "text", "score_fields", "scores", "limit", "max_line")
WRITE = ("rows", "format", "compression")


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only the flags that somebody gave."""
    return {key: value for key, value in values.items() if value is not None and value != [] and value != ()}


def tree(base: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tree with flags laid over it; `base` is a recipe, an earlier run's recipe, or only a pool.

    >>> tree({"pool": ["a.jsonl"]}, {"method": "random", "budget": "10%"})["steps"]
    [{'select': 'random', 'budget': '10%'}]
    """
    flags = given(flags)
    result = dict(base)
    result["read"] = {**base.get("read", {}), **{key: flags[key] for key in READ if key in flags}}
    result["write"] = {**base.get("write", {}), **{key: flags[key] for key in WRITE if key in flags}}
    result |= {key: flags[key] for key in ("seed", "tokenizer") if key in flags}
    if "target" in flags:
        result.pop("target", None)
        result["targets"] = (
            [parse_target(text) for text in flags["target"]]
            if _shared(flags["target"])
            else [{"path": list(flags["target"])}]
        )
    result["steps"] = _steps(list(base.get("steps", ())), result, flags)
    return result


def _shared(targets: Sequence[str]) -> bool:
    return any(_SHARE.search(text) for text in targets)


def parse_target(text: str) -> dict[str, Any]:
    """Read `code.jsonl=30%`: a target and its share.

    >>> parse_target("code.jsonl=30%")
    {'path': ['code.jsonl'], 'share': 0.3}
    """
    path, equals, share = text.rpartition("=")
    try:
        number = float(share.rstrip("%")) / (100 if share.endswith("%") else 1)
    except ValueError:
        number = 0.0
    if not equals or number <= 0:
        raise RecipeError(f"with several shares every target must look like FILE=30%; got {text!r}")
    return {"path": [path], "share": number}


def _steps(steps: list[dict[str, Any]], result: Mapping[str, Any], flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "method" in flags or not steps:
        steps = _method_steps(str(flags.get("method") or _default_method(result)))
    last = {**steps[-1]}
    if "select" in flags:
        last = {"select": flags["select"], **{key: last[key] for key in ("budget", "rank", "quota") if key in last}}
    last |= {key: flags[key] for key in ("budget", "rank", "quota") if key in flags}
    wheres = [{"where": text} for text in flags.get("where", ())]
    return _set([*steps[:-1], *wheres, last], flags.get("set", ()))


def _default_method(result: Mapping[str, Any]) -> str:
    if result.get("target") or result.get("targets"):
        return "dsir"
    if result["read"].get("score_fields") or result["read"].get("scores"):
        return "top_k"
    free = ", ".join(catalog.needing_no_target())
    raise RecipeError(
        f"give --target FILE with examples of what you want, a score with --score-field, or a --method that needs none: {free}"
    )


def _method_steps(name: str) -> list[dict[str, Any]]:
    kind = catalog.kind_of(name)
    if kind == "select":
        return [{"select": name}]
    if kind == "score":
        return [{"score": name}, {"select": "top_k"}]
    raise RecipeError(f"--method must be a scorer or a selector; {name!r} is of the kind {kind}: put it into a recipe")


def _set(steps: list[dict[str, Any]], settings: Sequence[str]) -> list[dict[str, Any]]:
    """Lay `--set dsir.buckets=65536` over the step of that name."""
    steps = [dict(step) for step in steps]
    for setting in settings:
        name, equals, value = setting.partition("=")
        method, dot, parameter = name.rpartition(".")
        found = [step for step in steps if method in (step.get("as"), step.get("score"), step.get("select"))]
        if not (equals and dot and found):
            raise RecipeError(
                f"--set must look like METHOD.PARAMETER=VALUE for a method of the recipe; got {setting!r}"
            )
        for step in found:
            step[parameter] = _value(value)
    return steps


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
