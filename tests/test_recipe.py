"""A recipe says what flags say: the same digest, the same choice; what it cannot say is refused; the page runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import ROOT, STAGED, chosen, done, examples, jsonl, manifest, products, ranked, select, told

from assay import catalog, flags, gallery, recipe, steps
from assay.errors import RecipeError

PAGE = (ROOT / "docs" / "recipe.md").read_text("utf-8")
# A board is no recipe: it names many (tests/test_board.py).
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.toml") if not path.stem.startswith("board"))
SHIPPED = [path for path in RECIPES if '"examples/' in path.read_text("utf-8")]  # the others are for larger data


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "pool.jsonl", examples())


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


# --- Flags and recipes ------------------------------------------------------------------------------------------------

PAIRS = {
    "random": (
        ("--method", "random", "--budget", "10%", "--seed", "3"),
        'seed = 3\nsteps = [{ select = "random", budget = "10%" }]',
    ),
    "score": (
        (
            "--score-field", "meta.quality", "--rank", "zscore(meta.quality)", "--where", "bytes > 200",
            "--where", "source <> 'law'", "--budget", "40kb",
        ),
        """steps = [
            { where = "bytes > 200" },
            { where = "source <> 'law'" },
            { select = "top_k", rank = "zscore(meta.quality)", budget = "40kb" },
        ]
        [read]
        score_fields = "meta.quality"
        """,
    ),
    "gumbel": (
        (
            "--score-field", "meta.quality", "--select", "gumbel_top_k", "--set", "gumbel_top_k.temperature=2.5",
            "--quota", "source:law<=9%", "--budget", "40",
        ),
        """steps = [{ select = "gumbel_top_k", temperature = 2.5, quota = "source:law<=9%", budget = "40" }]
        [read]
        score_fields = ["meta.quality"]
        """,
    ),
    "write": (
        (
            "--method", "length", "--budget", "9", "--write", "ids", "--limit", "99", "--text-field", "id",
            "--source-field", "meta.quality",
        ),
        """steps = [{ select = "length", budget = 9 }]
        [read]
        limit = 99
        text_field = "id"
        source_field = "meta.quality"
        [write]
        rows = "ids"
        """,
    ),
    "target": (
        ("--target", "TARGET", "--set", "dsir.n=1", "--budget", "30"),
        'target = "TARGET"\nsteps = [{ score = "dsir", n = 1 }, { select = "top_k", budget = "30" }]',
    ),
}  # fmt: skip


@pytest.mark.parametrize("words, text", PAIRS.values(), ids=PAIRS)
def test_a_recipe_equals_its_flags(tmp_path: Path, pool: Path, words: tuple[str, ...], text: str):
    target = str(jsonl(tmp_path / "target.jsonl", examples()[:20]))
    done(pool, *(word.replace("TARGET", target) for word in words), "--out", tmp_path / "flags")
    made = write(tmp_path / "recipe.toml", f'pool = "{pool}"\n' + text.replace("TARGET", target))
    done(made, "--out", tmp_path / "recipe")
    assert told(tmp_path / "flags")["digest"] == told(tmp_path / "recipe")["digest"]
    assert products(tmp_path / "flags") == products(tmp_path / "recipe")


def test_flags_go_over_a_recipe(tmp_path: Path, pool: Path):
    made = write(
        tmp_path / "r.toml",
        f'pool = "{pool}"\nsteps = [{{ where = "bytes > 100" }}, {{ select = "random", budget = "5%" }}]',
    )
    done(made, "--budget", "7", "--where", "source = 'code'", "--select", "length", "--out", tmp_path / "run")
    sizes = {
        row: len(examples()[row]["text"].encode())
        for row in range(len(examples()))
        if examples()[row]["source"] == "code"
    }
    assert ranked(tmp_path / "run") == sorted(sizes, key=lambda row: (-sizes[row], row))[:7]


def test_a_recipe_goes_through_its_own_tree(pool: Path):
    tree = {
        "pool": [str(pool)], "targets": [{"path": ["a.jsonl"], "share": 0.25}, {"path": ["b.jsonl"]}], "seed": 7,
        "steps": [
            {"where": "bytes > 3"}, {"score": "dsir", "as": "d", "n": 3},
            {"select": "threshold", "at_least": 0.5, "budget": "10%"},
        ],
        "read": {"max_line": 100}, "write": {"rows": "ids"}, "verify": {"eval": ["e.jsonl"]},
    }  # fmt: skip
    made = recipe.parse(tree)
    assert recipe.parse(json.loads(json.dumps(recipe.to_tree(made)))) == made
    assert recipe.parse({**tree, "verify": {}}).digest == made.digest
    for key, value in (("seed", 8), ("pool", ["x.jsonl"]), ("write", {}), ("read", {})):
        assert recipe.parse({**tree, key: value}).digest != made.digest


def test_the_digest_does_not_depend_on_the_order_of_keys():
    one = recipe.parse({"pool": "p", "seed": 1, "steps": [{"select": "threshold", "at_least": 1.0, "budget": "5"}]})
    two = recipe.parse({"steps": [{"budget": "5", "at_least": 1.0, "select": "threshold"}], "seed": 1, "pool": "p"})
    assert one.digest == two.digest


# --- What is refused --------------------------------------------------------------------------------------------------

SELECT: dict[str, Any] = {"select": "random", "budget": "5"}


@pytest.mark.parametrize(
    "tree, words",
    [
        ({"pool": "p", "stepps": [SELECT]}, "no key 'stepps'; did you mean 'steps'?"),
        ({"steps": [SELECT]}, "must name its pool"),
        ({"pool": 3, "steps": [SELECT]}, "pool must be a path"),
        ({"pool": [], "steps": [SELECT]}, "pool must be a path"),
        ({"pool": "p"}, "must have steps"),
        ({"pool": "p", "steps": [SELECT, {"where": "bytes > 1"}]}, "must end with its one select step"),
        ({"pool": "p", "steps": [SELECT, SELECT]}, "must end with its one select step"),
        ({"pool": "p", "steps": [{"slect": "random"}]}, "did you mean 'select'?"),
        ({"pool": "p", "steps": [{"select": "random", "score": "dsir"}]}, "exactly one of"),
        ({"pool": "p", "steps": [{"select": "radnom", "budget": "5"}]}, "did you mean 'random'?"),
        ({"pool": "p", "steps": [{"select": "random", "budgte": "5"}]}, "no parameter 'budgte'"),
        ({"pool": "p", "steps": [{"select": "random"}]}, "must have a budget"),
        ({"pool": "p", "steps": [{"select": "random", "budget": "1e3tokens"}]}, "--tokenizer"),
        ({"pool": "p", "steps": [{"where": "bytes > 1", "as": "x"}, SELECT]}, "no key 'as'"),
        ({"pool": "p", "steps": [{"score": "dsir"}, SELECT]}, "dsir needs a target"),
        ({"pool": "p", "target": "t", "steps": [{"score": "dsir", "budget": "5"}, SELECT]}, "belong to a select step"),
        ({"pool": "p", "target": "t", "steps": [{"score": "dsir"}, {"score": "dsir"}, SELECT]}, 'with as = "..."'),
        ({"pool": "p", "target": "t", "steps": [{"score": "dsir", "bukets": 5}, SELECT]}, "did you mean 'buckets'?"),
        ({"pool": "p", "target": "t", "targets": [{"path": "t"}], "steps": [SELECT]}, "either target or targets"),
        ({"pool": "p", "targets": [{"path": "t", "share": 0}], "steps": [SELECT]}, "share must be above 0"),
        ({"pool": "p", "targets": [{"path": "t", "weight": 1}], "steps": [SELECT]}, "no key 'weight'"),
        ({"pool": "p", "targets": [{"path": "a/t"}, {"path": "b/t"}], "steps": [SELECT]}, "targets are called 't'"),
        ({"pool": "p", "steps": [SELECT], "seed": "x"}, "seed must be a whole number; got 'x'"),
        ({"pool": "p", "steps": [SELECT], "read": {"txt_field": "x"}}, "did you mean 'text_field'?"),
        ({"pool": "p", "steps": [SELECT], "read": {"limit": "ten"}}, "read: limit must be"),
        ({"pool": "p", "steps": [SELECT], "read": "text"}, "read must be a table; got 'text'"),
        ({"pool": "p", "steps": [SELECT], "write": {"rows": "all"}}, "rows must be one of rows, ids, none; got 'all'"),
        ({"pool": "p", "steps": [SELECT], "verify": {"evl": "x"}}, "did you mean 'eval'?"),
        ({"pool": "p", "steps": "random"}, "steps must be a list"),
        ({"pool": "p", "steps": ["random"]}, "a step must"),
        ({"pool": "p", "steps": [{"select": 3, "budget": "5"}]}, "select must be the name of a method; got 3"),
        ({"pool": "p", "steps": [{"where": 3}, SELECT]}, "where must be an expression; got 3"),
        ({"pool": "p", "target": "t", "steps": [{"score": "dsir", "as": "../../x"}, SELECT]}, "got '../../x'"),
        ({"pool": "p", "target": "t", "steps": [{"score": "dsir", "as": "bytes"}, SELECT]}, "are taken; got 'bytes'"),
        ({"pool": "p", "steps": [SELECT], "read": {"score_fields": ["bytes"]}}, "are taken; got 'bytes'"),
        ({"pool": "p", "steps": [SELECT], "tokenizer": 3}, "tokenizer must be"),
    ],
)  # fmt: skip
def test_what_a_recipe_cannot_say_is_refused_by_name(tree: dict[str, Any], words: str):
    with pytest.raises(RecipeError) as refusal:
        recipe.parse(tree)
    assert words in str(refusal.value), refusal.value


def test_a_recipe_that_is_no_toml_or_not_there(tmp_path: Path):
    assert "is not TOML" in select(write(tmp_path / "bad.toml", "pool = "), "--out", tmp_path / "run").sentence
    assert "none.toml" in select(tmp_path / "none.toml", "--out", tmp_path / "run").sentence


def test_steps_of_flags_and_their_settings():
    base = {"pool": ["p"]}
    made = flags.tree(
        base,
        {
            "method": "dsir",
            "target": ["t"],
            "budget": "5",
            "select": "threshold",
            "set": ["dsir.n=3", "threshold.at_least=-1e2", "dsir.length=sum"],
        },
    )
    assert made["steps"] == [
        {"score": "dsir", "n": 3, "length": "sum"},
        {"select": "threshold", "budget": "5", "at_least": -100.0},
    ]
    with pytest.raises(RecipeError, match="--set must look like"):
        flags.tree(base, {"method": "random", "set": ["length.first=shortest"]})
    for name in set(catalog.methods("select")) - set(STAGED):
        assert flags.tree(base, {"method": name})["steps"] == [{"select": name}]


def test_a_parameter_may_be_called_as_a_kind():
    assert steps.parse_step({"score": "dsir", "sample": 400}).parameters == {"sample": 400}


# --- What is shipped, runs --------------------------------------------------------------------------------------------


def test_the_recipe_of_the_page_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    done(
        write(tmp_path / "recipe.toml", text), "--limit", "4000", "--out", tmp_path / "run"
    )  # a flag over it: a faster test
    lines, facts = manifest(tmp_path / "run"), told(tmp_path / "run")
    kept = lines.filter(pl.col("status") == "chosen")
    shares = {source: rows / len(kept) for source, rows in kept.group_by("source").len().iter_rows()}
    assert len(kept) == facts["budget"]["limit"] == int(0.05 * len(lines))
    assert shares["abstracts"] >= 0.3 and shares.get("medicine", 0) <= 0.2
    assert kept["bytes"].is_between(200, 20_000).all() and set(facts["signals"]) == {"dsir", "words"}
    assert (tmp_path / "run/selected/pool.jsonl.zst").exists()
    verdict = json.loads((tmp_path / "run/verdict.json").read_bytes())
    assert verdict["answer"] == "better"


def test_the_page_names_every_key_and_only_those():
    named = set(re.findall(r"`(?:read|write|verify)?\.(\w+)`", PAGE)) | set(
        re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    )
    known = {*recipe.Read.__struct_fields__, *recipe.Write.__struct_fields__, *recipe.Verify.__struct_fields__}
    assert named == known | {"pool", "target", "targets", "steps", "seed", "tokenizer"}


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_shipped_recipe_names_methods_and_parameters_that_are_there(path: Path):
    opened = recipe.parse(gallery.close(recipe.read_tree(path.read_text("utf-8")), {}))
    for step in opened.steps:
        for kind, name, parameters in step.methods():
            assert isinstance(catalog.build(kind, name, dict(parameters)), catalog.load(kind, name))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_recipe_runs_on_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path):
    monkeypatch.chdir(ROOT)
    tree = recipe.read_tree(path.read_text("utf-8"))
    text = path.read_text("utf-8").partition("[verify]")[0]
    done(write(tmp_path / path.name, text), "--limit", "1500", "--out", tmp_path / "run")
    facts = told(tmp_path / "run")
    assert facts["budget"]["spent"] > 0.95 * facts["budget"]["limit"]
    kept = manifest(tmp_path / "run").filter(pl.col("status") == "chosen")
    share = kept.filter(pl.col("source") == "abstracts")["bytes"].sum() / kept["bytes"].sum()
    assert ("target" in tree) == (share > 0.3)
    assert len(chosen(tmp_path / "run")) == len(kept)
