"""D4, a recipe of stages: what it keeps, on planted vectors, against its stages called one by one; and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command import assay, examples, jsonl, manifest, told

from assay import catalog, expressions, gallery, recipe
from assay.group.kmeans import Kmeans
from assay.group.semdedup import Semdedup
from assay.types import Signals

N = 240


def planted() -> dict[str, np.ndarray]:
    """Three wide topics, and in one of them sixty copies of a row, which draw a centre to themselves."""
    rng = np.random.default_rng(0)
    vectors = np.eye(3, 8)[rng.integers(0, 3, N)] + 0.25 * rng.normal(size=(N, 8))
    vectors[100:160] = vectors[100] + 0.001 * rng.normal(size=(60, 8))
    return {"embed": vectors, "row_hash": rng.integers(0, 2**64, N, np.uint64)}


def followed(name: str, budget: int) -> np.ndarray:
    """The rows that the shipped recipe's steps choose, worked in order on the planted vectors."""
    signals, living = planted(), np.ones(N, bool)
    tree = gallery.load(name, {})
    tree["steps"][-1]["budget"] = f"{budget}"
    for step in recipe.parse({"pool": "pool.jsonl", **tree}).steps:
        if step.kind == "group":
            method = catalog.build("group", step.name, step.parameters)
            read = {one: signals[one] for one in method.reads}
            groups, found = method.group(None, Signals({**read, "living": living}), None, np.random.default_rng(0))
            signals |= {step.alias: groups.ids} if groups is not None else {}
            signals |= {one.replace(step.name, step.alias, 1): values for one, values in found.columns.items()}
        elif step.kind == "where":
            living = living & expressions.evaluate(step.name, signals, living)
        elif step.kind == "select":
            rank = np.where(living, expressions.evaluate(step.rank, signals, living), np.nan)
            return np.argsort(-rank, kind="stable")[:budget]
    raise AssertionError("the recipe selects nothing")


def clustered(columns: dict[str, np.ndarray], living: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups, found = Kmeans().group(None, Signals({**columns, "living": living}), None, np.random.default_rng(0))
    return groups.ids, found["kmeans_distance"]


def test_three_quarters_stay_they_are_clustered_anew_and_the_least_typical_are_taken() -> None:
    columns, everyone = planted(), np.ones(N, bool)
    cells, distance = clustered(columns, everyone)
    first = {"embed": columns["embed"], "kmeans": cells, "kmeans_distance": distance, "living": everyone}
    share = Semdedup().group(None, Signals(first), None, np.random.default_rng(0))[1]["semdedup"]
    stay = np.zeros(N, bool)
    stay[np.argsort(share, kind="stable")[: N * 3 // 4]] = True
    assert stay.sum() == 180 and stay[100:160].sum() < 10
    again = clustered(columns, stay)[1]
    wanted = np.argsort(np.where(stay, -again, np.inf), kind="stable")[:90]
    found = followed("d4", 90)
    assert found.tolist() == wanted.tolist()
    skipped = np.argsort(np.where(stay, -distance, np.inf), kind="stable")[:90]
    assert len(set(found.tolist()) & set(skipped.tolist())) < 85  # what leaving the second clustering out would choose


def test_semdedup_takes_the_rows_least_like_an_earlier_one() -> None:
    columns = planted()
    cells, distance = clustered(columns, np.ones(N, bool))
    first = {"embed": columns["embed"], "kmeans": cells, "kmeans_distance": distance, "living": np.ones(N, bool)}
    share = Semdedup().group(None, Signals(first), None, np.random.default_rng(0))[1]["semdedup"]
    assert followed("semdedup", 100).tolist() == np.argsort(share, kind="stable")[:100].tolist()
    assert np.isin(followed("semdedup", 170), np.arange(100, 160)).sum() < 10


@pytest.mark.parametrize("name", ["d4", "semdedup"])
def test_the_command(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    texts = list(dict.fromkeys(row["text"][:100] for row in examples()[:80]))[:24]
    pool = jsonl(tmp_path / "pool.jsonl", [{"text": text} for text in [*texts, *texts[:8]]])
    words = (
        "--method",
        name,
        "--model",
        "lm-nano",
        "--budget",
        "50%",
        "--out",
        tmp_path / "run",
        "-q",
        "--workers",
        "1",
    )
    answer = assay("select", pool, *words)
    assert answer.code == 0, answer.err
    lines = manifest(tmp_path / "run")
    assert told(tmp_path / "run")["counts"]["chosen"] == 16 == lines["status"].to_list().count("chosen")
    left = {reason for reason in lines["reason"].to_list() if reason and reason.startswith("where")}
    assert left == ({"where: semdedup_rank < 0.75"} if name == "d4" else set())
    assert [reason for reason in lines["reason"].to_list()].count("where: semdedup_rank < 0.75") == (
        8 if name == "d4" else 0
    )
