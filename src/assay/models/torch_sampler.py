"""What a sampler draws, for `torch.utils.data.DataLoader`: batches of row numbers, or the same rows one by one.

`TorchBatches` is a loader's `batch_sampler`. Row numbers are drawn in the process that trains, whatever the number of workers,
and a batch is drawn before a loader can ask for it; so workers and prefetching do not change the stream. `TorchSingles` gives the
same rows singly, for trainers that cut batches themselves: `batch_size` of them are one batch.

Needs torch (https://docs.pytorch.org/docs/stable/data.html, 2024), which only who asks for this imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, final

import torch.utils.data


class Batches(Protocol):
    """What gives batches of rows: `assay.sampling.Sampling`."""

    rows_of_pass: int

    def batches(self, whole: bool = False) -> Iterator[list[int]]:
        """Rows of each batch until the end of the pass; of a whole pass from here on if `whole`."""

    def __len__(self) -> int:
        """Batches of a pass."""


@final
class TorchBatches(torch.utils.data.Sampler):
    """A loader's `batch_sampler`; one iteration is one pass, or what is left of it."""

    def __init__(self, source: Batches):
        self.source = source

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of row numbers."""
        return self.source.batches()

    def __len__(self) -> int:
        return len(self.source)


@final
class TorchSingles(torch.utils.data.Sampler):
    """A loader's `sampler`, whose batches must have the size that the sampler was made with."""

    def __init__(self, source: Batches):
        self.source = source

    def __iter__(self) -> Iterator[int]:
        """Row numbers, a whole pass of them."""
        for batch in self.source.batches(whole=True):
            yield from batch

    def __len__(self) -> int:
        return self.source.rows_of_pass
