"""`assay rate`: asks a chat endpoint of the user's for ratings of a sample of the pool, by the user's own prompt.

What it would cost is told first, and nothing is asked without `yes` or a cost below `max_cost`. Rows are those of smallest
content hash, so a larger sample holds the smaller one, and layout changes nothing. Every answer is on the disk before the
next is waited for; the same command asks only for what has no rating yet. At the end `OUT/ratings.jsonl` holds one line a
row, in row order (`row`, `id`, `text`, `rating`, `reply`, and `error` where there is no rating), which
`distill_ratings` takes as its target; `OUT/rate.json` says what was asked.

The rating is the last number of the reply, or the last match of a pattern (its first group). It must lie in [low, high].
Pattern: Sachdeva et al., How to train data-efficient LLMs, 2024, https://arxiv.org/abs/2402.09668 (Ask-LLM); Penedo et
al., 2024, https://arxiv.org/abs/2406.17557 (FineWeb-Edu: the score of 0 to 5 last, parsed from the reply).
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, final

import numpy as np

from assay.errors import InputError, RecipeError, RunError
from assay.io import files, store
from assay.io.endpoint import Endpoint, Reply, Unanswered
from assay.io.journal import Journal, open_journal, read_journal, rewrite
from assay.opening import open_pool
from assay.recipe import Read
from assay.run.local import Local
from assay.run.passes import Watch, quiet
from assay.types import Batch, Texts

RATINGS = "ratings.jsonl"
NUMBER = r"-?\d+(?:\.\d+)?"
_BYTES_A_TOKEN = 4  # of English text, as byte-pair vocabularies of GPT's kind cut it; other scripts need more tokens
_TOKENS_A_MESSAGE = 8  # what a chat template adds


@final
@dataclass(frozen=True)
class RateAsked:
    """What `assay rate` is asked: a file with the prompt, which holds `{text}`, an endpoint and its model, and limits.

    `rows`: how many rows; `low`, `high`: the range of ratings; `pattern`: where the rating is in the reply (None: the last
    number); `characters`: how much of a text is shown; `price_in`, `price_out`: money for a million tokens (None: unknown);
    `max_cost`: the most that may be spent; `yes`: ask, whatever it costs; `dry_run`: only say what it would cost.

    >>> RateAsked("prompt.txt", "http://localhost:8000/v1", "small", rows=100).high
    5.0
    """

    prompt: str
    endpoint: str
    model: str
    rows: int = 1000
    low: float = 0.0
    high: float = 5.0
    pattern: str | None = None
    characters: int = 12_000
    max_tokens: int = 256
    temperature: float = 0.0
    key_variable: str | None = None
    concurrency: int = 8
    retries: int = 6
    backoff: float = 1.0
    timeout: float = 120.0
    price_in: float | None = None
    price_out: float | None = None
    max_cost: float | None = None
    yes: bool = False
    dry_run: bool = False
    read: Read = field(default_factory=Read)

    def __post_init__(self) -> None:
        for name in ("rows", "concurrency", "max_tokens", "characters", "timeout"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"rate: {name} must be above 0; got {getattr(self, name)}")
        if not self.low < self.high:
            raise RecipeError(f"rate: the range of ratings must go up; got {self.low:g} to {self.high:g}")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise RecipeError(
                f"rate: a max_cost of {self.max_cost:g} needs the prices of input and output for a million tokens"
            )
        try:
            _ = re.compile(self.pattern or NUMBER)
        except re.error as error:
            raise RecipeError(
                f"rate: the pattern must be a regular expression; got {self.pattern!r} ({error})"
            ) from None

    @property
    def server(self) -> Endpoint:
        """Whom to ask."""
        return Endpoint(
            self.endpoint, self.model, self.key_variable, self.timeout, self.retries, self.backoff, self.max_tokens,
            self.temperature,
        )  # fmt: skip

    def question(self, template: str, fingerprint: str) -> dict[str, Any]:
        """What a rating depends on."""
        return {
            "prompt": template, "endpoint": self.endpoint, "model": self.model, "low": self.low, "high": self.high,
            "pattern": self.pattern, "characters": self.characters, "max_tokens": self.max_tokens,
            "temperature": self.temperature, "fingerprint": fingerprint,
        }  # fmt: skip

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """Of some tokens; None where a price is not known."""
        if self.price_in is None or self.price_out is None:
            return None
        return (input_tokens * self.price_in + output_tokens * self.price_out) / 1e6


Show = Callable[[dict[str, Any]], None]


def rate(
    paths: Sequence[str], asked: RateAsked, out: Path, show: Show = lambda plan: None, watch: Watch = quiet
) -> dict[str, Any]:
    """Say what it costs (`show`), ask, and return what came of it.

    The plan: `rows`, `rated` (before), `calls`, `input_tokens` (estimated), `output_tokens` (at most), `cost` (at most, or
    None), `prompt` (an example). After asking also `failed` (rows without a rating), `why` (an example), `spent`, `tokens`, `path`.
    Raises RecipeError where nothing allows the cost, RunError where OUT holds ratings of another question.
    """
    template = read_template(asked.prompt)
    with files.locked(out), Local(1) as local:
        pool = open_pool(tuple(paths), asked.read, store.Store(out / "store"), local, watch)
        question = asked.question(template, pool.fingerprint)
        refuse_another(question, out)
        batch = pool.sample(asked.rows)
        todo = unrated(batch, asked, template, out)
        told = plan(asked, todo, len(batch))
        show(told)
        if asked.dry_run:
            return told
        allow(asked, told)
        files.write_json(str(out / "rate.json"), question)
        return told | finish(batch, ask_all(todo, asked, out, watch), asked, out)


def unrated(batch: Batch, asked: RateAsked, template: str, out: Path) -> list[Question]:
    """The rows of the sample that have no rating yet, in row order."""
    rated = {entry["row"] for entry in read_journal(str(out / RATINGS)) if entry["rating"] is not None}
    names = batch.columns.get("id")
    ids = list(names) if isinstance(names, Texts) else [""] * len(batch)
    return [
        Question(row, name, text, template.replace("{text}", text[: asked.characters]))
        for row, name, text in zip(batch.rows.tolist(), ids, batch.text, strict=True)
        if row not in rated
    ]


def finish(batch: Batch, used: tuple[int, int], asked: RateAsked, out: Path) -> dict[str, Any]:
    """Put the journal into row order, the last answer of each row, and count."""
    last = {entry["row"]: entry for entry in read_journal(str(out / RATINGS))}
    rewrite(str(out / RATINGS), (last[row] for row in sorted(last)))
    rows = batch.rows.tolist()
    ratings = [last[row]["rating"] for row in rows]
    failed = ratings.count(None)
    return {
        "rated": len(ratings) - failed, "failed": failed, "tokens": used, "spent": asked.cost(*used),
        "path": str(out / RATINGS), "why": next((last[row]["error"] for row in rows if "error" in last[row]), None),
    }  # fmt: skip


@final
@dataclass(frozen=True)
class Question:
    """One row to be rated, and the prompt that asks for it."""

    row: int
    id: str
    text: str
    prompt: str

    def answered(self, reply: str | None, rating: float | None, error: str | None) -> dict[str, Any]:
        """The line of `ratings.jsonl`."""
        entry = {"row": self.row, "id": self.id or str(self.row), "text": self.text, "rating": rating, "reply": reply}
        return entry if error is None else {**entry, "error": error}


def read_template(path: str) -> str:
    """The prompt's file; InputError where it is no UTF-8 or does not say where the text goes."""
    try:
        template = files.read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"the prompt {path!r} must be UTF-8 text; {error}") from None
    if "{text}" not in template:
        raise InputError(f"the prompt {path!r} must say {{text}} where the row's text goes; got {template[:60]!r}")
    return template


