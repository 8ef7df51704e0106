"""`assay mix` end to end: trials that are equal to the byte, a search that goes on, limits, and a selection by the answer."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import assay, jsonl, select, selected

import assay as package
from assay import mixing, mixtures
from assay.errors import RecipeError
from assay.io.trials import read_trials
from assay.types import Mixture

WORDS = {name: [f"{name}{k}" for k in range(60)] for name in ("code", "law", "web")}


def texts(name: str, count: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, *name.encode()])
    return [" ".join(rng.choice(WORDS[name], int(rng.integers(10, 30)))) for _ in range(count)]


def rows(code: int = 30, law: int = 40, web: int = 80) -> list[dict[str, Any]]:
    sizes = {"code": code, "law": law, "web": web}
    found = [{"text": text, "source": name} for name, count in sizes.items() for text in texts(name, count, 0)]
    return [found[at] for at in np.random.default_rng(0).permutation(len(found))]


POOL = rows()
HELD = [{"text": text} for text in texts("code", 14, 1) + texts("law", 7, 1)]
SMALL = ("--method", "data_mixing_law", "--tried", "10", "--units", "2kB", "--domains", "source")


def laid(folder: Path) -> Path:
    jsonl(folder / "pool.jsonl", POOL)
    jsonl(folder / "held.jsonl", HELD)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return laid(tmp_path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the search as it is, done: whoever asks for it again gets what it found."""
    folder = laid(tmp_path_factory.mktemp("mix"))
    told(folder)
    return folder


def mix(data: Path, *arguments: object, out: str = "mix", pool: str = "pool.jsonl") -> Any:
    return assay(
        "mix",
        data / pool,
        "--eval",
        data / "held.jsonl",
        "--out",
        data / out,
        "-q",
        "--workers",
        "1",
        *SMALL,
        *arguments,
    )


def told(data: Path, *arguments: object, out: str = "mix", pool: str = "pool.jsonl") -> dict[str, Any]:
    answer = mix(data, *arguments, out=out, pool=pool)
    assert answer.code == 0, answer.err
    return json.loads((data / out / "mixture.json").read_bytes())


def of(said: dict[str, Any], key: str) -> dict[str, float]:
    return {line["domain"]: line[key] for line in said["domains"]}


# --- The answer ---------------------------------------------------------------------------------------------------------


def test_a_mixture_is_found_said_and_can_be_selected_by(base: Path) -> None:
    answer = mix(base)
    assert answer.code == 0, answer.err
    said = json.loads((base / "mix" / "mixture.json").read_bytes())
    weights, share = of(said, "weight"), of(said, "share")
    assert list(weights) == ["code", "law", "web"] and abs(sum(weights.values()) - 1) < 1e-9
    assert weights["code"] > share["code"] and weights["web"] < share["web"]  # held-out text is code, and some law
    (loss,) = said["losses"]
    assert loss["name"] == "held" and loss["measured"] < loss["pool_measured"] and loss["rank_correlation"] > 0.3
    for words in ("domain", "pool", "weight", "epochs", "code", "rank correlation", said["quota"]):
        assert words in answer.out.replace("\n", " ") or words in answer.out, words
    sizes = {name: sum(len(row["text"]) for row in POOL if row["source"] == name) for name in weights}
    for name, epochs in of(said, "epochs").items():
        assert epochs == pytest.approx(weights[name] * sum(sizes.values()) / sizes[name])
    run = select(base / "mix" / "mixture.toml", "--out", base / "first")
    assert run.code == 0, run.err
    got = [json.loads(line) for line in selected(base / "first").splitlines()]
    spent = {name: sum(len(row["text"]) for row in got if row["source"] == name) for name in weights}
    for name in weights:
        assert abs(spent[name] / sum(spent.values()) - weights[name]) < 0.06, name  # whole rows
    assert sum(spent.values()) > 0.9 * sum(sizes.values()) / said["epochs"]


