"""From data to a new model in Compare, all from the page."""

from __future__ import annotations

import json
import re
import signal
import time
import tomllib
from pathlib import Path

import pytest
from gradio_client import Client
from playwright.sync_api import Browser, Page, expect

from imitation.jobs.queue import exit_status, processes
from imitation.settings import Settings
from tests.browser import conftest
from tests.browser.conftest import App, open_page, start_app

pytestmark = pytest.mark.slow
MINUTES = 8 * 60_000


def tiny(folder: Path) -> Path:
    """Three short conversations and a broken line."""
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in (("Hi", "Hello!"), ("Who are you?", "A small model."), ("2 + 2?", "4."))
    ]
    path = folder / "tiny.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), "{oops"]))
    return path


def fill(page: Page, key: str, value: str) -> None:
    box = page.locator(f"#finetune-{key} :is(input, textarea)").first
    box.fill(value)
    box.press("Tab")


def open_form(page: Page, app: App, data: Path, name: str) -> None:
    page.goto(f"{app.url}/finetune")
    expect(page.locator("#finetune-plan")).to_contain_text("conversations each")
    page.get_by_text("Data of your own").click()
    page.set_input_files("#finetune-upload input[type=file]", data)
    expect(page.locator("#finetune-plan")).to_contain_text("3 conversations, 1 line left out")
    fill(page, "epochs", "1")
    fill(page, "name", name)
    expect(page.locator("#finetune-plan")).to_contain_text("1 step,")


def test_a_run_from_its_data_to_compare(page: Page, app: App, tmp_path: Path) -> None:
    open_form(page, app, tiny(tmp_path), "mine-1")
    fill(page, "name", "no good name")
    expect(page.locator("#finetune-plan [role=alert]")).to_contain_text("'no good name'")
    fill(page, "name", "mine-1")
    page.get_by_text("More settings").click()
    page.locator("#finetune-track input").check()
    expect(page.locator("#finetune-plan")).to_contain_text("--track")
    expect(page.locator("#finetune-plan")).to_contain_text("1 step,")
    page.locator("#finetune-plan").get_by_role("button", name="Copy").click()
    command = page.evaluate("navigator.clipboard.readText()")
    assert "-m training.finetune --preset pocket-broad" in command and "mine-1" in command
    page.click("#finetune-batch")
    batch = page.locator("#finetune-probe .lab-batch")
    expect(batch.locator("mark.lab-trained").filter(has_text="Hello!<|im_end|>")).to_be_visible()
    page.click("#finetune-estimate")
    expect(page.locator("#finetune-probe")).to_contain_text("It fits.", timeout=MINUTES)
    expect(page.locator("#finetune-probe")).to_contain_text("tokens/s measured just now")
    page.click("#finetune-start")
    rows = page.locator("#finetune-list li")
    expect(rows.first).to_contain_text("Running")

    page.reload()  # the run goes on, and the page finds it again
    expect(rows.first).to_contain_text("Done", timeout=MINUTES)
    expect(rows.first).to_contain_text("step 1 of 1")
    expect(page.locator("#finetune-figure .lab-plot .main-svg").first).to_be_visible()
    page.locator("#tracking").get_by_text("trackio").click()
    page.get_by_role("button", name="Open trackio").click()
    tracked = page.frame_locator("iframe[title=trackio]")
    expect(tracked.get_by_text("mine-1").first).to_be_visible()
    compare = page.context.new_page()
    compare.goto(app.url)
    expect(compare.locator("#arena .lab-col")).to_have_count(3)
    page.get_by_role("button", name="Promote to Compare").click()
    expect(page.get_by_role("link", name="In Compare")).to_be_visible()
    (card,) = tomllib.loads((app.data / "models.toml").read_text())["model"]
    assert (card["id"], card["role"]) == ("mine-1", "imitation")

    page.get_by_text("Share it, serve it elsewhere").click()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#after-out")
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#finetune-name :is(input, textarea)")).to_have_value("mine-2")
    assert "mine-1" in (app.data / "models.toml").read_text(), "asked first, and told no"

    compare.get_by_text("Models and settings").click()
    picker = compare.locator(".lab-picker.lab-role-imitation")
    picker.locator("input").click()
    listed = compare.get_by_role("option", name="mine-1")
    until = time.monotonic() + 60
    while not listed.is_visible() and time.monotonic() < until:  # it looks every ten seconds
        compare.keyboard.press("Escape")
        picker.locator("input").blur()
        picker.locator("input").click()
        compare.wait_for_timeout(1000)
    expect(listed).to_be_visible()
    compare.close()

    page.get_by_role("link", name="In Compare").click()
    expect(page.locator("#arena .lab-col")).to_have_count(3)
    expect(page.locator("#arena")).to_contain_text("mine-1")
    page.get_by_text("Models and settings").click()
    expect(page.locator(".lab-picker.lab-role-imitation")).to_contain_text("mine-1")
    expect(page.locator(".lab-picker.lab-role-base")).to_contain_text("cut-4")
    models = Client(app.url, verbose=False).predict(api_name="/models")
    assert "mine-1" in [model["id"] for model in models], "in Compare without a restart"

    page.goto(f"{app.url}/finetune")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#finetune-list")).to_contain_text("No run yet")
    assert not (app.data / "runs" / "mine-1").exists()
    assert (app.data / "adapters" / "mine-1.gguf").is_file(), "Compare keeps its own copy"


def test_a_run_outlives_the_app_and_is_stopped_from_the_next_one(
    browser: Browser,
    pocket_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "app"
    first = start_app(data, pocket_settings.cache)
    page, _ = open_page(browser, width=390)
    open_form(page, first, tiny(tmp_path), "long")
    fill(page, "epochs", "500")
    expect(page.locator("#finetune-plan")).to_contain_text("500 steps")
    page.click("#finetune-start")
    expect(page.locator("#finetune-list li")).to_contain_text("Running")
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()

    # The same address, so that the browser knows its visitor again.
    monkeypatch.setattr(conftest, "free_port", lambda: int(first.url.rpartition(":")[2]))
    second = start_app(data, pocket_settings.cache)
    try:
        page.goto(f"{second.url}/finetune")
        expect(page.locator("#finetune-list li")).to_contain_text("Running")
        expect(page.locator("#finetune-list li")).to_contain_text(
            re.compile(r"step \d+ of 500"), timeout=MINUTES
        )
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "nothing sticks out at 390 px"
        stranger, _ = open_page(browser)
        stranger.goto(f"{second.url}/finetune")
        expect(stranger.locator("#finetune-list li")).to_contain_text("Running")
        expect(stranger.get_by_role("button", name="Stop")).to_have_count(0)
        stranger.context.close()
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#finetune-list li")).to_contain_text("Stopped")
        rows = page.locator("#finetune-list li")
        page.get_by_role("button", name="Resume").click()
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("Running")
        expect(rows).to_contain_text(re.compile(r"went on from step \d+"), timeout=MINUTES)
        page.get_by_role("button", name="Stop").click()
        expect(rows).to_contain_text("Stopped", timeout=MINUTES)
    finally:
        page.context.close()
        second.end()
        for place in (data / "jobs").iterdir():
            if signed := exit_status.signed(place):
                processes.end_all(signed.pid, place.name)
