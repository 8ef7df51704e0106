"""Round robin: equal to a plain loop over all pairs, whatever is held; and what it must not be taken for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import assay, jsonl, manifest, ranked

from assay.annotate.embed import Embed
from assay.errors import InputError
from assay.models.cosine import cosines, unit
from assay.select import round_robin
from assay.select.round_robin import RoundRobin
from assay.types import Batch, Limit, Selection, Signals, Texts


def vectors(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float16)


def select(rows: np.ndarray, aims: np.ndarray, limit: Limit) -> Selection:
    signals = Signals({"embed": rows, "target:embed": aims})
    return RoundRobin().select(signals, None, limit, np.random.default_rng(0))


def examples(k: int, n: int) -> Limit:
    return Limit(k, "examples", np.ones(n, np.int64))


def slowly(rows: np.ndarray, aims: np.ndarray, limit: Limit) -> list[int]:
    """The paper's loop, over all pairs."""
    near = cosines(rows, unit(aims))
    taken: list[int] = []
    while len(taken) < len(rows):
        for example in range(len(aims)):
            free = [row for row in range(len(rows)) if row not in taken]
            if not free:
                break
            row = max(free, key=lambda one: (near[one, example], -one))
            if limit.cost[taken].sum() + limit.cost[row] > limit.amount:
                return taken
            taken.append(row)
    return taken


@pytest.mark.parametrize("held", [1, 40, 1 << 20])
@pytest.mark.parametrize("cells", [7, 1 << 20])
def test_it_is_the_plain_loop_however_little_is_held(monkeypatch: pytest.MonkeyPatch, held: int, cells: int):
    monkeypatch.setattr(round_robin, "_HELD", held)
    monkeypatch.setattr(round_robin, "_CELLS", cells)
    rows, aims = vectors(80, 3, 1), vectors(6, 3, 2)
    rows[40:] = rows[:40]  # copies: equal cosines, in row order
    cost = np.random.default_rng(3).integers(1, 90, 80)
    for limit in (
        examples(1, 80),
        examples(33, 80),
        examples(80, 80),
        Limit(1500, "bytes", cost),
        Limit(9, "tokens", cost),
    ):
        assert select(rows, aims, limit).rows.tolist() == slowly(rows, aims, limit)


def test_examples_that_agree_exhaust_their_lists_together():
    # All want the same rows in the same order: what one takes, all others skip.
    rows, aims = vectors(3000, 4, 5), np.repeat(vectors(1, 4, 6), 50, axis=0)
    near = cosines(rows, unit(aims))[:, 0]
    assert select(rows, aims, examples(2500, 3000)).rows.tolist() == np.argsort(-near, kind="stable")[:2500].tolist()


