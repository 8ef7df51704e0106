"""What the steps of a run have made so far: the engine fills it, the account and the outputs read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np

from assay.run.passes import Pool
from assay.types import Fitted


@final
@dataclass
class State:
    """What the steps have made so far: signals by name, which of them score steps made, who dropped which rows."""

    pool: Pool
    targets: list[Pool]
    signals: dict[str, np.ndarray] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    fits: dict[str, Fitted] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    dropped: list[tuple[str, np.ndarray]] = field(default_factory=list)
