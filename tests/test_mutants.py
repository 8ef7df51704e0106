"""Every mutant of `make mutants` is one: its line is there, once, and the test that it names exists."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTS = sorted((ROOT / "tests" / "mutants").glob("*.toml"))
MUTANTS = [(path.stem, one) for path in LISTS for one in tomllib.loads(path.read_text("utf-8"))["mutant"]]


@pytest.mark.parametrize(("name", "one"), MUTANTS, ids=[f"{name}: {one['pitfall']}"[:60] for name, one in MUTANTS])
def test_a_mutant_changes_one_place_and_names_a_test(name: str, one: dict[str, str]):
    assert set(one) == {"pitfall", "file", "find", "replace", "test"}
    assert (ROOT / one["file"]).read_text("utf-8").count(one["find"]) == 1 and one["find"] != one["replace"]
    path, _, test = one["test"].partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert test.partition("[")[0] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
