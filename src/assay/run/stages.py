"""What the passes of a run cost, one stage after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from assay.io import files, mirror
from assay.io.store import Store


@final
@dataclass
class Stage:
    """What one pass cost; `earlier`: what runs before this one spent on results of its kind that were found in the store."""

    name: str
    seconds: float = 0.0
    bytes: int = 0
    peak: int = 0
    places: dict[str, int] = field(default_factory=dict)
    earlier: float = 0.0


@contextmanager
def paid(stages: list[Stage], store: Store, name: str, key: str) -> Iterator[None]:
    """Work whose results stay in the store: what the stages within cost is kept there too, and noted by whoever finds them."""
    path, first = store.root / "spent" / f"{key}.json", len(stages)
    earlier = files.read_json(str(path))["seconds"] if mirror.present(path) else 0.0
    yield
    if seconds := sum(one.seconds for one in stages[first:]):
        files.write_json(str(path), {"seconds": earlier + seconds})
    if earlier:
        stages.append(Stage(name, earlier=earlier))
