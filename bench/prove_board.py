"""The boards: recipes/NAME.toml worked whole, recorded as bench/results/NAME.json, and a page of docs/ from that.

    .venv/bin/python bench/prove_board.py [NAME]           makes the tasks, works what is not done, records, writes the page
    .venv/bin/python bench/prove_board.py --as-is [NAME]   records what is worked so far, and writes the page
    .venv/bin/python bench/prove_board.py --page [NAME]    writes the page anew from bench/results/NAME.json

NAME is `board` or `board_models`; both unless one is named. A board that was begun in bench/data/NAME-out is gone on with.
`--only` and `--limit` of `assay board` are for trials of a part, which is not recorded: run `assay board` for that.
"""

from __future__ import annotations

import json
import subprocess
import sys

from harness import ASSAY, RESULTS, ROOT, WORK, record

from assay.report.board import markdown, summary

NAMES = ("board", "board_models")


def work(name: str) -> bool:
    """Make the tasks and work the board; whether every cell was done."""
    subprocess.run([sys.executable, ROOT / "bench" / "board_tasks.py"], cwd=ROOT, check=True)
    command = [ASSAY, "board", f"recipes/{name}.toml", "--out", WORK / f"{name}-out"]
    ran = subprocess.run(command, cwd=ROOT, check=False)
    if ran.returncode not in (0, 1):
        sys.exit(ran.returncode)
    return ran.returncode == 0


def recorded(name: str) -> None:
    """The board's findings as a result, with its summaries by proxy as the tables that documents show."""
    found = json.loads((WORK / f"{name}-out" / "board.json").read_text("utf-8"))
    first, *others = map(summary, found["summaries"])
    record(name, {**found, "table": first, "neural": others[0] if others else None})


def page(name: str) -> str:
    """The board as a page, and where it was measured."""
    result = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return f"{markdown(result)}\n{result['machine']}, commit {result['commit']}, {result['date']}.\n"


def main() -> None:
    """Everything, or only the page."""
    whole = True
    for name in [word for word in sys.argv[1:] if word in NAMES] or NAMES:
        whole = ("--page" in sys.argv or "--as-is" in sys.argv or work(name)) and whole
        if "--page" not in sys.argv:
            recorded(name)
        written = ROOT / "docs" / f"{name.replace('_', '-')}.md"
        written.write_text(page(name), "utf-8")
        print(f"   {written.relative_to(ROOT)}")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
