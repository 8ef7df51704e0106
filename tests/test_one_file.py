"""A new method is one file: dropped among the others, it is listed, explained, chosen by, and under the contract's tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from command import ROOT, jsonl

METHOD = '''"""The share of bytes that are vowels.

    s(x) = |{i : x_i in aeiou}| / |x|

Source: a test, 2026, https://example.org/vowels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float64

from assay.contracts import Rows, Scorer
from assay.types import Batch, Fitted


@final
@dataclass(frozen=True)
class Vowels(Scorer):
    """Vowels; `letters` are what counts as one."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    paper: ClassVar[str] = "https://example.org/vowels"
    uses_target: ClassVar[Literal["required", "optional", "no"]] = "no"

    letters: str = "aeiou"

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        return Fitted({})

    def score(self, fitted: Fitted, batch: Batch) -> Float64[np.ndarray, "b"]:
        texts = [bytes(batch.text.data[at : at + size]) for at, size in zip(batch.text.offsets, batch.text.sizes)]
        return np.array([sum(map(text.count, self.letters.encode())) / max(len(text), 1) for text in texts])
'''


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with one file more."""
    folder = tmp_path_factory.mktemp("package") / "src"
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__", "kernels"))
    (folder / "assay/kernels").symlink_to(ROOT / "src/assay/kernels")
    (folder / "assay/score/vowels.py").write_text(METHOD, "utf-8")
    return folder


def python(source: Path, *words: object) -> str:
    """What `python WORDS` says with that package; it must end well."""
    variables = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "120"}
    command = [sys.executable, *map(str, words)]
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_command_knows_it(source: Path, tmp_path: Path):
    rows = ["try my gym", "an aeon of ease", "rhythm", "banana"]
    pool, out = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in rows]), tmp_path / "run"
    assert "vowels" in python(source, "-m", "assay", "methods")
    assert "share of bytes that are vowels" in python(source, "-m", "assay", "methods", "vowels")
    python(source, "-m", "assay", "select", pool, "--method", "vowels", "--budget", "2", "--out", out, "-q")
    manifest = pl.read_parquet(out / "manifest.parquet").filter(status="chosen").sort("rank")
    assert manifest["row"].to_list() == [1, 3]  # 8 of 15 bytes, 3 of 6


def test_the_contract_is_checked_for_it(source: Path):
    said = python(source, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_contract.py", "-k", "vowels")
    assert "6 passed" in said
