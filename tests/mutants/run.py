"""Every pitfall's one-line mutant, and whether the test that names it fails under it: `make mutants`.

    python tests/mutants/run.py [less kmeans …]

A file NAME.toml beside this one lists the mutants of a method:

    [[mutant]]
    pitfall = "what one might get wrong, and who did"
    file = "src/assay/score/less.py"
    find = "a piece of one line, which occurs once in the file"
    replace = "what the mutant says instead"
    test = "tests/score/test_less.py::test_of_just_that"
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def mutants(names: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """All of them, or those of some methods."""
    for path in sorted(HERE.glob("*.toml")):
        if not names or path.stem in names:
            yield from ((path.stem, one) for one in tomllib.loads(path.read_text("utf-8"))["mutant"])


def mutated(one: dict[str, str], folder: Path) -> Path:
    """The sources, changed in that one place; kernels that stay as they are lie where their compiled code is."""
    source, kernels = folder / "src", Path("assay") / "kernels"
    linked = Path(one["file"]).parent != "src" / kernels
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", *["kernels"] * linked))
    if linked:
        (source / kernels).symlink_to(ROOT / "src" / kernels)
    path = source / Path(one["file"]).relative_to("src")
    text = path.read_text("utf-8")
    assert text.count(one["find"]) == 1, f"{one['file']} must hold {one['find']!r} once; it does {text.count(one['find'])} times"
    path.write_text(text.replace(one["find"], one["replace"]), "utf-8")
    return source


@cache
def fails(test: str, source: Path) -> bool:
    """Whether a test fails on these sources; an error in collecting it is no failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(ROOT / test)]
    variables = {**os.environ, "PYTHONPATH": str(source)}
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stdout[-2000:] + ended.stderr[-2000:]
    return ended.returncode == 1


def main() -> int:
    """Exit code 1 if a mutant survives, or a test fails without one."""
    wrong = 0
    for name, one in mutants(sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            caught = fails(one["test"], mutated(one, Path(folder)))
        sound = not fails(one["test"], ROOT / "src")
        wrong += not (caught and sound)
        verdict = "caught" if caught and sound else "SURVIVES" if sound else "FAILS WITHOUT IT"
        print(f"{verdict:>8}  {name}: {one['pitfall']}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
