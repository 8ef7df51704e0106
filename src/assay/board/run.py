"""The board worked: cell after cell, each with all workers inside, what is done already left alone.

```
OUT/cells/<key>.json    a finished cell's row, keyed by everything that its verdict depends on
OUT/runs/               run folders, with manifests and whole verdicts, but no copies of rows
OUT/store/              signals, and the arms of random
OUT/results.jsonl       every row, one a line, in the order of the board
OUT/board.json          what the pages show
```

A cell that fails is a row with its sentence, and is tried again by the next run; a killed run goes on where it was, inside
a cell too, because runs and trials keep what they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, final

import msgspec

from assay.board.cells import Cell, How, cells, work
from assay.board.findings import best, findings
from assay.board.tree import Board
from assay.errors import AssayError, RecipeError, RunError, suggest
from assay.io import files
from assay.io.sources import find
from assay.types import Budget

KEYS = ("method", "task", "pool", "budget", "proxy")
# Units a second on two cores, training and measuring, and bytes of pool a second in selecting and looking for overlap: from
# the first three cells of recipes/board.toml (17, 9 and 12 s at 1.35 MB an arm). A neural proxy's speed is a guess until its
# first cell is done. Only for the forecast of a board of which no cell is done; after that its own cells are the measure.
_SPEED, _SELECTING = {"ngram": 3_500_000.0}, 5_000_000.0
_SLOW = 20_000.0
_OURS = {"cells", "runs", "store", "results.jsonl", "board.json", "board.md", "board.html"}
_CURVE = 8  # random's curve from an eighth to four times the budget, in budgets


@final
@dataclass(frozen=True)
class Wanted:
    """Which cells of a board are to be worked now: at most `limit`, and only those with the given names."""

    limit: int | None = None
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes(self, cell: Cell) -> bool:
        """Whether a cell has the names that were asked for."""
        about = cell.about()
        return all(about[key] in names for key, names in self.only.items())


Tell = Callable[[dict[str, Any], int, int, float], None]


def only(words: Sequence[str], board: Board) -> dict[str, frozenset[str]]:
    """Read `method=dsir,length` and `task=medicine`; refused where the board has no such name."""
    named = {
        "method": [one.name for one in board.methods], "task": [one.name for one in board.tasks],
        "pool": [one.name for one in board.pools], "budget": list(board.budgets),
        "proxy": [one.name for one in board.proxies],
    }  # fmt: skip
    found: dict[str, frozenset[str]] = {}
    for word in words:
        key, equals, names = word.partition("=")
        if not equals or key not in named:
            raise RecipeError(f"--only must look like method=dsir; got {word!r}: {suggest(key, KEYS)}")
        # A name may hold a comma; then it is given alone.
        listed = [names] if names in named[key] else [name.strip() for name in names.split(",")]
        for name in listed:
            if name not in named[key]:
                raise RecipeError(f"the board has no {key} {name!r}; {suggest(name, named[key])}")
        found[key] = found.get(key, frozenset()) | frozenset(listed)
    return found


def rows_of(board: Board, how: How) -> Iterator[tuple[Cell, dict[str, Any] | None]]:
    """Every cell that is known by now with its row, if it was worked; those of a proxy that takes the best of the one before
    come once all of these were."""
    rows: list[dict[str, Any]] = []
    for place, proxy in enumerate(board.proxies):
        methods = board.methods
        if proxy.best is not None:
            named = best(rows, board.proxies[place - 1].name, proxy.best)
            methods = tuple(one for one in methods if one.name in named)
        waits = False  # the best of some cells are not the best
        for cell in cells(board, proxy, methods):
            yield cell, kept(cell, how)
            row = kept(cell, how)
            waits |= row is None
            rows += [] if row is None else [row]
        if waits:
            return


def kept(cell: Cell, how: How) -> dict[str, Any] | None:
    """The row of a cell that was worked before."""
    path = how.out / "cells" / f"{cell.key}.json"
    return files.read_json(str(path)) if path.exists() else None


def conduct(board: Board, how: How, wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Work what is wanted and not done, and return what the board says; `tell(row, number, of, seconds left)` after each cell."""
    with files.locked(how.out):
        tried: set[str] = set()
        try:
            _go(board, how, wanted, tell, tried)
        finally:
            found = gathered(board, how)
    return found


