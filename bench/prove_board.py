"""The first board: recipes/board.toml worked whole, recorded as bench/results/board.json, and docs/board.md from that.

    .venv/bin/python bench/prove_board.py           makes the tasks, works what is not done, records, writes the page
    .venv/bin/python bench/prove_board.py --as-is   records what is worked so far in bench/data/board-out, and writes the page
    .venv/bin/python bench/prove_board.py --page    writes the page anew from bench/results/board.json

A board that was begun in bench/data/board-out is gone on with. `--only` and `--limit` of `assay board` are for trials of a
part, which is not recorded: run `assay board` for that.
"""

from __future__ import annotations

import json
import subprocess
import sys

from harness import ASSAY, RESULTS, ROOT, WORK, record

from assay.report.board import markdown, summary

OUT = WORK / "board-out"
PAGE = ROOT / "docs" / "board.md"


def work() -> bool:
    """Make the tasks and work the board; whether every cell was done."""
    subprocess.run([sys.executable, ROOT / "bench" / "board_tasks.py"], cwd=ROOT, check=True)
    ran = subprocess.run([ASSAY, "board", "recipes/board.toml", "--out", OUT], cwd=ROOT, check=False)
    if ran.returncode not in (0, 1):
        sys.exit(ran.returncode)
    return ran.returncode == 0


def recorded() -> None:
    """The board's findings as a result, with its summaries by proxy as the tables that documents show."""
    found = json.loads((OUT / "board.json").read_text("utf-8"))
    first, *others = map(summary, found["summaries"])
    record("board", {**found, "table": first, "neural": others[0] if others else None})


def page() -> str:
    """docs/board.md: the board, and where it was measured."""
    result = json.loads((RESULTS / "board.json").read_text("utf-8"))
    return f"{markdown(result)}\n{result['machine']}, commit {result['commit']}, {result['date']}.\n"


def main() -> None:
    """Everything, or only the page."""
    whole = "--page" in sys.argv or "--as-is" in sys.argv or work()
    if "--page" not in sys.argv:
        recorded()
    PAGE.write_text(page(), "utf-8")
    print(f"   {PAGE.relative_to(ROOT)}")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
