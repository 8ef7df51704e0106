"""Overlap finds every planted copy, whatever its spelling of spaces and case, and leaves templates alone."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import InputError
from assay.types import Batch, Texts
from assay.verify.overlap import OverlapPart, merge, refuse

RNG = np.random.default_rng(11)
VOCABULARY = [f"word{k}" for k in range(5_000)]


def _document(words: int) -> str:
    return " ".join(RNG.choice(VOCABULARY, words))


def _found(evals: list[str], pool: list[str]) -> list[int]:
    batch = Batch(np.arange(100, 100 + len(pool)), np.zeros(len(pool), np.uint64), {"text": Texts.of(pool)})
    return OverlapPart.of(Texts.of(evals))(batch).tolist()


EVALS = [_document(int(n)) for n in RNG.integers(5, 300, 40)]
NOISE = [_document(int(n)) for n in RNG.integers(5, 300, 200)]


def test_every_planted_copy_is_found_and_nothing_else() -> None:
    planted = [f"{one.upper().replace(' ', '  ')}!" for one in EVALS]
    assert _found(EVALS, NOISE + planted) == list(range(300, 340))


def test_an_eval_document_inside_a_longer_row_is_found() -> None:
    long = [one for one in EVALS if len(one.split()) >= 13]
    rows = [f"{_document(40)}\n\n{one}\n\n{_document(40)}" for one in long]
    assert _found(EVALS, rows) == list(range(100, 100 + len(long)))


def test_a_passage_of_thirty_two_words_is_found_a_shorter_one_not() -> None:
    words = _document(200).split()
    assert _found([" ".join(words)], [" ".join(words[50:82]), " ".join(words[50:81])]) == [100]


def test_a_short_document_overlaps_only_with_itself() -> None:
    assert _found(["Yes, of course."], ["yes of COURSE", "Yes, of course. And more."]) == [100]


def test_a_template_of_many_eval_documents_is_not_overlap() -> None:
    template = _document(60)
    evals = [f"{_document(20)} {template} {_document(20)}" for _ in range(3)]
    assert _found(evals, [f"{_document(20)} {template} {_document(20)}"]) == []
    assert _found(evals[:1], [f"{_document(20)} {template} {_document(20)}"]) == [100]
    assert _found(evals, [evals[1]]) == [100]


def test_copies_within_the_eval_set_do_not_hide_a_leak() -> None:
    document = _document(80)
    assert _found([document] * 5, [f"before {document} after"]) == [100]


def test_empty_texts() -> None:
    assert _found(["", "one two"], ["", " . ", "one two"]) == [102]


def test_merge_joins_in_order() -> None:
    assert merge(np.array([1, 4]), np.array([9])).tolist() == [1, 4, 9]


def test_refusal_is_a_sentence_and_decontaminate_lifts_it() -> None:
    rows = np.arange(7)
    with pytest.raises(InputError, match=r"that the pool does not; 7 of the pool's 1,000 rows"):
        refuse(rows, 1_000, "eval.jsonl", decontaminate=False)
    refuse(rows, 1_000, "eval.jsonl", decontaminate=True)
    refuse(rows[:0], 1_000, "eval.jsonl", decontaminate=False)