def _go(board: Board, how: How, wanted: Wanted, tell: Tell, tried: set[str]) -> None:
    """Work cell after cell; `tried` are the keys of those that were worked now."""
    leads: dict[str, str] = {}
    began, promised = perf_counter(), 0.0
    ahead = forecast(board, how, wanted)
    total = sum(1 for _ in ahead) if wanted.limit is None else min(wanted.limit, len(ahead))
    for cell, row in rows_of(board, how):
        if cell.scored is not None:
            leads.setdefault(cell.scored, cell.folder)
        if not wanted.takes(cell) or (row is not None and row["state"] == "done"):
            continue
        if wanted.limit is not None and len(tried) >= wanted.limit:
            return
        told = attempt(cell, how, leads)
        tried.add(cell.key)
        promised += ahead.pop(cell.key, 0.0)
        pace = (perf_counter() - began) / promised if promised else 1.0
        left = sum(sorted(ahead.values())[: max(0, total - len(tried))])
        tell(told, len(tried), max(total, len(tried)), left * pace)


def attempt(cell: Cell, how: How, leads: Mapping[str, str]) -> dict[str, Any]:
    """Work a cell and keep its row; what goes wrong is a row too."""
    began = perf_counter()
    try:
        row = work(cell, how, leads)
    except AssayError as error:
        row = _failed(cell, str(error), began)
    except Exception as error:  # a fault of ours, or of a library: the other cells are not to be lost for it
        row = _failed(cell, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", began)
    files.write_json(str(how.out / "cells" / f"{cell.key}.json"), row)
    return row


def _failed(cell: Cell, sentence: str, began: float) -> dict[str, Any]:
    seconds = round(perf_counter() - began, 3)
    return {"state": "failed", "error": sentence, **cell.about(), "seconds": seconds}


def gathered(board: Board, how: How) -> dict[str, Any]:
    """Write results.jsonl and board.json from the cells that are there, and return what they say."""
    rows = [row for _, row in rows_of(board, how) if row is not None]
    found = findings(board, rows)
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    files.write_bytes(str(how.out / "results.jsonl"), lines)
    files.write_json(str(how.out / "board.json"), found)
    return found


def forecast(board: Board, how: How, wanted: Wanted) -> dict[str, float]:
    """Seconds that each cell to be worked will take, about, by key: by their size, in proportion to the cells that are done."""
    known = list(rows_of(board, how))
    groups: set[tuple[str, str, str]] = set()
    guesses: dict[str, float] = {}
    pace: dict[str, list[float]] = {}
    for cell, row in known:
        guess = guessed(cell, first=cell.group not in groups)
        groups.add(cell.group)
        if row is not None and row["state"] == "done":
            pace.setdefault(cell.proxy.name, []).append(row["seconds"] / guess)
        elif wanted.takes(cell):
            guesses[cell.key] = guess
    of = {cell.key: cell.proxy.name for cell, _ in known}
    return {key: guess * median(pace.get(of[key], [1.0])) for key, guess in guesses.items()}


def guessed(cell: Cell, first: bool) -> float:
    """Seconds for a cell: reading the pool, the choice's arms and its rivals', and random's curve for the first of a group."""
    size = sum(shard.size for shard in find(cell.pool.path))
    units = min(Budget.parse(cell.budget).limit(size), cell.proxy.units or 4_000_000)
    arms = 1 + cell.seeds * len(cell.proxy.rivals) + (cell.seeds * _CURVE if first else 0)
    return size / _SELECTING + units * arms * cell.proxy.epochs / _SPEED.get(cell.proxy.name, _SLOW)


def plan(board: Board, how: How, wanted: Wanted) -> dict[str, Any]:
    """What would be worked, in order, and about how long it would take."""
    ahead = forecast(board, how, wanted)
    known = list(rows_of(board, how))
    todo = [(cell, ahead[cell.key]) for cell, _ in known if cell.key in ahead][: wanted.limit]
    later = [
        {"proxy": proxy.name, "best": proxy.best}
        for proxy in board.proxies
        if proxy.best is not None and not any(cell.proxy.name == proxy.name for cell, _ in known)
    ]
    return {
        "title": board.title,
        "done": sum(row is not None and row["state"] == "done" for _, row in known),
        "cells": [{**cell.about(), "seconds": seconds} for cell, seconds in todo],
        "seconds": sum(seconds for _, seconds in todo),
        "measured": any(row is not None and row["state"] == "done" for _, row in known),
        "later": later,
    }


def place(out: Path | None) -> Path:
    """Where a board is to lie; refused where nobody said, or where something else lies."""
    if out is None:
        raise RecipeError("give --out FOLDER, where the board is to be written")
    if not set(files.entries(out)) <= _OURS:
        raise RunError(
            f"--out must be a new folder or one of an earlier board; {out} holds something else: give another"
        )
    return out
