"""Pictures of every page, wide and narrow, light and dark: `make screenshots`.

They go to `screenshots/` (not in git); with `--docs` the ones the README shows are renewed too.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from dashboards.routes import PAGES  # noqa: E402
from imitation.settings import read_settings  # noqa: E402
from tests.browser.conftest import CHROMIUM, App, start_app  # noqa: E402

SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
FOR_DOCS = {"compare-wide-light": "compare"}
QUESTION = "What is the capital of Hungary?"


def shoot(page: Page, app: App, path: str, target: Path) -> None:
    """One page, once everything on it has been drawn."""
    if path == "/":
        page.locator("#prompt textarea").fill(QUESTION)
        page.locator("#prompt textarea").press("Enter")
        expect(page.locator(".lab-vote button[data-do=vote]").first).to_be_visible()
        page.mouse.move(0, 0)
    for plot in page.locator(".lab-plot:visible").all():  # drawn when they come into view
        plot.scroll_into_view_if_needed()
        expect(plot.locator(".main-svg").first).to_be_visible()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(400)
    page.screenshot(path=target, full_page=True)


def main() -> int:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="renew docs/images too")
    arguments = parser.parse_args()
    out = ROOT / "screenshots"
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        app = start_app(Path(data), read_settings().cache)
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            for size, (width, height) in SIZES.items():
                for theme in ("light", "dark"):
                    context = browser.new_context(viewport={"width": width, "height": height})
                    page = context.new_page()
                    page.set_default_timeout(120_000)
                    for route in PAGES:
                        name = route.path.strip("/") or "compare"
                        page.goto(f"{app.url}{route.path}?__theme={theme}")
                        expect(page.locator("h1").first).to_be_visible()
                        page.wait_for_timeout(1500)
                        target = out / f"{name}-{size}-{theme}.png"
                        shoot(page, app, route.path, target)
                        print(target.relative_to(ROOT))
                    context.close()
        finally:
            app.end()
    if arguments.docs:
        images = ROOT / "docs" / "images"
        images.mkdir(parents=True, exist_ok=True)
        for taken, shown in FOR_DOCS.items():
            shutil.copy(out / f"{taken}.png", images / f"{shown}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
