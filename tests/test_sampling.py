"""Choosing while a model trains, as a user has it: the same stream whoever loads and whatever is killed, and errors that teach."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import done, jsonl
from torch.utils.data import DataLoader, Dataset

import assay
from assay import catalog
from assay.contracts import Sampler, State
from assay.errors import AssayError, InputError, RecipeError, RunError
from assay.io import tensors
from assay.sampling import Sampling
from assay.types import Signals

ROOT = Path(__file__).parent.parent
DOMAINS = ["web"] * 60 + ["code"] * 30 + ["noise"] * 10
LOSSES = {"web": 3.0, "code": 1.0, "noise": 6.0}
METHODS: dict[str, dict[str, Any]] = {
    "odm": {"parameters": {"warmup": 5}},
    "skill_it": {"parameters": {"every": 4, "graph": {"web": {"code": 0.5}}}},
    "rs2": {"parameters": {"share": 0.3}},
    "domain_upsampling": {"steps": 40, "parameters": {"after": {"code": 1, "noise": 1}}},
}


def made(method: str = "odm", **changed: Any) -> Sampling:
    return assay.sampler(
        domains=DOMAINS, method=method, **{"batch_size": 4, "ahead": 6, "seed": 3, **METHODS[method], **changed}
    )


def loss_of(batch: Iterable[int]) -> list[float]:
    """Another loss for each row, and for each domain on average."""
    return [LOSSES[DOMAINS[row]] + (row % 7) / 10 for row in batch]


def trained(sampler: Sampling, loader: Callable[[Sampling], Iterable[list[int]]], steps: int) -> list[list[int]]:
    """Batches in the order of training, pass after pass."""
    found: list[list[int]] = []
    while True:
        for batch in loader(sampler):
            rows = [int(row) for row in batch]
            found.append(rows)
            sampler.report(loss_of(rows) if sampler.adaptive else None)
            if len(found) == steps:
                return found


def plainly(sampler: Sampling) -> Iterable[list[int]]:
    return sampler.batches()


def torchly(workers: int, prefetch: int | None = None) -> Callable[[Sampling], Iterable[list[int]]]:
    return lambda sampler: DataLoader(
        range(100), batch_sampler=sampler.to_torch(), num_workers=workers, prefetch_factor=prefetch
    )


# --- One stream -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_is_the_same_stream_and_another_another(method: str):
    one = trained(made(method), plainly, 40)
    assert one == trained(made(method), plainly, 40) != trained(made(method, seed=4), plainly, 40)
    assert made(method, seed=2**40 + 3)._first["key"] != made(method)._first["key"]


@pytest.mark.parametrize(("workers", "prefetch"), [(0, None), (1, 2), (2, 3)])
def test_workers_and_prefetching_do_not_change_it(workers: int, prefetch: int | None):
    """Two workers that fetch three each: as far ahead as `ahead` allows."""
    assert trained(made(), torchly(workers, prefetch), 40) == trained(made(), plainly, 40)


def test_how_far_ahead_is_part_of_the_stream():
    """Ahead, batches are drawn from weights that know less: by name, not by the speed of a loader."""
    assert trained(made(ahead=0), plainly, 40) != trained(made(), plainly, 40)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [0, 1, 17, 25])
def test_a_restored_sampler_goes_on_with_the_same_stream(method: str, after: int, tmp_path: Path):
    """The first one had fetched ahead when it was left; the second begins with what was not trained on."""
    whole = trained(made(method), plainly, 50)
    first = made(method)
    batches = iter(first.batches())
    for _ in range(after):
        batch = next(batches, None) or next(batches := iter(first.batches()))
        first.report(loss_of(batch) if first.adaptive else None)
    next(batches, None)
    first.save(tmp_path / "sampler.safetensors")
    second = made(method)
    second.load(tmp_path / "sampler.safetensors")
    assert second.step == after and second.weights == first.weights
    assert trained(second, plainly, 50 - after) == whole[after:]


KILLED = """
import json, sys
from pathlib import Path
import assay
domains, losses = json.loads(sys.argv[1])
sampler = assay.sampler(domains=domains, batch_size=4, ahead=6, seed=3, parameters={"warmup": 5})
while True:
    for batch in sampler.batches():
        sampler.report([losses[row] for row in batch])
        sampler.save(Path(sys.argv[2]))
