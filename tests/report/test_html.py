"""The page as a string: escapes, missing parts, no address to load from."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.report.conftest import HOSTILE, build_facts, build_kept, build_verdict

from assay.report import view
from assay.report.html import fragment, render


class Elements(HTMLParser):
    """Every element with its attributes, and the text between."""

    def __init__(self, page: str) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page() -> str:
    return render(build_facts(), build_verdict())


@pytest.fixture(scope="module")
def kept_page() -> str:
    return render(build_kept())


def poisoned(value: Any) -> Any:
    """The same facts with every string that a user can bring made hostile."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, dict):
        return {
            key: each if key in ("answer", "unit", "created", "name", "span", "metric") else poisoned(each)
            for key, each in value.items()
        }
    return [poisoned(each) for each in value] if isinstance(value, list) else value


def test_hostile_text_anywhere_adds_no_element_and_no_handler(page: str) -> None:
    calm = [tag for tag, _ in Elements(page).found]
    hostile = Elements(render(poisoned(build_facts()), poisoned(build_verdict())))
    assert [tag for tag, _ in hostile.found] == calm
    assert not [name for _, attrs in hostile.found for name in attrs if name.startswith("on")]
    assert "<script>document.title = 'owned'</script>" in hostile.text and "{{ 7 * 7 }}" in hostile.text


def test_hostile_text_in_what_was_thrown_away_adds_nothing_either(kept_page: str) -> None:
    hostile = Elements(render(poisoned(build_kept())))
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in Elements(kept_page).found]
    assert not [name for _, attrs in hostile.found for name in attrs if name.startswith("on")]
    assert hostile.text.count("{{ 7 * 7 }}") > Elements(kept_page).text.count("{{ 7 * 7 }}") > 0


def test_the_page_can_be_written_and_holds_no_control_characters(page: str) -> None:
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page)


def test_nothing_is_loaded_from_anywhere(page: str, kept_page: str) -> None:
    for each in (page, kept_page):
        addresses = [
            value
            for tag, attrs in Elements(each).found
            for name, value in attrs.items()
            if name in ("src", "href", "xlink:href", "action", "srcset") and tag != "a"
        ]
        assert all(value and value.startswith(("#", "data:")) for value in addresses)
        assert "@import" not in each and not re.search(r"url\((?!#)", each)


def test_links_go_to_papers_and_never_run_anything(kept: dict[str, Any], kept_page: str) -> None:
    assert '<a href="https://arxiv.org/abs/2112.11446" rel="noreferrer">gopher_quality/words</a>' in kept_page
    kept["funnel"][2]["paper"] = kept["about"]["sources"][0] = "javascript:alert(1)"
    links = [attrs["href"] for tag, attrs in Elements(render(kept)).found if tag == "a"]
    assert all(link and link.startswith(("#", "https://")) for link in links)


def test_a_cleaned_pool_shows_what_every_reason_threw_away(kept_page: str) -> None:
    text = Elements(kept_page).text
    for words in (
        "21,308 of 31,110 rows kept",
        "31,110 rows read = 21,308 kept + 9,753 dropped + 49 quarantined",
        "gopher_quality/stop_words stop_words must be at least 2 812 2.6 % 2,204 26,249",
        "No row left by: gopher_quality/bullet_lines.",
        "minhash 4,900 900 kB 1,212 87 the longest row 17 stays for 20, 33, 41 and 1 more",
        "c4_lines 120 40.0 kB 31.0 kB 2",
        "row 1,204 · pool-0 · web · words = 12",
        "matched: “natalia sold clips to 48 of her friends in april”",
        "stays: row 17 · pool-17 · news Read much more.",
        "language identification: give --model language=lid.176.bin",
        "quality_classifier: auc 0.9312, rows: good 1,000, bad 900",
        "Recipe: fineweb",
    ):
        assert words in text, words
    assert "<mark>Natalia sold clips to 48 of her friends in April</mark>" in kept_page
    for words in ("At the border", "What pulls a score", "Where the cut fell", "rows chosen", "of the choice"):
        assert words not in text, words


def test_only_the_page_s_own_script_may_run(page: str) -> None:
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None and page.count("<script>") == 1
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page


def test_every_part_is_there(page: str) -> None:
    text = Elements(page).text
    for words in (
        "Better than random",
        "×3.8",
        "95 % prediction interval 0.209 to 0.237",
        "Selector and judge share features (n-grams)",
        "2,769 chosen + 28,292 not chosen (612 of them filtered out) + 49 quarantined",
        "beyond the budget",
        "pool-00001.jsonl.zst, line 1,204",
        "67.1 %",
        "treatment␣of",
        "Just in",
        "Just out",
        "12 blank lines",
        "9f4be2c07a1d55e0c3a84be1",
        "0.71 by held-out likelihood",
        "read 34.2 MB",
        "2.902",
    ):
        assert words in text, words
    assert page.count('class="example"') == 24 and page.count("<svg") >= 8


def test_ids_are_unique_and_headings_label_their_sections(page: str) -> None:
    elements = Elements(page).found
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["aria-labelledby"] in ids for _, attrs in elements if "aria-labelledby" in attrs)
    assert all(attrs.get("aria-label") for _, attrs in elements if attrs.get("role") == "img")


def test_every_mark_of_a_plot_carries_its_words(page: str) -> None:
    labels = [attrs.get("aria-label") or "" for _, attrs in Elements(page).found if attrs.get("aria-roledescription")]
    assert any(label.startswith("random, seed 3: 2.426 bits per byte") for label in labels)
    assert any("prediction interval of one draw 2.417 to 2.445" in label for label in labels)


def test_a_run_with_nothing_but_counts_says_what_is_missing() -> None:
    text = Elements(render({"counts": {"input": 2, "chosen": 1, "not_chosen": 1}})).text
    for key in ("sources", "score", "lengths", "features", "borderline", "stages", "quarantine", "tokens"):
        assert view.MISSING[key] in text, key
    assert "Not tested yet" in text and "Does the choice help?" not in text
    assert "assay verify RUN --eval HELDOUT" in text


@pytest.mark.parametrize("part", sorted(build_facts()))
def test_any_one_part_may_be_missing_or_null(part: str, facts: dict[str, Any]) -> None:
    undrawn = () if part in ("score", "lengths") else ("score", "lengths")  # drawing is slow, and elsewhere
    without = {key: value for key, value in facts.items() if key != part and key not in undrawn}
    assert "What happened to every row" in render(without)
    assert render(without) == render({**without, part: None})


def test_an_undecided_verdict_with_little_in_it_is_drawn(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    verdict.update(
        answer="undecided",
        sentence="Undecided.",
        curve=[],
        multiplier=None,
        difference=None,
        p_better=None,
        overlap=None,
    )
    text = Elements(render(facts, verdict)).text
    assert (
        "Undecided" in text
        and "Every arm, by seed" in text
        and "How much random data" not in text
        and "unknown" in text
    )


def test_a_censored_multiplier_is_drawn_as_a_bound(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    verdict["multiplier"] = {"estimate": None, "low": 8.1, "high": None, "censored": True}
    page = render(facts, verdict)
    assert "above ×8.1" in Elements(page).text and "the multiplier is a bound" in page


def test_a_fragment_is_small_and_escaped(facts: dict[str, Any], verdict: dict[str, Any]) -> None:
    facts["title"] = HOSTILE
    piece = fragment(facts, verdict)
    assert len(piece) < 6_000 and "<script" not in piece and "2,769" in piece and "Better than random" in piece
