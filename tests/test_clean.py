"""`assay clean` end to end: every row accounted for with a reason, one answer whatever the layout, thresholds for free."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import CLEANING, ROOT, Answer, assay, done, jsonl, manifest, packed, told, unpacked

import assay as package

WORDS = "the quick brown fox and a lazy dog have met with others of that village to talk about the weather".split()


def prose(seed: int, sentences: int = 12) -> str:
    """Text that no rule minds: different sentences of different words, in two lines."""
    numbers = [f"{WORDS[(seed * 7 + k) % len(WORDS)]}{chr(97 + (seed + k) % 26)}" for k in range(sentences * 9)]
    parts = [" ".join(["The", *numbers[k * 9 : k * 9 + 9], "is", "of", "that", "kind."]) for k in range(sentences)]
    return " ".join(parts[: sentences // 2]) + "\n" + " ".join(parts[sentences // 2 :])


ITEM = (
    "Which of the seven bridges of Königsberg did the mathematician cross twice on his walk before supper that evening?"
)
MAIL = "Please write to jane.roe@university-press.org about it."


def rows() -> list[dict[str, Any]]:
    """Sixty clean rows, and of each kind of dirt a few, marked by their ids."""
    clean = [
        {"id": f"clean-{k}", "text": prose(k), "source": "web", "meta": {"url": f"u{k}", "n": [k]}} for k in range(60)
    ]
    short = [{"id": f"short-{k}", "text": f"Too short, number {k}.", "source": "web"} for k in range(5)]
    copies = [{"id": f"copy-{k}", "text": prose(k) + " Of that.", "source": "web"} for k in range(4)]
    leaked = [{"id": f"leak-{k}", "text": prose(70 + k) + " " + ITEM.upper(), "source": "web"} for k in range(3)]
    mailed = [
        {"id": f"mail-{k}", "text": prose(80 + k) + " " + MAIL, "source": "web", "meta": {"n": [1.50]}}
        for k in range(3)
    ]
    return [*clean, *short, *copies, *leaked, *mailed]


RECIPE = """
steps = [
  { filter = "gopher_quality" },
  { edit = "pii_mask" },
]
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "pool.jsonl", rows())


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    """A recipe, an eval set and near-duplicates, all at once."""
    (tmp_path / "mine.toml").write_text(RECIPE)
    jsonl(tmp_path / "eval.jsonl", [{"text": ITEM}])
    return ["--recipe", tmp_path / "mine.toml", "--eval", tmp_path / "eval.jsonl", "--dedup", "minhash"]


def clean(*arguments: object) -> Answer:
    """`assay clean` without bars, with one worker."""
    return assay("clean", *arguments, "-q", *([] if "--workers" in arguments else ["--workers", "1"]))


def cleaned(*arguments: object) -> Path:
    """A clean that must end well; gives its folder."""
    answer = clean(*arguments)
    assert answer.code == 0, answer.err
    return Path(str(arguments[arguments.index("--out") + 1]))


def outputs(run: Path) -> dict[str, bytes]:
    """Everything that must be the same for the same question."""
    kept = [*(run / "selected").iterdir(), run / "quarantine.jsonl"]
    return {path.name: path.read_bytes() for path in sorted(kept)} | {"manifest": manifest(run).write_csv().encode()}


def test_every_row_has_a_fate_and_a_reason(tmp_path: Path, pool: Path, asked: list[object]):
    run = cleaned(pool, *asked, "--out", tmp_path / "run")
    rows_of = {entry["id"]: entry for entry in manifest(run).rows(named=True)}
    counts = told(run)["counts"]
    assert counts["input"] == len(rows()) == counts["kept"] + counts["not_chosen"] + counts["quarantined"]
    assert {entry["status"] for entry in rows_of.values()} == {"kept", "not_chosen"}
    for k in range(5):
        assert rows_of[f"short-{k}"]["reason"].startswith("rule: gopher_quality/")
    for k in range(4):
        assert (
            rows_of[f"clean-{k}"]["reason"] == f"duplicate: minhash of row {65 + k}"
        )  # the copy is longer by a letter or two
    for k in range(3):
        assert rows_of[f"leak-{k}"]["reason"].startswith("contaminated: eval.jsonl item 1")
        assert "BRIDGES" in rows_of[f"leak-{k}"]["reason"]
        assert rows_of[f"mail-{k}"]["status"] == "kept" and rows_of[f"mail-{k}"]["reason"] == "edited: pii_mask"
    untouched = [entry for entry in rows_of.values() if entry["id"].startswith("clean") and entry["status"] == "kept"]
    assert len(untouched) >= 56 and {entry["reason"] for entry in untouched} == {""}


