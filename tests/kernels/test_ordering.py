"""Order inside runs of equal keys, and the shuffle's sort that rests on it, beside one sort over everything."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from assay.kernels.minhash import shingle_sets
from assay.kernels.ordering import reference, settled
from assay.run.shuffle import in_order


@pytest.mark.parametrize("keys", [1, 3, 500, 1 << 60], ids=str)
@pytest.mark.parametrize("values", [1, 7, 1 << 60], ids=str)
def test_runs_are_sorted_by_value_then_place(keys: int, values: int):
    rng = np.random.default_rng(keys % 97 + values % 89)
    key = np.sort(rng.integers(0, keys, 3000).astype(np.uint64))
    value = rng.integers(0, values, 3000).astype(np.uint64)
    np.testing.assert_array_equal(settled(key, value), reference(key, value))


@pytest.mark.parametrize("keys", [1, 40, 1 << 60], ids=str)
@pytest.mark.parametrize("rows", ["ascending", "any"])
def test_records_come_by_key_then_row_then_as_given(keys: int, rows: str):
    rng = np.random.default_rng(keys % 97)
    records = np.zeros(2000, [("key", np.uint64), ("row", np.int64), ("given", np.int64)])
    records["key"], records["row"] = rng.integers(0, keys, 2000), rng.integers(0, 300, 2000)
    if rows == "ascending":
        records["row"].sort()
    records["given"] = np.arange(2000)
    expected = records[np.lexsort((records["given"], records["row"], records["key"]))]
    np.testing.assert_array_equal(in_order(records), expected)


def test_shingles_of_a_text_come_sorted_and_once_however_often_it_says_them():
    texts = [" ".join(f"w{k}" for k in range(9000)), "to be or not " * 4000, "a b " * 30, "one", ""]
    data = np.frombuffer("".join(texts).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, texts)])
    shingles, starts, _ = shingle_sets(data, offsets, 3)
    sets = [shingles[start:stop] for start, stop in pairwise(starts)]
    assert [len(one) for one in sets] == [8998, 4, 2, 1, 0]
    assert all((np.diff(one.astype(object)) > 0).all() for one in sets)
