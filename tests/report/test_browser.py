"""The page in a real browser: no errors, no requests, pictures in light and dark and on a narrow screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.report.browser import CHROMIUM, chromium

from assay.report.html import render

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


def test_the_report_opens_offline_without_a_complaint(
    facts: dict[str, Any], verdict: dict[str, Any], tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(render(facts, verdict), "utf-8")
    with chromium() as tab:
        tab.look(1280, "light")
        tab.open(report.as_uri())
        light = tab.picture(tmp_path / "light.png")
        tab.look(1280, "dark")
        dark = tab.picture(tmp_path / "dark.png")
        tab.ask("document.getElementById('theme').click()")
        theme = tab.ask("document.documentElement.dataset.theme")
        tab.look(390, "light")
        tab.picture(tmp_path / "narrow.png")
        overflow = tab.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        drawn = tab.ask("[...document.querySelectorAll('.plot .narrow')].map(p => p.clientHeight > 100)")
        title = tab.ask("document.title")
    assert tab.complaints() == []
    assert [address for address in tab.requests() if not address.startswith("data:")] == [report.as_uri()]
    assert light != dark and theme == "light", "the button must switch a dark page to light"
    assert overflow == 0, "a phone must not have to scroll sideways"
    assert drawn == [True] * 5
    assert title == "dsir for medicine from mixed text · Assay", "text of the pool must not run"


def test_the_listener_would_hear_a_request_and_an_error(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<script>console.error('heard')</script><img src='http://127.0.0.1:9/x.png'>"
        "<script>throw new Error('thrown')</script>",
        "utf-8",
    )
    with chromium() as tab:
        tab.open(page.as_uri())
    assert any("heard" in each for each in tab.complaints()) and any("thrown" in each for each in tab.complaints())
    assert "http://127.0.0.1:9/x.png" in tab.requests()


def test_a_cleaned_pool_s_page_fits_a_phone_and_loads_nothing(kept: dict[str, Any], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(render(kept), "utf-8")
    with chromium() as tab:
        tab.look(390, "dark")
        tab.open(report.as_uri())
        overflow = tab.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        bars = tab.ask("[...document.querySelectorAll('.funnel .draw')].some(each => each.offsetWidth > 0)")
        tab.look(1280, "light")
        wide = tab.ask("[...document.querySelectorAll('.funnel td .bar')].map(each => each.offsetWidth > 100)")
        beside = tab.ask(
            "(() => { const [one, two] = ['.twins .whole', '.twins .stays'].map(name => "
            "document.querySelector(name).getBoundingClientRect()); return one.right <= two.left })()"
        )
    assert tab.complaints() == []
    assert [address for address in tab.requests() if not address.startswith("data:")] == [report.as_uri()]
    assert overflow == 0 and not bars and wide and all(wide)
    assert beside, "a copy and the row that stays stand side by side"
