"""What `assay arms` prints: the arms and their sizes, where they lie, and how results come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.report.wording import count


def show_arms(told: Mapping[str, Any], console: Console, folder: str | None) -> None:
    """Every arm with its rows and units; `folder` is None where nothing was written."""
    about, passes = "about " if told.get("estimate") else "", told["epochs"]
    each = f"{about}{count(told['budget'])} {told['unit']} for each arm"
    console.print(Text(each + (f", read {passes} times" if passes > 1 else "")))
    table = Table.grid(padding=(0, 2))
    for arm in told["arms"]:
        name = f"{arm['name']} {arm['seed']}" + _other(arm["budget"], told)
        table.add_row(
            Text(f"  {name}"), Text(f"{about}{count(arm['rows'])} rows"), Text(arm.get("file", ""), style="dim")
        )
    console.print(table)
    for note in told["notes"]:
        console.print(Text(f"note: {note}", style="dim"))
    if folder is not None:
        console.print(
            Text(f"{folder}/manifest.parquet names the rows; {folder}/arms.json says how to train and report")
        )


def _other(budget: int, told: Mapping[str, Any]) -> str:
    return "" if budget == told["budget"] else f" at {count(budget)} {told['unit']}"
