"""docs/reliability.md tells of the faults that are tested here, of all of them, and of no others."""

from __future__ import annotations

import importlib.util
import re

from command import ROOT

_spec = importlib.util.spec_from_file_location("faults_tried", ROOT / "bench" / "faults_tried.py")
tried = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tried)


def test_every_fault_told_of_is_tested_and_every_tested_one_is_told_of():
    told = {(file, name) for _, _, file, names in tried.TRIED for name in names}
    there = {
        (path.name, name)
        for path in (ROOT / "tests" / "faults").glob("test_*.py")
        if path.name not in tried.ELSEWHERE
        for name in re.findall(r"^def test_(\w+)\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert told == there
