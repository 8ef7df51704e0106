"""Every mistake a user can make, as one sentence each.

    AssayError                 catch this one to catch them all
    ├── InputError             the pool, target or eval cannot be used as given
    ├── RecipeError            a recipe, flag or parameter says something impossible
    ├── RunError               a run folder does not fit what is asked of it
    └── MissingExtra           an optional part is not installed

A message says what is wrong, what it must be, what was found, and what to do. It never says a secret: what stands in a URL
for a password, key, token or signature is masked in every message, and in everything else that is written (`masked`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

MASK = "***"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://[^\s<>]*")
# user:password@, up to the host; a secret may hold a raw slash. A port is no password, `::` joins the links of a chain, and what
# Azure and GitHub write before the @ (container@account, owner:repository@commit) is a place.
_LOGIN = re.compile(
    r"([A-Za-z][A-Za-z0-9+.\-]{0,30}://)(?<!github://)"
    r"(?:[^\s/?#:@]{0,400}:(?!:)[^\s/?#]{0,400}@|[^\s/?#:@]{1,400}:(?!:|\d*(?:[/?#\s]|$))[^\s@]{0,400}@)"
)
_BEARER = re.compile(r"((?:https?|ftps?|sftp|ssh|webdavs?|davs?)://)[^\s/?#@]{1,4000}@")
_GIVEN = re.compile(r"([?&;#])([^=&;#\s?'\"]++)=([^&;#\s'\"]++)")
_BARE = re.compile(r"(?i)^(https?://[^?]*\?)[^=&;#\s'\"]++(?!=)")
# Parameters that say which file is meant, or how it is wanted, and open nothing.
_PLAIN = frozenset(
    "versionid version_id version generation revision rev ref branch snapshot sv api-version download dl raw format "
    "compression prefix path file filename name list-type part page offset limit split config lang lfs".split()
)


def _harmless(parameter: str) -> bool:
    return parameter.lower() in _PLAIN


def masked(text: str, shown: Callable[[str], bool] = _harmless) -> str:
    """Text with `***` for every secret in a URL: user and password, and every parameter but those that may be `shown`.

    >>> masked("https://me:word@host/a.jsonl?versionId=3&X-Amz-Signature=0ab1")
    'https://***@host/a.jsonl?versionId=3&X-Amz-Signature=***'
    >>> masked("s3://AKIA7:a/b+c@bucket/*.jsonl"), masked("hf://datasets/a/b@main/x.jsonl")
    ('s3://***@bucket/*.jsonl', 'hf://datasets/a/b@main/x.jsonl')
    """
    if "://" not in text:
        return text
    text = _BEARER.sub(rf"\1{MASK}@", _LOGIN.sub(rf"\1{MASK}@", text))
    return _URL.sub(lambda url: _GIVEN.sub(lambda one: _value(one, shown), _BARE.sub(rf"\1{MASK}", url[0])), text)


def _value(found: re.Match[str], shown: Callable[[str], bool]) -> str:
    mark, name, value = found.groups()
    after = value[len(value.rstrip(":,.)]}")) :]  # of the sentence that the URL stands in
    return found[0] if shown(name) else f"{mark}{name}={MASK}{after}"


class AssayError(Exception):
    """Root of all errors that are the user's to mend; the command prints the sentence and exits with 2."""

    def __init__(self, sentence: str = "") -> None:
        Exception.__init__(self, masked(sentence))


class InputError(AssayError):
    """The pool, target or eval cannot be used as given."""


class RecipeError(AssayError):
    """A recipe, flag or parameter says something impossible."""


class RunError(AssayError):
    """A run folder does not fit what is asked of it."""


class MissingExtra(AssayError):
    """An optional part of Assay is not installed."""

    @classmethod
    def of(cls, what: str, extra: str) -> MissingExtra:
        """The sentence with the line that installs the extra.

        >>> str(MissingExtra.of("a token budget", "tokenizers"))
        "a token budget needs the extra 'tokenizers'; install it with: pip install 'assay-data[tokenizers]'"
        """
        return cls(f"{what} needs the extra {extra!r}; install it with: pip install 'assay-data[{extra}]'")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the nearest known name, or the list of what there is.

    >>> suggest("dsirr", ["dsir", "random"])
    "did you mean 'dsir'?"
    """
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(options) or 'none'}"
