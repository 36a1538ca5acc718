"""A study from its making to its end: two raters, the board moves, a judge judges the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from imitation.facts import show_facts
from imitation.settings import Settings
from imitation.storage import recordings
from imitation.storage.database import connect
from imitation.values import RecordedPrompt, Recording
from tests.browser.conftest import App, open_page, start_app

pytestmark = pytest.mark.slow
FACTS = [fact for fact in show_facts() if fact.topic == "capital"][:3]
WRONG = "It is Canberra, a city known far and wide."


@pytest.fixture(scope="module")
def app(pocket_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An app of its own: votes that other tests gave would stand on the board too."""
    running = start_app(tmp_path_factory.mktemp("votes"), pocket_settings.cache)
    yield running
    running.end()


def record(app: App) -> None:
    """Two models: one is right, the other wrong at length."""
    prompts = tuple(RecordedPrompt(str(n), fact.question) for n, fact in enumerate(FACTS))
    right = {str(n): f"{fact.answers[0]}." for n, fact in enumerate(FACTS)}
    answers = {"right-model": right, "wrong-model": dict.fromkeys(right, WRONG)}
    with closing(connect(app.data / "lab.sqlite3")) as db:
        recordings.add(
            db, Recording(prompts, answers), name="capitals", source="x", reference="right-model"
        )


def open_votes(page: Page, app: App, part: str) -> None:
    page.goto(f"{app.url}/votes")
    expect(page.locator("#votes-source input")).to_have_value("People: Compare and your studies")
    page.locator(f"{part} > button").click()


def make_study(page: Page) -> str:
    """The path of its invitation."""
    for kind in ("About code", "Not in English"):
        expect(page.get_by_label(kind)).to_be_checked()
    expect(page.locator("#study-training")).to_contain_text("Broad, shipped")
    # The shipped training data asks for other capitals in the same words: that is no reason.
    expect(page.locator("#study-plan")).to_contain_text("3 items from 3 prompts")
    page.locator("#study-name input, #study-name textarea").first.fill("Capitals <b>study</b>")
    page.locator("#study-raters input").fill("2")
    page.locator("#study-raters input").press("Tab")
    expect(page.locator("#study-plan")).to_contain_text("6 ratings in all")
    page.click("#study-create")
    expect(page.locator("#studies-list h3")).to_contain_text("Capitals <b>study</b> Open")
    page.get_by_role("button", name="Copy link").click()
    link = str(page.evaluate("navigator.clipboard.readText()"))
    assert link.startswith(page.url.partition("/votes")[0] + "/rate?study=")
    return link


def rate_all(page: Page, link: str, hasty: bool = False) -> None:
    page.goto(link)
    item = page.locator("#rate-item")
    for done in range(len(FACTS)):
        expect(item).to_contain_text(f"{done + 1} of {len(FACTS)}.")
        assert page.locator("a[href]:visible, footer:visible").count() == 0
        assert "model" not in item.inner_text(), "no names"
        texts = page.locator(".lab-col .lab-text").all_inner_texts()
        name = "A is better" if "Canberra" in texts[0] else "B is better"
        if hasty and not done:
            page.evaluate("document.querySelector('[data-choice=tie]').click()")
            expect(page.get_by_text("faster than anybody reads").first).to_be_visible()
        page.wait_for_timeout(1700)
        page.get_by_role("button", name=name).click()
    expect(item).to_contain_text("There is nothing left for you to rate.")


def test_a_study_moves_the_board(page: Page, browser: Browser, app: App) -> None:
    record(app)
    open_votes(page, app, "#votes-studies")
    link = make_study(page)
    for hasty in (True, False):
        rater, watched = open_page(browser, width=390, height=844)
        rate_all(rater, link, hasty)
        wide = rater.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert (wide, watched.errors, watched.outside) == (0, [], [])
        rater.context.close()

    # Nobody reloads this page.
    expect(page.locator("#votes-board")).to_contain_text(
        "6 verdicts · 3 items · 3 prompts · 2 raters"
    )
    expect(page.locator("#votes-fooled .lab-finding")).to_contain_text(
        "too few to say: 3 cases, needs 5"
    )
    expect(page.locator("#votes-board")).to_contain_text("1 vote refused: 1 too fast")
    expect(page.locator("#votes-board")).to_contain_text("Raters agree with each other")
    study = page.locator("#studies-list .lab-study")
    expect(study).to_contain_text("6 of 6 ratings · 3 of 3 items complete · 2 raters")

    page.get_by_role("button", name="Show its board").click()
    expect(page.locator("#votes-source input")).to_have_value("Study: Capitals <b>study</b>")
    expect(page.locator("#votes-source")).to_be_in_viewport()

    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSONL").click()
    lines = [json.loads(line) for line in download.value.path().read_text("utf-8").splitlines()]
    assert [r["preferred"] for line in lines for r in line["ratings"]] == ["wrong-model"] * 6

    page.get_by_text("The board as a figure").click()
    expect(page.locator("#votes-figure .main-svg").first).to_be_visible()
    for kind, begins in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f"#votes-figure [data-format={kind}]").click()
        assert download.value.suggested_filename == f"votes.{kind}"
        assert download.value.path().read_bytes().startswith(begins)

    page.get_by_role("button", name="Close", exact=True).click()
    expect(study).to_contain_text("Closed")
    rater, _ = open_page(browser, width=390)
    rater.goto(link)
    expect(rater.locator("#rate-item")).to_contain_text("This study is closed.")
    rater.goto(link + "x")
    expect(rater.locator("#rate-item")).to_contain_text("This link opens no study.")
    rater.context.close()

    judge(page, app)
    page.locator("#votes-studies > button").click()
    page.on("dialog", lambda dialog: dialog.accept())
    study.get_by_role("button", name="Delete").click()
    expect(page.locator("#studies-list")).to_contain_text("No study of yours yet")


def judge(page: Page, app: App) -> None:
    """The pocket reference judges the study's items; whatever it says is counted."""
    open_votes(page, app, "#votes-judges")
    page.locator("#judge-source input").click()
    page.get_by_role("option", name="Study: Capitals").click()
    page.locator("#judge-tokens input").fill("24")
    page.locator("#judge-tokens input").press("Tab")
    expect(page.locator("#judge-plan")).to_contain_text("3 pairs, 6 questions to Pocket whole")
    expect(page.locator("#judge-plan")).to_contain_text("No fee")
    page.click("#judge-start")
    row = page.locator("#judges-list li").first
    expect(row).to_contain_text("Done", timeout=180_000)
    expect(row).to_contain_text("6 of 6 judged")
