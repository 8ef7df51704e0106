"""Tables in documents say what bench/results/*.json say: nobody types a figure."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_spec = importlib.util.spec_from_file_location("tables", ROOT / "bench" / "tables.py")
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


@pytest.mark.parametrize("path", tables.documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_equal_their_json(path: Path):
    text = path.read_text("utf-8")
    assert tables.rendered(text) == text, "the figures in this document are not those of bench/results: make docs"


def test_the_bench_page_holds_the_ratios():
    assert "<!-- table: ratios -->" in (ROOT / "bench" / "README.md").read_text("utf-8")


def test_results_say_where_they_were_measured():
    for path in sorted((ROOT / "bench" / "results").glob("*.json")):
        result = json.loads(path.read_text("utf-8"))
        assert result["name"] == path.stem
        assert result["commit"] and result["machine"] and result["date"]


def test_a_changed_figure_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    facts = {"columns": ["eval", "false verdicts"], "rows": [["news", "7 of 200"]]}
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    result = {"name": "small", "table": facts, "machine": "m", "commit": "c", "date": "d"}
    (tmp_path / "small.json").write_text(json.dumps(result))
    page = tables.rendered("# Small\n\n<!-- table: small -->\n<!-- end -->\nafter\n")
    assert "| news | 7 of 200 |" in page and page.endswith("<!-- end -->\nafter\n")
    assert tables.rendered(page) == page
    assert tables.rendered(page.replace("7 of", "6 of")) == page


def test_the_harness_counts_memory_of_the_whole_tree():
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import harness
    finally:
        sys.path.remove(str(ROOT / "bench"))
    child = "block = bytearray(60 << 20); import time; time.sleep(1.0)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    ran = harness.run([sys.executable, "-c", parent], watch=True)
    assert ran.peak > 60 << 20 and ran.seconds >= 1.0
