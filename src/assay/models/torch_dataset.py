"""Rows of a run, or of an arm, as a stream for `torch.utils.data.DataLoader`: every row once, whoever shares the work.

    streams    world · workers of them; stream s = rank · workers + worker
    sharing    pieces of files are dealt to the streams; where there are fewer pieces than streams, rows are
    order      as it lies, or by seed and epoch: pieces permuted, eight read at a time, rows permuted within windows

Files are read where they lie, nothing is copied, and a stream holds a few blocks and one window of rows in memory. The order
is a function of seed, epoch and the number of streams. `state_dict` and `load_state_dict` are what torchdata's
`StatefulDataLoader` asks for (https://meta-pytorch.org/data/, 2024): a stream goes on after the last row that it gave,
without reading the groups of pieces before it. Ranks may get a different number of rows; stop all at the smallest.

Needs torch, which only who asks for this imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from assay.errors import InputError, RecipeError
from assay.io.models import load_model
from assay.io.row import Fields
from assay.io.rows import Raw, as_row, raw_rows, text_of, value
from assay.io.sources import Piece, Shard, find, plan

Tokenizer = str | Path | Callable[[str], Sequence[int]]
_TOGETHER, _WINDOW = 8, 8192  # pieces read side by side, rows permuted at a time
_SMALLEST, _LARGEST = 1 << 16, 4 << 20  # bytes of a piece


@final
class TorchRows(IterableDataset):
    """A stream of rows as dicts, or with a tokenizer of `{"input_ids": tensor}` and the columns asked for."""

    def __init__(
        self,
        paths: Sequence[str],
        fields: Sequence[tuple[str, Fields]] = (("", Fields()),),
        tokenizer: Tokenizer | None = None,
        columns: Sequence[str] | None = None,
        seed: int | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        """`fields`: where texts are, by the end of a file's path, of which the first that fits holds; `seed` None: as it lies;
        `rank` of `world` processes."""
        if not 0 <= rank < world:
            raise RecipeError(f"rank must be 0 to {world - 1}, below the world size; got {rank}")
        self.shards, self.fields = find(tuple(paths)), tuple(fields)
        self.tokenizer, self.columns, self.seed, self.rank, self.world = tokenizer, columns, seed, rank, world
        self.epoch = 0
        self._at: dict[str, int] = {}
        self._resume: dict[str, int] = {}

    def set_epoch(self, epoch: int) -> None:
        """The pass that the next iteration is; with a seed, each has an order of its own."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Where this stream is: what `load_state_dict` goes on from."""
        return dict(self._at or self._resume)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration go on after the rows that were given when the state was taken."""
        self._resume = dict(state)
        self.epoch = state.get("epoch", self.epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """This worker's rows of this rank's, in order."""
        worker = get_worker_info()
        workers, number = (1, 0) if worker is None else (worker.num_workers, worker.id)
        streams, stream = self.world * workers, self.rank * workers + number
        resume, self._resume = self._resume, {}
        if resume and resume["streams"] != streams:
            raise InputError(
                f"a stream's state must be loaded by as many streams (ranks times workers) as saved it, {resume['streams']}; "
                f"got {streams}"
            )
        self._at = {"epoch": self.epoch, "streams": streams, "group": 0, "given": 0, **resume}
        groups = self._groups(streams, stream)
        for group in range(self._at["group"], len(groups)):
            done, self._at["group"] = self._at["given"], group
            for raw, shard in self._window(self._mine(groups[group], group, streams, stream), group, stream, done):
                self._at["given"] += 1
                yield self._item(raw, shard)
            self._at |= {"group": group + 1, "given": 0}

    def _groups(self, streams: int, stream: int) -> list[tuple[Piece, ...]]:
        """The pieces that this stream reads, a few together; all pieces where there are fewer of them than streams."""
        total = sum(shard.size for shard in self.shards)
        pieces = plan(self.shards, min(_LARGEST, max(_SMALLEST, total // (8 * streams))))
        if self.seed is not None:
            pieces = tuple(pieces[at] for at in np.random.default_rng([self.seed, self.epoch]).permutation(len(pieces)))
        self._by_rows = len(pieces) < streams
        mine = pieces if self._by_rows else pieces[stream::streams]
        together = 1 if self.seed is None else _TOGETHER
        return [mine[at : at + together] for at in range(0, len(mine), together)]

    def _mine(self, pieces: Sequence[Piece], group: int, streams: int, stream: int) -> Iterator[tuple[Raw, Shard]]:
        """The raw rows of some pieces, one of each in turn; only this stream's where rows are dealt."""
        turns = zip_longest(*(((raw, piece.shard) for raw in raw_rows(piece)) for piece in pieces))
        rows = (row for row in chain.from_iterable(turns) if row is not None)
        if not self._by_rows:
            return rows
        return (row for number, row in enumerate(rows) if (number + group) % streams == stream)

    def _window(
        self, rows: Iterator[tuple[Raw, Shard]], group: int, stream: int, done: int
    ) -> Iterator[tuple[Raw, Shard]]:
        """The rows after the first `done`, in the order of the seed."""
        number = 0
        while held := [row for _, row in zip(range(_WINDOW), rows, strict=False)]:
            order = np.arange(len(held))
            if self.seed is not None:
                order = np.random.default_rng([self.seed, self.epoch, stream, group, number]).permutation(len(held))
            yield from (held[at] for at in order[min(done, len(held)) :].tolist())
            done, number = max(0, done - len(held)), number + 1

    def _item(self, raw: Raw, shard: Shard) -> dict[str, Any]:
        row = as_row(raw)
        if self.tokenizer is None:
            return row if self.columns is None else {name: value(row, name) for name in self.columns}
        fields = next((one for name, one in self.fields if shard.path.endswith(name)), Fields())
        kept = {name: value(row, name) for name in self.columns or ()}
        return {"input_ids": torch.tensor(self._ids(text_of(row, fields)), dtype=torch.long), **kept}

    def _ids(self, text: str) -> Sequence[int]:
        if isinstance(self.tokenizer, str | Path):
            return load_model("tokenizer", str(self.tokenizer)).encode(text, add_special_tokens=False).ids
        assert self.tokenizer is not None
        return self.tokenizer(text)
