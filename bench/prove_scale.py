"""20 GB of text through `assay clean` (rules, then minhash) and `assay select` (dsir) under 2 GB of memory and 64 bytes a row.

    python bench/prove_scale.py ../shared/data                               everything: 1, 2, 4, 8, 16 and 20 GB
    python bench/prove_scale.py --clean 1,2,4,8,20 --select 1,2,4,8,16,20      these sizes; steps in the JSON are not repeated
    python bench/prove_scale.py --pool-only 20                                make the pool and stop
    python bench/prove_scale.py --forget                                      remove the pool at the end

The pool is real text (`planted.SETS`) said again and again with every fifth word replaced by one that stands nowhere else,
so that no two rows share a run of five words, but for planted copies: every eighth document of at least sixty words has one,
at a similarity of one of `planted.LEVELS`, in the same file or the one beside it. A size of the table is the first files of
it. Every step is one command, cold, with nothing stored; its seconds and the peak of the summed PSS of its process tree
(looked at four times a second) are written to bench/results/scale.json before the next begins, and what it left on disk is
removed. Rows in must be chosen + not chosen + quarantined, the planted copies must be found as the bands promise, and no other
row may be taken for a copy. Exit code 1 where one of this, the memory or the growth does not hold.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import polars as pl
from harness import ASSAY, RESULTS, WORK, record, run
from planted import LEVELS, SETS, near_copy
from pools import documents, target

SIZES = "1,2,4,8,16,20"
BLOCK = 500_000_000  # bytes of two files, which are made together
POOL = WORK / "scale"
OUT, STORE, RECIPE = WORK / "run-scale", WORK / "store-scale", WORK / "scale.toml"
STEPS = """steps = [
  { filter = "gopher_quality" },
  { filter = "gopher_repetition" },
  { group = "minhash", keep = "longest" },
]
"""
BASE, A_ROW = 2_000_000_000, 64  # bytes that a run may take, and beside them for every row
GROWTH = 1.25  # how much more a GB of the largest pool may cost than one of the smallest, start of the program aside
# Bytes of disk that a step takes beside the pool, for a byte of it: signals, records of bands and of candidates' shingles, output.
ON_DISK = {"clean": 0.75, "select": 0.4}


# --- The pool ---------------------------------------------------------------------------------------------------------


def blocks(gigabytes: int) -> list[Path]:
    """The pairs of files that make a pool of so many GB, made where they are not there yet."""
    count = gigabytes * 10**9 // BLOCK
    folders = [POOL / f"{number:04d}" for number in range(count)]
    missing = [number for number, folder in enumerate(folders) if not folder.exists()]
    if missing:
        need_disk((len(missing) + 2) * BLOCK, "the pool")
        with ProcessPoolExecutor(2) as workers:
            for number in workers.map(make_block, missing):
                print(f"   made {folders[number].name}, {BLOCK / 1e9} GB", flush=True)
    return folders


@functools.cache
def texts() -> list[str]:
    """Every text of the sets, in one order."""
    found = [text for name in SETS for _, text in documents(name)]
    Random(0).shuffle(found)
    return found


def make_block(number: int) -> int:
    """Two files of one block, and what was planted there; under its final name once it is whole."""
    folder, chance = POOL / f"{number:04d}", Random(number)
    rows, counts = _rows(texts(), number, chance), dict.fromkeys(map(str, LEVELS), 0)
    listed = list(rows)
    for name, _ in listed:
        if name.startswith("c-"):
            counts[name.rsplit("-", 1)[1]] += 1
    chance.shuffle(listed)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for at in range(2):
        with (part / f"part-{number:04d}-{at}.jsonl").open("w", encoding="utf-8") as out:
            for name, text in listed[at::2]:
                out.write(json.dumps({"id": name, "text": text, "source": f"s{number % 7}"}, ensure_ascii=False) + "\n")
    (part / "planted.txt").write_text(json.dumps({"rows": len(listed), "copies": counts}), "utf-8")
    part.rename(folder)
    return number


def _rows(listed: list[str], block: int, chance: Random) -> Iterator[tuple[str, str]]:
    """(id, text) of about BLOCK bytes: where the block before stopped in the texts does not matter, every row is its own."""
    written, turn, at = 0, 0, (block * 7919) % len(listed)
    word = block << 32
    while written < BLOCK:
        words = listed[at % len(listed)].split()
        places = range(0, len(words), 5)
        words[0::5] = [f"w{word + k:x}" for k in range(len(places))]
        word += len(places)
        text = " ".join(words)
        name = f"o-{block}-{at}"
        yield name, text
        written += len(text.encode("utf-8", "replace")) + 60
        if at % 8 == 0 and len(words) >= 60:
            level = LEVELS[turn % len(LEVELS)]
            copy = near_copy(text, level, chance)
            yield f"c-{block}-{at}-{level}", copy
            written, turn = written + len(copy.encode("utf-8", "replace")) + 60, turn + 1
        at += 1


def files_of(folders: list[Path]) -> list[Path]:
    """The files of a pool, in order."""
    return [path for folder in folders for path in sorted(folder.glob("part-*.jsonl"))]


def planted(folders: list[Path]) -> dict:
    """Rows, bytes, and planted copies by level."""
    told = [json.loads((folder / "planted.txt").read_text("utf-8")) for folder in folders]
    copies = {level: sum(one["copies"][str(level)] for one in told) for level in LEVELS}
    size = sum(path.stat().st_size for path in files_of(folders))
    return {"rows": sum(one["rows"] for one in told), "bytes": size, "copies": copies}


def need_disk(size: float, what: str) -> None:
    """Stop before a step that the disk cannot hold."""
    free = shutil.disk_usage(WORK).free
    if free < size + 2e9:
        sys.exit(
            f"{what} needs {size / 1e9:.0f} GB of disk and 2 GB beside it; {free / 1e9:.0f} GB are free in {WORK}: "
            "remove old pools there (pool-10000mb.jsonl), or ask for smaller sizes"
        )


# --- The steps --------------------------------------------------------------------------------------------------------


def forget() -> None:
    """No trace of an earlier step."""
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)


def command(verb: str, folders: list[Path]) -> list[str | Path]:
    """What a user types; cleaned rows are written compressed, which leaves room on the disk."""
    RECIPE.write_text(STEPS, "utf-8")
    asked = {
        "clean": ["--recipe", RECIPE, "--compression", "zstd"],
        "select": ["--target", target(), "--method", "dsir", "--budget", "10%"],
    }
    place = ["--out", OUT, "--store", STORE, "--workers", "2", "--quiet"]
    return [ASSAY, verb, *folders, *asked[verb], *place]


def step(verb: str, gigabytes: int) -> dict:
    """One command on a pool of one size: what it cost, and what was checked."""
    folders = blocks(gigabytes)
    facts = planted(folders)
    forget()
    need_disk(ON_DISK[verb] * facts["bytes"], f"{verb} of {gigabytes} GB")
    with DiskWatch() as disk:
        ran = run(command(verb, folders), watch=True, every=0.25)
    told = json.loads((OUT / "run.json").read_text("utf-8"))
    counts, stays = told["counts"], told["counts"].get("chosen", told["counts"].get("kept"))
    assert counts["input"] == facts["rows"] == stays + counts["not_chosen"] + counts["quarantined"], counts
    found = copies_found() if verb == "clean" else {}
    left = by_kind()
    forget()
    return {
        "verb": verb, "gigabytes": gigabytes, "seconds": ran.seconds, "peak": ran.peak,
        "allowed": BASE + A_ROW * facts["rows"], "rows": facts["rows"], "bytes": facts["bytes"], "counts": counts,
        "stages": [(stage["stage"], stage["seconds"]) for stage in told["stages"]], "left_on_disk": left, "most_on_disk": disk.most,
        "planted": {str(level): count for level, count in facts["copies"].items()}, "found": found,
        "load": os.getloadavg()[0],
    }  # fmt: skip


class DiskWatch:
    """How much fuller the disk was at most than at the start, looked at once a second; others may write too."""

    def __enter__(self) -> DiskWatch:
        self.most, self.start, self.over = 0, shutil.disk_usage(WORK).free, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def _look(self) -> None:
        while not self.over.wait(1.0):
            self.most = max(self.most, self.start - shutil.disk_usage(WORK).free)

    def __exit__(self, *unused: object) -> None:
        self.over.set()
        self.thread.join()


def by_kind() -> dict[str, int]:
    """Bytes that a step left on disk: in the store by what they are, and in the run folder."""
    found: dict[str, int] = {}
    for path in STORE.rglob("*"):
        if path.is_file():
            inside = path.relative_to(STORE).parts
            kind = path.name.split(".")[1].split("-")[0] if inside[0] in ("shards", "partial") else inside[0]
            found[kind] = found.get(kind, 0) + path.stat().st_size
    for path in OUT.rglob("*"):
        if path.is_file():
            kind = path.relative_to(OUT).parts[0]
            found[kind] = found.get(kind, 0) + path.stat().st_size
    return found


def copies_found() -> dict:
    """Of the planted pairs that no rule touched, how many were found, by level; and rows wrongly taken for copies.

    A row in the manifest says which row it is a copy of: rightly only where that is its partner.
    """
    rows = (
        pl.scan_parquet(OUT / "manifest.parquet" / "*.parquet")
        .select("row", "id", "status", "reason")
        .with_columns(
            pair=pl.col("id").str.extract(r"^[oc]-(\d+-\d+)"),
            level=pl.col("id").str.extract(r"^c-\d+-\d+-(.+)$"),
            of=pl.col("reason").str.extract(r"^duplicate: minhash of row (\d+)$").cast(pl.Int64),
        )
    )
    wrong = rows.filter(pl.col("of").is_not_null())
    named = rows.select(of="row", other="pair")
    wrongly = wrong.join(named, on="of", how="left").filter(pl.col("pair") != pl.col("other"))
    both = (
        rows.filter(pl.col("of").is_not_null() | (pl.col("status") == "kept"))
        .group_by("pair")
        .agg(pl.len(), pl.col("level").drop_nulls().first(), found=pl.col("of").is_not_null().any())
        .filter((pl.col("len") == 2) & pl.col("level").is_not_null())
        .group_by("level")
        .agg(pairs=pl.len(), found=pl.col("found").sum())
        .sort("level", descending=True)
    )
    levels = both.collect(engine="streaming").rows(named=True)
    return {"levels": levels, "wrongly": int(wrongly.select(pl.len()).collect(engine="streaming").item())}


def promised(level: float) -> tuple[float, float]:
    """Least and largest share of pairs at about this similarity that 14 bands of 8 propose and 0.75 lets through.

    Words are replaced at places that do not overlap, so the true similarity lies within 0.03 of the level or so.
    """
    if level < 0.7:
        return 0.0, 0.001
    low, high = (1 - (1 - at**8) ** 14 for at in (level - 0.03, min(1.0, level + 0.03)))
    return (low - 0.01 if level > 0.78 else 0.0), high + 0.01


# --- The account ------------------------------------------------------------------------------------------------------


def kept() -> list[dict]:
    """Steps that an earlier call has measured."""
    path = RESULTS / "scale.json"
    return json.loads(path.read_text("utf-8"))["steps"] if path.exists() else []


def table(steps: list[dict]) -> dict:
    """A row for every size, both commands side by side."""
    by = {(one["verb"], one["gigabytes"]): one for one in steps}
    rows = []
    for size in sorted({one["gigabytes"] for one in steps}):
        first = by.get(("clean", size)) or by["select", size]
        row = [f"{size} GB", f"{first['rows']:,}"]
        for verb in ("clean", "select"):
            one = by.get((verb, size))
            row += (
                [f"{one['seconds']:.0f}", f"{one['bytes'] / one['seconds'] / 1e6:.0f}", f"{one['peak'] / 1e6:,.0f}"]
                if one
                else [""] * 3
            )
        rows.append([*row, f"{first['allowed'] / 1e6:,.0f}"])
    heads = [f"{verb}, {unit}" for verb in ("clean", "select") for unit in ("seconds", "MB/s", "peak MB")]
    return {"columns": ["pool", "rows", *heads, "allowed MB"], "rows": rows}


def broken(steps: list[dict]) -> list[str]:
    """What does not hold."""
    told = [f"{one['verb']} {one['gigabytes']} GB: memory" for one in steps if one["peak"] > one["allowed"]]
    for one in steps:
        if one["verb"] == "clean":
            told += [f"{one['gigabytes']} GB: {one['found']['wrongly']} rows are no copies"] * (
                one["found"]["wrongly"] > 0
            )
            for level in one["found"]["levels"]:
                low, high = promised(float(level["level"]))
                if not low <= level["found"] / level["pairs"] <= high:
                    told.append(f"{one['gigabytes']} GB: {level['found']} of {level['pairs']} at {level['level']}")
    for verb in ("clean", "select"):
        sized = sorted((one for one in steps if one["verb"] == verb), key=lambda one: one["gigabytes"])
        if len(sized) > 1:
            least, most = sized[0], sized[-1]
            ratio = (most["seconds"] / most["bytes"]) / (least["seconds"] / least["bytes"])
            told += [
                f"{verb}: a byte of {most['gigabytes']} GB costs {ratio:.2f} times one of {least['gigabytes']}"
            ] * (ratio > GROWTH)
    return told


def sizes(text: str) -> list[int]:
    """Whole GB, separated by commas; none for an empty text."""
    return [int(part) for part in text.split(",") if part]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="where the text sets lie (also ASSAY_DATA)")
    parser.add_argument("--clean", default=SIZES, help=f"sizes in GB, separated by commas; {SIZES} unless given")
    parser.add_argument("--select", default=SIZES, help="the same for select")
    parser.add_argument("--pool-only", type=int, help="make a pool of so many GB and stop")
    parser.add_argument("--fresh", action="store_true", help="measure again what is in the JSON")
    parser.add_argument("--forget", action="store_true", help="remove the pool at the end")
    given = parser.parse_args()
    if given.data:
        os.environ.setdefault("ASSAY_DATA", given.data)
    WORK.mkdir(exist_ok=True)
    if given.pool_only:
        print(planted(blocks(given.pool_only)))
        return 0
    steps = kept()
    asked = {"clean": sizes(given.clean), "select": sizes(given.select)}
    for size, verb in sorted((size, name) for name, wanted in asked.items() for size in wanted):
        if not given.fresh and (verb, size) in [(one["verb"], one["gigabytes"]) for one in steps]:
            continue
        found = step(verb, size)
        steps = [one for one in steps if (one["verb"], one["gigabytes"]) != (verb, size)] + [found]
        print(f"   {verb} {size} GB: {found['seconds']:.0f} s, {found['peak'] / 1e6:.0f} MB", flush=True)
        record("scale", {"table": table(steps), "steps": steps, "broken": broken(steps)})
    if given.forget:
        shutil.rmtree(POOL, ignore_errors=True)
    for one in broken(steps):
        print(f"   does not hold: {one}")
    return int(bool(broken(steps)))


if __name__ == "__main__":
    sys.exit(main())
