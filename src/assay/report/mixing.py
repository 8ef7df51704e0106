"""What `assay mix` prints: the mixture beside the pool, what the trials say of it, and how to select by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.report.wording import amount, count, number, share, visible


def show_mixture(told: Mapping[str, Any], console: Console, folder: str) -> None:
    """The table of domains, the losses, the notes, and the command that selects."""
    console.print(Text(_headline(told), style="bold"))
    console.print(_domains(told))
    for line in told["losses"]:
        if words := loss_words(line):
            console.print(Text(f"{visible(line['name'])}: {words}"))
    for note in told["notes"]:
        console.print(Text(f"note: {visible(note)}", style="dim"))
    if "command" in told:
        console.print(Text(f"\nassay select {folder}/mixture.toml --out run/   or", style="dim"))
        console.print(Text(visible(told["command"])), soft_wrap=True)
        if told["epochs"] > 1:
            console.print(Text(f"and read what it selects {number(told['epochs'], 3)} times", style="dim"))
    console.print(Text(f"{folder}/mixture.json and {folder}/trials.csv hold the rest", style="dim"))


def _headline(told: Mapping[str, Any]) -> str:
    budget = told.get("budget")
    asked = f" for {amount(budget['amount'], budget['unit'])}" if budget else ""
    return f"The mixture{asked}, by {told['method']} from {count(told['trials'])} trials"


def _domains(told: Mapping[str, Any]) -> Table:
    """Domain, share of the pool, weight and epochs; the last three only where the pool is known."""
    known = "budget" in told
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("domain")
    for name in ("pool", "weight", "epochs") if known else ("weight",):
        table.add_column(name, justify="right")
    for line in told["domains"]:
        numbers = [share(line["weight"], 1)]
        if known:
            numbers = [share(line["share"], 1), *numbers, number(line["epochs"], 3)]
        table.add_row(Text(visible(line["domain"])), *map(Text, numbers))
    return table


def loss_words(line: Mapping[str, Any]) -> str:
    """What is known of one loss, in words.

    >>> loss_words({"name": "web", "predicted": 2.1, "pool_predicted": 2.25, "best_tried": 2.0, "rank_correlation": 0.913})
    'predicted 2.100, of the pool as it is 2.250; best tried 2.000; predictions agree with trials at rank correlation 0.91'
    """
    if "predicted" not in line:
        return ""
    kind = "measured" if "measured" in line else "predicted"
    pool = line.get(f"pool_{kind}")
    parts = [f"{kind} {number(line[kind])}" + ("" if pool is None else f", of the pool as it is {number(pool)}")]
    if kind == "measured":
        parts[0] += f" (predicted {number(line['predicted'])})"
    parts.append(f"best tried {number(line['best_tried'])}")
    agreed = line["rank_correlation"]
    parts.append(
        "too few trials to say how well predictions agree with them" if agreed is None
        else f"predictions agree with trials at rank correlation {number(agreed, 2)}"
    )  # fmt: skip
    return "; ".join(parts)
