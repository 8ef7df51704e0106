"""The recipes that ship: well-formed, sourced, honest about what they lack, and able to run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from command import CLEANING, ROOT, STAGED, assay, examples, jsonl, manifest, told

from assay import flags, gallery, recipe

FOLDER = ROOT / "src" / "assay" / "recipes"
LANGUAGES = ROOT / "tests" / "goldens" / "fasttext" / "lid.ftz"


def tree(name: str) -> dict[str, Any]:
    return recipe.read_tree((FOLDER / f"{name}.toml").read_text("utf-8"))


def left_open(steps: list[dict[str, Any]]) -> set[str]:
    return {value[1:] for step in steps for value in step.values() if str(value).startswith("$")}


def test_the_five_are_there() -> None:
    assert CLEANING == ["c4", "ccnet", "dclm-like", "fineweb", "gopher"]


@pytest.mark.parametrize("name", CLEANING)
def test_a_recipe_names_its_sources_and_what_it_lacks(name: str) -> None:
    told = tree(name)
    assert "pool" not in told and re.fullmatch(r"[A-Z].+ \(20\d\d\): .+\.", told["about"])
    assert all(source.startswith("https://") and re.search(r"\(20\d\d\)", source) for source in told["sources"])
    assert told["lacks"] and all(": " in line for line in told["lacks"])


@pytest.mark.parametrize("name", STAGED)
def test_a_method_of_stages_is_a_recipe_that_needs_nothing_else(name: str) -> None:
    told = tree(name)
    assert "pool" not in told and re.fullmatch(r"[A-Z].+ \(20\d\d\): .+\.", told["about"])
    assert all(source.startswith("https://") and re.search(r"\(20\d\d\)", source) for source in told["sources"])
    opened = flags.tree({"pool": ["pool.jsonl"]}, {"method": name, "budget": "5%", "target": ["target.jsonl"]})
    steps = recipe.parse(opened).steps
    assert len(steps) == len(told["steps"]) and steps[-1].budget == "5%"
    assert not any(str(value).startswith("$") for step in opened["steps"] for value in step.values())


@pytest.mark.parametrize("name", CLEANING)
def test_what_is_left_open_says_what_to_give(name: str) -> None:
    steps = tree(name)["steps"]
    for step in steps:
        if left_open([step]):
            (file,) = left_open([step])
            assert f"--model {file}=" in step["lacking"]
        assert step.get("with", "") in {"", *left_open(steps)}
    closed = gallery.load(name, {})
    assert not left_open(closed["steps"])
    assert len(closed["origin"]["lacks"]) == len(tree(name)["lacks"]) + len(left_open(steps))


@pytest.mark.parametrize("name", CLEANING)
@pytest.mark.parametrize("given", [False, True])
def test_every_method_and_parameter_is_there(name: str, given: bool) -> None:
    files = {file: f"{file}.bin" for file in left_open(tree(name)["steps"])} if given else {}
    opened = recipe.parse({"pool": "pool.jsonl", **gallery.load(name, files)})
    assert opened.select is None and len(opened.steps) == len(gallery.load(name, files)["steps"])
    assert given == (opened.origin.lacks == tuple(tree(name)["lacks"]))


def test_published_numbers() -> None:
    """As the sources that the recipes name have them."""
    steps = {name: gallery.load(name, {})["steps"] for name in CLEANING}
    near = {name: next((step for step in steps[name] if step.get("group") == "minhash"), {}) for name in CLEANING}
    assert [near["fineweb"][key] for key in ("ngram", "bands", "rows")] == [5, 14, 8]
    assert [near["gopher"][key] for key in ("ngram", "verify")] == [13, 0.8]
    assert 1 - (1 - 0.8 ** near["gopher"]["rows"]) ** near["gopher"]["bands"] > 0.99
    assert [step[kind] for step in steps["fineweb"] for kind in ("filter", "group", "edit") if kind in step] == [
        "gopher_repetition", "gopher_quality", "c4", "fineweb", "minhash", "pii_mask",
    ]  # fmt: skip
    languages = {
        name: [step["where"] for step in tree(name)["steps"] if step.get("with") == "language"] for name in CLEANING
    }
    assert languages == {
        "c4": ["language = 'en' and language_probability >= 0.99"],
        "ccnet": ["language_probability >= 0.5"],
        "dclm-like": ["language = 'en' and language_probability >= 0.65"],
        "fineweb": ["language = 'en' and language_probability >= 0.65"],
        "gopher": ["language = 'en'"],
    }


def test_a_recipe_runs_with_a_model_of_languages(tmp_path: Path) -> None:
    rows = [{"id": row["id"], "text": row["text"]} for row in examples()[:200]]
    foreign = "Das Wetter ist heute schön, und wir gehen mit den Kindern an den Fluss, wo die Boote liegen. " * 4
    pool = jsonl(tmp_path / "pool.jsonl", [*rows, {"id": "foreign", "text": foreign}])
    model = ("--model", f"language={LANGUAGES}")
    answer = assay("clean", pool, "--recipe", "dclm-like", *model, "--out", tmp_path / "run", "-q", "--workers", "1")
    assert answer.code == 0, answer.err
    lacks = told(tmp_path / "run")["lacks"]
    assert lacks[-1].startswith("quality classifier: ") and not any(line.startswith("language") for line in lacks)
    assert "dclm-like lacks" in answer.out and told(tmp_path / "run")["about"]["recipe"] == "dclm-like"
    reasons = dict(manifest(tmp_path / "run").select("id", "reason").iter_rows())
    assert reasons["foreign"] == "where: language = 'en' and language_probability >= 0.65"


@pytest.mark.parametrize("name", ["d4", "fineweb"])
def test_the_command_tells_of_a_recipe_as_of_a_method(name: str) -> None:
    said = " ".join(assay("methods", name).out.split())
    assert tree(name)["about"] in said and tree(name)["sources"][0] in said
    assert ("semdedup inside = cell" in said) == (name == "d4")
    assert name in assay("methods").out
