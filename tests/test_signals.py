"""Methods that read what earlier steps measured, of pool and target alike; networks worked in portions; cells; staged methods."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import assay, manifest

from assay import catalog, gallery
from assay.contracts import Annotator, Engine, Grouper, Learner, Rows, Scorer, Selector
from assay.run import numbers, passes
from assay.runs import Run
from assay.types import Batch, Column, Fitted, Groups, Limit, Selection, Signals

SEEN = Path("seen")  # where the annotator writes which rows it was asked for; each test has its own folder


def number_of(text: str) -> int:
    """The number that ends a row's text."""
    return int(re.findall(r"\d+", text)[-1])


@dataclass(frozen=True)
class Counts(Annotator, Learner):
    """How often letters occur: a vector for each row; of a target's rows with the other sign."""

    needs = ("text",)
    paper = ""
    uses_target = "no"
    heavy = True
    form = "turns"
    sign: int = 1

    def learn(
        self, pool: Rows, target: Rows | None, signals: Signals, engine: Engine, rng: np.random.Generator
    ) -> Fitted:
        return Fitted({"letters": np.frombuffer(b"abc", np.uint8)})

    def on_target(self) -> Counts:
        return Counts(-1)

    def prepare(self, models: dict[str, Any]) -> list[str]:
        return [chr(code) for code in models["fitted"].arrays["letters"]]

    def annotate(self, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
        if len(batch):
            with SEEN.open("a") as file:
                file.write("".join(f"{self.sign} {number_of(text)}\n" for text in batch.columns["text"]))
        found = [[text.count(letter) for letter in models["prepared"]] for text in batch.columns["text"]]
        return {
            "counts": self.sign * np.array(found, np.float16).reshape(-1, 3),
            "marked": np.array([text.startswith("\x01user\x02") for text in batch.columns["text"]], np.float64),
        }


def total(batch: Batch) -> np.ndarray:
    return batch.columns["counts"].astype(np.float64).sum(axis=0)


@dataclass(frozen=True)
class Along(Scorer):
    """The dot product with the target's sum."""

    needs = ()
    paper = ""
    uses_target = "required"
    of: str = "counts"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.of,)

    def fit(self, pool: Rows, target: Rows | None, rng: np.random.Generator) -> Fitted:
        assert target is not None
        return Fitted({"target": target.reduce(total, np.add), "pool": pool.reduce(total, np.add)})

    def score(self, fitted: Fitted, batch: Batch) -> np.ndarray:
        return batch.columns[self.of].astype(np.float64) @ fitted.arrays["target"]


@dataclass(frozen=True)
class Parity(Grouper):
    """Cells of rows with an even and an odd count of the first letter."""

    needs = ()
    paper = ""
    gives = "cells"

    @property
    def reads(self) -> tuple[str, ...]:
        return ("counts",)

    def group(self, pool: Rows, signals: Signals, engine: Engine, rng: np.random.Generator) -> tuple[Groups, Signals]:
        first = signals["counts"][:, 0].astype(np.float64)
        cells = np.where(signals["living"], first % 2, -1).astype(np.int32)
        return Groups(cells, ("even", "odd")), Signals({"parity_count": first})


@dataclass(frozen=True)
class Heaviest(Selector):
    """The rows with the largest vectors."""

    needs = ()
    paper = ""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("counts",)

    def select(self, signals: Signals, groups: Groups | None, limit: Limit, rng: np.random.Generator) -> Selection:
        sizes = signals["counts"].astype(np.float64).sum(axis=1)
        rows = limit.best(sizes)
        return Selection.ranked(rows, sizes[rows])


class Entry:
    """An entry point that is loaded already."""

    def __init__(self, method: type):
        self.method = method

    def load(self) -> type:
        return self.method


