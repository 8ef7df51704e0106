"""Which fields of a row are its text, its id and its source, found by looking at the first rows."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from assay.errors import InputError, suggest
from assay.io.lines import Lines
from assay.io.records import shard_lines
from assay.io.row import Fields, delimiter, get, object_of, render_chat
from assay.io.sources import Shard

_TEXT = (
    "text",
    "content",
    "document",
    "raw_content",
    "body",
    "page_content",
    "passage",
    "article",
    "code",
    "sentence",
    "review",
    "abstract",
    "caption",
    "alt_text",
    "TEXT",
)
_CHAT = ("messages", "conversations", "conversation", "chat")
_TEMPLATES = (
    ("instruction", "input", "output"), ("instruction", "context", "response"), ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "response"), ("prompt", "completion"), ("prompt", "chosen"), ("prompt", "output"),
    ("question", "context", "answer"),
    ("question", "answer"), ("problem", "solution"), ("input", "output"), ("inputs", "targets"), ("query", "response"),
    ("instruction",), ("prompt",), ("question",),
)  # fmt: skip
_ID = ("id", "_id", "uuid", "uid", "guid", "doc_id", "docid", "document_id", "example_id", "meta.id", "metadata.id")
_SOURCE = (
    "source", "domain", "subset", "dataset", "meta.source", "metadata.source", "meta.domain", "metadata.domain",
    "meta.pile_set_name",
    "pile_set_name", "meta.redpajama_set_name", "category",
)  # fmt: skip
_LOOK_AT = 100
_MANY = 1000  # shards


def detect(shards: Sequence[Shard], fields: Fields) -> Fields:
    """Fill in what `fields` leaves open; InputError, naming the fields seen, where no text can be found."""
    if shards and all(shard.format == "text" for shard in shards):
        return replace(fields, text="text", id=fields.id or "id", source=fields.source or "source", template=None)
    rows: list[dict[str, Any]] = []
    for shard in shards:
        rows = list(islice(head(shard), _LOOK_AT)) if shard.format != "text" and shard.size else []
        if rows:
            break
    if not rows:
        wanted = 'rows such as {"text": "…"}, one JSON object a line'
        if shards[0].format == "webdataset":
            wanted = "samples of an image and a caption, members such as 0001.jpg and 0001.txt (or 0001.json)"
        raise InputError(f"no row could be read from {shards[0].path!r}; it must hold {wanted}")
    text, template = _text(rows, fields, shard.path)
    for wanted, flag in ((fields.id, "--id-field"), (fields.source, "--source-field")):
        if wanted and all(get(row, wanted) is None for row in rows):
            raise InputError(
                f"no field {wanted!r} in the first rows of {shard.path!r}; {suggest(wanted, _names(rows))}; "
                f"name another with {flag}"
            )
    seen = lambda path: any(isinstance(get(row, path), str | int) for row in rows)  # noqa: E731
    return replace(
        fields,
        text=text,
        template=template,
        id=fields.id or next(filter(seen, _ID), None),
        source=fields.source or next(filter(seen, _SOURCE), None),
    )


def detect_others(shards: Sequence[Shard], wanted: Fields, found: Fields) -> dict[int, Fields]:
    """Fields of the shards that `found` (of the first one) does not fit, by shard; nothing where the user named the text.

    A pool of several data sets has several layouts. Of more than a thousand shards one of each folder and format is looked
    at; a shard that fits nothing is left to `found`, and its rows will say what they lack.
    """
    if wanted.text is not None or wanted.template is not None:
        return {}
    alike: dict[tuple[str, str], Fields] = {}
    others: dict[int, Fields] = {}
    for shard in shards:
        key = (os.path.dirname(shard.path), shard.format) if len(shards) > _MANY else (shard.path, "")
        if key not in alike:
            alike[key] = _fitting(shard, wanted, found)
        if alike[key] != found:
            others[shard.index] = alike[key]
    return others


def _fitting(shard: Shard, wanted: Fields, found: Fields) -> Fields:
    """`found` where it fits a shard's first rows, otherwise what fits them."""
    rows = list(islice(head(shard), _LOOK_AT)) if shard.format != "text" and shard.size else []
    names = [name for _, name in found.parts if name]
    if not rows or any(all(get(row, name) is not None for name in names) for row in rows):
        return found
    try:
        return detect([shard], wanted)
    except InputError:
        return found


