"""What is known of a row's shape: where its text, id and source are, how a chat is rendered, what counts as a number.

A dotted path (`meta.source`) goes into nested objects. A text field may hold a string, or a chat: a list of
`{"role", "content"}` or ShareGPT's `{"from", "value"}`, which scorers see as lines `role: content`. A template such as
`{instruction}\\n{input}\\n{output}` joins several fields; null counts as empty there. The row itself stays whole.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from assay.errors import InputError
from assay.kernels import json_tokens as token


@final
@dataclass(frozen=True)
class Fields:
    """Where a row's text, id, source and further numbers (`extra`) are; None means: find out."""

    text: str | None = None
    id: str | None = None
    source: str | None = None
    template: str | None = None
    extra: tuple[str, ...] = ()
    max_line: int = 64_000_000

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The template as pairs of a literal and the field after it ("" after the last).

        >>> Fields(template="Q: {question}!").parts
        (('Q: ', 'question'), ('!', ''))
        """
        if self.template is None:
            return (("", self.text or "text"),)
        try:
            return tuple((literal, name or "") for literal, name, _, _ in string.Formatter().parse(self.template))
        except ValueError as error:
            raise InputError(
                f"a text template must look like '{{instruction}} {{output}}'; got {self.template!r} ({error})"
            ) from None


def get(row: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none.

    >>> get({"meta": {"source": "web"}}, "meta.source")
    'web'
    """
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def render_chat(turns: Any) -> str | None:
    """A chat as lines `role: content`; None if it is no list of turns. Of a multi-part content the text parts count.

    >>> render_chat([{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}])
    'user: Hi\\ngpt: Hello'
    """
    if not isinstance(turns, list) or not turns:
        return None
    lines = []
    for turn in turns:
        if not isinstance(turn, dict):
            return None
        role = turn.get("role", turn.get("from"))
        content = turn.get("content", turn.get("value"))
        if isinstance(content, list):
            content = "\n".join(
                part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        if not isinstance(role, str) or not isinstance(content, str | None):
            return None
        lines.append(f"{role}: {content or ''}")
    return "\n".join(lines)


def delimiter(path: str) -> str:
    """Tab for .tsv, otherwise a comma."""
    return "\t" if ".tsv" in path.lower() else ","


def number(kind: int, raw: bytes) -> float:
    """A JSON value as a number: true is 1, a string that spells a number is that number, anything else is NaN."""
    if kind in (token.TRUE, token.FALSE):
        return float(kind == token.TRUE)
    if kind not in (token.NUMBER, token.STRING):
        return np.nan
    try:
        return float(raw)
    except ValueError:
        return np.nan
