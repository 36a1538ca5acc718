"""What an address says: loading again, going back and following a link keep what was on screen."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App, open_page
from tests.browser.test_compare import DONE, ask

pytestmark = pytest.mark.slow
NAMED = re.compile(r"[?&]open=[\w-]+")


def test_loading_again_keeps_the_comparison(page: Page, app: App) -> None:
    ask(page, app, "What is the capital of Hungary?", tokens=16)
    expect(page.locator(DONE).first).to_be_visible()
    expect(page).to_have_url(NAMED)
    answers = page.locator("#arena .lab-text").all_inner_texts()
    page.reload()
    expect(page.locator("#arena .lab-question")).to_contain_text("capital of Hungary")
    expect(page.locator("#arena .lab-col")).to_have_count(3)
    assert page.locator("#arena .lab-text").all_inner_texts() == answers
    expect(page.locator("#follow")).to_be_enabled()

    # In mid-answer too: what had been written is there.
    ask(page, app, "Tell me a long story about a lighthouse.", tokens=512)
    expect(page.locator("#arena .lab-question")).to_contain_text("lighthouse")
    text = page.locator("#arena .lab-col .lab-text").last
    expect(text).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    page.reload()
    expect(page.locator("#arena .lab-question")).to_contain_text("lighthouse")
    expect(page.locator("#arena .lab-col").last).to_contain_text("stopped")
    expect(text).to_contain_text(re.compile(r"\w+ \w+"))

    # Opening an older one shows it, and scrolls to it.
    page.set_viewport_size({"width": 1000, "height": 500})
    page.get_by_text("Your history").click()
    row = page.locator("#history .lab-open", has_text="capital of Hungary")
    row.scroll_into_view_if_needed()
    lighthouse = page.url
    row.click()
    expect(page.locator("#arena .lab-question")).to_contain_text("capital of Hungary")
    expect(page.locator("#arena .lab-question")).to_be_in_viewport()
    expect(page).not_to_have_url(lighthouse)
    expect(page).to_have_url(NAMED)

    # Deleting it takes it out of the address.
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#history li", has_text="capital of Hungary").get_by_text("Delete").click()
    expect(page).not_to_have_url(NAMED)


def test_the_way_back_from_compare_keeps_the_filters(page: Page, app: App) -> None:
    page.goto(f"{app.url}/evaluate")
    browse = page.locator("#evaluate-browse")
    chip = browse.get_by_role("button", name="Imitation wrong, reference right")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    words = page.locator("#evaluate-search textarea, #evaluate-search input").first
    shown = browse.locator(".lab-pager span").first
    before = shown.inner_text()
    words.fill("capital")
    expect(shown).not_to_have_text(before)
    count = shown.inner_text()
    prompts = browse.locator(".lab-sample").all_inner_texts()
    browse.get_by_text("Open in Compare").first.click()
    expect(page.locator("#arena .lab-question")).to_be_visible()
    page.go_back()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(words).to_have_value("capital")
    expect(shown).to_have_text(count)
    assert browse.locator(".lab-sample").all_inner_texts() == prompts
    expect(words).to_be_in_viewport()


def test_chips_of_gaps_lead_to_their_sections(page: Page, app: App) -> None:
    for address in (f"{app.url}/gaps", f"{app.url}/gaps?__theme=dark"):
        page.goto(address)
        chips = page.locator(".lab-chips a")
        expect(chips.first).to_be_visible()
        chips.last.click()
        expect(page.locator("#own")).to_be_in_viewport()
        assert page.url == f"{address}#own"


@pytest.mark.parametrize("path", ["", "evaluate", "story"])
def test_on_a_phone_the_active_tab_is_in_view(browser: Browser, app: App, path: str) -> None:
    page, watched = open_page(browser, 375, 812)
    page.goto(f"{app.url}/{path}")
    tab = page.locator(".nav-holder nav a.active")
    expect(tab).to_be_in_viewport(ratio=1)
    page.context.close()
    assert watched.errors == []
