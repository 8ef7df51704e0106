"""How long `assay --help` takes as a cold process, and that it loads no array library, beside an idle Python."""

from __future__ import annotations

import sys

from harness import ASSAY, best, record

HEAVY = ("numpy", "numba", "polars", "pyarrow", "scipy", "altair")


def main() -> None:
    """Measure, check, record."""
    script = f"import sys, assay.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert best([sys.executable, "-c", script], 1).output.strip() == "[]", "`assay --help` must not import these"
    ours = best([ASSAY, "--help"], 10)
    assert "select" in ours.output and "verify" in ours.output
    theirs = best([sys.executable, "-c", "pass"], 10)
    row = {
        "work": "assay --help",
        "peer": "python -c pass",
        "version": sys.version.split()[0],
        "ratio": ours.seconds / theirs.seconds,
        "direction": "times the seconds",
        "seconds": {"ours": ours.seconds, "theirs": theirs.seconds},
        "ours": f"{ours.seconds:.2f} s",
        "theirs": f"{theirs.seconds:.2f} s",
        "wanted": "at once (under half a second)",
    }
    record("start", {"rows": [row]})


if __name__ == "__main__":
    main()
