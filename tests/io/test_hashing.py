"""The row hash against its plain twin, and that it spreads."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.kernels.hashing import hash_reference, hash_rows
from assay.types import Texts


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=70), max_size=6))
def test_kernel_equals_twin(rows: list[bytes]) -> None:
    texts = Texts.of_bytes(rows)
    assert hash_rows(texts.data, texts.offsets).tolist() == [hash_reference(row) for row in rows]


def test_near_texts_have_far_hashes() -> None:
    rows = (
        [f"row {k}".encode() for k in range(20_000)]
        + [b"\0" * k for k in range(200)]
        + [b"a" * k for k in range(1, 200)]
    )
    texts = Texts.of_bytes(rows)
    hashes = hash_rows(texts.data, texts.offsets)
    assert len(set(hashes.tolist())) == len(rows)
    bits = (hashes[:20_000, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02  # 5.6 standard deviations of a fair bit
    flips = hashes[:19_999] ^ hashes[1:20_000]
    assert abs(np.mean([int(flip).bit_count() for flip in flips]) - 32) < 0.2
