"""A damaged store and a broken catalog: the page opens, says so, and works."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from imitation.settings import Settings
from tests.browser.conftest import start_app
from tests.browser.test_compare import ask

pytestmark = pytest.mark.slow
BROKEN = """
[[model]]
id = "mine"
name = "Mine"
role = "refrence"
backend = "openai"
endpoint = "http://127.0.0.1:9/v1"
"""
MENDED = BROKEN.replace("refrence", "reference")


def test_a_damaged_store_and_a_broken_catalog(
    page: Page, pocket_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "lab.sqlite3").write_bytes(b"damaged" * 1000)
    (tmp_path / "models.toml").write_text(BROKEN)
    app = start_app(tmp_path, pocket_settings.cache)
    try:
        page.goto(app.url)
        notices = page.locator("#notices")
        expect(notices).to_contain_text("The database was damaged")
        expect(notices).to_contain_text("role = 'refrence'. Did you mean 'reference'?")
        assert list(tmp_path.glob("lab.corrupt-*.sqlite3"))

        # The file is mended while the app runs: its model appears, and its error is its own.
        (tmp_path / "models.toml").write_text(MENDED)
        page.reload()
        expect(notices).not_to_contain_text("refrence")
        page.get_by_text("Models and settings").click()
        expect(page.locator("#model-status")).to_contain_text("Mine cannot be asked now:")
        picker = page.locator(".lab-picker").nth(2)
        picker.locator("input").click()
        page.get_by_role("option", name="Mine").click()
        page.keyboard.press("Escape")
        ask(page, app, "Hello?")
        failed = page.locator("#arena .lab-col").filter(has_text="Mine")
        expect(failed.locator(".lab-error")).to_contain_text("127.0.0.1:9")
        expect(page.locator("#arena .lab-caret")).to_have_count(0)
        others = page.locator("#arena .lab-col").filter(has_text="tok/s")
        expect(others).to_have_count(3)
    finally:
        app.end()
    assert "refrence" in app.log.read_text()  # the whole problem is in the log too