"""


def test_a_killed_training_goes_on_with_the_same_stream(tmp_path: Path):
    """SIGKILL at whatever moment it comes: the file that lies there is whole, and the rest of the stream is the same."""
    path = tmp_path / "sampler.safetensors"
    told = json.dumps([DOMAINS, loss_of(range(100))])
    child = subprocess.Popen([sys.executable, "-c", KILLED, told, str(path)])
    while not path.exists() and child.poll() is None:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    sampler = made()
    sampler.load(path)
    step = sampler.step
    assert step > 0
    assert trained(sampler, plainly, 20) == trained(made(), plainly, step + 20)[step:]


def test_a_checkpoint_holds_what_changes_and_no_more(tmp_path: Path):
    """Constants of the rows are made again: the file does not grow with the pool."""
    sampler = made()
    trained(sampler, plainly, 10)
    state = sampler.state()
    assert set(state) == {
        "pending",
        "sizes",
        "step",
        "of",
        "state.taken",
        "state.reward",
        "state.weights",
        "state.step",
        *(f"drawn.{place}.weights" for place in range(7)),
    }
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in state.values())
    sampler.save(tmp_path / "one.safetensors")
    assert {name: array.tolist() for name, array in tensors.load(tmp_path / "one.safetensors").items()} == {
        name: array.tolist() for name, array in state.items()
    }


@pytest.mark.parametrize("changed", [{"seed": 4}, {"batch_size": 5}, {"ahead": 5}, {"parameters": {"warmup": 6}}])
def test_a_state_of_another_sampler_is_refused(changed: dict[str, Any]):
    with pytest.raises(InputError, match="this one is of another"):
        made(**changed).restore(made().state())


def test_a_state_of_other_rows_is_refused():
    other = assay.sampler(domains=DOMAINS[::-1], **{"batch_size": 4, "ahead": 6, "seed": 3, **METHODS["odm"]})
    with pytest.raises(InputError, match="the same rows"):
        other.restore(made().state())
    with pytest.raises(InputError, match="the same rows"):
        other.restore({})


def test_each_loss_is_weighed_by_what_its_batch_was_drawn_with(tmp_path: Path):
    """Batch t was drawn with the weights after t − 6 losses: the rewards are those of the formula, though the sampler is saved and
    made anew on the way, with seven batches in flight."""
    sampler, known, reward = made(parameters={"warmup": 0}), [], dict.fromkeys(LOSSES, 0.0)
    for step in range(40):
        known.append(sampler.weights)
        batch = next(sampler.batches())
        domain, loss = DOMAINS[batch[0]], LOSSES[DOMAINS[batch[0]]] + step % 3
        reward[domain] = 0.9 * reward[domain] + 0.1 * loss / known[max(0, step - 6)][domain]
        sampler.report(loss)
        if step == 20:
            sampler.save(tmp_path / "sampler.safetensors")
            sampler = made(parameters={"warmup": 0})
            sampler.load(tmp_path / "sampler.safetensors")
    assert dict(zip(sampler.domains, sampler.state()["state.reward"], strict=True)) == pytest.approx(reward)
    assert known[0] != known[14] != known[20], "weights that never move would weigh alike"


# --- What is looked at before it is drawn -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hardest(Sampler):
    """The rows on which the model loses most, of four times as many; it remembers how much was lost on those left out."""

    needs = ()
    previews = ("loss",)
    paper = ""

    def init(self, count: int, signals: Signals, rng: np.random.Generator) -> State:
        return {"rows": np.array([count]), "left": np.zeros(1)}

    def propose(self, state: State, size: int, pending: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        free = np.setdiff1d(np.arange(state["rows"][0]), pending)
        return rng.choice(free, 4 * size, replace=False)

    def draw(
        self, state: State, rows: np.ndarray, previewed: Signals, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, State]:
        order = np.argsort(-previewed["loss"], kind="stable")
        return rows[order[:size]], {"left": previewed["loss"][order[size:]].sum(keepdims=True)}

    def update(self, state: State, rows: np.ndarray, drawn_with: State, measured: Signals) -> State:
        return {**state, "left": state["left"] + drawn_with["left"]}


@pytest.fixture
def hardest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another package added the method."""
    names, load = catalog.methods, catalog.load
    monkeypatch.setattr(catalog, "methods", lambda kind: [*names(kind), *["hardest"] * (kind == "sample")])
    monkeypatch.setattr(catalog, "load", lambda kind, name: Hardest if name == "hardest" else load(kind, name))


