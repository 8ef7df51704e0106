"""Image-text filtering on real pictures with planted faults: of what dfn and clip_score keep, how many pairs are sound?

    python bench/prove_image_text.py                        all 1,026 pairs, three splits (a quarter of an hour on two cores)
    python bench/prove_image_text.py --pairs 120 --splits 1 --set epochs=3        to see that it runs
    python bench/prove_image_text.py --model clip-mini      another filter network; a folder with a CLIP is fine-tuned

FxEmojis (CC BY 4.0) with their Unicode names: 30 per cent of the pairs, drawn by the seed of the split, are the clean
target. Of the others half have the caption of another of them, and a tenth a picture of noise; the rest, two fifths, are
sound. The command trains dfn on the target and keeps the best 20 per cent; precision is the share of sound pairs among what
is kept, at 5, 10, 15 and 20 per cent, and `auc` the chance that a sound pair stands before a spoiled one. `clip_score` with
the same network, untrained, is the control: it knows nothing. Writes bench/results/image_text.json; exit code 1 where dfn's
precision at 20 per cent is not above the share of sound pairs in the pool by twice its standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from harness import ASSAY, ROOT, record, run

DATA = Path(os.environ.get("ASSAY_DATA", ROOT.parent / "shared" / "data"))
CUTS = (0.05, 0.10, 0.15, 0.20)
Pair = tuple[bytes, str]


def pairs(path: Path) -> list[Pair]:
    """Pictures and names, in the order of the archive."""
    with tarfile.open(path) as archive:
        found = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    return [(found[name], found[name[:-3] + "txt"].decode()) for name in sorted(found) if name.endswith(".png")]


def noise(rng: np.random.Generator) -> bytes:
    """A picture of which every pixel is drawn."""
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(held, "PNG")
    return held.getvalue()


def spoiled(rows: list[Pair], rng: np.random.Generator) -> tuple[list[Pair], np.ndarray]:
    """Half of the rows with another's caption, a tenth with noise, in an order that tells nothing; and which are sound."""
    order, half, tenth = rng.permutation(len(rows)), len(rows) // 2, len(rows) // 10
    made, sound = list(rows), np.ones(len(rows), bool)
    for here, there in zip(order[:half], np.roll(order[:half], 1), strict=True):
        made[here] = (rows[here][0], rows[there][1])
    for here in order[half : half + tenth]:
        made[here] = (noise(rng), rows[here][1])
    sound[order[: half + tenth]] = False
    return made, sound


def write(path: Path, rows: list[Pair]) -> Path:
    """An archive of samples."""
    with tarfile.open(path, "w") as archive:
        for row, (image, text) in enumerate(rows):
            for suffix, content in (("png", image), ("txt", text.encode())):
                entry = tarfile.TarInfo(f"{row:05}.{suffix}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def scores(folder: Path, method: str, pool: Path, clean: Path, asked: argparse.Namespace) -> tuple[np.ndarray, float]:
    """What the command gives each row, and its seconds."""
    out = folder / method
    words = ["--target", clean] if method == "dfn" else []
    for setting in asked.set if method == "dfn" else ():
        words += ["--set", f"dfn.{setting}"]
    command = [ASSAY, "select", pool, "--method", method, "--model", asked.model, "--budget", "20%", "--out", out, "-q"]
    ran = run([*command, *words])
    table = pl.concat([pl.read_parquet(part) for part in sorted((out / "manifest.parquet").iterdir())])
    return table.sort("row")["score"].to_numpy(), ran.seconds


def judged(found: np.ndarray, sound: np.ndarray) -> dict[str, float]:
    """Precision at the cuts, and the chance that a sound pair stands before a spoiled one."""
    order = np.argsort(-np.nan_to_num(found, nan=-2.0), kind="stable")
    precision = {f"precision at {cut:.0%}": float(sound[order[: int(cut * len(order))]].mean()) for cut in CUTS}
    ahead = (found[sound][:, None] > found[~sound][None, :]).mean() + (
        found[sound][:, None] == found[~sound]
    ).mean() / 2
    return {**precision, "auc": float(ahead)}


def split(rows: list[Pair], seed: int, asked: argparse.Namespace) -> list[dict]:
    """Both methods on one split."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    clean, rest = ([rows[row] for row in part] for part in np.split(order, [len(rows) * 3 // 10]))
    pool, sound = spoiled(rest, rng)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write(folder / "pool.tar", pool), write(folder / "clean.tar", clean)
        made = []
        for method in ("dfn", "clip_score"):
            found, seconds = scores(folder, method, *files, asked)
            made.append({"method": method, "split": seed, "pool": len(pool), "clean": len(clean), "sound": float(sound.mean()),
                         "seconds": round(seconds, 1), **judged(found, sound)})  # fmt: skip
            print(
                "  ", {key: round(value, 3) if isinstance(value, float) else value for key, value in made[-1].items()}
            )
    return made


def main() -> int:
    """All splits, the means over them, and the verdict."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("data", nargs="?", type=Path, default=DATA, help="where the sets lie")
    words.add_argument("--pairs", type=int, default=10**9, help="so many of them only")
    words.add_argument("--splits", type=int, default=3)
    words.add_argument("--model", default="clip-nano")
    words.add_argument("--set", action="append", default=[], help="a parameter of dfn, as epochs=60")
    words.add_argument("--record", default="image_text")
    asked = words.parse_args()
    rows = pairs(asked.data / "images" / "fxemoji_pairs.tar.gz")[: asked.pairs]
    made = [one for seed in range(asked.splits) for one in split(rows, seed, asked)]
    mean = {
        method: {key: float(np.mean([one[key] for one in made if one["method"] == method]))
                 for key in (*judged(np.zeros(4), np.array([1, 1, 0, 0], bool)), "sound")}
        for method in ("dfn", "clip_score")
    }  # fmt: skip
    kept = sum(int(0.2 * one["pool"]) for one in made if one["method"] == "dfn")
    base = mean["dfn"]["sound"]
    wanted = base + 2 * float(np.sqrt(base * (1 - base) / kept))
    columns = ["method", *(f"precision at {cut:.0%}" for cut in CUTS), "auc"]
    table = [[method, *(f"{mean[method][key]:.3f}" for key in columns[1:])] for method in mean]
    record(asked.record, {"model": asked.model, "settings": asked.set, "pairs": len(rows), "splits": made, "mean": mean,
                          "wanted": wanted, "table": {"columns": columns, "rows": table}})  # fmt: skip
    for method, one in mean.items():
        print(f"   {method}: " + ", ".join(f"{key} {value:.3f}" for key, value in one.items()))
    print(f"   wanted at 20%: above {wanted:.3f}, which is {base:.3f} and two standard errors")
    return 0 if mean["dfn"]["precision at 20%"] > wanted else 1


if __name__ == "__main__":
    sys.exit(main())
