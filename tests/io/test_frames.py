"""Pools in memory become files, the same rows the same bytes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pools import texts_of

from assay.errors import InputError
from assay.io.frames import spool

ROWS = [{"id": k, "text": f"é {k}", "meta": {"k": [k]}} for k in range(20)]
TEXTS = [row["text"] for row in ROWS]


def test_every_kind_of_table(tmp_path: Path) -> None:
    import datasets

    pools = {
        "list": ROWS, "pandas": pd.DataFrame(ROWS), "polars": pl.DataFrame(ROWS), "lazy": pl.LazyFrame(ROWS),
        "arrow": pa.Table.from_pylist(ROWS),
        "dataset": datasets.Dataset.from_list(ROWS),
        "chosen": datasets.Dataset.from_list([*ROWS, *ROWS]).select(range(20)),
    }  # fmt: skip
    for name, pool in pools.items():
        (path,) = spool(pool, str(tmp_path / name))
        assert texts_of(path) == TEXTS, name
        first = Path(path).read_bytes()
        spool(pool, str(tmp_path / name))
        assert Path(path).read_bytes() == first


def test_paths_stay_paths(tmp_path: Path) -> None:
    assert spool("a.jsonl", str(tmp_path)) == ["a.jsonl"]
    assert spool([Path("a.jsonl"), "b"], str(tmp_path)) == ["a.jsonl", "b"]


def test_what_is_no_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="list of dicts"):
        spool([1, 2], str(tmp_path))
    with pytest.raises(InputError, match="got dict"):
        spool({"text": "a"}, str(tmp_path))
    with pytest.raises(InputError, match="what JSON can say"):
        spool([{"text": "a", "x": object()}], str(tmp_path))
