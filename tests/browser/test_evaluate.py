"""Measuring the gap from the page: start, watch, read, open in Compare, see it on the Gaps page."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App

pytestmark = pytest.mark.slow


def test_the_example_is_voted_on_with_a_key(page: Page, app: App) -> None:
    page.goto(f"{app.url}/evaluate")
    expect(page.locator("#evaluate-detail")).to_contain_text("An example, measured on")
    page.locator("#evaluate-limit input").fill("-3")
    expect(page.locator("#evaluate-plan")).to_contain_text("-3 samples are too few")
    page.get_by_text("Imitation wrong, reference right").click()
    expect(page.locator("#evaluate-browse")).to_contain_text("of 35 samples")
    page.get_by_text("Vote blind").first.click()
    expect(page.locator("#arena")).to_contain_text("Which answer is best?")
    page.keyboard.press("1")
    expect(page.locator("#arena")).to_contain_text("which one is the reference?")
    page.keyboard.press("2")
    expect(page.locator("#arena")).to_contain_text("Pocket whole model")
    page.goto(f"{app.url}/votes")
    expect(page.get_by_text("Nobody could be yet")).to_have_count(0)


def test_a_run_from_its_start_to_the_gaps_page(page: Page, app: App) -> None:
    page.goto(f"{app.url}/evaluate")
    expect(page.locator("#evaluate-plan")).to_contain_text("imitation.jobs.commands.evaluate")
    tasks = page.locator("#evaluate-tasks")
    tasks.locator("input").click()
    page.keyboard.press("Backspace")
    page.keyboard.type("pocket_facts")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator("#evaluate-limit input").fill("12")
    page.locator("#evaluate-name textarea, #evaluate-name input").first.fill("browser-run")
    expect(page.locator("#evaluate-plan")).to_contain_text("--tasks pocket_facts --limit 12")
    page.locator("#evaluate-start").click()
    chosen = page.locator("#evaluate-list li[aria-current]")
    expect(chosen).to_contain_text("browser-run")
    expect(chosen).to_contain_text("Done", timeout=180_000)
    detail = page.locator("#evaluate-detail")
    expect(detail).to_contain_text("n = 12")
    expect(detail).to_contain_text("Gap closed = (imitation - base) / (reference - base)")
    expect(detail).to_contain_text("stand-ins for the real thing")

    browse = page.locator("#evaluate-browse")
    expect(browse).to_contain_text("1 to 10 of 12 samples")
    browse.get_by_text("Next page").first.click()
    expect(browse).to_contain_text("11 to 12 of 12 samples")
    page.locator("#evaluate-search textarea, #evaluate-search input").first.fill("zzzzzz")
    expect(browse).to_contain_text("No sample is like that")
    page.locator("#evaluate-search textarea, #evaluate-search input").first.fill("")
    expect(browse).to_contain_text("12 samples")
    with page.expect_download() as download:
        detail.get_by_role("button", name="JSON").click()
    report = json.loads(download.value.path().read_text("utf-8"))
    assert report["complete"] and {s["value"]["n"] for s in report["scores"]} == {12}

    browse.get_by_text("Open in Compare").first.click()
    expect(page.locator("#arena .lab-col")).to_have_count(3)
    expect(page.locator("#arena .lab-question")).to_contain_text("Question:")

    page.goto(f"{app.url}/gaps#own")
    own = page.locator("#own")
    expect(own).to_contain_text("pocket_facts: Pocket broad")
    expect(own.locator(".scatterlayer .point").first).to_be_visible()
    own.locator('select[data-own="task"]').select_option("pocket_facts")
    expect(own.locator('select[data-own="task"]')).to_be_focused()  # the section came anew
    point = own.locator(".scatterlayer .point")
    expect(point.first).to_be_visible()
    point.first.hover(force=True)
    expect(own.locator(".hoverlayer .hovertext").first).to_be_visible()
    point.first.click(force=True)
    expect(page).to_have_url(re.compile(r"/evaluate\?run=[0-9a-f]+&task=pocket_facts$"))
    expect(page.locator("#evaluate-list li[aria-current]")).to_contain_text("browser-run")
