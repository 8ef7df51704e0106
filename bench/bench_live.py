"""`dsir_reference` beside the installed package, document by document, on the pool that ships: equal to 1e-6."""

from __future__ import annotations

import subprocess
import sys

from harness import HERE, PEERS, ROOT, record

DATA = ROOT / "examples" / "data"


def main() -> int:
    """Compare, print, record; fails where they differ."""
    command = [HERE / "dsir_live.py", DATA / "pool.jsonl.zst", DATA / "target.jsonl", "--peer", PEERS]
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    print(done.stdout or done.stderr, end="")
    record("dsir_live", {"equal": done.returncode == 0, "output": done.stdout.splitlines()})
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