class Model:
    """Loses on a row what its domain costs, and less each time that it is trained on it."""

    def __init__(self) -> None:
        self.losses, self.asked = np.array(loss_of(range(100))), list[list[int]]()

    def preview(self, rows: list[int]) -> dict[str, Any]:
        self.asked.append(rows)
        return {"loss": torch.tensor(self.losses[rows])}

    def train(self, rows: list[int]) -> None:
        self.losses[rows] *= 0.8


Loader = Callable[[Sampling], Iterable[list[int]]]


def looked_at(ahead: int, loader: Loader = plainly, kill: int = 100) -> tuple[list[list[int]], Model]:
    """Batches of a pass of a model; after `kill` of them the sampler is made anew from a checkpoint."""
    model, found = Model(), list[list[int]]()
    given: dict[str, Any] = {"batch_size": 4, "ahead": ahead, "preview": model.preview}
    sampler = assay.sampler(domains=DOMAINS, method="hardest", **given)
    while len(found) < 25:
        for batch in loader(sampler):
            found.append([int(row) for row in batch])
            model.train(found[-1])
            sampler.report()
            if len(found) == kill:
                state = sampler.state()
                sampler = assay.sampler(domains=DOMAINS, method="hardest", **given)
                sampler.restore(state)
                break
    return found, model


def test_rows_are_looked_at_with_the_model_as_it_is_before_some_are_drawn(hardest: None):
    """The worst four of sixteen, by the losses of that moment; the model was asked once for each batch."""
    (found, model), same = looked_at(0), Model()
    for batch, asked in zip(found, model.asked, strict=False):
        assert len(asked) == 16 and batch == sorted(asked, key=lambda row: -same.losses[row])[:4]
        same.train(batch)
    assert len(found) == 25 and len(model.asked) == 26  # the first of the next pass is drawn


def test_neither_workers_nor_a_kill_change_what_is_looked_at(hardest: None):
    whole, model = looked_at(5)
    assert looked_at(5, torchly(2, 2))[0] == whole != looked_at(4)[0]
    again, resumed = looked_at(5, kill=11)
    assert again == whole and resumed.asked == model.asked
    assert not any(set(one) & set(other) for one, other in itertools.pairwise(whole))  # in flight together


def test_a_preview_that_lacks_or_misses_rows_is_refused(hardest: None):
    with pytest.raises(RecipeError, match=r"hardest looks at rows before it draws: give preview=\.\.\..*loss of each"):
        assay.sampler(domains=DOMAINS, method="hardest")
    for told in ({}, {"loss": [1.0]}):
        sampler = assay.sampler(domains=DOMAINS, method="hardest", batch_size=4, preview=lambda rows, told=told: told)
        with pytest.raises(InputError, match="loss of each of the 16 rows that it was handed"):
            next(sampler.batches())


# --- What is drawn ----------------------------------------------------------------------------------------------------


def test_weights_are_told_by_name_and_follow_the_losses():
    sampler = made(parameters={"warmup": 0}, ahead=0)
    trained(sampler, plainly, 200)
    weights = sampler.weights
    assert sum(weights.values()) == pytest.approx(1) and max(weights, key=weights.__getitem__) == "noise"


def test_a_pass_has_as_many_batches_as_its_length_says():
    sampler = made()
    assert len(sampler) == len(list(_reported(sampler))) == 25 and len(sampler.to_torch()) == 25
    assert len(list(_reported(made(steps=7)))) == 7
    broken = made()
    for _, batch in zip(range(10), _reported(broken), strict=False):
        assert len(batch) == 4
    assert len(list(_reported(broken))) == 15


def _reported(sampler: Sampling) -> Iterable[list[int]]:
    for batch in sampler.batches():
        sampler.report(loss_of(batch) if sampler.adaptive else None)
        yield batch


def test_a_loader_of_rs2_is_as_long_as_its_share():
    """A schedule of the learning rate that asks the loader for its length spans the steps that there are."""
    loader = DataLoader(range(100), batch_sampler=made("rs2").to_torch())
    assert len(loader) == 8
    epochs = [[int(row) for batch in loader for row in batch] for _ in range(3)]
    assert all(len(rows) == 30 == len(set(rows)) for rows in epochs)
    assert len({row for rows in epochs for row in rows}) == 90


