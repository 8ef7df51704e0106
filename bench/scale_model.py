"""What a billion rows and more would take, from measured constants: bench/results/scale_model.json, for docs/scale.md.

    python bench/scale_model.py        seconds; reads bench/results/{scale,select,rules_speed,dedup,selectors_scale}.json

Core-seconds for a GB come from the pool of 8 GB or more that cost prove_scale.py least a byte, or, where that has not
run, from the smaller benches; bytes a row from arrays as the engine makes them, counted here; seconds a row of the choice from
prove_selectors_scale.py. What is assumed and not measured stands in `ASSUMED`, and in the page.
"""

from __future__ import annotations

import json

import numpy as np
from harness import RESULTS, record

ASSUMED = {
    "cores": 32,  # of a node
    "efficiency": 0.8,  # of perfect spreading: what Ray, stragglers and shared disks leave
    "network": 1.25e9,  # bytes a second into a node (10 Gbit/s)
    "bytes_a_row": 1000.0,  # of a row as JSON, as in the pools of the benches (994,911 rows a GB): short documents
    "parts": 2.0e9,  # bytes a second at which the driver reads and adds the parts of a fit
}
POOLS = {"1 TB": 1e12, "100 TB": 1e14}
NODES = (1, 16, 256)
PIECE = 16 << 20  # bytes of text that a task reads (io/sources.py)
PART = 8 << 18  # bytes of dsir's counts for one piece: 2^18 buckets of 8
BANDS = 14 * 24  # bytes a row that `minhash` brings together: 14 bands of key, row and words


def result(name: str) -> dict | None:
    """One result, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def core_seconds() -> dict[str, tuple[float, str]]:
    """Core-seconds for a GB by what is done, and where the figure comes from; two cores were used but for the rules."""
    select, rules, dedup, scale = (result(name) for name in ("select", "rules_speed", "dedup", "scale"))
    found: dict[str, tuple[float, str]] = {}
    if select:
        row = select["rows"][0]
        found["select, dsir"] = (2e9 * row["seconds"]["ours"] / row["bytes"]["ours"], "bench_select.py, 1 GB")
    if rules:
        row = rules["rows"][0]
        found["clean, rules"] = (
            1e9 * row["seconds"]["ours"] / row["bytes"]["ours"],
            "bench_rules.py, 1 GB, four rule sets",
        )
    if dedup:
        rate = next(row["ours"] for row in dedup["rows"] if "verified" in row["work"])
        found["clean, minhash"] = (2e3 / float(rate.split()[0]), "bench_dedup.py, 0.3 GB, verified")
    steps = [step for step in (scale or {"steps": []})["steps"] if step["gigabytes"] >= 8]
    for step in sorted(steps, key=lambda step: -step["seconds"] / step["bytes"]):  # the cheapest last: more is other work
        size, told = step["bytes"] / 1e9, f"prove_scale.py, {step['gigabytes']} GB"
        if step["verb"] == "select":
            found["select, dsir"] = (2 * step["seconds"] / size, told)
        else:
            measured = sum(seconds for stage, seconds in step["stages"] if stage == "measure")
            found["clean, rules"] = (2 * measured / size, f"{told}, two rule sets")
            found["clean, minhash"] = (2 * (step["seconds"] - measured) / size, f"{told}, with start and writing")
    return found


def driver_rows() -> list[tuple[str, float, str]]:
    """Bytes that the driver holds for every row, by what they are, out of arrays as the engine makes them."""
    from assay.run.table import row_type
    from assay.state import Fates

    n, billion = 1000, 10**9
    row = np.dtype(row_type(billion)).itemsize
    fates = Fates(n)
    fates.drop(np.ones(n, bool), "a")
    return [
        ("row table: size, hash, readable", 8 + 8 + 1, "every run"),
        ("source of each row", 4, "where rows name one"),
        ("who is alive", 1, "once a step dropped a row"),
        ("why dropped, and for which row", fates.why.nbytes / n + row, "once a step dropped a row"),
        ("a score", 8, "for each score step"),
        ("hash that tells copies apart", 8, "selectors that draw"),
        ("candidates and their order", 8 + 8 + 8, "while a selector sorts half of all rows or more"),
        ("status, reason, rank, weight", 1 + 4 + row + 1, "while the run folder is written"),
        ("place in the order of preference", row, "group steps"),
        ("roots and candidates", 2 * row, "minhash"),
    ]


def disk_rows() -> list[tuple[str, float, str]]:
    """Bytes on disk for a row and for a byte of text, from the largest steps that were measured; formulas before that."""
    found = [("bands, until they are joined", float(BANDS), "a row: 14 records of 24 bytes")]
    scale = result("scale")
    for verb in ("clean", "select"):
        steps = [step for step in (scale or {"steps": []})["steps"] if step["verb"] == verb]
        if steps:
            step = max(steps, key=lambda step: step["gigabytes"])
            for kind, size in sorted(step["left_on_disk"].items(), key=lambda pair: -pair[1])[:6]:
                found.append((f"{verb}: {kind}", size / step["rows"], f"a row, measured on {step['gigabytes']} GB"))
            most = step["most_on_disk"] / step["bytes"]
            found.append(
                (f"{verb}: most at any time", most * step["bytes"] / step["rows"], f"{most:.2f} bytes a byte of text")
            )
    found.append(
        ("dsir's counts by piece", PART / PIECE * ASSUMED["bytes_a_row"], f"{PART / PIECE:.3f} bytes a byte of text")
    )
    return found


def hours() -> list[list[str]]:
    """Hours of every pool, job and number of nodes; the driver's own share is the same for any number of them."""
    costs, choice, rows = core_seconds(), seconds_a_row(), []
    for name, size in POOLS.items():
        count = size / ASSUMED["bytes_a_row"]
        for job, (cost, _) in costs.items():
            alone = count * choice / 3600
            if job.startswith("select"):
                alone += size / PIECE * PART / ASSUMED["parts"] / 3600
            cells = []
            for nodes in NODES:
                worked = cost * size / 1e9 / (nodes * ASSUMED["cores"] * ASSUMED["efficiency"]) / 3600
                moved = (size + (BANDS * count if "minhash" in job else 0)) / (nodes * ASSUMED["network"]) / 3600
                cells.append(f"{max(worked, moved) + alone:,.1f}")
            rows.append([name, job, f"{count:.1e}", f"{cost * size / 1e9 / 3600:,.0f}", *cells, f"{alone:,.2f}"])
    return rows


