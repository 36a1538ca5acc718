"""Compare in a real browser, on the real embedded models."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import App, open_page

pytestmark = pytest.mark.slow
DONE = ".lab-vote button[data-do=vote]"


def ask(page: Page, app: App, prompt: str, tokens: int = 32, **changes: object) -> None:
    """Open the page if need be, set short answers, and send a prompt with Enter."""
    if not page.url.startswith(app.url):
        page.goto(app.url)
    expect(page.locator("#arena .lab-col").first).to_be_visible()
    if page.locator("#settings input[type=number]").first.is_hidden():
        page.get_by_text("Models and settings").click()
    set_longest(page, tokens)
    if "blind" in changes:
        page.locator("#blind input").set_checked(bool(changes["blind"]))
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#prompt textarea").press("Enter")


def set_longest(page: Page, tokens: int) -> None:
    """Type the longest answer; again where it was typed into a form that was just being shown."""
    number = page.locator("#settings input[type=number]").nth(2)
    slider = page.locator("#settings input[type=range]").nth(2)
    for _ in range(20):
        number.fill(str(tokens))
        number.press("Tab")
        page.wait_for_timeout(50)
        if slider.input_value() == str(tokens):
            return
    raise AssertionError(f"the longest answer stays at {slider.input_value()}")


def engines(app: App) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(app.process.pid).children(recursive=True)
        if "imitation.models.embedded.server" in " ".join(child.cmdline())
    ]


def test_three_real_models_answer_side_by_side(page: Page, app: App) -> None:
    ask(page, app, "What is the capital of Hungary?")
    columns = page.locator("#arena .lab-col")
    expect(columns).to_have_count(3)
    expect(page.locator(DONE).first).to_be_visible()
    for index, role in enumerate(("Base", "Imitation", "Reference")):
        column = columns.nth(index)
        expect(column.locator("h2 i")).to_have_text(role)
        assert len(column.locator(".lab-text").inner_text()) > 3
        assert "tok/s" in column.locator(".lab-meta").inner_text()
        assert "stand-in" in column.locator("h2").inner_text()
    assert "Words shared" in columns.nth(0).inner_text()
    assert "known answer: Budapest" in page.locator("#arena").inner_text() or (
        "Right" in page.locator("#arena").inner_text()
    )
    columns.nth(0).get_by_text("What was sent").click()
    sent = columns.nth(0).locator(".lab-sent").inner_text()
    assert "<|im_start|>user\nWhat is the capital of Hungary?<|im_end|>" in sent
    assert "max_tokens = 32" in sent and "Finish reason" in sent


def test_columns_stream_at_the_same_time(page: Page, app: App) -> None:
    texts = page.locator("#arena .lab-col .lab-text")
    for _ in range(3):  # answers are drawn: one may be a few words long
        ask(page, app, "Tell me a long story about a lighthouse.", tokens=208)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            lengths = [len(text) for text in texts.all_inner_texts()]
            if len(lengths) == 3 and min(lengths) > 60:
                break
            page.wait_for_timeout(50)
        if min(lengths) > 60:
            break
        expect(page.locator("#arena .lab-caret")).to_have_count(0)
    # All three are well under way while all three are still being written.
    assert min(lengths) > 60
    assert page.locator("#arena .lab-caret").count() == 3
    page.locator("[data-do=stop]").nth(1).click()
    expect(page.locator("#arena .lab-col").nth(1)).to_contain_text("stopped")
    page.locator("[data-do=stop-all]").click()
    expect(page.locator("#arena .lab-caret")).to_have_count(0)
    expect(page.locator("#arena .lab-col")).to_have_count(3)


def test_blind_vote_guess_reveal_and_score(page: Page, app: App) -> None:
    ask(page, app, "Why is the sky blue?", blind=True)
    expect(page.locator(DONE).first).to_be_visible()
    hidden = page.locator("#arena").inner_html().lower()
    for word in ("pocket", "base", "imitation", "reference", "tok/s", "stand-in", "cut"):
        assert word not in hidden
    page.locator("h1").first.click()
    page.keyboard.press("2")
    expect(page.locator(".lab-ballot")).to_contain_text("which one is the reference?")
    page.keyboard.press("1")
    expect(page.locator(".lab-ballot")).to_contain_text("You preferred:")
    expect(page.locator("#score")).to_contain_text("of 1 time;")
    db = sqlite3.connect(app.data / "lab.sqlite3")
    rows = db.execute("SELECT kind, blind FROM votes ORDER BY id DESC LIMIT 2").fetchall()
    assert rows == [("reference", 1), ("preference", 1)]


def test_number_keys_do_not_vote_from_a_text_field(page: Page, app: App) -> None:
    ask(page, app, "Say hello.")
    expect(page.locator(DONE).first).to_be_visible()
    page.locator("#prompt textarea").click()
    page.keyboard.type("123")
    page.wait_for_timeout(500)
    expect(page.locator(DONE).first).to_be_visible()
    expect(page.locator("#prompt textarea")).to_have_value("123")


def test_a_share_link_opens_without_generating_and_can_be_withdrawn(
    page: Page, app: App, browser: Browser
) -> None:
    ask(page, app, "Name three fruits.")
    expect(page.locator(DONE).first).to_be_visible()
    answers = page.locator("#arena .lab-text").all_inner_texts()
    page.locator("[data-do=share]").click()
    expect(page.locator("[data-do=unshare]")).to_be_visible()
    page.wait_for_timeout(500)
    link = page.evaluate("navigator.clipboard.readText()")
    assert "fruits" not in link and "?shared=" in link

    guest, watched = open_page(browser)
    guest.goto(link)
    expect(guest.locator(".lab-notice").last).to_contain_text("shared comparison")
    assert guest.locator("#arena .lab-text").all_inner_texts() == answers
    assert guest.locator("[data-do=vote], [data-do=unshare]").count() == 0

    page.locator("[data-do=unshare]").click()
    expect(page.locator("[data-do=unshare]")).to_have_count(0)
    guest.goto(link)
    expect(guest.locator("#notices")).to_contain_text("does not exist")
    assert watched.errors == []
    guest.context.close()


def test_history_survives_a_reload_and_is_exported_and_deleted(page: Page, app: App) -> None:
    ask(page, app, "A question for the history")
    expect(page.locator(DONE).first).to_be_visible()
    page.reload()
    expect(page.locator("#arena .lab-col").first).to_be_visible()
    page.get_by_text("Your history").click()
    expect(page.locator("#history .lab-open")).to_have_count(1)
    with page.expect_download() as download:
        page.locator("#export").click()
    (line,) = Path(download.value.path()).read_text().splitlines()
    assert json.loads(line)["turns"][0]["prompt"] == "A question for the history"
    page.locator("#history .lab-open").click()
    expect(page.locator("#arena .lab-question")).to_have_text("A question for the history")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#history [data-do=delete]").click()
    expect(page.locator("#history .lab-open")).to_have_count(0)


def test_regenerate_copy_and_follow_up(page: Page, app: App) -> None:
    ask(page, app, "Write one sentence about rain.")
    expect(page.locator(DONE).first).to_be_visible()
    page.locator("[data-do=copy]").nth(2).click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == page.locator("[data-copy]").nth(2).get_attribute("data-copy").strip()
    page.locator("[data-do=again]").nth(0).click()
    expect(page.locator("#arena .lab-caret")).to_have_count(0)
    expect(page.locator(DONE).first).to_be_visible()
    page.locator("#prompt textarea").fill("And one about snow.")
    page.locator("#follow").click()
    expect(page.locator("#arena .lab-asked .lab-question")).to_have_text("And one about snow.")
    expect(page.locator(DONE).first).to_be_visible()
    expect(page.locator(".lab-earlier summary")).to_have_text("1 earlier turn")


@pytest.mark.parametrize(
    "prompt",
    [
        "<script>window.bad=1</script><img src=x onerror='window.bad=1'>",
        "مرحبا بالعالم 👋",
        "${window.bad=1} {{window.bad=1}}",
    ],
)
def test_hostile_and_foreign_prompts(page: Page, app: App, prompt: str) -> None:
    ask(page, app, prompt, tokens=16)
    expect(page.locator(DONE).first).to_be_visible()
    expect(page.locator("#arena .lab-asked .lab-question")).to_have_text(prompt)
    assert page.evaluate("window.bad") is None


def test_an_empty_question_and_a_bad_seed_are_said_in_words(page: Page, app: App) -> None:
    ask(page, app, "   ")
    expect(page.get_by_text("There is no question yet.")).to_be_visible()
    page.get_by_label("Seed").fill("soon")
    page.locator("#prompt textarea").fill("Hello?")
    page.locator("#ask").click()
    expect(page.get_by_text("The seed 'soon' is not a whole number.")).to_be_visible()


def test_a_prompt_too_long_for_the_context_fails_in_its_columns(page: Page, app: App) -> None:
    ask(page, app, "word " * 20_000)
    expect(page.locator(".lab-error").first).to_contain_text("tokens")
    expect(page.locator(".lab-error")).to_have_count(3)
    page.locator("#prompt textarea").fill("Short again?")
    page.locator("#prompt textarea").press("Enter")
    expect(page.locator(DONE).first).to_be_visible()


def test_thirty_clicks_ask_once(page: Page, app: App) -> None:
    page.goto(app.url)
    expect(page.locator("#arena .lab-col").first).to_be_visible()
    page.get_by_text("Models and settings").click()
    page.locator("#settings input[type=number]").nth(2).fill("16")
    page.locator("#prompt textarea").fill("Once only")
    page.evaluate("for (let i = 0; i < 30; i++) document.querySelector('#ask').click()")
    expect(page.locator(DONE).first).to_be_visible()
    page.wait_for_timeout(500)
    page.get_by_text("Your history").click()
    expect(page.locator("#history .lab-open")).to_have_count(1)


def test_a_closed_tab_stops_the_servers_work(browser: Browser, app: App) -> None:
    page, _ = open_page(browser)
    ask(page, app, "Count slowly to one thousand, in words.", tokens=1024)
    # Not all three: a model may have nothing more to say by then.
    page.wait_for_function(
        "[...document.querySelectorAll('#arena .lab-col:has(.lab-caret) .lab-text')]"
        ".filter(t => !t.querySelector('.lab-quiet') && t.innerText.length > 10).length >= 2"
    )
    page.context.close()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        before = sum(sum(e.cpu_times()[:2]) for e in engines(app))
        time.sleep(1)
        used = sum(sum(e.cpu_times()[:2]) for e in engines(app)) - before
        if used < 0.1:
            break
    assert used < 0.1, f"the engines still used {used:.1f} s of CPU in a second"


def test_an_engine_killed_in_mid_stream_is_said_and_restarted(page: Page, app: App) -> None:
    ask(page, app, "Write a very long poem about the sea.", tokens=512)
    page.wait_for_function(
        "[...document.querySelectorAll('#arena .lab-text:not(:has(.lab-quiet))')]"
        ".filter(t => t.innerText.length > 10).length == 3"
    )
    whole = [e for e in engines(app) if "without" not in " ".join(e.cmdline())]
    assert len(whole) == 1
    os.kill(whole[0].pid, signal.SIGKILL)
    third = page.locator("#arena .lab-col").nth(2)
    expect(third.locator(".lab-error")).to_contain_text("ended unexpectedly")
    expect(third.locator("[data-do=again]")).to_have_text("Retry")
    page.locator("[data-do=stop-all]").click()
    expect(page.locator("#arena .lab-caret")).to_have_count(0)
    expect(page.locator("#arena .lab-col")).to_have_count(3)
    ask(page, app, "Hello again")
    expect(page.locator(DONE).first).to_be_visible()


def test_the_models_can_be_changed_and_two_are_enough(page: Page, app: App) -> None:
    page.goto(app.url)
    expect(page.locator("#arena .lab-col")).to_have_count(3)
    page.get_by_text("Models and settings").click()
    page.wait_for_timeout(500)  # what is changed in the frame a form is mounted in is lost
    for picker in page.locator(".lab-picker").all()[:2]:
        picker.locator(".token-remove").first.click()
        expect(picker.locator(".token")).to_have_count(0)
    page.locator("#prompt textarea").fill("Alone?")
    page.locator("#ask").click()
    expect(page.get_by_text("Choose 2 to 4 models.")).to_be_visible()


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_of_the_page(browser: Browser, app: App, width: int, dark: bool) -> None:
    page, watched = open_page(browser, width, 844)
    page.goto(app.url + ("?__theme=dark" if dark else "?__theme=light"))
    ask(page, app, "Why do cats purr? " + "averyveryverylongword" * 10)
    expect(page.locator(DONE).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.errors == [] and watched.outside == []
    page.context.close()
