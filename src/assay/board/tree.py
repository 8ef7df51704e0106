"""A board as TOML says it: pools, tasks on them, methods, budgets, and the proxies that judge.

```toml
budgets = ["5%bytes", "20%bytes"]
seeds = 5

[[pool]]
name = "web"
path = "web.jsonl"

[[task]]
name = "medicine"
pool = "web"
target = "medicine-target.jsonl"
eval = "medicine-heldout.jsonl"

[[method]]
name = "dsir"
method = "dsir"

[[method]]
name = "gopher's rules"
steps = [{ filter = "gopher_quality" }]

[[proxy]]
name = "ngram"
```

A method says what `assay select` or `assay clean` would be told: flags under their names, or `steps`. One that chooses is
given the budget; one that only cleans is judged by a uniform draw of what it kept, of as many bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import msgspec

from assay.errors import RecipeError, suggest
from assay.recipe import Read
from assay.types import Budget

_LISTS = ("where", "set", "model", "dedup", "good", "bad", "eval", "score_fields", "scores")
_OWN = ("name", "about", "pools", "tasks", "control")
FLAGS = (
    "method", "select", "rank", "quota", "general", "where", "set", "score_fields", "scores", "recipe", "model", "dedup",
    "keep", "good", "bad", "top", "seed", "steps",
)  # fmt: skip


@final
class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool and how it is read."""

    name: str
    path: tuple[str, ...]
    about: str = ""
    read: Read = Read()


@final
class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted of a pool: examples of it, held-out text of it, of everything else, and items to be answered."""

    name: str
    pool: str
    eval: tuple[str, ...]
    target: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    about: str = ""
    decontaminate: bool = False
    instructions: bool = False


@final
class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is tried: flags of `assay select` or `assay clean`, on every task or on those of some pools, or on some tasks.

    A `control` is no method: it shows what the board does with a choice that cannot help, and is never among the best.
    """

    name: str
    flags: dict[str, Any]
    about: str = ""
    pools: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    control: bool = False

    @property
    def cleans(self) -> bool:
        """Whether it only cleans, and keeps the rest whole."""
        steps = self.flags.get("steps", ())
        return not {"method", "select"} & set(self.flags) and not any("select" in step for step in steps)

    def fits(self, task: Task) -> bool:
        """Whether it is tried on a task."""
        return (not self.pools or task.pool in self.pools) and (not self.tasks or task.name in self.tasks)


@final
class Proxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model judges, and how: all methods or only the `best` of the proxy before it, on all tasks and budgets or some."""

    name: str
    best: int | None = None
    tasks: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    seeds: int | None = None
    units: int | None = None
    epochs: int = 1
    rivals: tuple[str, ...] = ("length",)


@final
class Board(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it; `level` is the probability of a false answer within one task and budget."""

    pools: tuple[Pool, ...]
    tasks: tuple[Task, ...]
    methods: tuple[Method, ...]
    budgets: tuple[str, ...]
    proxies: tuple[Proxy, ...] = (Proxy("ngram"),)
    title: str = "The board"
    about: str = ""
    seeds: int = 5

    def pool(self, task: Task) -> Pool:
        """The pool of a task."""
        return next(pool for pool in self.pools if pool.name == task.pool)


