"""What `assay rate` prints: the cost before anything is asked, and what came of asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

_SHOWN = 600


def show_cost(plan: Mapping[str, Any], console: Console) -> None:
    """Calls, tokens and the most that they cost, with one prompt as it would be sent."""
    lines = [
        f"{plan['calls']:,} questions about {plan['rows']:,} rows; {plan['rated']:,} are rated already",
        f"about {plan['input_tokens']:,} tokens of input (four bytes a token) and at most {plan['output_tokens']:,} of output",
        _cost(plan["cost"]),
    ]
    console.print(Text("\n".join(lines if plan["calls"] else lines[:1])))
    if plan["prompt"]:
        shown = plan["prompt"][:_SHOWN] + ("…" if len(plan["prompt"]) > _SHOWN else "")
        console.print(Text(f"\nThe first question:\n{shown}\n", style="dim"))


def _cost(cost: float | None) -> str:
    if cost is None:
        return "cost unknown: give --price-in and --price-out, for a million tokens each"
    return f"at most {cost:,.4f} at the prices given"


def show_ratings(told: Mapping[str, Any], console: Console) -> None:
    """How many rows have a rating now, and where they lie."""
    rated = told["rows"] - told["failed"]
    spent = "" if told["spent"] is None else f", {told['spent']:,.4f} spent"
    console.print(Text(f"{rated:,} of {told['rows']:,} rows are rated{spent}: {told['path']}"))
    if told["failed"]:
        console.print(Text(f"{told['failed']:,} rows have no rating, e.g. for this: {told['why']}"))
        console.print(Text("the same command asks about them again"))
