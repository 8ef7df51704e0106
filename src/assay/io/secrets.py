"""Secrets in URLs: they are written nowhere, they decide nothing, and whoever opens a finished run again says them again.

written      masked: https://***@host/a.jsonl?X-Amz-Signature=***
keys         without them: a signature that was renewed is the same file (`identity`)
opened again the whole URL out of ASSAY_URLS (`whole`); better: credentials that are in no URL, but where the packages of
             object stores look for them (AWS_PROFILE, HF_TOKEN, netrc, fsspec's configuration)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from assay.errors import MASK, InputError, masked

VARIABLE = "ASSAY_URLS"
_MASKED = re.compile(rf"(?://|=|\?){re.escape(MASK)}(?:[@&;#]|$)")
_TEXTS = ("text", "texts")  # rows that a report quotes are data, and stay as they are
_OPENS = re.compile(
    r"(?i)x-(amz|goog|ms)-|token|sig|secret|passw|pwd|auth|credential|api-?key|access-?key|(^|[-_])key$|expires|policy|"
    r"^(se|sp|st|sr|spr|ske|skt|sks|skv|sip|skoid|sktid|key-pair-id)$"
)


def masked_tree(content: Any) -> Any:
    """A tree as JSON holds it, every string of it masked but quoted texts.

    >>> masked_tree({"pool": ["https://me:word@host/a.jsonl"], "text": "see https://host/?q=1"})
    {'pool': ['https://***@host/a.jsonl'], 'text': 'see https://host/?q=1'}
    """
    if isinstance(content, str):
        return masked(content)
    if isinstance(content, Mapping):
        return {
            masked(name) if isinstance(name, str) else name: value if name in _TEXTS else masked_tree(value)
            for name, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [masked_tree(one) for one in content]
    return content


def identity(text: str) -> str:
    """What a URL is known by: without what opens it, but with every parameter that may say which file is meant.

    >>> identity("https://host/a?day=7&sig=0ab1"), identity("s3://key:word@bucket/a")
    ('https://host/a?day=7&sig=***', 's3://***@bucket/a')
    """
    return masked(text, lambda name: _OPENS.search(name) is None)


def whole(url: str) -> str:
    """The URL to open: itself; where a secret of it is masked, what ASSAY_URLS (several with spaces between) says it was.

    Raises InputError where nobody says it.
    """
    if _MASKED.search(url) is None:
        return url
    for given in os.environ.get(VARIABLE, "").split():
        shown = masked(given)
        if shown == url:
            return given
        origin = re.match(r".*?://[^/?#]*", shown)
        if origin is not None and MASK not in shown[origin.end() :] and url.startswith(f"{origin[0]}/"):
            return given.removesuffix(shown[origin.end() :]) + url[origin.end() :]
    raise InputError(
        f"{url!r} was named with a secret, which is written nowhere; say the whole URL again in the environment variable "
        f"{VARIABLE}, or keep credentials out of URLs and where the store's own package looks for them"
    )
