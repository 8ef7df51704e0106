"""Rows of a run as a torch stream: every row once whoever shares the work, the same order again, and going on where it was."""

from __future__ import annotations

import builtins
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command import done, jsonl
from torch.utils.data import DataLoader

from assay.errors import InputError, MissingExtra, RecipeError, RunError
from assay.io.row import Fields
from assay.models.torch_dataset import TorchRows
from assay.runs import Run

ROWS = [{"id": f"r{k}", "text": f"row {k} " + "word " * (k % 40), "meta": {"k": k}} for k in range(3_000)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("torch")
    jsonl(folder / "pool/a.jsonl", ROWS[:1_700])
    jsonl(folder / "pool/b.jsonl.gz", ROWS[1_700:2_000])
    pq.write_table(pa.Table.from_pylist(ROWS[2_000:]), folder / "pool/c.parquet", row_group_size=100)
    done(folder / "pool", "--method", "random", "--budget", "50%", "--out", folder / "run")
    return Run(folder / "run")


def _ids(rows: Any) -> list[str]:
    return [row["id"] for row in rows]


def _all(run: Run) -> Counter[str]:
    return Counter(run.selected["id"].to_list())


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_every_row_once(run: Run, workers: int, seed: int | None) -> None:
    loader = DataLoader(run.to_torch(seed=seed), batch_size=None, num_workers=workers)
    assert Counter(_ids(loader)) == _all(run)


@pytest.mark.parametrize(("world", "seed"), [(3, None), (3, 1), (200, 1)])
def test_ranks_share_the_rows(run: Run, world: int, seed: int | None) -> None:
    """With 200 ranks there are fewer pieces than streams, and rows are dealt instead."""
    each = [_ids(run.to_torch(seed=seed, rank=rank, world=world)) for rank in range(world)]
    assert sum(map(Counter, each), Counter()) == _all(run)
    assert world == 3 or max(map(len, each)) - min(map(len, each)) <= 2


def test_the_order_is_the_seed_s_and_the_epoch_s(run: Run) -> None:
    def order(seed: int | None, epoch: int) -> list[str]:
        rows = run.to_torch(seed=seed)
        rows.set_epoch(epoch)
        return _ids(rows)

    assert order(None, 0) == run.selected.sort("row")["id"].to_list() == order(None, 1)
    orders = [order(1, 0), order(1, 1), order(2, 0)]
    assert order(1, 0) == orders[0] and len({tuple(one) for one in orders}) == 3
    place = {name: at for at, name in enumerate(orders[0])}
    moved = [abs(place[name] - at) for at, name in enumerate(order(None, 0))]
    assert sum(moved) / len(moved) > 0.2 * len(moved)  # a uniform shuffle moves a row by a third of the rows


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("after", [0, 1, 700, 1_499])
def test_a_stream_goes_on_after_the_last_row_it_gave(run: Run, after: int, seed: int | None) -> None:
    first = run.to_torch(seed=seed)
    first.set_epoch(2)
    rows = iter(first)
    given = [next(rows)["id"] for _ in range(after)]
    state = json.loads(json.dumps(first.state_dict()))
    later = run.to_torch(seed=seed)
    if after:
        later.load_state_dict(state)
    else:
        later.set_epoch(2)
    assert given + _ids(later) == _ids(first)  # a new iteration without a state begins anew


def test_a_state_of_other_streams_is_refused(run: Run) -> None:
    rows = run.to_torch(rank=0, world=2)
    next(iter(rows))
    other = run.to_torch()
    other.load_state_dict(rows.state_dict())
    with pytest.raises(InputError, match=r"as many streams.*2; got 1"):
        next(iter(other))


def test_columns_and_tokens(run: Run) -> None:
    assert next(iter(run.to_torch(columns=["meta.k"]))).keys() == {"meta.k"}
    batch = next(iter(DataLoader(run.to_torch(lambda text: list(text.encode()), ["id"]), batch_size=None)))
    text = next(row["text"] for row in ROWS if row["id"] == batch["id"])
    assert batch["input_ids"].dtype == torch.long and bytes(batch["input_ids"].tolist()).decode() == text
    first = next(iter(run.to_torch()))
    assert first in ROWS  # a row leaves with every field that it came with


def test_a_template_and_a_chat_are_read_as_the_run_read_them(tmp_path: Path) -> None:
    chats = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Hello {k}"}]}
        for k in range(3)
    ]
    rows = TorchRows(
        [str(jsonl(tmp_path / "c.jsonl", chats))], (("", Fields("messages")),), lambda text: list(text.encode())
    )
    assert bytes(next(iter(rows))["input_ids"].tolist()) == b"user: Hi\nassistant: Hello 0"
    (tmp_path / "q.csv").write_text('q,a\n"1, or\n2?",3\n')
    rows = TorchRows([str(tmp_path / "q.csv")], (("", Fields(template="{q} {a}")),), lambda text: list(text.encode()))
    assert bytes(next(iter(rows))["input_ids"].tolist()) == b"1, or\n2? 3"


def test_sentences(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"rank must be 0 to 1.*got 2"):
        run.to_torch(rank=2, world=2)
    done(run.path.parent / "pool", "--method", "random", "--budget", "5", "--write", "ids", "--out", tmp_path / "ids")
    with pytest.raises(RunError, match="--write rows"):
        Run(tmp_path / "ids").to_torch()
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name.startswith("assay.models.torch_dataset"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingExtra, match=r"assay-data\[models\]"):
        run.to_torch()
