"""What is learnt, end to end through the command: ratings asked for and distilled, models read, names of two kinds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import ROOT, Answer, assay, done, jsonl, manifest, packed, told, unpacked
from test_rate import said, serving

from assay.models import arpa, ngram
from assay.models.ngram import NGramConfig
from assay.types import Texts

GOLDENS = ROOT / "tests" / "goldens" / "fasttext"


@cache
def lines() -> list[bytes]:
    return unpacked(ROOT / "examples/data/pool.jsonl.zst").splitlines()[:4000]


def rows(count: int) -> list[dict[str, Any]]:
    """Real text of eleven sources; a third of the rows rated by how many different words they have."""
    found = [json.loads(one) for one in lines()[:count]]
    for number, row in enumerate(found):
        row["metadata"] = ({"edu_score": rating(row["text"])}, {"edu_score": None}, {})[number % 3]
    return found


def rating(text: str) -> float:
    return float(min(5, len(set(text.split())) // 40))


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "pool.jsonl", rows(600))


def clean(out: Path, *arguments: object) -> Path:
    answer = cleaned(out, *arguments)
    assert answer.code == 0, answer.err
    return out


def cleaned(out: Path, *arguments: object) -> Answer:
    return assay("clean", *arguments, "--out", out, "-q", "--workers", "1")


def recipe(path: Path, *steps: str) -> Path:
    return packed(path, f"steps = [\n  {', '.join(steps)}\n]\n".encode())


def source(name: str, some: int = 60) -> list[dict[str, str]]:
    return [{"text": row["text"]} for row in rows(4000) if row["source"] == name][:some]


def test_ratings_are_asked_for_then_distilled_then_cut_by(tmp_path: Path, pool: Path):
    def answer(times: int, prompt: str) -> tuple[int, dict[str, str], Any]:
        text = prompt.removeprefix("Rate.\n\n").removesuffix("\n")
        return said("I would rather not." if len(text) % 10 == 0 else f"Score: {rating(text):.0f}")

    prompt, out = packed(tmp_path / "prompt.txt", b"Rate.\n\n{text}\n"), tmp_path / "ratings"
    with serving(answer) as server:
        ask = (
            "rate",
            pool,
            "--prompt",
            prompt,
            "--endpoint",
            server.url,
            "--model",
            "m",
            "--rows",
            200,
            "--out",
            out,
            "-q",
        )
        dry = assay(*ask, "--dry-run")
        assert dry.code == 0 and "200 questions" in dry.out and not (out / "ratings.jsonl").exists()
        assert "give --yes" in assay(*ask).err and not server.asked
        first = assay(*ask, "--yes")
        failed = first.out.count("rows have no rating") and int(first.out.split(" rows have no rating")[0].split()[-1])
        assert first.code == 1 and 0 < failed < 60 and "no rating in the reply" in first.out
        asked = server.asked.total()
        assert assay(*ask, "--yes").code == 1 and server.asked.total() == asked + failed
    mine = recipe(
        tmp_path / "mine.toml",
        f'{{ score = "distill_ratings", target = "{out}/ratings.jsonl", as = "edu" }}',
        '{ where = "edu > 1.5" }',
    )
    run = clean(tmp_path / "run", pool, "--recipe", mine)
    assert told(run)["fits"]["edu"]["rated"] == 200 - failed and told(run)["fits"]["edu"]["rank_correlation"] > 0.5
    shown = assay("report", run, "-q")
    assert "rank correlation" in " ".join(shown.out.split()) and "rank correlation" in (run / "report.html").read_text()
    kept = [rating(row["text"]) for row in map(json.loads, (run / "selected/pool.jsonl").read_bytes().splitlines())]
    assert np.mean(kept) > np.mean([rating(row["text"]) for row in rows(600)]) + 0.3
    row = manifest(run).filter(pl.col("status") != "kept")["row"][0]
    assert "this does not hold of it: edu > 1.5" in " ".join(assay("why", run, row).out.split())


def test_ratings_of_some_rows_of_the_pool_or_of_the_target(tmp_path: Path, pool: Path):
    step = '{ score = "distill_ratings", rating = "metadata.edu_score", as = "edu" }'
    mine = recipe(tmp_path / "mine.toml", step, '{ where = "edu > 1.5" }')
    notes = told(clean(tmp_path / "run", pool, "--recipe", mine))["fits"]["edu"]
    assert notes["rated"] == 200
    missing = cleaned(tmp_path / "none", pool, "--recipe", mine, "--set", "edu.rating=metadata.edu_scor").sentence
    assert "'metadata.edu_scor'; got none" in missing
    given = [{"text": row["text"], "rating": rating(row["text"])} for row in rows(600)[::4]]
    rated = jsonl(tmp_path / "rated.jsonl", given)
    done(pool, "--target", rated, "--method", "distill_ratings", "--budget", "10%", "--out", tmp_path / "target")
    assert told(tmp_path / "target")["fits"]["distill_ratings"]["rated"] == 150
    # A target for another step, without ratings: the ratings of the pool are what is left to learn from.
    both = recipe(
        tmp_path / "both.toml", step, '{ score = "dsir" }', '{ select = "top_k", rank = "zscore(dsir) + edu" }'
    )
    jsonl(tmp_path / "t.jsonl", source("medicine"))
    done(pool, "--recipe", both, "--target", tmp_path / "t.jsonl", "--budget", "5%", "--out", tmp_path / "both")
    assert told(tmp_path / "both")["fits"]["edu"]["rated"] == 200


def test_a_classifier_in_a_recipe_decides_which_copy_stays(tmp_path: Path, pool: Path):
    jsonl(tmp_path / "good.jsonl", source("medicine"))
    jsonl(tmp_path / "bad.jsonl", source("dialogues"))
    mine = recipe(
        tmp_path / "mine.toml",
        f'{{ score = "quality_classifier", target = "{tmp_path}/good.jsonl", against = "{tmp_path}/bad.jsonl" }}',
        '{ where = "percent_rank(quality_classifier) >= 0.5" }',
        '{ group = "minhash", keep = "best:quality_classifier" }',
    )
    run = clean(tmp_path / "run", pool, "--recipe", mine, "--set", "quality_classifier.word_ngrams=1")
    assert told(run)["recipe"]["steps"][0]["word_ngrams"] == 1
    left = dict(manifest(run).filter(pl.col("status") == "kept")["source"].value_counts().iter_rows())
    assert left["medicine"] > 80 and left.get("dialogues", 0) == 0
    assert told(run)["fits"]["quality_classifier"]["auc"] > 0.9


def test_recipes_with_their_model_files(tmp_path: Path, pool: Path):
    language, quality = f"language={GOLDENS}/lid.ftz", f"quality={GOLDENS}/softmax.bin"
    run = clean(tmp_path / "dclm", pool, "--recipe", "dclm-like", "--model", language, "--model", quality)
    lacks = " ".join(told(run)["lacks"])
    assert "language identification" not in lacks and "quality classifier" not in lacks
    assert "where: quality >= 0.018112" in set(manifest(run)["reason"]) and 0 < told(run)["counts"]["kept"] < 600
    wrong = cleaned(tmp_path / "wrong", pool, "--recipe", "fineweb", "--model", f"language={pool}").sentence
    assert "must be a supervised fastText model" in wrong


@pytest.fixture
def wikipedia(tmp_path: Path) -> Path:
    """A model of bytes: it knows no word, so that a text costs as much as it has words on a line."""
    text = Texts.of([row["text"] for row in source("encyclopaedia", 10)])
    with (tmp_path / "en.arpa").open("w") as file:
        arpa.write(ngram.train([text], NGramConfig(order=2, boundaries=1)), file, arpa.byte_names())
    return tmp_path / "en.arpa"


def test_small_perplexity_is_good(tmp_path: Path, pool: Path, wikipedia: Path):
    run = clean(tmp_path / "ccnet", pool, "--recipe", "ccnet", "--model", f"wikipedia={wikipedia}")
    assert "perplexity" not in " ".join(told(run)["lacks"]) and 0 < told(run)["counts"]["kept"] < 400
    done(pool, "--method", "kenlm", "--set", f"kenlm.model={wikipedia}", "--budget", "10%", "--out", tmp_path / "run")
    assert told(tmp_path / "run")["rank_by"] == "-kenlm"
    assert manifest(tmp_path / "run")["score"].drop_nulls().drop_nans().max() < 0


def test_the_toxic_are_not_what_is_chosen(tmp_path: Path, pool: Path):
    toxic = jsonl(tmp_path / "toxic.jsonl", source("dialogues"))
    done(pool, "--method", "toxicity", "--target", toxic, "--budget", "10%", "--out", tmp_path / "run")
    chosen = manifest(tmp_path / "run").filter(pl.col("status") == "chosen")
    assert not chosen["source"].str.contains("dialogues").any()


@pytest.mark.parametrize(
    "words",
    [
        ("--method", "perplexity", "--target", "good.jsonl"),
        ("--method", "quality_classifier", "--target", "good.jsonl=70%", "--target", "bad.jsonl=30%"),
        ("--method", "fasttext", "--set", f"fasttext.model={GOLDENS}/softmax.bin", "--set", "fasttext.label=hq"),
    ],
    ids=lambda words: words[1],
)
def test_a_verdict_says_what_choice_and_judge_share(tmp_path: Path, pool: Path, monkeypatch, words: tuple[str, ...]):
    monkeypatch.chdir(tmp_path)
    for name, of in (("good", "medicine"), ("bad", "dialogues")):
        jsonl(tmp_path / f"{name}.jsonl", source(of))
    done(pool, *words, "--budget", "20%bytes", "--out", "run")
    held = jsonl(tmp_path / "held.jsonl", [{"text": row["text"]} for row in rows(700)[640:]])
    answer = assay("verify", "run", "--eval", held, "--seeds", 3, "--decontaminate", "--workers", 1, "-q")
    verdict = json.loads(Path("run/verdict.json").read_text())
    assert answer.code == 0 and verdict["shares_features"] and verdict["selector"]["name"] == words[1], answer.err
    assert "share features" in " ".join(answer.out.split())


def test_a_name_of_two_kinds(tmp_path: Path, pool: Path):
    for name in ("pii", "word_list"):
        shown = assay("methods", name)
        assert shown.code == 0 and f"{name} annotate" in shown.out and f"{name} filter" in shown.out
    words = packed(tmp_path / "words.txt", b"# mine\njar\nblood pressure\n")
    mine = recipe(
        tmp_path / "mine.toml",
        '{ annotate = "pii" }',
        f'{{ annotate = "word_list", words = "{words}" }}',
        '{ filter = "pii" }',
        f'{{ filter = "word_list", words = "{words}" }}',
    )
    run = clean(tmp_path / "run", pool, "--recipe", mine, "--set", "pii.cards=2", "--set", f"word_list.words={words}")
    steps = told(run)["recipe"]["steps"]
    assert [step.get("cards") for step in steps] == [None, None, 2, None]
    listed = manifest(run).filter(pl.col("reason").str.contains("listed word"))
    assert len(listed) > 0 and listed["reason"].str.contains("jar|blood pressure").all()
    again = clean(tmp_path / "again", run, "--set", "word_list.at_most=inf")
    assert told(again)["counts"]["kept"] == told(run)["counts"]["kept"] + len(listed)
    assert "did you mean 'at_most'" in cleaned(tmp_path / "no", run, "--set", "word_list.atmost=2").sentence


def test_every_method_says_what_its_parameters_mean():
    listed = assay("methods").out
    for kind in ("annotate", "filter", "score", "group", "select", "edit"):
        for path in sorted((ROOT / "src/assay" / kind).glob("[a-z]*.py")):
            shown = assay("methods", path.stem)
            assert shown.code == 0 and path.stem in listed and "http" in shown.out, path.stem
    classifier = " ".join(assay("methods", "quality_classifier").out.split())
    assert "`word_ngrams` is the longest n-gram in words" in classifier and ">>>" not in classifier


def test_a_cleaning_that_kept_nothing_is_no_pool(tmp_path: Path, pool: Path):
    run = clean(tmp_path / "run", pool, "--where", "bytes > 1000000000")
    answer = assay("select", run, "--method", "random", "--budget", "10%", "--out", tmp_path / "s")
    assert "kept none" in answer.sentence
