"""SemDeDup against its definition: a published golden, chains, planted copies, and cells of several blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import assay, examples, jsonl, manifest

from assay.errors import RecipeError
from assay.group import semdedup
from assay.group.semdedup import Semdedup
from assay.models.clusters import Vectors
from assay.types import Signals


def group(method: Semdedup, vectors: np.ndarray, cell: object, distance: object, living: object = None) -> Signals:
    n = len(vectors)
    columns = {
        "embed": vectors, "kmeans": np.broadcast_to(cell, n), "kmeans_distance": np.broadcast_to(distance, n),
        "living": np.ones(n, bool) if living is None else np.array(living),
    }  # fmt: skip
    return method.group(None, Signals(columns), None, np.random.default_rng(0))[1]  # type: ignore[arg-type]


def by_definition(
    vectors: np.ndarray, cell: np.ndarray, distance: np.ndarray, least: float | None = None
) -> np.ndarray:
    """One pair after the other; the first row of a cell has share 0."""
    x = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    share, kept = np.zeros(len(x)), set(range(len(x)))
    for row in np.lexsort((np.arange(len(x)), -distance)).tolist():
        earlier = [
            other for other in range(len(x))
            if cell[other] == cell[row] and (-distance[other], other) < (-distance[row], row) and other in kept
        ]  # fmt: skip
        share[row] = max([0.0, *(min(1.0, float(x[row] @ x[other])) for other in earlier)])
        if least is not None and share[row] > least:
            kept.discard(row)
    return share


def copies(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of which many are near another, cells, and distances of which some are equal."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 6))[rng.integers(0, n // 3, n)] + 0.1 * rng.normal(size=(n, 6))
    return vectors, rng.integers(0, 4, n), np.round(rng.uniform(size=n), 1)


def test_the_published_golden() -> None:
    """NeMo Curator's test of pairwise similarities: six vectors, the largest similarity to an earlier one, and which it is."""
    vectors = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [1, 2, 3], [1, 2, 3]], float)
    told = group(Semdedup(), vectors, 0, 0.5)
    np.testing.assert_allclose(told["semdedup"], [0, 0.974631, 0.998190, 0.999618, 1, 1], atol=1e-6)
    assert told["semdedup_of"].tolist() == [-1, 0, 1, 2, 0, 0]


@pytest.mark.parametrize(("rule", "least"), [("earlier_item", None), ("greedy", 0.95)])
def test_it_is_its_definition(rule: str, least: float | None) -> None:
    for seed in range(5):
        vectors, cell, distance = copies(90, seed)
        told = group(Semdedup(rule=rule), vectors, cell, distance)
        np.testing.assert_allclose(told["semdedup"], by_definition(vectors, cell, distance, least), atol=1e-6)
        x = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        named = told["semdedup_of"] >= 0
        pairs = (x[named] * x[told["semdedup_of"][named]]).sum(axis=1)
        np.testing.assert_allclose(told["semdedup"][named], pairs, atol=1e-6)
        assert (cell[told["semdedup_of"][named]] == cell[named]).all() and (named == (told["semdedup"] > 0)).all()


def test_of_a_chain_one_rule_drops_two_and_the_other_one() -> None:
    # a ~ b ~ c, 15 degrees apart each: 0.966, but a and c only 0.866.
    angles = np.deg2rad([0, 15, 30])
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    gone = {
        rule: group(Semdedup(rule=rule), chain, 0, [3, 2, 1])["semdedup"] > 0.95 for rule in ("earlier_item", "greedy")
    }
    assert gone["earlier_item"].tolist() == [False, True, True]
    assert gone["greedy"].tolist() == [False, True, False]


def test_the_farthest_of_a_cell_stays_unless_the_nearest_is_asked_for() -> None:
    vectors = np.ones((3, 2))
    assert group(Semdedup(), vectors, 0, [0.1, 0.3, 0.2])["semdedup"].round(6).tolist() == [1, 0, 1]
    assert group(Semdedup(first="nearest"), vectors, 0, [0.1, 0.3, 0.2])["semdedup"].round(6).tolist() == [0, 1, 1]


def test_a_cell_of_one_row_and_a_row_without_a_cell_stay() -> None:
    told = group(Semdedup(), np.ones((5, 2)), [0, 1, -1, -1, 2], 0.1)
    assert told["semdedup"].tolist() == [0] * 5 and told["semdedup_of"].tolist() == [-1] * 5


