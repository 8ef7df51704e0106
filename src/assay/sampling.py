"""Choosing while a model trains: a sampler over the rows of a run or a pool, for any training loop.

```python
rows = assay.Run("run").to_dataset()
sampler = assay.sampler(assay.Run("run"), method="odm", batch_size=8)
for batch in DataLoader(rows, batch_sampler=sampler.to_torch(), num_workers=2):
    loss = step(batch)
    sampler.report(loss)
    sampler.save("checkpoint/sampler.safetensors")
```

    batch t       drawn from the state after t − ahead losses, whether or not more are known by then, with chance from (seed, t)
    a checkpoint  the state's arrays that change, the batches drawn and not trained on with what they were drawn with, and t:
                  nothing else is needed

So neither workers nor prefetching nor a kill changes the stream, as long as a loader fetches no further than `ahead`.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np
import polars as pl
import xxhash
from jaxtyping import Int64, Shaped

from assay import api, catalog
from assay.contracts import Sampler, State
from assay.errors import InputError, MissingExtra, RecipeError, RunError, suggest
from assay.io import store, tensors
from assay.io.sources import Shard
from assay.io.writer import output_name
from assay.runs import Run
from assay.types import Signals

if TYPE_CHECKING:
    from assay.models.torch_sampler import TorchBatches

Preview = Callable[[list[int]], Mapping[str, Any]]
_KEPT = 256  # batches of a method that measures nothing that are remembered until they are reported


def sampler(
    rows: Any = None,
    *,
    method: str = "odm",
    batch_size: int = 8,
    domains: Sequence[str] | None = None,
    source_field: str | None = None,
    seed: int = 0,
    ahead: int = 8,
    steps: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    preview: Preview | None = None,
) -> Sampling:
    """A sampler over rows: a `Run` (row i is row i of its `to_dataset()`), or what `assay.read` takes (row i is its i-th row, an
    unreadable one is never drawn), or only the name of each row's domain.

    `method` is odm, skill_it, rs2 or domain_upsampling, or one that another package adds, and `parameters` are its own; where
    they speak of domains, names may be used. `ahead` batches are drawn before the loss of the first of them is known: at least
    workers times prefetch_factor of a loader. `steps` are the batches of one pass through the loader, and of the whole training
    for domain_upsampling; a pass over all rows unless given. `preview` is for a method that looks at rows before it draws: handed
    row numbers, it gives what the model, as it is then, makes of them, a column for each name that the method previews.
    Raises RecipeError for what no method takes, InputError for rows without domains.
    """
    if batch_size < 1 or ahead < 0 or not 0 <= seed < 1 << 63:
        raise RecipeError(
            f"batch_size must be 1 or more, ahead and seed 0 or more; got {batch_size}, {ahead} and {seed}"
        )
    if method not in catalog.methods("sample"):
        raise RecipeError(f"there is no sampler {method!r}; {suggest(method, catalog.methods('sample'))}")
    labels, numbers, size = _rows(rows, domains, source_field)
    names, codes = np.unique(labels, return_inverse=True)
    told = tuple(str(name) for name in names)
    chosen = _built(method, told, steps, parameters or {})
    if "source" in chosen.needs and "" in told:
        raise InputError(
            f"{method} needs the domain of each row; {int((labels == '').sum()):,} of {len(labels):,} rows name none: say where it "
            "stands with source_field=..., or give domains=[...]"
        )
    if chosen.previews and preview is None:
        raise RecipeError(
            f"{method} looks at rows before it draws: give preview=..., a function that is handed row numbers and gives "
            f"{' and '.join(chosen.previews)} of each"
        )
    return Sampling(chosen, codes.astype(np.int64), told, numbers, size, batch_size, seed, ahead, steps, preview)


def _rows(
    rows: Any, domains: Sequence[str] | None, source_field: str | None
) -> tuple[Shaped[np.ndarray, "n"], Int64[np.ndarray, "n"], int]:
    """Each row's domain, each row's number in the user's data set, and how many rows that has."""
    if domains is not None:
        labels = np.array([str(one) for one in domains], dtype=object)
        held = len(rows) if hasattr(rows, "__len__") else len(labels)
        if not len(labels) or held != len(labels):
            raise InputError(f"domains must name one for each of {held:,} rows; got {len(labels):,}")
        return labels, np.arange(len(labels)), len(labels)
    if rows is None:
        raise RecipeError("sampler needs rows, a run or a pool, or the domains of rows; got neither")
    if isinstance(rows, Run):
        labels = _sources(rows)
        return labels, np.arange(len(labels)), len(labels)
    pool = rows if isinstance(rows, api.Pool) else api.read(rows, source_field=source_field)
    table = pool.opened.count()
    numbers = np.flatnonzero(table.readable)
    if not len(numbers):
        raise InputError(f"{pool} must hold a readable row; it has none")
    groups = table.groups
    if groups is None:
        return np.full(len(numbers), "", dtype=object), numbers, len(table)
    return np.array(groups.names, dtype=object)[groups.ids[numbers]], numbers, len(table)