def test_the_printed_command_selects_the_same(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = told(base)
    monkeypatch.chdir(base)
    words = shlex.split(said["command"])
    assert words[:2] == ["assay", "select"]
    assert select(*words[2:]).code == 0 and select(base / "mix" / "mixture.toml", "--out", "again").code == 0
    assert selected(base / "run") == selected(base / "again")


def test_python_says_what_the_command_says(base: Path) -> None:
    said = told(base)
    words = {"method": "data_mixing_law", "tried": 10, "units": "2kB", "domains": "source"}
    frame = package.mix(POOL, eval=HELD, out=base / "python", **words)
    paths = package.mix(str(base / "pool.jsonl"), eval=str(base / "held.jsonl"), out=base / "paths", **words)
    assert of(frame, "weight") == of(paths, "weight") == of(said, "weight")


def test_neither_order_nor_files_nor_workers_change_an_answer(base: Path) -> None:
    said = told(base)
    moved = [POOL[at] for at in np.random.default_rng(5).permutation(len(POOL))]
    jsonl(base / "moved" / "0.jsonl", moved[:40])
    jsonl(base / "moved" / "1.jsonl", moved[40:])
    other = told(base, "--workers", "2", out="other", pool="moved")
    assert of(other, "weight") == of(said, "weight")
    assert (base / "other" / "trials.csv").read_bytes() == (base / "mix" / "trials.csv").read_bytes()


def test_another_seed_draws_other_trials(base: Path) -> None:
    told(base)
    told(base, "--seed", "1", out="seed")
    assert (base / "seed" / "trials.csv").read_bytes() != (base / "mix" / "trials.csv").read_bytes()


# --- Trials -------------------------------------------------------------------------------------------------------------


def test_every_trial_has_its_parts_and_costs_the_same_to_the_byte(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, kept = [], mixtures.conduct

    def watched(one: mixtures.Sent) -> int:
        course = one.task.course
        documents = [bytes(block.take(np.array([at])).data) for block in course.blocks() for at in range(len(block))]
        sent.append((course.arms[0].passes[0].rows, documents, course.costs))
        return kept(one)

    monkeypatch.setattr(mixtures, "conduct", watched)
    told(data)
    trials, _ = read_trials([str(data / "mix" / "trials.csv")])
    assert len(sent) == 12 and len(trials) == 10  # the answer and the pool as it is are measured beside the trials
    starts: dict[str, set[int]] = {"code": set(), "law": set(), "web": set()}
    for (read, documents, costs), spent in zip(sent, trials.spent, strict=False):
        sources = [POOL[row]["source"] for row in read.tolist()]
        assert costs == (2000,) and sum(map(len, documents)) == 2000
        for row, document in zip(read.tolist(), documents, strict=True):
            assert POOL[row]["text"].encode().startswith(document)
        for name, part in zip(trials.names, spent, strict=True):
            size = sum(len(text) for text, source in zip(documents, sources, strict=True) if source == name)
            assert size == round(part * 2000), name
            mine = [
                (row, text) for row, text in zip(read.tolist(), documents, strict=True) if POOL[row]["source"] == name
            ]
            assert sum(len(text) < len(POOL[row]["text"]) for row, text in mine) <= 1, "one row of each domain is cut"
            starts[name] |= {row for row, source in zip(read.tolist(), sources, strict=True) if source == name}
    assert len(starts["web"]) > 25, "every trial draws rows of its own"


def test_rows_of_a_domain_are_not_read_in_blocks(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders, kept = [], mixtures.conduct

    def watched(one: mixtures.Sent) -> int:
        orders.append([POOL[row]["source"] for row in one.task.course.arms[0].passes[0].rows.tolist()])
        return kept(one)

    monkeypatch.setattr(mixtures, "conduct", watched)
    told(data)
    changes = [sum(a != b for a, b in pairwise(one)) for one in orders if len(set(one)) == 3]
    assert changes and min(changes) > 2


def test_a_killed_search_goes_on_where_it_was(data: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = told(base)
    done, kept = [], mixtures.conduct

    def dying(one: mixtures.Sent) -> int:
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(one.path.name)
        return kept(one)

    monkeypatch.setattr(mixtures, "conduct", dying)
    assert mix(data).code == 130 and not (data / "mix" / "mixture.json").exists()
    before, again = list(done), []

    def counting(one: mixtures.Sent) -> int:
        again.append(one.path.name)
        return kept(one)

    monkeypatch.setattr(mixtures, "conduct", counting)
    said = told(data)
    assert len(before) == 4 and len(again) == 8 and not set(before) & set(again)
    assert of(said, "weight") == of(whole, "weight")
    told(data)
    assert len(again) == 8, "what is finished is not worked again"


def test_a_folder_of_another_request_or_of_other_things_is_refused(base: Path) -> None:
    told(base)
    assert "another request or pool" in mix(base, "--seed", "3").sentence
    (base / "full").mkdir()
    (base / "full" / "thesis.txt").write_text("mine")
    assert "must be a new folder" in mix(base, out="full").sentence


def test_held_out_text_in_the_pool_is_refused_or_left_out(data: Path) -> None:
    jsonl(data / "pool.jsonl", [*POOL, *({**row, "source": "code"} for row in HELD[:3])])
    assert "--decontaminate" in mix(data).sentence
    said = told(data, "--decontaminate")
    assert "3 rows that repeat held-out text were left out" in said["notes"]
    assert of(said, "size")["code"] == sum(len(row["text"]) for row in POOL if row["source"] == "code")


def test_too_few_trials_are_refused_before_any_is_trained(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Any] = []
    monkeypatch.setattr(mixtures, "conduct", trained.append)
    said = mix(data, "--method", "regmix", "--tried", "20").sentence
    assert "at least 50 trials" in said and "data_mixing_law" in said and not trained


# --- Limits -------------------------------------------------------------------------------------------------------------


def test_the_answer_asks_for_no_more_than_there_is(data: Path) -> None:
    size = sum(len(row["text"]) for row in POOL)
    said = told(data, "--budget", f"{2 * size}bytes", "--epochs-limit", "3")
    for line in said["domains"]:
        assert line["weight"] <= line["limit"] + 1e-9 and line["epochs"] <= 3 + 1e-6
    assert said["epochs"] == pytest.approx(3) and any("code" in note and "3 epochs" in note for note in said["notes"])
    assert select(data / "mix" / "mixture.toml", "--out", data / "run").code == 0


def test_a_budget_that_the_pool_cannot_supply_says_why(data: Path) -> None:
    sentence = mix(data, "--budget", "1MB", "--epochs-limit", "2").sentence
    assert "1,000,000 bytes" in sentence and "2 epochs" in sentence and "lower --budget" in sentence


def test_all_that_there_is_may_be_asked_for_whatever_its_parts_round_to() -> None:
    below = 0
    for count in range(2, 60):
        sizes = np.arange(1, count + 1)
        ground = mixing.Ground(tuple(map(str, sizes)), (), sizes, "bytes", int(sizes.sum()))
        below += ground.limits(1).sum() < 1
        with pytest.raises(RecipeError, match="must be supplied by the pool"):
            mixing.Ground(ground.names, (), sizes, "bytes", ground.budget + 1).limits(1)
    assert below, "parts that round to less than one in all"


def test_a_domain_with_next_to_no_bytes_is_read_no_more_often_than_allowed(data: Path) -> None:
    jsonl(data / "pool.jsonl", [*POOL, {"text": "wiki0 wiki1", "source": "wiki"}])
    said = told(data)
    wiki = next(line for line in said["domains"] if line["domain"] == "wiki")
    assert wiki["size"] == 11 and wiki["epochs"] <= 4 + 1e-6
    trials, _ = read_trials([str(data / "mix" / "trials.csv")])
    assert (trials.spent[:, trials.names.index("wiki")] * 2000 <= 44.5).all()


def test_a_small_domain_is_read_again_in_another_order(data: Path) -> None:
    jsonl(data / "pool.jsonl", rows(code=4))
    said = told(data, "--units", "6kB")
    code = next(line for line in said["domains"] if line["domain"] == "code")
    trials, _ = read_trials([str(data / "mix" / "trials.csv")])
    most = round(trials.spent[:, 0].max() * 6000)
    assert code["size"] < most <= 4 * code["size"] and any("were moved" in note for note in said["notes"])


def test_one_domain_needs_no_trials(data: Path) -> None:
    jsonl(data / "pool.jsonl", [row for row in POOL if row["source"] == "web"])
    said = told(data)
    assert of(said, "weight") == {"web": 1.0} and said["trials"] == 0 and said["quota"] == "source:web==100%"
    assert any("one domain" in note for note in said["notes"])


def test_rows_that_name_no_domain_are_left_out(data: Path) -> None:
    jsonl(data / "pool.jsonl", [*POOL, {"text": "of nobody at all"}])
    assert "1 rows name no domain and were left out" in told(data)["notes"]
    jsonl(data / "nameless.jsonl", [{"text": row["text"]} for row in POOL])
    assert (
        "--domains"
        in assay("mix", data / "nameless.jsonl", "--eval", data / "held.jsonl", "--out", data / "n", "-q").sentence
    )


def test_limits_of_domains_in_no_trial() -> None:
    ground = mixing.Ground(("a", "b"), (), np.array([10, 30]), "bytes", 20)
    assert ground.limits(2).tolist() == [1.0, 3.0]
    assert mixing.quota_of(Mixture(("a,b", "c"), np.array([0.5, 0.5]))) is None


# --- Trials that somebody has made ----------------------------------------------------------------------------------------


def made(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    spent = np.random.default_rng(0).dirichlet(np.ones(3), count)
    return spent, 1 + np.exp(spent @ np.array([[-2.0, 1.0], [0.0, -1.0], [1.0, 0.5]]))


def given(data: Path, write: Callable[[pl.DataFrame], list[Path]], *arguments: object) -> Any:
    spent, losses = made()
    table = pl.DataFrame({
        "index": np.arange(len(spent)), "code": spent[:, 0], "law": spent[:, 1], "web": spent[:, 2],
        "code_val_loss": losses[:, 0], "law_val_loss": losses[:, 1],
    })  # fmt: skip
    files = [word for path in write(table) for word in ("--trials", path)]
    return assay("mix", *files, "--method", "data_mixing_law", "--out", data / "mix", "-q", *arguments)


def test_trials_of_others_need_no_pool_and_no_training(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixtures, "conduct", None)

    def csv(table: pl.DataFrame) -> list[Path]:
        table.write_csv(data / "t.csv")
        return [data / "t.csv"]

    answer = given(data, csv, "--loss", "code_val_loss")
    assert answer.code == 0, answer.err
    said = json.loads((data / "mix" / "mixture.json").read_bytes())
    assert of(said, "weight") == {"code": 1.0, "law": 0.0, "web": 0.0} and "quota" not in said
    assert said["losses"][0]["predicted"] == pytest.approx(1 + np.exp(-2), abs=1e-3)
    assert said["losses"][0]["rank_correlation"] == pytest.approx(1)


def test_parts_and_losses_may_lie_in_two_files_and_a_pool_sets_limits(data: Path) -> None:
    def two(table: pl.DataFrame) -> list[Path]:
        table.select("index", "web", "law", "code").write_parquet(data / "mixture.parquet")
        table.select("index", "code_val_loss", "law_val_loss").sample(fraction=1, shuffle=True).write_csv(
            data / "loss.csv"
        )
        return [data / "mixture.parquet", data / "loss.csv"]

    size = sum(len(row["text"]) for row in POOL)
    answer = given(
        data, two, data / "pool.jsonl", "--loss", "code_val_loss", "--budget", f"{size}bytes", "--epochs-limit", "1.5"
    )
    assert answer.code == 0, answer.err
    said = json.loads((data / "mix" / "mixture.json").read_bytes())
    assert of(said, "weight")["code"] == pytest.approx(
        1.5 * of(said, "share")["code"]
    )  # all there is, then of the next
    assert of(said, "weight")["law"] == pytest.approx(1.5 * of(said, "share")["law"])


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (lambda t: t.with_columns(pl.col("web") + 0.5), (), "must sum to 1; those of trial 0 sum to 1.5"),
        (lambda t: t, ("--loss", "code_loss"), "no loss 'code_loss'; did you mean 'code_val_loss'?"),
        (lambda t: t.drop("code_val_loss", "law_val_loss"), (), "the parts of its mixture and a loss"),
        (
            lambda t: t.with_columns(law_val_loss=t["law_val_loss"].replace(t["law_val_loss"][3], None)),
            (),
            "trial 3 lacks",
        ),
        (lambda t: t.rename({"web": "crawl"}), ("POOL",), "mixtures of the pool's domains, code, law, web"),
    ],
)
def test_tables_that_are_no_trials_are_refused(data: Path, change: Any, arguments: tuple[str, ...], said: str) -> None:
    def csv(table: pl.DataFrame) -> list[Path]:
        change(table).write_csv(data / "t.csv")
        return [data / "t.csv"]

    words = [data / "pool.jsonl" if word == "POOL" else word for word in arguments]
    assert re.search(said, given(data, csv, *words).sentence)


def test_rounded_parts_are_scaled_to_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("trial,weight:a,weight:b,loss:x\n0,0.333,0.664,2\n1,0.5,0.503,1\n")
    trials, losses = read_trials([str(tmp_path / "t.csv")])
    np.testing.assert_allclose(trials.spent.sum(1), 1, atol=1e-12)
    assert trials.names == ("a", "b") and losses == ("x",)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --eval FILE"),
        (("--method", "regmx", "--eval", "held.jsonl"), "did you mean 'regmix'?"),
        (("--eval", "held.jsonl", "--set", "regmix.bset=5"), "regmix has no parameter 'bset'; did you mean 'best'?"),
        (("--eval", "held.jsonl", "--set", "best=5"), "regmix.PARAMETER=VALUE"),
        (("--eval", "held.jsonl", "--domains", "source", "--units", "10%"), "an amount in bytes"),
        (("--eval", "held.jsonl", "--domains", "sorce"), "no field 'sorce' ... name another with --domains"),
        (("--eval", "held.jsonl", "--units", "1MB", "--method", "data_mixing_law"), "lower --units"),
        (("--eval", "held.jsonl", "--domains", "source", "--budget", "1e6tokens"), "give --tokenizer"),
        (("--eval", "held.jsonl", "--epochs-limit", "0"), "--epochs-limit above 0"),
    ],
)
def test_mistakes_end_in_a_sentence(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(data)
    sentence = assay("mix", "pool.jsonl", "--out", "mix", "-q", "--workers", "1", *arguments).sentence
    assert all(part in sentence for part in said.split(" ... ")), sentence


# --- How far to believe it --------------------------------------------------------------------------------------------------


class Remembering:
    """A mixer that knows what it has seen and nothing else."""

    def forecast(self, trials: Any, mixtures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        known = {row.tobytes(): loss for row, loss in zip(trials.spent, trials.losses, strict=True)}
        return np.stack([known.get(row.tobytes(), trials.losses.mean(0)) for row in mixtures])


def test_agreement_is_measured_on_trials_that_were_not_learnt_from() -> None:
    rng = np.random.default_rng(0)
    trials = mixing.Trials(tuple("abc"), rng.dirichlet(np.ones(3), 60), rng.normal(size=(60, 1)))
    (agreed,) = mixing.agreement(Remembering(), trials, 0) or [1.0]
    assert agreed is not None and agreed < 0.3  # on what it has seen it would be 1
