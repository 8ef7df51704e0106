"""Tables in documents, generated from bench/results/*.json: `make docs` writes them, tests/test_tables.py compares.

A document says where a table goes:

    <!-- table: ratios -->            every bench that has ratios
    <!-- table: NAME -->              the table of bench/results/NAME.json
    <!-- end -->

What lies between the two marks is replaced. A table whose JSON is not there yet says which command makes it.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    """The documents that may hold tables."""
    return sorted(
        path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench" / "README.md"] if path.is_file()
    )


def results() -> list[dict]:
    """Every recorded result, by name."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def grid(columns: list[str], rows: list[list[str]], numbers: tuple[int, ...] = ()) -> str:
    """A Markdown table; `numbers` are columns that align to the right."""
    rule = ["---:" if index in numbers else "---" for index in range(len(columns))]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in [columns, rule, *rows])


def ratios() -> str:
    """Work, peer and version, ratio, both absolute figures, machine, commit."""
    columns = ["work", "peer", "ratio", "wanted", "assay", "peer's", "machine", "commit", "date"]
    rows = [
        [
            row["work"], f"{row['peer']} {row['version']}".strip(), f"**{figure(row['ratio'])}** {row['direction']}",
            row["wanted"], row["ours"], row["theirs"], result["machine"], result["commit"], result["date"],
        ]
        for result in results()
        for row in result.get("rows", [])
    ]  # fmt: skip
    notes = "".join(
        f"\n{result['name']}: {result['note']}.\n" for result in results() if "note" in result and "rows" in result
    )
    return grid(columns, rows, (2,)) + notes if rows else "Not measured yet: `make bench`.\n"


