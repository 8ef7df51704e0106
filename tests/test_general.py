"""The general share of a choice: what is drawn, in which order, how it is told, and with what it goes together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command import (
    account_holds,
    assay,
    chosen,
    done,
    examples,
    jsonl,
    manifest,
    products,
    ranked,
    select,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import assay as house
from assay import recipe
from assay.decide import decide, limit_for
from assay.errors import RecipeError
from assay.general import WHOLE, Draw, parse_share
from assay.general import select as beside
from assay.kernels.shares import reference, side_by_side
from assay.runs import Run
from assay.select.top_k import TopK
from assay.steps import Step, parse_step, to_tree
from assay.types import Budget, Groups, Limit, Selection, Signals

# --- The order --------------------------------------------------------------------------------------------------------

orders = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed))


@given(
    rng=orders, share=st.sampled_from([1, 1000, 2000, 3333, 5000, 9000]), unit=st.booleans(), amount=st.integers(0, 90)
)
@settings(max_examples=200, deadline=None)
def test_the_kernel_is_its_reference(rng: np.random.Generator, share: int, unit: bool, amount: int):
    n = 14
    cost = np.ones(n, np.int64) if unit else rng.integers(0, 12, n)
    first = rng.permutation(n)[: rng.integers(0, n + 1)]
    drawn = rng.permutation(n)[: rng.integers(0, n + 1)]
    order, sides, _ = side_by_side(first, drawn, cost, share, amount)
    assert order.tolist() == reference(first.tolist(), drawn.tolist(), cost.tolist(), share, amount)
    assert cost[order].sum() <= amount and len(set(order.tolist())) == len(order)
    assert set(np.flatnonzero(sides).tolist()) == set(order.tolist())


@given(rng=orders, percent=st.integers(1, 99), amount=st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_rows_are_the_best_within_their_share_and_the_luckiest_of_the_rest(
    rng: np.random.Generator, percent: int, amount: int
):
    first, drawn = rng.permutation(40), rng.permutation(40)
    order, sides, _ = side_by_side(first, drawn, np.ones(40, np.int64), percent * 100, amount)
    best, lucky = int((sides == 2).sum()), int((sides == 1).sum())
    assert len(order) == amount == best + lucky
    assert set(np.flatnonzero(sides == 2).tolist()) == set(first[:best].tolist())
    assert np.flatnonzero(sides == 1).tolist() == sorted([row for row in drawn if row not in first[:best]][:lucky])
    if best < 40 and lucky < 40 - best:  # while neither side ran out, each has its share to less than a row
        assert abs(lucky - amount * percent / 100) < 1


@given(rng=orders, percent=st.integers(1, 99), small=st.integers(0, 60), more=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_a_smaller_budget_is_a_prefix_in_rows_and_in_bytes(
    rng: np.random.Generator, percent: int, small: int, more: int
):
    score, cost = rng.normal(size=20), rng.integers(0, 9, 20)
    draw = Draw(parse_share(f"{percent}%"), rng.random(20), np.ones(20, bool))

    def method(within: Limit) -> Selection:
        return TopK().select(Signals({"score": score}), None, within, rng)

    large = beside(draw, method, Limit(small + more, "bytes", cost))
    prefix = Limit(small, "bytes", cost).prefix(large.rows)
    assert beside(draw, method, Limit(small, "bytes", cost)).rows.tolist() == prefix.tolist()
    assert large.nested and len(large.rows) == len(large.gains) == len(large.weights)


def test_the_share_of_a_method_that_ends_early_is_of_what_it_chose():
    signals = Signals({"s": np.arange(100.0), "row_hash": np.arange(100, dtype=np.uint64), "bytes": np.full(100, 9)})
    made = choose("20%", "100", Step("select", "threshold", "threshold", {"at_least": 92.0}, rank="s"), signals)
    assert len(made.selection) == 10 and len(made.selection.general) == 2
    assert set(range(92, 100)) <= set(made.selection.rows.tolist())
    assert any("comes to 10" in note for note in made.notes) and any("2 of 10 examples" in note for note in made.notes)


def test_a_method_that_is_not_nested_gets_its_own_part_of_the_budget():
    asked: list[int] = []

    def method(within: Limit) -> Selection:
        asked.append(within.amount)
        rows = np.arange(within.amount)[::-1]
        return Selection.ranked(rows, rows, nested=False)

    draw = Draw(parse_share("30%"), np.linspace(0.9, 0.1, 20), np.ones(20, bool))
    made = beside(draw, method, Limit(10, "examples", np.ones(20, np.int64)))
    assert asked == [11, 7] and not made.nested
    assert sorted(made.rows.tolist()) == [*range(7), 17, 18, 19] and sorted(made.general.tolist()) == [17, 18, 19]


def test_the_draw_is_uniform_over_what_the_method_left():
    counts = np.zeros(50)
    for seed in range(400):
        signals = Signals({"s": -np.arange(50.0), "row_hash": np.arange(50, dtype=np.uint64), "bytes": np.full(50, 1)})
        counts[choose("50%", "20", signals=signals, seed=seed).selection.general] += 1
    assert not counts[:10].any() and counts.sum() == 4000
    assert abs(counts[10:] - 100).max() < 5 * (400 * 0.25 * 0.75) ** 0.5  # binomial, five standard deviations


# --- Decisions --------------------------------------------------------------------------------------------------------

GROUPS = Groups(np.arange(60) % 3, ("web", "code", "law"))
SIGNALS = Signals({
    "s": np.random.default_rng(5).permutation(60).astype(float), "row_hash": np.arange(60, dtype=np.uint64),
    "bytes": np.random.default_rng(6).integers(1, 50, 60),
})  # fmt: skip


def choose(
    share: str | None,
    budget: str,
    step: Step | None = None,
    signals: Signals = SIGNALS,
    alive: np.ndarray | None = None,
    quota: str | None = None,
    seed: int = 0,
):
    step = step or Step("select", "top_k", "top_k", {}, rank="s")
    asked = {**to_tree(step), **({"general": share} if share else {}), **({"quota": quota} if quota else {})}
    alive = np.ones(len(signals), bool) if alive is None else alive
    groups = GROUPS if len(signals) == 60 else None
    limit = limit_for(Budget.parse(budget), signals, alive)
    return decide(parse_step(asked), signals, groups, alive, limit, (), (), seed)


def test_no_share_and_a_share_of_nothing_are_the_plain_choice():
    plain, none = choose(None, "20").selection, choose("0%", "20").selection
    assert plain.rows.tolist() == none.rows.tolist() and not len(none.general)


def test_dead_rows_and_rows_without_a_score_are_never_drawn():
    score = np.where(np.arange(60) % 4 == 1, np.nan, SIGNALS["s"])
    alive = np.arange(60) % 4 != 0
    made = choose("60%", "25", signals=SIGNALS.adding("s", score), alive=alive).selection
    assert len(made) == 25 and set(made.rows % 4) == {2, 3}


def test_a_quota_bounds_the_whole_choice_with_its_general_rows():
    for quota, budget in (("source:web<=20%", "30"), ("source:law==50%,code>=10%", "500B")):
        made = choose("40%", budget, quota=quota)
        chosen, cost = made.selection, made.limit.cost
        spent = np.bincount(GROUPS.ids[chosen.rows], cost[chosen.rows], 3) / made.limit.amount
        assert len(set(chosen.rows.tolist())) == len(chosen) and cost[chosen.rows].sum() <= made.limit.amount
        assert np.isin(chosen.general, chosen.rows).all() and not chosen.nested
        assert cost[chosen.general].sum() / made.limit.amount == pytest.approx(0.4, abs=0.11)
        assert spent[0] <= 0.2 if "web" in quota else 0.35 < spent[2] <= 0.5
        method = np.setdiff1d(chosen.rows, chosen.general)
        assert SIGNALS["s"][method].mean() > SIGNALS["s"][chosen.general].mean()


def test_a_replay_share_comes_from_its_source():
    made = choose("source:law=30%", "20").selection
    assert len(made.general) == 6 and set(GROUPS.ids[made.general]) == {2}
    everything = choose("source:law=90%", "20").selection
    assert len(everything.general) == 18 and len(everything) == 20


def test_a_general_row_stands_at_its_place_in_the_order_of_choice():
    made = choose("50%", "20").selection
    assert set(made.rows[1::2].tolist()) != set(made.rows[::2].tolist()) and made.nested
    for k in (4, 10, 16):
        assert np.isin(made.rows[:k], made.general).sum() <= k / 2 + 1
    assert np.isfinite(made.gains).all() and (made.weights == 1).all()


@pytest.mark.parametrize(
    "given, said",
    [
        ({"general": "120%"}, "from 0% to under 100%"),
        ({"general": "-5%"}, "from 0% to under 100%"),
        ({"general": 0.2}, "got '0.2'"),
        ({"general": "wiki=20%"}, 'such as 20% or "source:wiki=20%"'),
        ({"general": "source:law=80%"}, r"needs 48 examples that .* has only \d+ left; lower the share or the budget"),
        ({"general": "source:wiki=20%"}, "a source 'wiki' that the pool does not have; there are: code, law, web"),
        ({"general": "source:law=20%", "quota": "source:web<=50%"}, "put law>=20% into it instead"),
    ],
)
def test_a_share_that_cannot_be_is_refused_in_a_sentence(given: dict, said: str):
    tree = {"pool": "p.jsonl", "steps": [{"select": "top_k", "rank": "s", "budget": "60", **given}]}
    alive = np.ones(60, bool)
    with pytest.raises(RecipeError, match=said):
        step = recipe.parse(tree).select
        assert step is not None
        decide(step, SIGNALS, GROUPS, alive, limit_for(Budget.parse("60"), SIGNALS, alive), (), (), 0)


def test_a_source_is_needed_for_a_replay():
    signals = Signals({"s": np.arange(9.0), "row_hash": np.arange(9, dtype=np.uint64), "bytes": np.full(9, 1)})
    with pytest.raises(RecipeError, match="name its field with --source-field"):
        choose("source:law=20%", "5", signals=signals)


def test_only_a_selection_has_a_general_share():
    with pytest.raises(RecipeError, match="belong to a select step"):
        parse_step({"score": "dsir", "general": "20%"})
    step = parse_step({"select": "top_k", "budget": "9", "general": "20%"})
    assert parse_step(to_tree(step)) == step and step.share is not None and step.share.parts == 0.2 * WHOLE


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("general")
    pool = jsonl(folder / "pool.jsonl", examples())
    done(
        pool,
        "--method",
        "length",
        "--budget",
        "20%",
        "--general",
        "25%",
        "--source-field",
        "source",
        "-o",
        folder / "run",
    )
    return folder / "run"


def test_the_manifest_marks_what_was_drawn(run: Path):
    account_holds(run, len(examples()))
    lines = manifest(run)
    kept = lines.filter(pl.col("reason") == "general")
    assert set(kept["status"]) == {"chosen"}
    facts = told(run)
    assert facts["general"] == {"asked": "25%", "rows": len(kept), "spent": len(kept), "unit": "examples"}
    assert (
        abs(len(kept) - 0.25 * facts["counts"]["chosen"]) < 1 and facts["budget"]["spent"] == facts["budget"]["limit"]
    )
    method = lines.filter((pl.col("status") == "chosen") & (pl.col("reason") == ""))
    rest = lines.filter(pl.col("status") == "not_chosen")
    assert method["bytes"].min() >= rest["bytes"].max() and kept["bytes"].min() < method["bytes"].min()


def test_why_says_that_a_row_was_drawn(run: Path):
    lines = manifest(run)
    (drawn, rank) = lines.filter(pl.col("reason") == "general").select("row", "rank").row(0)
    (taken,) = lines.filter((pl.col("status") == "chosen") & (pl.col("reason") == "")).select("row").row(0)
    count = told(run)["counts"]["chosen"]
    assert Run(run).why(drawn)["sentence"] == f"Chosen, as part of the 25 % kept general, number {rank} of {count}."
    assert Run(run).why(taken)["sentence"].startswith("Chosen, as number ")
    left = lines.filter(pl.col("status") == "not_chosen")["row"][0]
    assert "was spent on better ones and on the 25 % kept general." in Run(run).why(left)["sentence"]
    shown = " ".join(assay("why", run, drawn).out.split())
    assert "part of the 25 % kept general" in shown


def test_upto_is_what_a_smaller_budget_would_choose(run: Path, tmp_path: Path):
    done(run, "--budget", "9%", "--out", tmp_path / "small")
    assert Run(run).upto("9%")["row"].to_list() == ranked(tmp_path / "small")
    assert told(tmp_path / "small")["general"]["asked"] == "25%"


def test_another_share_on_a_finished_run_reads_no_text(run: Path, tmp_path: Path):
    done(run, "--general", "50%", "--out", tmp_path / "half")
    done(run, "--general", "0%", "--out", tmp_path / "none")
    assert sum(stage["bytes"] for stage in told(tmp_path / "half")["stages"] if stage["stage"] != "write") == 0
    plain = manifest(tmp_path / "none").filter(pl.col("status") == "chosen")
    assert set(plain["reason"]) == {""} and told(tmp_path / "none")["general"] is None
    first, half = set(chosen(run)), set(chosen(tmp_path / "half"))
    assert first != half and len(first) == len(half)


def test_neither_workers_nor_layout_change_what_is_drawn(run: Path, tmp_path: Path):
    rows = examples()
    how = ("--method", "length", "--budget", "20%", "--general", "25%", "--source-field", "source")
    parts = tmp_path / "parts"
    for part, start in enumerate(range(0, len(rows), 100)):
        jsonl(parts / f"{part}.jsonl", rows[start : start + 100])
    done(parts, *how, "-o", tmp_path / "parted", "--workers", "2")
    assert manifest(tmp_path / "parted").drop("shard").equals(manifest(run).drop("shard"))
    pool = run.parent / "pool.jsonl"
    done(pool, *how, "-o", tmp_path / "again", "--workers", "2")
    assert products(tmp_path / "again") == products(run)


def test_a_recipe_and_python_say_the_same(run: Path, tmp_path: Path):
    written = tmp_path / "recipe.toml"
    pool = run.parent / "pool.jsonl"
    written.write_text(
        f'pool = "{pool}"\nsteps = [{{ select = "length", budget = "20%", general = "25%" }}]\n'
        '[read]\nsource_field = "source"\n'
    )
    done(written, "-o", tmp_path / "toml")
    assert chosen(tmp_path / "toml") == chosen(run)
    made = house.select(str(pool), method="length", budget="20%", general="25%", out=tmp_path / "python")
    assert sorted(made.selected["row"]) == chosen(run)


def test_an_edited_general_row_says_both(run: Path, tmp_path: Path):
    pool = run.parent / "pool.jsonl"
    written = tmp_path / "recipe.toml"
    written.write_text(
        f'pool = "{pool}"\nsteps = [{{ edit = "c4_lines" }}, {{ select = "random", budget = "40%", general = "50%" }}]\n'
    )
    done(written, "-o", tmp_path / "run")
    reasons = manifest(tmp_path / "run").filter(pl.col("status") == "chosen")
    both = reasons.filter(pl.col("reason") == "general, edited: c4_lines")
    assert len(both) and "edited: c4_lines" in set(reasons["reason"])
    sentence = Run(tmp_path / "run").why(both["row"][0])["sentence"]
    assert "kept general, number" in sentence and "Its text was changed by c4_lines." in sentence


def test_the_plan_and_the_report_tell_of_it(run: Path):
    pool = run.parent / "pool.jsonl"
    planned = " ".join(
        select(pool, "--method", "length", "--budget", "20%", "--general", "25%", "--dry-run").out.split()
    )
    assert "20%, of which 25 % drawn at random to stay general" in planned and "general=25%" in planned
    assert assay("report", run).code == 0
    assert "of the choice is kept general" in (run / "report.html").read_text("utf-8")


def test_a_bad_share_stops_the_command_in_one_sentence(run: Path, tmp_path: Path):
    pool = run.parent / "pool.jsonl"
    answer = select(pool, "--method", "length", "--budget", "20%", "--general", "all", "-o", tmp_path / "run")
    assert answer.sentence.startswith("general must be a share of the budget") and not (tmp_path / "run").exists()