def _sources(run: Run) -> Shaped[np.ndarray, "n"]:
    """The source of each selected row, in the order of `Run.to_dataset()`: files by name (part-10 before part-2, where rows are
    numbered the other way), and in a file by row."""
    write = run.recipe.write
    form = tuple(None if word == "same" else word for word in (write.format, write.compression))
    shards = [Shard(**{**told, "files": tuple(told["files"])}) for told in run.facts["shards"]]
    files = {shard.name: output_name(shard, *form) for shard in shards}
    chosen = run.selected.with_columns(file=pl.col("shard").replace_strict(files, return_dtype=pl.String))
    return chosen.sort("file", "row")["source"].to_numpy().astype(object)


def _built(name: str, domains: tuple[str, ...], steps: int | None, parameters: Mapping[str, Any]) -> Sampler:
    """The method, with names of domains as numbers."""
    known = {field.name for field in dataclasses.fields(catalog.load("sample", name))}
    given = {key: _numbered(name, key, value, domains) for key, value in parameters.items()}
    if "steps" in known and "steps" not in given:
        if steps is None:
            raise RecipeError(
                f"{name} needs the batches of the whole training, to know when its last phase begins: steps=..."
            )
        given["steps"] = steps
    return catalog.build("sample", name, given)


def _numbered(method: str, key: str, value: Any, domains: tuple[str, ...]) -> Any:
    """A parameter that speaks of domains by name, as tuples in the order of the domains; others as they are."""
    if isinstance(value, Mapping):
        for one in value:
            _known(method, key, one, domains)
        if any(isinstance(one, Mapping) for one in value.values()):
            rows = {one: _numbered(method, key, {one: 1.0, **helped}, domains) for one, helped in value.items()}
            return tuple(rows.get(one) or _numbered(method, key, {one: 1.0}, domains) for one in domains)
        return tuple(float(value.get(one, 0.0)) for one in domains)
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_numbered(method, key, one, domains) for one in value)
    return domains.index(_known(method, key, value, domains)) if key == "targets" and isinstance(value, str) else value


def _known(method: str, key: str, domain: Any, domains: tuple[str, ...]) -> str:
    if domain not in domains:
        raise InputError(f"{method}: {key} names a domain {domain!r} that no row has; {suggest(str(domain), domains)}")
    return str(domain)


class _Drawn(NamedTuple):
    """A batch that is not trained on yet."""

    rows: Int64[np.ndarray, "k"]
    drawn_with: State


