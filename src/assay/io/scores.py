"""Scores that people already have: a file of (id, score) made elsewhere, joined to the pool's rows by id."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import numpy as np
import polars as pl

from assay.errors import InputError
from assay.io import files
from assay.io.remote import bare, is_url
from assay.types import Texts


def join_scores(path: str, ids: Iterable[Texts]) -> dict[str, np.ndarray]:
    """Columns (n,) of a scores file for rows with these ids, NaN where the file names none; its first column is the id.

    JSONL, CSV or Parquet. One score column takes the file's name, several keep their own. Raises InputError for a file
    without a number column, for an id that stands twice, and where no id of the pool is in the file.
    """
    frame = _read(path)
    key, *rest = (
        frame.columns if "id" not in frame.columns else ["id", *(name for name in frame.columns if name != "id")]
    )
    numbers = [name for name in rest if frame[name].dtype.is_numeric()]
    if not numbers:
        raise InputError(
            f"{path} must hold an id and at least one number a row; its columns are {', '.join(frame.columns)}"
        )
    if frame[key].is_duplicated().any():
        twice = frame[key].filter(frame[key].is_duplicated())[0]
        raise InputError(f"{path} must hold each id once; {twice!r} stands there more than once")
    frame = frame.with_columns(pl.col(key).cast(pl.String))
    parts = [pl.DataFrame({key: list(names)}, schema={key: pl.String}).join(frame, on=key, how="left") for names in ids]
    joined = pl.concat(parts)
    if joined[numbers[0]].null_count() == len(joined):
        raise InputError(f"{path} must hold ids of the pool; none of its {len(frame):,} ids is an id of a row")
    names = {numbers[0]: PurePath(bare(path)).name.split(".")[0]} if len(numbers) == 1 else {name: name for name in numbers}
    return {names[name]: joined[name].cast(pl.Float64).to_numpy() for name in numbers}


def _read(path: str) -> pl.DataFrame:
    readers = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}
    named = PurePath(bare(path))
    suffix = "".join(named.suffixes[-2:]) if named.suffix in (".gz", ".zst") else named.suffix
    reader = next((reader for ending, reader in readers.items() if ending in suffix), None)
    if reader is None:
        raise InputError(f"scores must be a .jsonl, .csv or .parquet file; got {path!r}")
    try:
        return reader(files.read_bytes(path) if is_url(path) else path)  # only one door to the network
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"the scores {path!r} cannot be read: {str(error).splitlines()[0]}") from None
