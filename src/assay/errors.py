"""Every mistake a user can make, as one sentence each.

    AssayError                 catch this one to catch them all
    ├── InputError             the pool, target or eval cannot be used as given
    ├── RecipeError            a recipe, flag or parameter says something impossible
    ├── RunError               a run folder does not fit what is asked of it
    └── MissingExtra           an optional part is not installed

A message says what is wrong, what it must be, what was found, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AssayError(Exception):
    """Root of all errors that are the user's to mend; the command prints the sentence and exits with 2."""


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
