"""`assay clean` with a fastText model beside a script that uses the fasttext package, on one core, per byte.

Two models, trained here by the package: a judge of quality as DCLM has it (2 labels, words and their pairs, 100 dimensions)
and a language identifier (40 labels, subwords, hierarchical softmax, 16 dimensions). Whole cold processes with one
worker: the model is loaded, the pool read, every text scored, and the rows that pass are written. Beyond that, Assay
writes a manifest. The package gets the smaller pool, because the larger takes it minutes; on that pool both must keep the
same rows, but for those within 1e-4 of the threshold.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from harness import ASSAY, HERE, PEERS, ROOT, WORK, best, record, run
from pools import count_lines, pool, text_folder

POOL_BYTES = int(float(os.environ.get("ASSAY_BENCH_BYTES", "4e8")))
PEER_BYTES = min(POOL_BYTES, 10**8)
QUALITY, LANGUAGE = WORK / "quality.bin", WORK / "language.bin"
OUT, STORE, PEER_OUT = WORK / "run-fasttext", WORK / "store-fasttext", WORK / "fasttext-kept.jsonl"
CASES = {  # work: model, label, least probability, recipe
    "DCLM-like, 2 labels, word pairs, dim 100": (
        QUALITY, "hq", 0.5,
        '[ {{ annotate = "fasttext", model = "{model}", label = "hq", as = "quality" }}, {{ where = "quality >= 0.5" }} ]',
    ),
    "language identification, 40 labels, subwords, hs, dim 16": (
        LANGUAGE, "eng_Latn", 0.65,
        '[ {{ annotate = "fasttext", model = "{model}", label = "eng_Latn", as = "english" }}, '
        '{{ where = "english >= 0.65" }} ]',
    ),
}  # fmt: skip


def models() -> None:
    """Train both once."""
    if not (QUALITY.exists() and LANGUAGE.exists()):
        WORK.mkdir(exist_ok=True)
        tongues = text_folder() / "sib200_40langs.jsonl.gz"
        examples = ROOT / "examples" / "data" / "pool.jsonl.zst"
        run([PEERS, HERE / "peers" / "fasttext_models.py", examples, tongues, QUALITY, LANGUAGE])


def clean() -> None:
    """Nothing stored from an earlier run."""
    for folder in (OUT, STORE):
        shutil.rmtree(folder, ignore_errors=True)


def measure(work: str, version: str) -> dict:
    """One model: ours, theirs, and whether they kept the same rows."""
    model, label, least, steps = CASES[work]
    large, small, recipe = pool(POOL_BYTES), pool(PEER_BYTES), WORK / "fasttext.toml"
    recipe.write_text(f"steps = {steps.format(model=model)}\n", "utf-8")

    def command(path: Path) -> list[str | Path]:
        return [ASSAY, "clean", path, "--recipe", recipe, "--out", OUT, "--store", STORE, "--workers", "1"]

    clean()
    run(command(small))  # compiles, once for each machine
    kept, rows = sum(map(count_lines, (OUT / "selected").iterdir())), count_lines(small)
    ours = best(command(large), 2, clean)
    script = HERE / "peers" / "fasttext_score.py"
    peer = best([PEERS, script, model, small, PEER_OUT, f"__label__{label}", str(least)], 2)
    theirs = int(peer.output.split()[-1])
    assert 0 < kept < rows and abs(kept - theirs) <= max(2, rows // 10_000), (kept, theirs, rows)
    sizes = {"ours": large.stat().st_size, "theirs": small.stat().st_size}
    return {
        "work": f"{work}, {sizes['ours'] / 1e6:.0f} MB, one core, per byte",
        "peer": "fasttext-wheel",
        "version": version,
        "ratio": (peer.seconds / sizes["theirs"]) / (ours.seconds / sizes["ours"]),
        "direction": "faster",
        "seconds": {"ours": ours.seconds, "theirs": peer.seconds},
        "bytes": sizes,
        "ours": f"{sizes['ours'] / ours.seconds / 1e6:.0f} MB/s",
        "theirs": f"{sizes['theirs'] / peer.seconds / 1e6:.1f} MB/s on {sizes['theirs'] / 1e6:.0f} MB",
        "wanted": "at least 4",
        "kept": {"ours": kept, "theirs": theirs, "rows": rows},
    }


def main() -> None:
    """Measure, check, record."""
    models()
    version = run([PEERS, "-c", "import importlib.metadata as m; print(m.version('fasttext-wheel'))"]).output.strip()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        rows = [measure(work, version) for work in CASES]
    record("fasttext", {"rows": rows})


if __name__ == "__main__":
    sys.exit(main())
