"""Tasks scored by likelihood: a closed case where bits and bits per byte disagree, guessing is exactly chance, order is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import ROOT, Answer, assay, done, jsonl, unpacked

from assay.errors import InputError
from assay.io.tasks import Item, Items
from assay.models.ngram import NGramConfig, train
from assay.types import Batch, Texts
from assay.verify import choices
from assay.verify.arms import Arm, Pass
from assay.verify.choices import Choices, at_chance, load
from assay.verify.judge import Course, Gathered, NGramJudge
from assay.verify.overlap import OverlapPart

EVAL = Path(__file__).parents[3] / "shared" / "data" / "eval"
TRAINED = ["aaaaaaab" * 40, "aaaaaaab" * 40]
LONG = " " + "a" * 30  # few bits for each byte, many in all


def task(items: list[Item]) -> Choices:
    return Choices.of("made", "made.jsonl", Items.of(items))


def asked(*texts: str, gold: int) -> Item:
    return Item(("Q",) * len(texts), texts, gold)


def spent(one: Choices, order: int = 1) -> np.ndarray:
    """The bits that the judge spends, through the whole course of a trial."""
    documents = Texts.of(TRAINED)
    source = Gathered(np.arange(2), NGramJudge().encode(documents))
    course = Course((Arm("choice", 0, int(documents.sizes.sum()), (Pass(np.arange(2)),)),), source)
    return NGramJudge(NGramConfig(order=order)).measure(course, (one.probe,))[0][0]


def test_a_closed_case_where_bits_and_bits_per_byte_disagree() -> None:
    """A model of single bytes knows a: 7/8 of all it read. So ` b` costs less than thirty a, but
    more for each byte."""
    four = [asked(LONG, " b", gold=0), asked(LONG, " b", gold=1), asked(" a", " b", gold=0), asked(" b", " a", gold=0)]
    one, chance = task(four), train([Texts.of(TRAINED)], NGramConfig(order=1)).probabilities(b"")
    a, b, blank = (-float(np.log2(chance[ord(letter)])) for letter in "ab ")
    long, short, shorter = blank + 30 * a, blank + b, blank + a
    assert short < long and long / 31 < short / 2  # the case is what it claims to be
    bits = spent(one)
    np.testing.assert_allclose(bits, [long, short, long, short, shorter, short, short, shorter], rtol=1e-12)
    assert one.hits(bits).tolist() == [1, 0, 1, 0]
    found = one.measures(bits)
    assert (found["accuracy"], found["accuracy_by_bits"]) == (0.5, 0.5)
    first = task(four[:1] + four[2:3])
    assert first.measures(spent(first))["accuracy"] == 1 and first.measures(spent(first))["accuracy_by_bits"] == 0.5
    assert found["bits_per_byte"] == pytest.approx((long + short + shorter + short) / (31 + 2 + 2 + 2))
    right = [2**-long / (2**-long + 2**-short), 2**-short / (2**-long + 2**-short)]
    right += [2**-shorter / (2**-shorter + 2**-short), 2**-short / (2**-shorter + 2**-short)]
    assert found["probability"] == pytest.approx(np.mean(right))
    assert found["brier"] == pytest.approx(np.mean([2 * (1 - p) ** 2 for p in right]))


def test_what_is_compared_folds_to_the_measures() -> None:
    one = task([asked(LONG, " b", gold=0), asked(" a", " b", " ab", gold=2)])
    bits = spent(one)
    reads, found = one.reads(bits), one.measures(bits)
    assert list(reads) == ["bits_per_byte", "error"] and all(len(part) == 2 for pair in reads.values() for part in pair)
    folded = {name: numbers.sum() / sizes.sum() for name, (numbers, sizes) in reads.items()}
    assert folded["bits_per_byte"] == pytest.approx(found["bits_per_byte"])
    assert folded["error"] == pytest.approx(1 - found["accuracy"])


@pytest.mark.parametrize("counts", [(2, 2, 2), (4, 4), (2, 3, 5)])
def test_a_judge_that_spends_the_same_on_every_byte_is_exactly_at_chance(counts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    texts = [tuple(f" {'x' * int(n)}{k}" for k, n in enumerate(rng.integers(1, 90, count))) for count in counts]
    one = task([asked(*some, gold=int(rng.integers(len(some)))) for some in texts])
    bits = one.items.texts.sizes * np.log2(257)
    np.testing.assert_array_equal(one.hits(bits), [1 / count for count in counts])
    assert one.measures(bits)["accuracy"] == pytest.approx(one.chance) == np.mean([1 / count for count in counts])
    assert not one.above_chance(bits)


def test_the_order_of_answers_has_no_say() -> None:
    rng = np.random.default_rng(5)
    texts, items, turned = [" a", " ab", " b", " ab"], [], []
    for _ in range(40):
        order, gold = rng.permutation(4), int(rng.integers(4))
        items.append(asked(*texts, gold=gold))
        turned.append(asked(*(texts[k] for k in order), gold=int(np.flatnonzero(order == gold)[0])))
    plain, other = task(items), task(turned)
    for name, value in plain.measures(spent(plain, 3)).items():
        assert value == pytest.approx(other.measures(spent(other, 3))[name], rel=1e-12)
    assert plain.chance == pytest.approx(other.chance)
    assert set(plain.hits(spent(plain, 3)).tolist()) <= {0.0, 0.5, 1.0}  # ` ab` stands twice: its place is shared


def test_chance_is_what_always_giving_the_commonest_answer_reaches() -> None:
    yes_no = [asked(" yes", " no", gold=1)] * 6 + [asked(" no", " yes", gold=1)] * 4
    assert task(yes_no).chance == pytest.approx(0.6)
    assert task([asked(" yes", " no", gold=gold) for gold in (0, 1)]).chance == 0.5
    open_ended = [asked(f" one{n}", f" two{n}", gold=n % 2) for n in range(10)]
    assert task(open_ended).chance == 0.5
    schema = [Item(("Ann", "Bo"), (" ran.", " ran."), gold) for gold in (0, 0, 0, 1)]
    assert task(schema).chance == 0.5  # always saying ` ran.` says nothing


def test_a_proxy_at_chance_is_said_and_one_above_is_not() -> None:
    rng = np.random.default_rng(9)
    one = task([asked(f" yes{n}", f" no{n}", gold=int(rng.integers(2))) for n in range(400)])
    guesses = [rng.uniform(10, 20, len(one.items.texts)) for _ in range(3)]
    said = at_chance(one, guesses, "ngram")
    assert said is not None and "not above chance on made (accuracy 0." in said and "chance 0.50" in said
    knows = guesses[0].copy()
    knows[one.items.right] -= 3
    assert one.above_chance(knows) and at_chance(one, [*guesses, knows], "ngram") is None
    answers = task([Item(("Q",), (f" a{n}",), 0) for n in range(3)])
    assert at_chance(answers, [np.ones(3)], "ngram") is None and list(answers.reads(np.ones(3))) == ["bits_per_byte"]


def test_a_pool_row_that_holds_an_item_overlaps() -> None:
    words = [f"word{n}" for n in range(60)]
    one = task([asked(" plum", " stone", gold=0), Item((" ".join(words[:20]),), (" the end",), 0)])
    rows = [
        "q PLUM",
        "q plum and more",
        "q stone",
        f"Before. {' '.join(words[:20])} the end. After.",
        " ".join(words[:20]),
    ]
    batch = Batch(np.arange(len(rows)), np.zeros(len(rows), np.uint64), {"text": Texts.of(rows)})
    assert OverlapPart.of(one.documents)(batch).tolist() == [0, 3]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A choice of the medical texts of the pool that ships, which holds ten other kinds, and texts held out of it."""
    folder = tmp_path_factory.mktemp("tasks")
    every = [json.loads(row) for row in unpacked(ROOT / "examples/data/pool.jsonl.zst").splitlines()[:1200]]
    own = [row for row in every if row["source"] == "medicine"]
    held = own[::3]
    jsonl(folder / "held.jsonl", held)
    rows = [{"context": row["text"][:40], "continuation": row["text"][40:]} for row in held if len(row["text"]) > 50]
    jsonl(folder / "docs.jsonl", rows)
    jsonl(folder / "pool.jsonl", [row for row in every if row not in held])
    chosen = ("--where", "source = 'medicine'", "--method", "random", "--budget", "100%")
    done(folder / "pool.jsonl", *chosen, "--out", folder / "run")
    return folder / "run"


