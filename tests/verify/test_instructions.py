"""Instructions: rows read as prompts and responses whatever their layout, only responses scored, and a verdict on them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer

import assay
from assay import trial
from assay.errors import InputError, RecipeError
from assay.io.store import Store
from assay.models import dialogue
from assay.models.dialogue import Turn
from assay.opening import open_pool
from assay.recipe import Read, Verify
from assay.run.local import Local
from assay.run.passes import Pool
from assay.run.workers import Crew
from assay.runs import Run
from assay.types import Batch, Texts
from assay.verify.arms import Arm, Pass
from assay.verify.instructions import Instructions
from assay.verify.judge import Course, Gathered

NASTY = 'a\x03\x01assistant\x02b\n"quoted", é\\'
ROWS = [
    {"instruction": f"Do {at}.", "input": "" if at % 3 else f"with {at}", "output": f"done {at}"} for at in range(40)
]
ROWS[7] |= {"instruction": NASTY, "output": NASTY}
CLEAN = 'a  assistant b\n"quoted", é\\'


def expected(row: dict[str, str]) -> list[Turn]:
    prompt = f"{row['instruction']}\n{row['input']}\n"
    return [Turn("user", prompt.replace(NASTY, CLEAN)), Turn("assistant", row["output"].replace(NASTY, CLEAN))]


def chat(row: dict[str, str]) -> list[dict[str, str]]:
    prompt = f"{row['instruction']}\n{row['input']}\n"
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}]


def sharegpt(row: dict[str, str]) -> list[dict[str, str]]:
    return [{"from": "human" if one["role"] == "user" else "gpt", "value": one["content"]} for one in chat(row)]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Rows in the format that the name says; JSON lines with a broken and a blank line between, to shift row numbers."""
    if path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    elif path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path, row_group_size=9)
    else:
        lines = [json.dumps(row) + "\n" for row in rows]
        content = "".join([*lines[:5], "{broken\n", "\n", *lines[5:]]).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def opened(folder: Path, path: str, read: Read | None = None) -> Pool:
    return open_pool((path,), read or Read(), Store(folder / "store"), Local(1), form="turns")


def _keep(batch: Batch) -> Batch:
    return batch


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet", "chat.jsonl", "chat.parquet", "gpt.jsonl"]
)
def test_every_layout_is_read_as_the_same_turns_and_counted_as_its_text(tmp_path: Path, name: str) -> None:
    shapes = {"chat": ("messages", chat), "gpt": ("conversations", sharegpt)}
    key, shape = shapes.get(name.split(".")[0], (None, None))
    path = write(tmp_path / name, [{key: shape(row)} for row in ROWS] if key and shape else ROWS)
    pool = opened(tmp_path, path)
    plain, view = pool.take(np.flatnonzero(pool.count().readable)), pool.turns()
    batches = list(view.gather(np.flatnonzero(pool.count().readable), _keep))
    rows = np.concatenate([batch.rows + first for first, batch in batches])
    turns = [dialogue.turns(text) for _, batch in batches for text in batch.text]
    assert turns == [tuple(expected(row)) for row in ROWS]
    assert rows.tolist() == plain.rows.tolist() == np.flatnonzero(pool.count().readable).tolist()
    assert len(view.count()) == len(ROWS) + name.endswith((".jsonl", ".gz")) and "\x03" not in plain.text[0]
    taken = view.take(rows[[3, 30]])
    assert [dialogue.turns(text) for text in taken.text] == [tuple(expected(ROWS[at])) for at in (3, 30)]
    again = opened(tmp_path, path)  # nothing that turns left in the store changes how the pool is counted
    assert again.count().sizes[rows].tolist() == plain.text.sizes.tolist()
    assert again.count().hashes.tolist() == pool.count().hashes.tolist()


