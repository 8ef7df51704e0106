"""The one field that an edit writes to."""

from __future__ import annotations

from assay.errors import InputError
from assay.io.row import Fields
from assay.io.sources import kind_of


def one_text_field(fields: Fields, path: str) -> str:
    """The one field that holds the text; InputError where it is put together from several.

    >>> one_text_field(Fields(text="content"), "pool.jsonl"), one_text_field(Fields(template="{prompt}"), "pool.jsonl")
    ('content', 'prompt')
    """
    if kind_of(path)[0] == "webdataset":
        raise InputError(refused_text(path, "lies in an archive, whose samples leave as they came"))
    parts = fields.parts
    if len(parts) != 1 or parts[0][0] or not parts[0][1]:
        raise InputError(refused_text(path, f"is put together as {fields.template!r}"))
    return parts[0][1]


def refused_text(path: str, got: str) -> str:
    """The sentence for a text that cannot be written back; `got` says what it is."""
    return (
        f"edit steps need one plain text field; the text of {path!r} {got}: name a field of strings with --text-field, "
        "or leave the edit steps out"
    )
