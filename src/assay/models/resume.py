"""A training that was stopped goes on where it was, with the same bits: weights, buffers and the optimiser's state are kept.

They are written every half minute, or more seldom where that takes long: at most a twentieth of the time goes into it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from assay.contracts import Checkpoints

EVERY, _TIMES = 30.0, 20
_NAME, _TOLD, _STATE = "training", "told/", "optimiser/"


@final
@dataclass
class Resume:
    """A module, its optimiser, and where they are kept."""

    module: Any
    optimiser: torch.optim.Optimizer
    checkpoints: Checkpoints
    since: float = field(default_factory=time.monotonic)
    spent: float = 0.0

    def begin(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Take up what was kept, and return what was told with it; empty where there is nothing."""
        found = self.checkpoints.load(_NAME)
        if found is None:
            return {}
        with torch.no_grad():
            for name, one in self._tensors():
                one.copy_(torch.from_numpy(np.array(found[name])))
        states: dict[int, dict[str, Tensor]] = {}
        for name in (name for name in found if name.startswith(_STATE)):
            place, key = name.removeprefix(_STATE).split("/")
            states.setdefault(int(place), {})[key] = torch.from_numpy(np.array(found[name]))
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        return {name.removeprefix(_TOLD): array for name, array in found.items() if name.startswith(_TOLD)}

    def save(self, told: Mapping[str, Any]) -> None:
        """Keep everything that the next step depends on, and what is told beside it."""
        start = time.monotonic()
        arrays = {name: _array(one) for name, one in self._tensors()}
        for place, state in self.optimiser.state_dict()["state"].items():
            arrays |= {f"{_STATE}{place}/{key}": _array(one) for key, one in state.items() if one is not None}
        self.checkpoints.save(_NAME, arrays | {f"{_TOLD}{name}": np.array(value) for name, value in told.items()})
        self.since = time.monotonic()
        self.spent = self.since - start

    @property
    def due(self) -> bool:
        """Whether it is time to keep them again."""
        return time.monotonic() - self.since > max(EVERY, _TIMES * self.spent)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What a training changes: weights that it moves, and what the module notes of its inputs."""
        yield from ((name, one) for name, one in self.module.named_parameters() if one.requires_grad)
        lasting = self.module.state_dict().keys()
        yield from ((name, one) for name, one in self.module.named_buffers() if name in lasting)


def _array(one: Any) -> Shaped[np.ndarray, "..."]:
    return one.detach().cpu().numpy() if isinstance(one, Tensor) else np.array(one)
