"""What the JSON kernel must do, said with Python's own `json`: slow, plain, and the same in every case."""

from __future__ import annotations

import json
from typing import Any


class _Refused(Exception):
    pass


def _no_constant(name: str) -> Any:
    raise _Refused(name)


def verdict(line: bytes) -> tuple[str, Any]:
    """("", object), or (reason word, None), for one line without its LF; "blank" for a line of nothing."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "UTF-8", None
    if not text.strip(" \t\r"):
        return "blank", None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, _Refused):
        return "not valid JSON", None
    except RecursionError:
        return "deep", None
    return ("", value) if isinstance(value, dict) else ("not a JSON object", None)


def text_verdict(line: bytes, field: str = "text") -> tuple[str, str]:
    """(reason word or "", text) of a row whose text is a plain field."""
    reason, row = verdict(line)
    if reason:
        return reason, ""
    if field not in row:
        return "missing", ""
    text = row[field]
    if not isinstance(text, str) or _is_number(line, text, field):
        return "must be a string", ""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "surrogate", ""
    return ("", text) if text else ("empty", "")


def _is_number(line: bytes, text: str, field: str) -> bool:
    """Whether the string that `json` was told to make of a number stood there as a number."""
    return not isinstance(json.loads(line)[field], str)
