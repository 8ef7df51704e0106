"""Who does the work: processes of this machine, or a Ray cluster; both have the same verbs, and neither changes an answer.

A crew is what was asked for; hired, it is `Local` or `Cluster`. Everything that Assay spreads goes through `map` or `hold`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from assay.errors import RecipeError, suggest
from assay.run.local import Local

ENGINES = ("local", "ray")


class Workers(Protocol):
    """What a hired crew can do; a context manager."""

    @property
    def workers(self) -> int:
        """Items worked at once, at most."""

    @property
    def beside(self) -> int:
        """Of these, at most so many on one machine, whose memory they share."""

    @property
    def apart(self) -> bool:
        """Whether items are worked on other machines, with devices of their own."""

    @property
    def places(self) -> Mapping[str, int]:
        """How many items each machine has worked so far; empty where there is one machine."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """`function(item)` in the order of the items."""

    def hold(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """The same by workers that keep what they have loaded, each with a GPU where there are some: for models."""

    def meet(self, folder: Path) -> None:
        """Say where results lie, so that a machine that does not see them is found out before it works."""

    def rest(self) -> None:
        """Let workers go, and with them what they keep in memory."""

    def warm(self) -> None:
        """Start workers early."""

    def __enter__(self) -> Workers:
        """Hire them."""

    def __exit__(self, *unused: object) -> None:
        """Let them go."""


@final
@dataclass(frozen=True)
class Crew:
    """How many workers, and whose; none of it changes an answer. RecipeError where there is no such engine."""

    workers: int | None = None
    engine: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise RecipeError(f"engine must be local or ray; got {self.engine!r}: {suggest(self.engine, ENGINES)}")
        if self.address is not None and self.engine != "ray":
            raise RecipeError("an address is that of a Ray cluster; say --engine ray, or leave --address out")

    def hired(self) -> Workers:
        """Workers, none of which has begun."""
        if self.engine == "local":
            return Local(self.workers)
        from assay.run.cluster import Cluster

        return Cluster(self.workers, self.address)


HERE = Crew()
