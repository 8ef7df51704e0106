"""An OpenAI-compatible chat endpoint over HTTP: one prompt in, one reply out, tried again while that can help.

Tried again, `retries` times: 408, 425, 429 and 5xx, a connection that breaks, a reply that is late or no JSON. The waits
are `backoff` × 1, 2, 4, … seconds, at most a minute, or what the server's Retry-After asks. Other codes are answers.

The key is read from an environment variable when a request is made; it is in no field, message or file, and since a
redirect might carry it to another host, redirects are refused.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import os
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, final

from assay.errors import InputError, RecipeError, masked

_AGAIN = (408, 425, 429)
_LONGEST_WAIT = 60.0  # seconds that our own backoff grows to
_MOST_PATIENCE = 600.0  # a server that asks for a longer pause than this has refused for now
_SHOWN = 300  # characters of a server's answer in a message


class Unanswered(Exception):
    """No usable reply to one prompt, and why; another prompt may do better."""


class _Again(Exception):
    """A failure that another attempt may mend; `wait` is what the server asked for, if it did."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        Exception.__init__(self, why)
        self.wait = wait


@final
@dataclass(frozen=True)
class Reply:
    """What the model said, and the tokens that the server counted (0 where it does not say)."""

    text: str
    input_tokens: int
    output_tokens: int


@final
@dataclass(frozen=True)
class Endpoint:
    """Where to ask and how; `url` ends with the version (`https://…/v1`), `key_variable` names the key's variable.

    >>> Endpoint("http://localhost:8000/v1/", "small").address
    'http://localhost:8000/v1/chat/completions'
    """

    url: str
    model: str
    key_variable: str | None = None
    timeout: float = 120.0
    retries: int = 6
    backoff: float = 1.0
    max_tokens: int = 256
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise RecipeError(
                f"the endpoint must begin with http:// or https://, as in https://host/v1; got {self.url!r}"
            )
        if masked(self.url) != self.url:
            raise RecipeError(
                f"the endpoint's address must hold no user, password or key; got {self.url!r}: put the key into an environment "
                "variable and name it with --key-variable"
            )

    @property
    def address(self) -> str:
        """Where requests go."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def ask(self, prompt: str, stop: threading.Event) -> Reply:
        """The reply to one prompt; safe from many threads; `stop` ends a wait.

        Raises Unanswered, or InputError where no prompt can be answered: a wrong key, address or model.
        """
        attempt = 0
        while True:
            try:
                return self._once(prompt)
            except _Again as failure:
                wait = self.backoff * 2.0**attempt if failure.wait is None else failure.wait
                if attempt >= self.retries or wait > _MOST_PATIENCE:
                    raise Unanswered(f"{failure}, after {attempt + 1} attempts") from None
                if stop.wait(wait if failure.wait is not None else min(wait, _LONGEST_WAIT)):
                    raise Unanswered("stopped before it was answered") from None
                attempt += 1

    def _once(self, prompt: str) -> Reply:
        try:
            with _OPENER.open(self._request(prompt), timeout=self.timeout) as response:
                return _reply(response.read())
        except urllib.error.HTTPError as error:
            with error:
                failure = self._failure(error)
            raise failure from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            raise _Again(f"the endpoint did not answer ({getattr(error, 'reason', None) or error!r})") from None

    def _request(self, prompt: str) -> urllib.request.Request:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self.key():
            headers["Authorization"] = f"Bearer {key}"
        return urllib.request.Request(self.address, json.dumps(body).encode("utf-8"), headers, method="POST")

    def key(self) -> str | None:
        """The key; InputError where its variable is named and empty, or holds what no header can."""
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise InputError(
                f"the environment variable {self.key_variable} must hold the endpoint's key; it is empty or no key"
            )
        return key

    def _failure(self, error: urllib.error.HTTPError) -> Exception:
        code, said = error.code, self._said(error)
        if code in _AGAIN or code >= 500:
            return _Again(f"the endpoint answered {code}{said}", _retry_after(error.headers.get("Retry-After")))
        if code in (401, 403):
            return InputError(f"the endpoint {self.address} refused the key ({code}{said}); check the key's variable")
        if code in (404, 405) or 300 <= code < 400:
            return InputError(
                f"the endpoint {self.address} must be a chat endpoint that knows the model {self.model!r}; it answered {code}{said}"
            )
        return Unanswered(f"the endpoint answered {code}{said}")

    def _said(self, error: urllib.error.HTTPError) -> str:
        """What a server says of a failure; some repeat the key, which is taken out."""
        try:
            said = error.read(10_000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ""
        key = os.environ.get(self.key_variable or "", "").strip()
        said = " ".join((said.replace(key, "(key)") if key else said).split())
        return f": {said[:_SHOWN]}" if said else ""


def _opener() -> urllib.request.OpenerDirector:
    """Proxies, HTTP and HTTPS, errors; and nothing that follows a redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


_OPENER = _opener()


def _reply(raw: bytes) -> Reply:
    try:
        tree = json.loads(raw)
        text = tree["choices"][0]["message"]["content"]
        usage = tree.get("usage") or {}
        counted = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _Again(f"the endpoint's answer is no chat completion ({raw[:80]!r})") from None
    if not isinstance(text, str):
        raise Unanswered("the model's message has no text")
    return Reply(text, counted[0], counted[1])


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number of them or a date; None where it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
