"""The argument as slides: turned by keys, kept in the address, saved as one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App

pytestmark = pytest.mark.slow


def test_slides_turn_and_are_saved_as_a_file_that_needs_nothing_else(
    page: Page, app: App, tmp_path: Path
) -> None:
    page.goto(f"{app.url}/story")
    place = page.locator(".lab-deck [role=status]")
    expect(place).to_have_text("1 / 10")
    expect(page.get_by_role("button", name="Previous slide")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Next slide").click()
    expect(place).to_have_text("3 / 10")
    shown = page.locator(".lab-slide:not([hidden])")
    expect(shown).to_have_count(1)
    expect(shown.locator(".lab-plot .main-svg").first).to_be_visible()
    assert page.url == f"{app.url}/story#3"
    page.reload()
    expect(place).to_have_text("3 / 10")
    page.evaluate("location.hash = '#5'")  # as typed into the address bar
    expect(place).to_have_text("5 / 10")
    page.keyboard.press("End")
    expect(shown.locator("h2")).to_have_text("What to take from it")

    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    saved = tmp_path / "story.html"
    download.value.save_as(saved)
    text = saved.read_text("utf-8")
    assert text.count("data:image/svg+xml") >= 7
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", text), "nothing is fetched"

    page.set_content(text)
    pages = page.locator("section")
    expect(pages).to_have_count(10)
    assert page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("scrollY > innerHeight / 2")
