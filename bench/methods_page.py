"""The pages of all methods, from their own docstrings, the recipes that use them and the board: docs/methods.md is made of it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay import catalog, gallery

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "recipes", ROOT / "src" / "assay" / "recipes")
BOARDS = {"board": "the board", "board_models": "the board of methods that ask a model"}
KINDS = {
    "annotate": "Measures: annotators", "filter": "Rules: filters", "score": "Scores", "group": "Groups", "select": "Selectors",
    "mix": "Mixtures", "sample": "Choosing while training", "edit": "Edits",
}  # fmt: skip


def page() -> str:
    """All kinds, each with its methods in the order of their names."""
    found = []
    for kind, title in KINDS.items():
        names = catalog.methods(kind)
        if names:
            links = ", ".join(f"[{name}](#{anchor(kind, name)})" for name in names)
            found += [f"## {title}", links, *(entry(kind, name) for name in names)]
    staged = [name for name in gallery.shipped() if name not in gallery.cleaning()]
    links = ", ".join(f"[{name}](#{anchor('stages', name)})" for name in staged)
    return "\n\n".join([*found, "## Methods of several stages, which `--method` opens", links, *map(stages, staged)]) + "\n"


def stages(name: str) -> str:
    """A method that is a recipe: what it is, its steps, what it lacks, its sources, and what the board says."""
    told = gallery.describe(name)
    sources = ", ".join(f"<{one.split()[0]}>" for one in told["paper"])
    lines = [f"### stages {name}", told["documentation"], f"Sources: {sources}.", *board(name)]
    return "\n\n".join([*lines, f"Recipe: `src/assay/recipes/{name}.toml`."])


def anchor(kind: str, name: str) -> str:
    """As GitHub makes one of the heading."""
    return f"{kind}-{name}".lower()


def entry(kind: str, name: str) -> str:
    """One method: what it is, its formula, what it reads, its parameters, and where it is used."""
    told = catalog.describe(kind, name)
    parts = [f"### {kind} {name}", told["documentation"].strip(), *lines(kind, name, told)]
    if told["parameters"]:
        rows = [f"| `{key}` | `{value!r}` |" for key, value in told["parameters"].items()]
        parts += ["\n".join(["| parameter | default |", "| --- | --- |", *rows]), told["fields"]]
    return "\n\n".join(part for part in parts if part)


def lines(kind: str, name: str, told: dict[str, Any]) -> Iterator[str]:
    """Facts of one line each."""
    yield f"Source: <{told['paper']}>" if told["paper"].startswith("http") else ""
    read = [*told["needs"], *told["reads"]]
    yield f"Reads {', '.join(f'`{one}`' for one in read)}; a target is {target(told['target'])}." if read else ""
    users = [f"`{path}`" for path in recipes_with(kind, name)]
    yield f"Recipes: {', '.join(users)}." if users else ""
    yield from board(name)


def target(word: str) -> str:
    """Whether it learns from examples of what is wanted."""
    return {"required": "required", "optional": "optional"}.get(word, "not used")


def recipes_with(kind: str, name: str) -> Iterator[str]:
    """The recipes of the repository with a step of that method."""
    for folder in RECIPES:
        for path in sorted(folder.glob("*.toml")):
            steps = tomllib.loads(path.read_text("utf-8")).get("steps", [])
            if any(step.get(kind) == name for step in steps):
                yield str(path.relative_to(ROOT))


def board(name: str) -> Iterator[str]:
    """What the boards say of a method of that name, judged by each proxy."""
    for page, title in BOARDS.items():
        path = ROOT / "bench" / "results" / f"{page}.json"
        for one in json.loads(path.read_text("utf-8"))["summaries"] if path.exists() else ():
            for row in one["rows"]:
                if row["method"] == name:
                    answers = row["against"]["random"]
                    yield (
                        f"On [{title}]({page.replace('_', '-')}.md), judged by `{one['proxy']}`: better than random in "
                        f"{answers['better']} of {sum(answers.values())} trials, worse in {answers['worse']}."
                    )