def test_a_sampler_that_measures_nothing_needs_no_report_but_to_be_kept():
    sampler = made("rs2")
    for _ in range(40):
        list(sampler.batches())
    with pytest.raises(RunError, match="report\\(\\) follows each batch"):
        sampler.state()
    with pytest.raises(RunError, match="went by without it"):
        sampler.report()


def test_validation_losses_are_told_by_domain():
    sampler = assay.sampler(domains=DOMAINS, method="skill_it", batch_size=4, parameters={"every": 2, "eta": 1.0})
    rows = iter(sampler.batches())
    next(rows)
    sampler.report(by_domain={"web": 1.0, "code": 2.0, "noise": 3.0})
    next(rows)
    sampler.report()
    expected = np.exp([2.0, 3.0, 1.0])  # code, noise, web
    assert list(sampler.weights) == ["code", "noise", "web"]
    assert list(sampler.weights.values()) == pytest.approx((expected / expected.sum()).tolist())


def test_domains_may_be_named_in_parameters():
    graph = assay.sampler(
        domains=DOMAINS, method="skill_it", parameters={"graph": {"web": {"code": 0.5}}, "targets": ["code"]}
    )
    assert graph.method.graph == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.0, 1.0)) and graph.method.targets == (0,)
    mixture = made("domain_upsampling")
    assert mixture.method.after == (1.0, 1.0, 0.0) and mixture.method.steps == 40


# --- Rows of runs and pools -------------------------------------------------------------------------------------------


def rows_in_memory() -> list[dict[str, Any]]:
    return [{"id": f"r{k}", "text": f"row {k} of {one}", "kind": one} for k, one in enumerate(DOMAINS)]


def test_rows_of_a_run_are_those_of_its_data_set(tmp_path: Path):
    """Rows of twelve files are numbered part-2 before part-10, and a data set has them the other way round."""
    for number, part in enumerate(np.array_split(rows_in_memory(), 12), 1):
        jsonl(tmp_path / f"pool/part-{number}.jsonl", part)
    done(
        tmp_path / "pool", "--source-field", "kind", "--method", "random", "--budget", "50%", "--out", tmp_path / "run"
    )
    run = assay.Run(tmp_path / "run")
    rows = run.to_dataset()
    sampler = assay.sampler(run, batch_size=4, parameters={"warmup": 0})
    assert sampler.size == len(rows) == 50
    for batch in sampler.batches():
        kinds = {rows[row]["kind"] for row in batch}
        assert len(kinds) == 1
        sampler.report(LOSSES[kinds.pop()])


def test_rows_of_a_pool_may_lie_in_memory_and_unreadable_ones_are_never_drawn():
    rows = rows_in_memory()
    for row in (0, 7, 63):
        rows[row]["text"] = ""
    sampler = assay.sampler(rows, source_field="kind", method="domain_upsampling", steps=60, batch_size=4)
    seen = {row for batch in sampler.batches() for row in batch}
    assert sampler.size == 100 and not seen & {0, 7, 63} and max(seen) > 90
    assert list(sampler.weights) == ["code", "noise", "web"]


# --- Wrong use --------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_reported_is_asked_for():
    sampler = made(ahead=2)
    batches = sampler.batches()
    for _ in range(3):
        next(batches)
    with pytest.raises(
        InputError, match=r"batch 3 was asked for, and the loss of batch 0 was not reported.*ahead than 2"
    ):
        next(batches)
    with pytest.raises(InputError, match="loss of batch 0 was not reported"):
        for _ in DataLoader(range(100), batch_sampler=made(ahead=2).to_torch(), num_workers=2):
            time.sleep(0)


