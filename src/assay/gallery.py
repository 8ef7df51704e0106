"""Recipes that ship, and what a recipe leaves open: `$name` stands for a file that only its user has,
`$name or this` for one that may be left to the recipe.

A step whose `$name` is not given is left out, with the steps that go `with` it, and the recipe says what it therefore lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from assay.errors import RecipeError, suggest
from assay.io import files
from assay.recipe import read_tree

_FOLDER = Path(__file__).parent / "recipes"


def shipped() -> list[str]:
    """The names of the recipes that ship.

    >>> "fineweb" in shipped()
    True
    """
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def cleaning() -> list[str]:
    """Those that clean; the others are methods of several stages, which `--method` opens.

    >>> "fineweb" in cleaning(), "less" in cleaning()
    (True, False)
    """
    return [name for name in shipped() if not any("select" in step for step in load(name, {})["steps"])]


def describe(name: str) -> dict[str, Any]:
    """What `assay methods NAME` prints of a recipe that ships, under the names of `catalog.describe`.

    >>> describe("d4")["documentation"].splitlines()[2:4]
    ['    annotate embed     model = $model or all-minilm-l6-v2', '    group kmeans       as = cell']
    """
    tree = read_tree(files.read_bytes(str(_FOLDER / f"{name}.toml")).decode())
    steps, lacks = [_words(step) for step in tree["steps"]], [f"lacks   {each}" for each in tree.get("lacks", ())]
    return {
        "name": name,
        "kind": "recipe" if name in cleaning() else "stages",
        "paper": tree.get("sources", []),
        "summary": tree["about"],
        "documentation": "\n\n".join([tree["about"], "\n".join(steps), *lacks]),
    }


def _words(step: Mapping[str, Any]) -> str:
    """A step in a line: its kind and name, then what it is given."""
    (kind, what), *given = [(key, value) for key, value in step.items() if key not in ("lacking", "with")]
    return f"    {f'{kind} {what}':18} {', '.join(f'{key} = {value}' for key, value in given)}".rstrip()


def load(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """A recipe's tree, by the name of one that ships or by its path, closed with the files `given` by name."""
    if not name.endswith(".toml") and name not in shipped():
        raise RecipeError(f"there is no recipe {name!r}; {suggest(name, shipped())}, or give the path of a .toml file")
    path = str(_FOLDER / f"{name}.toml") if name in shipped() else name
    tree = read_tree(files.read_bytes(path).decode("utf-8", "replace"), path)
    return close(tree, given, PurePath(name).stem)


def close(tree: Mapping[str, Any], given: Mapping[str, str], name: str = "") -> dict[str, Any]:
    """The same without open ends: `$name` replaced by what is given, other such steps left out and told of in `lacks`.

    >>> step = {"annotate": "fasttext", "model": "$language", "lacking": "language: give --model language=FILE"}
    >>> close({"steps": [step, {"where": "language = 'en'", "with": "language"}]}, {})["origin"]["lacks"]
    ['language: give --model language=FILE']
    """
    tree, steps, lacks = dict(tree), _tables(tree.get("steps", ())), []
    told = tree.pop("lacks", [])
    if not isinstance(told, list) or not all(isinstance(each, str) for each in told):
        raise RecipeError(f"lacks must be a list of strings; got {told!r}")
    opened = {_name(value) for step in steps for value in step.values() if _is_open(value)}
    steps = [_filled(step, given) for step in steps]
    if "model" in set(given) - opened:
        raise RecipeError(f"--model must look like NAME=FILE; {_near('model', opened)}")
    if unknown := set(given) - opened:
        raise RecipeError(
            f"--model {min(unknown)}=... names nothing that the recipe leaves open; {_near(min(unknown), opened)}"
        )
    kept = []
    for step in steps:
        wants, beside = {value[1:] for value in step.values() if _is_open(value)}, step.pop("with", None)
        if beside is not None and beside not in opened:
            raise RecipeError(f"with = {beside!r} names nothing that the recipe leaves open; {_near(beside, opened)}")
        lacking = step.pop("lacking", None) or _lacking(step, wants)
        wants |= set() if beside is None else {beside}
        if wants <= set(given):
            kept.append({key: given[value[1:]] if _is_open(value) else value for key, value in step.items()})
        elif lacking:
            lacks.append(lacking)
    about = {key: tree.pop(key) for key in ("about", "sources") if key in tree}
    closed = {"name": name, **about, "lacks": [*told, *lacks]}
    return {**tree, "steps": kept, **({"origin": closed} if name or about or lacks else {})}


def _tables(steps: Any) -> list[dict[str, Any]]:
    if not isinstance(steps, list | tuple) or not all(isinstance(step, Mapping) for step in steps):
        raise RecipeError(f"steps must be a list of tables such as {{ filter = 'c4' }}; got {steps!r}")
    return [dict(step) for step in steps]


def _lacking(step: Mapping[str, Any], wants: set[str]) -> str:
    """What to say of a step that is left out and does not say it itself; nothing of one that only goes with another."""
    named = next((str(value) for value in step.values() if not _is_open(value)), "a step")
    flags = " and ".join(f"--model {name}=FILE" for name in sorted(wants))
    return f"{named}: give {flags}" if wants else ""


def _near(word: Any, opened: set[str]) -> str:
    return suggest(str(word), sorted(opened)) if opened else "it leaves nothing open"


def _name(value: str) -> str:
    return value[1:].partition(" or ")[0]


def _filled(step: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """A step with `$name or default` closed: what is given by that name, or what stands there."""
    defaults = {key: value for key, value in step.items() if _is_open(value) and " or " in value}
    return {**step, **{key: given.get(_name(value), value.partition(" or ")[2]) for key, value in defaults.items()}}


def _is_open(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("$")


def models(words: Sequence[str]) -> dict[str, str]:
    """Read `language=lid.176.ftz`: files by the name under which a recipe leaves them open; without a name, `model`.

    >>> models(["language=lid.176.ftz", "lm-nano"])
    {'language': 'lid.176.ftz', 'model': 'lm-nano'}
    """
    pairs = [word.partition("=") if "=" in word else ("model", "=", word) for word in words]
    for word, (name, equals, path) in zip(words, pairs, strict=True):
        if not (name and equals and path):
            raise RecipeError(f"--model must look like NAME=FILE; got {word!r}")
    return {name: path for name, _, path in pairs}
