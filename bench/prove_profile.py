"""Where the time of `select`, `clean` and `minhash` goes, what became of the largest items, and what a second worker brings.

    python bench/prove_profile.py ../shared/data                  all three parts; what is in the JSON already is left
    python bench/prove_profile.py --part profile --gigabytes 1      where the time goes: by stage, and by line of the house
    python bench/prove_profile.py --part before --before 035dcc3 --pairs 3      an earlier commit and this tree in turns
    python bench/prove_profile.py --part workers --gigabytes 2      one worker and two in turns

The profile samples one process a hundred times a second (py-spy, in the peers' environment: pip install -r
bench/peers/requirements.txt); a sample belongs to the innermost line of Assay, so a kernel's time is its caller's line. Both
other parts run cold commands in turns, with nothing stored, and compare processor seconds (user and system) or wall clock;
the least of each side counts. Before and after must leave the same bytes. Pools are those of prove_scale.py.
Writes bench/results/profile.json; exit code 1 where two workers bring less than 1.8 on the largest pool tried, or bytes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from harness import PEERS, RESULTS, ROOT, WORK, record, run
from pools import target
from prove_scale import STEPS, blocks, files_of

OUT, STORE, RECIPE = WORK / "run-profile", WORK / "store-profile", WORK / "profile.toml"
SPY = PEERS.parent / "py-spy"
WAYS = ("select", "clean", "minhash")
TOP = 12
WANTED = 1.8


def command(way: str, paths: list[Path], workers: int) -> list[str | Path]:
    """The whole job as a user types it."""
    RECIPE.write_text(STEPS, "utf-8")
    asked = {
        "select": ["select", *paths, "--target", target(), "--method", "dsir", "--budget", "10%"],
        "clean": ["clean", *paths, "--recipe", RECIPE],
        "minhash": ["clean", *paths, "--dedup", "minhash"],
    }
    return [*asked[way], "--out", OUT, "--store", STORE, "--workers", str(workers), "--quiet"]


def forget() -> None:
    """Nothing stored from an earlier run."""
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)


def pool(gigabytes: float) -> list[Path]:
    """The first files of prove_scale's pool."""
    whole = files_of(blocks(max(1, -(-int(gigabytes * 1000) // 1000))))
    return whole[: max(1, round(gigabytes * 4))]


# --- Where the time goes ----------------------------------------------------------------------------------------------


def profile(way: str, gigabytes: float) -> dict:
    """One command, one process, sampled: seconds by stage, and samples by line."""
    if not SPY.exists():
        sys.exit(f"profiles need py-spy in {SPY.parent}: {PEERS} -m pip install -r bench/peers/requirements.txt")
    forget()
    raw = WORK / "profile.raw"
    words = [sys.executable, "-m", "assay", *command(way, pool(gigabytes), 1)]
    ran = run([SPY, "record", "--rate", "100", "--format", "raw", "--output", raw, "--", *words])
    told = json.loads((OUT / "run.json").read_text("utf-8"))
    lines, total = by_line(raw.read_text("utf-8"))
    raw.unlink()
    forget()
    return {
        "way": way, "gigabytes": gigabytes, "seconds": ran.seconds, "samples": total,
        "stages": [(stage["stage"], stage["seconds"]) for stage in told["stages"]],
        "lines": [(line, count / total) for line, count in lines.most_common(TOP)],
    }  # fmt: skip


def by_line(raw: str) -> tuple[Counter[str], int]:
    """Samples by the innermost line of Assay in each stack: `Scanner.block (io/reader.py:132)`."""
    found: Counter[str] = Counter()
    for entry in raw.splitlines():
        stack, _, count = entry.rpartition(" ")
        ours = [frame for frame in stack.split(";") if "assay/" in frame]
        found[ours[-1].replace("(assay/", "(") if ours else "start of Python"] += int(count)
    return found, sum(found.values())


# --- Before and after -------------------------------------------------------------------------------------------------


def tree(commit: str) -> Path:
    """The source of an earlier commit, beside the pools."""
    folder = WORK / f"before-{commit}"
    if not folder.exists():
        part = folder.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["git", "-C", ROOT, "archive", commit, "src"], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", part], input=packed, check=True)
        part.rename(folder)
    return folder / "src"


def once(way: str, paths: list[Path], source: Path, workers: int) -> dict:
    """One cold command with the source of a tree: processor seconds, wall clock, digest of what it promises."""
    forget()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "assay", *command(way, paths, workers)]
    ran = run(words, variables={"PYTHONPATH": str(source)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads((OUT / "run.json").read_text("utf-8"))
    stages = [(stage["stage"], stage["seconds"]) for stage in told["stages"]]
    return {"processor": processor, "seconds": ran.seconds, "digest": digest(), "stages": stages}


def digest() -> str:
    """Of the selected rows, the quarantine and the manifest."""
    promised = [*OUT.glob("selected/*"), *OUT.glob("manifest.parquet/*"), OUT / "quarantine.jsonl"]
    state = hashlib.sha256()
    for path in sorted(promised):
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()


def compare(way: str, gigabytes: float, commit: str, pairs: int) -> dict:
    """An earlier commit and this tree in turns, one worker; the first run of each compiles and is not counted."""
    paths, sources = pool(gigabytes), {"before": tree(commit), "after": ROOT / "src"}
    for source in sources.values():
        once(way, paths[:1], source, 1)
    runs = {side: [] for side in sources}
    for _ in range(pairs):
        for side, source in sources.items():
            runs[side].append(once(way, paths, source, 1))
    forget()
    least = {side: min(one["processor"] for one in made) for side, made in runs.items()}
    same = len({one["digest"] for made in runs.values() for one in made}) == 1
    return {
        "way": way, "gigabytes": gigabytes, "commit": commit, "pairs": pairs, "processor": least, "same_bytes": same,
        "ratio": least["before"] / least["after"], "load": os.getloadavg()[0],
        "runs": {side: [(one["processor"], one["seconds"]) for one in made] for side, made in runs.items()},
        "stages": {side: min(made, key=lambda one: one["processor"])["stages"] for side, made in runs.items()},
    }  # fmt: skip


# --- One worker and two -----------------------------------------------------------------------------------------------


def spread(way: str, gigabytes: float, pairs: int) -> dict:
    """Wall clock of one worker and of two, in turns."""
    paths, runs = pool(gigabytes), {1: [], 2: []}
    for _ in range(pairs):
        for workers, made in runs.items():
            made.append(once(way, paths, ROOT / "src", workers))
    forget()
    least = {workers: min(made, key=lambda one: one["seconds"]) for workers, made in runs.items()}
    return {
        "way": way, "gigabytes": gigabytes, "pairs": pairs, "ratio": least[1]["seconds"] / least[2]["seconds"],
        "seconds": {str(workers): [one["seconds"] for one in made] for workers, made in runs.items()},
        "stages": {str(workers): one["stages"] for workers, one in least.items()}, "load": os.getloadavg()[0],
    }  # fmt: skip


# --- The account ------------------------------------------------------------------------------------------------------


def table(parts: dict[str, list[dict]]) -> dict:
    """One row for each command: its largest items, before and after, and what a second worker brings."""
    rows = []
    for way in WAYS:
        seen, changed = (
            next((one for one in parts.get(part, ()) if one["way"] == way), None) for part in ("profile", "before")
        )
        two = sorted((one["gigabytes"], one["ratio"]) for one in parts.get("workers", ()) if one["way"] == way)
        if seen or changed or two:
            items = "; ".join(f"{line} {share:.0%}" for line, share in seen["lines"][:4]) if seen else ""
            rows.append([
                way, items,
                f"{changed['processor']['before']:.1f} s" if changed else "",
                f"{changed['processor']['after']:.1f} s" if changed else "",
                f"{changed['ratio']:.2f}" if changed else "", ", ".join(f"{ratio:.2f} on {size:g} GB" for size, ratio in two),
            ])  # fmt: skip
    heads = ["largest items", "processor, before", "after", "ratio", "two workers against one"]
    return {"columns": ["command", *heads], "rows": rows}


def kept() -> dict[str, list[dict]]:
    """What an earlier call has measured."""
    path = RESULTS / "profile.json"
    return json.loads(path.read_text("utf-8"))["parts"] if path.exists() else {}


def broken(parts: dict[str, list[dict]]) -> list[str]:
    """What does not hold."""
    told = [f"{one['way']}: before and after differ" for one in parts.get("before", ()) if not one["same_bytes"]]
    largest = {one["way"]: one for one in sorted(parts.get("workers", ()), key=lambda one: one["gigabytes"])}
    return told + [
        f"{way}: two workers bring {one['ratio']:.2f} on {one['gigabytes']:g} GB"
        for way, one in largest.items()
        if one["gigabytes"] >= 2 and one["ratio"] < WANTED
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="where the text sets lie (also ASSAY_DATA)")
    parser.add_argument("--part", action="append", choices=["profile", "before", "workers"])
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--gigabytes", type=float, help="of the pool; 1, for workers 2")
    parser.add_argument("--before", default="035dcc3", help="the commit to compare with")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="measure again what is in the JSON")
    given = parser.parse_args()
    if given.data:
        os.environ.setdefault("ASSAY_DATA", given.data)
    parts = kept()
    for part in given.part or ("profile", "before", "workers"):
        size = given.gigabytes or (2.0 if part == "workers" else 1.0)
        for way in given.way or WAYS:
            done = [one for one in parts.get(part, []) if one["way"] != way or one["gigabytes"] != size]
            if len(done) < len(parts.get(part, [])) and not given.fresh:
                continue
            found = {
                "profile": lambda way=way, size=size: profile(way, size),
                "before": lambda way=way, size=size: compare(way, size, given.before, given.pairs),
                "workers": lambda way=way, size=size: spread(way, size, given.pairs),
            }[part]()  # fmt: skip
            parts[part] = [*done, found]
            record("profile", {"table": table(parts), "parts": parts, "broken": broken(parts)})
    for one in broken(parts):
        print(f"   does not hold: {one}")
    return int(bool(broken(parts)))


if __name__ == "__main__":
    sys.exit(main())
