"""A dataset from an uploaded file, all from the page: looked at, built, searched, deleted."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import App
from tests.jobs.commands.test_build_dataset import rows

pytestmark = pytest.mark.slow


def kept(app: App, what: str = "mixture") -> str:
    """The mixture, or what else is chosen, as the app has kept it; "" before."""
    return "".join(file.read_text() for file in (app.data / "visitors").glob(f"*/{what}.json"))


def wait_for(true: Callable[[], bool], within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_dataset_from_its_file_to_the_fine_tune_page(
    page: Page, app: App, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows()) + "{broken\n")
    page.goto(f"{app.url}/data")
    expect(page.locator("#data-list")).to_contain_text("No dataset yet")
    page.get_by_text("A file of your own").click()
    page.set_input_files("#data-upload input[type=file]", file)
    expect(page.locator("#data-preview")).to_contain_text("Read as Alpaca (by instruction, output)")
    expect(page.locator("#data-plan")).not_to_contain_text("build_dataset")  # not confirmed yet
    page.locator("#data-licence :is(input, textarea)").fill("CC BY 4.0")
    page.click("#data-add")
    expect(page.locator("#data-plan")).to_contain_text("--licences 'CC BY 4.0'")
    page.locator("#data-weights :is(input, textarea)").fill("2")
    expect(page.locator("#data-plan")).to_contain_text("--weights 2")
    wait_for(lambda: '"weights": "2"' in kept(app))
    page.locator("#data-steps").get_by_label("Length").check()
    expect(page.locator("#data-plan")).to_contain_text("length")
    wait_for(lambda: '"length"' in kept(app, "choices"))
    page.reload()  # the mixture and its steps stay
    expect(page.locator("#data-sources")).to_contain_text("1. mine")
    expect(page.locator("#data-plan")).to_contain_text("--licences 'CC BY 4.0' --weights 2")
    expect(page.locator("#data-steps").get_by_label("Length")).to_be_checked()
    page.locator("#data-steps").get_by_label("Length").uncheck()
    page.locator("#data-name :is(input, textarea)").fill("mine")
    expect(page.locator("#data-plan")).to_contain_text("datasets/mine")
    page.click("#data-build")
    expect(page.locator("#data-list li").first).to_contain_text("Done")
    table = json.loads((app.data / "datasets" / "mine" / "manifest.json").read_text())
    n = table["result"]["conversations"]
    assert n > 90
    expect(page.locator("#data-list li").first).to_contain_text(f"{n} conversations")
    expect(page.locator("#data-counts")).to_contain_text("1: language de")

    page.get_by_role("tab", name="Diversity").click()
    expect(page.locator("#data-figure .main-svg").first).to_be_visible()
    expect(page.locator("#data-diversity")).to_contain_text(f"{n} queries, each compared with each")
    page.get_by_role("tab", name="Browse").click()
    expect(page.locator("#data-found")).to_contain_text(f"1 to 10 of {n}")
    page.locator("#data-found").get_by_role("button", name="After").click()
    expect(page.locator("#data-found")).to_contain_text(f"11 to 20 of {n}")
    page.locator("#data-search :is(input, textarea)").fill("LIGHTHOUSE keeper")
    expect(page.locator("#data-found")).to_contain_text("1 to 1 of 1")
    page.get_by_role("tab", name="Manifest").click()
    expect(page.locator("#data-manifest")).to_contain_text('"licence": "CC BY 4.0"')

    with page.expect_download() as download:
        page.get_by_role("link", name="Parquet").click()
    assert download.value.suggested_filename == "data.parquet"
    assert Path(download.value.path()).read_bytes()[:4] == b"PAR1"
    for trick in ("/../lab.sqlite3", "/%2e%2e/lab.sqlite3", "/mine/../../lab.sqlite3"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{app.url}/gradio_api/file={app.data}/datasets{trick}")
        assert refused.value.code in (403, 404)

    page.locator("#data-head").get_by_role("link", name="Fine-tune on it").click()
    chosen = page.locator("#finetune-data input")
    expect(chosen).to_have_value(f"mine, built here: {n} conversations")
    expect(page.locator("#finetune-plan")).to_contain_text("datasets/mine/data.jsonl")
    page.goto(f"{app.url}/data")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#data-head").get_by_role("button", name="Delete").click()
    expect(page.locator("#data-list")).to_contain_text("No dataset yet")
    assert not (app.data / "datasets" / "mine").exists()


def test_answers_of_the_reference_become_a_source(page: Page, app: App, tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    rows = [{"id": str(n), "prompt": f"Name {n} rivers."} for n in (2, 3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.goto(f"{app.url}/data")
    page.get_by_text("Ask a reference").click()
    page.get_by_text("Prompts of your own").click()
    page.set_input_files("#answers-upload input[type=file]", file)
    plan = page.locator("#answers-plan")
    expect(plan).to_contain_text("2 prompts, about")
    expect(plan).to_contain_text("no price: it runs on this machine")
    expect(plan).not_to_contain_text("--price")
    page.locator("#answers-tokens input").fill("16")
    expect(plan).to_contain_text("at most 32 tokens of answers")
    page.click("#answers-start")
    job = page.locator("#answers-list li").first
    expect(job).to_contain_text("Done")
    expect(job).to_contain_text("2 of 2 answers")
    expect(job).not_to_contain_text("cost")  # it ran on this machine
    job.get_by_role("button", name="Look at it").click()
    expect(page.locator("#data-source input")).to_have_value(re.compile("answers.jsonl"))
    page.click("#data-look")
    expect(page.locator("#data-preview")).to_contain_text("Name 2 rivers.")
    page.on("dialog", lambda dialog: dialog.accept())
    job.get_by_role("button", name="Delete").click()
    expect(page.locator("#answers-list li")).to_have_count(0)
    assert not list((app.data / "answers").iterdir())
