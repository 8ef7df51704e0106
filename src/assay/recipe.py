"""A recipe: the frozen tree of everything that decides what is chosen, as TOML mirrors it.

```toml
pool = "crawl/*.jsonl.zst"
target = "target.jsonl"
steps = [
  { score = "dsir" },
  { select = "top_k", budget = "10%", quota = "source:code>=10%" },
]
```

Where things lie (`--out`, `--store`) and how they run (`--workers`) is not in it: they change no answer.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal, final, get_args, get_type_hints

import msgspec
import xxhash

from assay import catalog, steps
from assay.contracts import AIM
from assay.errors import RecipeError, suggest
from assay.general import SHARES
from assay.io.remote import bare
from assay.io.secrets import identity
from assay.steps import Step
from assay.types import Budget


@final
class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How rows are read: fields by name (dots for nesting), a template in place of a text field, and limits."""

    text_field: str | None = None
    id_field: str | None = None
    source_field: str | None = None
    text: str | None = None
    score_fields: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    limit: int | None = None
    max_line: int = 64_000_000


@final
class Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written: whole rows, ids only, or nothing but the manifest; `same` keeps the input's own form."""

    rows: Literal["rows", "ids", "none"] = "rows"
    format: Literal["same", "jsonl", "parquet"] = "same"
    compression: Literal["same", "none", "gzip", "zstd"] = "same"


@final
class Verify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trial to run after selecting; `assay verify` takes the same words as flags.

    eval           held-out text of what the choice is for
    general        held-out text of everything else
    tasks          files of multiple-choice or answer items, scored by likelihood
    against        whom to beat: `random`, `cleaned` (the pool after the run's own cleaning), or other runs' folders
    proxy          which models judge, the one that decides last
    seeds          draws of random; None: what the proxy is used to
    decontaminate  remove rows that overlap the eval sets, instead of refusing
    rivals         arms beside random: `length`, `rs2`
    epochs         passes over the data
    units          at most so many bytes (`ngram`) or tokens for each arm; None: what the proxy is used to
    cache          where results of trials are kept; None: the run's store
    instructions   rows are prompts with responses or chats: only responses are learnt and scored
    sweep          `general`: also try the choice with several general shares
    shares         those shares, in percent
    """

    eval: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    against: tuple[str, ...] = ("random",)
    proxy: tuple[str, ...] = ("ngram",)
    seeds: int | None = None
    decontaminate: bool = False
    rivals: tuple[str, ...] = ("length",)
    epochs: int = 1
    units: str | int | None = None
    cache: str | None = None
    instructions: bool = False
    sweep: str | None = None
    shares: tuple[str, ...] = SHARES


@final
class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A target and its share of the choice; several targets split the budget."""

    path: tuple[str, ...]
    share: float = 1.0

    @property
    def name(self) -> str:
        """The file's name without its suffixes: what the target's signal is called."""
        return PurePath(bare(self.path[0])).name.split(".")[0]


@final
class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a recipe comes from: its name, what it says of itself, its sources, and published steps that it lacks."""

    name: str = ""
    about: str = ""
    sources: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@final
class Recipe(msgspec.Struct, frozen=True):
    """The whole, in the order in which it happens."""

    pool: tuple[str, ...]
    steps: tuple[Step, ...]
    targets: tuple[Target, ...] = ()
    seed: int = 0
    tokenizer: str | None = None
    read: Read = Read()
    write: Write = Write()
    verify: Verify = Verify()
    origin: Origin = Origin()
    engine: str = "local"

    @property
    def digest(self) -> str:
        """128 bits over everything that decides what is chosen and how it is written."""
        decisive = msgspec.to_builtins(msgspec.structs.replace(self, verify=Verify(), origin=Origin()))
        del decisive["engine"]
        return xxhash.xxh3_128_hexdigest(msgspec.json.encode(_known(decisive), order="sorted"))

    @property
    def select(self) -> Step | None:
        """The selection, the last step; None where everything that no step drops is kept."""
        return self.steps[-1] if self.steps and self.steps[-1].kind == "select" else None

    @property
    def status(self) -> str:
        """What the manifest calls a row that stays: chosen by a selection, or kept by a recipe without one."""
        return "kept" if self.select is None else "chosen"


def _known(tree: Any) -> Any:
    """A tree in which URLs are known by what they name, not by the secrets that open them."""
    if isinstance(tree, str):
        return identity(tree)
    if isinstance(tree, Mapping):
        return {key: _known(value) for key, value in tree.items()}
    return [_known(one) for one in tree] if isinstance(tree, list | tuple) else tree


def read_tree(text: str, where: str = "the recipe") -> dict[str, Any]:
    """TOML as nested dicts; raises RecipeError where it is none."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where} is not TOML: {error}") from None