def _first(sampler: Sampling, **told: Any) -> None:
    next(sampler.batches())
    sampler.report(**told)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: _first(made(), loss=float("nan")), "loss of batch 0 \\(domain '.*'\\) must be finite; got nan"),
        (lambda: _first(made(), loss=torch.tensor(float("inf"))), "must be finite; got inf"),
        (lambda: _first(made()), "needs the loss of every row"),
        (lambda: _first(made(), loss=[1.0, 2.0]), "one number, or 4, one for each row; got shape \\(2,\\)"),
        (lambda: _first(made("skill_it", seed=1), loss=2.0), "cannot speak for a batch of several domains"),
        (
            lambda: _first(made(), loss=1.0, by_domain={"cod": 1.0}),
            "a domain 'cod' that no row has; did you mean 'code'",
        ),
        (lambda: _first(made(), loss=1.0, by_domain={"code": float("nan")}), "loss of domain 'code' must be finite"),
        (lambda: made().report(1.0), "must follow a batch; none was given since batch 0"),
        (lambda: assay.sampler(domains=DOMAINS, method="omd"), "no sampler 'omd'; did you mean 'odm'"),
        (lambda: assay.sampler(), "needs rows, a run or a pool, or the domains of rows"),
        (lambda: assay.sampler(domains=[]), "one for each of 0 rows; got 0"),
        (lambda: assay.sampler([1, 2], domains=["a"]), "one for each of 2 rows; got 1"),
        (lambda: assay.sampler(domains=["a"] * 5), "two or more; got one"),
        (
            lambda: assay.sampler([{"text": "one"}, {"text": "two"}]),
            "2 of 2 rows name none: say where it stands with source_field",
        ),
        (lambda: made("domain_upsampling", steps=None), "needs the batches of the whole training.*steps="),
        (lambda: made("domain_upsampling", parameters={"after": {"kode": 1}}), "after names a domain 'kode'.*'code'"),
        (lambda: made("skill_it", parameters={"targets": ["nois"]}), "targets names a domain 'nois'.*'noise'"),
        (lambda: made("skill_it", parameters={"graph": {"web": {"cod": 1}}}), "graph names a domain 'cod'"),
        (lambda: made("rs2", steps=4), "steps must be left out"),
        (lambda: made(steps=0), "steps must be the batches of one pass"),
        (lambda: made(batch_size=0), "batch_size must be 1 or more"),
        (lambda: made(parameters={"warm_up": 3}), "no parameter 'warm_up'; did you mean 'warmup'"),
    ],
)
def test_wrong_use_teaches(use: Callable[[], None], said: str):
    with pytest.raises(AssayError, match=said):
        use()


# --- The transformers library's Trainer -------------------------------------------------------------------------------


