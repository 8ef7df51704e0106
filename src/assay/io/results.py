"""Results that somebody else's trainer wrote: JSON lines, one result each."""

from __future__ import annotations

from typing import Any

from assay.errors import InputError
from assay.io import files
from assay.io.row import object_of


def records(path: str) -> list[dict[str, Any]]:
    """Every line of a file as an object; blank lines are passed over. Raises InputError, naming the line, for any other.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile("w", suffix=".jsonl") as file:
    ...     print('{"arm": "choice", "value": 2.5}', file=file, flush=True)
    ...     records(file.name)
    [{'arm': 'choice', 'value': 2.5}]
    """
    found = []
    for number, line in enumerate(files.read_bytes(path).splitlines(), 1):
        if not line.strip():
            continue
        row = object_of(line)
        if row is None:
            raise InputError(
                f'line {number} of {path} must be a JSON object such as {{"arm": "choice", "seed": 0, "task": "arc", '
                f'"metric": "accuracy", "value": 0.43}}; got {line[:60].decode("utf-8", "replace")!r}'
            )
        found.append(row)
    return found