def seconds_a_row() -> float:
    """Seconds that choosing costs for a row: the slowest draw over the most rows measured."""
    found = result("selectors_scale")
    cases = [case for case in (found or {"cases": []})["cases"] if case["case"] in ("top_k", "gumbel_top_k", "random")]
    return max((case["seconds"] / case["rows"] for case in cases if case["rows"] >= 10**7), default=1e-6)


def peers() -> list[list[str]]:
    """Core-hours or what comes nearest for a TB, as published, beside this machine's."""
    mine = {job: f"{cost * 1e3 / 3600:.0f} core-hours" for job, (cost, _) in core_seconds().items()}
    rows = 1e12 / ASSUMED["bytes_a_row"]
    theirs = f"{rows / 150 / 3600:,.0f} core-hours at {ASSUMED['bytes_a_row']:,.0f} bytes a document"
    ours, copies = "measured here, two cores, and scaled", "fuzzy duplicates"
    return [
        [copies, "Assay, minhash, verified", mine.get("clean, minhash", ""), ours],
        [copies, "Data-Juicer, 256 hashes, 5 TB on 1,280 cores", "720 core-hours", "its documentation"],
        [copies, "datatrove, 112 hashes, without clustering", "350 to 400 task-hours", "its issue 298"],
        [copies, "NeMo Curator, 8 TB on a node of H100", "2.05 GPU-hours, if it has 8", "its documentation"],
        ["rules", "Assay", mine.get("clean, rules", ""), ours],
        ["rules", "NeMo Curator, 28 filters, 150 documents a second and core", theirs, "its nightly gate"],
    ]


def main() -> None:
    """Put the tables together and record them."""
    costs = core_seconds()
    constants = {job: {"core_seconds_a_gb": cost, "from": told} for job, (cost, told) in costs.items()}
    nodes = [f"hours, {count} node{'s' * (count > 1)}" for count in NODES]
    columns = ["pool", "job", "rows", "core-hours", *nodes, "of them the driver's"]
    record("scale_hours", {"assumed": ASSUMED, "constants": constants, "table": {"columns": columns, "rows": hours()}})
    columns = ["what", "core-seconds a GB", "MB/s of a core", "measured by"]
    rows = [[job, f"{cost:.0f}", f"{1e3 / cost:.0f}", told] for job, (cost, told) in costs.items()]
    record("scale_constants", {"table": {"columns": columns, "rows": rows}})
    columns = ["part", "bytes a row", "of 10⁹ rows", "when"]
    for kind, found in {"memory": driver_rows(), "disk": disk_rows()}.items():
        rows = [[what, f"{size:,.0f}", f"{size:,.0f} GB", when] for what, size, when in found]
        record(f"scale_{kind}", {"table": {"columns": columns, "rows": rows}})
    record("scale_peers", {"table": {"columns": ["work", "who", "for a TB", "source"], "rows": peers()}})


if __name__ == "__main__":
    main()