def parse(tree: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested dicts, as TOML gives them."""
    known = ("pool", "target", "targets", "steps", "seed", "engine", "tokenizer", "read", "write", "verify", "origin")
    _check_keys(tree, known, "the recipe")
    if "pool" not in tree:
        raise RecipeError('a recipe must name its pool, for example pool = "crawl/*.jsonl.zst"')
    if not isinstance(tree.get("steps", []), list | tuple):
        raise RecipeError(f"steps must be a list of tables such as {{ score = 'dsir' }}; got {tree['steps']!r}")
    recipe = Recipe(
        pool=steps.paths(tree["pool"], "pool"),
        steps=tuple(steps.parse_step(step) for step in tree.get("steps", ())),
        targets=_targets(tree),
        seed=_struct(int, tree.get("seed", 0), "seed"),
        tokenizer=_struct(str | None, tree.get("tokenizer"), "tokenizer"),
        read=_struct(Read, _listed(tree.get("read", {}), "score_fields", "scores"), "read"),
        write=_struct(Write, tree.get("write", {}), "write"),
        verify=_struct(Verify, _listed(tree.get("verify", {}), *_LISTS), "verify"),
        origin=_struct(Origin, tree.get("origin", {}), "origin"),
        engine=_struct(str, tree.get("engine", "local"), "engine"),
    )
    check(recipe)
    return recipe


_LISTS = ("eval", "general", "tasks", "against", "proxy", "rivals", "shares")  # of a trial: one string is a list of one


def parse_read(tree: Mapping[str, Any]) -> Read:
    """The reading options alone."""
    return _struct(Read, dict(tree), "read")


def to_tree(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dicts that `parse` reads back to an equal one."""
    tree = msgspec.to_builtins(recipe)
    tree["steps"] = [steps.to_tree(step) for step in recipe.steps]
    return {key: value for key, value in tree.items() if value is not None}


def check(recipe: Recipe) -> None:
    """Refuse what no run could do: steps out of order, no budget, a method without its target."""
    if not recipe.steps:
        raise RecipeError(
            "a recipe must have steps: a selection such as { select = 'top_k', budget = '10%' }, or filters, groups and "
            "edits, after which everything else is kept"
        )
    steps.check(recipe.steps)
    for step in recipe.steps:
        _check_target(step, recipe)
    if recipe.select is not None:
        _check_budget(recipe, recipe.select.budget)
        _check_aim(recipe.select, recipe)
    called = [target.name for target in recipe.targets]
    if clash := {name for name in called if called.count(name) > 1}:
        raise RecipeError(
            f"two targets are called {min(clash)!r}, by their file names; rename one file, or give both paths to one target"
        )
    steps.check_names([*recipe.read.score_fields])


def _check_budget(recipe: Recipe, budget: str | None) -> None:
    if budget is None:
        raise RecipeError("a selection must have a budget: 5000, 10%, 500MB, 10%bytes or 1e9tokens; got none")
    if Budget.parse(budget).unit == "tokens" and recipe.tokenizer is None:
        raise RecipeError(
            "a token budget must name its tokenizer; give --tokenizer tokenizer.json, or a budget in bytes"
        )


def _check_aim(step: Step, recipe: Recipe) -> None:
    aims = any(name.startswith(AIM) for name in catalog.build("select", step.name, dict(step.parameters)).reads)
    if aims and not recipe.targets:
        raise RecipeError(f"{step.name} needs a target: give --target FILE with examples of what you want")
    if aims and len(recipe.targets) > 1:
        raise RecipeError(
            f"{step.name} aims at the examples of one target; got {len(recipe.targets)}: name one with --target, which may be "
            "several files"
        )


def _check_target(step: Step, recipe: Recipe) -> None:
    has_one = step.target or (recipe.targets and any(_learns_what_is_wanted(*method) for method in step.methods()))
    if step.target and not any(_takes_target(kind, name) for kind, name, _ in step.methods()):
        raise RecipeError(f"{step.name} learns from no examples; leave its target out")
    if has_one or not any(_required(kind, name) for kind, name, _ in step.methods()):
        return
    if any(_learns_what_is_wanted(*method) for method in step.methods()):
        free = ", ".join(catalog.needing_no_target())
        raise RecipeError(
            f"{step.name} needs a target: give --target FILE with examples of what you want; without one there are: {free}"
        )
    raise RecipeError(f'{step.name} needs a target: give the step target = "FILE", or the command --eval FILE')


def aims(recipe: Recipe) -> bool:
    """Whether a step looks at the recipe's targets, so that for other targets it might choose other rows."""
    methods = [method for step in recipe.steps if not step.target for method in step.methods()]
    return any(
        (_learns_what_is_wanted(kind, name, given) and _takes_target(kind, name))
        or any(signal.startswith(AIM) for signal in catalog.build(kind, name, dict(given)).reads)
        for kind, name, given in methods
    )


def _takes_target(kind: str, name: str) -> bool:
    return getattr(catalog.load(kind, name), "uses_target", "no") != "no"


def _learns_what_is_wanted(kind: str, name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether it learns from the recipe's target where its step names none: scores, and annotators that run a network."""
    return kind == "score" or (kind == "annotate" and catalog.load(kind, name).heavy)


def _required(kind: str, name: str) -> bool:
    return getattr(catalog.load(kind, name), "uses_target", "no") == "required"


def _targets(tree: Mapping[str, Any]) -> tuple[Target, ...]:
    if "target" in tree and "targets" in tree:
        raise RecipeError("a recipe has either target or targets, not both")
    if "target" in tree:
        return (Target(steps.paths(tree["target"], "target")),)
    listed = [_listed(entry, "path") for entry in tree.get("targets", ())]
    targets = tuple(_struct(Target, entry, "targets") for entry in listed)
    if targets and any(target.share <= 0 for target in targets):
        raise RecipeError(f"every target's share must be above 0; got {[target.share for target in targets]}")
    return targets


def _listed(table: Any, *keys: str) -> Any:
    """A table in which one string may stand for a list of one."""
    if not isinstance(table, Mapping):
        return table
    return {key: [value] if key in keys and isinstance(value, str) else value for key, value in dict(table).items()}


def _struct(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, Mapping) and hasattr(kind, "__struct_fields__"):
        _check_keys(value, kind.__struct_fields__, where)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RecipeError(_refusal(kind, value, where, str(error))) from None


def _refusal(kind: Any, value: Any, where: str, told: str) -> str:
    """Which key of a table is wrong, what it must be, and what it was."""
    found = re.search(r"`\$\.(\w+)", told)
    if found is None:
        wanted = "a whole number" if kind is int else "a table" if hasattr(kind, "__struct_fields__") else "a string"
        return f"{where} must be {wanted}; got {value!r}"
    options = get_args(get_type_hints(kind)[found[1]])
    wanted = (
        f"one of {', '.join(map(str, options))}"
        if options and all(isinstance(option, str) for option in options)
        else _WANTED.get(told.split("`")[1], told)
    )
    return f"{where}: {found[1]} must be {wanted}; got {value[found[1]]!r}"


_WANTED = {"str": "a string", "array": "a list of strings", "int": "a whole number", "bool": "true or false"}


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise RecipeError(f"{where} has no key {key!r}; {suggest(key, known)}")