def test_kept_rows_leave_as_they_came_and_edited_ones_with_another_text(
    tmp_path: Path, pool: Path, asked: list[object]
):
    run = cleaned(pool, *asked, "--out", tmp_path / "run")
    before = dict(zip([row["id"] for row in rows()], pool.read_bytes().splitlines(keepends=True), strict=True))
    after = (run / "selected" / "pool.jsonl").read_bytes().splitlines(keepends=True)
    names = [json.loads(line)["id"] for line in after]
    kept = manifest(run).filter(pl.col("status") == "kept")
    assert names == kept["id"].to_list()
    for name, line in zip(names, after, strict=True):
        if not name.startswith("mail"):
            assert line == before[name]
            continue
        old, new = json.loads(before[name]), json.loads(line)
        assert "jane.roe@university-press.org" not in new["text"] and new["text"].startswith(old["text"][:200])
        assert {**new, "text": ""} == {**old, "text": ""} and b'"n": [1.5]' in line


def test_the_answer_is_one_whatever_the_workers_and_the_layout(tmp_path: Path, pool: Path, asked: list[object]):
    one = outputs(cleaned(pool, *asked, "--out", tmp_path / "one"))
    assert outputs(cleaned(pool, *asked, "--out", tmp_path / "two", "--workers", "2")) == one
    for number, part in enumerate((rows()[:30], rows()[30:])):
        jsonl(tmp_path / "parts" / f"{number}.jsonl.gz", part)
    run = cleaned(tmp_path / "parts", *asked, "--out", tmp_path / "three")
    joined = b"".join(unpacked(path) for path in sorted((run / "selected").iterdir()))
    assert joined == one["pool.jsonl"]
    assert manifest(run).drop("shard").equals(manifest(tmp_path / "one").drop("shard"))


def test_the_texts_that_stay_do_not_depend_on_the_order(tmp_path: Path, asked: list[object]):
    texts = []
    for name, some in (("straight", rows()), ("reversed", rows()[::-1])):
        run = cleaned(jsonl(tmp_path / f"{name}.jsonl", some), *asked, "--out", tmp_path / name)
        kept = (run / "selected" / f"{name}.jsonl").read_bytes().splitlines()
        texts.append(sorted(json.loads(line)["text"] for line in kept))
    assert texts[0] == texts[1]


def test_another_threshold_reads_no_text(tmp_path: Path, pool: Path, asked: list[object]):
    first = cleaned(pool, *asked, "--out", tmp_path / "first")
    assert any(stage["stage"] == "measure" for stage in told(first)["stages"])
    again = cleaned(first, "--set", "gopher_quality.min_doc_words=2", "--out", tmp_path / "again")
    reread = [stage for stage in told(again)["stages"] if stage["stage"] in ("measure", "count") and stage["bytes"]]
    assert not reread, reread
    reasons = dict(manifest(again).select("id", "reason").rows())
    assert "min_doc_words" in dict(manifest(first).select("id", "reason").rows())["short-0"]
    assert "min_doc_words" not in reasons["short-0"]
    fresh = cleaned(pool, *asked, "--set", "gopher_quality.min_doc_words=2", "--out", tmp_path / "fresh")
    assert outputs(again) == outputs(fresh)


def test_running_again_is_the_same_run(tmp_path: Path, pool: Path, asked: list[object]):
    run = cleaned(pool, *asked, "--out", tmp_path / "run")
    created = told(run)["created"], outputs(run)
    assert clean(pool, *asked, "--out", run).code == 0
    assert (told(run)["created"], outputs(run)) == created
    assert "another recipe" in clean(pool, "--dedup", "exact", "--out", run).sentence


def test_select_cleans_first(tmp_path: Path, pool: Path, asked: list[object]):
    done(pool, *asked, "--method", "random", "--budget", "20", "--out", tmp_path / "run")
    found = manifest(tmp_path / "run")
    assert set(found["status"]) == {"chosen", "not_chosen"}
    assert found.filter(pl.col("status") == "chosen")["id"].str.contains("clean|mail|copy").all()
    begins = {reason.partition(":")[0] for reason in found["reason"] if reason}
    assert {"rule", "contaminated", "duplicate", "budget"} <= begins


def test_a_cleaned_run_is_a_pool(tmp_path: Path, pool: Path, asked: list[object]):
    run = cleaned(pool, *asked, "--out", tmp_path / "clean")
    done(run, "--method", "random", "--budget", "10", "--out", tmp_path / "run")
    assert told(tmp_path / "run")["counts"]["input"] == told(run)["counts"]["kept"]


def test_verify_trains_on_edited_texts(tmp_path: Path, pool: Path, asked: list[object]):
    done(pool, *asked, "--method", "random", "--budget", "30", "--out", tmp_path / "run")
    held = jsonl(tmp_path / "held.jsonl", [{"text": prose(200 + k, 6)} for k in range(12)])
    answer = assay("verify", tmp_path / "run", "--eval", held, "--decontaminate", "--workers", "1", "-q")
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "run" / "verdict.json").read_text())["answer"] in ("better", "worse", "undecided")