def test_rows_of_other_cells_and_dead_ones_do_not_count() -> None:
    told = group(Semdedup(), np.ones((5, 2)), [0, 1, 0, 1, 0], [5, 4, 3, 2, 1], [True, True, False, True, True])
    assert told["semdedup"].round(6).tolist() == [0, 0, 0, 1, 1] and told["semdedup_of"].tolist() == [-1, -1, -1, 1, 0]
    assert np.isnan(told["semdedup_rank"][2])


def test_lengths_say_nothing_and_opposites_are_not_alike() -> None:
    vectors, cell, distance = copies(60)
    scaled = vectors * np.random.default_rng(1).uniform(0.01, 100, (60, 1))
    np.testing.assert_allclose(
        group(Semdedup(), scaled, cell, distance)["semdedup"],
        group(Semdedup(), vectors, cell, distance)["semdedup"],
        atol=1e-6,
    )
    told = group(Semdedup(), np.array([[1.0, 0.0], [-1.0, 0.0]]), 0, 0.1)
    assert told["semdedup"].tolist() == [0, 0] and told["semdedup_of"].tolist() == [-1, -1]


@pytest.mark.parametrize("least", [None, 0.9])
def test_copies_are_found_across_the_blocks_of_a_large_cell(
    least: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = Vectors(copies(130)[0], np.arange(130), "cosine")
    whole = semdedup.nearest_earlier(vectors, least)
    for size in (1, 7, 64):
        monkeypatch.setattr(semdedup, "_BLOCK", size)
        share, near = semdedup.nearest_earlier(vectors, least)
        np.testing.assert_allclose(share, whole[0], atol=1e-6)
        assert (near == whole[1]).all()


def test_a_share_of_the_pool_is_kept_though_copies_are_equal() -> None:
    """Exact copies all have the share 1: no threshold splits them, the rank does."""
    told = group(Semdedup(), np.ones((8, 2)), 0, np.arange(8))
    assert len(np.unique(told["semdedup"])) == 2 and (told["semdedup"] > 0.999).sum() == 7
    rank = told["semdedup_rank"]
    assert (rank < 0.75).sum() == 6 and rank[7] == 0 and sorted(rank.tolist()) == [place / 8 for place in range(8)]
    vectors, cell, distance = copies(90)
    told = group(Semdedup(), vectors, cell, distance)
    kept = told["semdedup_rank"] < 0.6
    assert kept.sum() == 54 and told["semdedup"][kept].max() <= told["semdedup"][~kept].min()


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError, match="rule must be one of earlier_item, greedy; got 'components'"):
        Semdedup(rule="components")
    with pytest.raises(RecipeError, match="eps must be from 0 to 1; got 5"):
        Semdedup(eps=5)


def test_the_command_drops_copies_and_names_the_row_that_stays(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    texts = list(dict.fromkeys(row["text"][:100] for row in examples()[:40]))[:12]
    jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in [*texts, *texts[:4]]])
    steps = ['{ annotate = "embed", tokens = 64 }', '{ group = "kmeans", clusters = 1 }']
    steps += ['{ group = "semdedup", at_most = 0.9999 }']
    (tmp_path / "recipe.toml").write_text(f'pool = "{tmp_path}/pool.jsonl"\nsteps = [{", ".join(steps)}]\n')
    answer = assay("clean", tmp_path / "recipe.toml", "--out", tmp_path / "run", "-q", "--workers", "1")
    assert answer.code == 0, answer.err
    gone = {row: reason for row, reason in manifest(tmp_path / "run").select("row", "reason").iter_rows() if reason}
    pairs = {(row, int(reason.removeprefix("duplicate: semdedup of row "))) for row, reason in gone.items()}
    assert {tuple(sorted(pair)) for pair in pairs} == {(row, 12 + row) for row in range(4)} and len(pairs) == 4
    steps[1] = '{ where = "bytes > 0" }'
    (tmp_path / "recipe.toml").write_text(f'pool = "{tmp_path}/pool.jsonl"\nsteps = [{", ".join(steps)}]\n')
    answer = assay("clean", tmp_path / "recipe.toml", "--out", tmp_path / "other", "-q", "--workers", "1")
    assert answer.sentence.startswith("semdedup reads the signal 'kmeans', which no step before it has made")
