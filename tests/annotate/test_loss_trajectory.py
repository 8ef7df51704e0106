"""Loss trajectories against the model opened anew at every checkpoint; what is learnt, and what has no trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import chosen, done, jsonl, told
from tests.annotate.test_color_filter import Few, batch, tiny  # noqa: F401  a fixture
from tests.annotate.test_ifd import PLAIN, ROWS, asked

from assay.annotate.loss_trajectory import LossTrajectory
from assay.errors import InputError, RecipeError
from assay.models import losses
from assay.models.language import language_of, torch_module
from assay.types import Fitted, Signals, Texts


def learnt(method: LossTrajectory, texts: list[str]) -> Fitted:
    return method.learn(Few(tuple(texts)), None, Signals({}), None, np.random.default_rng(3))


def paths(method: LossTrajectory, found: Fitted, texts: list[str]) -> np.ndarray:
    models: dict[str, Any] = {"fitted": found}
    return method.annotate(batch(texts), {**models, "prepared": method.prepare(models)})["loss_trajectory"]


def test_each_column_is_the_loss_at_its_checkpoint(tiny: str) -> None:  # noqa: F811
    method = LossTrajectory(model=tiny, rows=40, epochs=20, checkpoints=3)
    found = learnt(method, ROWS)
    texts = [*ROWS[40:44], "a plain text, which is learnt and scored whole", asked("Say it. " * 40, "it " * 60)]
    got = paths(method, found, texts)
    assert got.shape == (6, 3) and got.dtype == np.float32
    language = language_of(tiny)
    documents = language.encode_turns(Texts.of(texts))
    for place in range(3):
        model = torch_module("tuning").opened(language, losses.under(str(place), found.arrays))
        nats = torch_module("causal_bits").bits(model, documents) * np.log(2)
        counts = np.add.reduceat(documents.data >= 0, documents.offsets[:-1], dtype=np.int64)
        np.testing.assert_allclose(got[:, place], nats / counts, rtol=1e-5)
    assert (np.diff(got[:4].mean(axis=0)) < -0.05).all()  # it learns, and the first checkpoint comes first
    assert found.notes["rows"] == 40 and len(found.notes["losses"]) == 3
    assert np.array_equal(paths(method, found, texts), got)  # whatever checkpoint the model was left at


def test_neither_place_nor_neighbours_change_a_trajectory(tiny: str) -> None:  # noqa: F811
    method = LossTrajectory(model=tiny, rows=30, epochs=2, checkpoints=2)
    one, two = learnt(method, ROWS), learnt(method, ROWS[::-1])
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    whole = paths(method, one, ROWS[:8])
    assert np.abs(whole - np.concatenate([paths(method, one, [row]) for row in ROWS[:8]])).max() < 1e-5
    assert paths(method, one, []).shape == (0, 2)


def test_a_row_with_nothing_to_score_has_no_trajectory_not_zeros(tiny: str) -> None:  # noqa: F811
    method = LossTrajectory(model=tiny, rows=20, epochs=1, checkpoints=1)
    got = paths(method, learnt(method, ROWS), [PLAIN, ROWS[0]])
    assert np.isnan(got[0]).all() and np.isfinite(got[1]).all()


def test_the_recipe_that_ships_goes_through(tmp_path: Path, tiny: str) -> None:  # noqa: F811
    """Rows of two kinds from two sources: half of the budget each, though one has five times as many."""
    rows = [
        {"id": str(n), "instruction": f"Add {n} and {n}.", "output": f"It is {n + n}.", "source": "sums"}
        for n in range(50)
    ]
    rows += [{"id": f"b{n}", "instruction": "Say b.", "output": "b " * (n + 3), "source": "letters"} for n in range(10)]
    pool = jsonl(tmp_path / "pool.jsonl", rows)
    told_ = (
        "--method",
        "s2l",
        "--model",
        tiny,
        "--source-field",
        "source",
        "--set",
        "s2l.clusters=3",
        "--budget",
        "12",
    )
    done(pool, *told_, "--set", "loss_trajectory.checkpoints=3", "--out", tmp_path / "run")
    got = np.array(chosen(tmp_path / "run"))
    assert (got < 50).sum() == 6 and (got >= 50).sum() == 6
    assert len(told(tmp_path / "run")["fits"]["loss_trajectory"]["losses"]) == 3


def test_sentences(tiny: str) -> None:  # noqa: F811
    with pytest.raises(RecipeError, match="checkpoints must be from 1 to 1000; got 0"):
        LossTrajectory(checkpoints=0)
    with pytest.raises(InputError, match="loss_trajectory needs rows with text to learn; none of 2 has any"):
        learnt(LossTrajectory(model=tiny), ["", ""])