@pytest.fixture(autouse=True)
def outsiders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The methods above, as those of a package that somebody has installed; portions of a few rows."""
    methods: dict[tuple[str, str], type] = {
        ("annotate", "counts"): Counts, ("score", "along"): Along, ("group", "parity"): Parity, ("select", "heaviest"): Heaviest,
    }  # fmt: skip
    monkeypatch.setattr(catalog, "_outside", lambda: {key: Entry(method) for key, method in methods.items()})
    monkeypatch.setattr(passes, "PORTION", 400)
    monkeypatch.setattr(numbers, "BLOCK", 7)
    monkeypatch.chdir(tmp_path)


def row(number: int) -> dict[str, Any]:
    return {"id": f"r{number}", "instruction": "count", "output": "abc"[number % 3] * (number % 11) + f" {number}"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """`assay select` with some steps, on 90 rows in two files."""
    for name, rows in (("pool/a.jsonl", range(50)), ("pool/b.jsonl", range(50, 90)), ("target.jsonl", range(7, 12))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(json.dumps(row(number)) + "\n" for number in rows))

    def selected(steps: str, out: str = "run", *more: object) -> Any:
        (tmp_path / "r.toml").write_text(f"steps = [{steps}]\n")
        return assay("select", "pool", "--recipe", "r.toml", "--out", out, "--workers", "1", "-q", *more)

    return selected


def vectors(numbers_: range) -> np.ndarray:
    """What `Counts` must find: letters of prompt and answer as the model sees them."""
    texts = [f"{row(number)['instruction']} {row(number)['output']}" for number in numbers_]
    return np.array([[text.count(letter) for letter in "abc"] for text in texts], float)


def test_a_scorer_reads_signals_of_pool_and_target(run: Callable[..., Any]):
    steps = '{ annotate = "counts" }, { score = "along" }, { select = "top_k", budget = "9" }'
    answer = run(steps, "run", "--target", "target.jsonl")
    assert answer.code == 0, answer.err
    found = manifest(Path("run"))
    scores = found["score"].to_numpy()
    marks = np.array([sum(word.count(letter) for word in ("user", "assistant")) for letter in "abc"])
    wanted = -(vectors(range(90)) + marks) @ (vectors(range(7, 12)) + marks).sum(axis=0)
    np.testing.assert_allclose(scores, wanted)
    seen = SEEN.read_text().split("\n")
    assert len(seen) - 1 == 95 == len(set(seen)) - 1, "every row of the pool once, and every row of the target"


def test_what_was_measured_is_kept_portion_by_portion(run: Callable[..., Any]):
    steps = '{ annotate = "counts" }, { select = "heaviest", budget = "9" }'
    whole = run(steps, "whole")
    assert whole.code == 0, whole.err
    SEEN.unlink()
    with pytest.MonkeyPatch.context() as patch:
        honest = Counts.annotate

        def killed(self: Counts, batch: Batch, models: dict[str, Any]) -> dict[str, Column]:
            if any(number_of(text) == 70 for text in batch.columns["text"]):
                raise KeyboardInterrupt
            return honest(self, batch, models)

        patch.setattr(Counts, "annotate", killed)
        assert run(steps, "run").code == 130, "as after Ctrl-C"
    before = {line for line in SEEN.read_text().split("\n") if line}
    assert len(before) > 20
    assert run(steps, "run").code == 0
    lines = [line for line in SEEN.read_text().split("\n") if line]
    assert len(lines) == 90 == len(set(lines)), "no row was measured a second time"
    assert manifest(Path("run")).drop("shard", strict=False).equals(manifest(Path("whole")).drop("shard", strict=False))
    assert not [path for path in Path("run").rglob("*portion-*")]


def test_cells_drop_nothing_and_are_signals(run: Callable[..., Any]):
    steps = (
        '{ annotate = "counts" }, { group = "parity", as = "cell" }, { where = "cell = 1 and cell_count > 2" },'
        '{ select = "heaviest", budget = "5" }'
    )
    answer = run(steps)
    assert answer.code == 0, answer.err
    table = manifest(Path("run"))
    kept = table.filter(table["status"] == "chosen")["row"].to_list()
    first = vectors(range(90))[:, 0] + 2  # the mark "user" has none, "assistant" two
    assert len(kept) == 5 and all(first[one] % 2 == 1 and first[one] > 2 for one in kept)
    assert not table["reason"].str.starts_with("duplicate").any()


def test_what_others_paid_for_is_counted_as_well(run: Callable[..., Any]):
    steps = '{ annotate = "counts" }, { group = "parity", as = "cell" }, { select = "heaviest", budget = "%d" }'
    for out, budget in (("one", 5), ("two", 9)):
        assert run(steps % budget, out, "--store", "store").code == 0
    one, two = ({stage["stage"]: stage for stage in Run(out).facts["stages"]} for out in ("one", "two"))
    measured = next(name for name in one if name.startswith("measure "))
    assert one[measured]["seconds"] > 0 == two[measured]["seconds"] and "earlier_seconds" not in one[measured]
    assert two[measured]["earlier_seconds"] == one[measured]["seconds"]
    assert "group parity" in one
    earlier = sum(stage.get("earlier_seconds", 0) for stage in two.values())
    assert Run("two").cost["seconds"] == pytest.approx(Run("two").facts["seconds"] + earlier)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('{ score = "along" }', "along reads the signal 'counts', which no step before it has made"),
        ('{ annotate = "counts" }, { score = "along", of = "count" }', "did you mean 'counts'"),
        ('{ group = "parity" }', "parity reads the signal 'counts'"),
        ("", "heaviest reads the signal 'counts', which no step before it has made: put { annotate = \"counts\" } before it"),
    ],
)
def test_a_signal_that_is_not_there_is_named(run: Callable[..., Any], steps: str, said: str):
    steps = f"{steps}, " if steps else ""
    answer = run(f'{steps}{{ select = "heaviest", budget = "9" }}', "run", "--target", "target.jsonl")
    assert said in answer.sentence


def test_a_model_may_be_left_to_the_recipe():
    tree = {"steps": [{"annotate": "counts", "model": "$model or lm-nano"}, {"score": "along"}]}
    assert gallery.close(tree, {})["steps"][0]["model"] == "lm-nano"
    assert gallery.close(tree, {"model": "folder"})["steps"][0]["model"] == "folder"
    assert gallery.models(["folder"]) == {"model": "folder"}