def test_where_a_row_has_a_text_and_an_instruction_turns_take_the_instruction(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "all of it", **row} for row in ROWS])
    assert dialogue.turns(opened(tmp_path, path).turns().take(np.array([0])).text[0]) == tuple(expected(ROWS[0]))
    named = opened(tmp_path, path, Read(text="{output} {instruction}")).turns().take(np.array([0])).text
    assert dialogue.turns(named[0]) == (Turn("user", "done 0 "), Turn("assistant", "Do 0."))
    whole = opened(tmp_path, path, Read("text")).turns().take(np.array([0])).text
    assert dialogue.turns(whole[0]) == (Turn("", "all of it"),)


def test_a_dialogue_counts_as_one_document() -> None:
    said = [Turn("user", "1?"), Turn("assistant", "2"), Turn("user", "3?"), Turn("assistant", "44")]
    marked = Texts.of([dialogue.marked(said), "a document", dialogue.marked(said[:2]), dialogue.marked(said[:1])])
    held = Instructions.of("eval.jsonl", Texts.of(["one", "two", "three", "four"]), marked)
    assert list(held.documents) == ["one", "three"] and list(held.responses) == ["2", "44", "2"]
    numbers, sizes = held.reads(np.array([8.0, 10.0, 4.0]))["bits_per_byte"]
    assert (numbers.tolist(), sizes.tolist()) == ([18.0, 4.0], [3, 1])
    assert held.measures(np.array([8.0, 10.0, 4.0])) == {"bits_per_byte": 22 / 4}
    other = Instructions.of("eval.jsonl", held.documents, marked.take(np.array([2, 0])))
    assert other.fingerprint != held.fingerprint
    with pytest.raises(InputError, match=r"at least 2 rows with a prompt and a response; got 1 of 2"):
        Instructions.of("eval.jsonl", held.documents, marked.take(np.array([1, 2])))


# --- A trial ----------------------------------------------------------------------------------------------------------

WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "ra", "se") for b in ("bel", "dor", "fin", "gam", "hut", "jil")]


def made(count: int, seed: int, wanted: float) -> list[dict[str, str]]:
    """Instructions of one kind of prompt, a share `wanted` of them answered in one set of words, the others in another."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in range(count):
        right = at < wanted * count
        words = WORDS[:18] if right else WORDS[18:]
        prompt, response = " ".join(rng.choice(WORDS, 12)), " ".join(rng.choice(words, 12))
        rows.append(
            {"id": f"{seed}-{at}", "instruction": prompt, "output": response, "source": "right" if right else "wrong"}
        )
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A choice of what is wanted: its tenth of the pool."""
    folder = tmp_path_factory.mktemp("instructions")
    write(folder / "pool.jsonl", made(1_000, 1, 0.1))
    write(folder / "held.jsonl", made(60, 2, 1.0))
    return assay.select(
        str(folder / "pool.jsonl"), method="random", budget="5%", where="source == 'right'", out=folder / "run"
    )


def asked(run: Run, **more: Any) -> dict[str, Any]:
    given = {"eval": (str(run.path.parent / "held.jsonl"),), "seeds": 3, "rivals": (), "instructions": True, **more}
    return trial.verify(run, Verify(**given), Crew(1))


def test_a_choice_of_the_right_responses_is_better(run: Run) -> None:
    told = asked(run)
    assert told["answer"] == "better" and told["eval"]["documents"] == told["eval"]["responses"] == 60
    rows = made(60, 2, 1.0)
    assert told["eval"]["bytes"] == sum(len(row["output"]) for row in rows)
    whole = asked(run, instructions=False)
    assert whole["eval"]["bytes"] == sum(len(row["output"]) + len(row["instruction"]) + 1 for row in rows)
    assert whole["difference"]["estimate"] < told["difference"]["estimate"]  # prompts, alike in both, water it down


def test_general_text_may_be_documents(run: Run) -> None:
    folder = run.path.parent
    (folder / "general.jsonl").write_text("".join(json.dumps({"text": row["output"]}) + "\n" for row in made(50, 3, 0)))
    general = asked(run, general=(str(folder / "general.jsonl"),))["general"]
    assert general["answer"] == "worse" and "responses" not in general