def verify(run: Path, *tasks: Path) -> Answer:
    flags = [each for path in tasks for each in ("--tasks", path)]
    return assay(
        "verify", run, "--eval", run.parent / "held.jsonl", *flags, "--seeds", "3", "--units", "20kB", "--decontaminate",
        "-q", "--workers", "1",
    )  # fmt: skip


def test_a_verdict_compares_the_choice_on_tasks(run: Path) -> None:
    even = write(run.parent / "even.jsonl", 40)
    answer = verify(run, run.parent / "docs.jsonl", even)
    assert answer.code == 0, answer.err
    facts = json.loads((run / "verdict.json").read_bytes())
    told = {one["name"]: one for one in facts["tasks"]}
    assert told["docs"]["answer"] == "better" and told["docs"]["chance"] is None
    assert set(told["docs"]["metrics"]) == {"bits_per_byte"}
    assert set(told["even"]["metrics"]) == {"bits_per_byte", "error"}
    assert told["even"]["items"] == 40 and told["even"]["chance"] == 0.5
    assert any(note.startswith("ngram is not above chance on even") for note in facts["notes"])
    arms = {arm["name"]: arm["tasks"] for arm in facts["arms"]}
    assert arms["choice"]["docs"]["bits_per_byte"] < arms["random"]["docs"]["bits_per_byte"]
    assert 0 <= arms["length"]["even"]["accuracy"] <= 1
    shown = " ".join(answer.out.split())
    assert f"docs {told['docs']['items']} better" in shown and "not above chance on even" in shown


