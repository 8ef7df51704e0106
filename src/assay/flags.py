"""Flags to a recipe: the command line and the Python functions say the same words, and both end in one tree."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay import catalog, gallery
from assay.errors import RecipeError, suggest
from assay.steps import CHOICES, WORDS

_SHARE = re.compile(r"=([0-9.]+|[^/]*%)$")  # a file may have = in its name
READ = ("text_field", "id_field", "source_field", "text", "score_fields", "scores", "limit", "max_line")
WRITE = ("rows", "format", "compression")
CLEAN = ("recipe", "model", "eval", "dedup", "keep", "good", "bad", "top")
_CLEANING = ("annotate", "filter", "group", "edit", "where")


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only the flags that somebody gave."""
    return {key: value for key, value in values.items() if value is not None and value != [] and value != ()}


def tree(base: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tree with flags laid over it, ending in a selection; `base` is a recipe, an earlier run's, or only a pool.

    >>> tree({"pool": ["a.jsonl"]}, {"method": "random", "budget": "10%"})["steps"]
    [{'select': 'random', 'budget': '10%'}]
    """
    flags = _staged(given(flags))
    result = _laid(base, flags)
    steps = list(result.get("steps", ()))
    if "method" in flags or not any("select" in step for step in steps):
        steps = [step for step in steps if any(kind in step for kind in _CLEANING)]
        steps += _method_steps(str(flags.get("method") or _default_method(result)))
    last = {**steps[-1]}
    if "select" in flags:
        last = {"select": flags["select"], **{key: last[key] for key in CHOICES if key in last}}
    last |= {key: flags[key] for key in CHOICES if key in flags}
    before = _cleaned(steps[:-1], flags, kept="longest")
    result["steps"] = _set([*before, *_wheres(flags), last], flags.get("set", ()))
    return result


def clean_tree(base: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a recipe that only cleans: what no step drops is kept.

    >>> clean_tree({"pool": ["a.jsonl"]}, {"eval": ["e.jsonl"], "dedup": ["exact"]})["steps"]
    [{'filter': 'decontaminate', 'target': ['e.jsonl']}, {'group': 'exact', 'keep': 'longest'}]
    """
    flags = given(flags)
    result = _laid(base, flags)
    steps = list(result.get("steps", ()))
    if any("select" in step for step in steps):
        raise RecipeError("this recipe selects, and assay clean keeps whatever is clean; run it with assay select")
    steps = [*_cleaned(steps, flags, kept="longest"), *_wheres(flags)]
    if not steps:
        raise RecipeError(
            "give clean something to do: --recipe NAME, --eval FILE, --dedup minhash, --good FILE or --where; the recipes "
            f"that ship are {', '.join(gallery.cleaning())}"
        )
    result["steps"] = _set(steps, flags.get("set", ()))
    return result


def _staged(flags: dict[str, Any]) -> dict[str, Any]:
    """A method of several stages is a recipe that ships: `--method less --model PATH` opens it.

    >>> _staged({"method": "random"}), _staged({"method": "gopher"})
    ({'method': 'random'}, {'recipe': 'gopher'})
    """
    name = flags.get("method")
    if name not in gallery.shipped() or "recipe" in flags:
        return flags
    return {**{key: value for key, value in flags.items() if key != "method"}, "recipe": name}


def _laid(base: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that `--recipe` names under the base, and all flags that are no steps over both."""
    result = dict(base)
    if "recipe" in flags:
        opened = gallery.load(str(flags["recipe"]), gallery.models(flags.get("model", ())))
        steps = [*opened["steps"], *base.get("steps", ())]
        result = {**{key: value for key, value in opened.items() if key != "pool"}, **base, "steps": steps}
    elif "model" in flags:
        raise RecipeError("--model names a file that a recipe leaves open; give --recipe too")
    result["read"] = {**result.get("read", {}), **{key: flags[key] for key in READ if key in flags}}
    result["write"] = {**result.get("write", {}), **{key: flags[key] for key in WRITE if key in flags}}
    result |= {key: flags[key] for key in ("seed", "tokenizer") if key in flags}
    if "target" in flags:
        result.pop("target", None)
        result["targets"] = (
            [parse_target(text) for text in flags["target"]]
            if _shared(flags["target"])
            else [{"path": list(flags["target"])}]
        )
    return result


def _wheres(flags: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"where": text} for text in flags.get("where", ())]


def _cleaned(steps: list[dict[str, Any]], flags: Mapping[str, Any], kept: str) -> list[dict[str, Any]]:
    """Cleaning that flags ask for around a recipe's own: eval items first, then quality, then duplicates."""
    first, scored, last = [], [], []
    if "eval" in flags:
        first.append({"filter": "decontaminate", "target": list(flags["eval"])})
    if "good" in flags:
        bad = {"against": list(flags["bad"])} if "bad" in flags else {}
        scored.append({"score": "quality_classifier", "target": list(flags["good"]), **bad})
        kept = "best:quality_classifier"
    elif "bad" in flags or "top" in flags:
        raise RecipeError("--bad and --top belong to --good FILE, examples of good text; give that too")
    if "top" in flags:
        scored.append({"where": f"percent_rank(quality_classifier) >= {1 - _share(flags['top']):.6g}"})
    if "keep" in flags and "dedup" not in flags:
        raise RecipeError("--keep says which of several copies stays; give --dedup too, minhash for example")
    for name in flags.get("dedup", ()):
        if not any(step.get("group") == name for step in steps):
            last.append({"group": name, "keep": flags.get("keep", kept), **_at_most(name)})
        elif "keep" in flags:
            steps = [{**step, "keep": flags["keep"]} if step.get("group") == name else step for step in steps]
    place = next((at for at, step in enumerate(steps) if "group" in step or "score" in step), len(steps))
    return [*first, *steps[:place], *scored, *last, *steps[place:]]


def _at_most(name: str) -> dict[str, float]:
    """Groups that measure a share need to be told how much of a row may stand elsewhere."""
    shares = catalog.load("group", name).gives == "share"
    return {"at_most": 0.5} if shares else {}


def _share(text: str) -> float:
    """A share such as 30% or 0.3."""
    try:
        value = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise RecipeError(f"--top must be a share such as 30%; got {text!r}")
    return value


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
    kinds = catalog.kinds_of(name)
    if "select" in kinds:
        return [{"select": name}]
    kind = next((kind for kind in ("score", "annotate") if kind in kinds), None)
    if kind is None:
        raise RecipeError(
            f"--method must be a scorer or a selector; {name!r} is of the kind {kinds[0]}: put it into a recipe"
        )
    rank = getattr(catalog.load(kind, name), "rank_by", "")
    ranked = {"rank": rank} if rank else {"rank": name} if kind == "annotate" else {}
    return [{kind: name}, {"select": "top_k", **ranked}]


def _set(steps: list[dict[str, Any]], settings: Sequence[str]) -> list[dict[str, Any]]:
    """Lay `--set dsir.buckets=65536` over the steps of that name; of two kinds, over those that have the parameter."""
    steps = [dict(step) for step in steps]
    for setting in settings:
        name, equals, value = setting.partition("=")
        method, dot, parameter = name.rpartition(".")
        found = [step for step in steps if method in (step.get("as"), *(step.get(kind) for kind in catalog.KINDS))]
        if not (equals and dot and found):
            raise RecipeError(
                f"--set must look like METHOD.PARAMETER=VALUE for a method of the recipe; got {setting!r}"
            )
        taking = [step for step in found if parameter in _parameters(step)]
        if not taking:
            known = sorted({known for step in found for known in _parameters(step)})
            raise RecipeError(f"{method} has no parameter {parameter!r}; {suggest(parameter, known)}")
        for step in taking:
            step[parameter] = _value(value)
    return steps


def parameters(method: str, settings: Sequence[str]) -> dict[str, Any]:
    """What `--set METHOD.PARAMETER=VALUE` says of the only method there is.

    >>> parameters("regmix", ["regmix.best=64", "regmix.variant=reference"])
    {'best': 64, 'variant': 'reference'}
    """
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        owner, dot, parameter = name.rpartition(".")
        if not (equals and dot and owner == method):
            raise RecipeError(f"--set must look like {method}.PARAMETER=VALUE; got {setting!r}")
        found[parameter] = _value(value)
    return found


def _parameters(step: Mapping[str, Any]) -> list[str]:
    """The hyperparameters that a step's method has, and the engine's words for it."""
    kind = next(kind for kind in catalog.KINDS if kind in step)
    return [field.name for field in dataclasses.fields(catalog.load(kind, step[kind]))] + list(WORDS.get(kind, ()))


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
