"""Lines read into one buffer that is used again: whatever the block, every line has exactly one owner."""

from __future__ import annotations

import itertools
import random

import pytest

from assay.io import lines


def read(path: str, cuts: list[int]) -> bytes:
    return b"".join(
        bytes(item.data[: item.stop])
        for start, stop in itertools.pairwise(cuts)
        for item in lines.read_lines(path, "", start, stop, 10**6)
    )


@pytest.mark.parametrize("block", [64, 200, 1000])
def test_lines_across_blocks_and_ranges(tmp_path, monkeypatch, block):
    monkeypatch.setattr(lines, "BLOCK", block)
    monkeypatch.setattr(lines, "_NEAR", 16)
    luck = random.Random(block)
    for trial in range(200):
        content = bytes(luck.choice(b"abc\n\nde\r") if luck.random() < 0.5 else 120 for _ in range(luck.randrange(600)))
        content = b"\xef\xbb\xbf" + content if trial % 5 == 0 else content
        (tmp_path / "pool.jsonl").write_bytes(content)
        parts = luck.choice([1, 2, 3, 5, 9])
        wanted = content.removeprefix(b"\xef\xbb\xbf")
        wanted += b"\n" if wanted and not wanted.endswith(b"\n") else b""
        assert read(str(tmp_path / "pool.jsonl"), [len(content) * part // parts for part in range(parts + 1)]) == wanted
