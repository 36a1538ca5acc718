"""Loading every page while a fine-tune runs, against the same app idle, both in this run.

A browser that is open loads each page in turn until its heading is there, first with nothing else
running, then while a real fine-tune of the pocket base, queued like the page queues it, trains. The
value is the slowest page's ratio of medians.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from startup import browser_path, seconds_to_usable, started  # noqa: E402

from imitation.jobs.queue.progress import Reader  # noqa: E402
from imitation.jobs.queue.runner import Runner  # noqa: E402
from imitation.jobs.registry import command  # noqa: E402
from imitation.settings import read_settings  # noqa: E402
from imitation.storage.database import connect  # noqa: E402
from imitation.values import JobSpec  # noqa: E402

PATHS = ("/", "/votes", "/gaps", "/recorded", "/data", "/finetune", "/evaluate", "/story")
ROUNDS = 5
MOST_ROUNDS = 20
TARGET = 2.0


def load_s(page: Page, url: str) -> float:
    """Seconds from the address to the page's heading."""
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("h1").first.wait_for(state="visible", timeout=60_000)
    return time.perf_counter() - start


def rounds(page: Page, url: str, enough: Callable[[], bool]) -> dict[str, list[float]]:
    """Load times by page, over ROUNDS rounds and further ones until it is `enough`."""
    found: dict[str, list[float]] = {path: [] for path in PATHS}
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS and enough():
            break
        for path in PATHS:
            found[path].append(load_s(page, url + path))
    return found


def trained(runner: Runner) -> tuple[str, Path]:
    """Queue a fine-tune long enough to outlast the loading; its id, once it has made a step."""
    out = runner.runs / "responsive"
    arguments = ["--preset", "pocket-broad", "--set", "epochs=20", "--out", str(out)]
    arguments += ["--data", str(ROOT / "imitation" / "data" / "pocket" / "broad.jsonl")]
    progress = out / "progress.jsonl"
    spec = JobSpec("finetune", command("finetune", arguments), "responsive", out=str(out),
                   progress=str(progress))  # fmt: skip
    job = runner.submit(spec)
    reader = Reader(progress)
    for _ in range(600):
        if reader.read().step:
            return job.id, progress
        if not runner.look()[0].is_live:
            raise RuntimeError(runner.output(job).read_text("utf-8")[-2000:])
        time.sleep(0.5)
    raise RuntimeError("the fine-tune made no step in 300 s")


def measure(folder: Path) -> dict:
    settings = read_settings({"IMITATION_DATA": str(folder)})
    with (
        started(["app.py"], folder, folder / "app.log") as (process, url),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        seconds_to_usable(browser, process, url, folder / "app.log")
        for path in PATHS:  # first visits draw figures and fill caches
            load_s(page, url + path)
        idle = rounds(page, url, lambda: True)
        with closing(connect(settings.database)) as db, closing(Runner(settings, db)) as runner:
            job, progress = trained(runner)
            first = Reader(progress).read().step or 0

            def steps() -> int:
                return (Reader(progress).read().step or 0) - first

            try:
                # At least a whole step, so that it is known to have trained all the while.
                busy = rounds(page, url, lambda: steps() > 1)
                done = steps() if runner.look()[0].is_live else 0
            finally:
                runner.stop(job)
                runner.stop(job, kill=True)
                while runner.look()[0].is_live:
                    time.sleep(0.2)
        browser.close()
    return report(idle, busy, done)


def report(idle: dict, busy: dict, steps: int) -> dict:
    ratios = {path: median(busy[path]) / median(idle[path]) for path in PATHS}
    worst = max(ratios, key=lambda path: ratios[path])
    return {
        "name": "responsive: slowest page while a fine-tune runs / idle",
        "value": round(ratios[worst], 3),
        "unit": "ratio",
        "target": f"< {TARGET}",
        "ok": ratios[worst] < TARGET and steps > 0,
        "n": sum(map(len, busy.values())),
        "details": {
            "page": worst,
            "idle_s": {path: round(median(times), 3) for path, times in idle.items()},
            "busy_s": {path: round(median(times), 3) for path, times in busy.items()},
            "steps_meanwhile": steps,
        },
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder))), flush=True)


if __name__ == "__main__":
    main()
