"""Parquet and Arrow rows out with other texts: only the text's column is made anew, in the very type that it had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from assay.errors import InputError
from assay.io.files import atomic_write
from assay.io.row import Fields
from assay.io.sources import Piece
from assay.io.tables import schema_of, table_batches, taken
from assay.io.text_field import one_text_field, refused_text
from assay.types import Texts

_STRINGS = (pa.string(), pa.large_string(), pa.string_view())
_WIDE = 32  # bits: a dictionary with narrower places has no room for new texts


def copy_edited_batches(
    piece: Piece, keep: Bool[np.ndarray, "b"], rows: Int64[np.ndarray, "k"], texts: Texts, fields: Fields, out: str
) -> int:
    """Write the rows of a piece where `keep` is true to an Arrow stream, row `rows[i]` with `texts[i]`."""
    schema, path, row = schema_of(piece.shard), one_text_field(fields, piece.shard.path), 0
    steps = [path] if path in schema.names else path.split(".")
    stop = piece.stop if piece.shard.format == "parquet" else None
    with atomic_write(out, durable=False) as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in table_batches(piece.shard, piece.start, stop, None) if keep.any() else ():
            part = keep[row : row + batch.num_rows]
            first, last = np.searchsorted(rows, [row, row + batch.num_rows]).tolist()
            if last > first:
                at = rows[first:last] - row
                batch = _edited(batch, steps, at, [texts[place] for place in range(first, last)], piece.shard.path)
            if part.any():
                places = pa.array(np.flatnonzero(part))
                columns = [taken(column, places) for column in batch.columns]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=batch.schema))
            row += len(part)
            if not keep[row:].any():
                break
    return int(keep.sum())


def _edited(
    batch: pa.RecordBatch, steps: Sequence[str], at: Int64[np.ndarray, "j"], new: list[str], path: str
) -> pa.RecordBatch:
    """The batch with other texts in the rows `at`."""
    place = batch.schema.get_field_index(steps[0])
    array = _replaced(batch.column(place), steps[1:], at, new, path)
    columns = [array if position == place else column for position, column in enumerate(batch.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _replaced(array: pa.Array, steps: Sequence[str], at: Int64[np.ndarray, "j"], new: list[str], path: str) -> pa.Array:
    """The array, or the field of its structs that `steps` lead to, with other strings in the places `at`."""
    if steps:
        kind = array.type
        children = array.flatten()
        place = kind.get_field_index(steps[0])
        children[place] = _replaced(children[place], steps[1:], at, new, path)
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if pa.types.is_dictionary(array.type):
        return _replaced_words(array, at, new, path)
    if array.type not in _STRINGS:
        raise InputError(refused_text(path, f"is of type {array.type}"))
    places = np.arange(len(array))
    places[at] = np.arange(len(array), len(array) + len(new))
    return taken(pa.concat_arrays([array, pa.array(new, array.type)]), pa.array(places))


def _replaced_words(array: pa.DictionaryArray, at: Int64[np.ndarray, "j"], new: list[str], path: str) -> pa.Array:
    """The same for a dictionary: the new strings are put behind its own."""
    if array.type.index_type.bit_width < _WIDE:
        raise InputError(refused_text(path, f"is a dictionary of few strings ({array.type})"))
    known = len(array.dictionary)
    words = pa.array([*array.dictionary.to_pylist(), *new], array.type.value_type)
    indices = array.indices.to_pylist()
    for place, position in zip(at.tolist(), range(known, known + len(new)), strict=True):
        indices[place] = position
    return pa.DictionaryArray.from_arrays(pa.array(indices, array.type.index_type), words, ordered=array.type.ordered)
