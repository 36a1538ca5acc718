"""Start-up and idle memory of the app against an empty Gradio app, both in this run.

Each side is started as its own process, alternating; a browser that is already open loads the
page. Time runs from the start of the process until the first text box can be typed into. Memory
is the resident set of the process (and its children) a little later. One more start of the app,
not timed, lists every module it ever imports.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
from playwright.sync_api import Browser, Error, sync_playwright

ROOT = Path(__file__).parents[1]
RUNS = 9
SETTLE_S = 3.0
JOBS_ONLY = {"torch", "transformers", "peft", "accelerate", "lm_eval", "datasets"}
EMPTY_APP = """
import gradio as gr
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Textbox()
demo.launch()
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(arguments: list[str], data: Path, log: Path):
    """A server process of either side; yields it and its address, and ends it."""
    port = free_port()
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "IMITATION_DATA": str(data),
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def seconds_to_usable(browser: Browser, process: subprocess.Popen, url: str, log: Path) -> float:
    """Seconds from the start of the process until its first text box can be typed into."""
    start = psutil.Process(process.pid).create_time()
    page = browser.new_page()
    while True:
        if process.poll() is not None or time.time() - start > 120:
            raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
        try:
            page.goto(url, wait_until="commit")
            break
        except Error:
            time.sleep(0.02)
    box = page.locator("textarea, input[type=text]").first
    box.wait_for(state="visible", timeout=60_000)
    box.fill("x")
    seconds = time.time() - start
    page.close()
    return seconds


def resident_mb(pid: int) -> float:
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return sum(one.memory_info().rss for one in family) / 1e6


def measure(browser: Browser, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """(seconds, MB) of every run of either side; one warm-up of each is thrown away."""
    sides = {"empty": ["-c", EMPTY_APP], "app": ["app.py"]}
    runs = {side: [] for side in sides}
    log = folder / "log"
    for number in range(RUNS + 1):
        for side, arguments in sides.items():
            with started(arguments, folder / "data", log) as (process, url):
                seconds = seconds_to_usable(browser, process, url, log)
                time.sleep(SETTLE_S)
                if number:
                    runs[side].append((seconds, resident_mb(process.pid)))
    return runs


def imported(browser: Browser, folder: Path) -> list[str]:
    """Libraries of the jobs that the app's process imported, up to a usable page and a while on."""
    log = folder / "imports"
    with started(["-X", "importtime", "app.py"], folder / "data", log) as (process, url):
        seconds_to_usable(browser, process, url, log)
        time.sleep(SETTLE_S)
    names = re.findall(r"^import time:.*\|\s*([\w.]+)$", log.read_text(), re.M)
    assert "gradio" in names, "the list of imports is empty"
    return sorted(JOBS_ONLY & {name.partition(".")[0] for name in names})


def result(name, value, unit, target, ok, n, details) -> None:
    keys = ("name", "value", "unit", "target", "ok", "n", "details")
    values = (name, value, unit, target, ok, n, details)
    print(json.dumps(dict(zip(keys, values, strict=True))), flush=True)


def browser_path() -> str | None:
    """Chromium of the system, None to let Playwright look."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        folder = Path(name)
        runs = measure(browser, folder)
        loaded = imported(browser, folder)
        browser.close()
    (empty_s, empty_mb), (app_s, app_mb) = (
        [median(column) for column in zip(*runs[side], strict=True)] for side in ("empty", "app")
    )
    result(
        "startup: time to a usable page, app / empty Gradio app",
        round(app_s / empty_s, 3),
        "ratio",
        "<= 1.25",
        app_s / empty_s <= 1.25,
        RUNS,
        {
            "app_s": round(app_s, 2),
            "empty_s": round(empty_s, 2),
            "app_runs_s": [round(s, 2) for s, _ in runs["app"]],
            "empty_runs_s": [round(s, 2) for s, _ in runs["empty"]],
        },
    )
    result(
        "startup: idle memory over an empty Gradio app",
        round(app_mb - empty_mb, 1),
        "MB",
        "<= 100",
        app_mb - empty_mb <= 100,
        RUNS,
        {"app_mb": round(app_mb, 1), "empty_mb": round(empty_mb, 1)},
    )
    result(
        "startup: job libraries imported by the page's process",
        len(loaded),
        "libraries",
        "0",
        not loaded,
        1,
        {"looked_for": sorted(JOBS_ONLY), "found": loaded},
    )


if __name__ == "__main__":
    main()
