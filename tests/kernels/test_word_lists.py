"""Listed words: the kernel against plain Python, over every kind of character, and the loader of lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import InputError
from assay.io.word_lists import WordList, load
from assay.kernels.word_lists import characters, find_phrases, list_words, reference
from assay.types import Texts

LISTED = [
    "ass", "s&m", "hand", "hand job", "job hand job", "don't", "Straße", "東京", "🖕", "b!tch", "ÉCOLE", "नमस्ते", "กรุง", "ǅ",
    "Ἀθῆναι", "x", "x x x",
]  # fmt: skip


def found(texts: list[str], listed: list[str]) -> list[tuple[int, int, str | None]]:
    words, block = WordList.of(listed), Texts.of(texts)
    counts, sizes, first = find_phrases(
        block.data, block.offsets, characters(), words.hashes, words.sieve, words.longest
    )
    names = [words.entries[place] if place >= 0 else None for place in first]
    return list(zip(counts.tolist(), sizes.tolist(), names, strict=True))


def expected(texts: list[str], listed: list[str]) -> list[tuple[int, int, str | None]]:
    return [reference(text, listed) for text in texts]


def test_whole_words_whatever_their_case_and_the_space_between():
    texts = {
        "ASS! class, bass-ass": 2, "_ass_ ass's": 2, "S & m, s&m, sm": 2, "Hand\n\tJOB": 1, "handjob": 0, "Don't. don’t": 1,
        "STRASSE, STRAßE": 1, "私は東京に": 1, "🖕🖕🏽 🖕": 3, "B!TCH bitch": 1, "une école": 1, "नमस्तेX नमस्ते": 1, "ไปกรุงเทพ": 1,
        "": 0, " \u3000\u00a0": 0, "ἈΘῆΝΑΙ": 1,
    }  # fmt: skip
    assert {text: count for text, (count, _, _) in zip(texts, found(list(texts), LISTED), strict=True)} == texts


def test_phrases_that_overlap_count_once_and_the_longest_that_ends_first_wins():
    assert found(["a hand job hand job"], ["hand job", "job hand job"]) == [(2, 5, "hand job")]
    assert found(["big bad wolf"], ["bad", "big bad", "wolf"]) == [(2, 3, "big bad")]
    assert found(["x x x x x x"], ["x x x"]) == [(2, 6, "x x x")]


ALPHABET = st.text(alphabet="aAbsxXéÉßſıİǅ&!'_- \n東京กร🖕नमस्ते’\u0301\u00ad\x00", max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.lists(ALPHABET, min_size=1, max_size=6), st.lists(ALPHABET, min_size=1, max_size=6))
def test_the_kernel_agrees_with_plain_python(texts: list[str], listed: list[str]):
    listed = [phrase for phrase in listed if list_words(phrase)] or ["x"]
    texts = [*texts, " ".join(listed), "".join(listed)]
    for ours, theirs in zip(found(texts, listed), expected(texts, listed), strict=True):
        assert ours[:2] == theirs[:2]
        assert (ours[2] is None) == (theirs[2] is None)
        assert ours[2] is None or list_words(ours[2]) == list_words(theirs[2])


def test_every_character_of_the_plane_has_its_kind():
    texts = [chr(code) for code in range(1 << 16) if not 0xD800 <= code < 0xE000] + ["𝒜", "𠀀"]
    assert [size for _, size, _ in found(texts, ["zzz"])] == [size for _, size, _ in expected(texts, ["zzz"])]
    assert [list_words(text)[0][1] for text in ("a", "Ж", "7", "-", "_", "東", "ก", "🖕")] == [
        True, True, True, False, False, True, True, False,
    ]  # fmt: skip


def test_bytes_that_are_no_text_are_symbols_and_end_words():
    block = Texts.of_bytes([b"ass\xff ass", b"\xe6\x9d", b"ass\xc3", b"\x80\x80"])
    words = WordList.of(["ass"])
    counts, sizes, _ = find_phrases(block.data, block.offsets, characters(), words.hashes, words.sieve, words.longest)
    assert counts.tolist() == [2, 0, 1, 0] and sizes.tolist() == [2, 0, 1, 0]


def test_a_list_is_read_line_by_line(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes("\ufeff# ours\nDarn\n\n  what the  heck \r\ndarn\n#!@\n".encode())
    words = load(str(path))
    assert sorted(words.entries) == ["Darn", "what the  heck"] and words.longest == 3
    for content, what in ((b"# none\n\n", "at least one word"), (b"caf\xe9\n", "must be UTF-8")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=what):
            load(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        load(str(tmp_path / "nowhere.txt"))


def test_batches_change_nothing():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("as x&東🖕"), 30)) for _ in range(50)]
    assert found(texts, LISTED) == [each for text in texts for each in found([text], LISTED)]