class Rows(Dataset):
    """Rows of six tokens, easy in one domain and noise in another; it remembers which were asked for."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.rows = [np.full(6, 5) if one == "web" else rng.integers(1, 30, 6) for one in DOMAINS]
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        self.seen.append(row)
        ids = torch.tensor(self.rows[row])
        return {"input_ids": ids, "labels": ids.clone()}


def trainer_of(folder: Path, rows: Rows, **changed: Any) -> Any:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(1)
    arguments = transformers.TrainingArguments(
        **{
            "output_dir": str(folder), "per_device_train_batch_size": 4, "max_steps": 8, "save_steps": 4, "seed": 1,
            "report_to": [], "use_cpu": True, "disable_tqdm": True, "learning_rate": 1e-2, "logging_strategy": "no", **changed,
        }
    )  # fmt: skip
    return transformers.Trainer(transformers.LlamaForCausalLM(config), arguments, train_dataset=rows)


def weights(trainer: Any) -> np.ndarray:
    return np.concatenate([one.detach().numpy().ravel() for one in trainer.model.parameters()])


@pytest.mark.parametrize(("method", "together"), [("odm", 1), ("odm", 2), ("skill_it", 1)])
def test_a_trainer_trains_on_what_is_drawn_and_resumes_the_same(method: str, together: int, tmp_path: Path):
    """Eight steps at once, and four and four by two trainers: the same rows, the same weights to the bit."""
    parameters = {"odm": {"warmup": 2}, "skill_it": {"every": 2}}[method]
    rows, sampler = Rows(), made(method, parameters=parameters)
    trainer = trainer_of(tmp_path / "whole", rows, gradient_accumulation_steps=together)
    sampler.attach(trainer)
    trainer.train()
    assert sampler.step == 8 * together and (tmp_path / "whole/checkpoint-4/sampler.safetensors").exists()
    again, later = Rows(), made(method, parameters=parameters)
    second = trainer_of(tmp_path / "whole", again, gradient_accumulation_steps=together)
    later.attach(second)
    second.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-4"))
    trained_on = 4 * 4 * together
    assert again.seen[:trained_on] == rows.seen[trained_on : 2 * trained_on] and later.weights == sampler.weights
    assert np.array_equal(weights(second), weights(trainer))
    assert sampler.weights != made(method, parameters=parameters).weights


def test_the_loss_that_a_trainer_reports_is_the_batch_s_mean(tmp_path: Path):
    """Of the model as it was before the step, whatever the trainer divided it by: with a rate of 0 all steps have that model."""
    heard: list[float] = []

    class Listening:
        def __init__(self, sampler: Sampling) -> None:
            self.sampler = sampler

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sampler, name)

        def __len__(self) -> int:
            return len(self.sampler)

        def report(self, loss: Any = None) -> None:
            heard.append(loss.tolist())
            self.sampler.report(loss)

    from assay.models import trainer_callback

    for method, together in (("odm", 2), ("skill_it", 1)):
        heard.clear()
        rows = Rows()
        trainer = trainer_of(
            tmp_path / method,
            rows,
            gradient_accumulation_steps=together,
            max_steps=2,
            learning_rate=0.0,
            save_strategy="no",
        )
        trainer_callback.attach(Listening(made(method)), trainer)
        trainer.train()
        for at, loss in enumerate(heard):
            ids = torch.tensor(np.stack([rows.rows[row] for row in rows.seen[4 * at : 4 * at + 4]]))
            with torch.no_grad():
                spent = torch.log_softmax(trainer.model(ids).logits[:, :-1], 2).gather(2, ids[:, 1:, None])[:, :, 0]
            expected = -spent.mean(1)
            assert loss == pytest.approx((expected if method == "skill_it" else expected.mean()).tolist(), rel=1e-4)
        assert len(heard) == 2 * together


def test_a_trainer_with_rs2_has_the_steps_of_its_share(tmp_path: Path):
    """Two epochs of 30 of 100 rows at 4: 16 steps, and a learning rate that has decayed to zero by then."""
    rows = Rows()
    trainer = trainer_of(tmp_path, rows, max_steps=-1, num_train_epochs=2, save_strategy="no")
    made("rs2").attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 16 == trainer.state.max_steps and len(rows.seen) == 60 == len(set(rows.seen))
    assert set(trainer.lr_scheduler.get_last_lr()) == {0.0}


@pytest.mark.parametrize(
    ("made_with", "arguments", "said"),
    [
        ({"batch_size": 5}, {}, "the sampler's size of 5 rows; they have 4: make the sampler with batch_size=4"),
        ({"ahead": 2}, {"dataloader_num_workers": 2}, "fetches 5 batches ahead.*make it with ahead=5"),
        ({"ahead": 0}, {}, "fetches 1 batches ahead"),
    ],
)
def test_a_trainer_that_does_not_fit_is_refused(made_with: dict, arguments: dict, said: str, tmp_path: Path):
    with pytest.raises(RecipeError, match=said):
        made(**made_with).attach(trainer_of(tmp_path, Rows(), **arguments))


def test_a_trainer_with_other_rows_or_without_its_state_is_refused(tmp_path: Path):
    rows = Rows()
    rows.rows.pop()
    with pytest.raises(RecipeError, match=r"the 100 rows that the sampler was made from.*99 rows"):
        made().attach(trainer_of(tmp_path, rows))
    trainer = trainer_of(tmp_path, Rows(), max_steps=4)
    made().attach(trainer)
    trainer.train()
    (tmp_path / "checkpoint-4/sampler.safetensors").unlink()
    second = trainer_of(tmp_path, Rows(), max_steps=8)
    made().attach(second)
    with pytest.raises(RunError, match="sampler's state at step 4; it is not there"):
        second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


# --- What the documents say -------------------------------------------------------------------------------------------


def test_the_guide_s_python_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In one folder, in order, on a run of the examples."""
    pytest.importorskip("datasets", reason="needs datasets")
    rows = [{"text": f"row {k} of {one} " + "word " * (k % 9), "source": one} for k, one in enumerate(DOMAINS)]
    done(jsonl(tmp_path / "pool.jsonl", rows), "--method", "random", "--budget", "100%", "--out", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/while-training.md").read_text("utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "sampler.report" in code and "attach" in code
    exec(compile(code, "while-training.md", "exec"), {"__name__": "guide"})


def test_the_example_runs(tmp_path: Path):
    command = [sys.executable, str(ROOT / "examples/while_training.py"), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert re.search(r"step 60: .*abstracts 0\.", told.stdout), told.stdout