def test_a_wrong_gold_ends_in_one_sentence(run: Path) -> None:
    bad = jsonl(run.parent / "bad.jsonl", [{"query": "a", "choices": ["b", "c"], "gold": gold} for gold in (0, 2)])
    assert "bad.jsonl, line 2: the field 'gold' must name one of the 2 choices" in verify(run, bad).sentence


def test_items_that_the_pool_holds_are_refused(run: Path) -> None:
    fresh = jsonl(run.parent / "fresh.jsonl", [{"text": f"Nobody wrote {n} before."} for n in range(3)])
    pool = (json.loads(row) for row in (run.parent / "pool.jsonl").read_bytes().splitlines())
    texts = [row["text"] for row in pool if row["source"] == "contracts" and len(row["text"]) > 200][:3]
    leak = jsonl(run.parent / "leak.jsonl", [{"context": text[:-30], "continuation": text[-30:]} for text in texts])
    answer = assay("verify", run, "--eval", fresh, "--tasks", leak, "--seeds", "3", "-q", "--workers", "1")
    assert "leak.jsonl must hold text that the pool does not; 3 of the pool's" in answer.sentence


def write(path: Path, count: int) -> Path:
    rows = [{"query": f"Is {n} even?", "choices": ["yes", "no"], "gold": n % 2} for n in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_tasks_are_called_after_their_files_and_limited_by_content(tmp_path: Path) -> None:
    whole = write(tmp_path / "even.v2.jsonl", 50)
    write(tmp_path / "odd.json", 2)
    names = [one.name for one in load([str(tmp_path)])]
    assert names == ["even.v2", "odd"] and load([]) == ()
    (some,), (again,) = load([str(whole)], 10), load([str(whole)], 10)
    (every,) = load([str(whole)], 50)
    assert len(some.items) == 10 and some.fingerprint == again.fingerprint != every.fingerprint
    assert set(some.items.hashes.tolist()) < set(every.items.hashes.tolist())
    rows = whole.read_text().splitlines()[::-1]
    (tmp_path / "turned.jsonl").write_text("\n".join(rows) + "\n")
    (turned,) = load([str(tmp_path / "turned.jsonl")], 10)
    assert sorted(turned.items.hashes.tolist()) == sorted(some.items.hashes.tolist())


def test_one_item_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold at least 2 items; got 1"):
        load([str(write(tmp_path / "one.jsonl", 1))])


WHAT = {
    "aqua": 245, "arc_challenge": 1172, "arc_easy": 2376, "bigbench_strategy_qa": 2289, "boolq": 3270,
    "commonsense_qa": 1221, "copa": 100, "gsm8k": 1319, "human_eval": 164, "jeopardy_all": 2117, "lambada_openai": 5153,
    "math_qa": 2983, "openbook_qa": 500, "piqa": 1838, "pubmed_qa_labeled": 1000, "siqa": 1954, "svamp": 300,
    "triviaqa_sm_sub": 3000, "winograd_wsc": 273, "winogrande": 1267,
}  # fmt: skip
ANSWERS = {
    "aqua", "gsm8k", "human_eval", "jeopardy_all", "lambada_openai", "pubmed_qa_labeled", "svamp", "triviaqa_sm_sub"
}  # fmt: skip


@pytest.mark.skipif(not EVAL.exists(), reason="needs ../shared/data")
def test_all_twenty_eval_sets_are_read_for_what_they_are() -> None:
    found = {one.name: one.described() for one in load([str(EVAL)])}
    assert {name: one["items"] for name, one in found.items()} == WHAT
    assert {name for name, one in found.items() if one["kind"] == "right answer"} == ANSWERS
    assert all((one["chance"] is None) == (name in ANSWERS) for name, one in found.items())
    assert found["piqa"]["answers"] == 2 * 1838 and found["arc_easy"]["answers"] == 4 * 2376
    assert found["piqa"]["chance"] == found["winogrande"]["chance"] == 0.5 and found["boolq"]["chance"] > 0.6


def test_names_lose_only_what_says_the_format() -> None:
    assert choices._name("a.b.jsonl.zst") == "a.b"