@final
class Sampling:
    """A sampler at work: gives batches of rows, hears of losses, is saved and goes on."""

    def __init__(
        self,
        method: Sampler,
        source: Int64[np.ndarray, "n"],
        domains: tuple[str, ...],
        numbers: Int64[np.ndarray, "n"],
        size: int,
        batch_size: int,
        seed: int,
        ahead: int,
        steps: int | None,
        preview: Preview | None = None,
    ):
        """`source` is the domain of each row, and `numbers` what they are called in the user's data set, which has `size` rows."""
        self.method, self.domains, self.size, self.batch_size, self.ahead = method, domains, size, batch_size, ahead
        self._source, self._numbers, self._seed, self._preview = source, numbers, seed, preview
        self.adaptive = bool(method.measures or method.previews)
        known = Signals({"source": source})
        self._first = method.init(len(source), Signals({name: known[name] for name in method.needs}), _chance(0, seed))
        self._state: State = self._first
        self.step = 0
        self._pending: deque[_Drawn] = deque()
        self._given, self._forgotten = 0, 0
        self.rows_of_pass = self._pass(steps)

    def _pass(self, steps: int | None) -> int:
        if "epoch" in self._first:
            if steps is not None:
                raise RecipeError(
                    "steps must be left out here: an epoch has as many batches as its share of the rows makes"
                )
            return int(self._first["epoch"][0])
        if steps is not None and steps < 1:
            raise RecipeError(f"steps must be the batches of one pass, 1 or more; got {steps}")
        return self.batch_size * (-(-len(self._numbers) // self.batch_size) if steps is None else steps)

    def __len__(self) -> int:
        """Batches of one pass: what a schedule of the learning rate counts."""
        return -(-self.rows_of_pass // self.batch_size)

    @property
    def weights(self) -> dict[str, float]:
        """With what weights the next batch is drawn, by domain; empty for a method that has none."""
        if "weights" not in self._state:
            return {}
        return dict(zip(self.domains, self._state["weights"].tolist(), strict=True))

    @property
    def mixed(self) -> bool:
        """Whether the batch to be reported next holds rows of several domains, so that one loss cannot speak for it."""
        return bool(self._pending) and len(set(self._source[self._pending[0].rows].tolist())) > 1

    def batches(self, whole: bool = False) -> Iterator[list[int]]:
        """Rows of each batch, from the first that was not reported, until the pass ends; `whole`: a whole pass from here on.

        Raises InputError where a batch is asked for `ahead` batches after one whose loss was not reported.
        """
        if self.step or self.adaptive:
            self._given = 0
        done = self.step + self._given + self._forgotten
        for _ in range(len(self) if whole else len(self) - done % len(self)):
            yield self._numbers[self._next()].tolist()

    def _next(self) -> Int64[np.ndarray, "k"]:
        """The next batch."""
        if self.adaptive and self._given > self.ahead:
            raise InputError(
                f"batch {self.step + self._given} was asked for, and the loss of batch {self.step} was not reported: call "
                "sampler.report(loss) after each step; where a loader fetches more batches ahead, make the sampler with a larger "
                f"ahead than {self.ahead}"
            )
        self._fill()
        self._given += 1
        batch = self._pending[self._given - 1].rows
        if len(self._pending) > _KEPT and not self.adaptive:
            self._pending.popleft()
            self._given, self._forgotten = self._given - 1, self._forgotten + 1
        return batch

    def _fill(self) -> None:
        """Draw what may be asked for next: with losses, all batches that the present state decides."""
        wanted = self.ahead + 1 if self.adaptive else self._given + 1
        while len(self._pending) < wanted:
            self._pending.append(self._drawn())

    def _drawn(self) -> _Drawn:
        """The next batch; a method that neither previews nor measures counts it at once, so that nothing is ever pending."""
        chance = _chance(1 + self.step + self._forgotten + len(self._pending), self._seed)
        pending = _joined(self._pending) if self.adaptive else np.zeros(0, np.int64)
        proposed = self.method.propose(self._state, self.batch_size, pending, chance)
        drawn = _Drawn(*self.method.draw(self._state, proposed, self._previewed(proposed), self.batch_size, chance))
        if self.adaptive:
            return drawn
        self._state = self.method.update(self._state, drawn.rows, drawn.drawn_with, Signals({}))
        return _Drawn(drawn.rows, {})

    def _previewed(self, rows: Int64[np.ndarray, "b"]) -> Signals:
        """What the model, as it is, makes of the rows proposed."""
        if not self.method.previews:
            return Signals({})
        told = self._preview(self._numbers[rows].tolist())
        lengths = {name: len(told[name]) if name in told else 0 for name in self.method.previews}
        if set(lengths.values()) != {len(rows)}:
            raise InputError(
                f"preview must give {' and '.join(lengths)} of each of the {len(rows)} rows that it was handed; got {lengths}"
            )
        return Signals({name: _array(told[name]) for name in lengths})

    def report(self, loss: Any = None, by_domain: Mapping[str, float] | None = None) -> None:
        """A batch was trained on, with this mean loss in nats (a number, or one for each row); `by_domain`: validation losses,
        for methods that want them. Call it once after each batch, in order.

        Raises InputError for a loss that is missing or not finite, RunError without a batch to speak of.
        """
        if self._forgotten:
            raise RunError(f"report() must follow each batch; {self._forgotten:,} went by without it: begin again")
        if not self._given:
            raise RunError(f"report() must follow a batch; none was given since batch {self.step}")
        batch, drawn_with = self._pending[0]
        if self.adaptive:
            self._fill()
            measured = Signals({**self._losses(loss, batch), **self._validated(by_domain, batch)})
            self._state = self.method.update(self._state, batch, drawn_with, measured)
        self._pending.popleft()
        self.step, self._given = self.step + 1, self._given - 1
        if self.adaptive:
            self._fill()

    def _losses(self, loss: Any, batch: Int64[np.ndarray, "k"]) -> dict[str, np.ndarray]:
        if loss is None:
            return {}
        found = _array(loss).astype(np.float64)
        if found.shape not in ((), (len(batch),)):
            raise InputError(f"a loss must be one number, or {len(batch)}, one for each row; got shape {found.shape}")
        if not np.isfinite(found).all():
            each = np.broadcast_to(found, len(batch))
            place = int(np.flatnonzero(~np.isfinite(each))[0])
            domain = self.domains[self._source[batch[place]]]
            raise InputError(
                f"the loss of batch {self.step} (domain {domain!r}) must be finite; got {each[place]}: "
                "go back to a checkpoint and lower the learning rate, or look at that domain's rows"
            )
        if not found.shape and self.mixed:
            raise InputError(
                "one loss cannot speak for a batch of several domains; report one for each row, or validation losses with by_domain"
            )
        return {"loss": np.broadcast_to(found, len(batch))}

    def _validated(self, told: Mapping[str, float] | None, batch: Int64[np.ndarray, "k"]) -> dict[str, np.ndarray]:
        if not told:
            return {}
        losses = np.full(len(self.domains), np.nan)
        for domain, loss in told.items():
            if not np.isfinite(loss):
                raise InputError(
                    f"the loss of domain {domain!r} must be finite; got {loss}: leave out what was not measured"
                )
            losses[self.domains.index(_known("report", "by_domain", domain, self.domains))] = loss
        return {"domain_loss": np.tile(losses, (len(batch), 1))}

    def state(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Everything that the rest of the stream depends on but the rows and the seed, as plain arrays."""
        if self._forgotten:
            raise RunError(
                f"a sampler's place is known only if report() follows each batch; {self._forgotten:,} went by: begin again"
            )
        if self.adaptive:
            self._fill()
        changed = {f"state.{name}": one for name, one in self._state.items() if one is not self._first.get(name)}
        facts = {
            f"drawn.{place}.{name}": one
            for place, drawn in enumerate(self._pending)
            for name, one in drawn.drawn_with.items()
        }
        sizes = np.array([len(one.rows) for one in self._pending], np.int64)
        of = np.frombuffer(bytes.fromhex(self._digest), np.uint8)
        return {
            **changed, **facts, "pending": _joined(self._pending), "sizes": sizes, "step": np.array([self.step]), "of": of,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Shaped[np.ndarray, "..."]]) -> None:
        """Go on where `state()` was taken; InputError where it is of other rows, another method or another seed."""
        lacking = {"pending", "sizes", "step", "of"} - set(state)
        if lacking or np.asarray(state["of"], np.uint8).tobytes().hex() != self._digest:
            raise InputError(
                "a sampler's state must be restored by the sampler that it was taken of: the same rows, method, parameters, seed, "
                "batch_size and ahead; this one is of another"
            )
        self._state = {**self._first, **_under("state.", state)}
        sizes = state["sizes"]
        rows = np.split(np.array(state["pending"]), np.cumsum(sizes)[:-1]) if len(sizes) else []
        self._pending = deque(_Drawn(one, _under(f"drawn.{place}.", state)) for place, one in enumerate(rows))
        self.step, self._given, self._forgotten = int(state["step"][0]), 0, 0

    @cached_property
    def _digest(self) -> str:
        parts = (
            self.method,
            self._seed,
            self.batch_size,
            self.ahead if self.adaptive else 0,
            self.domains,
            len(self._source),
        )
        return store.digest(*parts, _sum_of(self._source), _sum_of(self._numbers))

    def save(self, path: str | Path) -> None:
        """Write `state()` as safetensors, whole or not at all."""
        tensors.save(Path(path), self.state())

    def load(self, path: str | Path) -> None:
        """Go on where `save` was called."""
        self.restore(tensors.load(Path(path)))

    def to_torch(self) -> TorchBatches:
        """A `batch_sampler` for `torch.utils.data.DataLoader`; MissingExtra without torch."""
        try:
            from assay.models.torch_sampler import TorchBatches
        except ImportError:
            raise MissingExtra.of("a torch sampler", "models") from None
        return TorchBatches(self)

    def attach(self, trainer: Any) -> None:
        """Let a `Trainer` of the transformers library train on what is drawn, and report, save and resume by itself."""
        try:
            from assay.models import trainer_callback
        except ImportError:
            raise MissingExtra.of("a trainer callback", "models") from None
        trainer_callback.attach(self, trainer)


def _chance(step: int, seed: int) -> np.random.Generator:
    """The generator of one batch (counted from 1; 0 is for the state): nothing of it need be kept."""
    return np.random.default_rng([step, seed & 0xFFFFFFFF, seed >> 32])


def _joined(drawn: Iterable[_Drawn]) -> Int64[np.ndarray, "r"]:
    """The rows of several batches."""
    return np.concatenate([np.zeros(0, np.int64), *(one.rows for one in drawn)])


def _under(prefix: str, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Copies of the arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): np.array(one) for name, one in arrays.items() if name.startswith(prefix)}


def _array(told: Any) -> Shaped[np.ndarray, "..."]:
    """Numbers of a list, an array or a tensor."""
    return np.asarray(told.detach().float().cpu() if hasattr(told, "detach") else told)


def _sum_of(numbers: Int64[np.ndarray, "n"]) -> str:
    """A digest of an array, as text."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(numbers, np.int64).data)
