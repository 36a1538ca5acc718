"""A real app in a process of its own, and a real Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from imitation.settings import Settings

expect.set_options(timeout=60_000)

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Gradio logs its own aborted fetch when a page is left or closed in mid-stream.
OWN_NOISE = ("AbortError", "Connection errored out", "net::ERR_")


@dataclass
class App:
    """A running app."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def start_app(data: Path, cache: Path, **variables: str) -> App:
    """`python app.py` on a free port, once it answers."""
    port = free_port()
    data.mkdir(parents=True, exist_ok=True)
    log = data / "app.log"
    env = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "IMITATION_DATA": str(data),
        "IMITATION_CACHE": str(cache),
        **variables,
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    app = App(f"http://127.0.0.1:{port}", data, process, log)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(app.url, timeout=2).close()
            return app
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise RuntimeError(f"the app did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def app(pocket_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    running = start_app(tmp_path_factory.mktemp("app"), pocket_settings.cache)
    yield running
    running.end()


# One per module: while it is open, Playwright's own event loop holds the main thread, and no
# asynchronous test could run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is not installed: make test installs it"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@dataclass
class Watched:
    """What a page complained of."""

    errors: list[str]
    outside: list[str]


def open_page(browser: Browser, width: int = 1440, height: int = 900) -> tuple[Page, Watched]:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    watched = Watched([], [])

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(noise in message.text for noise in OWN_NOISE):
            watched.errors.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith(("http://127.0.0.1", "data:", "blob:", "chrome-extension:"))
            else watched.outside.append(r.url)
        ),
    )
    return page, watched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh visitor; fails the test on console errors or requests to the outside."""
    opened, watched = open_page(browser)
    yield opened
    opened.context.close()
    assert watched.errors == []
    assert watched.outside == []