def _text(rows: list[dict[str, Any]], fields: Fields, path: str) -> tuple[str | None, str | None]:
    """(text field, template), one of them None."""
    wanted = [name for _, name in fields.parts if name] if fields.template or fields.text else []
    if fields.template and not wanted:
        raise InputError(f"a text template must name at least one field in braces; got {fields.template!r}")
    for name in wanted:
        if all(get(row, name) is None for row in rows):
            hint = suggest(name, _names(rows))
            raise InputError(
                f"no field {name!r} in the first rows of {path!r}; {hint}; "
                "name one with --text-field or a template with --text"
            )
    if wanted:
        return (None, fields.template) if fields.template else (fields.text, None)
    kinds = (_plain_text, _chat, _template) if fields.form == "text" else (_chat, _template, _plain_text)
    for kind in kinds:
        if found := kind(rows):
            return found
    raise InputError(
        f"no text field in {path!r}: a row must have text, content, messages, instruction and output, or the like; "
        f"its fields are {', '.join(_names(rows)) or 'none'}; name one with --text-field or a template with --text"
    )


def _plain_text(rows: list[dict[str, Any]]) -> tuple[str | None, str | None] | None:
    """The first of the fields that are known to hold a text."""
    return next(((name, None) for name in _TEXT if any(isinstance(row.get(name), str) for row in rows)), None)


def _chat(rows: list[dict[str, Any]]) -> tuple[str | None, str | None] | None:
    """The first of the fields that are known to hold a chat."""
    return next(((name, None) for name in _CHAT if any(render_chat(row.get(name)) is not None for row in rows)), None)


def _template(rows: list[dict[str, Any]]) -> tuple[str | None, str | None] | None:
    """The first of the sets of fields that are known to make an instruction; the response, if there is one, comes last."""
    for names in _TEMPLATES:
        if all(any(isinstance(row.get(name), str) for row in rows) for name in names):
            return None, "\n".join(f"{{{name}}}" for name in names)
    return None


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row})[:40]


def head(shard: Shard) -> Iterator[dict[str, Any]]:
    """The first readable rows of a shard, as dicts."""
    if shard.format in ("parquet", "arrow"):
        yield from _table_head(shard)
        return
    if shard.format == "webdataset":
        from assay.io import webdataset

        yield from webdataset.head(shard)
        return
    lines = _head_lines(shard)
    if shard.format == "csv":
        yield from _csv_head(lines.decode("utf-8", "replace"), delimiter(shard.path))
        return
    for line in lines.split(b"\n"):
        row = object_of(line)
        if row is not None:
            yield row


def _csv_head(lines: str, comma: str) -> Iterator[dict[str, Any]]:
    """The first records of CSV, up to one that is none; what a record has beyond the header has no name."""
    csv.field_size_limit(1 << 30)
    with contextlib.suppress(csv.Error):
        for row in csv.DictReader(io.StringIO(lines, newline=""), delimiter=comma):
            yield {name: value for name, value in row.items() if name is not None}


def _head_lines(shard: Shard) -> bytes:
    """The lines of the first block of a shard."""
    for item in shard_lines(shard, 0, None, 1 << 20):
        if isinstance(item, Lines):
            return bytes(item.data[: item.stop])
    return b""


def _table_head(shard: Shard) -> Iterator[dict[str, Any]]:
    from assay.io.tables import DAMAGE, as_python, schema_of, table_batches  # only where it is needed: it imports Arrow

    schema_of(shard)  # a file that is no table at all is refused here
    with contextlib.suppress(*DAMAGE):
        for batch in table_batches(shard, 0, None, None, 100):
            yield from (row for row in as_python(batch.to_struct_array()) if row is not None)