def refuse_another(question: dict[str, Any], out: Path) -> None:
    """RunError where this folder holds answers to another question; the number of rows may differ."""
    path = out / "rate.json"
    if path.exists() and read_journal(str(out / RATINGS)):
        before = files.read_json(str(path))
        other = sorted(name for name in question if before.get(name) != question[name])
        if other:
            raise RunError(f"{out} holds ratings that were asked with another {other[0]}; give another --out")


def plan(asked: RateAsked, todo: Sequence[Question], rows: int) -> dict[str, Any]:
    """What asking would cost: calls, tokens, money."""
    sizes = np.array([len(question.prompt.encode("utf-8", "replace")) for question in todo], np.int64)
    tokens = int((-(-sizes // _BYTES_A_TOKEN)).sum()) + _TOKENS_A_MESSAGE * len(todo)
    most = asked.max_tokens * len(todo)
    return {
        "rows": rows, "rated": rows - len(todo), "calls": len(todo), "input_tokens": tokens, "output_tokens": most,
        "cost": asked.cost(tokens, most), "prompt": todo[0].prompt if todo else None,
    }  # fmt: skip


def allow(asked: RateAsked, told: dict[str, Any]) -> None:
    """Raise RecipeError unless the user has agreed to the cost."""
    if asked.yes or not told["calls"]:
        return
    cost = "an unknown amount of money" if told["cost"] is None else f"at most {told['cost']:.4f}"
    what = f"asking {told['calls']} times costs {cost} ({told['input_tokens']} tokens of input, estimated)"
    if asked.max_cost is None:
        raise RecipeError(f"{what}; to go on give --yes, or a --max-cost")
    if told["cost"] > asked.max_cost:
        raise RecipeError(f"{what}, above the --max-cost of {asked.max_cost:g}; give fewer --rows, or --yes")


def ask_all(todo: Sequence[Question], asked: RateAsked, out: Path, watch: Watch) -> tuple[int, int]:
    """Ask every question, `concurrency` at a time, and write each answer down; returns the tokens of input and output.

    Raises InputError where the endpoint cannot answer at all, RunError where the server's own count passes `max_cost`.
    """
    server, stop, used, done, ahead = asked.server, threading.Event(), (0, 0), 0, iter(todo)
    server.key()
    with open_journal(str(out / RATINGS)) as book, ThreadPoolExecutor(asked.concurrency) as threads:
        try:
            running, free = set(), asked.concurrency
            while True:
                running |= {
                    threads.submit(ask, question, asked, server, book, stop) for question in islice(ahead, free)
                }
                if not running:
                    return used
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    reply = future.result()
                    used = (used[0] + reply.input_tokens, used[1] + reply.output_tokens)
                done, free = done + len(finished), len(finished)
                watch("rate", done, len(todo), "answers")
                _refuse_more(asked, used)
        finally:
            stop.set()


def _refuse_more(asked: RateAsked, used: tuple[int, int]) -> None:
    spent = asked.cost(*used)
    if asked.max_cost is not None and not asked.yes and spent is not None and spent > asked.max_cost:
        raise RunError(
            f"the server has counted tokens for {spent:.4f}, above the --max-cost of {asked.max_cost:g}; what was rated is kept"
        )


def ask(question: Question, asked: RateAsked, server: Endpoint, book: Journal, stop: threading.Event) -> Reply:
    """Ask for one row and write its line, also where there is no answer or no rating in it; returns what was used."""
    try:
        reply = server.ask(question.prompt, stop)
    except Unanswered as error:
        if not stop.is_set():
            book.append(question.answered(None, None, str(error)))
        return Reply("", 0, 0)
    book.append(question.answered(reply.text, *parse(reply.text, asked)))
    return reply


def parse(reply: str, asked: RateAsked) -> tuple[float | None, str | None]:
    """The rating in a reply, or why there is none.

    >>> parse("Clear, but thin. Score: 3", RateAsked("p", "http://h/v1", "m")), parse("ten", RateAsked("p", "http://h/v1", "m"))
    ((3.0, None), (None, 'no rating in the reply'))
    """
    found = [match[1] if match.re.groups else match[0] for match in re.finditer(asked.pattern or NUMBER, reply)]
    if not found:
        return None, "no rating in the reply"
    try:
        rating = float(found[-1])
    except (TypeError, ValueError):
        return None, f"the rating must be a number; got {found[-1]!r}"
    if not (math.isfinite(rating) and asked.low <= rating <= asked.high):
        return None, f"the rating must be from {asked.low:g} to {asked.high:g}; got {found[-1]}"
    return rating, None