def test_parquet_keeps_nested_columns_and_types(tmp_path: Path, asked: list[object]):
    table = pa.table({
        "id": [row["id"] for row in rows()],
        "text": pa.array([row["text"] for row in rows()], pa.large_string()),
        "nested": [[{"tag": "a", "spans": [[1, 2], [3]]}] for _ in rows()],
        "when": pa.array([k for k, _ in enumerate(rows())], pa.timestamp("us")),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "pool.parquet", row_group_size=16)
    run = cleaned(tmp_path / "pool.parquet", *asked, "--out", tmp_path / "run")
    found = pq.read_table(run / "selected" / "pool.parquet")
    assert found.schema.types == table.schema.types
    kept = manifest(run).filter(pl.col("status") == "kept")["row"].to_list()
    expected = table.take(kept)
    assert found.drop(["text"]).equals(expected.drop(["text"]))
    changed = [
        name
        for name, old, new in zip(
            expected["id"].to_pylist(), expected["text"].to_pylist(), found["text"].to_pylist(), strict=True
        )
        if old != new
    ]
    assert changed == ["mail-0", "mail-1", "mail-2"]


def test_unreadable_rows_are_still_quarantined(tmp_path: Path, asked: list[object]):
    lines = [json.dumps(row).encode() for row in rows()]
    pool = packed(tmp_path / "pool.jsonl", b"\n".join([*lines[:10], b"{broken", b"", *lines[10:]]) + b"\n")
    run = cleaned(pool, *asked, "--out", tmp_path / "run")
    counts = told(run)["counts"]
    assert (counts["quarantined"], counts["blank"], counts["input"]) == (1, 1, len(rows()) + 1)


def test_quality_from_good_and_bad(tmp_path: Path, pool: Path):
    good = jsonl(tmp_path / "good.jsonl", [{"text": prose(300 + k)} for k in range(60)])
    bad = jsonl(
        tmp_path / "bad.jsonl", [{"text": f"click here to win {k} free prizes now now now " * 5} for k in range(60)]
    )
    spam = [{"id": f"spam-{k}", "text": f"win free prizes now number {k} click here " * 4} for k in range(20)]
    mixed = jsonl(tmp_path / "mixed.jsonl", [*rows(), *spam])
    run = cleaned(mixed, "--good", good, "--bad", bad, "--top", "60%", "--out", tmp_path / "run")
    kept = manifest(run).filter(pl.col("status") == "kept")["id"]
    assert not kept.str.starts_with("spam").any() and 0.5 < len(kept) / (len(rows()) + 20) < 0.7
    notes = told(run)["fits"]["quality_classifier"]
    assert notes["auc"] > 0.95


def test_the_recipes_that_ship_run_and_say_what_they_lack(tmp_path: Path):
    examples = ROOT / "examples" / "data" / "pool.jsonl.zst"
    for name in CLEANING:
        run = cleaned(examples, "--recipe", name, "--limit", "400", "--out", tmp_path / name)
        account = told(run)
        assert account["about"]["recipe"] == name and account["about"]["sources"] and account["lacks"], name
        assert 0 < account["counts"]["kept"] <= 400


def test_from_python(tmp_path: Path, asked: list[object]):
    run = package.clean(rows(), dedup="minhash", eval=[{"text": ITEM}], out=tmp_path / "run")
    assert run.facts["status"] == "kept" and run.facts["counts"]["kept"] < len(rows())
    assert f"{run.facts['counts']['kept']} of {len(rows())} rows" in repr(run)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("something to do", "--recipe", "fineweb")),
        (("--recipe", "finweb"), ("did you mean 'fineweb'",)),
        (("--recipe", "none.toml"), ("none.toml",)),
        (("--recipe", "fineweb", "--model", "langage=x.bin"), ("did you mean 'language'",)),
        (("--recipe", "fineweb", "--model", "x.bin"), ("NAME=FILE",)),
        (("--recipe", "fineweb", "--model", "language=none.bin"), ("none.bin",)),
        (("--bad", "x.jsonl"), ("--good",)),
        (("--dedup", "minhsh"), ("did you mean 'minhash'",)),
        (("--dedup", "exact", "--keep", "newest"), ("first", "longest", "best:SIGNAL")),
        (("--dedup", "exact", "--keep", "best:quality"), ("no signal", "quality")),
        (("--dedup", "exact", "--memory", "lots"), ("a budget must look like",)),
        (("--dedup", "exact", "--memory", "5000"), ("--memory must be an amount",)),
        (("--dedup", "exact", "--memory", "500MB"), ("at least 1GB",)),
        (("--eval", "none.jsonl"), ("none.jsonl",)),
        (("--where", "bytes > 10", "--set", "minhash.bands=3"), ("METHOD.PARAMETER=VALUE",)),
        (("--dedup", "minhash", "--set", "minhash.bands=0"), ("bands",)),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tmp_path: Path, pool: Path, arguments: tuple[str, ...], words: tuple[str, ...]):
    sentence = clean(pool, *arguments, "--out", tmp_path / "run").sentence
    assert all(word in sentence for word in words), sentence


def test_an_edit_needs_a_field_to_write_to(tmp_path: Path, asked: list[object]):
    chats = [{"messages": [{"role": "user", "content": row["text"]}]} for row in rows()]
    sentence = clean(jsonl(tmp_path / "chats.jsonl", chats), *asked, "--out", tmp_path / "run").sentence
    assert "plain text field" in sentence and "messages" in sentence