def parse(tree: Mapping[str, Any]) -> Board:
    """Build a board from nested dicts, as TOML gives them; RecipeError where it says something impossible.

    >>> table = {"budgets": ["5%bytes"], "pool": [{"name": "p", "path": "p.jsonl"}]}
    >>> table["task"] = [{"name": "t", "pool": "p", "eval": "e.jsonl"}]
    >>> parse({**table, "method": [{"name": "rules", "steps": [{"filter": "c4"}]}]}).methods[0].cleans
    True
    """
    tables = {"pool": "pools", "task": "tasks", "method": "methods", "proxy": "proxies"}
    _known(tree, ("title", "about", "budgets", "seeds", *tables), "the board")
    for key in ("budgets", "pool", "task", "method"):
        if not isinstance(tree.get(key), list) or not tree[key]:
            raise RecipeError(f"a board must have {key}, a list of one and more; got {tree.get(key)!r}")
    given = {key: tree[key] for key in ("title", "about", "seeds", "budgets") if key in tree}
    listed = {
        "pools": [_table(Pool, entry, ("path",)) for entry in tree["pool"]],
        "tasks": [_table(Task, entry, ("eval", "target", "general", "tasks")) for entry in tree["task"]],
        "methods": [_method(entry) for entry in tree["method"]],
    }
    if "proxy" in tree:
        listed["proxies"] = [_table(Proxy, entry, ("tasks", "budgets", "rivals")) for entry in tree["proxy"]]
    board = Board(**{key: tuple(value) for key, value in listed.items()}, **_plain(given))
    check(board)
    return board


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The board's own keys in their types."""
    kinds = {"title": str, "about": str, "seeds": int, "budgets": tuple[str, ...]}
    return {key: _as(kinds[key], value, f"the board's {key}") for key, value in given.items()}


def _method(entry: Any) -> Method:
    """A method's own keys apart from its flags."""
    if not isinstance(entry, Mapping):
        raise RecipeError(f"a method must be a table with a name; got {entry!r}")
    _known(entry, (*_OWN, *FLAGS), f"method {entry.get('name')!r}")
    own = {key: value for key, value in entry.items() if key in _OWN}
    told = {
        key: [value] if key in _LISTS and isinstance(value, str) else value
        for key, value in entry.items()
        if key in FLAGS
    }
    if not told:
        raise RecipeError(f"method {entry.get('name')!r} must say what it does: method, select, recipe, dedup or steps")
    return _table(Method, {**own, "flags": told}, ("pools", "tasks"))


def _table(kind: Any, entry: Any, lists: Sequence[str]) -> Any:
    """One table as its struct; in `lists` one string may stand for a list of one."""
    word = kind.__name__.lower()
    if not isinstance(entry, Mapping):
        raise RecipeError(f"a {word} of a board must be a table with a name; got {entry!r}")
    _known(entry, kind.__struct_fields__, f"{word} {entry.get('name')!r}")
    whole = {key: [value] if key in lists and isinstance(value, str) else value for key, value in entry.items()}
    return _as(kind, whole, f"{word} {entry.get('name')!r}")


def _as(kind: Any, value: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RecipeError(f"{where} is not what a board has there: {error}") from None


def _known(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise RecipeError(f"{where} has no key {key!r}; {suggest(key, known)}")


def check(board: Board) -> None:
    """Refuse names that stand for nothing or for two things, and budgets that are no bytes."""
    names = {kind: [one.name for one in getattr(board, kind)] for kind in ("pools", "tasks", "methods", "proxies")}
    for kind, given in names.items():
        if twice := sorted({name for name in given if given.count(name) > 1}):
            raise RecipeError(f"{kind} of a board must have different names; {twice[0]!r} stands twice: rename one")
    for task in board.tasks:
        _among((task.pool,), names["pools"], f"the pool of task {task.name!r}")
    for method in board.methods:
        _among(method.pools, names["pools"], f"a pool of method {method.name!r}")
        _among(method.tasks, names["tasks"], f"a task of method {method.name!r}")
    for proxy in board.proxies:
        _among(proxy.tasks, names["tasks"], f"a task of proxy {proxy.name!r}")
        _among(proxy.budgets, board.budgets, f"a budget of proxy {proxy.name!r}")
    for text in board.budgets:
        if Budget.parse(text).unit != "bytes":
            raise RecipeError(
                f"a board's budgets must be in bytes, so that arms cost the same: 5%bytes or 2MB; got {text!r}"
            )
    if board.proxies[0].best is not None:
        raise RecipeError(
            f"best = {board.proxies[0].best} takes the best methods of the proxy before; {board.proxies[0].name!r} is the first"
        )


def _among(given: Sequence[str], known: Sequence[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise RecipeError(f"{where} must be one of the board's; {name!r} is none: {suggest(name, known)}")