def test_it_is_not_the_best_of_the_maximum():
    # Two rows near the first example, one far from the second: the maximum never gets to that one.
    rows, aims = np.array([[1, 0.0], [1, 0.1], [-1, 0.5]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    greatest = cosines(rows, unit(aims)).max(axis=1)
    assert np.argsort(-greatest, kind="stable")[:2].tolist() == [0, 1]
    assert select(rows, aims, examples(2, 3)).rows.tolist() == [0, 2]


def test_a_row_that_two_examples_want_is_taken_once_and_the_second_takes_its_next():
    rows, aims = np.array([[1, 1.0], [1, 0.5], [0, 1.0]]), np.array([[1.0, 1.0], [1.0, 0.9]])
    assert select(rows, aims, examples(3, 3)).rows.tolist() == [0, 1, 2]


def test_the_order_is_that_of_the_rounds_not_of_the_cosines():
    rows, aims = vectors(60, 3, 7), vectors(5, 3, 8)
    found = select(rows, aims, examples(20, 60))
    near = cosines(rows, unit(aims))
    assert found.rows[:5].tolist() == slowly(rows, aims, examples(5, 60))
    np.testing.assert_array_equal(found.gains, near[found.rows, np.arange(20) % 5])
    assert (np.diff(found.gains) > 0).any() and found.nested


def test_lengths_of_vectors_do_not_matter():
    rows, aims = vectors(60, 3, 9).astype(np.float32), vectors(4, 3, 10).astype(np.float32)
    scaled = rows * np.random.default_rng(1).uniform(0.1, 50, (60, 1)).astype(np.float32)
    assert (
        select(rows, aims, examples(30, 60)).rows.tolist() == select(scaled, aims * 3, examples(30, 60)).rows.tolist()
    )


def test_a_row_without_a_vector_stays_out_and_says_so():
    rows, aims = vectors(9, 3, 11), vectors(2, 3, 12)
    rows[[2, 5]] = np.nan
    rows[7, 0] = np.inf
    found = select(rows, aims, examples(9, 9))
    assert sorted(found.rows.tolist()) == [0, 1, 3, 4, 6, 8]
    assert {name: list(kept) for name, kept in found.reasons.items()} == {
        "round_robin: the row has no vector": [2, 5, 7]
    }
    with pytest.raises(InputError, match="needs a target with at least one 'embed' vector"):
        select(rows, aims[:0], examples(9, 9))


# --- Through the command ----------------------------------------------------------------------------------------------

EMBED = '{ annotate = "embed", model = "lm-nano", pooling = "position_weighted" }'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    def some(count: int, seed: int) -> list[dict[str, str]]:
        rng = np.random.default_rng(seed)
        words = "river stone market prayer engine lantern copper answer question winter".split()
        return [
            {"text": " ".join(rng.choice(words, 12)) + f" {seed}-{row}", "source": "ab"[row % 2]}
            for row in range(count)
        ]

    for name, count, seed in (("pool/a", 50, 1), ("pool/b", 30, 2), ("target", 6, 3), ("other", 4, 4)):
        jsonl(tmp_path / f"{name}.jsonl", some(count, seed))
    return tmp_path


def test_the_command_takes_turns_over_the_target_s_embeddings(data: Path):
    recipe = data / "r.toml"
    recipe.write_text(
        f'steps = [{EMBED}, {{ score = "rds_plus" }}, {{ where = "bytes > 82" }}, {{ select = "round_robin" }}]'
    )
    given = ("select", data / "pool", "--recipe", recipe, "--workers", "1", "-q", "--source-field", "source")
    answer = assay(*given, "--target", data / "target.jsonl", "--budget", "20", "--out", data / "run")
    assert answer.code == 0, answer.err

    def embedded(*names: str) -> np.ndarray:
        texts = [json.loads(one)["text"] for name in names for one in (data / name).read_text().splitlines()]
        method = Embed("lm-nano", "position_weighted")
        block = Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": Texts.of(texts)})
        found = method.annotate(block, {"prepared": method.prepare({})})["embed"]
        sizes = np.array([len(text.encode()) for text in texts])
        return np.where((sizes > 82)[:, None] | (names == ("target.jsonl",)), found, np.nan)

    rows, aims = embedded("pool/a.jsonl", "pool/b.jsonl"), embedded("target.jsonl")
    living = np.flatnonzero(np.isfinite(rows).all(axis=1))
    assert 20 < len(living) < 80
    assert ranked(data / "run") == living[slowly(rows[living], aims, examples(20, len(living)))].tolist()
    quota = assay(
        *given, "--target", data / "target.jsonl", "--budget", "20", "--quota", "source:a<=20%", "--out", data / "q"
    )
    assert quota.code == 0, quota.err
    kept = manifest(data / "q")
    kept = kept.filter(kept["status"] == "chosen")
    assert len(kept) == 20 and (kept["source"] == "a").sum() == 4


def test_it_aims_at_one_target(data: Path):
    recipe = data / "r.toml"
    recipe.write_text(f'steps = [{EMBED}, {{ select = "round_robin", budget = "9" }}]')
    given = ("select", data / "pool", "--recipe", recipe, "--workers", "1", "-q", "--out", data / "run")
    assert "round_robin needs a target: give --target FILE" in assay(*given).sentence
    both = ("--target", f"{data}/target.jsonl=50%", "--target", f"{data}/other.jsonl=50%")
    assert "aims at the examples of one target; got 2" in assay(*given, *both).sentence
    recipe.write_text('steps = [{ select = "round_robin", budget = "9" }]')
    said = assay(*given, "--target", data / "target.jsonl").sentence
    assert "round_robin reads the signal 'embed' of its target too; only an annotate step can measure it there" in said
