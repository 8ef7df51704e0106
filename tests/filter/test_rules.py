"""Every rule of the four sets on two documents by hand, one on either side of its edge, and the edge itself included."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zstandard

from assay.annotate.text_statistics import TextStatistics
from assay.contracts import Filter
from assay.edit.c4_lines import C4Lines
from assay.errors import RecipeError
from assay.filter.c4 import C4
from assay.filter.fineweb import Fineweb
from assay.filter.gopher_quality import GopherQuality
from assay.filter.gopher_repetition import GopherRepetition
from assay.types import Batch, Texts

ROOT = Path(__file__).parent.parent.parent
SETS = {"gopher_quality": GopherQuality, "gopher_repetition": GopherRepetition, "c4": C4, "fineweb": Fineweb}


def batch(texts: list[str]) -> Batch:
    return Batch(np.arange(len(texts)), np.zeros(len(texts), np.uint64), {"text": Texts.of(texts)})


def broken(method: Filter, texts: list[str]) -> list[list[str]]:
    """The names of all rules that each text breaks, in order."""
    counts = {}
    for name, parameters in method.measured:
        assert name == "text_statistics"
        counts |= TextStatistics(**parameters).annotate(batch(texts), {})
    found = [(rule.name, rule.broken(counts)) for rule in method.rules]
    return [[name for name, rows in found if rows[row]] for row in range(len(texts))]


def letters(count: int, size: int = 4, start: int = 0) -> list[str]:
    """Different words of `size` small letters, none a stop word."""
    made = []
    for number in range(start, start + count):
        word = ""
        for _ in range(size):
            word, number = "bcdfghjkmp"[number % 10] + word, number // 10
        made.append(word)
    return made


def words(count: int, size: int = 4, start: int = 0) -> str:
    return " ".join(letters(count, size, start))


def sentence(start: int) -> str:
    return words(6, 4, start).capitalize() + "."


def lines(count: int, make=lambda k: words(12, 4, 20 * k)) -> list[str]:
    return [make(k) for k in range(count)]


def repeat(n: int, copies: int, rest: int) -> str:
    """A text in which n words come `copies` times, each time between others, and `rest` more words."""
    block = letters(n, 4, 5000)
    fresh = iter(letters(copies + rest, 4))
    parts = [word for _ in range(copies) for word in [*block, next(fresh)]]
    return " ".join([*parts, *fresh])


def edge(n: int, most: float) -> tuple[str, str]:
    """Two texts, of which the first holds at most `most` of its characters in a repeated n-gram, the second one word less."""
    def share(rest: int) -> float:
        return 4 * n / len(repeat(n, 2, rest))

    rest = next(rest for rest in range(5000) if share(rest) <= most)
    return repeat(n, 2, rest), repeat(n, 2, rest - 1)


def top(n: int, most: float) -> tuple[str, str]:
    """The same for the most frequent n-gram, all of whose copies count, with their spaces."""
    rest = next(rest for rest in range(5000) if 4 * (5 * n - 1) / len(repeat(n, 4, rest)) <= most)
    return repeat(n, 4, rest), repeat(n, 4, rest - 1)


STOP = " the of "
LONG = "x" * 1001
GOPHER = {
    "min_doc_words": (words(50), words(49) + " ! ? ,"),
    "max_doc_words": (words(100_000, 5), words(100_001, 5)),
    "min_avg_word_length": (words(50, 3), words(49, 3) + " bc"),
    "max_avg_word_length": (words(50, 10), words(49, 10) + " " + "b" * 11),
    "max_hash_word_ratio": (words(90) + " #" * 10, words(89) + " #" * 10),
    "max_ellipsis_word_ratio": (words(90) + " ..." * 5 + " …" * 5, words(89) + " ..." * 5 + " …" * 5),
    "max_bullet_lines_ratio": ("\n".join(["- a"] * 5 + [" • a"] * 4 + ["a"]), "\n".join(["- a"] * 5 + [" • a"] * 5 + ["a"])),
    "max_ellipsis_lines_ratio": (
        "\n".join(["a... "] * 2 + ["b…"] + ["c"] * 7), "\n".join(["a... "] * 2 + ["b…"] * 2 + ["c"] * 7),
    ),
    "max_non_alpha_words_ratio": (words(80) + " 12" * 20, words(79) + " 12" * 20),
    "min_stop_words": (words(50) + STOP, words(50) + " the The the"),
}  # fmt: skip
REPETITION = {
    "not_empty": ("x", ""),
    "dup_para_frac": (
        "\n\n".join(["same"] * 4 + lines(6)), "\n\n".join(["same"] * 5 + lines(6)),
    ),
    "dup_para_char_frac": ("\n\n".join(["x" * 20] * 2 + ["y" * 56]), "\n\n".join(["x" * 20] * 2 + ["y" * 55])),
    "dup_line_frac": ("\n".join(["same"] * 4 + lines(6)), "\n".join(["same"] * 5 + lines(6))),
    "dup_line_char_frac": ("\n".join(["x" * 20] * 2 + ["y" * 58]), "\n".join(["x" * 20] * 2 + ["y" * 57])),
    **{f"top_{n}_gram": top(n, most) for n, most in ((2, 0.20), (3, 0.18), (4, 0.16))},
    **{f"dup_{n}_gram": edge(n, most) for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))},
}  # fmt: skip
FIVE = "\n".join(sentence(k) for k in range(5))
PAGE = {
    "lorem_ipsum": (FIVE + "\nLorem  ipsum is here.\nlorem ipsum", FIVE + "\nHere is Lorem Ipsum."),
    "curly_bracket": (FIVE + "\nvar a = {}", FIVE + "\nThe set {a} is one."),
    "min_num_sentences": (FIVE, "\n".join(sentence(k) for k in range(4))),
}
LISTS = {
    "not_empty": ("a", " \n\t\n"),
    "line_punct_ratio": ("\n".join(lines(22) + ["a."] * 3), "\n".join(lines(22) + ["a."] * 2 + ["a"])),
    "short_line_ratio": ("\n".join(["x" * 30] * 67 + ["y" * 31] * 33), "\n".join(["x" * 30] * 68 + ["y" * 31] * 32)),
    "char_dup_ratio": ("x\nx\n" + "y" * 98, "x\nx\n" + "y" * 97),
    "list_ratio": ("a\n" * 3 + words(7), "a\n" * 3 + words(6)),
}
CASES = [
    (name, rule, pair)
    for name, pairs in (("gopher_quality", GOPHER), ("gopher_repetition", REPETITION), ("c4", PAGE), ("fineweb", LISTS))
    for rule, pair in pairs.items()
]


@pytest.mark.parametrize(("name", "rule", "pair"), CASES, ids=[f"{name}-{rule}" for name, rule, _ in CASES])
def test_an_edge_keeps_what_it_says_and_drops_the_next(name: str, rule: str, pair: tuple[str, str]) -> None:
    kept, dropped = broken(SETS[name](), list(pair))
    assert rule not in kept
    assert rule in dropped


@pytest.mark.parametrize("name", SETS)
def test_every_rule_has_its_two_documents(name: str) -> None:
    assert {rule.name for rule in SETS[name]().rules} == {rule for owner, rule, _ in CASES if owner == name}


@pytest.mark.parametrize("name", SETS)
def test_rules_are_named_once_and_link_their_paper(name: str) -> None:
    rules = SETS[name]().rules
    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.paper == SETS[name].paper for rule in rules)


@pytest.mark.parametrize("name", SETS)
def test_empty_text_and_odd_text_crash_nothing(name: str) -> None:
    found = broken(SETS[name](), ["", " ", "\n", "\x00", "\u2028", "{", "[", "..."])
    assert all(found[row] for row in range(3) if name != "gopher_repetition") and found[0]


def test_all_sets_share_one_measurement_by_default() -> None:
    assert {str(method().measured) for method in SETS.values()} == {"(('text_statistics', {}),)"}


def test_paper_and_datatrove_differ_where_they_say() -> None:
    text = words(49) + " ! ! the of"  # 51 words, or 53 runs without white space
    assert broken(GopherQuality(reference="paper", min_doc_words=53), [text]) == [[]]
    assert broken(GopherQuality(min_doc_words=53), [text]) == [["min_doc_words"]]
    twice = repeat(10, 2, 60)
    assert not any(name.startswith("dup_10") for name in broken(GopherRepetition(dup_10_gram=0.13), [twice])[0])
    assert "dup_10_gram" in broken(GopherRepetition(dup_10_gram=0.13, reference="paper"), [twice])[0]
    menu = FIVE + "\nlorem ipsum"
    assert broken(C4(), [menu]) == [[]] and broken(C4(reference="paper"), [menu]) == [["lorem_ipsum"]]
    exact = "\n".join(lines(22) + ["a."] * 3)
    assert "line_punct_ratio" in broken(Fineweb(reference="paper"), [exact])[0]
    thirty = "\n".join(["x" * 30 + "."] * 1 + ["y" * 29 + "."] * 66 + ["z" * 40 + "."] * 33)
    assert "short_line_ratio" not in broken(Fineweb(reference="paper", char_duplicates_ratio=2), [thirty])[0]


def test_what_cannot_be_is_refused() -> None:
    for make in SETS.values():
        with pytest.raises(RecipeError, match="did you mean 'paper'"):
            make(reference="papers")
    with pytest.raises(RecipeError, match="must be a number"):
        Fineweb(line_punct_thr="much")
    with pytest.raises(RecipeError, match="short_line_length must be from"):
        TextStatistics(short_line_length=-1)


def test_c4_lines_go_for_their_reasons() -> None:
    gone = ["No end here", "Only two.", "Three dots end this...", f"A word of {LONG} is long.", "Please turn on JavaScript now.",
            "Read our Privacy Policy here.", "This site uses cookies here.", "See the terms of use here.", "", "   "]  # fmt: skip
    kept = ["It rained all day.", 'She said "no more"', "Did it rain again?", f"A word of {LONG[1:]} stays."]
    page = "\n".join([*gone[:4], kept[0], *gone[4:], *kept[1:]])
    edited = C4Lines().rewrite(batch([page, "", "It rained.[1] All day![edit]\r\n  Twice this week. "]), {})
    assert list(edited) == ["\n".join(kept), "", "It rained. All day!\nTwice this week."]
    assert list(C4Lines().rewrite(batch(list(edited)), {})) == list(edited)


def test_decisions_are_those_of_datatrove() -> None:
    """Golden of datatrove 0.10.1 on documents of examples/data: bench/prove_rules.py --golden writes it."""
    golden = json.loads((ROOT / "tests" / "goldens" / "datatrove_rules.json").read_text("utf-8"))
    packed = zstandard.ZstdDecompressor().stream_reader((ROOT / "examples" / "data" / "pool.jsonl.zst").open("rb")).read()
    rows = [json.loads(line)["text"] for line in packed.splitlines()]
    texts = [rows[row] for row in golden["rows"]]
    for name, make in SETS.items():
        ours = [bool(found) for found in broken(make(), texts)]
        assert ours == [reason is not None for reason in golden[name]], name