def test_what_is_no_instruction_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": row["output"]}) + "\n" for row in made(50, 3, 0)))
    with pytest.raises(InputError, match=r"at least 2 rows with a prompt and a response; got 0 of 50"):
        asked(run, eval=(str(tmp_path / "text.jsonl"),))
    plain = assay.select(str(tmp_path / "text.jsonl"), method="random", budget="20%", out=tmp_path / "run")
    with pytest.raises(InputError, match=r"needs a pool whose rows have a prompt and a response; this run read 'text'"):
        asked(plain, eval=(str(run.path.parent / "held.jsonl"),))


def test_edited_rows_are_refused(tmp_path: Path) -> None:
    rows = [{"text": f"Row {at}, mail me@example.org"} for at in range(40)]
    recipe = tmp_path / "clean.toml"
    recipe.write_text(
        f'pool = [{json.dumps(write(tmp_path / "pool.jsonl", rows))}]\nsteps = [{{ edit = "pii_mask" }}]\n'
    )
    cleaned = assay.clean(str(recipe), out=tmp_path / "run")
    with pytest.raises(RecipeError, match=r"this run edits their text \(edit steps: 1\): leave out --instructions"):
        asked(cleaned, eval=(write(tmp_path / "held.jsonl", made(9, 4, 1.0)),))


# --- With a model of tokens -------------------------------------------------------------------------------------------


def small() -> Any:
    """`lm-nano` with a smaller model, shorter rows and its own tokenizer."""
    from dataclasses import replace

    from assay.models.causal_config import CausalConfig, Shape
    from assay.verify.neural import judge_of

    judge, config = judge_of("lm-nano"), CausalConfig(Shape(32, 1, 2, 64), 1e-2, context=128, rows=8, warm=5)
    return replace(judge, language=replace(judge.language, config=config))


def swapped(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**row, "instruction": row["output"], "output": row["instruction"]} for row in rows]


def marked(rows: list[dict[str, str]]) -> Texts:
    return Texts.of(
        [dialogue.marked([Turn("user", row["instruction"]), Turn("assistant", row["output"])]) for row in rows]
    )


def test_a_model_learns_responses_and_not_prompts() -> None:
    """Two arms of the same words, prompts and responses changed about: only one of them learns what is asked for."""
    judge, steps = small(), 15
    first = [
        {**row, "instruction": other["output"]} for row, other in zip(made(200, 5, 1), made(200, 6, 0), strict=True)
    ]
    held = marked([{**row, "instruction": "What?"} for row in made(30, 7, 1)])
    probe = Instructions.of("held.jsonl", held, held).probe
    bits = []
    for rows in (first, swapped(first)):
        documents = judge.encode_turns(marked(rows))
        cost = steps * judge.step
        assert documents.sizes.sum() > cost
        last = int(np.searchsorted(documents.offsets, cost))
        one = Pass(np.arange(last), last - 1, cost - int(documents.offsets[last - 1]))
        arm = Arm("choice", 0, cost, (one,))
        course = Course((arm,), Gathered(np.arange(len(documents)), documents), form="turns")
        ((found,),) = judge.measure(course, (probe,))
        bits.append(found.sum() / probe.texts.sizes.sum())
    assert len(found) == 30 and bits[0] < 0.8 * bits[1]


def test_what_is_scored_is_the_response_with_its_end_after_its_prompt() -> None:
    judge = small()
    held = marked(made(5, 8, 1))
    probe = Instructions.of("held.jsonl", held, held).probe
    asked, learnt = judge._asked(probe), judge.encode_turns(held)
    assert asked.data.tolist() == learnt.data.tolist()
    spell = Tokenizer.from_file(judge.language.tokenizer).decode
    for at, row in enumerate(made(5, 8, 1)):
        ids = asked.take(np.array([at])).data
        assert spell(ids[ids >= 0].tolist()[:-1]) == row["output"] and ids[-1] == judge.language.config.end
        assert spell((~ids[ids < 0]).tolist()) == f"User:\n{row['instruction']}\n\nAssistant:\n"
