"""Files that are no whole supervised fastText model end in one sentence, whatever is wrong with them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from assay.errors import InputError
from assay.io import fasttext

GOLDENS = Path(__file__).parent.parent / "goldens" / "fasttext"


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        fasttext.load(str(path))
    said = str(caught.value)
    assert "model.bin" in said and "\n" not in said
    return said


@pytest.mark.parametrize("name", ["softmax.bin", "pruned.ftz", "many.ftz", "hs.bin"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    whole = (GOLDENS / name).read_bytes()
    cuts = {0, 3, 7, 20, 60, 90, 100, len(whole) - 1, *np.linspace(0, len(whole) - 1, 40).astype(int).tolist()}
    for size in sorted(cuts):
        refused(tmp_path, whole[:size])


@pytest.mark.parametrize("name", ["softmax.bin", "pruned.ftz"])
def test_damaged_numbers_are_refused_or_harmless(tmp_path: Path, name: str) -> None:
    """Any four bytes of the head and of the joints replaced by something large: never a crash, never another error."""
    whole, path = (GOLDENS / name).read_bytes(), tmp_path / "damaged.bin"
    for place in [*range(0, 92, 4), *range(92, len(whole) - 4, len(whole) // 60)]:
        for value in (-1, 2**31 - 1):
            path.write_bytes(whole[:place] + struct.pack("<i", value) + whole[place + 4 :])
            try:
                fasttext.load(str(path))
            except InputError as error:
                assert "damaged.bin" in str(error)


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "does not begin as one" in refused(tmp_path, b"\x7fELF" + bytes(200))
    assert "does not begin as one" in refused(tmp_path, b"")
    whole = (GOLDENS / "softmax.bin").read_bytes()
    assert "version 13" in refused(tmp_path, whole[:4] + struct.pack("<i", 13) + whole[8:])


def test_word_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="word vectors"):
        fasttext.load(str(GOLDENS / "vectors.bin"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check that the file is there"):
        fasttext.load(str(tmp_path / "nowhere.bin"))


def test_rows_are_kept_narrow() -> None:
    """Two labels: one number a row; fewer labels than dimensions: as many as labels; otherwise the rows themselves."""
    two, tongues, many = (fasttext.load(str(GOLDENS / name)) for name in ("softmax.bin", "lid.ftz", "many.ftz"))
    assert (two.tables.width, len(two.output)) == (1, 0)
    assert (tongues.tables.width, len(tongues.output), len(tongues.labels)) == (8, 0, 6)
    assert (many.tables.width, len(many.output)) == (8, 300 * 8)