def figure(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(name: str) -> str:
    """The table of one result, with where it was measured below."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: `make prove` writes `bench/results/{name}.json`.\n"
    result = json.loads(path.read_text("utf-8"))
    facts = ADAPTERS.get(name, lambda result: result["table"])(result)
    numbers = tuple(range(1, len(facts["columns"])))
    return (
        grid(facts["columns"], facts["rows"], numbers)
        + f"\n{result['machine']}, commit {result['commit']}, {result['date']}.\n"
    )


def false_verdicts(result: dict) -> dict:
    """A/A: both arms are random, so every verdict is false."""
    rows = [
        [one["path"], f"{sum(one['false'].values())} of {result['trials']}", f"at most {result['most_false']}"]
        for one in result["sets"]
    ]
    return {"columns": ["eval set", "false verdicts", "allowed"], "rows": rows}


def power(result: dict) -> dict:
    """Power: the pool holds planted target text, and the choice is all of it (or none)."""
    rows = [
        ["the planted text: better", f"{result['better']} of {result['trials']}", f"at least {result['least_right']}"],
        ["none of it: worse", f"{result['anti_worse']} of {result['trials']}", ""],
        ["median multiplier", f"{result['median_multiplier']:.1f}", ""],
    ]
    return {"columns": ["choice", "verdicts", "wanted"], "rows": rows}


def domains(result: dict) -> dict:
    """Share of chosen bytes that come from the wanted domain, by domain, mean over draws."""
    kinds = ("reference", "reference_filtered", "default", "default_apart")
    names = sorted({trial["domain"] for trial in result["trials"]})
    rows = [[name, *(_mean(result["trials"], name, kind) for kind in kinds)] for name in names]
    rows += [[word, *(f"{result['totals'][word][kind]:.3f}" for kind in kinds)] for word in ("mean", "least")]
    return {
        "columns": ["domain", "package's formula", "with its filter", "dsir", "dsir, target kept out of the pool"],
        "rows": rows,
    }


def _mean(trials: list[dict], name: str, kind: str) -> str:
    values = [trial[kind] for trial in trials if trial["domain"] == name]
    return f"{sum(values) / len(values):.3f}"


def quality(result: dict) -> dict:
    """Learned quality: the classifier beside fastText on labels, and ratings that were spread beside those held out."""
    rows = [
        [
            f"{one['set']} ({one['documents']:,} documents)", f"AUC {one['auc']:.3f}", f"AUC {one['fasttext']['auc']:.3f}",
            f"{one['calibration_error']:.3f} and {one['fasttext']['calibration_error']:.3f}",
        ]
        for one in result["classifier"]
    ]  # fmt: skip
    rows += [
        [
            f"{one['set']} ({one['documents']:,} documents)", f"rank correlation {one['rank_correlation']:.3f}", "",
            f"{one['mean_absolute_error']:.2f} (always the median: {one['mean_absolute_error_of_median']:.2f})",
        ]
        for one in result["ratings"]
    ]  # fmt: skip
    return {"columns": ["set", "Assay", "fastText", "calibration error, or mean absolute error"], "rows": rows}


def toxicity(result: dict) -> dict:
    """Toxicity at one half, beside a word list learnt from the same rows and beside always saying the commoner answer."""
    rows = [
        [f"{trial['labels']} ({trial['toxic_share']:.1%} of rows)", name, *(_share(found[key]) for key in _RATES)]
        for trial in result["trials"]
        for name, found in (
            ("toxicity >= 0.5", trial["at"]["0.5"]), ("list of 50 words", trial["word_list"]), ("majority", trial["majority"])
        )
    ]  # fmt: skip
    return {"columns": ["labels", "says toxic", "precision", "recall", "false alarms"], "rows": rows}


_RATES = ("precision", "recall", "false_alarms")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def unsafe(result: dict) -> dict:
    """Personal details by kind."""
    return {"columns": result["columns"], "rows": result["table"]}


def dedup_truth(result: dict) -> dict:
    """Planted near-duplicates by similarity: what bands alone find beside the banding curve, and what with verification."""
    verified = {band["level"]: band for band in result["recall_verified"]}
    rows = [
        [
            f"{band['level']:.1f}", f"{band['pairs']:,}", f"{band['found']:.3f}", f"{band['promised']:.3f}",
            "{:.3f} to {:.3f}".format(*band["interval"]), f"{verified[band['level']]['found']:.3f}",
        ]
        for band in result["recall"]
        if band["pairs"] >= 100
    ]  # fmt: skip
    columns = ["Jaccard", "pairs", "found by bands", "promised", "99 % interval", "found, verified at 0.8"]
    return {"columns": columns, "rows": rows}


def curve(result: dict) -> dict:
    """Random's curve read two ways: the mean miss of budgets that were left out."""
    rows = [
        [one["name"], *(f"{one[key][way]:.4f}" for key in ("mean", "late") for way in ("cubic", "power_law"))]
        for one in result["curves"]
    ]
    return {"columns": ["curve", "cubic", "power law", "cubic, late", "power law, late"], "rows": rows}


# Results that keep more than a table; every other one brings its `table`.
ADAPTERS = {
    "aa": false_verdicts, "power": power, "dsir_domains": domains,
    "quality": quality, "toxicity": toxicity, "unsafe": unsafe, "dedup_truth": dedup_truth, "curve": curve,
}  # fmt: skip


def reliability() -> str:
    """What was survived, in one table, from the results of several proofs."""
    rows: list[list[str]] = []
    if faults := kept("faults"):
        rows += [
            ["kills with -9, at moments spread over every stage", f"{faults['kills']}"],
            ["reruns that gave the same bytes", f"{faults['same']} of {faults['kills']}"],
            ["finished shards that a rerun made again", f"{faults['redone']}"],
            ["rows through these reruns", f"{faults['rows_through']:,}"],
            ["rows lost", f"{faults['rows_lost']}"],
        ]
    if kills := kept("kills"):
        rows += [[f"kills in storms: {row[0]}", f"{row[2]}; same bytes {row[3]}"] for row in kills["table"]["rows"]]
    if fuzz := kept("fuzz"):
        rows += [
            ["inputs tried by fuzzing readers and recipes", f"{fuzz['executions']:,}"],
            ["of these that crashed or lost a row", f"{fuzz['crashes']}"],
        ]
    if steps := kept("scale").get("steps"):
        largest = max(steps, key=lambda one: (one["gigabytes"], one["rows"]))
        close = max(steps, key=lambda one: one["peak"] / one["allowed"])
        rows += [
            ["largest pool", f"{largest['gigabytes']} GB, {largest['rows']:,} rows"],
            ["runs within their memory ceiling (2 GB and 64 bytes a row)",
             f"{sum(one['peak'] <= one['allowed'] for one in steps)} of {len(steps)}"],
            ["closest to the ceiling", f"{close['peak'] / 1e6:,.0f} of {close['allowed'] / 1e6:,.0f} MB "
                                       f"({close['verb']}, {close['gigabytes']} GB)"],
        ]  # fmt: skip
    return grid(["what", "measured"], rows, (1,)) if rows else "Not measured yet: `make prove`.\n"


def kept(name: str) -> dict:
    """One result, empty where there is none yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def beside(name: str) -> ModuleType:
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def faults_tried() -> str:
    """What was broken on purpose; the list is kept beside this file."""
    return grid(**beside("faults_tried").table())


def methods() -> str:
    """Every method, from its own words."""
    return beside("methods_page").page()


def board_neural() -> str:
    """The board before its second judge, a neural one."""
    found = kept("board").get("neural")
    return grid(**found, numbers=tuple(range(1, len(found["columns"])))) if found else "Not measured yet: `make prove`.\n"


# Tables that are not one result's.
WHOLE = {
    "ratios": ratios, "reliability": reliability, "faults-tried": faults_tried, "board-neural": board_neural, "methods": methods,
}  # fmt: skip


def rendered(text: str) -> str:
    """A document with every marked table made anew."""
    return MARKED.sub(lambda found: found[1] + WHOLE.get(found[2], lambda: table(found[2]))() + found[4], text)


if __name__ == "__main__":
    for path in documents():
        before = path.read_text("utf-8")
        if (after := rendered(before)) != before:
            path.write_text(after, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
