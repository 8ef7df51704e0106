"""What is known of a row's shape: where its text, id and source are, how a chat is rendered, what counts as a number.

A dotted path (`meta.source`) goes into nested objects. A text field may hold a string, or a chat: a list of
`{"role", "content"}` or ShareGPT's `{"from", "value"}`, which scorers see as lines `role: content`. A template such as
`{instruction}\\n{input}\\n{output}` joins several fields; null counts as empty there. The row itself stays whole.

A trial on instructions reads the same rows in the form `turns`: marked text that keeps prompts and responses apart. Every
turn is SOH role STX content ETX, ASCII's own start of heading, start of text and end of text (ECMA-6, 1991,
https://ecma-international.org/publications-and-standards/standards/ecma-6/). Of a template the last field is the response,
what stands before it the prompt; a row that is one plain text is one turn without a role. In the data's own text these
three characters become spaces, so that marks are marks.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from assay.errors import InputError
from assay.kernels import json_tokens as token

Form = Literal["text", "turns"]
SOH, STX, ETX = "\x01", "\x02", "\x03"
PROMPT, RESPONSE, DOCUMENT = f"{SOH}user{STX}", f"{SOH}assistant{STX}", f"{SOH}{STX}"
_SPACES = {ord(mark): " " for mark in (SOH, STX, ETX)}


@final
@dataclass(frozen=True)
class Fields:
    """Where a row's text, id, source and further numbers (`extra`) are; None means: find out.

    `form` is how the text is read. A pool is always counted as text, so that what was read so far keeps its name in the
    store (`repr`); only what gathers rows for a trial reads turns.
    """

    text: str | None = None
    id: str | None = None
    source: str | None = None
    template: str | None = None
    extra: tuple[str, ...] = ()
    max_line: int = 64_000_000
    form: Form = field(default="text", repr=False)

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The template as pairs of a literal and the field after it ("" after the last).

        >>> Fields(template="Q: {question}!").parts
        (('Q: ', 'question'), ('!', ''))
        >>> Fields(template="{question} {answer}", form="turns").parts
        (('\\x01user\\x02', 'question'), (' \\x03\\x01assistant\\x02', 'answer'), ('\\x03', ''))
        """
        parts = self._plain_parts
        return parts if self.form == "text" else _in_turns(parts)

    @property
    def _plain_parts(self) -> tuple[tuple[str, str], ...]:
        if self.template is None:
            return (("", self.text or "text"),)
        try:
            self.template.encode()
            parts = tuple((literal, name) for literal, name, _, _ in string.Formatter().parse(self.template))
        except ValueError as error:
            raise InputError(
                f"a text template must look like '{{instruction}} {{output}}'; got {self.template!r} ({error})"
            ) from None
        if any(name == "" for _, name in parts):
            raise InputError(f"a text template must name a field in every pair of braces; got {self.template!r}")
        return tuple((literal, name or "") for literal, name in parts)


def _in_turns(parts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """A template's parts with marks: the last field is a response to what stands before it. What follows it is left out."""
    named = [(literal, name) for literal, name in parts if name]
    *before, (literal, response) = named
    if not before:
        return ((DOCUMENT + literal, response), (ETX, ""))
    (first, name), *others = before
    return ((PROMPT + first, name), *others, (literal + ETX + RESPONSE, response), (ETX, ""))


def unmarked(text: str) -> str:
    """The data's own text without the three characters that mark turns: they become spaces.

    >>> unmarked("a\\x02b")
    'a b'
    """
    return text.translate(_SPACES)


def get(row: Any, path: str) -> Any:
    """The value at a dotted path, None where there is none.

    >>> get({"meta": {"source": "web"}}, "meta.source")
    'web'
    """
    for name in path.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds; None where it holds none.

    >>> object_of(b'{"text": "a"}'), object_of(b'["a"]'), object_of(b'{"text"')
    ({'text': 'a'}, None, None)
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def render_chat(turns: Any, form: Form = "text") -> str | None:
    """A chat as lines `role: content`; None if it is no list of turns. Of a multi-part content the text parts count.

    >>> render_chat([{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}])
    'user: Hi\\ngpt: Hello'
    >>> render_chat([{"from": "gpt", "value": "Hello"}], "turns")
    '\\x01gpt\\x02Hello\\x03'
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
        text = content or ""
        lines.append(f"{role}: {text}" if form == "text" else f"{SOH}{unmarked(role)}{STX}{unmarked(text)}{ETX}")
    return ("\n" if form == "text" else "").join(lines)


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
